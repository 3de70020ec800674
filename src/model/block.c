// The transformer block of ViT, DeiT and Swin.
//
// A chunk goes through the block in one thread's cache: the MLP takes it a few rows at a time, attention
// an image or window at a time. The backward pass of a chunk leaves the inputs and the output gradients of the
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

static vt_dropout dropout_at(const vt_chunk *chunk, double p, int unit, int site)
{
    return (vt_dropout){.p = p,
                        .seed = chunk->pass->seed,
                        .stream = (uint32_t)(VT_STREAM_DROPOUT + 1 + chunk->layer * SITES + site),
                        .step = chunk->pass->step,
                        .sample = (uint32_t)(chunk->first + unit)};
}

// Which image a unit is, or is a window of.
static int image_of(const vt_chunk *chunk, int unit)
{
    const vt_windows *w = chunk->chunks->windows;
    return (chunk->first + unit) / (w ? w->count : 1);
}

// Branch 0 is attention, 1 the MLP.
static vt_real branch_scale(const vt_chunk *chunk, int unit, int branch)
{
    if (!chunk->pass->stochastic) return 1;
    return vt_drop_path_scale(chunk->drop_path, chunk->pass->seed, chunk->pass->step,
                              (uint32_t)image_of(chunk, unit),
                              (uint32_t)(2 * chunk->layer + branch));
}

static bool is_padded(const vt_chunk *chunk)
{
    return chunk->chunks->windows && chunk->chunks->windows->padded;
}

// The chunk's rows before one of its units, where a whole unit has `each`; of padding none.
static int rows_before(const vt_chunk *chunk, int unit, int each)
{
    return (int)(vt_rows_before(chunk->chunks, chunk->first + unit, each) -
                 vt_rows_before(chunk->chunks, chunk->first, each));
}

// Tokens that enter the block, rows that leave it.
static int tokens_of(const vt_chunk *chunk, const vt_block_shape *s)
{
    return rows_before(chunk, chunk->count, s->T);
}

static int rows_of(const vt_chunk *chunk)
{
    return rows_before(chunk, chunk->count, chunk->R);
}

// Some of a chunk's rows, `row` .. `row + rows - 1`.
typedef struct span {
    int row, rows;
} span;

// The part of a span that lies in one unit, beginning at its row `at`: (unit, first row in it, rows).
typedef struct unit_part {
    int unit, token, rows;
} unit_part;

static unit_part part_at(const vt_chunk *chunk, const span *s, int at)
{
    const int row = s->row + at;
    int unit = row / chunk->R; // or a later one, where some have padding
    while (rows_before(chunk, unit + 1, chunk->R) <= row) unit++;
    const int token = row - rows_before(chunk, unit, chunk->R);
    const int left = s->rows - at, rest = rows_before(chunk, unit + 1, chunk->R) - row;
    return (unit_part){unit, token, left < rest ? left : rest};
}

// Dropout of a span's rows, `width` numbers each, in place. x: the span's first row.
static void drop(void *x, vt_elem type, const vt_chunk *chunk, const span *s, double p, int site,
                 int width)
{
    if (!chunk->pass->stochastic || p <= 0) return;
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const vt_dropout d = dropout_at(chunk, p, piece.unit, site);
        void *rows = vt_at(x, type, (size_t)at * (size_t)width);
        vt_dropout_apply(rows, rows, type, &d, (size_t)piece.token * (size_t)width,
                         (size_t)piece.rows * (size_t)width);
        at += piece.rows;
    }
}

// out = in + scale_of_image branch, for a span's rows of out and branch; in has tokens_in rows a unit
// and begins with the chunk's first.
static void residual(vt_real *out, const vt_real *in, int tokens_in, const vt_real *branch,
                     const vt_chunk *chunk, const span *s, int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const size_t to = (size_t)at * (size_t)C,
                     from = (size_t)(rows_before(chunk, piece.unit, tokens_in) + piece.token) *
                            (size_t)C;
        vt_add_scaled(out + to, in + from, branch_scale(chunk, piece.unit, which), branch + to,
                      (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

// dbranch = scale_of_image dx, for a span's rows.
static void residual_backward(void *dbranch, vt_elem type, const vt_real *dx, const vt_chunk *chunk,
                              const span *s, int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const size_t row = (size_t)at * (size_t)C;
        vt_scale(vt_at(dbranch, type, row), type, branch_scale(chunk, piece.unit, which), dx + row,
                 (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

// How many spans the MLP takes a chunk in, and one of them.
static int mlp_spans(const vt_chunk *chunk)
{
    return (rows_of(chunk) + MLP_ROWS - 1) / MLP_ROWS;
}

static span mlp_span(const vt_chunk *chunk, int i)
{
    const int rows = rows_of(chunk), spans = mlp_spans(chunk);
    const int first = vt_share(rows, ROW_MULTIPLE, i, spans);
    return (span){first, vt_share(rows, ROW_MULTIPLE, i + 1, spans) - first};
}

// The rows that ask, packed together: all of them, or the first R of each unit's T.
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

// Leaves a span's rows x: (rows,n) as panels, of the chunk's `k` rows.
static void leave(const work *w, char *place, const void *x, vt_elem type, int n, bool left, int k,
                  const span *s)
{
    if (!place) return;
    const vt_chunk *c = w->chunk;
    const vt_panels p = vt_chunk_panels(place, w->shape->type, c->chunks, c->index, k, n, left);
    vt_panels_pack_all(&p, s->row, x, type, n, VT_N, s->rows);
}

// All rows where a unit has `each`, padding too.
static span whole(const work *w, int each)
{
    return (span){0, w->chunk->count * each};
}

// The chunk's tokens put where windows have them, and zeros for padding.
static void spread_windows(const work *w, void *to, const void *from)
{
    const vt_windows *windows = w->chunk->chunks->windows;
    const size_t row = (size_t)w->shape->C * vt_elem_size(w->shape->type);
    const int T = w->shape->T, rows = w->chunk->count * T;
    const int32_t *tokens = windows->tokens;
    for (int i = 0; i < rows; i++, to = (char *)to + row) {
        const int window = (w->chunk->first + i / T) % windows->count;
        const bool real = tokens[window * T + i % T] >= 0;
        if (real)
            memcpy(to, from, row);
        else
            memset(to, 0, row);
        if (real) from = (const char *)from + row;
    }
}

// The way back, in place.
static void collect_tokens(const work *w, vt_real *x)
{
    const vt_windows *windows = w->chunk->chunks->windows;
    const size_t C = (size_t)w->shape->C;
    const int T = w->shape->T, rows = w->chunk->count * T;
    size_t to = 0;
    for (int i = 0; i < rows; i++) {
        const int window = (w->chunk->first + i / T) % windows->count;
        if (windows->tokens[window * T + i % T] < 0) continue;
        memmove(x + to, x + (size_t)i * C, C * sizeof *x);
        to += C;
    }
}

// Norm1's output for kv, and for q the rows of it that ask.
static void leave_normed1(const work *w, const void *normed, const void *asking)
{
    const vt_block_shape *s = w->shape;
    const span all = whole(w, s->T), few = whole(w, w->chunk->R);
    leave(w, w->saved->inputs.normed1, normed, s->type, s->C, false, all.rows, &all);
    if (w->chunk->R < s->T)
        leave(w, w->saved->inputs.asking, asking, s->type, s->C, false, few.rows, &few);
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

static vt_attention attention_of(const work *w, vt_dropout *d, int unit)
{
    const vt_block_shape *s = w->shape;
    vt_attention at = {.T = s->T,
                       .R = w->chunk->R,
                       .H = s->H,
                       .D = s->C / s->H,
                       .type = s->type,
                       .ldq = s->C,
                       .ldkv = 2 * s->C,
                       .bias = w->packed->bias};
    const vt_windows *windows = w->chunk->chunks->windows;
    if (windows) at.mask = vt_windows_mask(windows, (w->chunk->first + unit) % windows->count);
    if (w->chunk->pass->stochastic && s->attn_drop > 0) {
        *d = dropout_at(w->chunk, s->attn_drop, unit, SITE_ATTN);
        at.drop = d;
    }
    return at;
}

// One unit's part of what attention reads and keeps.
typedef struct unit_view {
    void *q, *k, *v, *maps;
} unit_view;

static unit_view unit_at(const work *w, const void *q, const void *kv, int unit)
{
    const vt_block_shape *s = w->shape;
    const size_t i = (size_t)unit, C = (size_t)s->C, R = (size_t)w->chunk->R, T = (size_t)s->T;
    char *k = vt_at(kv, s->type, i * T * 2 * C);
    const size_t map = (size_t)s->H * R * (size_t)vt_map_ld(s->T);
    return (unit_view){
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
    const vt_windows *windows = chunk->chunks->windows;
    for (int i = 0; i < chunk->count; i++) {
        const int window = windows ? (chunk->first + i) % windows->count : 0;
        vt_dropout d;
        vt_attention at = attention_of(w, &d, i);
        const unit_view v = unit_at(w, w->saved->q, w->saved->kv, i);
        listener l = {chunk->pass,
                      {.layer = chunk->layer,
                       .sample = image_of(chunk, i),
                       .window = window,
                       .tokens = windows ? windows->tokens + (size_t)window * (size_t)s->T : NULL,
                       .H = s->H,
                       .R = chunk->R,
                       .T = s->T,
                       .ld = vt_map_ld(s->T),
                       .x = w->saved->x + (size_t)rows_before(chunk, i, s->T) * (size_t)s->C}};
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
    const span few = whole(w, w->chunk->R), out = {0, rows_of(w->chunk)};
    const bool padded = is_padded(w->chunk);
    void *normed = padded ? scratch->asking : scratch->normed;
    vt_layernorm_forward(normed, s->type, saved->mean1, saved->rstd1, saved->x,
                         w->weights + p->norm1_w, w->weights + p->norm1_b, s->norm_eps,
                         tokens_of(w->chunk, s), s->C);
    if (padded) spread_windows(w, scratch->normed, normed);
    linear(w, saved->kv, s->type, scratch->normed, VT_BLOCK_KV, w->chunk->count * s->T);
    const void *asking = asking_rows(scratch->asking, scratch->normed, s, w->chunk);
    linear(w, saved->q, s->type, asking, VT_BLOCK_Q, few.rows);
    leave_normed1(w, scratch->normed, asking);
    void *y = scratch->asking;
    attend(w, y, heard);
    leave(w, saved->inputs.y, y, s->type, s->C, false, few.rows, &few);
    linear(w, scratch->branch, VT_REAL, y, VT_BLOCK_PROJ, few.rows);
    if (padded) collect_tokens(w, scratch->branch);
    drop(scratch->branch, VT_REAL, w->chunk, &out, s->drop, SITE_PROJ, s->C);
    residual(saved->mid, saved->x, s->T, scratch->branch, w->chunk, &out, 0, s->C);
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
    leave(w, saved->inputs.normed2, scratch->normed, s->type, s->C, false, rows_of(w->chunk), rows);
    linear(w, hidden, s->type, scratch->normed, VT_BLOCK_FC1, rows->rows);
    vt_gelu_forward(scratch->act, hidden, s->type, (size_t)rows->rows * F);
    drop(scratch->act, s->type, w->chunk, rows, s->drop, SITE_ACT, s->F);
    leave(w, saved->inputs.act, scratch->act, s->type, s->F, false, rows_of(w->chunk), rows);
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
    leave(w, saved->inputs.act, w->scratch->act, s->type, s->F, false, rows_of(w->chunk), rows);
    vt_layernorm_again(normed, s->type, saved->mid + first * (size_t)s->C,
                       w->weights + w->param->norm2_w, w->weights + w->param->norm2_b,
                       saved->mean2 + first, saved->rstd2 + first, rows->rows, s->C);
    leave(w, saved->inputs.normed2, normed, s->type, s->C, false, rows_of(w->chunk), rows);
}

static void backward_mlp(const work *w, vt_real *dout, const vt_block_grads *g, vt_real *norms,
                         bool again, const span *rows)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const int C = s->C, k = rows_of(w->chunk);
    const size_t first = (size_t)rows->row;
    const void *hidden = vt_at(saved->hidden, s->type, first * (size_t)s->F);
    vt_real *dx = dout + first * (size_t)C;
    void *dfc2 = scratch->normed, *dhidden = scratch->dact;
    residual_backward(dfc2, s->type, dx, w->chunk, rows, 1, C);
    drop(dfc2, s->type, w->chunk, rows, s->drop, SITE_FC2, C);
    leave(w, g->dy[VT_BLOCK_FC2], dfc2, s->type, C, true, k, rows);
    linear_input(w, dhidden, s->type, dfc2, VT_BLOCK_FC2, VT_SET, rows->rows);
    drop(dhidden, s->type, w->chunk, rows, s->drop, SITE_ACT, s->F);
    vt_gelu_backward(dhidden, again ? scratch->act : NULL, dhidden, hidden, s->type,
                     (size_t)rows->rows * (size_t)s->F);
    if (again) leave_mlp_inputs(w, rows);
    leave(w, g->dy[VT_BLOCK_FC1], dhidden, s->type, s->F, true, k, rows);
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

// dq: (count,R,C), dkv: (count,T,2C) out; dy: (count,R,C).
static void attend_backward(const work *w, void *dq, void *dkv, const void *dy,
                            const vt_block_grads *g)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const size_t unit = (size_t)w->chunk->R * (size_t)s->C;
    const size_t maps = (size_t)s->H * (size_t)s->T * (size_t)s->T;
    vt_real *dbias = s->window_h > 0 ? w->scratch->dbias : NULL;
    if (dbias) memset(dbias, 0, maps * sizeof *dbias);
    for (int i = 0; i < w->chunk->count; i++) {
        vt_dropout d;
        const vt_attention at = attention_of(w, &d, i);
        const unit_view v = unit_at(w, saved->q, saved->kv, i), dv = unit_at(w, dq, dkv, i);
        vt_attention_backward(dv.q, dv.k, dv.v, dbias, vt_at(dy, s->type, (size_t)i * unit), v.q,
                              v.k, v.v, v.maps, w->scratch->attention, &at);
    }
    if (!dbias) return;
    const size_t table = (size_t)vt_window_offsets(s->window_h, s->window_w) * (size_t)s->H;
    vt_real *sums = g->tables + (size_t)w->chunk->index * table;
    memset(sums, 0, table * sizeof *sums);
    vt_window_bias_backward(sums, dbias, s->H, s->window_h, s->window_w);
}

static void backward_attention(const work *w, vt_real *dx, vt_real *dout, const vt_block_grads *g,
                               vt_real *norms, bool again)
{
    const vt_block_shape *s = w->shape;
    const vt_block_saved *saved = w->saved;
    const vt_block_scratch *scratch = w->scratch;
    const vt_block_param *p = w->param;
    const int C = s->C, M = tokens_of(w->chunk, s);
    const bool padded = is_padded(w->chunk);
    const span few = whole(w, w->chunk->R), all = whole(w, s->T), out = {0, rows_of(w->chunk)};
    void *dproj = scratch->normed, *dy = scratch->asking, *dq = scratch->act, *dkv = scratch->dkv;
    void *dbranch = padded ? scratch->asking : dproj;
    residual_backward(dbranch, s->type, dout, w->chunk, &out, 0, C);
    drop(dbranch, s->type, w->chunk, &out, s->drop, SITE_PROJ, C);
    if (padded) spread_windows(w, dproj, dbranch);
    leave(w, g->dy[VT_BLOCK_PROJ], dproj, s->type, C, true, few.rows, &few);
    linear_input(w, dy, s->type, dproj, VT_BLOCK_PROJ, VT_SET, few.rows);
    attend_backward(w, dq, dkv, dy, g);
    leave(w, g->dy[VT_BLOCK_Q], dq, s->type, C, true, few.rows, &few);
    leave(w, g->dy[VT_BLOCK_KV], dkv, s->type, 2 * C, true, all.rows, &all);
    if (again) {
        void *normed = padded ? scratch->asking : scratch->normed;
        vt_layernorm_again(normed, s->type, saved->x, w->weights + p->norm1_w,
                           w->weights + p->norm1_b, saved->mean1, saved->rstd1, M, C);
        if (padded) spread_windows(w, scratch->normed, normed);
        leave_normed1(w, scratch->normed,
                      asking_rows(scratch->asking, scratch->normed, s, w->chunk));
    }
    norm1_output_gradient(w, scratch->branch, dq, dkv);
    if (padded) collect_tokens(w, scratch->branch);
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

vt_block_saved vt_block_recall(const vt_block_saved *saved, const vt_block_inputs *again,
                               const vt_block_packed *packed, const vt_block_param *p,
                               const vt_block_shape *s, const vt_real *weights,
                               const vt_block_scratch *scratch, const vt_chunk *chunk,
                               vt_recompute recompute)
{
    if (recompute != VT_RECOMPUTE_BLOCK) return vt_block_saved_at(saved, s, chunk);
    vt_block_saved computed = scratch->chunk;
    computed.x = saved->x + vt_rows_before(chunk->chunks, chunk->first, s->T) * (size_t)s->C;
    computed.inputs = *again;
    vt_block_forward(NULL, &computed, packed, p, s, weights, scratch, chunk);
    return computed;
}
