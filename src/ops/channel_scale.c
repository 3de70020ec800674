// LayerScale (Touvron et al., "Going deeper with Image Transformers", arXiv 2103.17239, section 3):
// y = gamma x with a number for each channel; dx = gamma dy, dgamma = sum over rows of dy x.
#include "bf16.h"

#include <string.h>

void vt_channel_scale_forward(vt_real *x, vt_real *kept, const vt_real *gamma, int M, int C)
{
    if (kept) memcpy(kept, x, (size_t)M * (size_t)C * sizeof *x);
    for (int m = 0; m < M; m++, x += C) {
#pragma omp simd
        for (int c = 0; c < C; c++) x[c] *= gamma[c];
    }
}

VT_INLINE void backward(void *dx, vt_real *restrict dgamma, vt_real s, const vt_real *dy,
                        const vt_real *x, const vt_real *gamma, int M, int C, vt_elem type)
{
    for (int m = 0; m < M; m++) {
        const size_t row = (size_t)m * (size_t)C;
#pragma omp simd
        for (int c = 0; c < C; c++) {
            const vt_real d = s * dy[row + (size_t)c];
            dgamma[c] += d * x[row + (size_t)c];
            vt_put(dx, type, row + (size_t)c, d * gamma[c]);
        }
    }
}

void vt_channel_scale_backward(void *dx, vt_elem type, vt_real *dgamma, vt_real s,
                               const vt_real *dy, const vt_real *x, const vt_real *gamma, int M,
                               int C)
{
    VT_FOR_TYPE(backward, type, dx, dgamma, s, dy, x, gamma, M, C);
}
