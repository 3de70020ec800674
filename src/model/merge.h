// Patch merging (Swin Transformer, Liu et al., arXiv 2103.14030, section 3.1; timm's PatchMerging):
// four neighbours' channels side by side, norm, a linear layer without bias from 4C to 2C. A map of
// odd sides has zeros below or to the right. timm's order of the four: column by column, (0,0)
// (1,0) (0,1) (1,1).
#ifndef VITRAIN_MERGE_H
#define VITRAIN_MERGE_H

#include "block.h"

typedef struct vt_merge {
    int from, to, C;   // tokens of an image before and after, channels before
    int32_t *children; // (to,4) tokens before, -1: padding
    size_t norm_w, norm_b;
    vt_linear_param reduction;
    vt_real eps;
    // placed
    vt_elem type;
    vt_chunks planned; // of the batch's tokens after
    vt_panels forward, backward;
    vt_real *mean, *rstd; // (B,to)
    char *normed, *dy;    // panels of each chunk, for the weight gradient
    vt_real *norms;       // (chunks,2,4C) sums over a chunk, for norm's weight and bias
} vt_merge;

// A thread's memory for a chunk.
typedef struct vt_merge_scratch {
    vt_real *gathered, *dnormed; // (rows,4C)
    void *normed;                // (rows,4C) of the stored type
    void *dy;                    // (rows,2C) likewise, where that is bf16
} vt_merge_scratch;

// Of a map of h x w tokens of C channels. VT_ERR_MEMORY.
vt_status vt_merge_init(vt_merge *merge, int h, int w, int C, vt_real eps);
void vt_merge_deinit(vt_merge *merge); // takes a zeroed one
// prefix: "layers.1.downsample".
vt_status vt_merge_declare(vt_merge *merge, vt_params *params, const char *prefix);

void vt_merge_place(vt_merge *merge, vt_arena *arena, vt_elem type, int max_batch, int threads,
                    bool training);
void vt_merge_scratch_place(vt_merge_scratch *scratch, vt_arena *arena, const vt_merge *merge,
                            bool training);
vt_chunks vt_merge_chunks(const vt_merge *merge, int B, int threads);

// Packing the weights, in tasks: the forward ones first.
int vt_merge_pack_tasks(const vt_merge *merge, bool backward);
void vt_merge_pack(int task, const vt_merge *merge, const vt_real *weights);

// A chunk of tokens. y: (B,to,2C) out; x: (B,from,C); both the whole batch's.
void vt_merge_forward(vt_real *y, const vt_real *x, const vt_merge *merge, const vt_real *weights,
                      const vt_merge_scratch *scratch, const vt_chunk *chunk);
// dx: (B,from,C) out at the chunk's children; dy: (B,to,2C).
void vt_merge_backward(vt_real *dx, const vt_real *dy, const vt_real *x, const vt_merge *merge,
                       const vt_real *weights, const vt_merge_scratch *scratch,
                       const vt_chunk *chunk);
// Part `part` of `parts` of the gradients, once all chunks are done.
void vt_merge_gradient(vt_real *grads, const vt_merge *merge, const vt_chunks *chunks, int part,
                       int parts);

#endif
