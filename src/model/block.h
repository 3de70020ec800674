// A pre-norm transformer block (timm's Block): x += droppath(proj(attention(norm1 x))),
// x += droppath(fc2(gelu(fc1(norm2 x)))); with LayerScale each branch is multiplied by a learned
// number for each channel, gamma, before droppath. The unit of work is a chunk: a few images that
// one thread carries through the block.
//
// Where only the first R tokens of each image are looked at afterwards (the last block of a model
// whose head reads the class token), only those ask in attention and go through the MLP: everything
// from q on has R rows an image, packed together; R = T elsewhere. Where R < T no token needs a key
// or a value of its own: with norm1's output n, q (W_k n + b_k) = (q W_k) n + a constant, which
// softmax does not see, and sum p (W_v n + b_v) = W_v (sum p n) + b_v. So each head asks n itself,
// with a query that W_k made C wide, and what it hears W_v makes narrow again (DeepSeek-V2 absorbs
// these weights likewise, arXiv 2405.04434, section 2.1.2). b_k has no gradient. Dropout of the
// maps wants all rows, for then p do not sum to 1. (bf16: DeiT-S gains 1%, the 28-px model 3%.)
//
// With windows (Swin), what is said here of images is true of windows: a unit is an image or a
// window of one. A block then has its tokens in the order of windows, and a bias for each offset
// between two tokens is added to the scores. Windows that hang over the map's edge have T rows
// between norm1 and the projection, those of padding being zeros, and everywhere else the rows of
// real tokens only.
#ifndef VITRAIN_MODEL_BLOCK_H
#define VITRAIN_MODEL_BLOCK_H

#include "vitrain/base/arena.h"
#include "vitrain/model/model.h"
#include "vitrain/ops/ops.h"
#include "windows.h"

// A linear layer's place in a slab.
typedef struct vt_linear_param {
    size_t w, b; // offsets; b is used only if has_bias
    bool has_bias;
    int I, O;
} vt_linear_param;

typedef struct vt_block_param {
    size_t norm1_w, norm1_b, norm2_w, norm2_b;
    size_t gamma[2]; // of LayerScale
    size_t table;    // of relative position biases, where there are windows
    vt_linear_param qkv, proj, fc1, fc2;
} vt_block_param;

typedef struct vt_block_shape {
    int T, C, H, F;
    int window_h, window_w; // T = window_h window_w; 0: no windows
    vt_real norm_eps;
    double layer_scale; // what gamma begins with; 0: there are none
    double drop, attn_drop;
    int few;      // R where it is less than T; 0: it never is
    vt_elem type; // of stored activations and of the products' operands
} vt_block_shape;

// The block's products with weights. q and kv are the two parts of timm's qkv layer.
typedef enum vt_block_linear {
    VT_BLOCK_Q,
    VT_BLOCK_KV,
    VT_BLOCK_PROJ,
    VT_BLOCK_FC1,
    VT_BLOCK_FC2,
    VT_BLOCK_LINEARS
} vt_block_linear;

// A block's weights, packed: for y = x Wt and for dx = dy W. One block at a time has its turn.
typedef struct vt_block_packed {
    vt_panels forward[VT_BLOCK_LINEARS], backward[VT_BLOCK_LINEARS];
    vt_real *bias; // (H,T,T) relative position bias; NULL without windows
} vt_block_packed;

// Inputs of the linear layers, as the weight gradients take them: panels of each chunk, one after
// the other. NULL: not wanted.
typedef struct vt_block_inputs {
    char *normed1;       // of q and kv; R < T: the rows that ask, of q
    char *y;             // of proj
    char *normed2, *act; // of fc1 and fc2
} vt_block_inputs;

// What the backward pass needs of the forward pass, for the whole batch or for one chunk.
typedef struct vt_block_saved {
    vt_real *x;             // (B,T,C) input of the block
    vt_real *mean1, *rstd1; // (B,T)
    void *q, *kv;           // (B,R,C), (B,T,2C); R < T: kv is the wide q, (B,R,H,C)
    void *maps;             // (B,H,R,vt_map_ld), R < T: (B,R,H,vt_map_ld); NULL: not kept
    vt_real *mid;           // (B,R,C) after the attention branch
    vt_real *mean2, *rstd2; // (B,R)
    void *hidden;           // (B,R,F) before GELU
    vt_real *branch[2];     // (B,R,C) what LayerScale multiplies; NULL: not kept
    vt_block_inputs inputs;
} vt_block_saved;

// A thread's memory for one chunk of G units. Its fields are used for whatever has that shape.
typedef struct vt_block_scratch {
    void *normed, *asking; // (G,T,C)
    void *act, *dact;      // (G,T,F); act, which lends itself to q's gradient, at least (G,T,C)
    void *dkv;             // as kv
    void *wide;            // (G,R,H,C) where R < T: wide outputs of attention, then their gradient
    vt_real *branch;       // (G,T,C)
    void *attention;       // of vt_attention_*
    vt_real *dbias;        // (H,T,T), with windows
    vt_block_saved chunk;  // where nothing is kept for the backward pass; x is the batch's
} vt_block_scratch;

// Gradients of the linear layers' outputs, as the weight gradients take them: left panels of each
// chunk.
typedef struct vt_block_grads {
    char *dy[VT_BLOCK_LINEARS];
    // (chunks,VT_BLOCK_SUMS,C) sums over a chunk, for norm1's and norm2's weight and bias, then for
    // both gammas
    vt_real *sums;
    vt_real *tables; // (chunks,offsets,H) likewise, for the relative position biases
} vt_block_grads;

enum { VT_SUM_GAMMA = 4, VT_BLOCK_SUMS = 6 };

// Where R < T, dW_k and dW_v are products of these, head by head.
typedef enum vt_block_side { VT_KEYS, VT_VALUES } vt_block_side;
typedef struct vt_block_factors {
    vt_real *narrow[2]; // (B,R,C) q; dy
    vt_real *wide[2];   // (B,R,H,C) gradient of the wide q; attention's wide output
} vt_block_factors;

// How a batch is cut.
typedef struct vt_chunks {
    int B, units, count;       // units of the batch, of a chunk; chunks
    int rows;                  // of the largest chunk that memory was placed for
    const vt_windows *windows; // of each image; NULL: an image is a unit
} vt_chunks;

// Rows before a unit of the batch where a whole unit has `each`, padding not counted.
static inline size_t vt_rows_before(const vt_chunks *chunks, int unit, int each)
{
    const vt_windows *w = chunks->windows;
    if (!w || !w->padded) return (size_t)unit * (size_t)each;
    return (size_t)(unit / w->count) * (size_t)w->starts[w->count] +
           (size_t)w->starts[unit % w->count];
}

// Where a chunk stands.
typedef struct vt_chunk {
    const vt_chunks *chunks;
    int index, first, count; // of the chunk; its units
    int layer, R;
    double drop_path; // of this block
    const vt_pass *pass;
} vt_chunk;

// A block at work on a chunk: what its passes read.
typedef struct vt_block_work {
    const vt_block_param *param;
    const vt_block_shape *shape;
    const vt_block_packed *packed;
    const vt_real *weights;
    const vt_block_saved *saved; // the batch's, or the chunk's: each pass says which
    const vt_block_scratch *scratch;
    const vt_block_factors *factors; // the batch's; NULL: R = T always
    const vt_chunk *chunk;
} vt_block_work;

// Numbers of a unit's kv, or of its wide q where R < T.
static inline size_t vt_block_kv(const vt_block_shape *shape, int R)
{
    const size_t C = (size_t)shape->C;
    return R < shape->T ? (size_t)R * (size_t)shape->H * C : 2 * (size_t)shape->T * C;
}

// ---- tensors (block_weights.c) ----

// prefix: of timm's names, "blocks.0".
vt_status vt_block_declare(vt_params *params, vt_block_param *param, const vt_block_shape *shape,
                           bool qkv_bias, const char *prefix);
vt_status vt_linear_declare(vt_params *params, vt_linear_param *param, vt_init init, bool bias,
                            int I, int O, const char *prefix);

vt_status vt_norm_declare(vt_params *params, size_t *w, size_t *b, int C, const char *prefix);

// One of the products' layers; of qkv the part that is meant.
vt_linear_param vt_block_linear_at(const vt_block_param *param, vt_block_linear which);

// Packing is divided into tasks 0 .. vt_block_pack_tasks() - 1, in any order and on any thread:
// first the forward ones.
int vt_block_pack_tasks(const vt_block_packed *packed, const vt_block_shape *shape, bool backward);
void vt_block_pack(int task, const vt_block_packed *packed, const vt_block_param *param,
                   const vt_block_shape *shape, const vt_real *weights);

// The block's weight gradients are independent tasks likewise, once all chunks are done. factors:
// NULL where R = T.
int vt_block_gradient_tasks(int threads);
void vt_block_gradient(int task, int threads, vt_real *slab, const vt_block_inputs *inputs,
                       const vt_block_grads *grads, const vt_block_factors *factors,
                       const vt_block_param *param, const vt_block_shape *shape,
                       const vt_chunks *chunks, int R);

// Rows `part` of `parts` of dW += dyt x and db += column sums of dy, from the panels of all chunks;
// rows: of a whole unit. dw: (O,I); db: (O) or NULL.
void vt_linear_gradient(vt_real *dw, vt_real *db, const char *dy, const char *x, vt_elem type,
                        int I, int O, int part, int parts, const vt_chunks *chunks, int rows);

// The same for a classifier: from dlogits (B,O) and feature (B,I) as they lie; its output rows
// `part` of `parts`.
void vt_head_gradient(vt_real *slab, const vt_real *dlogits, const vt_real *feature,
                      const vt_linear_param *head, int part, int parts, int B);

// ---- memory (block_memory.c) ----

// How a batch of `units` of T rows each is cut: enough rows in a chunk for the products, but no
// thread without a chunk. For memory: the batch may also be smaller, and so may its chunks; there
// are then as many as threads.
vt_chunks vt_chunks_plan(int units, int T, int threads, const vt_windows *windows);
// A batch that memory was placed for by `planned`.
vt_chunks vt_chunks_within(const vt_chunks *planned, int units, int T, int threads);
// The chunk `index`; R: rows of a unit.
vt_chunk vt_chunk_at(const vt_chunks *chunks, int index, int R, const vt_pass *pass);

// Panels of (k,n) for each chunk.
char *vt_chunk_panels_place(vt_arena *arena, vt_elem type, const vt_chunks *chunks, int n,
                            bool left);
// Those of chunk `index` with k rows.
vt_panels vt_chunk_panels(const char *place, vt_elem type, const vt_chunks *chunks, int index,
                          int k, int n, bool left);

// Room for one block at a time: any that is shaped as `param`.
void vt_block_packed_place(vt_block_packed *packed, vt_arena *arena, const vt_block_param *param,
                           const vt_block_shape *shape, bool backward);
// Room for what `recompute` computes again, one block at a time.
void vt_block_inputs_place(vt_block_inputs *shared, vt_arena *arena, const vt_block_shape *shape,
                           vt_recompute recompute, const vt_chunks *chunks);
// saved: (depth), with what `recompute` keeps for each block; the rest is `shared`.
void vt_block_saved_place(vt_block_saved *saved, int depth, vt_arena *arena,
                          const vt_block_shape *shape, const vt_block_inputs *shared,
                          vt_recompute recompute, const vt_chunks *chunks);
void vt_block_scratch_place(vt_block_scratch *scratch, vt_arena *arena, const vt_block_shape *shape,
                            int units, bool training, vt_recompute recompute);
void vt_block_grads_place(vt_block_grads *grads, vt_arena *arena, const vt_block_param *param,
                          const vt_block_shape *shape, const vt_chunks *chunks);
void vt_block_factors_place(vt_block_factors *factors, vt_arena *arena, const vt_block_shape *shape,
                            int B);

// What one chunk sees of the batch's, which is work->saved.
vt_block_saved vt_block_saved_at(const vt_block_work *work);
// What a chunk's forward pass writes to: its part of the batch's, which is work->saved, or, where
// nothing is kept, the thread's scratch with x, the chunk's input.
vt_block_saved vt_block_saved_for(const vt_block_work *work, vt_real *x, vt_recompute recompute);

// ---- the passes (block.c) ----

// out: (count,R,C), the block's output for the chunk's images; may be saved->x if R = T and nothing
// is kept; NULL if nobody needs it. work->saved: the chunk's; its x holds the input.
void vt_block_forward(vt_real *out, const vt_block_work *work);

// What the backward pass of a chunk finds: kept in the batch's work->saved, or computed again from
// its input there. again: of vt_block_inputs_place.
vt_block_saved vt_block_recall(const vt_block_work *work, const vt_block_inputs *again,
                               vt_recompute recompute);

// dx: (count,T,C) out, the gradient of the block's input; dout: (count,R,C), that of its output, is
// changed; the same memory if R = T. again: the inputs of norms and GELU are computed again, else
// forward has left them. work->saved: the chunk's.
void vt_block_backward(vt_real *dx, vt_real *dout, const vt_block_grads *grads, bool again,
                       const vt_block_work *work);

#endif
