// The operations, as forward/backward pairs on raw pointers; none has state, none allocates.
//
// Letters, in the whole project: B batch, T tokens, C channels, H heads, D head width (C = H D),
// F hidden width of the MLP, K classes, N patches, W window side, M rows (images x tokens),
// I/O input/output width. The gradient of `x` is `dx`. Argument order: outputs, inputs, parameters,
// saved values, sizes. "out" is overwritten, "+=" is accumulated into. Arrays are dense and
// row-major and may not overlap unless said.
//
// An op runs on the thread that calls it. The models call them from one parallel region: each
// thread carries a few images through a whole block in its own cache, then the weight gradients are
// computed over the whole batch with their output rows split over the threads.
#ifndef VITRAIN_OPS_OPS_H
#define VITRAIN_OPS_OPS_H

#include "vitrain/base/narrow.h"
#include "vitrain/base/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- stored numbers ----

// Activations are stored as vt_real, or as bf16 (the upper half of a float) where a model computes
// in bf16: then pointers to them are void * and come with their type. All arithmetic and every sum
// is vt_real. There is no bf16 in the double build.
typedef enum vt_elem { VT_REAL, VT_BFLOAT } vt_elem;

static inline size_t vt_elem_size(vt_elem type)
{
    return type == VT_BFLOAT ? sizeof(vt_bf16) : sizeof(vt_real);
}

// The address of element i.
static inline void *vt_at(const void *x, vt_elem type, size_t i)
{
    return (char *)x + i * vt_elem_size(type);
}

typedef enum vt_trans { VT_N, VT_T } vt_trans;

// ---- large products (panels.c, product.c, tile.c) ----
//
// The blocks' products have one operand that is used for many rows (weights, the keys of a head),
// which is packed once, and one that is read as it lies. Packed operands are panels: a few columns
// side by side, k after k, (panels, steps, width); a step is one row of vt_real, or two rows of
// bf16 interleaved. Columns and rows beyond the end are zeros, the last right panel has no more of
// them than make a vector. (Those of bf16 lie otherwise where there is AMX: src/ops/amx_tile.h.)

typedef struct vt_panels {
    void *data; // vt_panels_bytes, VT_ARENA_ALIGN
    vt_elem type;
    int k, n;
    int width; // columns of a panel
    // The rows may be in several parts of k each, which follow each other this many bytes apart.
    int parts;
    size_t part_bytes;
    bool far;         // read long after it is packed: written past the caches
    const void *next; // data of like panels that are multiplied by after these, or NULL
} vt_panels;

// left: to be the left operand (its rows are the panels' columns), else the right one.
int vt_panel_width(vt_elem type, bool left);
// Steps of a panel of k rows.
size_t vt_panels_steps(vt_elem type, int k);
size_t vt_panels_bytes(vt_elem type, int k, int n, bool left);
vt_panels vt_panels_at(void *data, vt_elem type, int k, int n, bool left); // in one part
int vt_panels_count(const vt_panels *panels);
// Packs rows at .. at+k-1 of one panel from b, numbers of type `from`, rows ld apart: (k,n), or
// (n,k) if `trans`. at: even for bf16; k too, but for the last rows.
void vt_panels_pack(const vt_panels *to, int panel, int at, const void *b, vt_elem from, int ld,
                    vt_trans trans, int k);
// The same for every panel.
void vt_panels_pack_all(const vt_panels *to, int at, const void *b, vt_elem from, int ld,
                        vt_trans trans, int k);
// sums[first .. first+count-1] += the sums of those columns. first: a multiple of the width.
void vt_panels_column_sums(vt_real *sums, const vt_panels *panels, int first, int count);

// A left operand: rows or columns of memory, or panels. Made by one of:
typedef struct vt_left {
    const void *data;
    size_t ld;        // steps from one row (column) to the next
    size_t row_bytes; // from one row of the product to the next
    vt_elem type;
    bool by_column;
    int parts; // as of panels
    size_t part_bytes;
} vt_left;
vt_left vt_left_rows(const void *x, vt_elem type, int ld); // (m,k); ld even for bf16; where k is
                                                           // odd one number more is read (finite)
vt_left vt_left_columns(const vt_real *x, int ld);         // (k,m): its transpose is meant
vt_left vt_left_panels(const vt_panels *x, int first);     // columns first ..; packed as `left`

// Rows of memory to be written.
typedef struct vt_rows {
    void *data;
    vt_elem type;
    int ld;
} vt_rows;

typedef enum vt_into {
    VT_SET,
    VT_ADD,        // y += ; no bias
    VT_SET_PADDED, // rows of y have room for n rounded up to 16, which gets zeros or stays
} vt_into;

// y = x b + bias.  y: (m,n); x: (m,k); b: panels of (k,n), of x's type; bias: (n) or NULL. Both in
// as many parts: those of panels. (x is passed by address, for a copy on the stack is slow to read
// back: src/ops/product.c.)
void vt_product(vt_rows y, const vt_left *x, const vt_panels *b, const vt_real *bias, vt_into into,
                int m);

// Where part `part` of `parts` of n begins; all but n itself are multiples of `multiple`.
int vt_share(int n, int multiple, int part, int parts);

// Why bf16 is not to be had at speed in this build, or NULL if it is. (The operations work all the
// same, on any processor: that is what the tests use. `make CFLAGS=-DVT_BF16_IN_C` trains with
// them, slowly: to see what bf16 does to a run.)
const char *vt_bf16_missing(void);
// Whether products in bf16 are faster than in fp32: by AMX, and on AMD's processors. AVX512-BF16 on
// Intel's has half the rate of fp32 (Emerald Rapids: 170 GFLOP/s on two cores, fp32 342).
bool vt_bf16_pays(void);
const char *vt_product_describe(void); // "AVX-512 tiles": what this build uses; for people

// ---- small products (gemm.c, the only caller of BLAS) ----

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
// Rows first .. first+count-1 of dW += dyt x and db += column sums of dy, so that threads can share
// a layer by rows.  dw: (O,I) +=; db: (O) += or NULL; dy: (M,O); x: (M,I), rows ldx apart.
void vt_linear_backward_weight(vt_real *dw, vt_real *db, const vt_real *dy, const vt_real *x,
                               int ldx, int first, int count, int M, int I, int O);

// ---- a linear layer's heads, for few rows (heads.c) ----
//
// Every head h has D rows of w: (H D, C) to itself, w_h. `kept` is x as vt_real, for the gradient:
// vt_linear_backward_weight of those rows.

// y_h = x_h w_h.  y: (M,H,C) out; kept: (M,H,D) out; x: (M,H,D).
void vt_heads_widen(void *y, vt_real *kept, const void *x, vt_elem type, const vt_real *w, int M,
                    int H, int D, int C);
// y_h = x_h w_ht + b_h.  y: (M,H,D) out; kept: (M,H,C) out; x: (M,H,C); b: (H D) or NULL.
void vt_heads_narrow(void *y, vt_real *kept, const void *x, vt_elem type, const vt_real *w,
                     const vt_real *b, int M, int H, int D, int C);

// ---- layer normalisation (layernorm.c): torch.nn.functional.layer_norm over the last axis ----

// y = (x - mean) rstd w + b, rstd = 1 / sqrt(var + eps), var without Bessel's correction.
// y: (M,C) out, of `type`; mean, rstd: (M) out, or NULL; x: (M,C); w, b: (C).
void vt_layernorm_forward(void *y, vt_elem type, vt_real *mean, vt_real *rstd, const vt_real *x,
                          const vt_real *w, const vt_real *b, vt_real eps, int M, int C);
// y again from saved mean and rstd: the same bits as the forward pass.
void vt_layernorm_again(void *y, vt_elem type, const vt_real *x, const vt_real *w, const vt_real *b,
                        const vt_real *mean, const vt_real *rstd, int M, int C);
// dx: (M,C) out, may be dy, or += when `accumulate`; dw, db: (C) +=; dy, x: (M,C).
void vt_layernorm_backward(vt_real *dx, vt_real *dw, vt_real *db, const vt_real *dy,
                           const vt_real *x, const vt_real *w, const vt_real *mean,
                           const vt_real *rstd, bool accumulate, int M, int C);

// ---- GELU (gelu.c): torch.nn.functional.gelu, the exact (erf) one ----

// y = x Phi(x).  y: (n) out, may alias x.
void vt_gelu_forward(void *y, const void *x, vt_elem type, size_t n);
// dx = dy (Phi(x) + x phi(x)), and y = x Phi(x) again: nearly for nothing.
// dx: (n) out, may alias dy; y: (n) out, or NULL.
void vt_gelu_backward(void *dx, void *y, const void *dy, const void *x, vt_elem type, size_t n);

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
void vt_dropout_apply(void *y, const void *x, vt_elem type, const vt_dropout *drop, size_t offset,
                      size_t n);

// Stochastic depth (timm's DropPath, one draw per sample and branch): 0 or 1 / (1 - p).
vt_real vt_drop_path_scale(double p, uint64_t seed, uint32_t step, uint32_t sample,
                           uint32_t branch);

// ---- softmax and attention (softmax.c, attention.c) ----

// Each row of x: (M,n) becomes softmax(x + bias).  In place; bias: (M,n) or NULL (may hold -inf).
void vt_softmax_rows(vt_real *x, const vt_real *bias, int M, int n);

// Multi-head attention of one image (or window): y_h = softmax(scale q_h k_ht + bias_h + mask)
// v_h. R rows ask, the first ones of T tokens, say; all T answer.
typedef struct vt_attention {
    int T, R, H, D;
    vt_real scale;          // of q k_ht; timm's is 1 / sqrt(D)
    vt_elem type;           // of q, k, v, y, the maps and, but where k is v, their gradients
    int ldq, ldkv;          // numbers from one token's q (k, v) to the next one's; even for bf16
    const vt_real *bias;    // (H,R,T) added to the scores, or NULL
    const vt_real *mask;    // (R,T) added to the scores of every head, or NULL
    const vt_dropout *drop; // on the maps, or NULL
    // Sees each head's map, softmax before dropout, in the thread that made it; or NULL. map:
    // (R,T), rows vt_map_ld(T) apart.
    void (*on_map)(void *self, int head, const vt_real *map);
    void *self;
} vt_attention;

// Numbers from one row of a map to the next: T and some zeros.
int vt_map_ld(int T);
// Memory that a thread needs for either pass, VT_ARENA_ALIGN.
size_t vt_attention_scratch_bytes(const vt_attention *attention);

// y: (R, H D) out; maps: (H,R,vt_map_ld) out, before dropout, or NULL; q: (R, .), k, v: (T, .), the
// heads side by side.
void vt_attention_forward(void *y, void *maps, const void *q, const void *k, const void *v,
                          void *scratch, const vt_attention *attention);
// dq, dk, dv out, laid out as q, k, v; dbias: (H,R,T) += or NULL; dy: (R, H D); maps as they came
// out. Where k and v are the same memory, dk and dv are too: the sum of both, of vt_real.
void vt_attention_backward(void *dq, void *dk, void *dv, vt_real *dbias, const void *dy,
                           const void *q, const void *k, const void *v, const void *maps,
                           void *scratch, const vt_attention *attention);

// ---- patch embedding (patch.c): torch's conv2d with kernel = stride = P, as a product ----

typedef struct vt_patch_grid {
    int channels, height, width, patch; // px; patch divides height and width
} vt_patch_grid;

// rows: (N, channels P P) out, patches in row-major order, each as conv2d's weight is laid out;
// image: (channels, height, width).
void vt_patch_rows(vt_real *rows, const vt_real *image, const vt_patch_grid *grid);

// ---- losses (cross_entropy.c, binary_cross_entropy.c, kl.c) ----

// loss[i] = - sum_k target[i,k] log softmax(logits[i])[k]; dlogits = scale (softmax(logits) sum_k
// target - target).  loss: (B) out; dlogits: (B,K) out, may alias logits, or NULL; target: (B,K).
void vt_cross_entropy(vt_real *loss, vt_real *dlogits, const vt_real *logits, const vt_real *target,
                      vt_real scale, int B, int K);

// loss[i] = mean over k of log(1 + exp(logits[i,k])) - target[i,k] logits[i,k]; dlogits = scale / K
// (logistic(logits) - target).  Arguments as above.
void vt_binary_cross_entropy(vt_real *loss, vt_real *dlogits, const vt_real *logits,
                             const vt_real *target, vt_real scale, int B, int K);

// loss[i] = sum over k of p (log p - log q), p = softmax(teacher[i] / tau), q =
// softmax(logits[i] / tau); dlogits = scale / tau (q - p).  teacher: (B,K) logits; the rest as
// above, dlogits may be logits.
void vt_kl_divergence(vt_real *loss, vt_real *dlogits, const vt_real *logits,
                      const vt_real *teacher, vt_real tau, vt_real scale, int B, int K);

// ---- a factor for each channel (channel_scale.c) ----

// x: (M,C) in place, times gamma: (C). kept: (M,C) out, x as it was, or NULL.
void vt_channel_scale_forward(vt_real *x, vt_real *kept, const vt_real *gamma, int M, int C);
// dx = gamma s dy, dgamma += sum over rows of s dy x.  dx: (M,C) out, of `type`, may be dy; dgamma:
// (C) accumulated; dy: (M,C), s: what it is multiplied by; x: (M,C), as kept.
void vt_channel_scale_backward(void *dx, vt_elem type, vt_real *dgamma, vt_real s,
                               const vt_real *dy, const vt_real *x, const vt_real *gamma, int M,
                               int C);

// ---- small helpers ----

void vt_add(vt_real *y, const vt_real *x, size_t n); // y += x
// y = a + s b; y may alias a or b.
void vt_add_scaled(vt_real *y, const vt_real *a, vt_real s, const vt_real *b, size_t n);
// y = s x.  y: (n) out, of `type`.
void vt_scale(void *y, vt_elem type, vt_real s, const vt_real *x, size_t n);

#endif
