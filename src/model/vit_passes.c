// ViT's forward and backward pass; see vit.c for the model.
//
// Both passes cut the batch into chunks of a few images. A thread carries a chunk through a block,
// the same one in every block if it can (28-px model, two Zen 4 cores: by the hour nothing or 5% of
// a step); then the threads meet, share out what concerns all images (forward the packing of the
// next block's weights, backward this block's weight gradients by output rows and the packing of
// the one below), and go on. Every sum has a fixed order, so the bits depend on neither the
// schedule nor which thread did what.
//
// The last block is computed for the tokens that the head reads only, where those are few and
// nobody asked for the whole map, and maps have no dropout.
#include "vit.h"

#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"

#include <assert.h>
#include <string.h>

int vt_vit_rows(const vt_model *model, const vt_pass *pass, int layer)
{
    const vt_vit *v = model->state;
    const bool dropped = pass->stochastic && model->config.attn_drop > 0; // see block.h
    bool whole = dropped || layer < model->config.depth - 1 || model->config.pool != VT_POOL_TOKEN;
    for (int i = 0; i < pass->n_hooks; i++) whole = whole || pass->hooks[i].whole;
    return whole ? v->shape.T : v->prefix;
}

vt_chunks vt_vit_chunks(const vt_vit *v, int B)
{
    return vt_chunks_within(&v->planned, B, v->shape.T, v->threads);
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
    const vt_vit *v = model->state;
    const vt_vit_thread *t = &v->thread[vt_thread_index()];
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
    const vt_vit *v = model->state;
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
    const vt_vit *v = model->state;
    const vt_pass *pass = chunk->pass;
    const size_t R = (size_t)chunk->R, C = (size_t)v->shape.C,
                 K = (size_t)model->config.num_classes, first = (size_t)chunk->first;
    vt_real *const logits[VT_VIT_HEADS] = {pass->logits, pass->logits_dist};
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

static vt_chunk chunk_of(const vt_model *model, const vt_pass *pass, const vt_chunks *chunks,
                         int index, int layer)
{
    vt_chunk chunk = vt_chunk_at(chunks, index, vt_vit_rows(model, pass, layer), pass);
    chunk.layer = layer;
    chunk.drop_path = vt_model_drop_path(&model->config, layer);
    return chunk;
}

static vt_block_work work_on(const vt_vit *v, const vt_real *weights, const vt_chunk *chunk)
{
    return (vt_block_work){.param = &v->blocks[chunk->layer],
                           .shape = &v->shape,
                           .packed = &v->packed,
                           .weights = weights,
                           .saved = &v->saved[chunk->layer],
                           .scratch = &v->thread[vt_thread_index()].block,
                           .factors = &v->factors,
                           .chunk = chunk};
}

static void forward_chunk(const vt_model *model, const vt_real *weights, const vt_chunk *chunk)
{
    const vt_vit *v = model->state;
    vt_block_work work = work_on(v, weights, chunk);
    const bool last = chunk->layer == model->config.depth - 1;
    const size_t row = (size_t)chunk->first * (size_t)v->shape.C;
    vt_real *x = chunk->pass->training ? v->saved[chunk->layer].x : v->x;
    const vt_block_saved saved =
        vt_block_saved_for(&work, x + row * (size_t)v->shape.T, v->placement.recompute);
    vt_real *next = chunk->pass->training && !last ? v->saved[chunk->layer + 1].x : v->x;
    vt_real *out = last ? v->last + row * (size_t)chunk->R : next + row * (size_t)v->shape.T;
    if (chunk->layer == 0) embed(model, saved.x, weights, chunk);
    work.saved = &saved;
    vt_block_forward(out, &work);
    if (last) classify(model, out, weights, chunk);
}

void vt_vit_forward(vt_model *model, const vt_real *weights, const vt_pass *pass)
{
    vt_vit *v = model->state;
    const vt_chunks chunks = vt_vit_chunks(v, pass->B);
    const int packs = vt_block_pack_tasks(&v->packed, &v->shape, false),
              embeds = vt_embed_pack_tasks(&v->embed);
    assert(vt_threads() == v->threads);
    assert(!pass->training || v->placement.training);
#pragma omp parallel
    for (int l = 0; l < model->config.depth; l++) {
        vt_turns_begin(v->turns, chunks.count);
#pragma omp for schedule(dynamic, 4)
        for (int i = l == 0 ? -embeds : 0; i < packs; i++) {
            if (i >= 0)
                vt_block_pack(i, &v->packed, &v->blocks[l], &v->shape, weights);
            else
                vt_embed_pack(i + embeds, &v->embed, weights);
        }
        for (int i; (i = vt_turns_next(v->turns)) >= 0;) {
            const vt_chunk chunk = chunk_of(model, pass, &chunks, i, l);
            forward_chunk(model, weights, &chunk);
        }
#pragma omp barrier
    }
}

// ---- backward ----

// From dlogits to the gradients of what the heads read, and the head's and norm's own gradients.
static void backward_head(const vt_model *model, const vt_real *weights, vt_real *grads,
                          const vt_pass *pass, const vt_real *const dlogits[VT_VIT_HEADS])
{
    const vt_vit *v = model->state;
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

// The gradient of the last block's output for a chunk: zero but where the head read. dx:
// (count,R,C)
static void unpool(const vt_model *model, vt_real *dx, const vt_chunk *chunk)
{
    const vt_vit *v = model->state;
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
    const vt_vit *v = model->state;
    const vt_vit_thread *t = &v->thread[vt_thread_index()];
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
    const vt_vit *v = model->state;
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
    const vt_vit *v = model->state;
    vt_block_work work = work_on(v, weights, chunk);
    const size_t row = (size_t)chunk->first * (size_t)v->shape.C;
    vt_real *dx = v->dx + row * (size_t)v->shape.T;
    vt_real *dout = chunk->R < v->shape.T ? v->dlast + row * (size_t)chunk->R : dx;
    const vt_block_saved saved = vt_block_recall(&work, &v->again, v->placement.recompute);
    if (chunk->layer == model->config.depth - 1) unpool(model, dout, chunk);
    work.saved = &saved;
    vt_block_backward(dx, dout, &v->grads, v->placement.recompute == VT_RECOMPUTE_GELU, &work);
    if (chunk->layer == 0) unembed(model, dx, chunk);
}

// Whether there is something to train below block `layer`; depth: below the last norm.
static bool trains_below(const vt_model *model, int layer)
{
    const vt_vit *v = model->state;
    const size_t begin = layer < model->config.depth ? v->blocks[layer].norm1_w : v->norm_w;
    return vt_params_trained_before(&model->params, begin);
}

void vt_vit_backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                     const vt_real *dlogits, const vt_real *dlogits_dist)
{
    vt_vit *v = model->state;
    const int depth = model->config.depth, threads = v->threads;
    const vt_chunks chunks = vt_vit_chunks(v, pass->B);
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
        vt_turns_begin(v->turns, chunks.count);
#pragma omp for schedule(dynamic, 4)
        for (int i = 0; i < packs; i++)
            vt_block_pack(skipped + i, &v->packed, &v->blocks[depth - 1], &v->shape, weights);
        for (int l = depth - 1; l >= 0 && trains_below(model, l + 1); l--) {
            for (int i; (i = vt_turns_next(v->turns)) >= 0;) {
                const vt_chunk chunk = chunk_of(model, pass, &chunks, i, l);
                backward_chunk(model, weights, &chunk);
            }
#pragma omp barrier
            vt_turns_begin(v->turns, chunks.count);
            // The weights below are packed while these gradients are computed.
            const int pack = l > 0 && trains_below(model, l) ? packs : 0;
#pragma omp for schedule(dynamic)
            for (int i = 0; i < tasks + pack; i++) {
                if (i < tasks)
                    vt_block_gradient(i, threads, grads, &v->saved[l].inputs, &v->grads,
                                      &v->factors, &v->blocks[l], &v->shape, &chunks,
                                      vt_vit_rows(model, pass, l));
                else
                    vt_block_pack(skipped + i - tasks, &v->packed, &v->blocks[l - 1], &v->shape,
                                  weights);
            }
        }
        if (trains_below(model, 0)) {
#pragma omp for schedule(static)
            for (int i = 0; i < threads; i++) embed_gradients(model, grads, &chunks, i);
        }
    }
}
