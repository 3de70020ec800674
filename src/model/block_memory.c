// A block's memory: what is planned for it through the arena, and what a chunk sees of it.
#include "block.h"

#include <assert.h>

// Products over about this many rows are at full speed.
enum { CHUNK_ROWS = 192 };

static vt_chunks cut(int units, int T, int threads)
{
    const int most = CHUNK_ROWS > T ? (CHUNK_ROWS + T / 2) / T : 1;
    const int fair = (units + threads - 1) / threads, each = most < fair ? most : fair;
    return (vt_chunks){.B = units, .units = each, .count = (units + each - 1) / each};
}

vt_chunks vt_chunks_plan(int units, int T, int threads, const vt_windows *windows)
{
    vt_chunks chunks = cut(units, T, threads);
    const int fewest = units < threads ? units : threads;
    if (chunks.count < fewest) chunks.count = fewest;
    chunks.rows = chunks.units * T;
    chunks.windows = windows;
    return chunks;
}

vt_chunks vt_chunks_within(const vt_chunks *planned, int units, int T, int threads)
{
    vt_chunks chunks = cut(units, T, threads);
    assert(chunks.count <= planned->count && chunks.units * T <= planned->rows);
    chunks.rows = planned->rows;
    chunks.windows = planned->windows;
    return chunks;
}

vt_chunk vt_chunk_at(const vt_chunks *chunks, int index, int R, const vt_pass *pass)
{
    const int first = index * chunks->units, left = chunks->B - first;
    return (vt_chunk){.chunks = chunks,
                      .index = index,
                      .first = first,
                      .count = left < chunks->units ? left : chunks->units,
                      .R = R,
                      .pass = pass};
}

// units x a x b numbers
static vt_real *take(vt_arena *arena, int units, size_t a, int b)
{
    return VT_ARENA_TAKE(arena, vt_real, (size_t)units * a * (size_t)b);
}

static void *take_typed(vt_arena *arena, vt_elem type, int units, size_t a, int b)
{
    return vt_arena_take(arena, (size_t)units * a * (size_t)b, vt_elem_size(type));
}

static void *take_kv(vt_arena *arena, const vt_block_shape *s, int units)
{
    const size_t all = vt_block_kv(s, s->T), few = vt_block_kv(s, s->few);
    return take_typed(arena, s->type, units, all > few ? all : few, 1);
}

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
    vt_panels p = vt_panels_at((char *)place + (size_t)index * bytes, type, k, n, left);
    p.part_bytes = bytes;
    p.far = true;
    return p;
}

void vt_block_packed_place(vt_block_packed *packed, vt_arena *arena, const vt_block_param *p,
                           const vt_block_shape *s, bool backward)
{
    const vt_elem type = s->type;
    for (int i = 0; i < VT_BLOCK_LINEARS; i++) {
        const vt_linear_param l = vt_block_linear_at(p, i);
        const size_t f = vt_panels_bytes(type, l.I, l.O, false),
                     b = backward ? vt_panels_bytes(type, l.O, l.I, false) : 0;
        packed->forward[i] = vt_panels_at(vt_arena_take(arena, f, 1), type, l.I, l.O, false);
        packed->backward[i] = vt_panels_at(vt_arena_take(arena, b, 1), type, l.O, l.I, false);
    }
    packed->bias = s->window_h > 0 ? take(arena, s->H, (size_t)s->T, s->T) : NULL;
}

static void place_kept(vt_block_saved *saved, vt_arena *arena, const vt_block_shape *s, int units,
                       bool backward)
{
    const size_t T = (size_t)s->T;
    saved->mean1 = take(arena, units, T, 1);
    saved->rstd1 = take(arena, units, T, 1);
    saved->q = take_typed(arena, s->type, units, T, s->C);
    saved->kv = take_kv(arena, s, units);
    saved->maps =
        backward ? take_typed(arena, s->type, units, (size_t)s->H * T, vt_map_ld(s->T)) : NULL;
    saved->mid = take(arena, units, T, s->C);
    saved->mean2 = take(arena, units, T, 1);
    saved->rstd2 = take(arena, units, T, 1);
    saved->hidden = take_typed(arena, s->type, units, T, s->F);
    for (int i = 0; i < 2; i++)
        saved->branch[i] = backward && s->layer_scale > 0 ? take(arena, units, T, s->C) : NULL;
}

// The inputs of norms and GELU that are not kept for each block.
static void place_again(vt_block_inputs *inputs, vt_arena *arena, const vt_block_shape *s,
                        const vt_chunks *chunks)
{
    inputs->normed1 = vt_chunk_panels_place(arena, s->type, chunks, s->C, false);
    inputs->normed2 = vt_chunk_panels_place(arena, s->type, chunks, s->C, false);
    inputs->act = vt_chunk_panels_place(arena, s->type, chunks, s->F, false);
}

void vt_block_inputs_place(vt_block_inputs *shared, vt_arena *arena, const vt_block_shape *s,
                           vt_recompute recompute, const vt_chunks *chunks)
{
    *shared = (vt_block_inputs){0};
    if (recompute != VT_RECOMPUTE_NONE) place_again(shared, arena, s, chunks);
    if (recompute == VT_RECOMPUTE_BLOCK)
        shared->y = vt_chunk_panels_place(arena, s->type, chunks, s->C, false);
}

void vt_block_saved_place(vt_block_saved *saved, int depth, vt_arena *arena,
                          const vt_block_shape *s, const vt_block_inputs *shared,
                          vt_recompute recompute, const vt_chunks *chunks)
{
    for (int l = 0; l < depth; l++) {
        saved[l].inputs = *shared;
        saved[l].x = take(arena, chunks->B, (size_t)s->T, s->C);
        if (recompute == VT_RECOMPUTE_BLOCK) continue;
        place_kept(&saved[l], arena, s, chunks->B, true);
        saved[l].inputs.y = vt_chunk_panels_place(arena, s->type, chunks, s->C, false);
        if (recompute == VT_RECOMPUTE_NONE) place_again(&saved[l].inputs, arena, s, chunks);
    }
}

void vt_block_scratch_place(vt_block_scratch *scratch, vt_arena *arena, const vt_block_shape *s,
                            int units, bool training, vt_recompute recompute)
{
    const size_t T = (size_t)s->T;
    const vt_dropout drop;
    const vt_attention at = {.T = s->T,
                             .R = s->T,
                             .H = s->H,
                             .D = s->C / s->H,
                             .type = s->type,
                             .drop = s->attn_drop > 0 ? &drop : NULL},
                       wide = {.T = s->T, .R = s->few * s->H, .H = 1, .D = s->C, .type = s->type};
    const size_t narrow_bytes = vt_attention_scratch_bytes(&at),
                 wide_bytes = s->few > 0 ? vt_attention_scratch_bytes(&wide) : 0;
    scratch->normed = take_typed(arena, s->type, units, T, s->C);
    scratch->asking = take_typed(arena, s->type, units, T, s->C);
    scratch->act = take_typed(arena, s->type, units, T, s->F > s->C ? s->F : s->C);
    scratch->branch = take(arena, units, T, s->C);
    scratch->attention =
        vt_arena_take(arena, narrow_bytes > wide_bytes ? narrow_bytes : wide_bytes, 1);
    scratch->wide = take_typed(arena, s->type, units, (size_t)s->few * (size_t)s->H, s->C);
    place_kept(&scratch->chunk, arena, s, units, training && recompute == VT_RECOMPUTE_BLOCK);
    scratch->chunk.inputs = (vt_block_inputs){0};
    if (!training) return;
    scratch->dact = take_typed(arena, s->type, units, T, s->F);
    scratch->dkv = take_kv(arena, s, units);
    scratch->dbias = s->window_h > 0 ? take(arena, s->H, T, s->T) : NULL;
}

void vt_block_grads_place(vt_block_grads *grads, vt_arena *arena, const vt_block_param *p,
                          const vt_block_shape *s, const vt_chunks *chunks)
{
    for (int i = 0; i < VT_BLOCK_LINEARS; i++)
        grads->dy[i] =
            vt_chunk_panels_place(arena, s->type, chunks, vt_block_linear_at(p, i).O, true);
    grads->sums = take(arena, chunks->count, VT_BLOCK_SUMS, s->C);
    const int offsets = s->window_h > 0 ? vt_window_offsets(s->window_h, s->window_w) : 0;
    grads->tables = take(arena, chunks->count, (size_t)offsets, s->H);
}

void vt_block_factors_place(vt_block_factors *factors, vt_arena *arena, const vt_block_shape *s,
                            int B)
{
    for (int i = 0; i < 2; i++) {
        factors->narrow[i] = take(arena, B, (size_t)s->few, s->C);
        factors->wide[i] = take(arena, B, (size_t)s->few * (size_t)s->H, s->C);
    }
}

vt_block_saved vt_block_saved_at(const vt_block_work *work)
{
    const vt_block_saved *saved = work->saved;
    const vt_block_shape *s = work->shape;
    const vt_chunk *chunk = work->chunk;
    const size_t first = (size_t)chunk->first, C = (size_t)s->C, F = (size_t)s->F,
                 r = first * (size_t)chunk->R;
    const size_t token = vt_rows_before(chunk->chunks, chunk->first, s->T),
                 row = vt_rows_before(chunk->chunks, chunk->first, chunk->R);
    return (vt_block_saved){
        .x = saved->x + token * C,
        .mean1 = saved->mean1 + token,
        .rstd1 = saved->rstd1 + token,
        .q = vt_at(saved->q, s->type, r * C),
        .kv = vt_at(saved->kv, s->type, first * vt_block_kv(s, chunk->R)),
        .maps = vt_at(saved->maps, s->type, r * (size_t)s->H * (size_t)vt_map_ld(s->T)),
        .mid = saved->mid + row * C,
        .mean2 = saved->mean2 + row,
        .rstd2 = saved->rstd2 + row,
        .hidden = vt_at(saved->hidden, s->type, row * F),
        .branch = {saved->branch[0] ? saved->branch[0] + row * C : NULL,
                   saved->branch[1] ? saved->branch[1] + row * C : NULL},
        .inputs = saved->inputs};
}

vt_block_saved vt_block_saved_for(const vt_block_work *work, vt_real *x, vt_recompute recompute)
{
    if (work->chunk->pass->training && recompute != VT_RECOMPUTE_BLOCK) {
        vt_block_saved kept = vt_block_saved_at(work);
        if (recompute == VT_RECOMPUTE_GELU) kept.inputs = (vt_block_inputs){.y = kept.inputs.y};
        return kept;
    }
    vt_block_saved passing = work->scratch->chunk;
    passing.x = x;
    passing.maps = NULL;
    passing.branch[0] = passing.branch[1] = NULL;
    return passing;
}
