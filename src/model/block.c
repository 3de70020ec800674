// The transformer block of ViT, DeiT and Swin.
//
// A chunk goes through the block in one thread's cache: the MLP takes it a few rows at a time,
// attention an image or window at a time. The backward pass of a chunk leaves the inputs and the
// output gradients of the linear layers behind as panels; their weight gradients are then products
// over the whole batch, with their output rows shared out to the threads, summed in the order of
// chunks.
#include "block_rows.h"

#include <assert.h>
#include <math.h>
#include <string.h>

// A span's rows of a branch, in scratch, times gamma; what they were is kept if there is room.
static void layer_scale(const vt_block_work *w, int which, const vt_span *s)
{
    const size_t first = (size_t)s->row * (size_t)w->shape->C;
    vt_real *kept = w->saved->branch[which];
    if (w->shape->layer_scale > 0)
        vt_channel_scale_forward(w->scratch->branch, kept ? kept + first : NULL,
                                 w->weights + w->param->gamma[which], s->rows, w->shape->C);
}

// dbranch = scale_of_image gamma dx for a span's rows; dx begins with the first of them.
static void branch_gradient(const vt_block_work *w, void *dbranch, const vt_real *dx,
                            const vt_span *s, int which, vt_real *sums)
{
    const int C = w->shape->C;
    vt_span_scale scale;
    const bool scaled = w->shape->layer_scale > 0;
    if (scaled)
        scale =
            (vt_span_scale){w->weights + w->param->gamma[which], sums + (VT_SUM_GAMMA + which) * C,
                            w->saved->branch[which] + (size_t)s->row * (size_t)C};
    vt_span_residual_backward(dbranch, w->shape->type, dx, scaled ? &scale : NULL, w->chunk, s,
                              which, C);
}

// y = x Wt + b, y of any type.
static void linear(const vt_block_work *w, void *y, vt_elem type, const void *x,
                   vt_block_linear which, int M)
{
    const vt_elem stored = w->shape->type;
    const vt_linear_param l = vt_block_linear_at(w->param, which);
    const vt_left left = vt_left_rows(x, stored, l.I);
    vt_product((vt_rows){y, type, l.O}, &left, &w->packed->forward[which],
               l.has_bias ? w->weights + l.b : NULL, VT_SET, M);
}

// dx = dy W, or +=.
static void linear_input(const vt_block_work *w, void *dx, vt_elem type, const void *dy,
                         vt_block_linear which, vt_into into, int M)
{
    const vt_elem stored = w->shape->type;
    const vt_linear_param l = vt_block_linear_at(w->param, which);
    const vt_left left = vt_left_rows(dy, stored, l.O);
    vt_product((vt_rows){dx, type, l.I}, &left, &w->packed->backward[which], NULL, into, M);
}

// Leaves a span's rows x: (rows,n) as panels, of the chunk's `k` rows.
static void leave(const vt_block_work *w, char *place, const void *x, vt_elem type, int n,
                  bool left, int k, const vt_span *s)
{
    if (!place) return;
    const vt_chunk *c = w->chunk;
    const vt_panels p = vt_chunk_panels(place, w->shape->type, c->chunks, c->index, k, n, left);
    vt_panels_pack_all(&p, s->row, x, type, n, VT_N, s->rows);
}

// All rows where a unit has `each`, padding too.
static vt_span whole(const vt_block_work *w, int each)
{
    return (vt_span){0, w->chunk->count * each};
}

static bool few_ask(const vt_block_work *w)
{
    return w->chunk->R < w->shape->T;
}

// Norm1's output, or the rows of it that ask.
static void leave_normed1(const vt_block_work *w, const void *asking)
{
    const vt_block_shape *s = w->shape;
    const vt_span rows = whole(w, w->chunk->R);
    leave(w, w->saved->inputs.normed1, asking, s->type, s->C, false, rows.rows, &rows);
}

// Where few ask: their rows through each head's part of the keys' or the values' weights, to and
// fro.
static void widen(const vt_block_work *w, void *to, const void *narrow, vt_block_side side)
{
    const vt_block_shape *s = w->shape;
    const vt_linear_param kv = vt_block_linear_at(w->param, VT_BLOCK_KV);
    const size_t R = (size_t)w->chunk->R, C = (size_t)s->C;
    vt_heads_widen(to, w->factors->narrow[side] + (size_t)w->chunk->first * R * C, narrow, s->type,
                   w->weights + kv.w + side * C * C, w->chunk->count * w->chunk->R, s->H,
                   s->C / s->H, s->C);
}

static void narrow(const vt_block_work *w, void *to, const void *wide, vt_block_side side)
{
    const vt_block_shape *s = w->shape;
    const vt_linear_param kv = vt_block_linear_at(w->param, VT_BLOCK_KV);
    const size_t C = (size_t)s->C;
    const vt_real *b = side == VT_VALUES && kv.has_bias ? w->weights + kv.b + C : NULL;
    vt_heads_narrow(to,
                    w->factors->wide[side] + (size_t)w->chunk->first * vt_block_kv(s, w->chunk->R),
                    wide, s->type, w->weights + kv.w + side * C * C, b,
                    w->chunk->count * w->chunk->R, s->H, s->C / s->H, s->C);
}

// ---- attention ----

// Hands maps on to the hooks.
typedef struct listener {
    const vt_pass *pass;
    vt_attn_view view;
    int heads; // of a map
} listener;

static void on_map(void *self, int head, const vt_real *map)
{
    listener *l = self;
    for (int h = 0; h < l->heads; h++) {
        l->view.head = head + h;
        l->view.map = map + h * vt_map_ld(l->view.T);
        for (int k = 0; k < l->pass->n_hooks; k++)
            l->pass->hooks[k].on_attention(l->pass->hooks[k].self, &l->view);
    }
}

static vt_attention attention_of(const vt_block_work *w, vt_dropout *d, int unit)
{
    const vt_block_shape *s = w->shape;
    vt_attention at = {.T = s->T,
                       .R = w->chunk->R,
                       .H = s->H,
                       .D = s->C / s->H,
                       .scale = (vt_real)(1 / sqrt((double)(s->C / s->H))),
                       .type = s->type,
                       .ldq = s->C,
                       .ldkv = 2 * s->C,
                       .bias = w->packed->bias};
    if (few_ask(w)) { // each head's query is a row
        at.R *= s->H, at.H = 1;
        at.D = at.ldkv = s->C;
    }
    const vt_windows *windows = w->chunk->chunks->windows;
    if (windows) at.mask = vt_windows_mask(windows, (w->chunk->first + unit) % windows->count);
    if (w->chunk->pass->stochastic && s->attn_drop > 0) {
        *d = vt_chunk_dropout(w->chunk, s->attn_drop, unit, VT_SITE_ATTN);
        at.drop = d;
    }
    return at;
}

// What attention reads of one unit, or its gradients.
typedef struct unit_view {
    void *q, *k, *v;
} unit_view;

// A unit's queries, or the outputs that answer them.
static void *queries_at(const vt_attention *at, const void *q, int unit)
{
    return vt_at(q, at->type, (size_t)unit * (size_t)(at->R * at->H) * (size_t)at->D);
}

// kv: of `type`; where few ask, norm1's output is both.
static unit_view unit_at(const vt_attention *at, const void *q, const void *kv, vt_elem type,
                         int unit)
{
    const size_t i = (size_t)unit, C = (size_t)at->H * (size_t)at->D;
    char *k = vt_at(kv, type, i * (size_t)at->T * (size_t)at->ldkv);
    return (unit_view){
        .q = queries_at(at, q, unit), .k = k, .v = vt_at(k, type, (size_t)at->ldkv - C)};
}

static void *maps_at(const vt_block_work *w, int unit)
{
    const vt_block_shape *s = w->shape;
    const size_t map = (size_t)s->H * (size_t)w->chunk->R * (size_t)vt_map_ld(s->T);
    return w->saved->maps ? vt_at(w->saved->maps, s->type, (size_t)unit * map) : NULL;
}

// y: (count,R,C), or (count,R,H,C), out
static void attend(const vt_block_work *w, void *y, const void *q, const void *kv, bool heard)
{
    const vt_block_shape *s = w->shape;
    const vt_chunk *chunk = w->chunk;
    const int heads = few_ask(w) ? s->H : 1; // of a map, their rows in turn
    const vt_windows *windows = chunk->chunks->windows;
    for (int i = 0; i < chunk->count; i++) {
        const int window = windows ? (chunk->first + i) % windows->count : 0;
        vt_dropout d;
        vt_attention at = attention_of(w, &d, i);
        const unit_view v = unit_at(&at, q, kv, s->type, i);
        listener l = {
            chunk->pass,
            {.layer = chunk->layer,
             .sample = vt_chunk_image(chunk, i),
             .window = window,
             .tokens = windows ? windows->tokens + (size_t)window * (size_t)s->T : NULL,
             .H = s->H,
             .R = chunk->R,
             .T = s->T,
             .ld = vt_map_ld(s->T) * heads,
             .x = w->saved->x + (size_t)vt_chunk_rows_before(chunk, i, s->T) * (size_t)s->C},
            heads};
        if (heard && chunk->pass->n_hooks > 0) {
            at.on_map = on_map;
            at.self = &l;
        }
        vt_attention_forward(queries_at(&at, y, i), maps_at(w, i), v.q, v.k, v.v,
                             w->scratch->attention, &at);
    }
}

// ---- forward ----

static void forward_attention(const vt_block_work *w, bool heard)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_param *p = w->param;
    const vt_block_scratch *scratch = w->scratch;
    const vt_span rows = whole(w, w->chunk->R), out = {0, vt_chunk_rows(w->chunk)};
    const bool padded = vt_chunk_padded(w->chunk);
    void *normed = padded ? scratch->asking : scratch->normed;
    vt_layernorm_forward(normed, s->type, saved->mean1, saved->rstd1, saved->x,
                         w->weights + p->norm1_w, w->weights + p->norm1_b, s->norm_eps,
                         vt_chunk_tokens(w->chunk, s), s->C);
    if (padded) vt_chunk_spread(scratch->normed, normed, s, w->chunk);
    const void *asking = vt_chunk_asking(scratch->asking, scratch->normed, s, w->chunk);
    linear(w, saved->q, s->type, asking, VT_BLOCK_Q, rows.rows);
    leave_normed1(w, asking);
    void *y = scratch->asking;
    if (few_ask(w)) {
        widen(w, saved->kv, saved->q, VT_KEYS); // kv is the wide q
        attend(w, scratch->wide, saved->kv, scratch->normed, heard);
        narrow(w, y, scratch->wide, VT_VALUES);
    } else {
        linear(w, saved->kv, s->type, scratch->normed, VT_BLOCK_KV, rows.rows);
        attend(w, y, saved->q, saved->kv, heard);
    }
    leave(w, saved->inputs.y, y, s->type, s->C, false, rows.rows, &rows);
    linear(w, scratch->branch, VT_REAL, y, VT_BLOCK_PROJ, rows.rows);
    if (padded) vt_chunk_collect(scratch->branch, s, w->chunk);
    vt_span_drop(scratch->branch, VT_REAL, w->chunk, &out, s->drop, VT_SITE_PROJ, s->C);
    layer_scale(w, 0, &out);
    vt_span_residual(saved->mid, saved->x, s->T, scratch->branch, w->chunk, &out, 0, s->C);
}

// out: the chunk's, or NULL.
static void forward_mlp(const vt_block_work *w, vt_real *out, const vt_span *rows)
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
    leave(w, saved->inputs.normed2, scratch->normed, s->type, s->C, false, vt_chunk_rows(w->chunk),
          rows);
    linear(w, hidden, s->type, scratch->normed, VT_BLOCK_FC1, rows->rows);
    vt_gelu_forward(scratch->act, hidden, s->type, (size_t)rows->rows * F);
    vt_span_drop(scratch->act, s->type, w->chunk, rows, s->drop, VT_SITE_ACT, s->F);
    leave(w, saved->inputs.act, scratch->act, s->type, s->F, false, vt_chunk_rows(w->chunk), rows);
    if (!out && !saved->branch[1]) return;
    linear(w, scratch->branch, VT_REAL, scratch->act, VT_BLOCK_FC2, rows->rows);
    vt_span_drop(scratch->branch, VT_REAL, w->chunk, rows, s->drop, VT_SITE_FC2, s->C);
    layer_scale(w, 1, rows);
    if (!out) return;
    vt_span_residual(out + first * C, saved->mid, w->chunk->R, scratch->branch, w->chunk, rows, 1,
                     s->C);
}

void vt_block_forward(vt_real *out, const vt_block_work *w)
{
    forward_attention(w, out != NULL);
    for (int i = 0; i < vt_mlp_spans(w->chunk, w->shape->type); i++) {
        const vt_span rows = vt_mlp_span(w->chunk, w->shape->type, i);
        forward_mlp(w, out, &rows);
    }
}

// ---- backward ----

// Norm2's and GELU's outputs again; GELU's is at hand.
static void leave_mlp_inputs(const vt_block_work *w, const vt_span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const size_t first = (size_t)rows->row;
    void *normed = w->scratch->asking;
    vt_span_drop(w->scratch->act, s->type, w->chunk, rows, s->drop, VT_SITE_ACT, s->F);
    leave(w, saved->inputs.act, w->scratch->act, s->type, s->F, false, vt_chunk_rows(w->chunk),
          rows);
    vt_layernorm_again(normed, s->type, saved->mid + first * (size_t)s->C,
                       w->weights + w->param->norm2_w, w->weights + w->param->norm2_b,
                       saved->mean2 + first, saved->rstd2 + first, rows->rows, s->C);
    leave(w, saved->inputs.normed2, normed, s->type, s->C, false, vt_chunk_rows(w->chunk), rows);
}

static void backward_mlp(const vt_block_work *w, vt_real *dout, const vt_block_grads *g,
                         vt_real *sums, bool again, const vt_span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const int C = s->C, k = vt_chunk_rows(w->chunk);
    const size_t first = (size_t)rows->row;
    const void *hidden = vt_at(saved->hidden, s->type, first * (size_t)s->F);
    vt_real *dx = dout + first * (size_t)C;
    void *dfc2 = scratch->normed, *dhidden = scratch->dact;
    branch_gradient(w, dfc2, dx, rows, 1, sums);
    vt_span_drop(dfc2, s->type, w->chunk, rows, s->drop, VT_SITE_FC2, C);
    leave(w, g->dy[VT_BLOCK_FC2], dfc2, s->type, C, true, k, rows);
    linear_input(w, dhidden, s->type, dfc2, VT_BLOCK_FC2, VT_SET, rows->rows);
    vt_span_drop(dhidden, s->type, w->chunk, rows, s->drop, VT_SITE_ACT, s->F);
    vt_gelu_backward(dhidden, again ? scratch->act : NULL, dhidden, hidden, s->type,
                     (size_t)rows->rows * (size_t)s->F);
    if (again) leave_mlp_inputs(w, rows);
    leave(w, g->dy[VT_BLOCK_FC1], dhidden, s->type, s->F, true, k, rows);
    linear_input(w, scratch->branch, VT_REAL, dhidden, VT_BLOCK_FC1, VT_SET, rows->rows);
    vt_layernorm_backward(dx, sums + 2 * C, sums + 3 * C, scratch->branch,
                          saved->mid + first * (size_t)C, w->weights + w->param->norm2_w,
                          saved->mean2 + first, saved->rstd2 + first, true, rows->rows, C);
}

// dnormed: (count,T,C) out, the gradient of norm1's output; where few ask, += what q takes of it.
static void norm1_output_gradient(const vt_block_work *w, vt_real *dnormed, const void *dq,
                                  const void *dkv)
{
    const vt_block_shape *s = w->shape;
    const int count = w->chunk->count, R = w->chunk->R, C = s->C;
    if (!few_ask(w)) {
        linear_input(w, dnormed, VT_REAL, dkv, VT_BLOCK_KV, VT_SET, count * R);
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

// dq, dkv out, as q and kv, dkv of `type`; dy: as attend's y.
static void attend_backward(const vt_block_work *w, void *dq, void *dkv, vt_elem type,
                            const void *dy, const void *q, const void *kv, const vt_block_grads *g)
{
    const vt_block_shape *s = w->shape;
    const size_t maps = (size_t)s->H * (size_t)s->T * (size_t)s->T;
    vt_real *dbias = s->window_h > 0 ? w->scratch->dbias : NULL;
    if (dbias) memset(dbias, 0, maps * sizeof *dbias);
    for (int i = 0; i < w->chunk->count; i++) {
        vt_dropout d;
        const vt_attention at = attention_of(w, &d, i);
        const unit_view v = unit_at(&at, q, kv, s->type, i), dv = unit_at(&at, dq, dkv, type, i);
        vt_attention_backward(dv.q, dv.k, dv.v, dbias, queries_at(&at, dy, i), v.q, v.k, v.v,
                              maps_at(w, i), w->scratch->attention, &at);
    }
    if (!dbias) return;
    const size_t table = (size_t)vt_window_offsets(s->window_h, s->window_w) * (size_t)s->H;
    vt_real *sums = g->tables + (size_t)w->chunk->index * table;
    memset(sums, 0, table * sizeof *sums);
    vt_window_bias_backward(sums, dbias, s->H, s->window_h, s->window_w);
}

// Norm1's output again in scratch->normed, with rows of padding, by way of scratch->asking.
static void normed1_again(const vt_block_work *w)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    void *normed = w->scratch->normed, *unpadded = w->scratch->asking;
    const bool padded = vt_chunk_padded(w->chunk);
    vt_layernorm_again(padded ? unpadded : normed, s->type, saved->x,
                       w->weights + w->param->norm1_w, w->weights + w->param->norm1_b, saved->mean1,
                       saved->rstd1, vt_chunk_tokens(w->chunk, s), s->C);
    if (padded) vt_chunk_spread(normed, unpadded, s, w->chunk);
}

static void backward_attention(const vt_block_work *w, vt_real *dx, vt_real *dout,
                               const vt_block_grads *g, vt_real *sums, bool again)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const vt_block_param *p = w->param;
    const int C = s->C;
    const bool padded = vt_chunk_padded(w->chunk), few = few_ask(w);
    const vt_span asking = whole(w, w->chunk->R), out = {0, vt_chunk_rows(w->chunk)};
    void *dproj = scratch->normed, *dy = scratch->asking, *dq = scratch->act, *dkv = scratch->dkv;
    void *dbranch = padded ? scratch->asking : dproj;
    vt_real *dnormed = scratch->branch;
    branch_gradient(w, dbranch, dout, &out, 0, sums);
    vt_span_drop(dbranch, s->type, w->chunk, &out, s->drop, VT_SITE_PROJ, C);
    if (padded) vt_chunk_spread(dproj, dbranch, s, w->chunk);
    leave(w, g->dy[VT_BLOCK_PROJ], dproj, s->type, C, true, asking.rows, &asking);
    linear_input(w, dy, s->type, dproj, VT_BLOCK_PROJ, VT_SET, asking.rows);
    if (few) {
        assert(!padded); // dy is where it would pass by
        normed1_again(w);
        widen(w, scratch->wide, dy, VT_VALUES);
        attend_backward(w, dkv, dnormed, VT_REAL, scratch->wide, saved->kv, scratch->normed, g);
        narrow(w, dq, dkv, VT_KEYS);
    } else {
        attend_backward(w, dq, dkv, s->type, dy, saved->q, saved->kv, g);
        leave(w, g->dy[VT_BLOCK_KV], dkv, s->type, 2 * C, true, asking.rows, &asking);
        if (again) normed1_again(w);
    }
    leave(w, g->dy[VT_BLOCK_Q], dq, s->type, C, true, asking.rows, &asking);
    if (again) leave_normed1(w, vt_chunk_asking(scratch->asking, scratch->normed, s, w->chunk));
    norm1_output_gradient(w, dnormed, dq, dkv);
    if (padded) vt_chunk_collect(dnormed, s, w->chunk);
    spread(dx, dout, s, w->chunk);
    vt_layernorm_backward(dx, sums, sums + C, dnormed, saved->x, w->weights + p->norm1_w,
                          saved->mean1, saved->rstd1, true, vt_chunk_tokens(w->chunk, s), C);
}

void vt_block_backward(vt_real *dx, vt_real *dout, const vt_block_grads *g, bool again,
                       const vt_block_work *w)
{
    const size_t values = VT_BLOCK_SUMS * (size_t)w->shape->C;
    vt_real *sums = g->sums + (size_t)w->chunk->index * values;
    memset(sums, 0, values * sizeof *sums);
    for (int i = 0; i < vt_mlp_spans(w->chunk, w->shape->type); i++) {
        const vt_span rows = vt_mlp_span(w->chunk, w->shape->type, i);
        backward_mlp(w, dout, g, sums, again, &rows);
    }
    backward_attention(w, dx, dout, g, sums, again);
}

vt_block_saved vt_block_recall(const vt_block_work *w, const vt_block_inputs *again,
                               vt_recompute recompute)
{
    if (recompute != VT_RECOMPUTE_BLOCK) return vt_block_saved_at(w);
    const size_t before = vt_rows_before(w->chunk->chunks, w->chunk->first, w->shape->T);
    vt_block_saved computed = w->scratch->chunk;
    computed.x = w->saved->x + before * (size_t)w->shape->C;
    computed.inputs = *again;
    vt_block_work once_more = *w;
    once_more.saved = &computed;
    vt_block_forward(NULL, &once_more);
    return computed;
}
