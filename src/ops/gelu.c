// The exact GELU, y = x Phi(x) with the normal distribution function Phi; dy/dx = Phi(x) + x
// phi(x). Equals torch.nn.functional.gelu(approximate="none").
#include "bf16.h"

#include "vitrain/base/vmath.h"

VT_INLINE void forward(void *y, const void *x, size_t n, vt_elem type)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density, at = vt_get(x, type, i);
        vt_put(y, type, i, at * vt_normal_cdf(at, &density));
    }
}

void vt_gelu_forward(void *y, const void *x, vt_elem type, size_t n)
{
    VT_FOR_TYPE(forward, type, y, x, n);
}

VT_INLINE void backward(void *dx, void *y, const void *dy, const void *x, size_t n, vt_elem type)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density, at = vt_get(x, type, i), cdf = vt_normal_cdf(at, &density);
        if (y) vt_put(y, type, i, at * cdf);
        vt_put(dx, type, i, vt_get(dy, type, i) * (cdf + at * density));
    }
}

void vt_gelu_backward(void *dx, void *y, const void *dy, const void *x, vt_elem type, size_t n)
{
    if (y)
        VT_FOR_TYPE(backward, type, dx, y, dy, x, n);
    else
        VT_FOR_TYPE(backward, type, dx, NULL, dy, x, n);
}
