// AdamW (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101), as
// torch.optim.AdamW computes it:
//
//     w <- w - lr decay w
//     m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g^2
//     w <- w - lr / (1 - b1^t)  m / (sqrt(v) / sqrt(1 - b2^t) + eps)
#include "vitrain/train/optim.h"

#include <math.h>

#ifdef VT_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

static void update(vt_real *restrict w, const vt_real *restrict g, vt_real *const slabs[2],
                   size_t n, const vt_optim_rate *rate, const vt_optim_config *config)
{
    vt_real *restrict m = slabs[0], *restrict v = slabs[1];
    double b1 = config->betas[0], b2 = config->betas[1];
    // What does not depend on the element, in double: 1 - b2 alone would lose half of float's
    // digits.
    const vt_real keep = (vt_real)(1 - rate->lr * rate->decay), gain = (vt_real)rate->scale;
    const vt_real m_old = (vt_real)b1, m_new = (vt_real)(1 - b1);
    const vt_real v_old = (vt_real)b2, v_new = (vt_real)(1 - b2);
    const vt_real lr = (vt_real)(rate->lr / (1 - pow(b1, (double)rate->step)));
    const vt_real v_root = (vt_real)sqrt(1 - pow(b2, (double)rate->step));
    const vt_real eps = (vt_real)config->eps;
    for (size_t i = 0; i < n; i++) {
        vt_real gi = g[i] * gain;
        m[i] = m_old * m[i] + m_new * gi;
        v[i] = v_old * v[i] + v_new * gi * gi;
        w[i] = w[i] * keep - lr * m[i] / (SQRT(v[i]) / v_root + eps);
    }
}

const vt_optim_ops vt_optim_adamw = {
    .name = "adamw",
    .n_slabs = 2,
    .slab_names = {"exp_avg", "exp_avg_sq"},
    .update = update,
};
