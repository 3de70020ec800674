// Sums and maxima of rows: a vector of partial results, folded once. (What `omp simd reduction`
// makes of it in GCC 12 adds the lanes one by one by way of memory, which takes longer than a row
// of a small model.)
#ifndef OPS_LANES_H
#define OPS_LANES_H

#include "vitrain/base/real.h"
#include "vitrain/base/vector.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum { VT_LANES = VT_VECTOR_BYTES / sizeof(vt_real) };

typedef vt_real vt_vec __attribute__((vector_size(VT_VECTOR_BYTES)));
typedef vt_real vt_vec_loose
    __attribute__((vector_size(VT_VECTOR_BYTES), aligned(sizeof(vt_real))));
typedef uint32_t vt_vec_bits __attribute__((vector_size(VT_VECTOR_BYTES)));

VT_INLINE vt_vec vt_vec_at(const vt_real *x)
{
    return *(const vt_vec_loose *)x;
}

// vt_vec_larger: a > b ? a : b; C has no such choice for vectors. The other two: over the lanes.
#if defined __AVX512F__ && !defined VT_DOUBLE
VT_INLINE vt_vec vt_vec_larger(vt_vec a, vt_vec b)
{
    return (vt_vec)_mm512_max_ps((__m512)a, (__m512)b);
}

VT_INLINE vt_real vt_lanes_sum(vt_vec v)
{
    return _mm512_reduce_add_ps((__m512)v);
}

VT_INLINE vt_real vt_lanes_max(vt_vec v)
{
    return _mm512_reduce_max_ps((__m512)v);
}
#else
VT_INLINE vt_vec vt_vec_larger(vt_vec a, vt_vec b)
{
    const vt_vec_bits larger = (vt_vec_bits)(a > b);
    return (vt_vec)((larger & (vt_vec_bits)a) | (~larger & (vt_vec_bits)b));
}

VT_INLINE vt_real vt_lanes_fold(vt_vec v, bool add)
{
    for (int half = VT_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) {
            const vt_real x = v[i], y = v[i + half];
            v[i] = add ? x + y : x > y ? x : y;
        }
    return v[0];
}

VT_INLINE vt_real vt_lanes_sum(vt_vec v)
{
    return vt_lanes_fold(v, true);
}

VT_INLINE vt_real vt_lanes_max(vt_vec v)
{
    return vt_lanes_fold(v, false);
}
#endif

VT_INLINE vt_real vt_row_sum(const vt_real *x, size_t n)
{
    vt_vec parts = {0};
    vt_real rest = 0;
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) parts += vt_vec_at(x + i);
    for (; i < n; i++) rest += x[i];
    return vt_lanes_sum(parts) + rest;
}

// -inf where there are none.
VT_INLINE vt_real vt_row_max(const vt_real *x, size_t n)
{
    vt_vec most = (vt_real)-INFINITY - (vt_vec){0};
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) most = vt_vec_larger(vt_vec_at(x + i), most);
    vt_real rest = vt_lanes_max(most);
    for (; i < n; i++) rest = x[i] > rest ? x[i] : rest;
    return rest;
}

#endif
