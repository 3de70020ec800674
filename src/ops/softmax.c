// Softmax of rows, with the row's maximum taken out first.
#include "lanes.h"

#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

void vt_softmax_rows(vt_real *x, const vt_real *bias, int M, int n)
{
    for (int m = 0; m < M; m++) {
        vt_real *row = x + (size_t)m * n;
        if (bias) vt_add(row, bias + (size_t)m * n, (size_t)n);
        const vt_real most = vt_row_max(row, (size_t)n);
#pragma omp simd
        for (int i = 0; i < n; i++) row[i] = vt_exp(row[i] - most);
        const vt_real scale = 1 / vt_row_sum(row, (size_t)n);
#pragma omp simd
        for (int i = 0; i < n; i++) row[i] *= scale;
    }
}
