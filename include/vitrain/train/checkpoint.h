// A run's state on disk: last.safetensors holds the weights under timm's names, the optimizer's
// moments under "optim.NAME.", averaged weights under "ema.", and in its metadata where the run
// stands, its configuration, and how far labels moved in the epoch at hand. It is written
// atomically, so beside the old one: its size must be free a second time.
#ifndef VITRAIN_TRAIN_CHECKPOINT_H
#define VITRAIN_TRAIN_CHECKPOINT_H

#include "vitrain/label/fluctuation.h"
#include "vitrain/model/model.h"
#include "vitrain/train/optim.h"

typedef struct vt_progress {
    int64_t epoch;      // epochs done
    int64_t batch;      // micro-batches of the next epoch done
    int64_t step;       // optimizer steps done
    double loss_sum;    // of those micro-batches
    int64_t bad;        // unreadable samples among them
    double train_s;     // seconds that those steps took
    double best_acc1;   // -1: none yet
    int64_t best_epoch; // likewise
} vt_progress;

// What training changes. The slabs are borrowed.
typedef struct vt_state {
    vt_real *weights, *grads;
    vt_real *slabs[2];      // moments; the optimizer's n_slabs of them
    vt_real *ema;           // averaged weights; NULL: none are kept
    vt_fluctuation *shares; // of the epoch at hand, what is settled of it; NULL: not counted
    vt_progress progress;
} vt_state;

#define VT_INPUT_METADATA "vitrain.input"

// What both kinds of file tell in their metadata beside the model's shape (VT_MODEL_METADATA), so
// that they can be used on their own.
typedef struct vt_weights_notes {
    const char *input; // what the pictures are like: vt_config_input_text
    const char *data;  // what they were trained on: vt_data_record; NULL: not told
} vt_weights_notes;

// config_text: the resolved configuration, kept in the metadata.
vt_status vt_checkpoint_save(const char *path, const vt_model *model, const vt_optim_ops *optim,
                             const vt_state *state, const char *config_text,
                             const vt_weights_notes *notes);
// The configuration that a checkpoint was written with, and the record of its data (NULL: none);
// malloc'd out. A resumed run compares them before it loads, so that a change is named by its key
// and not by the first tensor that does not fit. data may be NULL.
vt_status vt_checkpoint_config(const char *path, char **config_text, char **data);
// Where the run stands; reads no tensor. Both: VT_ERR_IO, VT_ERR_FORMAT, VT_ERR_MEMORY.
vt_status vt_checkpoint_progress(const char *path, vt_progress *progress);
// VT_ERR_IO, VT_ERR_FORMAT, VT_ERR_SHAPE (tensor named). Shapes and types of all tensors are
// checked before `state` is touched; after an error its progress is what it was.
vt_status vt_checkpoint_load(const char *path, const vt_model *model, const vt_optim_ops *optim,
                             vt_state *state);
// Weights only.
vt_status vt_weights_save(const char *path, const vt_model *model, const vt_real *weights,
                          const vt_weights_notes *notes);

#endif
