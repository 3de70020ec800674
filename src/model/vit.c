// ViT and DeiT (Dosovitskiy et al., arXiv 2010.11929; Touvron et al., arXiv 2012.12877), equal to
// timm 0.4.12's VisionTransformer, and for `pool: avg` to the current one's global_pool='avg':
// patch embedding, class token (and distillation token), position embedding, blocks, norm, head. With
// layer_scale and no_embed_class DeiT III (Touvron et al., arXiv 2204.07118), equal to the current
// timm's init_values and no_embed_class.
//
// Both passes cut the batch into chunks of a few images. A thread carries a chunk through a block; then
// the threads meet, share out what concerns all images (forward the packing of the next block's
// weights, backward this block's weight gradients by output rows and the packing of the one below), and
// go on. Every sum has a fixed order, so the bits depend on neither the schedule nor which thread did
// what.
//
// The last block is computed for the tokens that the head reads only, where those are few and nobody
// asked for the whole map.
#include "embed.h"
#include "products.h"

#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADS = 2 };

// A thread's memory.
typedef struct vit_thread {
    vt_block_scratch block;
    vt_embed_scratch embed;
} vit_thread;

typedef struct vit {
    vt_block_shape shape;
    vt_embed embed;
    int N, prefix, heads; // patches, tokens before them, heads
    int unplaced;         // the first tokens, that have no position embedding
    // offsets
    size_t cls_token, dist_token, pos_embed, norm_w, norm_b;
    vt_linear_param head[MAX_HEADS];
    vt_block_param *blocks; // (depth)
    // placed
    vt_placement placement;
    int threads;
    vt_chunks planned;
    vt_block_packed packed;
    vt_block_saved *saved;                   // (depth); training only
    vt_block_inputs again;                   // of the block at hand
    vit_thread *thread;                      // (threads)
    vt_real *x;                              // (B,T,C) between blocks where they are not kept
    vt_real *last;                           // (B,T,C) or (B,prefix,C): output of the last block
    vt_real *pooled, *pool_mean, *pool_rstd; // (heads,B,C), (heads,B), (heads,B)
    vt_real *feature, *dfeature;             // (heads,B,C) after the norm
    vt_real *dx;                             // (B,T,C)
    vt_real *dlast;                          // (B,prefix,C) where the last block has few rows
    vt_real *dpooled;                        // (heads,B,C)
    vt_block_grads grads;
} vit;

// DeiT III's own files have blocks.0.gamma_1 for what timm calls blocks.0.ls1.gamma.
static bool rename_tensor(char *out, const char *name, const vt_st_file *file)
{
    (void)file;
    int block, branch, end = 0;
    if (sscanf(name, "blocks.%d.gamma_%1d%n", &block, &branch, &end) == 2 && !name[end])
        snprintf(out, VT_ENTRY_NAME_BYTES, "blocks.%d.ls%d.gamma", block, branch);
    else
        snprintf(out, VT_ENTRY_NAME_BYTES, "%s", name);
    return true;
}

static vt_status declare(vt_model *model)
{
    vit *v = model->state;
    const vt_model_config *c = &model->config;
    v->N = (c->image_height / c->patch_size) * (c->image_width / c->patch_size);
    v->prefix = v->heads = c->distilled ? 2 : 1;
    v->shape = (vt_block_shape){.T = v->N + v->prefix,
                                .C = c->embed_dim,
                                .H = c->num_heads,
                                .F = (int)(c->embed_dim * c->mlp_ratio),
                                .norm_eps = (vt_real)model->ops->norm_eps,
                                .layer_scale = c->layer_scale,
                                .drop = c->drop,
                                .attn_drop = c->attn_drop};
    v->unplaced = c->no_embed_class ? v->prefix : 0;
    const int64_t C = c->embed_dim, placed = v->shape.T - v->unplaced;
    const vt_init normal = VT_INIT_TRUNC_NORMAL_02;
    vt_params *t = &model->params;
    t->rename = rename_tensor;
    VT_TRY(vt_params_add(t, &v->cls_token, normal, false, 3, (int64_t[]){1, 1, C}, "cls_token"));
    if (c->distilled)
        VT_TRY(
            vt_params_add(t, &v->dist_token, normal, false, 3, (int64_t[]){1, 1, C}, "dist_token"));
    VT_TRY(
        vt_params_add(t, &v->pos_embed, normal, false, 3, (int64_t[]){1, placed, C}, "pos_embed"));
    VT_TRY(vt_embed_declare(&v->embed, t, c));
    v->blocks = vt_alloc((size_t)c->depth, sizeof *v->blocks);
    v->saved = vt_alloc((size_t)c->depth, sizeof *v->saved);
    if (!v->blocks || !v->saved) return VT_ERR_MEMORY;
    for (int l = 0; l < c->depth; l++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blocks.%d", l);
        VT_TRY(vt_block_declare(t, &v->blocks[l], &v->shape, c->qkv_bias, prefix));
    }
    const char *norm = c->pool == VT_POOL_AVG ? "fc_norm" : "norm";
    VT_TRY(vt_norm_declare(t, &v->norm_w, &v->norm_b, (int)C, norm));
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

static void place_threads(vit *v, vt_arena *arena, const vt_placement *placement)
{
    for (int i = 0; i < v->threads; i++) {
        vit_thread *t = &v->thread[i];
        vt_block_scratch_place(&t->block, arena, &v->shape, v->planned.units, placement->training,
                               placement->recompute);
        vt_embed_scratch_place(&t->embed, arena, &v->embed, v->planned.units);
    }
}

static void place_training(vit *v, vt_arena *arena, const vt_placement *placement, int depth)
{
    const vt_block_shape *s = &v->shape;
    const size_t B = (size_t)placement->max_batch, TC = (size_t)s->T * (size_t)s->C;
    vt_block_inputs_place(&v->again, arena, s, placement->recompute, &v->planned);
    vt_block_saved_place(v->saved, depth, arena, s, &v->again, placement->recompute, &v->planned);
    vt_block_grads_place(&v->grads, arena, &v->blocks[0], s, &v->planned);
    v->x = v->saved[0].x;
    v->dx = VT_ARENA_TAKE(arena, vt_real, B * TC);
    v->dlast = VT_ARENA_TAKE(arena, vt_real, B * (size_t)v->prefix * (size_t)s->C);
    v->dfeature = VT_ARENA_TAKE(arena, vt_real, (size_t)v->heads * B * (size_t)s->C);
    v->dpooled = VT_ARENA_TAKE(arena, vt_real, (size_t)v->heads * B * (size_t)s->C);
}

static vt_status place(vt_model *model, vt_arena *arena, const vt_placement *placement)
{
    vit *v = model->state;
    vt_block_shape *s = &v->shape;
    const int B = placement->max_batch;
    VT_REQUIRE(placement->type == VT_REAL || vt_model_takes_bf16(&model->config), VT_ERR_CONFIG,
               "train.precision: bf16 takes even widths of a head, the MLP and a patch");
    if (v->threads != vt_threads()) {
        free(v->thread);
        v->threads = 0;
        v->thread = vt_alloc((size_t)vt_threads(), sizeof *v->thread);
        if (!v->thread) return VT_ERR_MEMORY;
        v->threads = vt_threads();
    }
    v->placement = *placement;
    s->type = placement->type;
    v->planned = vt_chunks_plan(B, s->T, v->threads, NULL);
    vt_embed_place(&v->embed, arena, s->type, placement->training ? &v->planned : NULL);
    vt_block_packed_place(&v->packed, arena, &v->blocks[0], s, placement->training);
    place_threads(v, arena, placement);
    const size_t TC = (size_t)s->T * (size_t)s->C, stats = (size_t)v->heads * (size_t)B,
                 features = stats * (size_t)s->C;
    v->pooled = VT_ARENA_TAKE(arena, vt_real, features);
    v->feature = VT_ARENA_TAKE(arena, vt_real, features);
    v->pool_mean = VT_ARENA_TAKE(arena, vt_real, stats);
    v->pool_rstd = VT_ARENA_TAKE(arena, vt_real, stats);
    v->last = VT_ARENA_TAKE(arena, vt_real, (size_t)B * TC);
    if (placement->training)
        place_training(v, arena, placement, model->config.depth);
    else
        v->x = VT_ARENA_TAKE(arena, vt_real, (size_t)B * TC);
    return VT_OK;
}

static vt_status check(const vt_model_config *c)
{
    VT_TRY(vt_model_check_range("depth", c->depth, VT_MODEL_MAX_DEPTH));
    VT_REQUIRE(c->heads.count == 0, VT_ERR_CONFIG,
               "model.num_heads: expected one number, got a list: this model has no stages");
    VT_TRY(vt_model_check_heads(c->num_heads, c->embed_dim));
    VT_REQUIRE(
        !(c->pool == VT_POOL_AVG && c->distilled), VT_ERR_CONFIG,
        "model.pool: \"avg\" does not go with model.distilled: a distilled model reads its two "
        "tokens");
    return VT_OK;
}

static bool takes_bf16(const vt_model_config *c)
{
    return c->embed_dim / c->num_heads % 2 == 0 && (int)(c->embed_dim * c->mlp_ratio) % 2 == 0;
}

static void attention(const vt_model *model, int layer, vt_attn_shape *shape)
{
    const vit *v = model->state;
    (void)layer; // they are all alike
    *shape = (vt_attn_shape){1, v->shape.T, v->shape.H};
}

static void layout(const vt_model *model, vt_token_layout *out)
{
    const vit *v = model->state;
    *out = (vt_token_layout){.tokens = v->shape.T,
                             .last_tokens = v->shape.T,
                             .prefix = v->prefix,
                             .grid_h = v->embed.grid.height / v->embed.grid.patch,
                             .grid_w = v->embed.grid.width / v->embed.grid.patch,
                             .pool = model->config.pool,
                             .distilled = model->config.distilled};
}

// ---- forward ----

static vt_dropout pos_dropout(const vt_model *model, const vt_pass *pass, int sample)
{
    return (vt_dropout){model->config.drop, pass->seed, VT_STREAM_DROPOUT, pass->step,
                        (uint32_t)sample};
}

// Pixels to tokens. x: (count,T,C) out, the chunk's.
static void embed(const vt_model *model, vt_real *x, const vt_real *weights, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const vit_thread *t = &v->thread[vt_thread_index()];
    const vt_pass *pass = chunk->pass;
    const size_t TC = (size_t)v->shape.T * (size_t)v->shape.C, C = (size_t)v->shape.C;
    const size_t pixels = (size_t)v->N * (size_t)v->embed.values;
    for (int i = 0; i < chunk->count; i++) {
        vt_real *tokens = x + (size_t)i * TC;
        memcpy(tokens, weights + v->cls_token, C * sizeof *x);
        if (v->prefix == 2) memcpy(tokens + C, weights + v->dist_token, C * sizeof *x);
        vt_embed_forward(tokens + (size_t)v->prefix * C,
                         pass->images + (size_t)(chunk->first + i) * pixels, &v->embed, weights,
                         &t->embed);
        const size_t unplaced = (size_t)v->unplaced * C;
        vt_add(tokens + unplaced, weights + v->pos_embed, TC - unplaced);
        if (pass->stochastic && model->config.drop > 0) {
            vt_dropout d = pos_dropout(model, pass, chunk->first + i);
            vt_dropout_apply(tokens, tokens, VT_REAL, &d, 0, TC);
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

// Tokens to logits. x: (count,R,C).
static void classify(const vt_model *model, const vt_real *x, const vt_real *weights,
                     const vt_chunk *chunk)
{
    const vit *v = model->state;
    const vt_pass *pass = chunk->pass;
    const size_t R = (size_t)chunk->R, C = (size_t)v->shape.C,
                 K = (size_t)model->config.num_classes, first = (size_t)chunk->first;
    vt_real *const logits[MAX_HEADS] = {pass->logits, pass->logits_dist};
    for (int h = 0; h < v->heads; h++) {
        const size_t at = (size_t)h * (size_t)pass->B + first;
        for (int i = 0; i < chunk->count; i++)
            pool(model, v->pooled + (at + (size_t)i) * C, x + (size_t)i * R * C, h);
        vt_layernorm_forward(v->feature + at * C, VT_REAL, v->pool_mean + at, v->pool_rstd + at,
                             v->pooled + at * C, weights + v->norm_w, weights + v->norm_b,
                             v->shape.norm_eps, chunk->count, v->shape.C);
        vt_linear_forward(logits[h] + first * K, v->feature + at * C, weights + v->head[h].w,
                          weights + v->head[h].b, chunk->count, v->head[h].I, v->head[h].O);
    }
}

// How many tokens of an image a block computes.
static int rows_of(const vt_model *model, const vt_pass *pass, int layer)
{
    const vit *v = model->state;
    bool whole = layer < model->config.depth - 1 || model->config.pool != VT_POOL_TOKEN;
    for (int i = 0; i < pass->n_hooks; i++) whole = whole || pass->hooks[i].whole;
    return whole ? v->shape.T : v->prefix;
}

static vt_chunk chunk_of(const vt_model *model, const vt_pass *pass, const vt_chunks *chunks,
                         int index, int layer)
{
    vt_chunk chunk = vt_chunk_at(chunks, index, rows_of(model, pass, layer), pass);
    chunk.layer = layer;
    chunk.drop_path = vt_model_drop_path(&model->config, layer);
    return chunk;
}

static vt_chunks chunks_of(const vit *v, int B)
{
    return vt_chunks_within(&v->planned, B, v->shape.T, v->threads);
}

static void forward_chunk(const vt_model *model, const vt_real *weights, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const vt_block_scratch *scratch = &v->thread[vt_thread_index()].block;
    const bool last = chunk->layer == model->config.depth - 1;
    const size_t row = (size_t)chunk->first * (size_t)v->shape.C;
    vt_real *x = chunk->pass->training ? v->saved[chunk->layer].x : v->x;
    const vt_block_saved saved =
        vt_block_saved_for(&v->saved[chunk->layer], x + row * (size_t)v->shape.T, scratch,
                           &v->shape, v->placement.recompute, chunk);
    vt_real *next = chunk->pass->training && !last ? v->saved[chunk->layer + 1].x : v->x;
    vt_real *out = last ? v->last + row * (size_t)chunk->R : next + row * (size_t)v->shape.T;
    if (chunk->layer == 0) embed(model, saved.x, weights, chunk);
    vt_block_forward(out, &saved, &v->packed, &v->blocks[chunk->layer], &v->shape, weights, scratch,
                     chunk);
    if (last) classify(model, out, weights, chunk);
}

static void forward(vt_model *model, const vt_real *weights, const vt_pass *pass)
{
    vit *v = model->state;
    const vt_chunks chunks = chunks_of(v, pass->B);
    const int packs = vt_block_pack_tasks(&v->packed, &v->shape, false),
              embeds = vt_embed_pack_tasks(&v->embed);
    assert(vt_threads() == v->threads);
    assert(!pass->training || v->placement.training);
#pragma omp parallel
    for (int l = 0; l < model->config.depth; l++) {
#pragma omp for schedule(dynamic, 4)
        for (int i = l == 0 ? -embeds : 0; i < packs; i++) {
            if (i >= 0)
                vt_block_pack(i, &v->packed, &v->blocks[l], &v->shape, weights);
            else
                vt_embed_pack(i + embeds, &v->embed, weights);
        }
#pragma omp for schedule(dynamic)
        for (int i = 0; i < chunks.count; i++) {
            const vt_chunk chunk = chunk_of(model, pass, &chunks, i, l);
            forward_chunk(model, weights, &chunk);
        }
    }
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
            vt_head_gradient(grads, dlogits[h], v->feature + atC, &v->head[h], i, v->threads, B);
        vt_linear_backward_input(v->dfeature + atC, dlogits[h], weights + v->head[h].w, B, C,
                                 v->head[h].O);
        vt_layernorm_backward(v->dpooled + atC, grads + v->norm_w, grads + v->norm_b,
                              v->dfeature + atC, v->pooled + atC, weights + v->norm_w,
                              v->pool_mean + at, v->pool_rstd + at, false, B, C);
    }
}

// The gradient of the last block's output for a chunk: zero but where the head read. dx: (count,R,C)
static void unpool(const vt_model *model, vt_real *dx, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const size_t R = (size_t)chunk->R, C = (size_t)v->shape.C, B = (size_t)chunk->pass->B;
    memset(dx, 0, (size_t)chunk->count * R * C * sizeof *dx);
    for (int i = 0; i < chunk->count; i++) {
        vt_real *tokens = dx + (size_t)i * R * C;
        for (int h = 0; h < v->heads; h++) {
            const vt_real *d = v->dpooled + ((size_t)h * B + (size_t)(chunk->first + i)) * C;
            if (model->config.pool == VT_POOL_TOKEN)
                memcpy(tokens + (size_t)h * C, d, C * sizeof *dx);
            else
                for (size_t t = (size_t)v->prefix; t < R; t++)
                    for (size_t c = 0; c < C; c++) tokens[t * C + c] = d[c] / (vt_real)v->N;
        }
    }
}

// The chunk's part of the backward pass below the blocks: dropout's mask again; patches and their
// tokens' gradients as panels.
static void unembed(const vt_model *model, vt_real *dx, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const vit_thread *t = &v->thread[vt_thread_index()];
    const vt_pass *pass = chunk->pass;
    const size_t TC = (size_t)v->shape.T * (size_t)v->shape.C, C = (size_t)v->shape.C,
                 NC = (size_t)v->N * C;
    vt_real *tokens = t->block.branch; // (count,N,C)
    for (int i = 0; i < chunk->count; i++) {
        vt_real *image = dx + (size_t)i * TC;
        if (pass->stochastic && model->config.drop > 0) {
            vt_dropout d = pos_dropout(model, pass, chunk->first + i);
            vt_dropout_apply(image, image, VT_REAL, &d, 0, TC);
        }
        memcpy(tokens + (size_t)i * NC, image + (size_t)v->prefix * C, NC * sizeof *tokens);
    }
    vt_embed_backward(tokens, &v->embed, &t->embed, chunk);
}

// Gradients of tokens, position embedding and patch embedding: slice of threads, by tokens and by
// output rows.
static void embed_gradients(const vt_model *model, vt_real *grads, const vt_chunks *chunks,
                            int slice)
{
    const vit *v = model->state;
    const int T = v->shape.T;
    const size_t C = (size_t)v->shape.C, TC = (size_t)T * C;
    const int first = vt_share(T, 1, slice, v->threads),
              end = vt_share(T, 1, slice + 1, v->threads);
    const int placed = first > v->unplaced ? first : v->unplaced;
    for (int i = 0; i < chunks->B; i++) {
        const vt_real *dx = v->dx + (size_t)i * TC;
        if (end > placed)
            vt_add(grads + v->pos_embed + (size_t)(placed - v->unplaced) * C,
                   dx + (size_t)placed * C, (size_t)(end - placed) * C);
        if (first == 0 && end > 0) vt_add(grads + v->cls_token, dx, C);
        if (v->prefix == 2 && first <= 1 && end > 1) vt_add(grads + v->dist_token, dx + C, C);
    }
    vt_embed_gradient(grads, &v->embed, chunks, slice, v->threads);
}

static void backward_chunk(const vt_model *model, const vt_real *weights, const vt_chunk *chunk)
{
    const vit *v = model->state;
    const vt_block_scratch *scratch = &v->thread[vt_thread_index()].block;
    const vt_block_param *param = &v->blocks[chunk->layer];
    const size_t row = (size_t)chunk->first * (size_t)v->shape.C;
    vt_real *dx = v->dx + row * (size_t)v->shape.T;
    vt_real *dout = chunk->R < v->shape.T ? v->dlast + row * (size_t)chunk->R : dx;
    const vt_block_saved saved =
        vt_block_recall(&v->saved[chunk->layer], &v->again, &v->packed, param, &v->shape, weights,
                        scratch, chunk, v->placement.recompute);
    if (chunk->layer == model->config.depth - 1) unpool(model, dout, chunk);
    vt_block_backward(dx, dout, &saved, &v->packed, param, &v->shape, weights, &v->grads, scratch,
                      chunk, v->placement.recompute == VT_RECOMPUTE_GELU);
    if (chunk->layer == 0) unembed(model, dx, chunk);
}

// The lowest block that has something to train in it; -1: below the blocks; depth: none. Tensors are
// declared from the pixels up.
static int lowest_trained(const vt_model *model)
{
    const vit *v = model->state;
    const size_t at = vt_params_first_trained(&model->params)->offset;
    int block = model->config.depth - 1;
    if (at >= v->norm_w) return block + 1;
    while (block >= 0 && v->blocks[block].norm1_w > at) block--;
    return block;
}

static void backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                     const vt_real *dlogits, const vt_real *dlogits_dist)
{
    vit *v = model->state;
    const int depth = model->config.depth, threads = v->threads, lowest = lowest_trained(model);
    const vt_chunks chunks = chunks_of(v, pass->B);
    // Only whole blocks that are computed again read what is packed for the forward pass.
    const int skipped = v->placement.recompute == VT_RECOMPUTE_BLOCK
                            ? 0
                            : vt_block_pack_tasks(&v->packed, &v->shape, false);
    const int packs = vt_block_pack_tasks(&v->packed, &v->shape, true) - skipped,
              tasks = vt_block_gradient_tasks(threads);
    assert(v->placement.training && pass->training && vt_threads() == threads);
    backward_head(model, weights, grads, pass, (const vt_real *const[]){dlogits, dlogits_dist});
#pragma omp parallel
    {
#pragma omp for schedule(dynamic, 4)
        for (int i = 0; i < packs; i++)
            vt_block_pack(skipped + i, &v->packed, &v->blocks[depth - 1], &v->shape, weights);
        for (int l = depth - 1; l >= 0 && l >= lowest; l--) {
#pragma omp for schedule(dynamic)
            for (int i = 0; i < chunks.count; i++) {
                const vt_chunk chunk = chunk_of(model, pass, &chunks, i, l);
                backward_chunk(model, weights, &chunk);
            }
            // The weights below are packed while these gradients are computed.
            const int pack = l > 0 && l > lowest ? packs : 0;
#pragma omp for schedule(dynamic)
            for (int i = 0; i < tasks + pack; i++) {
                if (i < tasks)
                    vt_block_gradient(i, threads, grads, &v->saved[l].inputs, &v->grads,
                                      &v->blocks[l], &v->shape, &chunks, rows_of(model, pass, l));
                else
                    vt_block_pack(skipped + i - tasks, &v->packed, &v->blocks[l - 1], &v->shape,
                                  weights);
            }
        }
        if (lowest < 0) {
#pragma omp for schedule(static)
            for (int i = 0; i < threads; i++) embed_gradients(model, grads, &chunks, i);
        }
    }
}

// ---- arithmetic ----

static double embed_flops(const vit *v)
{
    return 2.0 * v->N * v->embed.values * v->shape.C;
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

static int products(const vt_model *model, vt_product_info *out, int B)
{
    const vit *v = model->state;
    const vt_block_shape *s = &v->shape;
    const vt_chunks c = chunks_of(v, B);
    const int depth = model->config.depth, threads = v->threads, m = c.units * s->T;
    const vt_pass pass = {.B = B}; // nobody asks for whole maps
    const int calls = depth * c.count, few = rows_of(model, &pass, depth - 1);
    const int times = v->placement.recompute == VT_RECOMPUTE_BLOCK ? 2 : 1;
    const double all = (double)B * depth * s->T, asking = (double)B * ((depth - 1) * s->T + few);
    vt_product_list l = {out, 0};
    const vt_linear_calls patches = {(double)B * v->N, v->N, B, 1, false, threads};
    const vt_linear_calls few_rows = {asking, m, calls, times, true, threads},
                          all_rows = {all, m, calls, times, true, threads},
                          once = {asking, m, calls, s->layer_scale > 0 ? times : 1, true, threads};
    vt_list_linear(&l, "embed", v->embed.proj.I, v->embed.proj.O, &patches);
    l.rows[1].k = c.units * v->N, l.rows[1].calls = c.count * threads; // by chunks
    vt_list_linear(&l, "q", s->C, s->C, &few_rows);
    vt_list_linear(&l, "kv", s->C, 2 * s->C, &all_rows);
    vt_list_linear(&l, "proj", s->C, s->C, &few_rows);
    vt_list_linear(&l, "fc1", s->C, s->F, &few_rows);
    vt_list_linear(&l, "fc2", s->F, s->C, &once);
    vt_list_attention(&l, "attention", s, 2.0 * asking * s->T * s->C, B * s->H * depth, times);
    vt_list_head(&l, B, v->heads, s->C, model->config.num_classes);
    return l.count;
}

static const char *const keys[] = {"model.depth", "model.distilled", "model.init_values",
                                   "model.no_embed_class", NULL};

const vt_model_ops vt_family_vit = {
    .family = "vit",
    .state_bytes = sizeof(vit),
    .norm_eps = 1e-6,
    .keys = keys,
    .check = check,
    .takes_bf16 = takes_bf16,
    .declare = declare,
    .destroy_state = destroy_state,
    .place = place,
    .forward = forward,
    .backward = backward,
    .layout = layout,
    .attention = attention,
    .forward_flops = forward_flops,
    .train_flops = train_flops,
    .products = products,
};
