// An evaluation on its own; see evaluate.h.
#include "vitrain/train/evaluate.h"

#include "vitrain/base/log.h"

#include <stdlib.h>

void vt_evaluate_warn_absent(const vt_source *source, bool mapped)
{
    const int classes = source->classes.count;
    int absent = classes;
    bool *met = calloc((size_t)classes, sizeof *met);
    for (int64_t i = 0; met && i < source->count; i++) {
        absent -= !met[source->labels[i]];
        met[source->labels[i]] = true;
    }
    if (met && absent > 0)
        vt_log(mapped ? VT_LOG_INFO : VT_LOG_WARN,
               "%s: no picture of %d of the %d classes; accuracy is of the others", source->path,
               absent, classes);
    free(met);
}

vt_status vt_evaluate_source(vt_model *model, const vt_real *weights, const vt_config *config,
                             const vt_source *source, vt_elem type, vt_predictions *keep,
                             const volatile sig_atomic_t *interrupted, vt_eval_result *result)
{
    const int B = config->train.batch_size;
    const vt_loader_config loader_config = {
        .augment = config->data.augment,
        .batch_size = B,
        .workers = config->data.workers,
        .max_pixels = config->data.max_pixels,
        .max_bad = config->data.max_bad,
    };
    vt_loader *loader = NULL;
    vt_arena arena = {0};
    vt_evaluator evaluator = {.keep = keep};
    vt_status status = VT_OK;
    VT_TRY_OR_FAIL(status, vt_loader_create(&loader, source, &loader_config));
    VT_TRY_OR_FAIL(status, vt_evaluator_place(&evaluator, &arena, model, B, &type));
    VT_TRY_OR_FAIL(status, vt_arena_reserve(&arena));
    VT_TRY_OR_FAIL(status, vt_evaluator_place(&evaluator, &arena, model, B, &type));
    status = vt_evaluate(&evaluator, weights, loader, interrupted, result);
fail:
    vt_arena_release(&arena);
    vt_loader_destroy(loader);
    return status;
}
