// Optimizers on slabs. A member is one file with a vt_optim_ops and a line in optim_registry.c.
#ifndef VITRAIN_TRAIN_OPTIM_H
#define VITRAIN_TRAIN_OPTIM_H

#include "vitrain/model/params.h"
#include "vitrain/train/config.h"

// What a step is for the elements of one tensor.
typedef struct vt_optim_rate {
    double lr;    // the step's, times what is the tensor's own
    double decay; // 0 for tensors that do not decay
    double scale; // of the gradient: 1/accumulate and clipping
    int64_t step; // from 1
} vt_optim_rate;

typedef struct vt_optim_ops {
    const char *name;
    int n_slabs;               // moments, 0 .. 2
    const char *slab_names[2]; // torch's; NAME in a checkpoint's "optim.NAME.weight"
    // One step on n elements of one tensor, seldom all of it.
    void (*update)(vt_real *w, const vt_real *g, vt_real *const slabs[2], size_t n,
                   const vt_optim_rate *rate, const vt_optim_config *config);
    // For optimizers that look at a whole tensor before they move it, else NULL: moves the moments
    // of the same elements instead of update, and leaves the sums of squares of w and of the step's
    // direction in `sums`. update is then called with lr x |w| / |direction|: see vt_trust_ratio.
    void (*measure)(double sums[2], const vt_real *w, const vt_real *g, vt_real *const slabs[2],
                    size_t n, const vt_optim_rate *rate, const vt_optim_config *config);
    double max_norm; // of the whole gradient, whatever clip_norm says; 0: any
} vt_optim_ops;

const vt_optim_ops *vt_optim_find(const char *name); // NULL if unknown
extern const vt_optim_ops *const vt_optims[];        // ended by NULL

// What an optimizer works on. partials: (vt_optim_partials(params)) scratch; NULL is fine for
// optimizers that do not measure.
typedef struct vt_optim_work {
    const vt_optim_ops *ops;
    const vt_optim_config *config;
    const vt_params *params;
    vt_real *weights;
    const vt_real *grads;
    vt_real *const *slabs; // (2), of which the optimizer's n_slabs are read
    double *partials;
} vt_optim_work;

// One step on the whole table but what is frozen, in parallel; the same bits with any number of
// threads. scale multiplies every gradient, config->layer_decay^layers_above a tensor's rate; step
// counts from 1.
void vt_optim_step(const vt_optim_work *work, double lr, double scale, int64_t step);

// What a measured tensor's rate is multiplied by: |w| / |direction|; 1 if either is 0 or the tensor
// does not decay.
double vt_trust_ratio(const double sums[2], double decay);

// sqrt of the sum of squares of a gradient slab (padding included: it is zero); not finite if an
// element is not. The same bits with any number of threads. partials:
// (vt_optim_partials(params)) scratch.
double vt_grad_norm(const vt_params *params, const vt_real *grads, double *partials);
size_t vt_optim_partials(const vt_params *params);

// What torch's clip_grad_norm_ multiplies gradients of this norm by: min(1, clip_norm / (norm +
// 1e-6)); 1 if clip_norm is 0 (no clipping).
double vt_clip_scale(double norm, double clip_norm);

// Both clippings of a gradient of this norm: vt_clip_scale's and, of what that leaves, the
// optimizer's own, 1 / max(1, norm / max_norm).
double vt_optim_scale(const vt_optim_ops *ops, double norm, double clip_norm);

#endif
