// The configuration: one table (config_table.c) names every key once, with its type, range, default
// and one line of help; parsing, defaults, overrides, the resolved config.json, `--help` and the
// README's reference all come from it.
#ifndef VITRAIN_TRAIN_CONFIG_H
#define VITRAIN_TRAIN_CONFIG_H

#include "vitrain/data/loader.h"
#include "vitrain/data/source.h"
#include "vitrain/io/json.h"
#include "vitrain/mix/mix.h"
#include "vitrain/model/model.h"
#include "vitrain/train/loss.h"

// A list of texts.
typedef struct vt_texts {
    char **text; // (count)
    int count;
} vt_texts;

typedef struct vt_data_config {
    char *train, *val; // absolute; NULL: none
    char *format;      // "auto" or a source's name
    char *class_map;   // absolute; NULL: none
    int workers;
    int repeated_aug; // copies of each training sample; 1: off
    // channels, height and width follow the model; mean and std beyond what was given are NAN
    vt_augment_config augment;
    int64_t max_pixels;
    double max_bad;
} vt_data_config;

typedef struct vt_optim_config {
    char *name; // "adamw" | "sgd" | "lamb"
    double lr;
    double lr_base_batch; // 0: null, lr is not scaled
    double betas[2], eps, momentum, weight_decay;
    double layer_decay; // 0 and 1: none
    bool nesterov;
    double clip_norm; // 0: null, no clipping
} vt_optim_config;

typedef enum vt_schedule_compat { VT_SCHEDULE_EXACT, VT_SCHEDULE_DEIT } vt_schedule_compat;

typedef struct vt_schedule_config {
    char *name; // "cosine" | "constant"
    double warmup_epochs, warmup_lr, min_lr;
    vt_schedule_compat compat;
} vt_schedule_config;

typedef enum vt_precision { VT_PRECISION_AUTO, VT_PRECISION_FP32, VT_PRECISION_BF16 } vt_precision;

typedef struct vt_train_config {
    int epochs, batch_size, accumulate;
    vt_precision precision; // auto until vt_precision_settle
    vt_recompute recompute;
    double ema_decay; // 0: no averaged weights
    uint64_t seed;
    int threads;     // 0: all
    char *init;      // weights to start from, absolute; NULL: none
    vt_texts freeze; // patterns of tensors that are not trained: vt_params_freeze
    int log_every;   // steps between lines of steps.jsonl
    char *resume;    // "auto" | "never" | absolute path of a last.safetensors
} vt_train_config;

typedef struct vt_config {
    vt_model_config model;
    vt_data_config data;
    vt_mix_config mix;
    double smoothing; // mix.smoothing
    char *label_rule; // label.rule
    vt_loss_config loss;
    char *distill_teacher; // its weights, absolute; NULL: none
    char *distill_model;   // a preset's name; NULL: the file says what it is
    vt_optim_config optim;
    vt_schedule_config schedule;
    vt_train_config train;
    char *output;         // absolute
    bool classes_given;   // model.num_classes is settled; else it is 0 and follows the data
    bool classes_assumed; // it is settled because there is no data to follow: ImageNet's number
} vt_config;

// Reads a configuration file, then the overrides ("optim.lr=1e-3"; the value is JSON, or a string
// if it is not JSON). path NULL: overrides alone. Paths in the file are relative to its folder, but
// for `output`, which is relative to the working directory, as are those in overrides. Everything
// is checked here: VT_ERR_CONFIG names the key, what it takes and what it got; an unknown key names
// the nearest known one. VT_ERR_IO: the file cannot be read. VT_ERR_MEMORY. Without a file
// model.name may be missing: then model.name is "" (a weights file may say what the model is).
vt_status vt_config_load(vt_config *config, const char *path, const char *const *overrides,
                         int n_overrides);
void vt_config_free(vt_config *config); // takes a zeroed one

// What people write, as JSON; the caller's to destroy. VT_ERR_CONFIG: it is none, or has more than
// 1 MiB; VT_ERR_IO, VT_ERR_MEMORY.
vt_status vt_config_read(vt_json **out, const char *path);

// The same from layers, each over the ones before it.
typedef struct vt_config_layer {
    char *key;          // of the table, or a section; "" is the whole
    vt_json *value;     // what it becomes
    const char *origin; // what messages call the place where that is written
    const char *folder; // what its paths are relative to, but `output`; NULL: the working directory
} vt_config_layer;

// "key=value" as a layer; key and value are the caller's to release, after an error too.
vt_status vt_config_override(vt_config_layer *layer, const char *text);
void vt_config_layer_free(vt_config_layer *layer); // takes a zeroed one

// `name` is the file's, or NULL where there is none: see vt_config_load. The layers are only read.
vt_status vt_config_build(vt_config *config, const vt_config_layer *layers, int n,
                          const char *name);

// The resolved configuration as JSON (config.json), defaults included; the caller's to destroy. It
// loads again to the same vt_config. NULL when out of memory.
vt_json *vt_config_json(const vt_config *config);

// Settles train.precision: auto becomes bf16 where products in it are faster (vt_bf16_pays) and the
// model takes it, else fp32. VT_ERR_UNSUPPORTED: bf16 is asked for and not to be had, with the
// reason.
vt_status vt_precision_settle(vt_config *config);
const char *vt_precision_name(vt_precision precision); // "bf16"
static inline vt_elem vt_precision_type(vt_precision precision)
{
    return precision == VT_PRECISION_BF16 ? VT_BFLOAT : VT_REAL;
}

// The names of the labels: those of data.class_map, else of data.train where that is at hand, else
// of data.val. VT_ERR_CONFIG if there is none.
vt_status vt_labels_read(vt_classes *classes, const vt_data_config *data);

// The keys of `data` that say how a decoded picture becomes the network's input (interpolation,
// crop_pct, mean, std) as JSON; malloc'd, NULL when out of memory.
char *vt_config_input_text(const vt_config *config);

// The first key whose resolved value differs between two configurations (vt_config_json) although a
// resumed run may not change it, or NULL: model, data (but workers and max_bad), mix, label and
// optim; train.batch_size, accumulate, seed, loss, bce_target, ema_decay and freeze; distill.type,
// alpha and tau. (VT_KEY_SETTLED in config_table.c.) same_data: whether the data is known to be the
// same (vt_data_record_check); then it may lie elsewhere. A key that one of them lacks (of an older
// version) has its default.
const char *vt_config_difference(const vt_json *a, const vt_json *b, bool same_data);

// The same of every key that has a part in what a run arrives at, so also of schedule,
// train.epochs, precision and init, distill.teacher and model: whether two runs are to be compared
// as the same. Where the data lies is left out: it may move.
const char *vt_config_other_result(const vt_json *a, const vt_json *b);

// The table as Markdown rows (README) and as text (--help): malloc'd; NULL when out of memory.
char *vt_config_reference(bool markdown);

#endif
