// See the header.
#include "vitrain/report/rollout.h"

#include <stddef.h>

void vt_attention_mean(vt_real *mean, const vt_real *maps, int H, int T)
{
    const size_t n = (size_t)T * (size_t)T;
    for (size_t i = 0; i < n; i++) mean[i] = 0;
    for (int h = 0; h < H; h++)
        for (size_t i = 0; i < n; i++) mean[i] += maps[(size_t)h * n + i];
    for (size_t i = 0; i < n; i++) mean[i] /= (vt_real)H;
}

void vt_rollout_step(vt_real *out, const vt_real *before, const vt_real *mean, int T)
{
    const size_t t = (size_t)T;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t; i++) {
        vt_real *to = out + i * t;
        for (size_t j = 0; j < t; j++) to[j] = (before ? before[i * t + j] : (vt_real)(i == j)) / 2;
        for (size_t k = 0; k < t; k++) {
            const vt_real a = mean[i * t + k] / 2;
            if (!before) {
                to[k] += a;
                continue;
            }
            for (size_t j = 0; j < t; j++) to[j] += a * before[k * t + j];
        }
    }
}
