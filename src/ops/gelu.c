// The exact GELU, y = x Phi(x) with the normal distribution function Phi; dy/dx = Phi(x) + x
// phi(x). Equals torch.nn.functional.gelu(approximate="none").
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

void vt_gelu_forward(vt_real *y, const vt_real *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density;
        y[i] = x[i] * vt_normal_cdf(x[i], &density);
    }
}

void vt_gelu_backward(vt_real *dx, const vt_real *dy, const vt_real *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density, cdf = vt_normal_cdf(x[i], &density);
        dx[i] = dy[i] * (cdf + x[i] * density);
    }
}
