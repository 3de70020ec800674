// One session of an experiment: what is not finished is run, each run a `vitrain train` of its own,
// so that one that fails takes nothing with it and one that is stopped goes on by training's own
// means. What is done is seen from the runs' folders alone; whoever ends this program, in whatever
// way, loses nothing.
#include "session.h"

#include "commands.h"
#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char CONFIG[] = "config.json";
static const double LOCK_PATIENCE_S = 60, SHOW_INTERVAL_S = 2;

typedef struct session {
    vt_experiment *e;
    int jobs;
    const volatile sig_atomic_t *interrupted;
    struct {
        pid_t child; // 0: free
        vt_experiment_run *run;
    } slots[VT_MAX_JOBS];
    bool *tried; // (n_runs) in this session
    bool stopping;
    double started_s, shown_s;
    double epochs_at_start;
} session;

// ---- a run's command ----

void vt_run_command_free(vt_run_command *c)
{
    free(c->config);
    free(c->seed);
    free(c->output);
    free(c->threads);
}

// Of a run where `jobs` share what its configuration has for one.
static int threads_of(const vt_experiment_arm *arm, int jobs)
{
    int all = arm->config.train.threads;
    if (all == 0) {
        vt_threads_set(0);
        all = vt_threads();
    }
    return all > jobs ? all / jobs : 1;
}

vt_status vt_run_command_make(vt_run_command *c, const vt_experiment_arm *arm, uint64_t seed,
                              const char *folder, const char *config, int jobs)
{
    *c = (vt_run_command){.config = vt_path_join(arm->folder, config)};
    if (asprintf(&c->seed, "train.seed=%llu", (unsigned long long)seed) < 0) c->seed = NULL;
    if (asprintf(&c->output, "output=%s", folder) < 0) c->output = NULL;
    if (asprintf(&c->threads, "train.threads=%d", threads_of(arm, jobs)) < 0) c->threads = NULL;
    int n = 0;
    const char *const words[] = {"train", "--config", c->config, "--set",
                                 c->seed, "--set",    c->output};
    for (; n < (int)(sizeof words / sizeof *words); n++) c->words[n] = words[n];
    if (jobs > 1) {
        c->words[n++] = "--set";
        c->words[n++] = c->threads;
    }
    if (c->config && c->seed && c->output && c->threads) return VT_OK;
    vt_run_command_free(c);
    return vt_fail(VT_ERR_MEMORY, "out of memory");
}

vt_status vt_arm_config_write(const vt_experiment *e, int index, const char *name)
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
    char *text = vt_json_text(json, true), *path = vt_path_join(arm->folder, name);
    vt_json_destroy(json);
    vt_status status = text && path ? vt_file_write(path, text, strlen(text))
                                    : vt_fail(VT_ERR_MEMORY, "out of memory");
    free(text);
    free(path);
    return status;
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

// "about 2.1 h left" by the epochs done in this session; "" while there are none, and at the end.
static const char *time_left(char text[64], const session *s)
{
    const double done = epochs_done(s->e), made = done - s->epochs_at_start,
                 missing = epochs_in_all(s->e) - done;
    char duration[24];
    text[0] = '\0';
    if (made < 1 || missing < 1) return text;
    const double left = (vt_now_s() - s->started_s) / made * missing;
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
        snprintf(text + used, sizeof text - used, "  %s, seed %llu: epoch %.0f/%.0f",
                 s->e->arms[run->arm].name, (unsigned long long)run->seed,
                 fmin((double)run->epoch + 1, epochs_of(s->e, run)), epochs_of(s->e, run));
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
    vt_run_command c;
    vt_status status =
        messages ? vt_make_directories(run->folder) : vt_fail(VT_ERR_MEMORY, "out of memory");
    if (status == VT_OK) status = vt_arm_config_write(s->e, run->arm, CONFIG);
    if (status == VT_OK)
        status =
            vt_run_command_make(&c, &s->e->arms[run->arm], run->seed, run->folder, CONFIG, s->jobs);
    if (status == VT_OK) {
        status = vt_spawn(&s->slots[slot].child, c.words, messages);
        vt_run_command_free(&c);
    }
    s->slots[slot].run = run;
    if (status != VT_OK) s->slots[slot].child = 0; // fork has failed
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

static void fill(session *s, int *running)
{
    for (int i = 0; i < s->jobs; i++) {
        vt_experiment_run *run;
        while (s->slots[i].child == 0 && (run = next_run(s))) {
            if (start(s, i, run) == VT_OK) {
                ++*running;
            } else {
                fail_run(run, vt_error_message());
                tell(s, run);
            }
        }
    }
}

static void stop(session *s)
{
    s->stopping = true;
    for (int i = 0; i < s->jobs; i++)
        if (s->slots[i].child) kill(s->slots[i].child, SIGTERM);
}

static void wait_for_all(session *s)
{
    for (int i = 0; i < s->jobs; i++)
        while (s->slots[i].child && waitpid(s->slots[i].child, NULL, 0) < 0 && errno == EINTR) {
        }
}

static vt_status run_all(session *s)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    for (int running = 1; running > 0;) {
        VT_TRY(reap(s, &running));
        if (*s->interrupted && !s->stopping) stop(s);
        if (!s->stopping) fill(s, &running);
        show(s);
        nanosleep(&pause, NULL);
    }
    return VT_OK;
}

// ---- one session at a time ----

// The lock is inherited by the runs, so that it also holds while one of them outlives a killed
// session (to write its checkpoint): that one is waited for.
static vt_status lock(int *fd, const vt_experiment *e)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    const double start = vt_now_s();
    VT_TRY(vt_folder_lock(fd, e->output));
    if (*fd < 0) vt_log(VT_LOG_INFO, "waiting for a run of an earlier session to end");
    while (*fd < 0) {
        VT_REQUIRE(vt_now_s() - start < LOCK_PATIENCE_S, VT_ERR_IO,
                   "%s: another vitrain is at work on this experiment", e->output);
        nanosleep(&pause, NULL);
        VT_TRY(vt_folder_lock(fd, e->output));
    }
    return VT_OK;
}

vt_status vt_session_write(const vt_experiment *e)
{
    int fd = -1;
    VT_TRY(vt_folder_lock(&fd, e->output));
    if (fd < 0) return VT_OK;
    vt_status status = vt_experiment_write(e);
    close(fd);
    return status;
}

// Errors in the middle leave no child behind: they are told to end, and waited for.
static vt_status conduct(vt_experiment *e, int jobs)
{
    session s = {.e = e, .jobs = jobs, .started_s = vt_now_s()};
    s.epochs_at_start = epochs_done(e);
    s.tried = calloc((size_t)e->n_runs, sizeof *s.tried);
    VT_REQUIRE(s.tried, VT_ERR_MEMORY, "out of memory");
    s.interrupted = vt_catch_signals();
    const int done = vt_experiment_count(e, VT_RUN_FINISHED);
    if (done < e->n_runs)
        vt_log(VT_LOG_INFO, "%s: %d arm%s, %d run%s, %d finished", e->title, e->n_arms,
               vt_plural(e->n_arms), e->n_runs, vt_plural(e->n_runs), done);
    vt_status status = run_all(&s);
    vt_log_progress(NULL);
    free(s.tried);
    if (status != VT_OK) {
        stop(&s);
        wait_for_all(&s);
        return status;
    }
    VT_TRY(vt_experiment_write(e));
    VT_REQUIRE(!*s.interrupted, VT_INTERRUPTED,
               "interrupted; %d of %d runs are finished, the same command goes on",
               vt_experiment_count(e, VT_RUN_FINISHED), e->n_runs);
    return VT_OK;
}

vt_status vt_session(vt_experiment *e, int jobs)
{
    int fd = -1;
    VT_TRY(lock(&fd, e));
    vt_status status = vt_experiment_look(e);
    if (status == VT_OK) status = conduct(e, jobs);
    close(fd);
    return status;
}
