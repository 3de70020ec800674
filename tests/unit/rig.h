// A model with all that a training step takes, for tests. Everything here fails the test on an
// error.
#ifndef VITRAIN_TESTS_RIG_H
#define VITRAIN_TESTS_RIG_H

#include "vitrain/model/recorder.h"
#include "vitrain/train/step.h"

typedef struct vt_rig {
    vt_arena arena;
    vt_model *model;
    vt_step step;         // its plan mixes nothing, to begin with
    vt_recorder recorder; // every head's maps of every layer
    int B;
    vt_elem type;
    vt_recompute recompute;
    size_t pixels; // numbers in an image
    vt_real *images;
    int32_t *labels;
    vt_real *weights, *grads, *other, *slabs[2]; // slabs; `other` is for the test's own use
} vt_rig;

// For batches of B, with the threads set at the time. All of it is zero but the plan.
vt_rig *vt_rig_create(const vt_model_config *config, double smoothing, const char *rule, int B);
// The same with activations of a type and a way to recompute; vt_rig_create: VT_REAL,
// VT_RECOMPUTE_GELU.
vt_rig *vt_rig_create_as(const vt_model_config *config, double smoothing, const char *rule, int B,
                         vt_elem type, vt_recompute recompute);
void vt_rig_destroy(vt_rig *rig); // takes NULL

// Zeroes the gradients, then computes them. Returns the loss.
double vt_rig_compute(vt_rig *rig, bool stochastic, vt_step_key key);

#endif
