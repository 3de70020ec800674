// The transformer block of ViT and DeiT.
//
// A chunk goes through the block in one thread's cache: the MLP takes it a few rows at a time, attention
// an image at a time. The backward pass of a chunk leaves the inputs and the output gradients of the
// linear layers behind as panels; their weight gradients are then products over the whole batch, with
// their output rows shared out to the threads, summed in the order of chunks.
#include "block.h"

#include "vitrain/base/rng.h"

#include <string.h>

// Dropout's sites in a block; site 0 of the model is the one after the position embedding.
enum { SITE_ATTN, SITE_PROJ, SITE_ACT, SITE_FC2, SITES };

// Rows that the MLP takes at a time: as many as a product likes to have.
enum { MLP_ROWS = 208, ROW_MULTIPLE = 8 };

// ---- a chunk's rows ----

static vt_dropout dropout_at(const vt_chunk *chunk, double p, int image, int site)
{
    return (vt_dropout){.p = p,
                        .seed = chunk->pass->seed,
                        .stream = (uint32_t)(VT_STREAM_DROPOUT + 1 + chunk->layer * SITES + site),
                        .step = chunk->pass->step,
                        .sample = (uint32_t)(chunk->first + image)};
}

// Branch 0 is attention, 1 the MLP.
static vt_real branch_scale(const vt_chunk *chunk, int image, int branch)
{
    if (!chunk->pass->stochastic) return 1;
    return vt_drop_path_scale(chunk->drop_path, chunk->pass->seed, chunk->pass->step,
                              (uint32_t)(chunk->first + image),
                              (uint32_t)(2 * chunk->layer + branch));
}

// Some of a chunk's (count,R) rows, `row` .. `row + rows - 1`.
typedef struct span {
    int row, rows;
} span;

// The part of a span that lies in one image, beginning at its row `at`: (image, first row in it, rows).
typedef struct image_part {
    int image, token, rows;
} image_part;

static image_part part_at(const span *s, int at, int R)
{
    const int row = s->row + at, image = row / R, token = row % R;
    const int left = s->rows - at, rest = R - token;
    return (image_part){image, token, left < rest ? left : rest};
}

// Dropout of a span's rows, `width` numbers each, in place. x: the span's first row.
static void drop(void *x, vt_elem type, const vt_chunk *chunk, const span *s, double p, int site,
                 int width)
{
    if (!chunk->pass->stochastic || p <= 0) return;
    for (int at = 0; at < s->rows;) {
        const image_part piece = part_at(s, at, chunk->R);
        const vt_dropout d = dropout_at(chunk, p, piece.image, site);
        void *rows = vt_at(x, type, (size_t)at * (size_t)width);
        vt_dropout_apply(rows, rows, type, &d, (size_t)piece.token * (size_t)width,
                         (size_t)piece.rows * (size_t)width);
        at += piece.rows;
    }
}

// out = in + scale_of_image branch, for a span's rows of out and branch; in has tokens_in rows an image
// and begins with the chunk's first.
static void residual(vt_real *out, const vt_real *in, int tokens_in, const vt_real *branch,
                     const vt_chunk *chunk, const span *s, int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const image_part piece = part_at(s, at, chunk->R);
        const size_t to = (size_t)at * (size_t)C,
                     from = ((size_t)piece.image * (size_t)tokens_in + (size_t)piece.token) *
                            (size_t)C;
        vt_add_scaled(out + to, in + from, branch_scale(chunk, piece.image, which), branch + to,
                      (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

// dbranch = scale_of_image dx, for a span's rows.
static void residual_backward(void *dbranch, vt_elem type, const vt_real *dx, const vt_chunk *chunk,
                              const span *s, int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const image_part piece = part_at(s, at, chunk->R);
        const size_t row = (size_t)at * (size_t)C;
        vt_scale(vt_at(dbranch, type, row), type, branch_scale(chunk, piece.image, which), dx + row,
                 (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

// How many spans the MLP takes a chunk in, and one of them.
static int mlp_spans(const vt_chunk *chunk)
{
    return (chunk->count * chunk->R + MLP_ROWS - 1) / MLP_ROWS;
}

static span mlp_span(const vt_chunk *chunk, int i)
{
    const int rows = chunk->count * chunk->R, spans = mlp_spans(chunk);
    const int first = vt_share(rows, ROW_MULTIPLE, i, spans);
    return (span){first, vt_share(rows, ROW_MULTIPLE, i + 1, spans) - first};
}

// The rows that ask, packed together: all of them, or the first R of each image's T.
static const void *asking_rows(void *to, const void *rows, const vt_block_shape *s,
                               const vt_chunk *chunk)
{
    if (chunk->R == s->T) return rows;
    const size_t C = (size_t)s->C, R = (size_t)chunk->R, T = (size_t)s->T;
    for (size_t i = 0; i < (size_t)chunk->count; i++)
        memcpy(vt_at(to, s->type, i * R * C), vt_at(rows, s->type, i * T * C),
               R * C * vt_elem_size(s->type));
    return to;
}

// Everything that a pass of one chunk needs.
typedef struct work {
    const vt_block_saved *saved;
    const vt_block_packed *packed;
    const vt_block_param *param;
    const vt_block_shape *shape;
    const vt_real *weights;
    const vt_block_scratch *scratch;
    const vt_chunk *chunk;
} work;

// y = x Wt + b, y of any type.
static void linear(const work *w, void *y, vt_elem type, const void *x, vt_block_linear which,
                   int M)
{
    const vt_elem stored = w->shape->type;
    const vt_linear_param l = vt_block_linear_at(w->param, which);
    vt_product((vt_rows){y, type, l.O}, vt_left_rows(x, stored, l.I), &w->packed->forward[which],
               l.has_bias ? w->weights + l.b : NULL, VT_SET, M);
}

// dx = dy W, or +=.
static void linear_input(const work *w, void *dx, vt_elem type, const void *dy,
                         vt_block_linear which, vt_into into, int M)
{
    const vt_elem stored = w->shape->type;
    const vt_linear_param l = vt_block_linear_at(w->param, which);
    vt_product((vt_rows){dx, type, l.I}, vt_left_rows(dy, stored, l.O), &w->packed->backward[which],
               NULL, into, M);
}

// Leaves a span's rows x: (rows,n) as panels.
static void leave(const work *w, char *place, const void *x, vt_elem type, int n, bool left,
                  int tokens, const span *s)
{
    if (!place) return;
    const vt_chunk *c = w->chunk;
    const vt_panels p =
        vt_chunk_panels(place, w->shape->type, c->chunks, c->index, c->count * tokens, n, left);
    vt_panels_pack_all(&p, s->row, x, type, n, VT_N, s->rows);
}

static span whole(const work *w, int tokens)
{
    return (span){0, w->chunk->count * tokens};
}

// Norm1's output for kv, and for q the rows of it that ask.
static void leave_normed1(const work *w, const void *normed, const void *asking)
{
    const vt_block_shape *s = w->shape;
    const span all = whole(w, s->T), few = whole(w, w->chunk->R);
    leave(w, w->saved->inputs.normed1, normed, s->type, s->C, false, s->T, &all);
    if (w->chunk->R < s->T)
        leave(w, w->saved->inputs.asking, asking, s->type, s->C, false, w->chunk->R, &few);
}

// ---- attention ----

// Hands maps on to the hooks.
typedef struct listener {
    const vt_pass *pass;
    vt_attn_view view;
} listener;

static void on_map(void *self, int head, const vt_real *map)
{
    listener *l = self;
    l->view.head = head;
    l->view.map = map;
    for (int k = 0; k < l->pass->n_hooks; k++)
        l->pass->hooks[k].on_attention(l->pass->hooks[k].self, &l->view);
}

static vt_attention attention_of(const work *w, vt_dropout *d, int image)
{
    const vt_block_shape *s = w->shape;
    vt_attention at = {.T = s->T,
                       .R = w->chunk->R,
                       .H = s->H,
                       .D = s->C / s->H,
                       .type = s->type,
                       .ldq = s->C,
                       .ldkv = 2 * s->C};
    if (w->chunk->pass->stochastic && s->attn_drop > 0) {
        *d = dropout_at(w->chunk, s->attn_drop, image, SITE_ATTN);
        at.drop = d;
    }
    return at;
}

// One image's part of what attention reads and keeps.
typedef struct image_view {
    void *q, *k, *v, *maps;
} image_view;

static image_view image_at(const work *w, const void *q, const void *kv, int image)
{
    const vt_block_shape *s = w->shape;
    const size_t i = (size_t)image, C = (size_t)s->C, R = (size_t)w->chunk->R, T = (size_t)s->T;
    char *k = vt_at(kv, s->type, i * T * 2 * C);
    const size_t map = (size_t)s->H * R * (size_t)vt_map_ld(s->T);
    return (image_view){
        .q = vt_at(q, s->type, i * R * C),
        .k = k,
        .v = vt_at(k, s->type, C),
        .maps = w->saved->maps ? vt_at(w->saved->maps, s->type, i * map) : NULL,
    };
}

// y: (count,R,C) out
static void attend(const work *w, void *y, bool heard)
{
    const vt_block_shape *s = w->shape;
    const vt_chunk *chunk = w->chunk;
    const size_t row = (size_t)chunk->R * (size_t)s->C;
    for (int i = 0; i < chunk->count; i++) {
        vt_dropout d;
        vt_attention at = attention_of(w, &d, i);
        const image_view v = image_at(w, w->saved->q, w->saved->kv, i);
        listener l = {chunk->pass,
                      {.layer = chunk->layer,
                       .sample = chunk->first + i,
                       .H = s->H,
                       .R = chunk->R,
                       .T = s->T,
                       .ld = vt_map_ld(s->T),
                       .x = w->saved->x + (size_t)i * (size_t)s->T * (size_t)s->C}};
        if (heard && chunk->pass->n_hooks > 0) {
            at.on_map = on_map;
            at.self = &l;
        }
        vt_attention_forward(vt_at(y, s->type, (size_t)i * row), v.maps, v.q, v.k, v.v,
                             w->scratch->attention, &at);
    }
}

// ---- forward ----

static void forward_attention(const work *w, bool heard)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_param *p = w->param;
    const vt_block_scratch *scratch = w->scratch;
    const span few = whole(w, w->chunk->R);
    vt_layernorm_forward(scratch->normed, s->type, saved->mean1, saved->rstd1, saved->x,
                         w->weights + p->norm1_w, w->weights + p->norm1_b, s->norm_eps,
                         w->chunk->count * s->T, s->C);
    linear(w, saved->kv, s->type, scratch->normed, VT_BLOCK_KV, w->chunk->count * s->T);
    const void *asking = asking_rows(scratch->asking, scratch->normed, s, w->chunk);
    linear(w, saved->q, s->type, asking, VT_BLOCK_Q, few.rows);
    leave_normed1(w, scratch->normed, asking);
    void *y = scratch->asking;
    attend(w, y, heard);
    leave(w, saved->inputs.y, y, s->type, s->C, false, w->chunk->R, &few);
    linear(w, scratch->branch, VT_REAL, y, VT_BLOCK_PROJ, few.rows);
    drop(scratch->branch, VT_REAL, w->chunk, &few, s->drop, SITE_PROJ, s->C);
    residual(saved->mid, saved->x, s->T, scratch->branch, w->chunk, &few, 0, s->C);
}

// out: the chunk's, or NULL.
static void forward_mlp(const work *w, vt_real *out, const span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_param *p = w->param;
    const vt_block_scratch *scratch = w->scratch;
    const size_t first = (size_t)rows->row, C = (size_t)s->C, F = (size_t)s->F;
    void *hidden = vt_at(saved->hidden, s->type, first * F);
    vt_layernorm_forward(scratch->normed, s->type, saved->mean2 + first, saved->rstd2 + first,
                         saved->mid + first * C, w->weights + p->norm2_w, w->weights + p->norm2_b,
                         s->norm_eps, rows->rows, s->C);
    leave(w, saved->inputs.normed2, scratch->normed, s->type, s->C, false, w->chunk->R, rows);
    linear(w, hidden, s->type, scratch->normed, VT_BLOCK_FC1, rows->rows);
    vt_gelu_forward(scratch->act, hidden, s->type, (size_t)rows->rows * F);
    drop(scratch->act, s->type, w->chunk, rows, s->drop, SITE_ACT, s->F);
    leave(w, saved->inputs.act, scratch->act, s->type, s->F, false, w->chunk->R, rows);
    if (!out) return;
    linear(w, scratch->branch, VT_REAL, scratch->act, VT_BLOCK_FC2, rows->rows);
    drop(scratch->branch, VT_REAL, w->chunk, rows, s->drop, SITE_FC2, s->C);
    residual(out + first * C, saved->mid, w->chunk->R, scratch->branch, w->chunk, rows, 1, s->C);
}

void vt_block_forward(vt_real *out, const vt_block_saved *saved, const vt_block_packed *packed,
                      const vt_block_param *p, const vt_block_shape *s, const vt_real *weights,
                      const vt_block_scratch *scratch, const vt_chunk *chunk)
{
    const work w = {saved, packed, p, s, weights, scratch, chunk};
    forward_attention(&w, out != NULL);
    for (int i = 0; i < mlp_spans(chunk); i++) {
        const span rows = mlp_span(chunk, i);
        forward_mlp(&w, out, &rows);
    }
}

// ---- backward ----

// Norm2's and GELU's outputs again; GELU's is at hand.
static void leave_mlp_inputs(const work *w, const span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const size_t first = (size_t)rows->row;
    void *normed = w->scratch->asking;
    drop(w->scratch->act, s->type, w->chunk, rows, s->drop, SITE_ACT, s->F);
    leave(w, saved->inputs.act, w->scratch->act, s->type, s->F, false, w->chunk->R, rows);
    vt_layernorm_again(normed, s->type, saved->mid + first * (size_t)s->C,
                       w->weights + w->param->norm2_w, w->weights + w->param->norm2_b,
                       saved->mean2 + first, saved->rstd2 + first, rows->rows, s->C);
    leave(w, saved->inputs.normed2, normed, s->type, s->C, false, w->chunk->R, rows);
}

static void backward_mlp(const work *w, vt_real *dout, const vt_block_grads *g, vt_real *norms,
                         bool again, const span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const int C = s->C, R = w->chunk->R;
    const size_t first = (size_t)rows->row;
    const void *hidden = vt_at(saved->hidden, s->type, first * (size_t)s->F);
    vt_real *dx = dout + first * (size_t)C;
    void *dfc2 = scratch->normed, *dhidden = scratch->dact;
    residual_backward(dfc2, s->type, dx, w->chunk, rows, 1, C);
    drop(dfc2, s->type, w->chunk, rows, s->drop, SITE_FC2, C);
    leave(w, g->dy[VT_BLOCK_FC2], dfc2, s->type, C, true, R, rows);
    linear_input(w, dhidden, s->type, dfc2, VT_BLOCK_FC2, VT_SET, rows->rows);
    drop(dhidden, s->type, w->chunk, rows, s->drop, SITE_ACT, s->F);
    vt_gelu_backward(dhidden, again ? scratch->act : NULL, dhidden, hidden, s->type,
                     (size_t)rows->rows * (size_t)s->F);
    if (again) leave_mlp_inputs(w, rows);
    leave(w, g->dy[VT_BLOCK_FC1], dhidden, s->type, s->F, true, R, rows);
    linear_input(w, scratch->branch, VT_REAL, dhidden, VT_BLOCK_FC1, VT_SET, rows->rows);
    vt_layernorm_backward(dx, norms + 2 * C, norms + 3 * C, scratch->branch,
                          saved->mid + first * (size_t)C, w->weights + w->param->norm2_w,
                          saved->mean2 + first, saved->rstd2 + first, true, rows->rows, C);
}

// dnormed: (count,T,C) out, the gradient of norm1's output.
static void norm1_output_gradient(const work *w, vt_real *dnormed, const void *dq, const void *dkv)
{
    const vt_block_shape *s = w->shape;
    const int count = w->chunk->count, R = w->chunk->R, C = s->C;
    linear_input(w, dnormed, VT_REAL, dkv, VT_BLOCK_KV, VT_SET, count * s->T);
    if (R == s->T) {
        linear_input(w, dnormed, VT_REAL, dq, VT_BLOCK_Q, VT_ADD, count * R);
        return;
    }
    for (int i = 0; i < count; i++)
        linear_input(w, dnormed + (size_t)i * (size_t)s->T * (size_t)C, VT_REAL,
                     vt_at(dq, s->type, (size_t)i * (size_t)R * (size_t)C), VT_BLOCK_Q, VT_ADD, R);
}

// The residual path around attention: the rows that asked pass their gradient on.
static void spread(vt_real *dx, const vt_real *dout, const vt_block_shape *s, const vt_chunk *chunk)
{
    if (chunk->R == s->T) return; // the same memory
    const size_t row = (size_t)s->C, R = (size_t)chunk->R * row, T = (size_t)s->T * row;
    memset(dx, 0, (size_t)chunk->count * T * sizeof *dx);
    for (size_t i = 0; i < (size_t)chunk->count; i++)
        memcpy(dx + i * T, dout + i * R, R * sizeof *dx);
}

static void backward_attention(const work *w, vt_real *dx, vt_real *dout, const vt_block_grads *g,
                               vt_real *norms, bool again)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const vt_block_param *p = w->param;
    const int C = s->C, R = w->chunk->R, M = w->chunk->count * s->T;
    const span few = whole(w, R), all = whole(w, s->T);
    void *dproj = scratch->normed, *dy = scratch->asking, *dq = scratch->act, *dkv = scratch->dkv;
    residual_backward(dproj, s->type, dout, w->chunk, &few, 0, C);
    drop(dproj, s->type, w->chunk, &few, s->drop, SITE_PROJ, C);
    leave(w, g->dy[VT_BLOCK_PROJ], dproj, s->type, C, true, R, &few);
    linear_input(w, dy, s->type, dproj, VT_BLOCK_PROJ, VT_SET, few.rows);
    for (int i = 0; i < w->chunk->count; i++) {
        vt_dropout d;
        const vt_attention at = attention_of(w, &d, i);
        const image_view v = image_at(w, saved->q, saved->kv, i), dv = image_at(w, dq, dkv, i);
        vt_attention_backward(dv.q, dv.k, dv.v, NULL,
                              vt_at(dy, s->type, (size_t)i * (size_t)R * (size_t)C), v.q, v.k, v.v,
                              v.maps, scratch->attention, &at);
    }
    leave(w, g->dy[VT_BLOCK_Q], dq, s->type, C, true, R, &few);
    leave(w, g->dy[VT_BLOCK_KV], dkv, s->type, 2 * C, true, s->T, &all);
    if (again) {
        vt_layernorm_again(scratch->normed, s->type, saved->x, w->weights + p->norm1_w,
                           w->weights + p->norm1_b, saved->mean1, saved->rstd1, M, C);
        leave_normed1(w, scratch->normed,
                      asking_rows(scratch->asking, scratch->normed, s, w->chunk));
    }
    norm1_output_gradient(w, scratch->branch, dq, dkv);
    spread(dx, dout, s, w->chunk);
    vt_layernorm_backward(dx, norms, norms + C, scratch->branch, saved->x, w->weights + p->norm1_w,
                          saved->mean1, saved->rstd1, true, M, C);
}

void vt_block_backward(vt_real *dx, vt_real *dout, const vt_block_saved *saved,
                       const vt_block_packed *packed, const vt_block_param *p,
                       const vt_block_shape *s, const vt_real *weights, const vt_block_grads *g,
                       const vt_block_scratch *scratch, const vt_chunk *chunk, bool again)
{
    const work w = {saved, packed, p, s, weights, scratch, chunk};
    vt_real *norms = g->norms + (size_t)chunk->index * 4 * (size_t)s->C;
    memset(norms, 0, 4 * (size_t)s->C * sizeof *norms);
    for (int i = 0; i < mlp_spans(chunk); i++) {
        const span rows = mlp_span(chunk, i);
        backward_mlp(&w, dout, g, norms, again, &rows);
    }
    backward_attention(&w, dx, dout, g, norms, again);
}
