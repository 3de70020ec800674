// vitrain experiment: carries an experiment out, tells what it would be, or what has come of it.
#include "commands.h"

#include "session.h"
#include "vitrain/base/log.h"
#include "vitrain/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- results ----

static vt_status print_results(const vt_experiment *e, bool json)
{
    if (json) return vt_answer_json(vt_experiment_json(e));
    char *table = vt_experiment_table(e);
    VT_REQUIRE(table, VT_ERR_MEMORY, "out of memory");
    fputs(table, stdout);
    free(table);
    return VT_OK;
}

static vt_status first_failure(const vt_experiment *e)
{
    const int failed = vt_experiment_count(e, VT_RUN_FAILED);
    for (int i = 0; failed && i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        if (run->state == VT_RUN_FAILED)
            return vt_fail(VT_ERR_DATA, "%d of %d runs failed; the first: %s, seed %llu: %s",
                           failed, e->n_runs, e->arms[run->arm].name, (unsigned long long)run->seed,
                           run->error ? run->error : "?");
    }
    return VT_OK;
}

// ---- dry run ----

static const char DRY[] = "dry_run.json";

typedef struct estimate {
    double run_s, bytes; // of a whole run
    int classes;         // of its data
    char error[256];     // why it cannot run; "" if it can
} estimate;

// Whether two arms take the same time and memory, near enough: how they mix and label costs little.
static bool cost_the_same(const vt_experiment_arm *a, const vt_experiment_arm *b)
{
    static const char *const sections[] = {"model", "data", "optim", "train"};
    vt_json *x = vt_config_json(&a->config), *y = vt_config_json(&b->config);
    bool same = x && y;
    for (size_t i = 0; same && i < sizeof sections / sizeof *sections; i++) {
        char *p = vt_json_text(vt_json_get(x, sections[i]), false),
             *q = vt_json_text(vt_json_get(y, sections[i]), false);
        same = p && q && strcmp(p, q) == 0;
        free(p);
        free(q);
    }
    vt_json_destroy(x);
    vt_json_destroy(y);
    return same;
}

// A dry run of the arm's first seed. Its configuration's file is not the one that a session reads,
// which may be at work meanwhile.
static vt_status try_arm(estimate *out, const vt_experiment *e, int index, int jobs)
{
    const vt_experiment_arm *arm = &e->arms[index];
    vt_run_command c;
    char *answer = NULL;
    vt_json *json = NULL;
    VT_TRY(vt_arm_config_write(e, index, DRY));
    VT_TRY(vt_run_command_make(&c, arm, arm->seeds[0], arm->folder, DRY, jobs));
    static const char *const more[] = {"--dry-run", "--json", "--quiet"};
    int n = 0;
    while (c.words[n]) n++;
    for (int i = 0; i < 3; i++) c.words[n++] = more[i];
    vt_status status = vt_spawn_and_read(&answer, c.words);
    if (status == VT_OK) status = vt_json_parse(&json, answer, strlen(answer), "--dry-run");
    if (status == VT_OK) {
        out->run_s = vt_json_number_at(json, "total_s");
        out->bytes = vt_json_number_at(vt_json_get(json, "memory_bytes"), "total");
        const vt_json *model = vt_json_get(vt_json_get(json, "config"), "model");
        out->classes = (int)vt_json_number_at(model, "num_classes");
    }
    vt_json_destroy(json);
    free(answer);
    vt_run_command_free(&c);
    return status;
}

// An arm that costs what another one does: planned without its data, for what else it may fail
// with.
static vt_status plan_arm(estimate *out, const estimate *like, const vt_experiment_arm *arm)
{
    vt_config config = arm->config; // borrowed
    vt_memory_plan plan;
    if (!config.classes_given) config.model.num_classes = like->classes;
    *out = *like;
    return vt_plan_memory(&config, &plan);
}

// Of every arm; those that cost the same are tried once. Returns how many cannot run.
static int estimate_all(estimate *estimates, const vt_experiment *e, int jobs)
{
    int errors = 0;
    for (int i = 0; i < e->n_arms; i++) {
        int like = 0;
        while (like < i &&
               (estimates[like].error[0] || !cost_the_same(&e->arms[like], &e->arms[i])))
            like++;
        const vt_status status = like < i ? plan_arm(&estimates[i], &estimates[like], &e->arms[i])
                                          : try_arm(&estimates[i], e, i, jobs);
        if (status != VT_OK)
            snprintf(estimates[i].error, sizeof estimates[i].error, "%s", vt_error_message());
        errors += estimates[i].error[0] != '\0';
    }
    return errors;
}

static void print_run(const vt_experiment *e, int index, const estimate *its)
{
    bool told = false; // of a run of the same arm, why it cannot run
    for (int i = 0; i < index; i++)
        told =
            told || (e->runs[i].arm == e->runs[index].arm && e->runs[i].state != VT_RUN_FINISHED);
    const vt_experiment_run *run = &e->runs[index];
    const vt_experiment_arm *arm = &e->arms[run->arm];
    printf("  %3d  seed %-4llu %-32s ", index + 1, (unsigned long long)run->seed, arm->name);
    if (run->state == VT_RUN_FINISHED)
        printf("finished: top-1 %.2f%%", run->acc1);
    else if (run->epoch > 0 || run->state == VT_RUN_BEGUN)
        printf("at epoch %lld of %d", (long long)run->epoch + 1, arm->config.train.epochs);
    else
        printf("not begun");
    if (run->state != VT_RUN_FINISHED && its->error[0] && told)
        printf("; cannot run");
    else if (run->state != VT_RUN_FINISHED && (its->error[0] || run->error))
        printf("; %s: %s", its->error[0] ? "cannot run" : "failed",
               its->error[0] ? its->error : run->error);
    putchar('\n');
}

// What is left when `jobs` runs share the machine: time, and the memory of as many of the largest.
static void sum_up(const vt_experiment *e, const estimate *estimates, int jobs, double *seconds,
                   double *bytes)
{
    const int left = e->n_runs - vt_experiment_count(e, VT_RUN_FINISHED);
    const int together = jobs < left ? jobs : left;
    *seconds = *bytes = 0;
    for (int i = 0; i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        const estimate *its = &estimates[run->arm];
        if (run->state == VT_RUN_FINISHED) continue;
        const double epochs = e->arms[run->arm].config.train.epochs;
        *seconds += its->run_s * (1 - (double)run->epoch / epochs) / together;
        if (its->bytes * together > *bytes) *bytes = its->bytes * together;
    }
}

// errors: arms that cannot run.
static void print_plan(const vt_experiment *e, const estimate *estimates, int jobs, int errors,
                       double seconds, double bytes)
{
    char duration[24];
    printf("%s: %d arm%s, %d run%s, in %s\n\n", e->title, e->n_arms, vt_plural(e->n_arms),
           e->n_runs, vt_plural(e->n_runs), e->output);
    for (int i = 0; i < e->n_runs; i++) print_run(e, i, &estimates[e->runs[i].arm]);
    const int left = e->n_runs - vt_experiment_count(e, VT_RUN_FINISHED);
    if (!errors)
        printf("\ntime        about %s for the %d run%s left, %d at a time\nmemory      %.1f MiB\n",
               vt_duration(duration, seconds), left, vt_plural(left), jobs, bytes / (1 << 20));
}

static vt_status plan(const vt_experiment *e, int jobs, bool json)
{
    double seconds, bytes;
    estimate *estimates = calloc((size_t)e->n_arms, sizeof *estimates);
    VT_REQUIRE(estimates, VT_ERR_MEMORY, "out of memory");
    const int errors = estimate_all(estimates, e, jobs);
    sum_up(e, estimates, jobs, &seconds, &bytes);
    vt_status status = VT_OK;
    if (json) {
        vt_json *root = vt_experiment_json(e);
        vt_json_add_number(root, "jobs", jobs);
        if (!errors) {
            vt_json_add_number(root, "remaining_s", seconds);
            vt_json_add_number(root, "memory_bytes", bytes);
        }
        status = vt_answer_json(root);
    } else {
        print_plan(e, estimates, jobs, errors, seconds, bytes);
    }
    for (int i = 0; status == VT_OK && errors && i < e->n_arms; i++)
        if (estimates[i].error[0])
            status = vt_fail(VT_ERR_DATA, "%d of %d arms cannot run; the first: %s: %s", errors,
                             e->n_arms, e->arms[i].name, estimates[i].error);
    free(estimates);
    return status;
}

// ---- the command ----

static vt_status run(const vt_args *args)
{
    vt_experiment e;
    uint64_t number = 1;
    VT_TRY(vt_args_number(&number, "jobs", args->jobs, 1, VT_MAX_JOBS));
    const int jobs = (int)number;
    VT_REQUIRE(!args->dry_run || !args->table, VT_ERR_USAGE,
               "--dry-run and --table exclude each other");
    VT_TRY(vt_experiment_load(&e, args->operands[0], args->output, args->sets, args->n_sets));
    vt_status status;
    if (args->dry_run || args->table) {
        status = vt_experiment_look(&e);
        if (status == VT_OK && args->table) status = vt_session_write(&e);
        if (status == VT_OK)
            status = args->dry_run ? plan(&e, jobs, args->json) : print_results(&e, args->json);
    } else {
        status = vt_session(&e, jobs);
        if (status == VT_OK) vt_leave_report(e.output);
        if (status == VT_OK) status = print_results(&e, args->json);
        if (status == VT_OK) status = first_failure(&e);
    }
    vt_experiment_free(&e);
    return status;
}

static void help(void)
{
    puts("\nE.json names a base configuration, arms (sets of overrides of it, or a grid), seeds, a "
         "baseline\nand an output folder; include/vitrain/train/experiment.h tells the whole "
         "format. "
         "--set\noverrides the base's keys. Stopped in whatever way, the same command goes on. The "
         "results are\nin the output folder: table.md, experiment.json and report.html.");
}

const vt_command vt_cmd_experiment = {
    .name = "experiment",
    .operands = "E.json",
    .summary = "train several settings from several seeds; which is better, by how much?",
    .takes = "set output jobs dry-run table json quiet",
    .needs = "",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
    .help = help,
};
