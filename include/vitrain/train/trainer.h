// A run: epochs, evaluation, checkpoints, logs, resume.
#ifndef VITRAIN_TRAIN_TRAINER_H
#define VITRAIN_TRAIN_TRAINER_H

#include "vitrain/train/config.h"
#include "vitrain/train/evaluate.h"

#include <signal.h>

typedef struct vt_train_options {
    bool
        dry_run; // config, memory plan, time estimate, a picture of the first batch; trains nothing
    bool json;   // the dry run's answer as JSON
    const volatile sig_atomic_t
        *interrupted; // nonzero: checkpoint, then VT_INTERRUPTED; may be NULL
} vt_train_options;

typedef struct vt_train_result {
    double train_loss;
    vt_eval_result eval; // of the last epoch; n = 0 without validation data
    bool was_finished;   // nothing was left to do
} vt_train_result;

// config->model.num_classes may be filled in from the data.
vt_status vt_train(vt_config *config, const vt_train_options *options, vt_train_result *result);

#endif
