// Where a run begins: with new weights, with those of a file, or where it was stopped.
#include "run.h"

#include "vitrain/base/log.h"
#include "vitrain/io/file.h"
#include "vitrain/io/weights.h"
#include "vitrain/model/finetune.h"
#include "vitrain/train/data_record.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

// A resumed run must be the run that it resumes: its configuration, and its data wherever that
// lies. A state of an older version has no record of the data: then it lies where it lay.
static vt_status same_run(const vt_run *run, const char *path, const char *old_text,
                          const char *old_data)
{
    vt_json *old = NULL, *now = NULL;
    vt_status status;
    VT_TRY_OR_FAIL(status, vt_json_parse(&old, old_text, strlen(old_text), path));
    VT_TRY_OR_FAIL(
        status, vt_json_parse(&now, run->config_text, strlen(run->config_text), run->config_path));
    const char *key = vt_config_difference(old, now, old_data != NULL);
    if (key)
        status = vt_fail(VT_ERR_CONFIG,
                         "%s: differs from the run in %s, which cannot be resumed with it; set "
                         "train.resume=never or another output",
                         key, path);
    else if (old_data)
        status = vt_data_record_check(old_data, run->data_text, path);
fail:
    vt_json_destroy(old);
    vt_json_destroy(now);
    return status;
}

static vt_status resume(vt_run *run, const char *path)
{
    char *old_text, *old_data = NULL;
    VT_TRY(vt_checkpoint_config(path, &old_text, &old_data));
    vt_status status = same_run(run, path, old_text, old_data);
    free(old_text);
    free(old_data);
    VT_TRY(status);
    VT_TRY(vt_checkpoint_load(path, run->model, run->optim, &run->state));
    vt_progress *p = &run->state.progress;
    const int64_t accumulate = run->config->train.accumulate, steps = run->batches / accumulate;
    VT_REQUIRE(p->epoch <= INT_MAX && p->batch <= run->batches && p->batch % accumulate == 0 &&
                   p->step == p->epoch * steps + p->batch / accumulate,
               VT_ERR_CONFIG,
               "data.train: %lld steps an epoch; the run in %s had another number: %lld steps in "
               "%lld epochs and %lld batches",
               (long long)steps, path, (long long)p->step, (long long)p->epoch,
               (long long)p->batch);
    if (strcmp(path, run->last) != 0) { // the best weights of that run are not in this folder
        VT_REQUIRE(p->epoch < run->config->train.epochs, VT_ERR_CONFIG,
                   "train.resume: %s is finished after %lld epochs; a larger train.epochs goes on",
                   path, (long long)p->epoch);
        p->best_acc1 = -1;
        p->best_epoch = -1;
    }
    return VT_OK;
}

static vt_status load_init(const vt_run *run, const char *path)
{
    vt_st_file *file = NULL;
    VT_TRY(vt_weights_open(&file, path));
    vt_status status = vt_finetune_load(run->model, run->state.weights, file);
    vt_st_close(file);
    return status;
}

vt_status vt_run_initialize(vt_run *run)
{
    const vt_train_config *t = &run->config->train;
    const vt_params *params = &run->model->params;
    vt_state *s = &run->state;
    vt_params_init(params, s->weights, t->seed);
    s->progress = (vt_progress){.best_acc1 = -1, .best_epoch = -1};
    if (t->init) VT_TRY(load_init(run, t->init));
    if (s->ema) memcpy(s->ema, s->weights, params->slab_count * sizeof *s->ema);
    return VT_OK;
}

// What a run without a state has left in the folder is not written over.
static vt_status refuse_remains(const vt_run *run)
{
    const char *const left[] = {run->log, run->final};
    for (int i = 0; i < 2; i++)
        VT_REQUIRE(
            !vt_file_exists(left[i]), VT_ERR_CONFIG,
            "%s: is of a run that left no last.safetensors to go on from; set another output, "
            "or train.resume=never to begin anew in its place",
            left[i]);
    return VT_OK;
}

const char *vt_run_state(const vt_run *run)
{
    const char *wish = run->config->train.resume;
    if (!strcmp(wish, "never")) return NULL;
    if (vt_file_exists(run->last)) return run->last;
    return strcmp(wish, "auto") ? wish : NULL;
}

vt_status vt_run_begin(vt_run *run)
{
    const char *state = vt_run_state(run);
    const vt_progress *p = &run->state.progress;
    const int epochs = run->config->train.epochs;
    if (state != run->last && strcmp(run->config->train.resume, "never"))
        VT_TRY(refuse_remains(run));
    VT_TRY(state ? resume(run, state) : vt_run_initialize(run));
    if (p->step && p->epoch < epochs)
        vt_log(VT_LOG_INFO, "resumed at epoch %lld, batch %lld", (long long)p->epoch + 1,
               (long long)p->batch);
    else if (p->epoch > epochs)
        vt_log(VT_LOG_WARN, "train.epochs: %d, and the run has %lld behind it", epochs,
               (long long)p->epoch);
    else if (p->epoch < epochs && run->config->schedule.warmup_epochs >= epochs)
        vt_log(VT_LOG_WARN, "schedule.warmup_epochs: %g of %d epochs, so the rate only rises",
               run->config->schedule.warmup_epochs, epochs);
    return VT_OK;
}
