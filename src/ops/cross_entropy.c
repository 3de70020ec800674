// Cross-entropy against soft targets: loss = - sum_k t_k log p_k with p = softmax(logits), and
// dloss/dlogits = p sum_k t_k - t. Equals timm's SoftTargetCrossEntropy before its mean.
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

#include <math.h>

void vt_cross_entropy(vt_real *loss, vt_real *dlogits, const vt_real *logits, const vt_real *target,
                      vt_real scale, int B, int K)
{
    for (int i = 0; i < B; i++) {
        const vt_real *z = logits + (size_t)i * K, *t = target + (size_t)i * K;
        vt_real most = z[0], sum = 0, weight = 0, dot = 0;
        for (int k = 0; k < K; k++) most = z[k] > most || z[k] != z[k] ? z[k] : most;
#pragma omp simd reduction(+ : sum, weight, dot)
        for (int k = 0; k < K; k++) {
            sum += vt_exp(z[k] - most);
            weight += t[k];
            dot += t[k] * (z[k] - most);
        }
        loss[i] = weight * (vt_real)log((double)sum) - dot;
        if (!dlogits) continue;
        vt_real *d = dlogits + (size_t)i * K, norm = weight / sum;
#pragma omp simd
        for (int k = 0; k < K; k++) d[k] = scale * (vt_exp(z[k] - most) * norm - t[k]);
    }
}
