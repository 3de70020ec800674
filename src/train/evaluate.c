// Top-1, top-5 and plain cross-entropy over a source.
#include "vitrain/train/evaluate.h"

#include "vitrain/base/threads.h"
#include "vitrain/label/label.h"
#include "vitrain/ops/ops.h"

#include <assert.h>

enum { TOP = 5 };

vt_status vt_evaluator_place(vt_evaluator *e, vt_arena *arena, vt_model *model, int max_batch,
                             const vt_elem *type)
{
    const size_t BK = (size_t)max_batch * (size_t)model->config.num_classes;
    e->model = model;
    e->logits = VT_ARENA_TAKE(arena, vt_real, BK);
    e->logits_dist = model->config.distilled ? VT_ARENA_TAKE(arena, vt_real, BK) : NULL;
    e->target = VT_ARENA_TAKE(arena, vt_real, BK);
    e->losses = VT_ARENA_TAKE(arena, vt_real, (size_t)max_batch);
    if (!type) return VT_OK;
    const vt_placement placement = {.max_batch = max_batch, .type = *type};
    return model->ops->place(model, arena, &placement);
}

void vt_top_k(int32_t *best, int k, const vt_real *logits, int K)
{
    for (int found = 0; found < k; found++) {
        int32_t top = -1;
        for (int32_t c = 0; c < K; c++) {
            if (top >= 0 && !(logits[c] > logits[top])) continue;
            bool taken = false;
            for (int i = 0; i < found; i++) taken = taken || best[i] == c;
            if (!taken) top = c;
        }
        best[found] = top;
    }
}

void vt_evaluator_logits(vt_evaluator *e, const vt_real *weights, const vt_real *images, int B)
{
    vt_pass pass = {.B = B, .images = images, .logits = e->logits, .logits_dist = e->logits_dist};
    e->model->ops->forward(e->model, weights, &pass);
    if (e->logits_dist)
        vt_model_join_heads(e->logits, e->logits_dist, B, e->model->config.num_classes);
}

static void keep(vt_predictions *p, const vt_batch *batch, int i, int32_t predicted, vt_real loss)
{
    assert(p->n < p->capacity);
    p->sample[p->n] = batch->indices[i];
    p->label[p->n] = batch->labels[i];
    p->predicted[p->n] = predicted;
    p->loss[p->n++] = loss;
}

static void count(vt_evaluator *e, const vt_batch *batch, vt_eval_result *sum)
{
    const int K = e->model->config.num_classes, k = K < TOP ? K : TOP;
    vt_label_target(e->target, batch->labels, NULL, NULL, 0, batch->count, K);
    vt_cross_entropy(e->losses, NULL, e->logits, e->target, 1, batch->count, K);
    for (int i = 0; i < batch->count; i++) {
        int32_t best[TOP] = {0};
        vt_top_k(best, k, e->logits + (size_t)i * (size_t)K, K);
        sum->acc1 += best[0] == batch->labels[i];
        if (e->keep) keep(e->keep, batch, i, best[0], e->losses[i]);
        for (int j = 0; j < k; j++) sum->acc5 += best[j] == batch->labels[i];
        sum->loss += (double)e->losses[i];
    }
    sum->n += batch->count;
}

vt_status vt_evaluate(vt_evaluator *e, const vt_real *weights, vt_loader *loader,
                      const volatile sig_atomic_t *interrupted, vt_eval_result *result)
{
    vt_eval_result sum = {0};
    double start = vt_now_s();
    vt_loader_start(loader, 0, 0);
    if (e->keep) e->keep->n = 0;
    for (;;) {
        const vt_batch *batch;
        VT_TRY(vt_loader_next(loader, &batch));
        if (!batch) break;
        if (interrupted && *interrupted) return vt_fail(VT_INTERRUPTED, "interrupted");
        vt_evaluator_logits(e, weights, batch->images, batch->count);
        count(e, batch, &sum);
    }
    VT_REQUIRE(sum.n > 0, VT_ERR_DATA, "no validation sample could be read");
    const double n = (double)sum.n;
    *result = (vt_eval_result){.acc1 = 100 * sum.acc1 / n,
                               .acc5 = 100 * sum.acc5 / n,
                               .loss = sum.loss / n,
                               .n = sum.n,
                               .seconds = vt_now_s() - start};
    return VT_OK;
}
