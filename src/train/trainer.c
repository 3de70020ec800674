// The training loop.
//
// The state on disk always stands at an optimizer step: an interruption in the middle of an
// accumulation goes back to the step before, whose weights are still the current ones. What a run
// does after a resume is therefore what it would have done unbroken, bit for bit.
#include "vitrain/train/trainer.h"

#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"
#include "vitrain/io/runlog.h"
#include "vitrain/train/ema.h"
#include "vitrain/train/schedule.h"

#include "progress.h"
#include "run.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const double CHECKPOINT_INTERVAL_S = 600; // inside an epoch; there is one at its end anyway
enum { DRY_STEPS = 2 };

typedef struct loop {
    vt_run run;
    const vt_train_options *options;
    vt_train_result *result;
    vt_meter meter;
    int lock;             // of the run's folder
    double saved_s;       // when the last checkpoint was written
    int64_t bad_before;   // progress.bad when this process entered the epoch
    double lr, grad_norm; // of the last optimizer step
} loop;

static vt_status stop_not_finite(const loop *l, const char *what, double value);

// Never over a good state with one that cannot go on.
static vt_status save(loop *l)
{
    vt_run *run = &l->run;
    if (vt_params_first_bad(&run->model->params, run->state.weights))
        return stop_not_finite(l, "training loss to come", NAN);
    VT_TRY(vt_checkpoint_save(run->last, run->model, run->optim, &run->state, run->config_text,
                              &run->notes));
    l->saved_s = vt_now_s();
    return VT_OK;
}

static bool interrupted(const loop *l)
{
    return l->options->interrupted && *l->options->interrupted;
}

static vt_status stop_interrupted(loop *l)
{
    VT_TRY(save(l));
    const vt_progress *p = &l->run.state.progress;
    return vt_fail(VT_INTERRUPTED, "interrupted in epoch %lld at batch %lld; the state is in %s",
                   (long long)p->epoch + 1, (long long)p->batch, l->run.last);
}

// ---- one optimizer step ----

static vt_status stop_not_finite(const loop *l, const char *what, double value)
{
    const vt_run *run = &l->run;
    const vt_progress *p = &run->state.progress;
    const char *kind = "weight ";
    const vt_param *bad = vt_params_first_bad(&run->model->params, run->state.weights);
    if (!bad) { // gradients go bad from the head down
        bad = vt_params_last_bad(&run->model->params, run->state.grads);
        kind = bad ? "gradient of " : "";
    }
    return vt_fail(
        VT_ERR_NUMERIC,
        "epoch %lld, step %lld: the %s is %g; first tensor concerned: %s%s; the last "
        "state before is in %s; a lower optim.lr or optim.clip_norm, with another output, "
        "may keep it finite",
        (long long)p->epoch + 1, (long long)p->step + 1, what, value, kind,
        bad ? bad->name : "none but the loss itself", run->last);
}

// Micro-batch `index` of the epoch; its loss is added to *loss. VT_INTERRUPTED before it has begun.
static vt_status micro_batch(loop *l, int64_t index, double *loss)
{
    vt_run *run = &l->run;
    const vt_progress *p = &run->state.progress;
    const vt_batch *batch;
    if (interrupted(l)) return vt_fail(VT_INTERRUPTED, "interrupted");
    VT_TRY(vt_loader_next(run->train_loader, &batch));
    VT_REQUIRE(batch, VT_ERR_DATA, "the training data ended before the epoch");
    vt_step_key key = {.seed = run->config->train.seed,
                       .epoch = (uint32_t)p->epoch,
                       .batch = (uint32_t)index,
                       .step = (uint32_t)(p->epoch * run->batches + index)};
    double mean = vt_step_run(&run->step, run->state.weights, run->state.grads, batch->images,
                              batch->labels, batch->count, key);
    if (!isfinite(mean)) return stop_not_finite(l, "loss", mean);
    *loss += mean;
    return VT_OK;
}

static double learning_rate(const loop *l, int64_t step)
{
    const vt_config *c = l->run.config;
    return vt_schedule_lr(c, step, l->run.batches / c->train.accumulate);
}

static vt_status update(loop *l)
{
    vt_run *run = &l->run;
    const vt_config *c = run->config;
    vt_state *s = &run->state;
    const vt_params *params = &run->model->params;
    const double mean = 1.0 / c->train.accumulate;
    vt_params_clear_frozen(params, s->grads);
    l->grad_norm = mean * vt_grad_norm(params, s->grads, run->partials);
    if (!isfinite(l->grad_norm)) return stop_not_finite(l, "gradient's norm", l->grad_norm);
    l->lr = learning_rate(l, s->progress.step);
    const vt_optim_work work = {run->optim, &c->optim, params,       s->weights,
                                s->grads,   s->slabs,  run->partials};
    vt_optim_step(&work, l->lr, mean * vt_optim_scale(run->optim, l->grad_norm, c->optim.clip_norm),
                  s->progress.step + 1);
    if (s->ema) vt_ema_update(params, s->ema, s->weights, c->train.ema_decay);
    memset(s->grads, 0, params->slab_count * sizeof *s->grads);
    return VT_OK;
}

// VT_INTERRUPTED before the state has changed; else one step further.
static vt_status optimizer_step(loop *l)
{
    vt_progress *p = &l->run.state.progress;
    const int accumulate = l->run.config->train.accumulate;
    double loss = 0;
    for (int i = 0; i < accumulate; i++) VT_TRY(micro_batch(l, p->batch + i, &loss));
    VT_TRY(update(l));
    p->batch += accumulate;
    p->step++;
    p->loss_sum += loss;
    p->bad = l->bad_before + vt_loader_bad(l->run.train_loader);
    if (l->run.state.shares) vt_fluctuation_settle(l->run.state.shares);
    return VT_OK;
}

// ---- what a run tells ----

static vt_meter_reading reading(const loop *l)
{
    const vt_progress *p = &l->run.state.progress;
    return (vt_meter_reading){.epoch = p->epoch,
                              .epochs = l->run.config->train.epochs,
                              .batch = p->batch,
                              .batches = l->run.batches,
                              .images = l->run.config->train.batch_size,
                              .loss = p->batch ? p->loss_sum / (double)p->batch : 0,
                              .lr = l->lr};
}

static vt_status log_step(loop *l)
{
    const vt_progress *p = &l->run.state.progress;
    vt_meter_reading now = reading(l);
    vt_meter_show(&l->meter, &now);
    if (p->step % l->run.config->train.log_every) return VT_OK;
    vt_json *line = vt_json_new_object();
    vt_json_add_number(line, "step", (double)p->step);
    vt_json_add_number(line, "epoch", (double)p->epoch);
    vt_json_add_number(line, "loss", now.loss); // the epoch's mean so far
    vt_json_add_number(line, "lr", l->lr);
    vt_json_add_number(line, "grad_norm", l->grad_norm);
    vt_json_add_number(line, "images_per_s", vt_meter_rate(&l->meter, &now));
    vt_status status = vt_runlog_append(l->run.steps, line);
    vt_json_destroy(line);
    return status;
}

static void log_evaluation(vt_json *line, const vt_eval_result *eval, const char *prefix)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"loss", eval->loss}, {"acc1", eval->acc1}, {"acc5", eval->acc5}, {"n", (double)eval->n}};
    for (size_t i = 0; eval->n && i < sizeof numbers / sizeof *numbers; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%s", prefix, numbers[i].name);
        vt_json_add_number(line, key, numbers[i].value);
    }
}

// DeiT's key names, and what it cost.
static vt_status log_epoch(const loop *l)
{
    const vt_run *run = &l->run;
    const vt_eval_result *eval = &l->result->eval, *ema = &l->result->ema;
    const vt_progress *p = &run->state.progress;
    const double rate =
        p->train_s > 0 ? (double)run->batches * run->config->train.batch_size / p->train_s : 0;
    vt_json *line = vt_json_new_object();
    vt_json_add_number(line, "epoch", (double)p->epoch);
    vt_json_add_number(line, "train_loss", p->loss_sum / (double)run->batches);
    vt_json_add_number(line, "train_lr", l->lr);
    log_evaluation(line, eval, "test_");
    log_evaluation(line, ema, "test_ema_");
    vt_json_add_number(line, "n_parameters", (double)run->model->params.total);
    vt_json_add_number(line, "distinct_images",
                       (double)vt_loader_distinct(run->train_loader, run->batches));
    vt_json_add_number(line, "bad_samples", (double)p->bad);
    vt_json_add_number(line, "train_s", p->train_s);
    vt_json_add_number(line, "images_per_s", rate);
    vt_json_add_number(line, "data_wait_s", vt_loader_wait_s(run->train_loader));
    vt_status status = vt_runlog_append(run->log, line);
    vt_json_destroy(line);
    char accuracy[96] = "", averaged[32] = "", bad[64] = "";
    if (eval->n)
        snprintf(accuracy, sizeof accuracy, "  val acc1 %.2f%%  acc5 %.2f%%  loss %.4f", eval->acc1,
                 eval->acc5, eval->loss);
    if (ema->n) snprintf(averaged, sizeof averaged, "  ema acc1 %.2f%%", ema->acc1);
    const int64_t unreadable = p->bad + (eval->n ? run->val->count - eval->n : 0);
    if (unreadable)
        snprintf(bad, sizeof bad, "  %lld unreadable sample%s", (long long)unreadable,
                 vt_plural(unreadable));
    vt_log(VT_LOG_INFO, "epoch %lld/%d  train loss %.4f  lr %.2e%s%s  %.1f images/s%s",
           (long long)p->epoch + 1, run->config->train.epochs, p->loss_sum / (double)run->batches,
           l->lr, accuracy, averaged, rate, bad);
    return status;
}

// ---- epochs ----

static vt_status train_epoch(loop *l)
{
    vt_run *run = &l->run;
    vt_progress *p = &run->state.progress;
    l->bad_before = p->bad;
    vt_loader_start(run->train_loader, (uint32_t)p->epoch, p->batch);
    while (p->batch < run->batches) {
        const double start = vt_now_s();
        VT_TRY(optimizer_step(l));
        p->train_s += vt_now_s() - start;
        VT_TRY(log_step(l));
        if (vt_now_s() - l->saved_s > CHECKPOINT_INTERVAL_S) VT_TRY(save(l));
    }
    return VT_OK;
}

// Of the weights and, where they are kept, of the averaged ones.
static vt_status evaluate(loop *l)
{
    vt_run *run = &l->run;
    vt_train_result *r = l->result;
    const double start = vt_now_s();
    r->eval = r->ema = (vt_eval_result){0};
    if (!run->val) return VT_OK;
    run->evaluator.keep = &run->predictions;
    VT_TRY(vt_evaluate(&run->evaluator, run->state.weights, run->val_loader,
                       l->options->interrupted, &r->eval));
    run->evaluator.keep = NULL;
    if (run->state.ema)
        VT_TRY(vt_evaluate(&run->evaluator, run->state.ema, run->val_loader,
                           l->options->interrupted, &r->ema));
    l->meter.evaluation_s += vt_now_s() - start;
    l->meter.evaluations++;
    return VT_OK;
}

static vt_status save_weights(const vt_run *run)
{
    const vt_state *s = &run->state;
    VT_TRY(vt_weights_save(run->final, run->model, s->weights, &run->notes));
    if (run->val) VT_TRY(vt_predictions_write(run->said, &run->predictions));
    if (!s->ema) return VT_OK;
    return vt_weights_save(run->final_ema, run->model, s->ema, &run->notes);
}

static vt_status end_epoch(loop *l)
{
    vt_run *run = &l->run;
    vt_progress *p = &run->state.progress;
    const vt_eval_result *eval = &l->result->eval;
    VT_TRY(evaluate(l));
    // Before anything good is overwritten: the last step may have blown up, and no loss has seen
    // it.
    if (!isfinite(eval->loss)) return stop_not_finite(l, "validation loss", eval->loss);
    if (vt_params_first_bad(&run->model->params, run->state.weights))
        return stop_not_finite(l, "training loss to come", NAN);
    VT_TRY(log_epoch(l));
    VT_TRY(vt_run_log_shares(run));
    l->result->train_loss = p->loss_sum / (double)run->batches;
    VT_TRY(save_weights(run));
    if (eval->n && eval->acc1 > p->best_acc1) {
        VT_TRY(vt_weights_save(run->best, run->model, run->state.weights, &run->notes));
        p->best_acc1 = eval->acc1;
        p->best_epoch = p->epoch;
    }
    p->epoch++;
    p->batch = 0;
    p->loss_sum = 0;
    p->bad = 0;
    p->train_s = 0;
    // A state never knows of an epoch whose lines a power cut could still take.
    VT_TRY(vt_runlog_sync(run->log));
    VT_TRY(vt_runlog_sync(run->shares));
    if (run->state.shares) vt_fluctuation_clear(run->state.shares);
    return save(l);
}

static vt_status train(loop *l)
{
    vt_progress *p = &l->run.state.progress;
    l->saved_s = vt_now_s();
    l->meter = vt_meter_start(p->epoch * l->run.batches + p->batch);
    if (p->step > 0)
        l->lr = learning_rate(l, p->step - 1); // resumed, maybe at an epoch's last step
    while (p->epoch < l->run.config->train.epochs) {
        vt_status status = train_epoch(l);
        if (status == VT_OK) status = end_epoch(l);
        vt_log_progress(NULL);
        if (status == VT_INTERRUPTED) return stop_interrupted(l);
        if (status == VT_ERR_DATA) VT_TRY(save(l)); // pictures can be mended
        VT_TRY(status);
    }
    return VT_OK;
}

// ---- start, dry run ----

// The folder as of where the run stands: what was logged after the checkpoint is done again. A new
// run leaves its state at once, so that nothing of an older one in the same folder can be taken for
// it.
static vt_status prepare_folder(loop *l)
{
    const vt_run *run = &l->run;
    if (run->state.progress.step == 0) {
        VT_TRY(save(l));
        remove(run->best);
        remove(run->final);
        remove(run->said);
        remove(run->final_ema);
    }
    VT_TRY(vt_file_write(run->config_path, run->config_text, strlen(run->config_text)));
    VT_TRY(vt_runlog_truncate(run->log, "epoch", (double)run->state.progress.epoch));
    VT_TRY(vt_runlog_truncate(run->shares, "epoch", (double)run->state.progress.epoch));
    return vt_runlog_truncate(run->steps, "step", (double)run->state.progress.step + 1);
}

static vt_status dry_run(loop *l)
{
    vt_run *run = &l->run;
    const vt_config *c = run->config;
    vt_train_result *r = l->result;
    VT_TRY(vt_run_initialize(run));
    VT_TRY(vt_make_directories(c->output));
    vt_loader_start(run->train_loader, 0, 0);
    const int64_t steps = run->batches / c->train.accumulate;
    for (int i = 0; i < DRY_STEPS && i < run->batches; i++) {
        double loss = 0, start = vt_now_s(), middle;
        VT_TRY(micro_batch(l, i, &loss));
        middle = vt_now_s();
        VT_TRY(update(l));
        r->step_s = c->train.accumulate * (middle - start) + vt_now_s() - middle;
    }
    const double images = (double)c->train.batch_size * c->train.accumulate;
    const double evaluated = run->val ? (double)run->val->count * (run->state.ema ? 2 : 1) : 0;
    r->total_s = c->train.epochs * r->step_s * ((double)steps + evaluated / images / 3);
    vt_loader_start(run->train_loader, 0, 0);
    const vt_batch *batch;
    VT_TRY(vt_loader_next(run->train_loader, &batch));
    vt_step_mix(&run->step, batch->images, batch->count, (vt_step_key){.seed = c->train.seed});
    VT_TRY(vt_run_picture(run, batch->images, batch->count));
    r->memory = run->memory;
    r->config_text = run->config_text;
    r->picture = run->picture;
    run->config_text = run->picture = NULL; // the caller's now
    return VT_OK;
}

static vt_status run_all(loop *l, vt_config *config)
{
    VT_TRY(vt_run_open(&l->run, config));
    if (l->options->dry_run) return dry_run(l);
    VT_TRY(vt_folder_lock(&l->lock, config->output));
    VT_REQUIRE(l->lock >= 0, VT_ERR_IO, "%s: another vitrain is training in this folder",
               config->output);
    VT_TRY(vt_run_begin(&l->run));
    const vt_progress *p = &l->run.state.progress;
    if (p->epoch >= config->train.epochs) {
        l->result->was_finished = true;
        return VT_OK;
    }
    VT_TRY(prepare_folder(l));
    return train(l);
}

vt_status vt_train(vt_config *config, const vt_train_options *options, vt_train_result *result)
{
    loop l = {.options = options, .result = result, .lock = -1};
    *result = (vt_train_result){0};
    vt_status status = run_all(&l, config);
    vt_run_close(&l.run);
    if (l.lock >= 0) close(l.lock);
    return status;
}
