// Accuracy and loss of a model on a data set.
#ifndef VITRAIN_TRAIN_EVALUATE_H
#define VITRAIN_TRAIN_EVALUATE_H

#include "vitrain/data/loader.h"
#include "vitrain/model/model.h"
#include "vitrain/train/config.h"

#include <signal.h>

typedef struct vt_eval_result {
    double acc1, acc5; // percent; acc5 counts the best min(5, K)
    double loss;       // mean plain cross-entropy
    int64_t n;         // images read
    double seconds;
} vt_eval_result;

// What was said of each sample.
typedef struct vt_predictions {
    int64_t n, capacity;
    int64_t *sample;            // (capacity) index in the source
    int64_t *label, *predicted; // likewise
    vt_real *loss;              // likewise: plain cross-entropy
} vt_predictions;

// For a source of `capacity` samples.
void vt_predictions_place(vt_predictions *predictions, vt_arena *arena, int64_t capacity);

// predictions.safetensors of a run's folder: sample, label, predicted I64 (n), loss F32 (n).
// Reading allocates the arena, which is the caller's to release, after an error too; VT_ERR_FORMAT
// if the numbers cannot be of K classes, and the errors of vt_st_open and vt_st_get.
#define VT_PREDICTIONS_NAME "predictions.safetensors"
vt_status vt_predictions_write(const char *path, const vt_predictions *predictions);
vt_status vt_predictions_read(vt_predictions *predictions, vt_arena *arena, const char *path,
                              int K);

// Buffers for a forward pass over batches of up to max_batch.
typedef struct vt_evaluator {
    vt_model *model;
    vt_real *logits;          // (B,K)
    vt_real *logits_dist;     // (B,K), NULL if not distilled
    vt_real *target, *losses; // (B,K), (B)
    vt_predictions *keep;     // where vt_evaluate leaves what was said; NULL: nowhere
} vt_evaluator;

// Places buffers, and the model's activations of that type, for inference; type NULL: a trainer
// shares those of the training pass instead.
vt_status vt_evaluator_place(vt_evaluator *evaluator, vt_arena *arena, vt_model *model,
                             int max_batch, const vt_elem *type);

// evaluator->logits: (B,K) out for images: (B, ...); of two heads their mean.
void vt_evaluator_logits(vt_evaluator *evaluator, const vt_real *weights, const vt_real *images,
                         int B);

// Runs over the whole source; a loader created for evaluation. interrupted: stops when it becomes
// nonzero (VT_INTERRUPTED); may be NULL. VT_ERR_DATA if no sample can be read, and the errors of
// vt_loader_next.
vt_status vt_evaluate(vt_evaluator *evaluator, const vt_real *weights, vt_loader *loader,
                      const volatile sig_atomic_t *interrupted, vt_eval_result *result);

// The same from nothing: a loader as the configuration says, memory for train.batch_size images.
// keep: placed for the source, or NULL.
vt_status vt_evaluate_source(vt_model *model, const vt_real *weights, const vt_config *config,
                             const vt_source *source, vt_elem type, vt_predictions *keep,
                             const volatile sig_atomic_t *interrupted, vt_eval_result *result);

// Says how many of the source's classes have no picture in it, if any: a warning, unless the
// classes are mapped (data.class_map), where that is meant.
void vt_evaluate_warn_absent(const vt_source *source, bool mapped);

// The k best classes of one row of logits, best first; ties: the lower index. best: (k) out.
void vt_top_k(int32_t *best, int k, const vt_real *logits, int K);

#endif
