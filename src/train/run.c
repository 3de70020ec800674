// Opening and closing a run.
#include "run.h"

#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"
#include "vitrain/ops/ops.h"
#include "vitrain/train/data_record.h"

#include <stdlib.h>
#include <string.h>

enum { PICTURE_MOST = 64, PICTURE_ROW = 8 };

static vt_status open_sources(vt_run *run)
{
    vt_config *c = run->config;
    VT_REQUIRE(c->data.train, VT_ERR_CONFIG, "data.train: expected a path, got none");
    vt_classes listed = {0};
    if (c->data.class_map) VT_TRY(vt_classes_read(&listed, c->data.class_map));
    vt_status status =
        vt_source_open(&run->train, c->data.train, c->data.format, listed.count ? &listed : NULL);
    vt_classes_free(&listed);
    if (status != VT_OK) return status;
    if (c->data.val)
        VT_TRY(vt_source_open(&run->val, c->data.val, c->data.format, &run->train->classes));
    const int found = run->train->classes.count;
    if (!c->classes_given) c->model.num_classes = found;
    VT_REQUIRE(found <= c->model.num_classes, VT_ERR_CONFIG,
               "model.num_classes: expected at least %d (the classes of %s), got %d", found,
               c->data.train, c->model.num_classes);
    return VT_OK;
}

static vt_status open_loader(vt_loader **out, const vt_run *run, const vt_source *source,
                             bool training)
{
    const vt_config *c = run->config;
    vt_loader_config config = {.augment = c->data.augment,
                               .batch_size = c->train.batch_size,
                               .workers = c->data.workers,
                               .training = training,
                               .copies = c->data.repeated_aug,
                               .seed = c->train.seed,
                               .max_pixels = c->data.max_pixels,
                               .max_bad = c->data.max_bad};
    return vt_loader_create(out, source, &config);
}

static vt_status open_loaders(vt_run *run)
{
    const int accumulate = run->config->train.accumulate;
    VT_TRY(open_loader(&run->train_loader, run, run->train, true));
    if (run->val) VT_TRY(open_loader(&run->val_loader, run, run->val, false));
    run->memory.batches =
        vt_loader_bytes(run->train_loader) + (run->val ? vt_loader_bytes(run->val_loader) : 0);
    run->batches = vt_loader_batches(run->train_loader) / accumulate * accumulate;
    VT_REQUIRE(run->batches > 0, VT_ERR_CONFIG,
               "train.accumulate: expected at most the %lld batches of an epoch, got %d; a smaller "
               "train.batch_size makes more batches",
               (long long)vt_loader_batches(run->train_loader), accumulate);
    return VT_OK;
}

// The one place that says what memory a run has: counts, then binds.
static vt_status place(vt_run *run)
{
    const vt_params *params = &run->model->params;
    vt_arena *arena = &run->arena;
    const size_t start = arena->used;
    run->state.weights = VT_ARENA_TAKE(arena, vt_real, params->slab_count);
    run->state.grads = VT_ARENA_TAKE(arena, vt_real, params->slab_count);
    for (int i = 0; i < run->optim->n_slabs; i++)
        run->state.slabs[i] = VT_ARENA_TAKE(arena, vt_real, params->slab_count);
    if (run->config->train.ema_decay > 0)
        run->state.ema = VT_ARENA_TAKE(arena, vt_real, params->slab_count);
    run->memory.parameters = arena->used - start;
    const vt_train_config *t = &run->config->train;
    const vt_elem type = vt_precision_type(t->precision);
    if (run->teacher) VT_TRY(vt_teacher_place(run->teacher, arena, t->batch_size, type));
    run->partials = VT_ARENA_TAKE(arena, double, vt_optim_partials(params));
    VT_TRY(vt_step_place(&run->step, arena, type, t->recompute));
    if (run->step.fluctuation.layers) run->state.shares = &run->step.fluctuation;
    VT_TRY(vt_evaluator_place(&run->evaluator, arena, run->model, t->batch_size, NULL));
    if (run->val) vt_predictions_place(&run->predictions, arena, run->val->count);
    run->memory.activations = arena->used - start - run->memory.parameters;
    return VT_OK;
}

vt_status vt_run_plan(vt_run *run)
{
    const vt_config *c = run->config;
    VT_TRY(vt_precision_settle(run->config));
    VT_TRY(vt_model_create(&run->model, &c->model));
    const vt_texts *freeze = &c->train.freeze;
    VT_TRY(vt_params_freeze(&run->model->params, (const char *const *)freeze->text, freeze->count));
    run->optim = vt_optim_find(c->optim.name);
    VT_REQUIRE(run->optim, VT_ERR_CONFIG, "optim.name: no optimizer \"%s\"", c->optim.name);
    VT_TRY(vt_step_init(&run->step, run->model, &c->mix, c->smoothing, c->label_rule, &c->loss,
                        c->train.batch_size));
    VT_TRY(vt_teacher_open(&run->teacher, c));
    run->step.teacher = run->teacher;
    return place(run);
}

vt_status vt_run_take(vt_run *run)
{
    const double mb = 1e-6;
    vt_log(VT_LOG_INFO,
           "memory: %.0f MB parameters and optimizer, %.0f MB activations, %.0f MB batches",
           mb * (double)run->memory.parameters, mb * (double)run->memory.activations,
           mb * (double)run->memory.batches);
    VT_TRY(vt_arena_reserve(&run->arena));
    VT_TRY(place(run));
    return run->teacher ? vt_teacher_load(run->teacher) : VT_OK;
}

vt_status vt_plan_memory(const vt_config *config, vt_memory_plan *plan)
{
    vt_config settled = *config;
    vt_run run = {.config = &settled};
    vt_status status = vt_run_plan(&run);
    *plan = run.memory;
    vt_run_close(&run);
    return status;
}

static vt_status name_files(vt_run *run)
{
    const struct {
        char **path;
        const char *name;
    } files[] = {{&run->log, "log.jsonl"},           {&run->steps, "steps.jsonl"},
                 {&run->shares, "shares.jsonl"},     {&run->said, VT_PREDICTIONS_NAME},
                 {&run->last, "last.safetensors"},   {&run->best, "best.safetensors"},
                 {&run->final, "model.safetensors"}, {&run->final_ema, "model_ema.safetensors"},
                 {&run->config_path, "config.json"}, {&run->picture, "first_batch.png"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        *files[i].path = vt_path_join(run->config->output, files[i].name);
        VT_REQUIRE(*files[i].path, VT_ERR_MEMORY, "out of memory");
    }
    return VT_OK;
}

static vt_status describe_config(vt_run *run)
{
    vt_json *json = vt_config_json(run->config);
    run->config_text = vt_json_text(json, true);
    vt_json_destroy(json);
    run->input_text = vt_config_input_text(run->config);
    run->data_text = vt_data_record(run->train, run->val);
    run->notes = (vt_weights_notes){run->input_text, run->data_text};
    VT_REQUIRE(run->config_text && run->input_text && run->data_text, VT_ERR_MEMORY,
               "out of memory");
    return VT_OK;
}

// A run that goes on keeps the precision that "auto" chose for it, whatever this machine would
// choose. A state that cannot be read is left to whoever resumes it, and says so.
static void keep_precision(vt_run *run)
{
    vt_train_config *t = &run->config->train;
    const char *path = vt_run_state(run);
    char *text = NULL;
    vt_json *old = NULL;
    if (t->precision != VT_PRECISION_AUTO || !path || !vt_file_exists(path)) return;
    if (vt_checkpoint_config(path, &text, NULL) == VT_OK &&
        vt_json_parse(&old, text, strlen(text), path) == VT_OK) {
        const vt_json *train = vt_json_get(old, "train");
        const vt_json *precision = train ? vt_json_get(train, "precision") : NULL;
        if (precision && vt_json_type_of(precision) == VT_JSON_STRING)
            t->precision =
                !strcmp(vt_json_string(precision), "bf16") ? VT_PRECISION_BF16 : VT_PRECISION_FP32;
    }
    vt_json_destroy(old);
    free(text);
}

static void tell_data(const vt_run *run)
{
    char names[128];
    const int classes = run->train->classes.count;
    const long long images = run->train->count, val = run->val ? run->val->count : 0;
    vt_classes_text(names, sizeof names, &run->train->classes);
    vt_log(VT_LOG_INFO, "%lld training image%s of %d class%s (%s), %lld for validation", images,
           vt_plural(images), classes, classes == 1 ? "" : "es", names, val);
    if (classes == 1)
        vt_log(VT_LOG_WARN, "%s: one class only, so there is nothing to learn to tell apart",
               run->train->path);
    if (run->val) vt_evaluate_warn_absent(run->val, run->config->data.class_map);
}

vt_status vt_run_open(vt_run *run, vt_config *config)
{
    *run = (vt_run){.config = config};
    VT_REQUIRE(config->output, VT_ERR_CONFIG, "output: expected a path, got none");
    vt_threads_set(config->train.threads);
    vt_gemm_setup();
    VT_TRY(open_sources(run));
    VT_TRY(open_loaders(run));
    VT_TRY(name_files(run));
    keep_precision(run);
    VT_TRY(vt_run_plan(run));
    VT_TRY(describe_config(run));
    vt_log(VT_LOG_INFO, "%s: %.2f M parameters, %.2f GFLOP an image", config->model.name,
           (double)run->model->params.total / 1e6, run->model->ops->train_flops(run->model) / 1e9);
    tell_data(run);
    if (config->data.repeated_aug > 1)
        vt_log(VT_LOG_INFO, "an epoch takes %lld images %d times each: %lld samples",
               (long long)vt_loader_distinct(run->train_loader, run->batches),
               config->data.repeated_aug, (long long)run->batches * config->train.batch_size);
    vt_log(VT_LOG_INFO, "%d thread%s, %s, %s; small products: %s", vt_threads(),
           vt_plural(vt_threads()), vt_precision_name(config->train.precision),
           vt_product_describe(), vt_gemm_describe());
    if (config->data.augment.decode == VT_DECODE_FAST)
        vt_log(VT_LOG_INFO, "data.decode is fast: training pixels are near Pillow's, not equal");
    return vt_run_take(run);
}

void vt_run_close(vt_run *run)
{
    vt_loader_destroy(run->train_loader);
    vt_loader_destroy(run->val_loader);
    vt_source_close(run->train);
    vt_source_close(run->val);
    vt_model_destroy(run->model);
    vt_teacher_close(run->teacher);
    vt_arena_release(&run->arena);
    char *const texts[] = {run->config_text, run->input_text,  run->data_text, run->log,
                           run->steps,       run->shares,      run->said,      run->last,
                           run->best,        run->config_path, run->picture,   run->final,
                           run->final_ema};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    *run = (vt_run){0};
}

vt_status vt_run_picture(const vt_run *run, const vt_real *images, int count)
{
    const vt_augment_config *a = &run->config->data.augment;
    const size_t pixels = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    const int shown = count < PICTURE_MOST ? count : PICTURE_MOST;
    const int across = shown < PICTURE_ROW ? shown : PICTURE_ROW,
              down = (shown + across - 1) / across;
    vt_image sheet = {0}, one = {0};
    vt_status status;
    VT_TRY_OR_FAIL(status, vt_image_reserve(&sheet, across * a->width, down * a->height, 3));
    memset(sheet.pixels, 255, (size_t)sheet.width * (size_t)sheet.height * 3);
    for (int i = 0; i < shown; i++) {
        VT_TRY_OR_FAIL(status, vt_augment_picture(&one, images + (size_t)i * pixels, a));
        for (int y = 0; y < a->height; y++)
            memcpy(sheet.pixels + ((size_t)(i / across * a->height + y) * (size_t)sheet.width +
                                   (size_t)(i % across * a->width)) *
                                      3,
                   one.pixels + (size_t)y * (size_t)a->width * 3, (size_t)a->width * 3);
    }
    status = vt_image_write_png(run->picture, &sheet);
fail:
    vt_image_free(&sheet);
    vt_image_free(&one);
    return status;
}
