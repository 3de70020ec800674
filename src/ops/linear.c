// y = x Wt + b and its gradients: dx = dy W, dW = dyt x, db = column sums of dy.
// Equals torch.nn.functional.linear.
#include "vitrain/ops/ops.h"

void vt_linear_forward(vt_real *y, const vt_real *x, const vt_real *w, const vt_real *b, int M,
                       int I, int O)
{
    // The bias is laid down first and the product added to it: one pass over y less.
    if (b)
        for (int m = 0; m < M; m++)
            for (int o = 0; o < O; o++) y[(size_t)m * O + o] = b[o];
    vt_gemm(y, O, x, I, VT_N, w, I, VT_T, 1, b ? 1 : 0, M, O, I);
}

void vt_linear_backward_input(vt_real *dx, const vt_real *dy, const vt_real *w, int M, int I, int O)
{
    vt_gemm(dx, I, dy, O, VT_N, w, I, VT_N, 1, 0, M, I, O);
}

void vt_linear_backward_weight(vt_real *dw, vt_real *db, const vt_real *dy, const vt_real *x,
                               int ldx, int first, int count, int M, int I, int O)
{
    vt_gemm(dw + (size_t)first * I, I, dy + first, O, VT_T, x, ldx, VT_N, 1, 1, count, I, M);
    if (!db) return;
    for (int m = 0; m < M; m++) {
        const vt_real *row = dy + (size_t)m * O;
        for (int o = first; o < first + count; o++) db[o] += row[o];
    }
}
