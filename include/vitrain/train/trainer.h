// A run: epochs, evaluation, checkpoints, logs, resume.
#ifndef VITRAIN_TRAIN_TRAINER_H
#define VITRAIN_TRAIN_TRAINER_H

#include "vitrain/train/config.h"
#include "vitrain/train/evaluate.h"

#include <signal.h>

// What a run takes, before it is taken.
typedef struct vt_memory_plan {
    size_t parameters;  // weights, gradients, moments, averaged weights
    size_t activations; // of a micro-batch, and all work memory
    size_t batches;     // prefetched
} vt_memory_plan;

// Without data and without taking it; batches is 0. The threads must be set (vt_threads_set).
vt_status vt_plan_memory(const vt_config *config, vt_memory_plan *plan);

typedef struct vt_train_options {
    // Everything up to the second step, and a picture of the first batch; trains nothing.
    bool dry_run;
    // Nonzero: checkpoint, then VT_INTERRUPTED; may be NULL.
    const volatile sig_atomic_t *interrupted;
} vt_train_options;

typedef struct vt_train_result {
    double train_loss;   // mean of the last epoch
    vt_eval_result eval; // of the last epoch; n = 0 without validation data
    vt_eval_result ema;  // likewise, of the averaged weights; n = 0 without them
    bool was_finished;   // nothing was left to do
    // dry run only
    vt_memory_plan memory;
    char *config_text; // the resolved configuration; malloc'd, the caller's
    char *picture;     // path of the PNG of the first batch, mixed; malloc'd, the caller's
    double step_s;     // an optimizer step, from the second of two micro-batches and updates
    double total_s;    // estimate for the whole run, evaluation included
} vt_train_result;

// Trains as the configuration says. config->model.num_classes is filled in from the data where it
// was not given. Files in config->output: see the README. On VT_INTERRUPTED the state as of the
// last optimizer step is in last.safetensors.
vt_status vt_train(vt_config *config, const vt_train_options *options, vt_train_result *result);

#endif
