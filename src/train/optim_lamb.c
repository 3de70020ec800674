// LAMB (You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
// arXiv 1904.00962), as NVIDIA's FusedLAMB and timm's Lamb compute it. With g divided by max(1,
// |all g|):
//
//     m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
//     u = m / (1 - b1^t) / (sqrt(v) / sqrt(1 - b2^t) + eps) + decay w
//     w <- w - lr |w| / |u| u
//
// where the norms are the tensor's; the quotient is 1 if one of them is 0, and for tensors that do
// not decay. u is computed twice, for its norm and for the step, rather than kept.
#include "vitrain/train/optim.h"

#include <math.h>

#ifdef VT_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

// What u takes besides the element itself.
typedef struct direction {
    vt_real m_scale, v_root, eps, decay;
} direction;

static direction direction_at(const vt_optim_rate *rate, const vt_optim_config *config)
{
    return (direction){(vt_real)(1 / (1 - pow(config->betas[0], (double)rate->step))),
                       (vt_real)sqrt(1 - pow(config->betas[1], (double)rate->step)),
                       (vt_real)config->eps, (vt_real)rate->decay};
}

static inline vt_real along(const direction *d, vt_real w, vt_real m, vt_real v)
{
    return m * d->m_scale / (SQRT(v) / d->v_root + d->eps) + d->decay * w;
}

static void measure(double sums[2], const vt_real *restrict w, const vt_real *restrict g,
                    vt_real *const slabs[2], size_t n, const vt_optim_rate *rate,
                    const vt_optim_config *config)
{
    vt_real *restrict m = slabs[0], *restrict v = slabs[1];
    const direction d = direction_at(rate, config);
    const double b1 = config->betas[0], b2 = config->betas[1];
    const vt_real gain = (vt_real)rate->scale, m_old = (vt_real)b1, m_new = (vt_real)(1 - b1);
    const vt_real v_old = (vt_real)b2, v_new = (vt_real)(1 - b2);
    double weight = 0, moved = 0;
#pragma omp simd reduction(+ : weight, moved)
    for (size_t i = 0; i < n; i++) {
        const vt_real gi = g[i] * gain;
        m[i] = m_old * m[i] + m_new * gi;
        v[i] = v_old * v[i] + v_new * gi * gi;
        const double wi = (double)w[i], ui = (double)along(&d, w[i], m[i], v[i]);
        weight += wi * wi;
        moved += ui * ui;
    }
    sums[0] = weight;
    sums[1] = moved;
}

static void update(vt_real *restrict w, const vt_real *restrict g, vt_real *const slabs[2],
                   size_t n, const vt_optim_rate *rate, const vt_optim_config *config)
{
    (void)g;
    const vt_real *restrict m = slabs[0], *restrict v = slabs[1];
    const direction d = direction_at(rate, config);
    const vt_real lr = (vt_real)rate->lr;
    for (size_t i = 0; i < n; i++) w[i] -= lr * along(&d, w[i], m[i], v[i]);
}

const vt_optim_ops vt_optim_lamb = {
    .name = "lamb",
    .n_slabs = 2,
    .slab_names = {"exp_avg", "exp_avg_sq"},
    .max_norm = 1,
    .measure = measure,
    .update = update,
};
