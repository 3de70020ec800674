// Inside of Swin (swin.c, swin_passes.c).
#ifndef VITRAIN_SWIN_H
#define VITRAIN_SWIN_H

#include "embed.h"
#include "merge.h"

typedef struct vt_swin_stage {
    vt_block_shape shape;
    int L, first_layer, depth; // tokens of an image; blocks
    vt_windows windows[2];     // of even blocks, and of odd ones: shifted
    vt_merge merge;            // of the stage before's tokens; not in the first stage
    vt_block_param *blocks;    // (depth)
    // placed
    vt_chunks planned;
    vt_block_packed packed; // the block at hand
    vt_block_saved *saved;  // (depth); training only
    vt_block_inputs again;
    vt_block_grads grads;
    vt_real *tokens, *dtokens; // (B,L,C) in the map's order: after the block done last
} vt_swin_stage;

// A thread's memory.
typedef struct vt_swin_thread {
    vt_block_scratch block[VT_STAGES_MAX];
    vt_real *
        rows[VT_STAGES_MAX]; // (G,T,C) a chunk's tokens in the order of windows, or their gradients
    vt_merge_scratch merge[VT_STAGES_MAX];
    vt_embed_scratch embed;
    vt_real *embedded; // (N,C) before the embedding's norm, or its gradient
    vt_real *last;     // (L,C) of the last stage: normed, or its gradient
} vt_swin_thread;

typedef struct vt_swin {
    vt_embed embed;
    int stages, features; // features: C of the last stage
    vt_swin_stage stage[VT_STAGES_MAX];
    size_t embed_norm_w, embed_norm_b, norm_w, norm_b; // offsets
    vt_linear_param head;
    // placed
    vt_placement placement;
    int threads;
    vt_chunks images;                 // one image a chunk
    vt_swin_thread *thread;           // (threads)
    vt_real *embedded;                // (B,N,C) before the embedding's norm; training only
    vt_real *embed_mean, *embed_rstd; // (B,N)
    vt_real *last_mean, *last_rstd;   // (B,L)
    vt_real *feature, *dfeature;      // (B,features)
    vt_real *embed_norms, *norms;     // (B,2,C), (B,2,features) sums over an image, for the norms
} vt_swin;

void vt_swin_forward(vt_model *model, const vt_real *weights, const vt_pass *pass);
void vt_swin_backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                      const vt_real *dlogits, const vt_real *dlogits_dist);

#endif
