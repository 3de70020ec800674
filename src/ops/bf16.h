// Stored numbers: reading and writing vt_real or bf16 in loops that the compiler vectorizes. `type`
// is a constant wherever these are called: loops are written once as an inline function and
// instantiated with VT_FOR_TYPE.
#ifndef OPS_BF16_H
#define OPS_BF16_H

#include "lanes.h"
#include "vitrain/base/narrow.h"
#include "vitrain/ops/ops.h"

VT_INLINE vt_real vt_get(const void *x, vt_elem type, size_t i)
{
    return type == VT_BFLOAT ? (vt_real)vt_bf16_value(((const vt_bf16 *)x)[i])
                             : ((const vt_real *)x)[i];
}

VT_INLINE void vt_put(void *y, vt_elem type, size_t i, vt_real value)
{
    if (type == VT_BFLOAT)
        ((vt_bf16 *)y)[i] = vt_bf16_of((float)value);
    else
        ((vt_real *)y)[i] = value;
}

// Numbers i .. i + VT_LANES - 1. (The processor's own rounding takes numbers below 2^-126 for 0, as
// its products do.)
VT_INLINE void vt_put_vec(void *y, vt_elem type, size_t i, vt_vec x)
{
#if defined __AVX512BF16__ && !defined VT_DOUBLE
    if (type == VT_BFLOAT) {
        const __m256bh rounded = _mm512_cvtneps_pbh((__m512)x);
        memcpy((vt_bf16 *)y + i, &rounded, sizeof rounded);
        return;
    }
#endif
    if (type == VT_REAL)
        *(vt_vec_loose *)((vt_real *)y + i) = x;
    else
        for (size_t lane = 0; lane < VT_LANES; lane++) vt_put(y, type, i + lane, x[lane]);
}

VT_INLINE void vt_put_all(void *y, vt_elem type, const vt_real *x, size_t n)
{
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) vt_put_vec(y, type, i, vt_vec_at(x + i));
    for (; i < n; i++) vt_put(y, type, i, x[i]);
}

// Numbers i .. i + VT_LANES - 1.
VT_INLINE vt_vec vt_get_vec(const void *x, vt_elem type, size_t i)
{
#ifndef VT_DOUBLE
    if (type == VT_BFLOAT) {
#ifdef __AVX512F__
        __m256i stored;
        memcpy(&stored, (const vt_bf16 *)x + i, sizeof stored);
        return (vt_vec)((vt_vec_bits)_mm512_cvtepu16_epi32(stored) << 16);
#else
        typedef vt_bf16 halves __attribute__((vector_size(VT_LANES * sizeof(vt_bf16))));
        halves stored;
        memcpy(&stored, (const vt_bf16 *)x + i, sizeof stored);
        return (vt_vec)(__builtin_convertvector(stored, vt_vec_bits) << 16);
#endif
    }
#endif
    return vt_vec_at((const vt_real *)vt_at(x, type, i));
}

// Calls an inline function of (..., type) with the type as a constant.
#define VT_FOR_TYPE(function, type, ...)      \
    do {                                      \
        if ((type) == VT_BFLOAT)              \
            function(__VA_ARGS__, VT_BFLOAT); \
        else                                  \
            function(__VA_ARGS__, VT_REAL);   \
    } while (0)

#endif
