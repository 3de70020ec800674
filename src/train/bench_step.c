// Whole training steps: the very memory and calls of a run, but for the loader. A step is one
// micro-batch and one update (train.accumulate counts as 1). And forward passes for evaluation.
#include "vitrain/train/bench.h"

#include "vitrain/base/peak.h"
#include "vitrain/base/threads.h"
#include "vitrain/train/optim.h"

#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const vt_bench_phases[VT_BENCH_PHASES] = {"mix", "forward", "label", "backward",
                                                      "optimizer"};

enum { WARM_UP = 2, LEAST = 5, COLUMNS = VT_BENCH_PHASES + 1 }; // the last column: the whole step
static const double DURATION_S = 5;

double vt_bench_peak(const vt_config *config)
{
    return config->train.precision == VT_PRECISION_BF16 ? vt_peak_bf16_gflops() : vt_peak_gflops();
}

// What is measured: calls of `measure`, which fills (COLUMNS) milliseconds.
typedef struct bench {
    vt_config *config;
    vt_run run; // of training
    vt_evaluator evaluator;
    vt_arena arena;   // the evaluator's
    vt_real *weights; // the evaluator's, else run.state's
    vt_real *images;  // synthetic batch: noise
    int32_t *labels;  // in turn
    void (*measure)(struct bench *b, int step, double *ms);
    double executed, nominal; // operations of a step; NAN: not known
} bench;

static vt_status make_batch(bench *b)
{
    const vt_config *c = b->config;
    const size_t B = (size_t)c->train.batch_size;
    const size_t pixels =
        (size_t)c->model.in_chans * (size_t)c->model.image_height * (size_t)c->model.image_width;
    b->images = vt_alloc(B * pixels, sizeof *b->images);
    b->labels = vt_alloc(B, sizeof *b->labels);
    if (!b->images || !b->labels) return VT_ERR_MEMORY;
    vt_rng rng = vt_rng_at(c->train.seed, VT_STREAM_SYNTHETIC, 0, 0);
    for (size_t i = 0; i < B * pixels; i++) b->images[i] = (vt_real)vt_rng_range(&rng, -2, 2);
    for (size_t i = 0; i < B; i++) b->labels[i] = (int32_t)(i % (size_t)c->model.num_classes);
    return VT_OK;
}

// ---- training ----

static void update(vt_run *run, int step)
{
    const vt_optim_config *c = &run->config->optim;
    const vt_params *params = &run->model->params;
    vt_state *s = &run->state;
    const double norm = vt_grad_norm(params, s->grads, run->partials);
    const vt_optim_work work = {run->optim, c,        params,       s->weights,
                                s->grads,   s->slabs, run->partials};
    vt_optim_step(&work, c->lr, vt_optim_scale(run->optim, norm, c->clip_norm), step + 1);
    memset(s->grads, 0, params->slab_count * sizeof *s->grads);
}

static void measure_training(bench *b, int step, double *ms)
{
    vt_run *run = &b->run;
    const vt_step_key key = {
        .seed = b->config->train.seed, .batch = (uint32_t)step, .step = (uint32_t)step};
    memset(run->step.phase_s, 0, sizeof run->step.phase_s);
    const double start = vt_now_s();
    vt_step_run(&run->step, run->state.weights, run->state.grads, b->images, b->labels,
                b->config->train.batch_size, key);
    const double computed = vt_now_s();
    update(run, step);
    const double end = vt_now_s();
    for (int i = 0; i < VT_PHASES; i++) ms[i] = 1e3 * run->step.phase_s[i];
    ms[VT_BENCH_OPTIMIZER] = 1e3 * (end - computed);
    ms[VT_BENCH_PHASES] = 1e3 * (end - start);
}

static vt_status open_training(bench *b)
{
    const int B = b->config->train.batch_size;
    vt_product_info products[VT_PRODUCTS_MAX];
    VT_TRY(vt_run_plan(&b->run));
    VT_TRY(vt_run_take(&b->run));
    const vt_model *model = b->run.model;
    vt_params_init(&model->params, b->run.state.weights, b->config->train.seed);
    b->measure = measure_training;
    b->nominal = B * model->ops->train_flops(model);
    const int n = model->ops->products(model, products, B);
    for (int i = 0; i < n; i++) b->executed += products[i].flops;
    if (b->config->train.freeze.count > 0)
        b->nominal = b->executed = NAN; // what is left of them varies
    return VT_OK;
}

// ---- evaluation ----

static void measure_eval(bench *b, int step, double *ms)
{
    (void)step;
    const double start = vt_now_s();
    vt_evaluator_logits(&b->evaluator, b->weights, b->images, b->config->train.batch_size);
    for (int i = 0; i < COLUMNS; i++) ms[i] = 0;
    ms[VT_PHASE_FORWARD] = ms[VT_BENCH_PHASES] = 1e3 * (vt_now_s() - start);
}

static vt_status open_eval(bench *b)
{
    const int B = b->config->train.batch_size;
    VT_TRY(vt_model_create(&b->run.model, &b->config->model));
    vt_model *model = b->run.model;
    b->weights = vt_alloc(model->params.slab_count, sizeof *b->weights);
    if (!b->weights) return VT_ERR_MEMORY;
    const vt_elem type = vt_precision_type(b->config->train.precision);
    VT_TRY(vt_evaluator_place(&b->evaluator, &b->arena, model, B, &type));
    VT_TRY(vt_arena_reserve(&b->arena));
    VT_TRY(vt_evaluator_place(&b->evaluator, &b->arena, model, B, &type));
    vt_params_init(&model->params, b->weights, b->config->train.seed);
    b->measure = measure_eval;
    b->nominal = b->executed = B * model->ops->forward_flops(model);
    return VT_OK;
}

// ---- both ----

// times: (VT_BENCH_MOST, COLUMNS) out. Returns how many rows there are.
static int measure_all(bench *b, int steps, double *times)
{
    int done = 0;
    for (int i = 0; i < WARM_UP; i++) b->measure(b, i, times);
    const double start = vt_now_s();
    for (; done < VT_BENCH_MOST; done++) {
        if (steps ? done == steps : done >= LEAST && vt_now_s() - start > DURATION_S) break;
        b->measure(b, WARM_UP + done, times + (size_t)done * COLUMNS);
    }
    return done;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

vt_spread vt_spread_of(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return (vt_spread){values[0], (values[n / 2] + values[(n - 1) / 2]) / 2, values[n - 1]};
}

// Of one column. scratch: (n)
static vt_spread spread_of(const double *times, int n, int column, double *scratch)
{
    for (int i = 0; i < n; i++) scratch[i] = times[(size_t)i * COLUMNS + (size_t)column];
    return vt_spread_of(scratch, n);
}

static void conclude(vt_bench_step_result *r, const bench *b, const double *times, double *sorted)
{
    for (int i = 0; i < VT_BENCH_PHASES; i++)
        r->phases_ms[i] = spread_of(times, r->steps, i, sorted).median;
    r->step_ms = spread_of(times, r->steps, VT_BENCH_PHASES, sorted);
    const double s = 1e-3 * r->step_ms.median;
    r->images_per_s = b->config->train.batch_size / s;
    r->gflops = 1e-9 * b->executed / s;
    r->nominal_gflops = 1e-9 * b->nominal / s;
    r->peak_rss_bytes = vt_peak_rss_bytes();
}

static vt_status bench_steps(vt_config *config, vt_status (*open)(bench *b), int steps,
                             vt_bench_step_result *r)
{
    bench b = {.config = config, .run.config = config};
    double *times = vt_alloc((size_t)VT_BENCH_MOST * (COLUMNS + 1), sizeof *times);
    vt_status status = times ? VT_OK : VT_ERR_MEMORY;
    *r = (vt_bench_step_result){0};
    if (!times) goto fail;
    VT_TRY_OR_FAIL(status, vt_precision_settle(config));
    VT_TRY_OR_FAIL(status, open(&b));
    VT_TRY_OR_FAIL(status, make_batch(&b));
    r->peak_gflops = vt_bench_peak(config);
    r->steps = measure_all(&b, steps, times);
    conclude(r, &b, times, times + (size_t)VT_BENCH_MOST * COLUMNS);
    const double after = vt_bench_peak(config); // whatever else ran meanwhile may be gone
    if (after > r->peak_gflops) r->peak_gflops = after;
fail:
    free(times);
    free(b.images);
    free(b.labels);
    free(b.weights);
    vt_arena_release(&b.arena);
    vt_run_close(&b.run);
    return status;
}

vt_status vt_bench_step(vt_config *config, int steps, vt_bench_step_result *result)
{
    return bench_steps(config, open_training, steps, result);
}

vt_status vt_bench_eval(vt_config *config, int steps, vt_bench_step_result *result)
{
    return bench_steps(config, open_eval, steps, result);
}
