// A pre-norm transformer block (timm's Block): x += droppath(proj(attention(norm1 x))),
// x += droppath(fc2(gelu(fc1(norm2 x)))). The unit of work is a chunk: a few images that one thread
// carries through the block.
#ifndef MODEL_BLOCK_H
#define MODEL_BLOCK_H

#include "vitrain/base/arena.h"
#include "vitrain/model/model.h"
#include "vitrain/ops/ops.h"

// A linear layer's place in a slab.
typedef struct vt_linear_param {
    size_t w, b; // offsets; b is used only if has_bias
    bool has_bias;
    int I, O;
} vt_linear_param;

typedef struct vt_block_param {
    size_t norm1_w, norm1_b, norm2_w, norm2_b;
    vt_linear_param qkv, proj, fc1, fc2;
} vt_block_param;

typedef struct vt_block_shape {
    int T, C, H, F;
    vt_real norm_eps;
    double drop, attn_drop;
} vt_block_shape;

// What the backward pass needs of the forward pass. For training each block has its own, for all images
// of the batch; for inference all blocks share one, for the images of a chunk, per thread.
typedef struct vt_block_saved {
    vt_real *x;             // (B,T,C) input of the block
    vt_real *mean1, *rstd1; // (B,T)
    vt_real *qkv;           // (B,T,3C)
    vt_real *maps;          // (B,H,T,T), or (H,T,T) for inference
    vt_real *y;             // (B,T,C) attention's output, before proj
    vt_real *mid;           // (B,T,C) after the attention branch
    vt_real *mean2, *rstd2; // (B,T)
    vt_real *hidden;        // (B,T,F) before GELU
} vt_block_saved;

// A thread's memory for one chunk.
typedef struct vt_block_scratch {
    vt_real *normed; // (G,T,C)
    vt_real *act;    // (G,T,F) GELU's output
    vt_real *square; // (2,T,T)
} vt_block_scratch;

// What the weight gradients of a block are products of, for the whole batch; shared by all blocks.
typedef struct vt_block_grads {
    vt_real *normed1, *normed2; // (B,T,C) inputs of qkv and fc1, computed again
    vt_real *act;               // (B,T,F) input of fc2, computed again
    vt_real *dqkv;              // (B,T,3C)
    vt_real *dproj, *dfc2;      // (B,T,C) gradients of proj's and fc2's outputs
    vt_real *dhidden;           // (B,T,F) gradient of fc1's output
    vt_real *norms;             // (chunks,4,C) partial sums for norm1's and norm2's weight and bias
} vt_block_grads;

// Where a chunk stands.
typedef struct vt_chunk {
    int first, count; // images
    int layer;
    double drop_path; // of this block
    bool maps_kept;   // saved->maps holds every image of the batch
    const vt_pass *pass;
} vt_chunk;

vt_status vt_block_declare(vt_params *params, vt_block_param *param, const vt_block_shape *shape,
                           bool qkv_bias, int layer);
vt_status vt_linear_declare(vt_params *params, vt_linear_param *param, vt_init init, bool bias,
                            int I, int O, const char *prefix);

void vt_block_saved_place(vt_block_saved *saved, vt_arena *arena, const vt_block_shape *shape,
                          int images, int maps);
void vt_block_scratch_place(vt_block_scratch *scratch, vt_arena *arena, const vt_block_shape *shape,
                            int images);
void vt_block_grads_place(vt_block_grads *grads, vt_arena *arena, const vt_block_shape *shape,
                          int images, int chunks);

// out: (count,T,C), the next block's input for the chunk's images; saved: at the chunk's first image.
// saved->x must hold the input.
void vt_block_forward(vt_real *out, const vt_block_saved *saved, const vt_block_param *param,
                      const vt_block_shape *shape, const vt_real *weights,
                      const vt_block_scratch *scratch, const vt_chunk *chunk);

// dx: (count,T,C), the gradient of the block's output on entry and of its input on return. Everything
// is at the chunk's first image.
void vt_block_backward(vt_real *dx, const vt_block_saved *saved, const vt_block_param *param,
                       const vt_block_shape *shape, const vt_real *weights,
                       const vt_block_grads *grads, const vt_block_scratch *scratch,
                       const vt_chunk *chunk);

// The block's weight gradients are independent tasks, 0 .. vt_block_tasks() - 1, in any order and on any
// thread. M: rows of the batch (images x T).
int vt_block_tasks(int threads);
void vt_block_task(int task, int threads, vt_real *slab, const vt_block_saved *saved,
                   const vt_block_param *param, const vt_block_shape *shape,
                   const vt_block_grads *grads, int M, int chunks);

// Slice `slice` of `slices` of a linear layer's weight gradient, by output rows.
void vt_linear_weight_slice(vt_real *slab, const vt_linear_param *l, const vt_real *dy,
                            const vt_real *x, int slice, int slices, int M);

// Views of what is placed for the whole batch from image `first` on; `chunk` is that chunk's index.
vt_block_saved vt_block_saved_at(const vt_block_saved *saved, const vt_block_shape *shape,
                                 int first);
vt_block_grads vt_block_grads_at(const vt_block_grads *grads, const vt_block_shape *shape,
                                 int first, int chunk);

#endif
