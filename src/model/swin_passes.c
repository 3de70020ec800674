// Swin's forward and backward pass; see swin.c for the model.
//
// Between blocks tokens lie in the map's order. A thread takes a few windows' worth of them,
// carries them through the block and puts them back, the roll being nothing but where they are
// taken from. Threads meet after each block, as in vit.c; merging, the embedding and the head are
// passes of their own. Every sum has a fixed order.
#include "block_rows.h"
#include "swin.h"

#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"

#include <assert.h>
#include <string.h>

// A pass over a batch.
typedef struct work {
    const vt_model *model;
    const vt_swin *swin;
    const vt_real *weights;
    const vt_pass *pass;
    vt_real *grads; // backward
    const vt_real *dlogits;
} work;

static const vt_swin_thread *my_thread(const work *w)
{
    return &w->swin->thread[vt_thread_index()];
}

// How stage i's batch is cut, for its block j.
static vt_chunks chunks_of(const work *w, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    vt_chunks chunks = vt_chunks_within(&s->planned, w->pass->B * s->windows[0].count, s->shape.T,
                                        w->swin->threads);
    chunks.windows = &s->windows[j % 2];
    return chunks;
}

static vt_chunk chunk_of(const work *w, const vt_chunks *chunks, int index, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    vt_chunk chunk = vt_chunk_at(chunks, index, s->shape.T, w->pass);
    chunk.layer = s->first_layer + j;
    chunk.drop_path = vt_model_drop_path(&w->model->config, chunk.layer);
    return chunk;
}

// One image: for the embedding and the head.
static vt_chunk image_chunk(const work *w, const vt_chunks *chunks, int image)
{
    return vt_chunk_at(chunks, image, 1, w->pass);
}

static vt_chunks images_of(const work *w)
{
    vt_chunks images = w->swin->images;
    images.B = images.count = w->pass->B;
    return images;
}

// ---- forward ----

static vt_dropout embed_dropout(const work *w, int image)
{
    return (vt_dropout){w->model->config.drop, w->pass->seed, VT_STREAM_DROPOUT, w->pass->step,
                        (uint32_t)image};
}

static void drop_embedded(const work *w, vt_real *tokens, int image)
{
    const vt_dropout d = embed_dropout(w, image);
    const vt_swin_stage *s = &w->swin->stage[0];
    if (w->pass->stochastic && d.p > 0)
        vt_dropout_apply(tokens, tokens, VT_REAL, &d, 0, (size_t)s->L * (size_t)s->shape.C);
}

static void embed_image(const work *w, int image)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[0];
    const vt_swin_thread *t = my_thread(w);
    const size_t N = (size_t)v->embed.N, i = (size_t)image, C = (size_t)s->shape.C;
    vt_real *embedded = w->pass->training ? v->embedded + i * N * C : t->embedded;
    vt_real *tokens = s->tokens + i * N * C;
    vt_embed_forward(embedded, w->pass->images + i * N * (size_t)v->embed.values, &v->embed,
                     w->weights, &t->embed);
    vt_layernorm_forward(tokens, VT_REAL, v->embed_mean + i * N, v->embed_rstd + i * N, embedded,
                         w->weights + v->embed_norm_w, w->weights + v->embed_norm_b,
                         s->shape.norm_eps, v->embed.N, s->shape.C);
    drop_embedded(w, tokens, image);
}

static vt_block_work block_work(const work *w, const vt_chunk *chunk, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    return (vt_block_work){.param = &s->blocks[j],
                           .shape = &s->shape,
                           .packed = &s->packed,
                           .weights = w->weights,
                           .saved = &s->saved[j],
                           .scratch = &my_thread(w)->block[i],
                           .chunk = chunk};
}

static void forward_chunk(const work *w, const vt_chunk *chunk, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    const vt_swin_thread *t = my_thread(w);
    vt_block_work block = block_work(w, chunk, i, j);
    vt_real *x = t->rows[i];
    if (chunk->pass->training)
        x = s->saved[j].x +
            vt_rows_before(chunk->chunks, chunk->first, s->shape.T) * (size_t)s->shape.C;
    const vt_block_saved saved = vt_block_saved_for(&block, x, w->swin->placement.recompute);
    vt_chunk_move(saved.x, s->tokens, &s->shape, chunk, false);
    block.saved = &saved;
    vt_block_forward(t->rows[i], &block);
    vt_chunk_move(t->rows[i], s->tokens, &s->shape, chunk, true);
}

static void classify_image(const work *w, int image)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[v->stages - 1];
    vt_real *normed = my_thread(w)->last;
    const size_t i = (size_t)image, L = (size_t)s->L, C = (size_t)s->shape.C;
    vt_real *feature = v->feature + i * C;
    vt_layernorm_forward(normed, VT_REAL, v->last_mean + i * L, v->last_rstd + i * L,
                         s->tokens + i * L * C, w->weights + v->norm_w, w->weights + v->norm_b,
                         s->shape.norm_eps, s->L, s->shape.C);
    memset(feature, 0, C * sizeof *feature);
    for (size_t t = 0; t < L; t++) vt_add(feature, normed + t * C, C);
    vt_scale(feature, VT_REAL, 1 / (vt_real)L, feature, C);
    vt_linear_forward(w->pass->logits + i * (size_t)v->head.O, feature, w->weights + v->head.w,
                      w->weights + v->head.b, 1, v->head.I, v->head.O);
}

static void tell_merge(const work *w, int i, int image)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    const vt_merge_view view = {.layer = s->first_layer,
                                .sample = image,
                                .count = s->merge.to,
                                .children = s->merge.children};
    for (int k = 0; k < w->pass->n_hooks; k++)
        if (w->pass->hooks[k].on_merge) w->pass->hooks[k].on_merge(w->pass->hooks[k].self, &view);
}

// Within a parallel region, as what follows: the stage's first tokens from those of the one before.
static void forward_merge(const work *w, int i)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    const vt_chunks merges = vt_merge_chunks(&s->merge, w->pass->B, w->swin->threads);
#pragma omp for schedule(dynamic)
    for (int k = -w->pass->B; k < merges.count; k++) {
        if (k < 0) {
            tell_merge(w, i, k + w->pass->B);
        } else {
            const vt_chunk chunk = vt_chunk_at(&merges, k, 1, w->pass);
            vt_merge_forward(s->tokens, w->swin->stage[i - 1].tokens, &s->merge, w->weights,
                             &my_thread(w)->merge[i], &chunk);
        }
    }
}

static void forward_block(const work *w, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    const vt_chunks chunks = chunks_of(w, i, j);
    const int packs = vt_block_pack_tasks(&s->packed, &s->shape, false),
              first = i > 0 && j == 0 ? -vt_merge_pack_tasks(&s->merge, false) : 0;
#pragma omp for schedule(dynamic, 4)
    for (int k = first; k < packs; k++) {
        if (k < 0)
            vt_merge_pack(k - first, &s->merge, w->weights);
        else
            vt_block_pack(k, &s->packed, &s->blocks[j], &s->shape, w->weights);
    }
    if (first < 0) forward_merge(w, i);
#pragma omp for schedule(dynamic)
    for (int k = 0; k < chunks.count; k++) {
        const vt_chunk chunk = chunk_of(w, &chunks, k, i, j);
        forward_chunk(w, &chunk, i, j);
    }
}

void vt_swin_forward(vt_model *model, const vt_real *weights, const vt_pass *pass)
{
    const vt_swin *v = model->state;
    const work w = {.model = model, .swin = v, .weights = weights, .pass = pass};
    const int embeds = vt_embed_pack_tasks(&v->embed);
    assert(vt_threads() == v->threads && (!pass->training || v->placement.training));
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int k = 0; k < embeds; k++) vt_embed_pack(k, &v->embed, weights);
#pragma omp for schedule(dynamic)
        for (int k = 0; k < pass->B; k++) embed_image(&w, k);
        for (int i = 0; i < v->stages; i++)
            for (int j = 0; j < v->stage[i].depth; j++) forward_block(&w, i, j);
#pragma omp for schedule(dynamic)
        for (int k = 0; k < pass->B; k++) classify_image(&w, k);
    }
}

// ---- backward ----

// Whether there is something to train below the part whose tensors begin there.
static bool trains_below(const work *w, size_t begin)
{
    return vt_params_trained_before(&w->model->params, begin);
}

// From the features' gradient to that of the last stage's tokens: each token has an equal part.
static void unpool_image(const work *w, int image)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[v->stages - 1];
    vt_real *dnormed = my_thread(w)->last;
    const size_t i = (size_t)image, L = (size_t)s->L, C = (size_t)s->shape.C;
    vt_real *norms = v->norms + i * 2 * C;
    vt_linear_backward_input(v->dfeature + i * C, w->dlogits + i * (size_t)v->head.O,
                             w->weights + v->head.w, 1, v->head.I, v->head.O);
    for (size_t t = 0; t < L; t++)
        vt_scale(dnormed + t * C, VT_REAL, 1 / (vt_real)L, v->dfeature + i * C, C);
    memset(norms, 0, 2 * C * sizeof *norms);
    vt_layernorm_backward(s->dtokens + i * L * C, norms, norms + C, dnormed, s->tokens + i * L * C,
                          w->weights + v->norm_w, v->last_mean + i * L, v->last_rstd + i * L, false,
                          s->L, s->shape.C);
}

static void unembed_image(const work *w, const vt_chunks *images, int image)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[0];
    const vt_swin_thread *t = my_thread(w);
    const size_t i = (size_t)image, N = (size_t)v->embed.N, C = (size_t)s->shape.C;
    vt_real *norms = v->embed_norms + i * 2 * C, *dtokens = s->dtokens + i * N * C;
    const vt_chunk chunk = image_chunk(w, images, image);
    drop_embedded(w, dtokens, image);
    memset(norms, 0, 2 * C * sizeof *norms);
    vt_layernorm_backward(t->embedded, norms, norms + C, dtokens, v->embedded + i * N * C,
                          w->weights + v->embed_norm_w, v->embed_mean + i * N,
                          v->embed_rstd + i * N, false, v->embed.N, s->shape.C);
    vt_embed_backward(t->embedded, &v->embed, &t->embed, &chunk);
}

static void add_norms(vt_real *grads, size_t w, size_t b, const vt_real *norms, int images, int C)
{
    for (int i = 0; i < images; i++, norms += 2 * C) {
        vt_add(grads + w, norms, (size_t)C);
        vt_add(grads + b, norms + C, (size_t)C);
    }
}

static void backward_chunk(const work *w, const vt_chunk *chunk, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    const vt_recompute recompute = w->swin->placement.recompute;
    vt_block_work block = block_work(w, chunk, i, j);
    vt_real *dx = my_thread(w)->rows[i];
    const vt_block_saved saved = vt_block_recall(&block, &s->again, recompute);
    vt_chunk_move(dx, s->dtokens, &s->shape, chunk, false);
    block.saved = &saved;
    vt_block_backward(dx, dx, &s->grads, recompute == VT_RECOMPUTE_GELU, &block);
    vt_chunk_move(dx, s->dtokens, &s->shape, chunk, true);
}

// Tasks that pack what the backward pass of stage i's blocks reads: forward panels only where whole
// blocks are computed again.
static int skipped_packs(const work *w, int i)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    return w->swin->placement.recompute == VT_RECOMPUTE_BLOCK
               ? 0
               : vt_block_pack_tasks(&s->packed, &s->shape, false);
}

static int backward_packs(const work *w, int i)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    return vt_block_pack_tasks(&s->packed, &s->shape, true) - skipped_packs(w, i);
}

static void pack_backward(const work *w, int task, int i, int j)
{
    const vt_swin_stage *s = &w->swin->stage[i];
    vt_block_pack(skipped_packs(w, i) + task, &s->packed, &s->blocks[j], &s->shape, w->weights);
}

static void backward_block(const work *w, int i, int j)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[i];
    const vt_chunks chunks = chunks_of(w, i, j);
    const int tasks = vt_block_gradient_tasks(v->threads);
#pragma omp for schedule(dynamic)
    for (int k = 0; k < chunks.count; k++) {
        const vt_chunk chunk = chunk_of(w, &chunks, k, i, j);
        backward_chunk(w, &chunk, i, j);
    }
    // The weights of the block below are packed while these gradients are computed.
    const int below = trains_below(w, s->blocks[j].norm1_w) ? (j > 0 ? i : i - 1) : -1,
              packs = below < 0 ? 0 : backward_packs(w, below);
#pragma omp for schedule(dynamic)
    for (int k = 0; k < tasks + packs; k++) {
        if (k < tasks)
            vt_block_gradient(k, v->threads, w->grads, &s->saved[j].inputs, &s->grads, NULL,
                              &s->blocks[j], &s->shape, &chunks, s->shape.T);
        else
            pack_backward(w, k - tasks, below, j > 0 ? j - 1 : v->stage[below].depth - 1);
    }
}

static void backward_merge(const work *w, int i)
{
    const vt_swin *v = w->swin;
    const vt_swin_stage *s = &v->stage[i], *before = &v->stage[i - 1];
    const vt_chunks merges = vt_merge_chunks(&s->merge, w->pass->B, v->threads);
    const int first = vt_merge_pack_tasks(&s->merge, false),
              packs = vt_merge_pack_tasks(&s->merge, true);
#pragma omp for schedule(static)
    for (int k = first; k < packs; k++) vt_merge_pack(k, &s->merge, w->weights);
#pragma omp for schedule(dynamic)
    for (int k = 0; k < merges.count; k++) {
        const vt_chunk chunk = vt_chunk_at(&merges, k, 1, w->pass);
        vt_merge_backward(before->dtokens, s->dtokens, before->tokens, &s->merge, w->weights,
                          &my_thread(w)->merge[i], &chunk);
    }
#pragma omp for schedule(static)
    for (int k = 0; k < v->threads; k++)
        vt_merge_gradient(w->grads, &s->merge, &merges, k, v->threads);
}

static void backward_head(const work *w)
{
    const vt_swin *v = w->swin;
#pragma omp for schedule(dynamic)
    for (int k = 0; k < w->pass->B; k++) unpool_image(w, k);
#pragma omp for schedule(static)
    for (int k = 0; k < v->threads; k++) {
        vt_head_gradient(w->grads, w->dlogits, v->feature, &v->head, k, v->threads, w->pass->B);
        if (k == 0) add_norms(w->grads, v->norm_w, v->norm_b, v->norms, w->pass->B, v->features);
    }
}

static void backward_embed(const work *w)
{
    const vt_swin *v = w->swin;
    const vt_chunks images = images_of(w);
#pragma omp for schedule(dynamic)
    for (int k = 0; k < w->pass->B; k++) unembed_image(w, &images, k);
#pragma omp for schedule(static)
    for (int k = 0; k < v->threads; k++) {
        vt_embed_gradient(w->grads, &v->embed, &images, k, v->threads);
        if (k == 0)
            add_norms(w->grads, v->embed_norm_w, v->embed_norm_b, v->embed_norms, w->pass->B,
                      v->stage[0].shape.C);
    }
}

// The stages and the embedding, down to the lowest part that has something to train in it.
static void backward_stages(const work *w)
{
    const vt_swin *v = w->swin;
    const int last = v->stages - 1, packs = backward_packs(w, last);
    if (!trains_below(w, v->norm_w)) return;
#pragma omp for schedule(dynamic, 4)
    for (int k = 0; k < packs; k++) pack_backward(w, k, last, v->stage[last].depth - 1);
    for (int i = last; i >= 0; i--) {
        const vt_swin_stage *s = &v->stage[i];
        for (int j = s->depth - 1; j >= 0; j--) {
            backward_block(w, i, j);
            if (!trains_below(w, s->blocks[j].norm1_w)) return;
        }
        if (i == 0) break;
        backward_merge(w, i);
        if (!trains_below(w, s->merge.norm_w)) return;
    }
    backward_embed(w);
}

void vt_swin_backward(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                      const vt_real *dlogits, const vt_real *dlogits_dist)
{
    const vt_swin *v = model->state;
    const work w = {model, v, weights, pass, grads, dlogits};
    (void)dlogits_dist; // there is one head
    assert(vt_threads() == v->threads && pass->training && v->placement.training);
#pragma omp parallel
    {
        backward_head(&w);
        backward_stages(&w);
    }
}
