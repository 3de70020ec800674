// The operations, as forward/backward pairs on raw pointers; none has state, none allocates.
//
// Letters, in the whole project: B batch, T tokens, C channels, H heads, D head width (C = H D),
// F hidden width of the MLP, K classes, N patches, W window side, M rows (images x tokens),
// I/O input/output width. The gradient of `x` is `dx`. Argument order: outputs, inputs, parameters,
// saved values, sizes. "out" is overwritten, "+=" is accumulated into. Arrays are dense and
// row-major and may not overlap unless said.
//
// An op runs on the thread that calls it. The models call them from one parallel region: each thread
// carries a few images through a whole block in its own cache, then the weight gradients are
// computed over the whole batch with their output rows split over the threads.
#ifndef VITRAIN_OPS_OPS_H
#define VITRAIN_OPS_OPS_H

#include "vitrain/base/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- matrix products (gemm.c, the only caller of BLAS) ----

typedef enum vt_trans { VT_N, VT_T } vt_trans;

// C = alpha op(A) op(B) + beta C. op(A): (m,k), op(B): (k,n), C: (m,n), each with its leading
// dimension; with beta 0 C need not be initialised.
void vt_gemm(vt_real *c, int ldc, const vt_real *a, int lda, vt_trans ta, const vt_real *b, int ldb,
             vt_trans tb, vt_real alpha, vt_real beta, int m, int n, int k);

// Makes the BLAS library single-threaded inside our parallel regions, whichever build of it is
// loaded. Once, before the first product.
void vt_gemm_setup(void);
const char *vt_gemm_describe(void); // library, version, kernel, threading; for people

// ---- linear (linear.c): torch.nn.functional.linear ----

// y = x Wt + b.  y: (M,O) out; x: (M,I); w: (O,I); b: (O) or NULL.
void vt_linear_forward(vt_real *y, const vt_real *x, const vt_real *w, const vt_real *b, int M,
                       int I, int O);
// dx = dy W.  dx: (M,I) out; dy: (M,O).
void vt_linear_backward_input(vt_real *dx, const vt_real *dy, const vt_real *w, int M, int I,
                              int O);
// Rows first .. first+count-1 of dW += dyt x and db += column sums of dy, so that threads can share a
// layer by rows.  dw: (O,I) +=; db: (O) += or NULL; dy: (M,O); x: (M,I).
void vt_linear_backward_weight(vt_real *dw, vt_real *db, const vt_real *dy, const vt_real *x,
                               int first, int count, int M, int I, int O);

// ---- layer normalisation (layernorm.c): torch.nn.functional.layer_norm over the last axis ----

// y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps), var without Bessel's correction.
// y: (M,C) out; mean, rstd: (M) out, or NULL; x: (M,C); w, b: (C).
void vt_layernorm_forward(vt_real *y, vt_real *mean, vt_real *rstd, const vt_real *x,
                          const vt_real *w, const vt_real *b, vt_real eps, int M, int C);
// y again from saved mean and rstd: the same bits as the forward pass.
void vt_layernorm_again(vt_real *y, const vt_real *x, const vt_real *w, const vt_real *b,
                        const vt_real *mean, const vt_real *rstd, int M, int C);
// dx: (M,C) out, or += when `accumulate`; dw, db: (C) +=; dy, x: (M,C).
void vt_layernorm_backward(vt_real *dx, vt_real *dw, vt_real *db, const vt_real *dy,
                           const vt_real *x, const vt_real *w, const vt_real *mean,
                           const vt_real *rstd, bool accumulate, int M, int C);

// ---- GELU (gelu.c): torch.nn.functional.gelu, the exact (erf) one ----

// y = x Phi(x).  y: (n) out, may alias x.
void vt_gelu_forward(vt_real *y, const vt_real *x, size_t n);
// dx = dy (Phi(x) + x phi(x)).  dx: (n) out, may alias dy.
void vt_gelu_backward(vt_real *dx, const vt_real *dy, const vt_real *x, size_t n);

// ---- dropout and stochastic depth (dropout.c) ----

// Elements are kept with probability 1 - p and scaled by 1 / (1 - p); the mask is a function of the
// key and the element's index alone, so the backward pass is the same call on the gradient.
typedef struct vt_dropout {
    double p; // 0: nothing happens
    uint64_t seed;
    uint32_t stream; // VT_STREAM_DROPOUT + site
    uint32_t step;   // micro-step of the run
    uint32_t sample; // index in the batch
} vt_dropout;

// y: (n) out, may alias x. offset: index of x[0] in the sample's mask.
void vt_dropout_apply(vt_real *y, const vt_real *x, const vt_dropout *drop, size_t offset,
                      size_t n);

// Stochastic depth (timm's DropPath, one draw per sample and branch): 0 or 1 / (1 - p).
vt_real vt_drop_path_scale(double p, uint64_t seed, uint32_t step, uint32_t sample,
                           uint32_t branch);

// ---- softmax and attention (softmax.c, attention.c) ----

// Each row of x: (M,n) becomes softmax(x + bias).  In place; bias: (M,n) or NULL (may hold -inf).
void vt_softmax_rows(vt_real *x, const vt_real *bias, int M, int n);

// Multi-head attention of one image (or window): y_h = softmax(q_h k_ht / sqrt(D) + bias_h + mask) v_h.
typedef struct vt_attention {
    int T, H, D;
    const vt_real *bias;    // (H,T,T) added to the scores, or NULL
    const vt_real *mask;    // (T,T) added to the scores of every head, or NULL
    const vt_dropout *drop; // on the maps, or NULL
} vt_attention;

// y: (T, H D) out; maps: (H,T,T) out, the softmax before dropout; qkv: (T, 3 H D), a token's q of all
// heads, then k, then v (timm's layout); scratch: (T,T), may be NULL without dropout.
void vt_attention_forward(vt_real *y, vt_real *maps, const vt_real *qkv, vt_real *scratch,
                          const vt_attention *attention);
// dqkv: (T, 3 H D) out; dbias: (H,T,T) += or NULL; dy: (T, H D); scratch: (2,T,T).
void vt_attention_backward(vt_real *dqkv, vt_real *dbias, const vt_real *dy, const vt_real *qkv,
                           const vt_real *maps, vt_real *scratch, const vt_attention *attention);
// mean: (T,T) out, the mean over heads of maps: (H,T,T).
void vt_attention_head_mean(vt_real *mean, const vt_real *maps, int T, int H);

// ---- patch embedding (patch.c): torch's conv2d with kernel = stride = P, as a product ----

typedef struct vt_patch_grid {
    int channels, height, width, patch; // px; patch divides height and width
} vt_patch_grid;

// rows: (N, channels P P) out, patches in row-major order, each as conv2d's weight is laid out;
// image: (channels, height, width).
void vt_patch_rows(vt_real *rows, const vt_real *image, const vt_patch_grid *grid);

// ---- loss (cross_entropy.c) ----

// loss[i] = - sum_k target[i,k] log softmax(logits[i])[k]; dlogits = scale (softmax(logits) sum_k
// target - target).  loss: (B) out; dlogits: (B,K) out, may alias logits, or NULL; target: (B,K).
void vt_cross_entropy(vt_real *loss, vt_real *dlogits, const vt_real *logits, const vt_real *target,
                      vt_real scale, int B, int K);

// ---- small helpers ----

void vt_add(vt_real *y, const vt_real *x, size_t n); // y += x
// y = a + s b; y may alias a or b.
void vt_add_scaled(vt_real *y, const vt_real *a, vt_real s, const vt_real *b, size_t n);

#endif
