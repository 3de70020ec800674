// Stochastic gradient descent with momentum, as torch.optim.SGD computes it (L2 decay through the
// gradient, no dampening):
//
//     g <- g + decay w          buf <- momentum buf + g          w <- w - lr buf
//
// and with Nesterov's momentum  w <- w - lr (g + momentum buf)  with the new buf. timm's "sgd" is
// the latter, its "momentum" the former.
//
// torch starts with buf = g; so does this, from a slab of zeros.
#include "vitrain/train/optim.h"

static void update(vt_real *restrict w, const vt_real *restrict g, vt_real *const slabs[2],
                   size_t n, const vt_optim_rate *rate, const vt_optim_config *config)
{
    vt_real *restrict buf = slabs[0];
    const vt_real momentum = (vt_real)config->momentum, gain = (vt_real)rate->scale;
    const vt_real pull = (vt_real)rate->decay, lr = (vt_real)rate->lr;
    // What the step is made of: the gradient's part and the buffer's.
    const vt_real direct = config->nesterov ? 1 : 0, along = config->nesterov ? momentum : 1;
    for (size_t i = 0; i < n; i++) {
        vt_real gi = g[i] * gain + pull * w[i];
        buf[i] = momentum * buf[i] + gi;
        w[i] -= lr * (direct * gi + along * buf[i]);
    }
}

const vt_optim_ops vt_optim_sgd = {
    .name = "sgd",
    .n_slabs = 1,
    .slab_names = {"momentum_buffer"},
    .update = update,
};
