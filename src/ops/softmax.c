// Softmax of rows, with the row's maximum taken out first.
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

void vt_softmax_rows(vt_real *x, const vt_real *bias, int M, int n)
{
    for (int m = 0; m < M; m++) {
        vt_real *row = x + (size_t)m * n;
        if (bias) vt_add(row, bias + (size_t)m * n, (size_t)n);
        vt_real most = row[0], sum = 0;
#pragma omp simd reduction(max : most)
        for (int i = 0; i < n; i++) most = row[i] > most ? row[i] : most;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; i++) {
            row[i] = vt_exp(row[i] - most);
            sum += row[i];
        }
        vt_real scale = 1 / sum;
#pragma omp simd
        for (int i = 0; i < n; i++) row[i] *= scale;
    }
}
