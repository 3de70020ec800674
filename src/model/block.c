// The transformer block of ViT and DeiT.
//
// Forward keeps the input, qkv, the attention maps, attention's output, the middle and the MLP's hidden
// layer before GELU; the outputs of the norms and of GELU are computed again in the backward pass, which
// costs little and saves a third of the memory. The backward pass of a chunk leaves the inputs and the
// output gradients of the four linear layers behind; their weight gradients are then products over the
// whole batch, with their output rows shared out to the threads.
#include "block.h"

#include "vitrain/base/rng.h"

#include <stdio.h>

// Dropout's sites in a block; site 0 of the model is the one after the position embedding.
enum { SITE_ATTN, SITE_PROJ, SITE_ACT, SITE_FC2, SITES };

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

static vt_status declare_norm(vt_params *params, size_t *w, size_t *b, int C, int layer, int which)
{
    VT_TRY(vt_params_add(params, w, VT_INIT_ONES, false, 1, (int64_t[]){C},
                         "blocks.%d.norm%d.weight", layer, which));
    return vt_params_add(params, b, VT_INIT_ZEROS, false, 1, (int64_t[]){C},
                         "blocks.%d.norm%d.bias", layer, which);
}

static vt_status declare_linear(vt_params *params, vt_linear_param *param, bool bias, int I, int O,
                                int layer, const char *name)
{
    char prefix[48];
    snprintf(prefix, sizeof prefix, "blocks.%d.%s", layer, name);
    return vt_linear_declare(params, param, VT_INIT_TRUNC_NORMAL_02, bias, I, O, prefix);
}

vt_status vt_block_declare(vt_params *params, vt_block_param *p, const vt_block_shape *s,
                           bool qkv_bias, int layer)
{
    VT_TRY(declare_norm(params, &p->norm1_w, &p->norm1_b, s->C, layer, 1));
    VT_TRY(declare_linear(params, &p->qkv, qkv_bias, s->C, 3 * s->C, layer, "attn.qkv"));
    VT_TRY(declare_linear(params, &p->proj, true, s->C, s->C, layer, "attn.proj"));
    VT_TRY(declare_norm(params, &p->norm2_w, &p->norm2_b, s->C, layer, 2));
    VT_TRY(declare_linear(params, &p->fc1, true, s->C, s->F, layer, "mlp.fc1"));
    return declare_linear(params, &p->fc2, true, s->F, s->C, layer, "mlp.fc2");
}

// count x a x b elements
static vt_real *take(vt_arena *arena, int count, size_t a, int b)
{
    return VT_ARENA_TAKE(arena, vt_real, (size_t)count * a * (size_t)b);
}

void vt_block_saved_place(vt_block_saved *saved, vt_arena *arena, const vt_block_shape *s,
                          int images, int maps)
{
    const size_t T = (size_t)s->T;
    saved->x = take(arena, images, T, s->C);
    saved->mean1 = take(arena, images, T, 1);
    saved->rstd1 = take(arena, images, T, 1);
    saved->qkv = take(arena, images, T, 3 * s->C);
    saved->maps = take(arena, maps, T * T, s->H);
    saved->y = take(arena, images, T, s->C);
    saved->mid = take(arena, images, T, s->C);
    saved->mean2 = take(arena, images, T, 1);
    saved->rstd2 = take(arena, images, T, 1);
    saved->hidden = take(arena, images, T, s->F);
}

void vt_block_scratch_place(vt_block_scratch *scratch, vt_arena *arena, const vt_block_shape *s,
                            int images)
{
    const size_t T = (size_t)s->T;
    scratch->normed = take(arena, images, T, s->C);
    scratch->act = take(arena, images, T, s->F);
    scratch->square = take(arena, 2, T, s->T);
}

void vt_block_grads_place(vt_block_grads *grads, vt_arena *arena, const vt_block_shape *s,
                          int images, int chunks)
{
    const size_t T = (size_t)s->T;
    grads->normed1 = take(arena, images, T, s->C);
    grads->normed2 = take(arena, images, T, s->C);
    grads->act = take(arena, images, T, s->F);
    grads->dqkv = take(arena, images, T, 3 * s->C);
    grads->dproj = take(arena, images, T, s->C);
    grads->dfc2 = take(arena, images, T, s->C);
    grads->dhidden = take(arena, images, T, s->F);
    grads->norms = take(arena, chunks, 4, s->C);
}

vt_block_saved vt_block_saved_at(const vt_block_saved *saved, const vt_block_shape *s, int first)
{
    const size_t t = (size_t)first * (size_t)s->T, C = (size_t)s->C, F = (size_t)s->F;
    return (vt_block_saved){.x = saved->x + t * C,
                            .mean1 = saved->mean1 + t,
                            .rstd1 = saved->rstd1 + t,
                            .qkv = saved->qkv + t * 3 * C,
                            .maps = saved->maps + t * (size_t)s->T * (size_t)s->H,
                            .y = saved->y + t * C,
                            .mid = saved->mid + t * C,
                            .mean2 = saved->mean2 + t,
                            .rstd2 = saved->rstd2 + t,
                            .hidden = saved->hidden + t * F};
}

vt_block_grads vt_block_grads_at(const vt_block_grads *g, const vt_block_shape *s, int first,
                                 int chunk)
{
    const size_t t = (size_t)first * (size_t)s->T, C = (size_t)s->C, F = (size_t)s->F;
    return (vt_block_grads){.normed1 = g->normed1 + t * C,
                            .normed2 = g->normed2 + t * C,
                            .act = g->act + t * F,
                            .dqkv = g->dqkv + t * 3 * C,
                            .dproj = g->dproj + t * C,
                            .dfc2 = g->dfc2 + t * C,
                            .dhidden = g->dhidden + t * F,
                            .norms = g->norms + (size_t)chunk * 4 * C};
}

static vt_dropout dropout_at(const vt_chunk *chunk, double p, int image, int site)
{
    return (vt_dropout){.p = p,
                        .seed = chunk->pass->seed,
                        .stream = (uint32_t)(VT_STREAM_DROPOUT + 1 + chunk->layer * SITES + site),
                        .step = chunk->pass->step,
                        .sample = (uint32_t)(chunk->first + image)};
}

// Dropout of every image of the chunk, `per_image` elements each, in place.
static void drop(vt_real *x, const vt_chunk *chunk, double p, int site, size_t per_image)
{
    if (!chunk->pass->stochastic || p <= 0) return;
    for (int i = 0; i < chunk->count; i++) {
        vt_dropout d = dropout_at(chunk, p, i, site);
        vt_dropout_apply(x + i * per_image, x + i * per_image, &d, 0, per_image);
    }
}

// Branch 0 is attention, 1 the MLP.
static vt_real branch_scale(const vt_chunk *chunk, int image, int branch)
{
    if (!chunk->pass->stochastic) return 1;
    return vt_drop_path_scale(chunk->drop_path, chunk->pass->seed, chunk->pass->step,
                              (uint32_t)(chunk->first + image),
                              (uint32_t)(2 * chunk->layer + branch));
}

// out = in + scale_of_image branch
static void residual(vt_real *out, const vt_real *in, const vt_real *branch, const vt_chunk *chunk,
                     int which, size_t per_image)
{
    for (int i = 0; i < chunk->count; i++)
        vt_add_scaled(out + i * per_image, in + i * per_image, branch_scale(chunk, i, which),
                      branch + i * per_image, per_image);
}

// dbranch = scale_of_image dx
static void residual_backward(vt_real *dbranch, const vt_real *dx, const vt_chunk *chunk, int which,
                              size_t per_image)
{
    for (int i = 0; i < chunk->count; i++) {
        vt_real scale = branch_scale(chunk, i, which);
        const vt_real *from = dx + i * per_image;
        vt_real *to = dbranch + i * per_image;
        for (size_t k = 0; k < per_image; k++) to[k] = scale * from[k];
    }
}

static void linear(vt_real *y, const vt_real *x, const vt_linear_param *p, const vt_real *weights,
                   int M)
{
    vt_linear_forward(y, x, weights + p->w, p->has_bias ? weights + p->b : NULL, M, p->I, p->O);
}

static void linear_input(vt_real *dx, const vt_real *dy, const vt_linear_param *p,
                         const vt_real *weights, int M)
{
    vt_linear_backward_input(dx, dy, weights + p->w, M, p->I, p->O);
}

static vt_attention attention_of(const vt_block_shape *s, const vt_chunk *chunk, vt_dropout *d,
                                 int image)
{
    vt_attention at = {.T = s->T, .H = s->H, .D = s->C / s->H};
    if (chunk->pass->stochastic && s->attn_drop > 0) {
        *d = dropout_at(chunk, s->attn_drop, image, SITE_ATTN);
        at.drop = d;
    }
    return at;
}

static void attend(const vt_block_saved *saved, const vt_block_shape *s, vt_real *square,
                   const vt_chunk *chunk)
{
    const size_t row = (size_t)s->T * (size_t)s->C,
                 map = (size_t)s->H * (size_t)s->T * (size_t)s->T;
    for (int i = 0; i < chunk->count; i++) {
        vt_dropout d;
        vt_attention at = attention_of(s, chunk, &d, i);
        vt_real *maps = saved->maps + (chunk->maps_kept ? i * map : 0);
        vt_attention_forward(saved->y + i * row, maps, saved->qkv + i * 3 * row, square, &at);
        vt_attn_view view = {
            .layer = chunk->layer, .sample = chunk->first + i, .H = s->H, .T = s->T, .maps = maps};
        for (int k = 0; k < chunk->pass->n_hooks; k++)
            chunk->pass->hooks[k].on_attention(chunk->pass->hooks[k].self, &view);
    }
}

void vt_block_forward(vt_real *out, const vt_block_saved *saved, const vt_block_param *p,
                      const vt_block_shape *s, const vt_real *weights,
                      const vt_block_scratch *scratch, const vt_chunk *chunk)
{
    const int M = chunk->count * s->T, C = s->C, F = s->F;
    const size_t per_image = (size_t)s->T * (size_t)C, per_hidden = (size_t)s->T * (size_t)F;
    vt_real *normed = scratch->normed, *act = scratch->act;

    vt_layernorm_forward(normed, saved->mean1, saved->rstd1, saved->x, weights + p->norm1_w,
                         weights + p->norm1_b, s->norm_eps, M, C);
    linear(saved->qkv, normed, &p->qkv, weights, M);
    attend(saved, s, scratch->square, chunk);
    linear(normed, saved->y, &p->proj, weights, M);
    drop(normed, chunk, s->drop, SITE_PROJ, per_image);
    residual(saved->mid, saved->x, normed, chunk, 0, per_image);

    vt_layernorm_forward(normed, saved->mean2, saved->rstd2, saved->mid, weights + p->norm2_w,
                         weights + p->norm2_b, s->norm_eps, M, C);
    linear(saved->hidden, normed, &p->fc1, weights, M);
    vt_gelu_forward(act, saved->hidden, (size_t)M * (size_t)F);
    drop(act, chunk, s->drop, SITE_ACT, per_hidden);
    linear(normed, act, &p->fc2, weights, M);
    drop(normed, chunk, s->drop, SITE_FC2, per_image);
    residual(out, saved->mid, normed, chunk, 1, per_image);
}

static void backward_mlp(vt_real *dx, const vt_block_saved *saved, const vt_block_param *p,
                         const vt_block_shape *s, const vt_real *weights, const vt_block_grads *g,
                         vt_real *dnormed, const vt_chunk *chunk)
{
    const int M = chunk->count * s->T, C = s->C, F = s->F;
    const size_t per_image = (size_t)s->T * (size_t)C, per_hidden = (size_t)s->T * (size_t)F;
    residual_backward(g->dfc2, dx, chunk, 1, per_image);
    drop(g->dfc2, chunk, s->drop, SITE_FC2, per_image);
    linear_input(g->dhidden, g->dfc2, &p->fc2, weights, M);
    drop(g->dhidden, chunk, s->drop, SITE_ACT, per_hidden);
    vt_gelu_forward(g->act, saved->hidden, (size_t)M * (size_t)F);
    drop(g->act, chunk, s->drop, SITE_ACT, per_hidden);
    vt_gelu_backward(g->dhidden, g->dhidden, saved->hidden, (size_t)M * (size_t)F);
    vt_layernorm_again(g->normed2, saved->mid, weights + p->norm2_w, weights + p->norm2_b,
                       saved->mean2, saved->rstd2, M, C);
    linear_input(dnormed, g->dhidden, &p->fc1, weights, M);
    vt_layernorm_backward(dx, g->norms + 2 * C, g->norms + 3 * C, dnormed, saved->mid,
                          weights + p->norm2_w, saved->mean2, saved->rstd2, true, M, C);
}

static void backward_attention(vt_real *dx, const vt_block_saved *saved, const vt_block_param *p,
                               const vt_block_shape *s, const vt_real *weights,
                               const vt_block_grads *g, const vt_block_scratch *scratch,
                               const vt_chunk *chunk)
{
    const int M = chunk->count * s->T, C = s->C;
    const size_t per_image = (size_t)s->T * (size_t)C,
                 map = (size_t)s->H * (size_t)s->T * (size_t)s->T;
    vt_real *dnormed = scratch->normed;
    residual_backward(g->dproj, dx, chunk, 0, per_image);
    drop(g->dproj, chunk, s->drop, SITE_PROJ, per_image);
    linear_input(dnormed, g->dproj, &p->proj, weights, M); // here the gradient of y
    for (int i = 0; i < chunk->count; i++) {
        vt_dropout d;
        vt_attention at = attention_of(s, chunk, &d, i);
        vt_attention_backward(g->dqkv + i * 3 * per_image, NULL, dnormed + i * per_image,
                              saved->qkv + i * 3 * per_image, saved->maps + i * map,
                              scratch->square, &at);
    }
    vt_layernorm_again(g->normed1, saved->x, weights + p->norm1_w, weights + p->norm1_b,
                       saved->mean1, saved->rstd1, M, C);
    linear_input(dnormed, g->dqkv, &p->qkv, weights, M);
    vt_layernorm_backward(dx, g->norms, g->norms + C, dnormed, saved->x, weights + p->norm1_w,
                          saved->mean1, saved->rstd1, true, M, C);
}

void vt_block_backward(vt_real *dx, const vt_block_saved *saved, const vt_block_param *p,
                       const vt_block_shape *s, const vt_real *weights, const vt_block_grads *g,
                       const vt_block_scratch *scratch, const vt_chunk *chunk)
{
    for (int c = 0; c < 4 * s->C; c++) g->norms[c] = 0;
    backward_mlp(dx, saved, p, s, weights, g, scratch->normed, chunk);
    backward_attention(dx, saved, p, s, weights, g, scratch, chunk);
}

// Tasks: the four linear layers, each in `threads` slices of output rows, then one for the norms.
int vt_block_tasks(int threads)
{
    return 4 * threads + 1;
}

static void norm_gradients(vt_real *slab, const vt_block_param *p, const vt_block_shape *s,
                           const vt_block_grads *g, int chunks)
{
    const size_t to[4] = {p->norm1_w, p->norm1_b, p->norm2_w, p->norm2_b}, C = (size_t)s->C;
    for (int chunk = 0; chunk < chunks; chunk++)
        for (int k = 0; k < 4; k++)
            vt_add(slab + to[k], g->norms + ((size_t)chunk * 4 + (size_t)k) * C, C);
}

void vt_block_task(int task, int threads, vt_real *slab, const vt_block_saved *saved,
                   const vt_block_param *p, const vt_block_shape *s, const vt_block_grads *g, int M,
                   int chunks)
{
    if (task == 4 * threads) {
        norm_gradients(slab, p, s, g, chunks);
        return;
    }
    const struct {
        const vt_linear_param *param;
        const vt_real *dy, *x;
    } layers[4] = {{&p->fc1, g->dhidden, g->normed2},
                   {&p->fc2, g->dfc2, g->act},
                   {&p->qkv, g->dqkv, g->normed1},
                   {&p->proj, g->dproj, saved->y}};
    const vt_linear_param *l = layers[task / threads].param;
    vt_linear_weight_slice(slab, l, layers[task / threads].dy, layers[task / threads].x,
                           task % threads, threads, M);
}

void vt_linear_weight_slice(vt_real *slab, const vt_linear_param *l, const vt_real *dy,
                            const vt_real *x, int slice, int slices, int M)
{
    int first = (int)((int64_t)l->O * slice / slices),
        end = (int)((int64_t)l->O * (slice + 1) / slices);
    if (end > first)
        vt_linear_backward_weight(slab + l->w, l->has_bias ? slab + l->b : NULL, dy, x, first,
                                  end - first, M, l->I, l->O);
}
