// Patch embedding; see the header.
#include "embed.h"

vt_status vt_embed_declare(vt_embed *e, vt_params *params, const vt_model_config *c)
{
    const int64_t C = c->embed_dim, P = c->patch_size;
    e->grid = (vt_patch_grid){c->in_chans, c->image_height, c->image_width, c->patch_size};
    e->N = (c->image_height / c->patch_size) * (c->image_width / c->patch_size);
    e->values = c->in_chans * c->patch_size * c->patch_size;
    e->proj = (vt_linear_param){.has_bias = true, .I = e->values, .O = c->embed_dim};
    VT_TRY(vt_params_add(params, &e->proj.w, VT_INIT_CONV, true, 4,
                         (int64_t[]){C, c->in_chans, P, P}, "patch_embed.proj.weight"));
    params->rows[params->count - 1].fan_in = e->values;
    VT_TRY(vt_params_add(params, &e->proj.b, VT_INIT_CONV, false, 1, (int64_t[]){C},
                         "patch_embed.proj.bias"));
    params->rows[params->count - 1].fan_in = e->values;
    return VT_OK;
}

void vt_embed_place(vt_embed *e, vt_arena *arena, vt_elem type, const vt_chunks *chunks)
{
    const int I = e->proj.I, O = e->proj.O;
    e->type = type;
    e->weights = vt_panels_at(vt_arena_take(arena, vt_panels_bytes(type, I, O, false), 1), type, I,
                              O, false);
    e->patches = chunks ? vt_chunk_panels_place(arena, type, chunks, I, false) : NULL;
    e->dy = chunks ? vt_chunk_panels_place(arena, type, chunks, O, true) : NULL;
}

void vt_embed_scratch_place(vt_embed_scratch *s, vt_arena *arena, const vt_embed *e, int images)
{
    const size_t numbers = (size_t)images * (size_t)e->N * (size_t)e->values;
    s->patches = VT_ARENA_TAKE(arena, vt_real, numbers);
    s->rows =
        e->type == VT_BFLOAT ? vt_arena_take(arena, numbers, vt_elem_size(VT_BFLOAT)) : s->patches;
}

int vt_embed_pack_tasks(const vt_embed *e)
{
    return vt_panels_count(&e->weights);
}

void vt_embed_pack(int task, const vt_embed *e, const vt_real *weights)
{
    vt_panels_pack(&e->weights, task, 0, weights + e->proj.w, VT_REAL, e->proj.I, VT_T, e->proj.I);
}

void vt_embed_forward(vt_real *tokens, const vt_real *image, const vt_embed *e,
                      const vt_real *weights, const vt_embed_scratch *s)
{
    vt_patch_rows(s->patches, image, &e->grid);
    if (e->type == VT_BFLOAT)
        vt_scale(s->rows, VT_BFLOAT, 1, s->patches, (size_t)e->N * (size_t)e->values);
    const vt_left left = vt_left_rows(s->rows, e->type, e->values);
    vt_product((vt_rows){tokens, VT_REAL, e->proj.O}, &left, &e->weights, weights + e->proj.b,
               VT_SET, e->N);
}

void vt_embed_backward(const vt_real *dtokens, const vt_embed *e, const vt_embed_scratch *s,
                       const vt_chunk *chunk)
{
    const size_t pixels = (size_t)e->N * (size_t)e->values;
    const int rows = chunk->count * e->N;
    for (int i = 0; i < chunk->count; i++)
        vt_patch_rows(s->patches + (size_t)i * pixels,
                      chunk->pass->images + (size_t)(chunk->first + i) * pixels, &e->grid);
    const vt_panels x = vt_chunk_panels(e->patches, e->type, chunk->chunks, chunk->index, rows,
                                        e->proj.I, false),
                    dy = vt_chunk_panels(e->dy, e->type, chunk->chunks, chunk->index, rows,
                                         e->proj.O, true);
    vt_panels_pack_all(&x, 0, s->patches, VT_REAL, e->proj.I, VT_N, rows);
    vt_panels_pack_all(&dy, 0, dtokens, VT_REAL, e->proj.O, VT_N, rows);
}

void vt_embed_gradient(vt_real *grads, const vt_embed *e, const vt_chunks *chunks, int part,
                       int parts)
{
    vt_linear_gradient(grads + e->proj.w, grads + e->proj.b, e->dy, e->patches, e->type, e->proj.I,
                       e->proj.O, part, parts, chunks, e->N);
}
