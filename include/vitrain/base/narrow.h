// The two 16-bit floating types: bf16, the upper half of a float, and IEEE 754's half. Both ways,
// to the nearest, ties to even; NaN stays NaN, and what is too large becomes infinite.
#ifndef VITRAIN_BASE_NARROW_H
#define VITRAIN_BASE_NARROW_H

#include "vitrain/base/vector.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t vt_bf16;
typedef uint16_t vt_half;

VT_INLINE vt_bf16 vt_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1);
    return (vt_bf16)((x == x ? rounded : bits | 0x400000u) >> 16);
}

VT_INLINE float vt_bf16_value(vt_bf16 x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// From a double, so that numbers of any type are rounded once.
static inline vt_half vt_half_of(double x)
{
    const double a = fabs(x);
    const vt_half sign = signbit(x) ? 0x8000 : 0;
    int exponent;
    if (isnan(x)) return 0x7e00;
    if (a >= 65520) return sign | 0x7c00;
    if (a < 0x1p-14) return sign | (vt_half)nearbyint(a * 0x1p24);
    frexp(a, &exponent); // 2^(exponent-1) <= a; a fraction rounded up to 2048 carries
    const int fraction = (int)nearbyint(ldexp(a, 11 - exponent)) - 1024;
    return (vt_half)(sign | (((exponent + 14) << 10) + fraction));
}

static inline float vt_half_value(vt_half x)
{
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31,
                   fraction = x & 0x3ff;
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    const uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
