// Sums and multiples of arrays.
#include "bf16.h"

void vt_add(vt_real *y, const vt_real *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void vt_add_scaled(vt_real *y, const vt_real *a, vt_real s, const vt_real *b, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] = a[i] + s * b[i];
}

VT_INLINE void scale(void *y, vt_real s, const vt_real *x, size_t n, vt_elem type)
{
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) vt_put_vec(y, type, i, s * vt_vec_at(x + i));
    for (; i < n; i++) vt_put(y, type, i, s * x[i]);
}

void vt_scale(void *y, vt_elem type, vt_real s, const vt_real *x, size_t n)
{
    VT_FOR_TYPE(scale, type, y, s, x, n);
}
