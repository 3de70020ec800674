// Stochastic gradient descent with momentum, as torch.optim.SGD computes it (L2 decay through the
// gradient, no dampening, no Nesterov):
//
//     g <- g + decay w          buf <- momentum buf + g          w <- w - lr buf
//
// torch starts with buf = g; so does this, from a slab of zeros.
#include "vitrain/train/optim.h"

static void update(vt_real *restrict w, const vt_real *restrict g, vt_real *const slabs[2],
                   size_t n, double lr, double decay, double scale, int64_t step,
                   const vt_optim_config *config)
{
    (void)step;
    vt_real *restrict buf = slabs[0];
    const vt_real momentum = (vt_real)config->momentum, gain = (vt_real)scale;
    const vt_real pull = (vt_real)decay, rate = (vt_real)lr;
    for (size_t i = 0; i < n; i++) {
        buf[i] = momentum * buf[i] + (g[i] * gain + pull * w[i]);
        w[i] -= rate * buf[i];
    }
}

const vt_optim_ops vt_optim_sgd = {
    .name = "sgd",
    .n_slabs = 1,
    .slab_names = {"momentum_buffer"},
    .update = update,
};
