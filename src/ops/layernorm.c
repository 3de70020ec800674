// Layer normalisation over the last axis: y = xhat w + b, xhat = (x - mean) rstd,
// rstd = 1 / sqrt(var + eps). Equals torch.nn.functional.layer_norm.
//
// Backward: with g = dy w, both mean and variance depend on every x of the row, which gives
//     dx = rstd (g - mean(g) - xhat mean(g xhat)),   dw += dy xhat,   db += dy.
#include "bf16.h"

#include <math.h>

VT_INLINE void again(void *y, const vt_real *x, const vt_real *w, const vt_real *b,
                     const vt_real *mean, const vt_real *rstd, int M, int C, vt_elem type)
{
    for (int m = 0; m < M; m++) {
        const vt_real *row = x + (size_t)m * (size_t)C, mu = mean[m], r = rstd[m];
        void *out = vt_at(y, type, (size_t)m * (size_t)C);
#pragma omp simd
        for (int c = 0; c < C; c++) vt_put(out, type, (size_t)c, (row[c] - mu) * r * w[c] + b[c]);
    }
}

void vt_layernorm_again(void *y, vt_elem type, const vt_real *x, const vt_real *w, const vt_real *b,
                        const vt_real *mean, const vt_real *rstd, int M, int C)
{
    VT_FOR_TYPE(again, type, y, x, w, b, mean, rstd, M, C);
}

void vt_layernorm_forward(void *y, vt_elem type, vt_real *mean, vt_real *rstd, const vt_real *x,
                          const vt_real *w, const vt_real *b, vt_real eps, int M, int C)
{
    for (int m = 0; m < M; m++) {
        const size_t at = (size_t)m * (size_t)C;
        const vt_real *row = x + at;
        vt_real sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < C; c++) sum += row[c];
        const vt_real mu = sum / (vt_real)C;
#pragma omp simd reduction(+ : squares)
        for (int c = 0; c < C; c++) squares += (row[c] - mu) * (row[c] - mu);
        const vt_real r = 1 / (vt_real)sqrt((double)(squares / (vt_real)C + eps));
        vt_layernorm_again(vt_at(y, type, at), type, row, w, b, &mu, &r, 1, C);
        if (mean) mean[m] = mu;
        if (rstd) rstd[m] = r;
    }
}

void vt_layernorm_backward(vt_real *dx, vt_real *dw, vt_real *db, const vt_real *dy,
                           const vt_real *x, const vt_real *w, const vt_real *mean,
                           const vt_real *rstd, bool accumulate, int M, int C)
{
    for (int m = 0; m < M; m++) {
        const vt_real *row = x + (size_t)m * C, *g = dy + (size_t)m * C;
        vt_real *out = dx + (size_t)m * C, mu = mean[m], r = rstd[m], sum = 0, projection = 0;
#pragma omp simd reduction(+ : sum, projection)
        for (int c = 0; c < C; c++) {
            vt_real gw = g[c] * w[c];
            sum += gw;
            projection += gw * (row[c] - mu) * r;
        }
        sum /= (vt_real)C;
        projection /= (vt_real)C;
#pragma omp simd
        for (int c = 0; c < C; c++) {
            vt_real xhat = (row[c] - mu) * r;
            dw[c] += g[c] * xhat;
            db[c] += g[c];
            vt_real d = r * (g[c] * w[c] - sum - xhat * projection);
            out[c] = accumulate ? out[c] + d : d;
        }
    }
}
