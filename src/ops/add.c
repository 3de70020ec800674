// Sums of arrays.
#include "vitrain/ops/ops.h"

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
