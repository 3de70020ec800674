// A block's memory: what is planned for it through the arena, and what a chunk sees of it.
#include "block.h"

char *vt_chunk_panels_place(vt_arena *arena, vt_elem type, const vt_chunks *chunks, int n,
                            bool left)
{
    return vt_arena_take(arena, (size_t)chunks->count,
                         vt_panels_bytes(type, chunks->rows, n, left));
}

vt_panels vt_chunk_panels(const char *place, vt_elem type, const vt_chunks *chunks, int index,
                          int k, int n, bool left)
{
    const size_t bytes = vt_panels_bytes(type, chunks->rows, n, left);
    return vt_panels_at((char *)place + (size_t)index * bytes, type, k, n, left);
}

void vt_block_packed_place(vt_block_packed *packed, vt_arena *arena, const vt_block_param *p,
                           vt_elem type, bool backward)
{
    for (int i = 0; i < VT_BLOCK_LINEARS; i++) {
        const vt_linear_param l = vt_block_linear_at(p, i);
        const size_t f = vt_panels_bytes(type, l.I, l.O, false),
                     b = backward ? vt_panels_bytes(type, l.O, l.I, false) : 0;
        packed->forward[i] = vt_panels_at(vt_arena_take(arena, f, 1), type, l.I, l.O, false);
        packed->backward[i] = vt_panels_at(vt_arena_take(arena, b, 1), type, l.O, l.I, false);
    }
}

// images x a x b numbers
static vt_real *take(vt_arena *arena, int images, size_t a, int b)
{
    return VT_ARENA_TAKE(arena, vt_real, (size_t)images * a * (size_t)b);
}

static void *take_typed(vt_arena *arena, vt_elem type, int images, size_t a, int b)
{
    return vt_arena_take(arena, (size_t)images * a * (size_t)b, vt_elem_size(type));
}

static void place_kept(vt_block_saved *saved, vt_arena *arena, const vt_block_shape *s, int images,
                       bool maps)
{
    const size_t T = (size_t)s->T;
    saved->mean1 = take(arena, images, T, 1);
    saved->rstd1 = take(arena, images, T, 1);
    saved->q = take_typed(arena, s->type, images, T, s->C);
    saved->kv = take_typed(arena, s->type, images, T, 2 * s->C);
    saved->maps = maps ? take_typed(arena, s->type, images * s->H, T, vt_map_ld(s->T)) : NULL;
    saved->mid = take(arena, images, T, s->C);
    saved->mean2 = take(arena, images, T, 1);
    saved->rstd2 = take(arena, images, T, 1);
    saved->hidden = take_typed(arena, s->type, images, T, s->F);
}

void vt_block_saved_place(vt_block_saved *saved, int depth, vt_arena *arena,
                          const vt_block_shape *s, vt_recompute recompute, const vt_chunks *chunks)
{
    const vt_elem type = s->type;
    for (int l = 0; l < depth; l++) {
        vt_block_inputs *inputs = &saved[l].inputs, *shared = &saved[0].inputs;
        saved[l].x = take(arena, chunks->B, (size_t)s->T, s->C);
        if (recompute != VT_RECOMPUTE_BLOCK) place_kept(&saved[l], arena, s, chunks->B, true);
        if (l == 0 || recompute == VT_RECOMPUTE_NONE) {
            inputs->normed1 = vt_chunk_panels_place(arena, type, chunks, s->C, false);
            inputs->normed2 = vt_chunk_panels_place(arena, type, chunks, s->C, false);
            inputs->act = vt_chunk_panels_place(arena, type, chunks, s->F, false);
        } else {
            *inputs = *shared;
        }
        inputs->y = l == 0 || recompute != VT_RECOMPUTE_BLOCK
                        ? vt_chunk_panels_place(arena, type, chunks, s->C, false)
                        : shared->y;
        inputs->asking =
            l == 0 ? vt_chunk_panels_place(arena, type, chunks, s->C, false) : shared->asking;
    }
}

void vt_block_scratch_place(vt_block_scratch *scratch, vt_arena *arena, const vt_block_shape *s,
                            int images, bool training, vt_recompute recompute)
{
    const size_t T = (size_t)s->T;
    const vt_dropout drop;
    const vt_attention at = {.T = s->T,
                             .R = s->T,
                             .H = s->H,
                             .D = s->C / s->H,
                             .type = s->type,
                             .drop = s->attn_drop > 0 ? &drop : NULL};
    scratch->normed = take_typed(arena, s->type, images, T, s->C);
    scratch->asking = take_typed(arena, s->type, images, T, s->C);
    scratch->act = take_typed(arena, s->type, images, T, s->F > s->C ? s->F : s->C);
    scratch->branch = take(arena, images, T, s->C);
    scratch->attention = vt_arena_take(arena, vt_attention_scratch_bytes(&at), 1);
    place_kept(&scratch->chunk, arena, s, images, training && recompute == VT_RECOMPUTE_BLOCK);
    scratch->chunk.inputs = (vt_block_inputs){0};
    if (!training) return;
    scratch->dact = take_typed(arena, s->type, images, T, s->F);
    scratch->dkv = take_typed(arena, s->type, images, T, 2 * s->C);
}

void vt_block_grads_place(vt_block_grads *grads, vt_arena *arena, const vt_block_param *p,
                          vt_elem type, const vt_chunks *chunks)
{
    for (int i = 0; i < VT_BLOCK_LINEARS; i++)
        grads->dy[i] = vt_chunk_panels_place(arena, type, chunks, vt_block_linear_at(p, i).O, true);
    grads->norms = take(arena, chunks->count, 4, p->qkv.I);
}

vt_block_saved vt_block_saved_at(const vt_block_saved *saved, const vt_block_shape *s,
                                 const vt_chunk *chunk)
{
    const size_t first = (size_t)chunk->first, T = (size_t)s->T, C = (size_t)s->C, t = first * T,
                 r = first * (size_t)chunk->R, F = (size_t)s->F;
    return (vt_block_saved){
        .x = saved->x + t * C,
        .mean1 = saved->mean1 + t,
        .rstd1 = saved->rstd1 + t,
        .q = vt_at(saved->q, s->type, r * C),
        .kv = vt_at(saved->kv, s->type, t * 2 * C),
        .maps = vt_at(saved->maps, s->type, r * (size_t)s->H * (size_t)vt_map_ld(s->T)),
        .mid = saved->mid + r * C,
        .mean2 = saved->mean2 + r,
        .rstd2 = saved->rstd2 + r,
        .hidden = vt_at(saved->hidden, s->type, r * F),
        .inputs = saved->inputs};
}
