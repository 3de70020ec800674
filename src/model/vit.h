// Inside of ViT (vit.c, vit_passes.c).
#ifndef VITRAIN_VIT_H
#define VITRAIN_VIT_H

#include "embed.h"

#include "vitrain/base/threads.h"

enum { VT_VIT_HEADS = 2 };

// A thread's memory.
typedef struct vt_vit_thread {
    vt_block_scratch block;
    vt_embed_scratch embed;
} vt_vit_thread;

typedef struct vt_vit {
    vt_block_shape shape;
    vt_embed embed;
    int N, prefix, heads; // patches, tokens before them, heads
    int unplaced;         // the first tokens, that have no position embedding
    // offsets
    size_t cls_token, dist_token, pos_embed, norm_w, norm_b;
    vt_linear_param head[VT_VIT_HEADS];
    vt_block_param *blocks; // (depth)
    // placed
    vt_placement placement;
    int threads;
    vt_chunks planned;
    vt_block_packed packed;
    vt_block_saved *saved;                   // (depth); training only
    vt_block_inputs again;                   // of the block at hand
    vt_vit_thread *thread;                   // (threads)
    vt_turns *turns;                         // (threads) at the chunks
    vt_real *x;                              // (B,T,C) between blocks where they are not kept
    vt_real *last;                           // (B,T,C) or (B,prefix,C): output of the last block
    vt_real *pooled, *pool_mean, *pool_rstd; // (heads,B,C), (heads,B), (heads,B)
    vt_real *feature, *dfeature;             // (heads,B,C) after the norm
    vt_real *dx;                             // (B,T,C)
    vt_real *dlast;                          // (B,prefix,C) where the last block has few rows
    vt_real *dpooled;                        // (heads,B,C)
    vt_block_grads grads;
    vt_block_factors factors;
} vt_vit;

// How many tokens of an image a block computes: all, or of the last one those that the head reads.
int vt_vit_rows(const vt_model *model, const vt_pass *pass, int layer);
vt_chunks vt_vit_chunks(const vt_vit *v, int B);

void vt_vit_forward(vt_model *model, const vt_real *weights, const vt_pass *pass);
void vt_vit_backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                     const vt_real *dlogits, const vt_real *dlogits_dist);

#endif
