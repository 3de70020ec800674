// Inside of the block (block.c): which rows a chunk has, which unit and image each is of, and what
// is done to them by unit: dropout, stochastic depth and residuals, padding of windows.
#ifndef VITRAIN_BLOCK_ROWS_H
#define VITRAIN_BLOCK_ROWS_H

#include "block.h"

// Dropout's sites in a block; site 0 of the model is the one after the position embedding.
enum { VT_SITE_ATTN, VT_SITE_PROJ, VT_SITE_ACT, VT_SITE_FC2, VT_SITES };
vt_dropout vt_chunk_dropout(const vt_chunk *chunk, double p, int unit, int site);

// Which image a unit is, or is a window of.
int vt_chunk_image(const vt_chunk *chunk, int unit);
bool vt_chunk_padded(const vt_chunk *chunk); // some rows of windows are no tokens
// The chunk's rows before one of its units, where a whole unit has `each`; of padding none.
int vt_chunk_rows_before(const vt_chunk *chunk, int unit, int each);
// Tokens that enter the block, rows that leave it.
int vt_chunk_tokens(const vt_chunk *chunk, const vt_block_shape *shape);
int vt_chunk_rows(const vt_chunk *chunk);

// Some of a chunk's rows, `row` .. `row + rows - 1`.
typedef struct vt_span {
    int row, rows;
} vt_span;

// How many spans the MLP takes a chunk in, and one of them.
int vt_mlp_spans(const vt_chunk *chunk, vt_elem type);
vt_span vt_mlp_span(const vt_chunk *chunk, vt_elem type, int i);

// Dropout of a span's rows, `width` numbers each, in place. x: the span's first row.
void vt_span_drop(void *x, vt_elem type, const vt_chunk *chunk, const vt_span *span, double p,
                  int site, int width);
// out = in + scale_of_image branch, for a span's rows of out and branch; in has tokens_in rows a
// unit and begins with the chunk's first. which: branch 0 is attention, 1 the MLP.
void vt_span_residual(vt_real *out, const vt_real *in, int tokens_in, const vt_real *branch,
                      const vt_chunk *chunk, const vt_span *span, int which, int C);
// LayerScale of a span's rows: (C) factors, (C) their gradient, accumulated, and (rows,C) what the
// forward pass multiplied.
typedef struct vt_span_scale {
    const vt_real *gamma;
    vt_real *dgamma;
    const vt_real *kept;
} vt_span_scale;
// dbranch = scale_of_image gamma dx, for a span's rows. scale NULL: there is no gamma.
void vt_span_residual_backward(void *dbranch, vt_elem type, const vt_real *dx,
                               const vt_span_scale *scale, const vt_chunk *chunk,
                               const vt_span *span, int which, int C);

// The rows that ask, packed together: all of them, or the first R of each unit's T.
const void *vt_chunk_asking(void *to, const void *rows, const vt_block_shape *shape,
                            const vt_chunk *chunk);
// A chunk's tokens, padding left out, from the map's order to that of windows: rows: (.,C) of the
// chunk; tokens: (B,map,C) of the batch. back: the other way.
void vt_chunk_move(vt_real *rows, vt_real *tokens, const vt_block_shape *shape,
                   const vt_chunk *chunk, bool back);
// A padded chunk's tokens put where windows have them, and zeros for padding.
void vt_chunk_spread(void *to, const void *from, const vt_block_shape *shape,
                     const vt_chunk *chunk);
// The way back, in place.
void vt_chunk_collect(vt_real *x, const vt_block_shape *shape, const vt_chunk *chunk);

#endif
