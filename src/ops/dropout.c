// Dropout and stochastic depth. A mask is never stored: element i of a sample's mask is number i of
// a counter-based stream, so the backward pass draws the same mask again.
#include "bf16.h"

#include "vitrain/base/rng.h"

void vt_dropout_apply(void *y, const void *x, vt_elem type, const vt_dropout *drop, size_t offset,
                      size_t n)
{
    double bound = drop->p * 4294967296.0; // dropped below it
    vt_real scale = (vt_real)(drop->p < 1 ? 1 / (1 - drop->p) : 0);
    uint32_t block[4];
    for (size_t i = 0; i < n; i++) {
        size_t element = offset + i;
        if (i == 0 || element % 4 == 0)
            vt_philox(block, drop->seed, drop->stream, drop->step, drop->sample,
                      (uint32_t)(element / 4));
        vt_put(y, type, i, block[element % 4] < bound ? 0 : vt_get(x, type, i) * scale);
    }
}

vt_real vt_drop_path_scale(double p, uint64_t seed, uint32_t step, uint32_t sample, uint32_t branch)
{
    if (p <= 0) return 1;
    uint32_t block[4];
    vt_philox(block, seed, VT_STREAM_DROP_PATH, step, sample, branch);
    return block[0] < p * 4294967296.0 ? 0 : (vt_real)(1 / (1 - p));
}
