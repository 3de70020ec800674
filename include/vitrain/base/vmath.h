// Elementary functions that the compiler can vectorize: branch-free, no library call, exact to
// about one unit in the last place of float. In the double build they are the C library's.
#ifndef VITRAIN_BASE_VMATH_H
#define VITRAIN_BASE_VMATH_H

#include "vitrain/base/real.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef VT_DOUBLE

static inline double vt_exp(double x)
{
    return exp(x);
}

static inline double vt_exp_falling(double x)
{
    return exp(x);
}

static inline double vt_normal_cdf(double x, double *density)
{
    *density = 0.39894228040143267794 * exp(-0.5 * x * x);
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

#else

// exp(r) on [-ln2/2, ln2/2] (least squares at Chebyshev nodes, relative error 4e-9 before
// rounding).
static inline float vt_exp_part(float r)
{
    float p = 0.00139465265f;
    p = p * r + 0.00836921576f;
    p = p * r + 0.0416662619f;
    p = p * r + 0.166665152f;
    p = p * r + 0.5f;
    return p * r * r + r + 1;
}

// exp(x), as 2^n exp(r). 0 below -87.3 (so -inf gives 0), inf above 88.7; NaN stays NaN.
static inline float vt_exp(float x)
{
    float bounded = x < -87.3f ? -87.3f : x > 88.8f ? 88.8f : x;
    float n = rintf(bounded * 1.44269504f);
    float r = bounded - n * 0.693359375f; // ln 2 in two parts: the first product is exact
    r += n * 2.12194440e-4f;
    float p = vt_exp_part(r);
    // 2^n in two factors, because 2^128 is no float
    int32_t whole = x == x ? (int32_t)n : 0, half = whole >> 1;
    uint32_t bits_a = (uint32_t)(half + 127) << 23, bits_b = (uint32_t)(whole - half + 127) << 23;
    float a, b;
    memcpy(&a, &bits_a, 4);
    memcpy(&b, &bits_b, 4);
    p = p * a * b;
    return x < -87.3f ? 0 : x == x ? p : x;
}

// exp(x) for x <= 0, where 2^n is always a float: half the work. 0 below -86.6; NaN stays NaN.
static inline float vt_exp_falling(float x)
{
    const float magic = 12582912.0f; // 1.5 x 2^23: added, the integer part is in the lowest bits
    float bounded = x < -86.6f ? -86.6f : x;
    float t = bounded * 1.44269504f + magic, n = t - magic;
    float r = bounded - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    float p = vt_exp_part(r);
    uint32_t bits, shift;
    memcpy(&bits, &p, 4);
    memcpy(&shift, &t, 4);
    bits += shift << 23;
    memcpy(&p, &bits, 4);
    return x < -86.6f ? 0 : p;
}

// Phi(x), the normal distribution function, and phi(x), its density. With t = |x| the tail
// Phi(-t) = exp(-t^2/2) R(t), where R(t) = exp(t^2/2) erfc(t/sqrt 2) / 2 is smooth and is taken as
// a polynomial in 1 / (1 + 0.34 t), the form of Abramowitz and Stegun 7.1.26 with our own
// coefficients (least squares at Chebyshev nodes; error of Phi 5e-9 before rounding).
static inline float vt_normal_cdf(float x, float *density)
{
    float t = fabsf(x), e = vt_exp_falling(-0.5f * t * t);
    float u = 1 / (1 + 0.34f * t);
    float p = -0.0266411267f;
    p = p * u + 0.141812518f;
    p = p * u + -0.277456552f;
    p = p * u + 0.206608117f;
    p = p * u + -0.0474206991f;
    p = p * u + 0.116363548f;
    p = p * u + 0.114976414f;
    p = p * u + 0.136138558f;
    p = p * u + 0.135619208f;
    float tail = p * u * e;
    *density = 0.398942280f * e;
    return x < 0 ? tail : 1 - tail;
}

#endif

#endif
