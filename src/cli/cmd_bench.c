// vitrain bench: this machine's limits, and how near to them a training step and its products come.
#include "commands.h"

#include "vitrain/base/peak.h"
#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"
#include "vitrain/train/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- peak ----

static vt_status bench_peak(const vt_args *args)
{
    double memory = 0;
    VT_REQUIRE(!args->config && !args->batch && !args->precision && !args->rule &&
                   !args->recompute && !args->steps && args->n_sets == 0,
               VT_ERR_USAGE, "bench peak takes no other option than --json");
    vt_threads_set(0);
    const double fma = vt_peak_gflops(), bf16 = vt_peak_bf16_gflops();
    VT_TRY(vt_peak_memory(&memory));
    if (!args->json) {
        printf("multiply-add  %8.1f GFLOP/s (%s, %d thread%s)\n", fma, VT_REAL_NAME, vt_threads(),
               vt_plural(vt_threads()));
        if (bf16 > 0)
            printf("bf16 products %8.1f GFLOP/s\n", bf16);
        else
            printf("bf16 products     none in this processor, or none that is measured\n");
        printf("memory        %8.1f GB/s\n", memory);
        return VT_OK;
    }
    vt_json *root = vt_json_new_object();
    vt_json_add_number(root, "fma_gflops", fma);
    if (bf16 > 0)
        vt_json_add_number(root, "bf16_gflops", bf16);
    else
        vt_json_add_null(root, "bf16_gflops");
    vt_json_add_number(root, "memory_gb_per_s", memory);
    vt_json_add_number(root, "threads", vt_threads());
    return vt_answer_json(root);
}

// ---- the configuration of the others ----

// The options stand for overrides; drop path is 0 unless --set says otherwise.
static vt_status load(vt_config *config, const vt_args *args)
{
    const struct {
        const char *key, *value;
    } options[] = {{"train.batch_size", args->batch},
                   {"train.precision", args->precision},
                   {"label.rule", args->rule},
                   {"train.recompute", args->recompute}};
    enum { OPTIONS = sizeof options / sizeof *options };
    uint64_t batch;
    VT_TRY(vt_args_number(&batch, "batch", args->batch, 1, 65536)); // as train.batch_size
    char *made[OPTIONS] = {NULL};
    const char **sets = malloc(((size_t)args->n_sets + 1 + OPTIONS) * sizeof *sets);
    vt_status status = sets ? VT_OK : vt_fail(VT_ERR_MEMORY, "out of memory");
    int n = 0;
    if (status != VT_OK) goto fail;
    sets[n++] = "model.drop_path=0";
    for (int i = 0; i < args->n_sets; i++) sets[n++] = args->sets[i];
    for (int i = 0; i < OPTIONS; i++) {
        if (!options[i].value) continue;
        if (asprintf(&made[i], "%s=%s", options[i].key, options[i].value) < 0) {
            made[i] = NULL;
            status = vt_fail(VT_ERR_MEMORY, "out of memory");
            goto fail;
        }
        sets[n++] = made[i];
    }
    vt_args all = *args;
    all.precision = NULL; // not the one to evaluate in
    all.sets = sets;
    all.n_sets = n;
    vt_subject subject;
    VT_TRY_OR_FAIL(status, vt_subject_load(&subject, &all, NULL));
    *config = subject.config;
    subject.config = (vt_config){0}; // the caller's now
    vt_subject_free(&subject);
fail:
    for (int i = 0; i < OPTIONS; i++) free(made[i]);
    free(sets);
    return status;
}

// ---- step and eval ----

typedef vt_status steps_fn(vt_config *config, int steps, vt_bench_step_result *result);

// The median step's, and of the slowest and the fastest.
static void print_rate(const char *title, double gflops, const vt_bench_step_result *r)
{
    const double share = 100 * gflops / r->peak_gflops, ms = r->step_ms.median;
    if (!isnan(gflops))
        printf("%s%.1f GFLOP/s, %.1f%% of the peak (%.1f to %.1f)\n", title, gflops, share,
               share * ms / r->step_ms.high, share * ms / r->step_ms.low);
}

static void print_step(const vt_config *c, const vt_bench_step_result *r)
{
    printf("%s, batch %d, %s, %s, %d thread%s, %d step%s\n", c->model.name, c->train.batch_size,
           vt_precision_name(c->train.precision), c->label_rule, vt_threads(),
           vt_plural(vt_threads()), r->steps, vt_plural(r->steps));
    printf("step        %.2f ms (%.2f to %.2f)\n", r->step_ms.median, r->step_ms.low,
           r->step_ms.high);
    printf("phases     ");
    for (int i = 0; i < VT_BENCH_PHASES; i++)
        printf(" %s %.2f%s", vt_bench_phases[i], r->phases_ms[i],
               i + 1 < VT_BENCH_PHASES ? "," : " ms\n");
    printf("images/s    %.1f\n", r->images_per_s);
    print_rate("executed    ", r->gflops, r);
    print_rate("nominal     ", r->nominal_gflops, r);
    printf("peak        %.1f GFLOP/s%s\n", r->peak_gflops,
           r->gflops > r->peak_gflops
               ? ", less than was reached: measured while the machine was busy"
               : "");
    printf("memory      %.1f MiB at most\n", (double)r->peak_rss_bytes / (1 << 20));
}

static vt_json *json_step(const vt_config *c, const vt_bench_step_result *r)
{
    vt_json *root = vt_json_new_object();
    vt_json_add_number(root, "images_per_s", r->images_per_s);
    vt_json_add_number(root, "gflops", r->gflops);
    vt_json_add_number(root, "fraction_of_peak", r->gflops / r->peak_gflops);
    vt_json_add_number(root, "nominal_gflops", r->nominal_gflops);
    vt_json_add_number(root, "nominal_fraction", r->nominal_gflops / r->peak_gflops);
    vt_json_add_number(root, "peak_gflops", r->peak_gflops);
    vt_json_add_number(root, "peak_rss_bytes", (double)r->peak_rss_bytes);
    vt_json *phases = vt_json_add_object(root, "phases_ms");
    for (int i = 0; i < VT_BENCH_PHASES; i++)
        vt_json_add_number(phases, vt_bench_phases[i], r->phases_ms[i]);
    vt_json *step = vt_json_add_object(root, "step_ms");
    vt_json_add_number(step, "median", r->step_ms.median);
    vt_json_add_number(step, "low", r->step_ms.low);
    vt_json_add_number(step, "high", r->step_ms.high);
    vt_json_add_number(root, "steps", r->steps);
    vt_json_add_string(root, "precision", vt_precision_name(c->train.precision));
    vt_json_add_string(root, "kernels", vt_product_describe());
    vt_json_add_string(root, "rule", c->label_rule);
    vt_json_add_number(root, "threads", vt_threads());
    vt_json_add_number(root, "batch", c->train.batch_size);
    return root;
}

static vt_status bench_steps(const vt_args *args, steps_fn *measure)
{
    vt_config config;
    vt_bench_step_result result;
    uint64_t steps = 0; // as many as a few seconds take
    VT_TRY(vt_args_number(&steps, "steps", args->steps, 1, VT_BENCH_MOST));
    VT_TRY(load(&config, args));
    vt_status status = measure(&config, (int)steps, &result);
    if (status == VT_OK && args->json)
        status = vt_answer_json(json_step(&config, &result));
    else if (status == VT_OK)
        print_step(&config, &result);
    vt_config_free(&config);
    return status;
}

static vt_status bench_step(const vt_args *args)
{
    return bench_steps(args, vt_bench_step);
}

static vt_status bench_eval(const vt_args *args)
{
    VT_REQUIRE(!args->rule && !args->recompute, VT_ERR_USAGE,
               "bench eval has no labels and no backward pass: --rule, --recompute");
    return bench_steps(args, vt_bench_eval);
}

// ---- gemm ----

static void print_gemm(const vt_bench_gemm_row *rows, int count, double peak)
{
    printf("peak %.1f GFLOP/s, %d thread%s\n", peak, vt_threads(), vt_plural(vt_threads()));
    printf("%-14s %6s %6s %6s %7s %8s %9s %8s %9s\n", "product", "m", "n", "k", "calls", "of step",
           "GFLOP/s", "of peak", "BLAS fp32");
    for (int i = 0; i < count; i++) {
        const vt_product_info *p = &rows[i].product;
        printf("%-14s %6d %6d %6d %7d %7.1f%%", p->name, p->m, p->n, p->k, p->calls,
               100 * rows[i].share);
        if (rows[i].gflops > 0)
            printf(" %9.1f %7.1f%%", rows[i].gflops, 100 * rows[i].gflops / peak);
        else
            printf(" %9s %8s", "-", "-");
        printf(" %9.1f\n", rows[i].blas_gflops);
    }
}

static vt_json *json_gemm(const vt_bench_gemm_row *rows, int count, double peak)
{
    vt_json *root = vt_json_new_object();
    vt_json_add_number(root, "peak_gflops", peak);
    vt_json_add_number(root, "threads", vt_threads());
    vt_json *list = vt_json_add_array(root, "products");
    for (int i = 0; i < count; i++) {
        const vt_product_info *p = &rows[i].product;
        vt_json *row = vt_json_add_object(list, NULL);
        vt_json_add_string(row, "name", p->name);
        vt_json_add_number(row, "m", p->m);
        vt_json_add_number(row, "n", p->n);
        vt_json_add_number(row, "k", p->k);
        vt_json_add_number(row, "calls", p->calls);
        vt_json_add_number(row, "share_of_step", rows[i].share);
        if (rows[i].gflops > 0) {
            vt_json_add_number(row, "gflops", rows[i].gflops);
            vt_json_add_number(row, "fraction_of_peak", rows[i].gflops / peak);
        }
        vt_json_add_number(row, "blas_gflops", rows[i].blas_gflops);
    }
    return root;
}

static vt_status bench_gemm(const vt_args *args)
{
    vt_config config;
    vt_bench_gemm_row rows[VT_PRODUCTS_MAX];
    int count;
    double peak;
    VT_REQUIRE(!args->steps, VT_ERR_USAGE, "bench gemm has no steps to count: --steps");
    VT_TRY(load(&config, args));
    vt_status status = vt_bench_gemm(&config, rows, &count, &peak);
    if (status == VT_OK && args->json)
        status = vt_answer_json(json_gemm(rows, count, peak));
    else if (status == VT_OK)
        print_gemm(rows, count, peak);
    vt_config_free(&config);
    return status;
}

// ---- loader ----

enum { TRAINING, EVALUATION, PIPELINES };
static const char *const pipelines[PIPELINES] = {"train", "eval"};

static void print_loader(const vt_config *c, const vt_bench_loader_result results[PIPELINES])
{
    printf("one worker, decode %s, input %dx%d\n",
           c->data.augment.decode == VT_DECODE_FAST ? "fast" : "exact", c->data.augment.width,
           c->data.augment.height);
    printf("%-6s %8s %9s  ms of an image:", "", "images", "images/s");
    for (int i = 0; i < VT_STAGES; i++) printf(" %9s", vt_stage_names[i]);
    putchar('\n');
    for (int p = 0; p < PIPELINES; p++) {
        const vt_bench_loader_result *r = &results[p];
        printf("%-6s %8lld %9.1f                ", pipelines[p], (long long)r->samples,
               r->images_per_s);
        for (int i = 0; i < VT_STAGES; i++) printf(" %9.3f", r->stage_ms[i]);
        if (r->bad > 0) printf("  (%lld unreadable)", (long long)r->bad);
        putchar('\n');
    }
}

// What was measured, for who measures the same elsewhere: the input's size and all that concerns
// data.
static void add_settings(vt_json *root, const vt_config *c)
{
    vt_json *all = vt_config_json(c);
    if (all) {
        vt_json_put_copy(root, "image_size", vt_json_get(vt_json_get(all, "model"), "image_size"));
        vt_json_put_copy(root, "data", vt_json_get(all, "data"));
    }
    vt_json_destroy(all);
}

static vt_json *json_loader(const vt_config *c, const vt_bench_loader_result results[PIPELINES])
{
    vt_json *root = vt_json_new_object();
    add_settings(root, c);
    for (int p = 0; p < PIPELINES; p++) {
        const vt_bench_loader_result *r = &results[p];
        vt_json *one = vt_json_add_object(root, pipelines[p]);
        vt_json_add_number(one, "images_per_s", r->images_per_s);
        vt_json_add_number(one, "images_per_cpu_s", r->images_per_cpu_s);
        vt_json_add_number(one, "samples", (double)r->samples);
        vt_json_add_number(one, "bad", (double)r->bad);
        vt_json *stages = vt_json_add_object(one, "stages_ms");
        for (int i = 0; i < VT_STAGES; i++)
            vt_json_add_number(stages, vt_stage_names[i], r->stage_ms[i]);
        vt_json *rates = vt_json_add_object(one, "stages_images_per_s");
        for (int i = 0; i < VT_STAGES; i++) {
            if (r->stage_ms[i] > 0)
                vt_json_add_number(rates, vt_stage_names[i], 1e3 / r->stage_ms[i]);
        }
    }
    return root;
}

static vt_status bench_loader(const vt_args *args)
{
    vt_config config;
    vt_bench_loader_result results[PIPELINES];
    VT_REQUIRE(!args->batch && !args->precision && !args->rule && !args->recompute && !args->steps,
               VT_ERR_USAGE, "bench loader takes no other options than --config, --set and --json");
    VT_TRY(vt_config_load(&config, args->config, args->sets, args->n_sets));
    vt_status status = vt_bench_loader(&config, true, &results[TRAINING]);
    if (status == VT_OK) status = vt_bench_loader(&config, false, &results[EVALUATION]);
    if (status == VT_OK && args->json)
        status = vt_answer_json(json_loader(&config, results));
    else if (status == VT_OK)
        print_loader(&config, results);
    vt_config_free(&config);
    return status;
}

// ---- the command ----

static vt_status run(const vt_args *args)
{
    static const struct {
        const char *name;
        vt_status (*run)(const vt_args *args);
    } kinds[] = {{"step", bench_step},
                 {"eval", bench_eval},
                 {"gemm", bench_gemm},
                 {"loader", bench_loader},
                 {"peak", bench_peak}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    const char *names[KINDS], *word = args->operands[0];
    for (int i = 0; i < KINDS; i++) {
        names[i] = kinds[i].name;
        if (strcmp(word, names[i]) == 0) return kinds[i].run(args);
    }
    const char *nearest = vt_nearest_name(word, names, KINDS);
    return vt_fail(VT_ERR_USAGE, "bench: expected step, eval, gemm, loader or peak, got \"%s\"%s%s",
                   word, nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static void help(void)
{
    puts("\n  step   whole training steps of a configuration on synthetic images, without drop "
         "path:\n"
         "         time, phases, share of the measured peak\n"
         "  eval   forward passes only, for evaluation\n"
         "  gemm   each matrix product of such a step alone\n"
         "  loader one worker's samples: reading, decoding, resizing, augmentation, normalisation\n"
         "  peak   what this machine can do: arithmetic, memory");
}

const vt_command vt_cmd_bench = {
    .name = "bench",
    .operands = "step|eval|gemm|loader|peak",
    .summary = "speed against this machine's measured limits",
    .takes = "config batch precision rule recompute steps set json quiet",
    .needs = "",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
    .help = help,
};
