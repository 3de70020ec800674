// Multi-head attention of one image: S_h = q_h k_ht / sqrt(D) + bias_h + mask, P_h = softmax(S_h),
// y_h = dropout(P_h) v_h. The heads lie side by side in qkv's rows, so the products are strided.
// Equals timm's Attention between its qkv and proj layers.
//
// Backward, a head at a time: with P' = dropout(P),
//     dv = P't dy,   dP = dropout(dy vt),   dS = P (dP - rowsum(dP P)),
//     dq = dS k / sqrt(D),   dk = dSt q / sqrt(D),   dbias += dS.
#include "vitrain/ops/ops.h"

#include <math.h>

static vt_real scale_of(const vt_attention *at)
{
    return (vt_real)(1 / sqrt((double)at->D));
}

void vt_attention_forward(vt_real *y, vt_real *maps, const vt_real *qkv, vt_real *scratch,
                          const vt_attention *at)
{
    const int T = at->T, D = at->D, C = at->H * D;
    const size_t TT = (size_t)T * T;
    for (int h = 0; h < at->H; h++) {
        const vt_real *q = qkv + (size_t)h * D, *k = q + C, *v = k + C;
        vt_real *map = maps + h * TT;
        vt_gemm(map, T, q, 3 * C, VT_N, k, 3 * C, VT_T, scale_of(at), 0, T, T, D);
        if (at->mask) vt_add(map, at->mask, TT);
        vt_softmax_rows(map, at->bias ? at->bias + h * TT : NULL, T, T);
        const vt_real *used = map;
        if (at->drop) {
            vt_dropout_apply(scratch, map, at->drop, h * TT, TT);
            used = scratch;
        }
        vt_gemm(y + (size_t)h * D, C, used, T, VT_N, v, 3 * C, VT_N, 1, 0, T, D, T);
    }
}

// dP -> dS, in place.
static void softmax_backward(vt_real *d, const vt_real *p, int T)
{
    for (int i = 0; i < T; i++) {
        vt_real *row = d + (size_t)i * T, dot = 0;
        const vt_real *prob = p + (size_t)i * T;
#pragma omp simd reduction(+ : dot)
        for (int j = 0; j < T; j++) dot += row[j] * prob[j];
#pragma omp simd
        for (int j = 0; j < T; j++) row[j] = prob[j] * (row[j] - dot);
    }
}

void vt_attention_backward(vt_real *dqkv, vt_real *dbias, const vt_real *dy, const vt_real *qkv,
                           const vt_real *maps, vt_real *scratch, const vt_attention *at)
{
    const int T = at->T, D = at->D, C = at->H * D;
    const size_t TT = (size_t)T * T;
    const vt_real scale = scale_of(at);
    vt_real *ds = scratch, *dropped = scratch + TT;
    for (int h = 0; h < at->H; h++) {
        const vt_real *q = qkv + (size_t)h * D, *k = q + C, *v = k + C, *map = maps + h * TT;
        vt_real *dq = dqkv + (size_t)h * D, *dk = dq + C, *dv = dk + C;
        const vt_real *dyh = dy + (size_t)h * D, *used = map;
        if (at->drop) {
            vt_dropout_apply(dropped, map, at->drop, h * TT, TT);
            used = dropped;
        }
        vt_gemm(dv, 3 * C, used, T, VT_T, dyh, C, VT_N, 1, 0, T, D, T);
        vt_gemm(ds, T, dyh, C, VT_N, v, 3 * C, VT_T, 1, 0, T, T, D);
        if (at->drop) vt_dropout_apply(ds, ds, at->drop, h * TT, TT);
        softmax_backward(ds, map, T);
        if (dbias) vt_add(dbias + h * TT, ds, TT);
        vt_gemm(dq, 3 * C, ds, T, VT_N, k, 3 * C, VT_N, scale, 0, T, D, T);
        vt_gemm(dk, 3 * C, ds, T, VT_T, q, 3 * C, VT_N, scale, 0, T, D, T);
    }
}

void vt_attention_head_mean(vt_real *mean, const vt_real *maps, int T, int H)
{
    const size_t TT = (size_t)T * (size_t)T;
    for (size_t i = 0; i < TT; i++) mean[i] = maps[i];
    for (int h = 1; h < H; h++) vt_add(mean, maps + (size_t)h * TT, TT);
    for (size_t i = 0; i < TT; i++) mean[i] /= (vt_real)H;
}
