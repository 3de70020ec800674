// A block's tensors: declared under timm's names, packed for the products, and their gradients:
// products over the whole batch, with their output rows shared out to the threads, summed in the
// order of chunks.
#include "block.h"

#include <stdio.h>

vt_status vt_linear_declare(vt_params *params, vt_linear_param *param, vt_init init, bool bias,
                            int I, int O, const char *prefix)
{
    *param = (vt_linear_param){.has_bias = bias, .I = I, .O = O};
    VT_TRY(vt_params_add(params, &param->w, init, true, 2, (int64_t[]){O, I}, "%s.weight", prefix));
    if (bias)
        VT_TRY(vt_params_add(params, &param->b, VT_INIT_ZEROS, false, 1, (int64_t[]){O}, "%s.bias",
                             prefix));
    return VT_OK;
}

vt_status vt_norm_declare(vt_params *params, size_t *w, size_t *b, int C, const char *prefix)
{
    const int64_t shape[] = {C};
    VT_TRY(vt_params_add(params, w, VT_INIT_ONES, false, 1, shape, "%s.weight", prefix));
    return vt_params_add(params, b, VT_INIT_ZEROS, false, 1, shape, "%s.bias", prefix);
}

enum { PREFIX_BYTES = 64 };

static vt_status declare_norm(vt_params *params, size_t *w, size_t *b, int C, const char *block,
                              const char *name)
{
    char prefix[PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "%s.%s", block, name);
    return vt_norm_declare(params, w, b, C, prefix);
}

static vt_status declare_linear(vt_params *params, vt_linear_param *param, bool bias, int I, int O,
                                const char *block, const char *name)
{
    char prefix[PREFIX_BYTES];
    snprintf(prefix, sizeof prefix, "%s.%s", block, name);
    return vt_linear_declare(params, param, VT_INIT_TRUNC_NORMAL_02, bias, I, O, prefix);
}

static vt_status declare_gamma(vt_params *params, size_t *gamma, const vt_block_shape *s,
                               const char *block, const char *name)
{
    if (s->layer_scale <= 0) return VT_OK;
    VT_TRY(vt_params_add(params, gamma, VT_INIT_CONSTANT, false, 1, (int64_t[]){s->C},
                         "%s.%s.gamma", block, name));
    params->rows[params->count - 1].value = s->layer_scale;
    return VT_OK;
}

vt_status vt_block_declare(vt_params *params, vt_block_param *p, const vt_block_shape *s,
                           bool qkv_bias, const char *prefix)
{
    VT_TRY(declare_norm(params, &p->norm1_w, &p->norm1_b, s->C, prefix, "norm1"));
    if (s->window_h > 0)
        VT_TRY(vt_params_add(params, &p->table, VT_INIT_TRUNC_NORMAL_02, false, 2,
                             (int64_t[]){vt_window_offsets(s->window_h, s->window_w), s->H},
                             "%s.attn.relative_position_bias_table", prefix));
    VT_TRY(declare_linear(params, &p->qkv, qkv_bias, s->C, 3 * s->C, prefix, "attn.qkv"));
    VT_TRY(declare_linear(params, &p->proj, true, s->C, s->C, prefix, "attn.proj"));
    VT_TRY(declare_gamma(params, &p->gamma[0], s, prefix, "ls1"));
    VT_TRY(declare_norm(params, &p->norm2_w, &p->norm2_b, s->C, prefix, "norm2"));
    VT_TRY(declare_linear(params, &p->fc1, true, s->C, s->F, prefix, "mlp.fc1"));
    VT_TRY(declare_linear(params, &p->fc2, true, s->F, s->C, prefix, "mlp.fc2"));
    return declare_gamma(params, &p->gamma[1], s, prefix, "ls2");
}

vt_linear_param vt_block_linear_at(const vt_block_param *p, vt_block_linear which)
{
    const vt_linear_param *l[VT_BLOCK_LINEARS] = {&p->qkv, &p->qkv, &p->proj, &p->fc1, &p->fc2};
    vt_linear_param view = *l[which];
    if (which > VT_BLOCK_KV) return view;
    const size_t C = (size_t)view.I;
    view.O = (int)(which == VT_BLOCK_Q ? C : 2 * C);
    view.w += which == VT_BLOCK_Q ? 0 : C * C;
    view.b += which == VT_BLOCK_Q ? 0 : C;
    return view;
}

// ---- packing ----

static int count_panels(const vt_panels panels[VT_BLOCK_LINEARS])
{
    int count = 0;
    for (int i = 0; i < VT_BLOCK_LINEARS; i++) count += vt_panels_count(&panels[i]);
    return count;
}

int vt_block_pack_tasks(const vt_block_packed *packed, const vt_block_shape *s, bool backward)
{
    return count_panels(packed->forward) + (packed->bias ? s->H : 0) +
           (backward ? count_panels(packed->backward) : 0);
}

static void pack_panel(int panel, const vt_panels panels[VT_BLOCK_LINEARS], vt_trans trans,
                       const vt_block_param *p, const vt_real *weights)
{
    int i = 0;
    for (; panel >= vt_panels_count(&panels[i]); i++) panel -= vt_panels_count(&panels[i]);
    const vt_linear_param l = vt_block_linear_at(p, i);
    vt_panels_pack(&panels[i], panel, 0, weights + l.w, VT_REAL, l.I, trans, panels[i].k);
}

void vt_block_pack(int task, const vt_block_packed *packed, const vt_block_param *p,
                   const vt_block_shape *s, const vt_real *weights)
{
    const int forward = count_panels(packed->forward), heads = packed->bias ? s->H : 0;
    if (task < forward)
        pack_panel(task, packed->forward, VT_T, p, weights);
    else if (task < forward + heads)
        vt_window_bias(packed->bias + (size_t)(task - forward) * (size_t)s->T * (size_t)s->T,
                       weights + p->table, task - forward, s->H, s->window_h, s->window_w);
    else
        pack_panel(task - forward - heads, packed->backward, VT_N, p, weights);
}

// ---- gradients ----

// Sums of about so many steps are at full speed: with one chunk at a time, a DeiT-S step in bf16 is
// 3% slower (Zen 5), in fp32 6%; 400 steps do as well.
enum { GRADIENT_STEPS = 768 };

static int rows_of(const vt_chunks *chunks, int index, int rows)
{
    const int unit = index * chunks->units, left = chunks->B - unit,
              next = unit + (left < chunks->units ? left : chunks->units);
    return (int)(vt_rows_before(chunks, next, rows) - vt_rows_before(chunks, unit, rows));
}

void vt_linear_gradient(vt_real *dw, vt_real *db, const char *dy, const char *x, vt_elem type,
                        int I, int O, int part, int parts, const vt_chunks *chunks, int rows)
{
    const int multiple = vt_panel_width(type, true), first = vt_share(O, multiple, part, parts),
              count = vt_share(O, multiple, part + 1, parts) - first;
    if (count <= 0) return;
    for (int i = 0, together; i < chunks->count; i += together) {
        const int k = rows_of(chunks, i, rows),
                  most = GRADIENT_STEPS / (int)vt_panels_steps(type, k);
        for (together = 1; together < most && i + together < chunks->count; together++)
            if (rows_of(chunks, i + together, rows) != k) break;
        vt_panels a = vt_chunk_panels(dy, type, chunks, i, k, O, true),
                  b = vt_chunk_panels(x, type, chunks, i, k, I, false);
        a.parts = b.parts = together;
        if (i + together < chunks->count) b.next = (char *)b.data + (size_t)together * b.part_bytes;
        const vt_left left = vt_left_panels(&a, first);
        vt_product((vt_rows){dw + (size_t)first * (size_t)I, VT_REAL, I}, &left, &b, NULL, VT_ADD,
                   count);
        if (db) vt_panels_column_sums(db, &a, first, count);
    }
}

void vt_head_gradient(vt_real *slab, const vt_real *dlogits, const vt_real *feature,
                      const vt_linear_param *l, int part, int parts, int B)
{
    const int first = vt_share(l->O, 1, part, parts), end = vt_share(l->O, 1, part + 1, parts);
    if (end > first)
        vt_linear_backward_weight(slab + l->w, slab + l->b, dlogits, feature, l->I, first,
                                  end - first, B, l->I, l->O);
}

// Tasks: the layers' output rows, in so many parts for each thread; the largest first. Each part
// reads the whole of its layer's inputs. Last, norms, LayerScale and position biases.
static const struct {
    vt_block_linear linear;
    int parts;
} gradient_order[VT_BLOCK_LINEARS] = {
    {VT_BLOCK_FC2, 2}, {VT_BLOCK_FC1, 2}, {VT_BLOCK_KV, 1}, {VT_BLOCK_Q, 1}, {VT_BLOCK_PROJ, 1}};

int vt_block_gradient_tasks(int threads)
{
    int tasks = 1;
    for (int i = 0; i < VT_BLOCK_LINEARS; i++) tasks += gradient_order[i].parts * threads;
    return tasks;
}

// Of kv where few ask: part of the heads of keys, then values.
static void few_gradient(vt_real *slab, const vt_linear_param *kv, const vt_block_factors *factors,
                         int H, int part, int parts, int M)
{
    const int C = kv->I, first = vt_share(2 * H, 1, part, parts),
              end = vt_share(2 * H, 1, part + 1, parts);
    for (int i = first; i < end; i++) {
        const int side = i / H, head = i % H, D = C / H;
        const size_t row = (size_t)side * (size_t)C;
        vt_real *db = side == VT_VALUES && kv->has_bias ? slab + kv->b + row : NULL;
        vt_linear_backward_weight(slab + kv->w + row * (size_t)C, db, factors->narrow[side],
                                  factors->wide[side] + (size_t)head * (size_t)C, H * C, head * D,
                                  D, M, C, C);
    }
}

static void other_gradients(vt_real *slab, const vt_block_param *p, const vt_block_shape *s,
                            const vt_block_grads *g, int chunks)
{
    const size_t to[VT_BLOCK_SUMS] = {p->norm1_w, p->norm1_b,  p->norm2_w,
                                      p->norm2_b, p->gamma[0], p->gamma[1]};
    const size_t C = (size_t)s->C, sums = s->layer_scale > 0 ? VT_BLOCK_SUMS : VT_SUM_GAMMA;
    for (size_t chunk = 0; chunk < (size_t)chunks; chunk++)
        for (size_t k = 0; k < sums; k++)
            vt_add(slab + to[k], g->sums + (chunk * VT_BLOCK_SUMS + k) * C, C);
    if (s->window_h == 0) return;
    const size_t table = (size_t)vt_window_offsets(s->window_h, s->window_w) * (size_t)s->H;
    for (int chunk = 0; chunk < chunks; chunk++)
        vt_add(slab + p->table, g->tables + (size_t)chunk * table, table);
}

void vt_block_gradient(int task, int threads, vt_real *slab, const vt_block_inputs *inputs,
                       const vt_block_grads *g, const vt_block_factors *factors,
                       const vt_block_param *p, const vt_block_shape *s, const vt_chunks *chunks,
                       int R)
{
    vt_chunks padded = *chunks; // between norm1 and the projection padding counts
    padded.windows = NULL;
    const char *x[VT_BLOCK_LINEARS] = {inputs->normed1, inputs->normed1, inputs->y, inputs->normed2,
                                       inputs->act};
    for (int i = 0; i < VT_BLOCK_LINEARS; i++) {
        const vt_block_linear which = gradient_order[i].linear;
        const int parts = gradient_order[i].parts * threads;
        if (task < parts) {
            const vt_linear_param l = vt_block_linear_at(p, which);
            const bool mlp = which == VT_BLOCK_FC1 || which == VT_BLOCK_FC2;
            if (which == VT_BLOCK_KV && R < s->T)
                few_gradient(slab, &l, factors, s->H, task, parts, chunks->B * R);
            else
                vt_linear_gradient(slab + l.w, l.has_bias ? slab + l.b : NULL, g->dy[which],
                                   x[which], s->type, l.I, l.O, task, parts, mlp ? chunks : &padded,
                                   R);
            return;
        }
        task -= parts;
    }
    other_gradients(slab, p, s, g, chunks->count);
}
