// Patch embedding: pixels to tokens, timm's PatchEmbed (conv2d with kernel = stride = P) as a
// product of patches, one a row, with the kernel.
#ifndef VITRAIN_EMBED_H
#define VITRAIN_EMBED_H

#include "block.h"

typedef struct vt_embed {
    vt_patch_grid grid;
    int N, values; // patches of an image, numbers in a patch
    vt_linear_param proj;
    // placed
    vt_elem type;
    vt_panels weights;
    char *patches, *dy; // panels of each chunk of images, for the weight gradient
} vt_embed;

// A thread's memory for a chunk of G images.
typedef struct vt_embed_scratch {
    vt_real *patches; // (G,N,values)
    void *rows;       // the same, of the stored type
} vt_embed_scratch;

vt_status vt_embed_declare(vt_embed *embed, vt_params *params, const vt_model_config *config);
// chunks: of images, N rows each; NULL: no backward pass.
void vt_embed_place(vt_embed *embed, vt_arena *arena, vt_elem type, const vt_chunks *chunks);
void vt_embed_scratch_place(vt_embed_scratch *scratch, vt_arena *arena, const vt_embed *embed,
                            int images);

int vt_embed_pack_tasks(const vt_embed *embed);
void vt_embed_pack(int task, const vt_embed *embed, const vt_real *weights);

// tokens: (N,C) out; image: (channels,height,width).
void vt_embed_forward(vt_real *tokens, const vt_real *image, const vt_embed *embed,
                      const vt_real *weights, const vt_embed_scratch *scratch);

// Leaves what the weight gradient takes of a chunk. dtokens: (count,N,C).
void vt_embed_backward(const vt_real *dtokens, const vt_embed *embed,
                       const vt_embed_scratch *scratch, const vt_chunk *chunk);
// Output rows of part `part` of `parts`, once all chunks are done.
void vt_embed_gradient(vt_real *grads, const vt_embed *embed, const vt_chunks *chunks, int part,
                       int parts);

#endif
