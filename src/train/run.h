// A run that is open: data, model, memory and the paths of its folder. trainer.c drives it.
#ifndef VITRAIN_TRAIN_RUN_H
#define VITRAIN_TRAIN_RUN_H

#include "vitrain/train/checkpoint.h"
#include "vitrain/train/evaluate.h"
#include "vitrain/train/step.h"
#include "vitrain/train/trainer.h"

typedef struct vt_run {
    vt_config *config;
    vt_source *train, *val; // val NULL: no validation data
    vt_loader *train_loader, *val_loader;
    vt_model *model;
    const vt_optim_ops *optim;
    vt_step step;
    vt_evaluator evaluator;
    vt_teacher *teacher; // NULL: none
    vt_state state;
    vt_predictions predictions; // of the weights, by the last evaluation
    double *partials;           // the optimizer's scratch
    vt_arena arena;
    vt_memory_plan memory;
    int64_t batches;              // micro-batches of an epoch, a multiple of train.accumulate
    char *config_text;            // the resolved configuration, once num_classes is known
    char *input_text, *data_text; // vt_config_input_text, vt_data_record
    vt_weights_notes notes;       // of both
    char *log, *steps, *shares, *said, *last, *best, *final, *final_ema, *config_path,
        *picture; // paths
} vt_run;

// Opens everything, sets the threads, reports the memory, takes it. The weights are not set yet.
// vt_run_close releases what it got, after an error too.
vt_status vt_run_open(vt_run *run, vt_config *config);
void vt_run_close(vt_run *run);

// The part of it that needs no data: run->config is set and its precision gets settled; the model,
// the optimizer and the step are made, and run->memory says what they take; then that is reported
// and taken.
vt_status vt_run_plan(vt_run *run);
vt_status vt_run_take(vt_run *run);

// The state that the run goes on from: its folder's own, also if it began with one elsewhere, or
// the one that train.resume names. NULL: it begins anew.
const char *vt_run_state(const vt_run *run);
// Sets the weights and where the run stands as train.resume says; vt_run_initialize: those of a new
// run. VT_ERR_CONFIG: the state is of another run; names the key.
vt_status vt_run_begin(vt_run *run);
vt_status vt_run_initialize(vt_run *run);

// The first of `count` images as the network sees them, at most 64, eight a row, as one PNG at
// run->picture.
vt_status vt_run_picture(const vt_run *run, const vt_real *images, int count);

// Appends what run->step.fluctuation has counted in the epoch at hand to run->shares. Nothing
// counted: no line.
vt_status vt_run_log_shares(const vt_run *run);

#endif
