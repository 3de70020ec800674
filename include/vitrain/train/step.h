// One training step's work on one micro-batch: mix, forward, label, loss, backward. The trainer,
// probe and the measurements share this piece.
#ifndef VITRAIN_TRAIN_STEP_H
#define VITRAIN_TRAIN_STEP_H

#include "vitrain/label/fluctuation.h"
#include "vitrain/mix/mix.h"
#include "vitrain/model/model.h"
#include "vitrain/train/loss.h"
#include "vitrain/train/teacher.h"

typedef enum vt_phase {
    VT_PHASE_MIX,
    VT_PHASE_FORWARD,
    VT_PHASE_LABEL,
    VT_PHASE_BACKWARD,
    VT_PHASES,
} vt_phase;

// Seconds, on a cache line of its own.
typedef struct vt_thread_clock {
    double s;
    char apart[VT_ARENA_ALIGN - sizeof(double)];
} vt_thread_clock;

typedef struct vt_step {
    vt_model *model;
    const vt_mix_config *mix; // NULL: no mixing
    double smoothing;
    vt_loss_config loss;
    vt_teacher
        *teacher; // loss.distill's, borrowed; NULL where that is none. Set after vt_step_init
    int max_batch;
    vt_label label;
    vt_token_layout layout;
    vt_mix_shape mix_shape;
    // placed
    vt_mix_plan plan;
    vt_real *scratch;                // (threads, channels, height, width)
    vt_real *logits, *logits_dist;   // (B,K); logits_dist NULL if not distilled
    vt_real *dlogits, *dlogits_dist; // (B,K)
    vt_real *target, *target_dist;   // (B,K)
    vt_real *share, *share_dist;     // (B)
    vt_real *losses; // (B) of the batch done last, both heads' mean where there are two
    // Seconds, added up over calls. What the label rule does inside the forward pass counts as
    // label.
    double phase_s[VT_PHASES];
    vt_attn_hook rule;          // the rule's own hook
    vt_fluctuation fluctuation; // of the batches since it was cleared; layers NULL: not counted
    vt_thread_clock *rule_s;    // (threads) seconds in it
} vt_step;

// rule: label.rule; loss NULL: cross-entropy. The model must outlive the step. VT_ERR_CONFIG for an
// unknown rule.
vt_status vt_step_init(vt_step *step, vt_model *model, const vt_mix_config *mix, double smoothing,
                       const char *rule, const vt_loss_config *loss, int max_batch);

// Places this and the model's activations: see vt_placement.
vt_status vt_step_place(vt_step *step, vt_arena *arena, vt_elem type, vt_recompute recompute);

// Where the step stands in the run: keys of the random numbers.
typedef struct vt_step_key {
    uint64_t seed;
    uint32_t epoch, batch; // micro-batch in the epoch
    uint32_t step;         // micro-step of the run
} vt_step_key;

// Draws step->plan and mixes images: (B, ...) in place.
void vt_step_mix(vt_step *step, vt_real *images, int B, vt_step_key key);

// vt_step_mix, then everything in vt_step_compute.
// images: (B, ...) changed; labels: (B); grads: a slab, +=. Returns the batch's mean loss.
double vt_step_run(vt_step *step, const vt_real *weights, vt_real *grads, vt_real *images,
                   const int32_t *labels, int B, vt_step_key key);

// Forward, label, loss and backward of images that step->plan describes. extra: more attention
// hooks. Distilled models: the loss is (1 - alpha) times the class head's and alpha times what the
// distillation head learns of the teacher; without one the mean of both heads' losses, each against
// its own target.
double vt_step_compute(vt_step *step, const vt_real *weights, vt_real *grads, const vt_real *images,
                       const int32_t *labels, int B, const vt_attn_hook *extra, int n_extra,
                       bool stochastic, vt_step_key key);

#endif
