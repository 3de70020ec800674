// Layer normalisation over the last axis: y = xhat w + b, xhat = (x - mean) rstd,
// rstd = 1 / sqrt(var + eps). Equals torch.nn.functional.layer_norm.
//
// Backward: with g = dy w, both mean and variance depend on every x of the row, which gives
//     dx = rstd (g - mean(g) - xhat mean(g xhat)),   dw += dy xhat,   db += dy.
#include "bf16.h"

#include <math.h>

static vt_real sum_of_squares(const vt_real *x, vt_real mean, int n)
{
    vt_vec parts = {0};
    vt_real rest = 0;
    int i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) {
        const vt_vec d = vt_vec_at(x + i) - mean;
        parts += d * d;
    }
    for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
    return vt_lanes_sum(parts) + rest;
}

VT_INLINE void again(void *y, const vt_real *x, const vt_real *w, const vt_real *b,
                     const vt_real *mean, const vt_real *rstd, int M, int C, vt_elem type)
{
    for (int m = 0; m < M; m++) {
        const vt_real *row = x + (size_t)m * (size_t)C, mu = mean[m], r = rstd[m];
        void *out = vt_at(y, type, (size_t)m * (size_t)C);
        size_t c = 0;
        for (; c + VT_LANES <= (size_t)C; c += VT_LANES)
            vt_put_vec(out, type, c,
                       (vt_vec_at(row + c) - mu) * r * vt_vec_at(w + c) + vt_vec_at(b + c));
        for (; c < (size_t)C; c++) vt_put(out, type, c, (row[c] - mu) * r * w[c] + b[c]);
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
        const vt_real mu = vt_row_sum(row, (size_t)C) / (vt_real)C;
        const vt_real variance = sum_of_squares(row, mu, C) / (vt_real)C;
        const vt_real r = 1 / (vt_real)sqrt((double)(variance + eps));
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
        vt_vec sums = {0}, projections = {0};
        int i = 0;
        for (; i + VT_LANES <= C; i += VT_LANES) {
            const vt_vec gw = vt_vec_at(g + i) * vt_vec_at(w + i);
            sums += gw;
            projections += gw * (vt_vec_at(row + i) - mu);
        }
        for (; i < C; i++) {
            sum += g[i] * w[i];
            projection += g[i] * w[i] * (row[i] - mu);
        }
        sum = (sum + vt_lanes_sum(sums)) / (vt_real)C;
        projection = (projection + vt_lanes_sum(projections)) * r / (vt_real)C;
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
