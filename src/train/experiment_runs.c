// Where the runs of an experiment stand, from what they left in their folders: the state's progress
// says how far a run is, its configuration whether it is the run that the definition means,
// log.jsonl what it arrived at, messages.txt why the last attempt failed. Of a finished run
// config.json and log.jsonl are enough.
#include "vitrain/train/experiment.h"

#include "vitrain/io/file.h"
#include "vitrain/io/runlog.h"
#include "vitrain/train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_LOG_BYTES = (size_t)1 << 28;

const char *vt_run_state_name(vt_run_state state)
{
    static const char *const names[] = {[VT_RUN_NOT_BEGUN] = "not begun",
                                        [VT_RUN_BEGUN] = "begun",
                                        [VT_RUN_FAILED] = "failed",
                                        [VT_RUN_FINISHED] = "finished"};
    return names[state];
}

int vt_experiment_count(const vt_experiment *e, vt_run_state state)
{
    int n = 0;
    for (int i = 0; i < e->n_runs; i++) n += e->runs[i].state == state;
    return n;
}

// ---- the same definition? ----

// What a run settles by itself where its configuration leaves it open becomes what it was.
static void keep_settled(vt_json *now, const vt_json *old, const vt_config *config)
{
    const struct {
        const char *section, *key;
        bool open;
    } keys[] = {{"model", "num_classes", !config->classes_given},
                {"train", "precision", config->train.precision == VT_PRECISION_AUTO}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        vt_json *mine = (vt_json *)vt_json_get(now, keys[i].section); // our own tree
        const vt_json *theirs = vt_json_get(old, keys[i].section);
        const vt_json *value = theirs ? vt_json_get(theirs, keys[i].key) : NULL;
        if (keys[i].open && mine && value) vt_json_put_copy(mine, keys[i].key, value);
    }
}

static vt_status compare(const vt_experiment_arm *arm, const vt_experiment_run *run,
                         const char *path, const vt_json *old)
{
    vt_config config = arm->config; // borrowed
    config.train.seed = run->seed;
    vt_json *now = vt_config_json(&config);
    VT_REQUIRE(now, VT_ERR_MEMORY, "%s: out of memory", path);
    keep_settled(now, old, &config);
    const char *key = vt_config_other_result(old, now);
    vt_json_destroy(now);
    VT_REQUIRE(!key, VT_ERR_CONFIG,
               "arm \"%s\", seed %llu: %s: differs from the run in %s; remove that folder to make "
               "the run anew, or give the experiment another --output",
               arm->name, (unsigned long long)run->seed, key, path);
    return VT_OK;
}

static vt_status same_definition(const vt_experiment_arm *arm, const vt_experiment_run *run,
                                 const char *state)
{
    char *text = NULL;
    vt_json *old = NULL;
    VT_TRY(vt_checkpoint_config(state, &text, NULL));
    vt_status status = vt_json_parse(&old, text, strlen(text), state);
    free(text);
    VT_TRY(status);
    status = compare(arm, run, run->folder, old);
    vt_json_destroy(old);
    return status;
}

// ---- how far, and with what ----

static vt_status read_log(vt_experiment_run *run, const char *path)
{
    vt_lines log;
    VT_TRY(vt_lines_read(&log, path, "epoch"));
    VT_REQUIRE(log.found, VT_ERR_IO, "%s: no such file", path);
    for (int i = 0; i < log.n; i++) {
        const vt_json *line = log.lines[i];
        const double seconds = vt_json_number_at(line, "train_s"),
                     epoch = vt_json_number_at(line, "epoch");
        if (isfinite(seconds) && epoch < (double)run->epoch) run->seconds += seconds;
        if (epoch + 1 == (double)run->epoch) { // the last one that the state knows of
            run->acc1 = vt_json_number_at(line, "test_acc1");
            run->acc5 = vt_json_number_at(line, "test_acc5");
            run->loss = vt_json_number_at(line, "test_loss");
        }
    }
    vt_lines_free(&log);
    return VT_OK;
}

// The error that the last attempt at a run ended with; NULL if it did not.
static vt_status read_error(vt_experiment_run *run)
{
    static const char sign[] = "vitrain: ", stopped[] = "vitrain: interrupted";
    unsigned char *data;
    size_t bytes;
    char *path = vt_path_join(run->folder, "messages.txt");
    VT_REQUIRE(path, VT_ERR_MEMORY, "%s: out of memory", run->folder);
    vt_status status = VT_OK;
    if (vt_file_exists(path)) {
        status = vt_file_read(&data, &bytes, path, MAX_LOG_BYTES);
        if (status == VT_OK) {
            char *text = (char *)data; // a NUL is behind it
            if (bytes > 0 && text[bytes - 1] == '\n') text[bytes - 1] = '\0';
            const char *newline = strrchr(text, '\n'), *last = newline ? newline + 1 : text;
            if (!strncmp(last, sign, sizeof sign - 1) &&
                strncmp(last, stopped, sizeof stopped - 1) != 0) {
                run->error = strdup(last + sizeof sign - 1);
                if (!run->error) status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
            }
            free(data);
        }
    }
    free(path);
    return status;
}

static void forget(vt_experiment_run *run)
{
    free(run->error);
    run->error = NULL;
    run->state = VT_RUN_NOT_BEGUN;
    run->epoch = 0;
    run->seconds = 0;
    run->acc1 = run->acc5 = run->loss = NAN;
}

static vt_status fail_damaged(vt_experiment_run *run)
{
    run->state = VT_RUN_FAILED;
    run->acc1 = run->acc5 = run->loss = NAN;
    const int length = asprintf(&run->error, "%s; without the folder %s the run is made anew",
                                vt_error_message(), run->folder);
    if (length >= 0) return VT_OK;
    run->error = NULL;
    return vt_fail(VT_ERR_MEMORY, "out of memory");
}

// A run that has left a state.
static vt_status read_run(const vt_experiment_arm *arm, vt_experiment_run *run, const char *state,
                          const char *log)
{
    vt_progress progress;
    VT_TRY(vt_checkpoint_progress(state, &progress));
    VT_TRY(same_definition(arm, run, state));
    run->state = VT_RUN_BEGUN;
    run->epoch = progress.epoch;
    if (run->epoch > 0) VT_TRY(read_log(run, log));
    if (run->epoch < arm->config.train.epochs) {
        run->acc1 = run->acc5 = run->loss = NAN;
        return VT_OK;
    }
    run->state = VT_RUN_FINISHED;
    VT_REQUIRE(isfinite(run->acc1), VT_ERR_FORMAT, "log.jsonl lacks test_acc1 of epoch %lld",
               (long long)run->epoch);
    return VT_OK;
}

// A run without one: finished if its log goes to the last epoch.
static vt_status read_record(const vt_experiment_arm *arm, vt_experiment_run *run,
                             const char *config, const char *log)
{
    vt_json *old;
    run->epoch = arm->config.train.epochs;
    VT_TRY(read_log(run, log));
    if (!isfinite(run->acc1)) {
        forget(run);
        return VT_OK;
    }
    VT_TRY(vt_json_read(&old, config, MAX_LOG_BYTES));
    vt_status status = compare(arm, run, run->folder, old);
    vt_json_destroy(old);
    run->state = VT_RUN_FINISHED;
    return status;
}

vt_status vt_experiment_look_at(const vt_experiment *e, vt_experiment_run *run)
{
    const vt_experiment_arm *arm = &e->arms[run->arm];
    char *state = vt_path_join(run->folder, "last.safetensors");
    char *config = vt_path_join(run->folder, "config.json");
    char *log = vt_path_join(run->folder, "log.jsonl");
    vt_status status = VT_OK;
    forget(run);
    if (!state || !config || !log)
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", run->folder);
    else if (vt_file_exists(state))
        status = read_run(arm, run, state, log);
    else if (vt_file_exists(config) && vt_file_exists(log))
        status = read_record(arm, run, config, log);
    free(state);
    free(config);
    free(log);
    // One run's damaged files take nothing from the others.
    if (status == VT_ERR_FORMAT || status == VT_ERR_IO) return fail_damaged(run);
    if (status != VT_OK || run->state == VT_RUN_FINISHED) return status;
    status = read_error(run);
    if (run->error) run->state = VT_RUN_FAILED;
    return status;
}

vt_status vt_experiment_look(vt_experiment *e)
{
    for (int i = 0; i < e->n_runs; i++) VT_TRY(vt_experiment_look_at(e, &e->runs[i]));
    return VT_OK;
}
