// ViT and DeiT (Dosovitskiy et al., arXiv 2010.11929; Touvron et al., arXiv 2012.12877), equal to
// timm 0.4.12's VisionTransformer, and for `pool: avg` to the current one's global_pool='avg':
// patch embedding, class token (and distillation token), position embedding, blocks, norm, head.
//
// Both passes cut the batch into chunks of a few images. Forward, a thread carries a chunk from
// pixels to logits without meeting the others. Backward, the threads meet after each block, share
// out its weight gradients by output rows, and go on to the block below. Every sum has a fixed
// order, so the bits depend on neither the schedule nor which thread did what.
#include "block.h"
#include "products.h"

#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Products over about this many rows are at full speed; a chunk has as many images as that takes.
enum { CHUNK_ROWS = 256, MAX_HEADS = 2 };

// A thread's memory.
typedef struct vit_thread {
    vt_block_scratch block;
    vt_block_saved saved; // inference only
    vt_real *x;           // (G,T,C) inference only: the last block's output
    vt_real *patches;     // (G,N,channels P P)
} vit_thread;

typedef struct vit {
    vt_block_shape shape;
    vt_patch_grid grid;
    int N, prefix, heads, patch_values; // patches, tokens before them, heads, numbers in a patch
    // offsets
    size_t cls_token, dist_token, pos_embed, norm_w, norm_b;
    vt_linear_param embed, head[MAX_HEADS];
    vt_block_param *blocks; // (depth)
    // placed
    bool training;
    int threads, max_chunks;
    vt_block_saved *saved;                   // (depth)
    vit_thread *thread;                      // (threads)
    vt_real *x;                              // (B,T,C) output of the last block; training only
    vt_real *pooled, *pool_mean, *pool_rstd; // (heads,B,C), (heads,B), (heads,B)
    vt_real *feature, *dfeature;             // (heads,B,C) after the norm
    vt_real *dx;                             // (B,T,C)
    vt_real *dpooled;                        // (heads,B,C)
    vt_real *rows;                           // (B,N,channels P P) or NULL
    vt_block_grads grads;
} vit;

static vt_status declare(vt_model *model)
{
    vit *v = model->state;
    const vt_model_config *c = &model->config;
    v->grid = (vt_patch_grid){c->in_chans, c->image_height, c->image_width, c->patch_size};
    v->N = (c->image_height / c->patch_size) * (c->image_width / c->patch_size);
    v->prefix = v->heads = c->distilled ? 2 : 1;
    v->patch_values = c->in_chans * c->patch_size * c->patch_size;
    v->shape = (vt_block_shape){.T = v->N + v->prefix,
                                .C = c->embed_dim,
                                .H = c->num_heads,
                                .F = (int)(c->embed_dim * c->mlp_ratio),
                                .norm_eps = (vt_real)model->ops->norm_eps,
                                .drop = c->drop,
                                .attn_drop = c->attn_drop};
    const int64_t C = c->embed_dim, T = v->shape.T, P = c->patch_size;
    const vt_init normal = VT_INIT_TRUNC_NORMAL_02;
    vt_params *t = &model->params;
    VT_TRY(vt_params_add(t, &v->cls_token, normal, false, 3, (int64_t[]){1, 1, C}, "cls_token"));
    if (c->distilled)
        VT_TRY(
            vt_params_add(t, &v->dist_token, normal, false, 3, (int64_t[]){1, 1, C}, "dist_token"));
    VT_TRY(vt_params_add(t, &v->pos_embed, normal, false, 3, (int64_t[]){1, T, C}, "pos_embed"));
    v->embed = (vt_linear_param){.has_bias = true, .I = v->patch_values, .O = (int)C};
    VT_TRY(vt_params_add(t, &v->embed.w, VT_INIT_CONV, true, 4, (int64_t[]){C, c->in_chans, P, P},
                         "patch_embed.proj.weight"));
    t->rows[t->count - 1].fan_in = v->patch_values;
    VT_TRY(vt_params_add(t, &v->embed.b, VT_INIT_CONV, false, 1, (int64_t[]){C},
                         "patch_embed.proj.bias"));
    t->rows[t->count - 1].fan_in = v->patch_values;
    v->blocks = vt_alloc((size_t)c->depth, sizeof *v->blocks);
    v->saved = vt_alloc((size_t)c->depth, sizeof *v->saved);
    if (!v->blocks || !v->saved) return VT_ERR_MEMORY;
    for (int l = 0; l < c->depth; l++)
        VT_TRY(vt_block_declare(t, &v->blocks[l], &v->shape, c->qkv_bias, l));
    const char *norm = c->pool == VT_POOL_AVG ? "fc_norm" : "norm";
    VT_TRY(vt_params_add(t, &v->norm_w, VT_INIT_ONES, false, 1, (int64_t[]){C}, "%s.weight", norm));
    VT_TRY(vt_params_add(t, &v->norm_b, VT_INIT_ZEROS, false, 1, (int64_t[]){C}, "%s.bias", norm));
    VT_TRY(vt_linear_declare(t, &v->head[0], normal, true, (int)C, c->num_classes, "head"));
    if (c->distilled)
        VT_TRY(
            vt_linear_declare(t, &v->head[1], normal, true, (int)C, c->num_classes, "head_dist"));
    return VT_OK;
}

static void destroy_state(void *state)
{
    vit *v = state;
    free(v->blocks);
    free(v->saved);
    free(v->thread);
}

// Images in a chunk: enough rows for the products, but no thread without a chunk.
static int chunk_images(const vit *v, int B)
{
    int images = (CHUNK_ROWS + v->shape.T - 1) / v->shape.T;
    int fair = (B + v->threads - 1) / v->threads;
    return images < fair ? images : fair;
}

static vt_status place(vt_model *model, vt_arena *arena, int B, bool training)
{
    vit *v = model->state;
    const vt_block_shape *s = &v->shape;
    const size_t T = (size_t)s->T, C = (size_t)s->C, rows = (size_t)v->N * (size_t)v->patch_values;
    if (v->threads != vt_threads()) {
        free(v->thread);
        v->threads = vt_threads();
        v->thread = vt_alloc((size_t)v->threads, sizeof *v->thread);
        if (!v->thread) return VT_ERR_MEMORY;
    }
    v->training = training;
    // A batch may be smaller than planned; then chunks may be smaller, and so more than with B
    // images.
    v->max_chunks = B;
    const int images = chunk_images(v, B);
    for (int i = 0; i < v->threads; i++) {
        vit_thread *t = &v->thread[i];
        vt_block_scratch_place(&t->block, arena, s, images);
        t->patches = VT_ARENA_TAKE(arena, vt_real, (size_t)images * rows);
        if (training) continue;
        vt_block_saved_place(&t->saved, arena, s, images, 1);
        t->x = VT_ARENA_TAKE(arena, vt_real, (size_t)images * T * C);
    }
    const size_t features = (size_t)v->heads * (size_t)B * C, stats = (size_t)v->heads * (size_t)B;
    v->pooled = VT_ARENA_TAKE(arena, vt_real, features);
    v->feature = VT_ARENA_TAKE(arena, vt_real, features);
    v->pool_mean = VT_ARENA_TAKE(arena, vt_real, stats);
    v->pool_rstd = VT_ARENA_TAKE(arena, vt_real, stats);
    if (!training) return VT_OK;
    for (int l = 0; l < model->config.depth; l++)
        vt_block_saved_place(&v->saved[l], arena, s, B, B);
    v->x = VT_ARENA_TAKE(arena, vt_real, (size_t)B * T * C);
    v->dx = VT_ARENA_TAKE(arena, vt_real, (size_t)B * T * C);
    v->dfeature = VT_ARENA_TAKE(arena, vt_real, features);
    v->dpooled = VT_ARENA_TAKE(arena, vt_real, features);
    v->rows = VT_ARENA_TAKE(arena, vt_real, (size_t)B * rows);
    vt_block_grads_place(&v->grads, arena, s, B, v->max_chunks);
    return VT_OK;
}

static void layout(const vt_model *model, vt_token_layout *out)
{
    const vit *v = model->state;
    *out = (vt_token_layout){.tokens = v->shape.T,
                             .prefix = v->prefix,
                             .grid_h = v->grid.height / v->grid.patch,
                             .grid_w = v->grid.width / v->grid.patch,
                             .pool = model->config.pool,
                             .distilled = model->config.distilled};
}

// ---- forward ----

static vt_dropout pos_dropout(const vt_model *model, const vt_pass *pass, int sample)
{
    return (vt_dropout){model->config.drop, pass->seed, VT_STREAM_DROPOUT, pass->step,
                        (uint32_t)sample};
}

// Pixels to tokens. x: (count,T,C) out.
static void embed(const vt_model *model, vt_real *x, const vt_real *weights, const vt_pass *pass,
                  vt_real *patches, int first, int count)
{
    const vit *v = model->state;
    const size_t T = (size_t)v->shape.T, C = (size_t)v->shape.C;
    const size_t pixels = (size_t)v->grid.channels * (size_t)v->grid.height * (size_t)v->grid.width;
    const vt_real *pos = weights + v->pos_embed;
    for (int i = 0; i < count; i++) {
        vt_real *tokens = x + i * T * C;
        vt_patch_rows(patches, pass->images + (size_t)(first + i) * pixels, &v->grid);
        memcpy(tokens, weights + v->cls_token, C * sizeof *x);
        if (v->prefix == 2) memcpy(tokens + C, weights + v->dist_token, C * sizeof *x);
        vt_linear_forward(tokens + (size_t)v->prefix * C, patches, weights + v->embed.w,
                          weights + v->embed.b, v->N, v->embed.I, v->embed.O);
        vt_add(tokens, pos, T * C);
        if (pass->stochastic && model->config.drop > 0) {
            vt_dropout d = pos_dropout(model, pass, first + i);
            vt_dropout_apply(tokens, tokens, &d, 0, T * C);
        }
    }
}

// pooled: (C) out, what head `head` reads of one image's tokens.
static void pool(const vt_model *model, vt_real *pooled, const vt_real *tokens, int head)
{
    const vit *v = model->state;
    const size_t C = (size_t)v->shape.C;
    if (model->config.pool == VT_POOL_TOKEN) {
        memcpy(pooled, tokens + (size_t)head * C, C * sizeof *pooled);
        return;
    }
    memset(pooled, 0, C * sizeof *pooled);
    for (int t = v->prefix; t < v->shape.T; t++) vt_add(pooled, tokens + (size_t)t * C, C);
    for (size_t c = 0; c < C; c++) pooled[c] /= (vt_real)v->N;
}

// Tokens to logits. x: (count,T,C).
static void classify(const vt_model *model, const vt_real *x, const vt_real *weights,
                     const vt_pass *pass, int first, int count)
{
    const vit *v = model->state;
    const size_t T = (size_t)v->shape.T, C = (size_t)v->shape.C,
                 K = (size_t)model->config.num_classes;
    vt_real *const logits[MAX_HEADS] = {pass->logits, pass->logits_dist};
    for (int h = 0; h < v->heads; h++) {
        const size_t at = (size_t)h * (size_t)pass->B + (size_t)first;
        for (int i = 0; i < count; i++) pool(model, v->pooled + (at + i) * C, x + i * T * C, h);
        vt_layernorm_forward(v->feature + at * C, v->pool_mean + at, v->pool_rstd + at,
                             v->pooled + at * C, weights + v->norm_w, weights + v->norm_b,
                             v->shape.norm_eps, count, v->shape.C);
        vt_linear_forward(logits[h] + (size_t)first * K, v->feature + at * C,
                          weights + v->head[h].w, weights + v->head[h].b, count, v->head[h].I,
                          v->head[h].O);
    }
}

static double drop_path_of(const vt_model *model, int layer)
{
    int last = model->config.depth - 1;
    return last > 0 ? model->config.drop_path * layer / last : 0;
}

static vt_chunk chunk_of(const vt_model *model, const vt_pass *pass, int index, int layer)
{
    const vit *v = model->state;
    int images = chunk_images(v, pass->B), first = index * images;
    return (vt_chunk){.first = first,
                      .count = pass->B - first < images ? pass->B - first : images,
                      .layer = layer,
                      .drop_path = drop_path_of(model, layer),
                      .maps_kept = v->training,
                      .pass = pass};
}

static int chunk_number(const vit *v, int B)
{
    int images = chunk_images(v, B);
    return (B + images - 1) / images;
}

static void forward_chunk(const vt_model *model, const vt_real *weights, const vt_pass *pass,
                          int index)
{
    const vit *v = model->state;
    const vit_thread *t = &v->thread[vt_thread_index()];
    const int depth = model->config.depth;
    vt_chunk chunk = chunk_of(model, pass, index, 0);
    const size_t at = (size_t)chunk.first * (size_t)v->shape.T * (size_t)v->shape.C;
    // Training: a block's output is the next one's saved input. Inference: it goes back to the only
    // one.
    vt_real *x = v->training ? v->saved[0].x + at : t->saved.x;
    embed(model, x, weights, pass, t->patches, chunk.first, chunk.count);
    for (int l = 0; l < depth; l++) {
        chunk = chunk_of(model, pass, index, l);
        vt_block_saved saved =
            v->training ? vt_block_saved_at(&v->saved[l], &v->shape, chunk.first) : t->saved;
        if (v->training) x = (l + 1 < depth ? v->saved[l + 1].x : v->x) + at;
        vt_block_forward(x, &saved, &v->blocks[l], &v->shape, weights, &t->block, &chunk);
    }
    classify(model, x, weights, pass, chunk.first, chunk.count);
}

static void forward(vt_model *model, const vt_real *weights, const vt_pass *pass)
{
    vit *v = model->state;
    const int chunks = chunk_number(v, pass->B);
    assert(chunks <= v->max_chunks && vt_threads() == v->threads);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < chunks; i++) forward_chunk(model, weights, pass, i);
}

// ---- backward ----

// From dlogits to the gradients of what the heads read, and the head's and norm's own gradients.
static void backward_head(const vt_model *model, const vt_real *weights, vt_real *grads,
                          const vt_pass *pass, const vt_real *const dlogits[MAX_HEADS])
{
    const vit *v = model->state;
    const int B = pass->B, C = v->shape.C;
    for (int h = 0; h < v->heads; h++) {
        const size_t at = (size_t)h * (size_t)B, atC = at * (size_t)C;
#pragma omp parallel for schedule(static)
        for (int i = 0; i < v->threads; i++)
            vt_linear_weight_slice(grads, &v->head[h], dlogits[h], v->feature + atC, i, v->threads,
                                   B);
        vt_linear_backward_input(v->dfeature + atC, dlogits[h], weights + v->head[h].w, B, C,
                                 v->head[h].O);
        vt_layernorm_backward(v->dpooled + atC, grads + v->norm_w, grads + v->norm_b,
                              v->dfeature + atC, v->pooled + atC, weights + v->norm_w,
                              v->pool_mean + at, v->pool_rstd + at, false, B, C);
    }
}

// The gradient of the last block's output for a chunk: zero but where the head read.
static void unpool(const vt_model *model, vt_real *dx, int B, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const size_t T = (size_t)v->shape.T, C = (size_t)v->shape.C;
    memset(dx, 0, (size_t)chunk->count * T * C * sizeof *dx);
    for (int i = 0; i < chunk->count; i++) {
        vt_real *tokens = dx + i * T * C;
        for (int h = 0; h < v->heads; h++) {
            const vt_real *d =
                v->dpooled + ((size_t)h * (size_t)B + (size_t)(chunk->first + i)) * C;
            if (model->config.pool == VT_POOL_TOKEN)
                memcpy(tokens + (size_t)h * C, d, C * sizeof *dx);
            else
                for (size_t t = (size_t)v->prefix; t < T; t++)
                    for (size_t c = 0; c < C; c++) tokens[t * C + c] = d[c] / (vt_real)v->N;
        }
    }
}

// The chunk's part of the backward pass below the blocks: dropout's mask again, patches laid out.
static void unembed(const vt_model *model, const vt_pass *pass, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const size_t TC = (size_t)v->shape.T * (size_t)v->shape.C;
    const size_t pixels = (size_t)v->grid.channels * (size_t)v->grid.height * (size_t)v->grid.width;
    for (int i = chunk->first; i < chunk->first + chunk->count; i++) {
        if (pass->stochastic && model->config.drop > 0) {
            vt_dropout d = pos_dropout(model, pass, i);
            vt_dropout_apply(v->dx + i * TC, v->dx + i * TC, &d, 0, TC);
        }
        vt_patch_rows(v->rows + i * pixels, pass->images + i * pixels, &v->grid);
    }
}

// Gradients of tokens, position embedding and patch embedding: slice of threads, by tokens and by
// output rows.
static void embed_gradients(const vt_model *model, vt_real *grads, const vt_pass *pass, int slice)
{
    const vit *v = model->state;
    const int T = v->shape.T;
    const size_t C = (size_t)v->shape.C, TC = (size_t)T * C;
    const int first = T * slice / v->threads, end = T * (slice + 1) / v->threads;
    for (int i = 0; i < pass->B; i++) {
        vt_add(grads + v->pos_embed + (size_t)first * C, v->dx + i * TC + (size_t)first * C,
               (size_t)(end - first) * C);
        const vt_real *dx = v->dx + i * TC;
        if (first == 0 && end > 0) vt_add(grads + v->cls_token, dx, C);
        if (v->prefix == 2 && first <= 1 && end > 1) vt_add(grads + v->dist_token, dx + C, C);
        vt_linear_weight_slice(grads, &v->embed, dx + (size_t)v->prefix * C,
                               v->rows + (size_t)i * v->N * v->patch_values, slice, v->threads,
                               v->N);
    }
}

static void backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                     const vt_real *dlogits, const vt_real *dlogits_dist)
{
    vit *v = model->state;
    const int B = pass->B, chunks = chunk_number(v, B), tasks = vt_block_tasks(v->threads);
    const size_t TC = (size_t)v->shape.T * (size_t)v->shape.C;
    assert(v->training && vt_threads() == v->threads);
    backward_head(model, weights, grads, pass, (const vt_real *const[]){dlogits, dlogits_dist});
#pragma omp parallel
    {
        const vt_block_scratch *scratch = &v->thread[vt_thread_index()].block;
        for (int l = model->config.depth - 1; l >= 0; l--) {
#pragma omp for schedule(dynamic)
            for (int i = 0; i < chunks; i++) {
                vt_chunk chunk = chunk_of(model, pass, i, l);
                vt_real *dx = v->dx + (size_t)chunk.first * TC;
                vt_block_saved saved = vt_block_saved_at(&v->saved[l], &v->shape, chunk.first);
                vt_block_grads g = vt_block_grads_at(&v->grads, &v->shape, chunk.first, i);
                if (l == model->config.depth - 1) unpool(model, dx, B, &chunk);
                vt_block_backward(dx, &saved, &v->blocks[l], &v->shape, weights, &g, scratch,
                                  &chunk);
                if (l == 0) unembed(model, pass, &chunk);
            }
#pragma omp for schedule(dynamic)
            for (int i = 0; i < tasks; i++)
                vt_block_task(i, v->threads, grads, &v->saved[l], &v->blocks[l], &v->shape,
                              &v->grads, B * v->shape.T, chunks);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < v->threads; i++) embed_gradients(model, grads, pass, i);
    }
}

// ---- arithmetic ----

static double embed_flops(const vit *v)
{
    return 2.0 * v->N * v->patch_values * v->shape.C;
}

static double forward_flops(const vt_model *model)
{
    const vit *v = model->state;
    const double T = v->shape.T, C = v->shape.C, F = v->shape.F;
    double block = 2 * T * C * (3 * C + C + 2 * F) + 4 * T * T * C;
    return embed_flops(v) + model->config.depth * block +
           2.0 * v->heads * C * model->config.num_classes;
}

// Each product twice again backward, but for the gradient of the pixels.
static double train_flops(const vt_model *model)
{
    return 3 * forward_flops(model) - embed_flops(model->state);
}

static int products(const vt_model *model, vt_product *out, int B)
{
    const vit *v = model->state;
    const vt_block_shape *s = &v->shape;
    const int depth = model->config.depth, threads = v->threads;
    const int images = chunk_images(v, B), chunks = chunk_number(v, B);
    const vt_cut each = {v->N, B}, rows = {images * s->T, chunks}, all = {B * s->T, 1};
    const struct {
        const char *name;
        int I, O;
    } layers[] = {
        {"qkv", s->C, 3 * s->C}, {"proj", s->C, s->C}, {"fc1", s->C, s->F}, {"fc2", s->F, s->C}};
    vt_product_list list = {out, 0};
    vt_products_linear(
        &list, &(vt_linear_products){
                   "embed", v->embed.I, v->embed.O, each, {0, 0}, each, threads, B * v->N, 1});
    for (int i = 0; i < 4; i++)
        vt_products_linear(&list, &(vt_linear_products){layers[i].name, layers[i].I, layers[i].O,
                                                        rows, rows, all, threads, all.rows, depth});
    vt_products_attention(&list, B, s->T, s->H, s->C / s->H, depth);
    vt_products_linear(&list, &(vt_linear_products){"head",
                                                    s->C,
                                                    model->config.num_classes,
                                                    {images, chunks},
                                                    {B, 1},
                                                    {B, 1},
                                                    threads,
                                                    B,
                                                    v->heads});
    return list.count;
}

const vt_model_ops vt_family_vit = {
    .family = "vit",
    .state_bytes = sizeof(vit),
    .norm_eps = 1e-6,
    .declare = declare,
    .destroy_state = destroy_state,
    .place = place,
    .forward = forward,
    .backward = backward,
    .layout = layout,
    .forward_flops = forward_flops,
    .train_flops = train_flops,
    .products = products,
};
