// Patch merging; see the header.
#include "merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHILDREN = 4 };

vt_status vt_merge_init(vt_merge *m, int h, int w, int C, vt_real eps)
{
    const int to_h = (h + 1) / 2, to_w = (w + 1) / 2;
    *m = (vt_merge){.from = h * w, .to = to_h * to_w, .C = C, .eps = eps};
    m->children = vt_alloc((size_t)m->to * CHILDREN, sizeof *m->children);
    if (!m->children) return VT_ERR_MEMORY;
    for (int i = 0; i < m->to * CHILDREN; i++) {
        const int y = i / CHILDREN / to_w * 2 + i % 2, x = i / CHILDREN % to_w * 2 + i % 4 / 2;
        m->children[i] = y < h && x < w ? y * w + x : -1;
    }
    return VT_OK;
}

void vt_merge_deinit(vt_merge *m)
{
    free(m->children);
    m->children = NULL;
}

vt_status vt_merge_declare(vt_merge *m, vt_params *params, const char *prefix)
{
    char name[64];
    snprintf(name, sizeof name, "%s.norm", prefix);
    VT_TRY(vt_norm_declare(params, &m->norm_w, &m->norm_b, CHILDREN * m->C, name));
    snprintf(name, sizeof name, "%s.reduction", prefix);
    return vt_linear_declare(params, &m->reduction, VT_INIT_TRUNC_NORMAL_02, false, CHILDREN * m->C,
                             2 * m->C, name);
}

// ---- memory ----

void vt_merge_place(vt_merge *m, vt_arena *arena, vt_elem type, int max_batch, int threads,
                    bool training)
{
    const int I = m->reduction.I, O = m->reduction.O;
    const size_t rows = (size_t)max_batch * (size_t)m->to;
    m->type = type;
    m->planned = vt_chunks_plan(max_batch * m->to, 1, threads, NULL);
    m->forward = vt_panels_at(vt_arena_take(arena, vt_panels_bytes(type, I, O, false), 1), type, I,
                              O, false);
    m->mean = VT_ARENA_TAKE(arena, vt_real, rows);
    m->rstd = VT_ARENA_TAKE(arena, vt_real, rows);
    if (!training) return;
    m->backward = vt_panels_at(vt_arena_take(arena, vt_panels_bytes(type, O, I, false), 1), type, O,
                               I, false);
    m->normed = vt_chunk_panels_place(arena, type, &m->planned, I, false);
    m->dy = vt_chunk_panels_place(arena, type, &m->planned, O, true);
    m->norms = VT_ARENA_TAKE(arena, vt_real, (size_t)m->planned.count * 2 * (size_t)I);
}

void vt_merge_scratch_place(vt_merge_scratch *s, vt_arena *arena, const vt_merge *m, bool training)
{
    const size_t rows = (size_t)m->planned.rows, I = (size_t)m->reduction.I,
                 O = (size_t)m->reduction.O, size = vt_elem_size(m->type);
    s->gathered = VT_ARENA_TAKE(arena, vt_real, rows * I);
    s->normed = vt_arena_take(arena, rows * I, size);
    if (!training) return;
    s->dnormed = VT_ARENA_TAKE(arena, vt_real, rows * I);
    s->dy = m->type == VT_REAL ? NULL : vt_arena_take(arena, rows * O, size);
}

vt_chunks vt_merge_chunks(const vt_merge *m, int B, int threads)
{
    return vt_chunks_within(&m->planned, B * m->to, 1, threads);
}

int vt_merge_pack_tasks(const vt_merge *m, bool backward)
{
    return vt_panels_count(&m->forward) + (backward ? vt_panels_count(&m->backward) : 0);
}

void vt_merge_pack(int task, const vt_merge *m, const vt_real *weights)
{
    const int forward = vt_panels_count(&m->forward);
    const bool second = task >= forward;
    const vt_panels *panels = second ? &m->backward : &m->forward;
    vt_panels_pack(panels, second ? task - forward : task, 0, weights + m->reduction.w, VT_REAL,
                   m->reduction.I, second ? VT_N : VT_T, panels->k);
}

// ---- the passes ----

// Child `child` of the batch's token `row`, in (B,from,C); SIZE_MAX: padding.
static size_t child_at(const vt_merge *m, int row, int child)
{
    const int token = m->children[row % m->to * CHILDREN + child];
    const size_t image = (size_t)(row / m->to) * (size_t)m->from;
    return token < 0 ? SIZE_MAX : (image + (size_t)token) * (size_t)m->C;
}

static void gather(vt_real *to, const vt_real *x, const vt_merge *m, const vt_chunk *chunk)
{
    const size_t C = (size_t)m->C;
    for (int i = 0; i < CHILDREN * chunk->count; i++, to += C) {
        const size_t from = child_at(m, chunk->first + i / CHILDREN, i % CHILDREN);
        if (from == SIZE_MAX)
            memset(to, 0, C * sizeof *to);
        else
            memcpy(to, x + from, C * sizeof *to);
    }
}

static void scatter(vt_real *x, const vt_real *from, const vt_merge *m, const vt_chunk *chunk)
{
    const size_t C = (size_t)m->C;
    for (int i = 0; i < CHILDREN * chunk->count; i++, from += C) {
        const size_t to = child_at(m, chunk->first + i / CHILDREN, i % CHILDREN);
        if (to != SIZE_MAX) memcpy(x + to, from, C * sizeof *x);
    }
}

void vt_merge_forward(vt_real *y, const vt_real *x, const vt_merge *m, const vt_real *weights,
                      const vt_merge_scratch *s, const vt_chunk *chunk)
{
    const int I = m->reduction.I, O = m->reduction.O;
    const size_t first = (size_t)chunk->first;
    gather(s->gathered, x, m, chunk);
    vt_layernorm_forward(s->normed, m->type, m->mean + first, m->rstd + first, s->gathered,
                         weights + m->norm_w, weights + m->norm_b, m->eps, chunk->count, I);
    const vt_left left = vt_left_rows(s->normed, m->type, I);
    vt_product((vt_rows){y + first * (size_t)O, VT_REAL, O}, &left, &m->forward, NULL, VT_SET,
               chunk->count);
}

void vt_merge_backward(vt_real *dx, const vt_real *dy, const vt_real *x, const vt_merge *m,
                       const vt_real *weights, const vt_merge_scratch *s, const vt_chunk *chunk)
{
    const int I = m->reduction.I, O = m->reduction.O, rows = chunk->count;
    const size_t first = (size_t)chunk->first;
    const vt_chunks *chunks = chunk->chunks;
    const vt_panels x_panels =
                        vt_chunk_panels(m->normed, m->type, chunks, chunk->index, rows, I, false),
                    dy_panels =
                        vt_chunk_panels(m->dy, m->type, chunks, chunk->index, rows, O, true);
    const vt_real *mean = m->mean + first, *rstd = m->rstd + first, *w = weights + m->norm_w;
    vt_real *norms = m->norms + (size_t)chunk->index * 2 * (size_t)I;
    const void *stored = dy + first * (size_t)O;
    if (m->type != VT_REAL) {
        vt_scale(s->dy, m->type, 1, stored, (size_t)rows * (size_t)O);
        stored = s->dy;
    }
    vt_panels_pack_all(&dy_panels, 0, stored, m->type, O, VT_N, rows);
    const vt_left left = vt_left_rows(stored, m->type, O);
    vt_product((vt_rows){s->dnormed, VT_REAL, I}, &left, &m->backward, NULL, VT_SET, rows);
    gather(s->gathered, x, m, chunk);
    vt_layernorm_again(s->normed, m->type, s->gathered, w, weights + m->norm_b, mean, rstd, rows,
                       I);
    vt_panels_pack_all(&x_panels, 0, s->normed, m->type, I, VT_N, rows);
    // The gradient takes the place of dy; x is still wanted.
    memset(norms, 0, 2 * (size_t)I * sizeof *norms);
    vt_layernorm_backward(s->dnormed, norms, norms + I, s->dnormed, s->gathered, w, mean, rstd,
                          false, rows, I);
    scatter(dx, s->dnormed, m, chunk);
}

void vt_merge_gradient(vt_real *grads, const vt_merge *m, const vt_chunks *chunks, int part,
                       int parts)
{
    const size_t I = (size_t)m->reduction.I;
    vt_linear_gradient(grads + m->reduction.w, NULL, m->dy, m->normed, m->type, m->reduction.I,
                       m->reduction.O, part, parts, chunks, 1);
    for (int i = 0; part == 0 && i < chunks->count; i++) {
        vt_add(grads + m->norm_w, m->norms + (size_t)i * 2 * I, I);
        vt_add(grads + m->norm_b, m->norms + (size_t)i * 2 * I + I, I);
    }
}
