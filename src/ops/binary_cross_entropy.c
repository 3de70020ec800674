// Binary cross-entropy of every class by itself, PyTorch's BCEWithLogitsLoss with the mean over the
// classes: with s the logistic function, - t log s(z) - (1 - t) log(1 - s(z)) = log(1 + e^z) - t z,
// and its derivative is s(z) - t. Neither overflows in terms of e = exp(-|z|): log(1 + e^z) =
// max(z, 0) + log(1 + e), and s(z) = 1 / (1 + e) for z >= 0, else e / (1 + e).
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

#include <math.h>

void vt_binary_cross_entropy(vt_real *loss, vt_real *dlogits, const vt_real *logits,
                             const vt_real *target, vt_real scale, int B, int K)
{
    const vt_real step = scale / (vt_real)K;
    for (int i = 0; i < B; i++) {
        const vt_real *z = logits + (size_t)i * (size_t)K, *t = target + (size_t)i * (size_t)K;
        vt_real *d = dlogits ? dlogits + (size_t)i * (size_t)K : NULL;
        double sum = 0;
        for (int k = 0; k < K; k++) {
            const vt_real zk = z[k], e = vt_exp(zk < 0 ? zk : -zk);
            sum += (double)((zk > 0 ? zk : 0) - t[k] * zk) + log1p((double)e);
            if (d) d[k] = step * ((zk < 0 ? e : 1) / (1 + e) - t[k]);
        }
        loss[i] = (vt_real)(sum / K);
    }
}
