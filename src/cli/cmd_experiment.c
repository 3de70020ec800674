// vitrain experiment: the runs of an experiment, each a `vitrain train` of its own, so that one that
// fails takes nothing with it and one that is stopped goes on by training's own means. What is done is
// seen from the runs' folders alone; whoever ends this program, in whatever way, loses nothing.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"
#include "vitrain/train/experiment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 64, ARGUMENTS = 16 };
static const double LOCK_PATIENCE_S = 60, SHOW_INTERVAL_S = 2;

typedef struct session {
    vt_experiment *e;
    int jobs, threads; // threads: of a run; 0: as its configuration says
    const volatile sig_atomic_t *interrupted;
    struct {
        pid_t child; // 0: free
        vt_experiment_run *run;
    } slots[MAX_JOBS];
    bool *tried; // (n_runs) in this session
    bool stopping;
    double started_s, shown_s;
    double epochs_at_start;
} session;

// ---- a run's command ----

typedef struct command {
    const char *words[ARGUMENTS]; // ended by NULL
    char *config, *seed, *output, *threads;
} command;

static void command_free(command *c)
{
    free(c->config);
    free(c->seed);
    free(c->output);
    free(c->threads);
}

static vt_status make_command(command *c, const vt_experiment_arm *arm, uint64_t seed,
                              const char *folder, int threads)
{
    *c = (command){.config = vt_path_join(arm->folder, "config.json")};
    if (asprintf(&c->seed, "train.seed=%llu", (unsigned long long)seed) < 0) c->seed = NULL;
    if (asprintf(&c->output, "output=%s", folder) < 0) c->output = NULL;
    if (asprintf(&c->threads, "train.threads=%d", threads) < 0) c->threads = NULL;
    int n = 0;
    const char *const words[] = {"train", "--config", c->config, "--set",
                                 c->seed, "--set",    c->output};
    for (; n < (int)(sizeof words / sizeof *words); n++) c->words[n] = words[n];
    if (threads) {
        c->words[n++] = "--set";
        c->words[n++] = c->threads;
    }
    if (c->config && c->seed && c->output && c->threads) return VT_OK;
    command_free(c);
    return vt_fail(VT_ERR_MEMORY, "out of memory");
}

// An arm's resolved configuration, as of its first run.
static vt_status write_config(const vt_experiment *e, int index)
{
    const vt_experiment_arm *arm = &e->arms[index];
    vt_config config = arm->config; // borrowed
    char automatic[] = "auto";
    config.train.resume = automatic;
    for (int i = e->n_runs - 1; i >= 0; i--) {
        if (e->runs[i].arm != index) continue;
        config.output = e->runs[i].folder;
        config.train.seed = e->runs[i].seed;
    }
    VT_TRY(vt_make_directories(arm->folder));
    vt_json *json = vt_config_json(&config);
    char *text = vt_json_text(json, true), *path = vt_path_join(arm->folder, "config.json");
    vt_json_destroy(json);
    vt_status status = text && path ? vt_file_write(path, text, strlen(text))
                                    : vt_fail(VT_ERR_MEMORY, "out of memory");
    free(text);
    free(path);
    return status;
}

static vt_status write_configs(const vt_experiment *e)
{
    for (int i = 0; i < e->n_arms; i++) VT_TRY(write_config(e, i));
    return VT_OK;
}

// ---- how far it is ----

static double epochs_of(const vt_experiment *e, const vt_experiment_run *run)
{
    return e->arms[run->arm].config.train.epochs;
}

static double epochs_done(const vt_experiment *e)
{
    double sum = 0;
    for (int i = 0; i < e->n_runs; i++) sum += (double)e->runs[i].epoch;
    return sum;
}

static double epochs_in_all(const vt_experiment *e)
{
    double sum = 0;
    for (int i = 0; i < e->n_runs; i++) sum += epochs_of(e, &e->runs[i]);
    return sum;
}

// "about 2.1 h left" by the epochs done in this session; "" while there are none.
static const char *time_left(char text[64], const session *s)
{
    const double done = epochs_done(s->e), made = done - s->epochs_at_start;
    char duration[24];
    text[0] = '\0';
    if (made < 1) return text;
    const double left = (vt_now_s() - s->started_s) / made * (epochs_in_all(s->e) - done);
    snprintf(text, 64, ", about %s left", vt_duration(duration, left));
    return text;
}

static void show(session *s)
{
    if (!vt_log_is_terminal() || vt_now_s() - s->shown_s < SHOW_INTERVAL_S) return;
    s->shown_s = vt_now_s();
    char text[256] = "", left[64];
    for (int i = 0; i < s->jobs; i++) {
        vt_experiment_run *run = s->slots[i].run;
        if (s->slots[i].child == 0 || vt_experiment_look_at(s->e, run) != VT_OK) continue;
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "  %s, seed %llu: epoch %lld/%.0f",
                 s->e->arms[run->arm].name, (unsigned long long)run->seed,
                 (long long)run->epoch + 1, epochs_of(s->e, run));
    }
    char all[384];
    snprintf(all, sizeof all, "%d of %d runs%s%s", vt_experiment_count(s->e, VT_RUN_FINISHED),
             s->e->n_runs, time_left(left, s), text);
    vt_log_progress(all);
}

static void tell(session *s, const vt_experiment_run *run)
{
    char what[160], duration[24], left[64];
    const char *how = run->error ? run->error : what;
    if (run->state == VT_RUN_FINISHED)
        snprintf(what, sizeof what, "top-1 %.2f%%, %s", run->acc1,
                 vt_duration(duration, run->seconds));
    else
        snprintf(what, sizeof what, "stopped after epoch %lld of %.0f", (long long)run->epoch,
                 epochs_of(s->e, run));
    vt_log(run->error ? VT_LOG_ERROR : VT_LOG_INFO, "%s, seed %llu: %s%s (%d of %d runs%s)",
           s->e->arms[run->arm].name, (unsigned long long)run->seed, run->error ? "failed: " : "",
           how, vt_experiment_count(s->e, VT_RUN_FINISHED), s->e->n_runs, time_left(left, s));
}

// ---- runs ----

static vt_status start(session *s, int slot, vt_experiment_run *run)
{
    char *messages = vt_path_join(run->folder, "messages.txt");
    command c;
    vt_status status =
        messages ? vt_make_directories(run->folder) : vt_fail(VT_ERR_MEMORY, "out of memory");
    if (status == VT_OK)
        status = make_command(&c, &s->e->arms[run->arm], run->seed, run->folder, s->threads);
    if (status == VT_OK) {
        status = vt_spawn(&s->slots[slot].child, c.words, messages, s->jobs > 1);
        command_free(&c);
    }
    s->slots[slot].run = run;
    if (status != VT_OK) s->slots[slot].child = 0;
    free(messages);
    return status;
}

static void fail_run(vt_experiment_run *run, const char *why)
{
    free(run->error);
    run->error = strdup(why);
    run->state = VT_RUN_FAILED;
}

// A child has ended.
static vt_status end(session *s, int slot, int code)
{
    vt_experiment_run *run = s->slots[slot].run;
    char why[128];
    s->slots[slot].child = 0;
    if (vt_experiment_look_at(s->e, run) != VT_OK) fail_run(run, vt_error_message());
    if (!s->stopping && run->state != VT_RUN_FINISHED && run->state != VT_RUN_FAILED) {
        if (WIFSIGNALED(code))
            snprintf(why, sizeof why, "ended by signal %d (%s)", WTERMSIG(code),
                     strsignal(WTERMSIG(code)));
        else
            snprintf(why, sizeof why, "ended with exit status %d", WEXITSTATUS(code));
        fail_run(run, why);
    }
    tell(s, run);
    return vt_experiment_write(s->e);
}

static vt_status reap(session *s, int *running)
{
    *running = 0;
    for (int i = 0; i < s->jobs; i++) {
        int code;
        if (s->slots[i].child == 0) continue;
        const pid_t ended = waitpid(s->slots[i].child, &code, WNOHANG);
        if (ended == s->slots[i].child)
            VT_TRY(end(s, i, code));
        else
            ++*running;
    }
    return VT_OK;
}

static vt_experiment_run *next_run(session *s)
{
    for (int i = 0; i < s->e->n_runs; i++) {
        if (s->tried[i] || s->e->runs[i].state == VT_RUN_FINISHED) continue;
        s->tried[i] = true;
        return &s->e->runs[i];
    }
    return NULL;
}

static vt_status fill(session *s, int *running)
{
    for (int i = 0; i < s->jobs; i++) {
        if (s->slots[i].child) continue;
        vt_experiment_run *run = next_run(s);
        if (!run) return VT_OK;
        VT_TRY(start(s, i, run));
        ++*running;
    }
    return VT_OK;
}

static void stop(session *s)
{
    s->stopping = true;
    for (int i = 0; i < s->jobs; i++)
        if (s->slots[i].child) kill(s->slots[i].child, SIGTERM);
}

static vt_status run_all(session *s)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    for (int running = 1; running > 0;) {
        VT_TRY(reap(s, &running));
        if (*s->interrupted && !s->stopping) stop(s);
        if (!s->stopping) VT_TRY(fill(s, &running));
        show(s);
        nanosleep(&pause, NULL);
    }
    return VT_OK;
}

// ---- one session at a time ----

// The lock is inherited by the runs, so that it also holds while one of them outlives a killed session
// (to write its checkpoint).
static vt_status lock(int *fd, const vt_experiment *e)
{
    VT_TRY(vt_make_directories(e->output));
    char *path = vt_path_join(e->output, ".lock");
    VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
    *fd = open(path, O_RDWR | O_CREAT, 0666);
    vt_status status = VT_OK;
    const double start = vt_now_s();
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    bool told = false;
    if (*fd < 0) status = vt_fail(VT_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    while (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (!told) vt_log(VT_LOG_INFO, "waiting for a run of an earlier session to end");
        told = true;
        if (vt_now_s() - start > LOCK_PATIENCE_S) {
            status = vt_fail(VT_ERR_IO, "%s: another vitrain is at work on this experiment", path);
            close(*fd);
            *fd = -1;
        } else {
            nanosleep(&pause, NULL);
        }
    }
    free(path);
    return status;
}

static vt_status print_results(const vt_experiment *e, bool json)
{
    VT_TRY(vt_experiment_write(e));
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

static int threads_of(const vt_experiment *e, int jobs)
{
    if (jobs == 1) return 0;
    int all = e->arms[e->baseline].config.train.threads;
    vt_threads_set(0);
    if (all == 0) all = vt_threads();
    return all > jobs ? all / jobs : 1;
}

// Errors in the middle leave no child behind: they are told to end, and the lock waits for them.
static vt_status conduct(vt_experiment *e, int jobs, bool json)
{
    session s = {.e = e, .jobs = jobs, .threads = threads_of(e, jobs), .started_s = vt_now_s()};
    s.epochs_at_start = epochs_done(e);
    s.tried = calloc((size_t)e->n_runs, sizeof *s.tried);
    VT_REQUIRE(s.tried, VT_ERR_MEMORY, "out of memory");
    s.interrupted = vt_catch_signals();
    const int done = vt_experiment_count(e, VT_RUN_FINISHED);
    if (done < e->n_runs)
        vt_log(VT_LOG_INFO, "%s: %d arms, %d runs, of which %d are finished", e->title, e->n_arms,
               e->n_runs, done);
    vt_status status = write_configs(e);
    if (status == VT_OK) status = run_all(&s);
    vt_log_progress(NULL);
    free(s.tried);
    if (status != VT_OK) {
        stop(&s);
        return status;
    }
    VT_TRY(print_results(e, json));
    VT_REQUIRE(!*s.interrupted, VT_INTERRUPTED,
               "interrupted; %d of %d runs are finished, the same command goes on",
               vt_experiment_count(e, VT_RUN_FINISHED), e->n_runs);
    return first_failure(e);
}

static vt_status begin(vt_experiment *e, int jobs, bool json)
{
    int fd = -1;
    VT_TRY(lock(&fd, e));
    vt_status status = vt_experiment_look(e);
    if (status == VT_OK) status = conduct(e, jobs, json);
    close(fd);
    return status;
}

// ---- dry run ----

typedef struct estimate {
    double run_s, bytes; // of a whole run
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

static double number_in(const vt_json *object, const char *key)
{
    const vt_json *node = object ? vt_json_get(object, key) : NULL;
    return node && vt_json_type_of(node) == VT_JSON_NUMBER ? vt_json_number(node) : 0;
}

static vt_status estimate_arm(estimate *out, const vt_experiment *e, int index, int threads)
{
    const vt_experiment_arm *arm = &e->arms[index];
    command c;
    char *answer = NULL;
    vt_json *json = NULL;
    VT_TRY(write_config(e, index));
    VT_TRY(make_command(&c, arm, arm->seeds[0], arm->folder, threads));
    static const char *const more[] = {"--dry-run", "--json", "--quiet"};
    int n = 0;
    while (c.words[n]) n++;
    for (int i = 0; i < 3; i++) c.words[n++] = more[i];
    vt_status status = vt_spawn_and_read(&answer, c.words);
    if (status == VT_OK) status = vt_json_parse(&json, answer, strlen(answer), "--dry-run");
    if (status == VT_OK)
        *out = (estimate){number_in(json, "total_s"),
                          number_in(vt_json_get(json, "memory_bytes"), "total")};
    else
        vt_fail_within(status, arm->name);
    vt_json_destroy(json);
    free(answer);
    command_free(&c);
    return status;
}

static vt_status estimate_all(estimate *estimates, const vt_experiment *e, int threads)
{
    for (int i = 0; i < e->n_arms; i++) {
        int like = 0;
        while (like < i && !cost_the_same(&e->arms[like], &e->arms[i])) like++;
        if (like < i)
            estimates[i] = estimates[like];
        else
            VT_TRY(estimate_arm(&estimates[i], e, i, threads));
    }
    return VT_OK;
}

static void print_plan(const vt_experiment *e)
{
    printf("%s: %d arms, %d runs, in %s\n\n", e->title, e->n_arms, e->n_runs, e->output);
    for (int i = 0; i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        printf("  %3d  seed %-4llu %-32s ", i + 1, (unsigned long long)run->seed,
               e->arms[run->arm].name);
        if (run->state == VT_RUN_FINISHED)
            printf("finished: top-1 %.2f%%\n", run->acc1);
        else if (run->epoch > 0 || run->state == VT_RUN_BEGUN)
            printf("at epoch %lld of %.0f%s%s\n", (long long)run->epoch + 1, epochs_of(e, run),
                   run->error ? "; failed: " : "", run->error ? run->error : "");
        else
            printf("not begun%s%s\n", run->error ? "; failed: " : "", run->error ? run->error : "");
    }
    putchar('\n');
}

// Time left when `jobs` runs share the machine, and the memory of as many of the largest.
static vt_status plan(const vt_experiment *e, int jobs, bool json)
{
    estimate estimates[VT_EXPERIMENT_MAX_ARMS];
    VT_TRY(estimate_all(estimates, e, threads_of(e, jobs)));
    const int left = e->n_runs - vt_experiment_count(e, VT_RUN_FINISHED);
    double seconds = 0, bytes = 0;
    for (int i = 0; i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        const estimate *its = &estimates[run->arm];
        if (run->state == VT_RUN_FINISHED) continue;
        seconds += its->run_s * (1 - (double)run->epoch / epochs_of(e, run));
        if (its->bytes > bytes) bytes = its->bytes;
    }
    const int together = jobs < left ? jobs : left;
    if (together > 0) seconds /= together;
    bytes *= together;
    if (json) {
        vt_json *root = vt_experiment_json(e);
        vt_json_add_number(root, "jobs", jobs);
        vt_json_add_number(root, "remaining_s", seconds);
        vt_json_add_number(root, "memory_bytes", bytes);
        return vt_answer_json(root);
    }
    char duration[24];
    print_plan(e);
    printf("time        about %s for the %d runs left, %d at a time\n",
           vt_duration(duration, seconds), left, jobs);
    printf("memory      %.1f MiB\n", bytes / (1 << 20));
    return VT_OK;
}

// ---- the command ----

static vt_status read_jobs(int *jobs, const char *text)
{
    *jobs = 1;
    if (!text) return VT_OK;
    char *rest;
    const long value = strtol(text, &rest, 10);
    VT_REQUIRE(*rest == '\0' && value >= 1 && value <= MAX_JOBS, VT_ERR_USAGE,
               "--jobs: expected 1 to %d, got \"%s\"", MAX_JOBS, text);
    *jobs = (int)value;
    return VT_OK;
}

static vt_status run(const vt_args *args)
{
    vt_experiment e;
    int jobs;
    VT_TRY(read_jobs(&jobs, args->jobs));
    VT_REQUIRE(!args->dry_run || !args->table, VT_ERR_USAGE,
               "--dry-run and --table exclude each other");
    VT_TRY(vt_experiment_load(&e, args->operands[0], args->output, args->sets, args->n_sets));
    vt_status status = VT_OK;
    if (!args->dry_run && !args->table) {
        status = begin(&e, jobs, args->json);
    } else {
        status = vt_experiment_look(&e);
        if (status == VT_OK)
            status = args->dry_run ? plan(&e, jobs, args->json) : print_results(&e, args->json);
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
         "results are\nin the output folder: table.md and experiment.json.");
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
