// The exact GELU, y = x Phi(x) with the normal distribution function Phi; dy/dx = Phi(x) + x
// phi(x). Equals torch.nn.functional.gelu(approximate="none"), in bf16 but for its rounding.
#include "bf16.h"
#include "nearly.h"

#include "vitrain/base/vmath.h"

static void forward_real(vt_real *y, const vt_real *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density, at = x[i];
        y[i] = at * vt_normal_cdf(at, &density);
    }
}

VT_INLINE void backward_real(vt_real *dx, vt_real *y, const vt_real *dy, const vt_real *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        vt_real density, at = x[i], cdf = vt_normal_cdf(at, &density);
        if (y) y[i] = at * cdf;
        dx[i] = dy[i] * (cdf + at * density);
    }
}

#ifdef VT_DOUBLE // which knows no bf16
#define forward_bf16 forward_real
#define backward_bf16 backward_real
#else
VT_INLINE void forward_vec(vt_bf16 *y, const vt_bf16 *x)
{
    const vt_vec at = vt_get_vec(x, VT_BFLOAT, 0);
    vt_put_vec(y, VT_BFLOAT, 0, vt_nearly_gelu(at, vt_nearly_normal_of(at)));
}

static void forward_bf16(vt_bf16 *y, const vt_bf16 *x, size_t n)
{
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) forward_vec(y + i, x + i);
    if (i == n) return;
    vt_bf16 last[VT_LANES] = {0};
    memcpy(last, x + i, (n - i) * sizeof *x);
    forward_vec(last, last);
    memcpy(y + i, last, (n - i) * sizeof *y);
}

VT_INLINE void backward_vec(vt_bf16 *dx, vt_bf16 *y, const vt_bf16 *dy, const vt_bf16 *x)
{
    const vt_vec at = vt_get_vec(x, VT_BFLOAT, 0), d = vt_get_vec(dy, VT_BFLOAT, 0);
    const vt_nearly_normal normal = vt_nearly_normal_of(at);
    if (y) vt_put_vec(y, VT_BFLOAT, 0, vt_nearly_gelu(at, normal));
    vt_put_vec(dx, VT_BFLOAT, 0, d * vt_nearly_gelu_slope(normal));
}

// What the forward pass left is far away by now: fetched so many numbers before it is used (28-px
// model, Zen 5: a fifth of GELU's backward pass).
enum { AHEAD = 1024 };

VT_INLINE void backward_bf16(vt_bf16 *dx, vt_bf16 *y, const vt_bf16 *dy, const vt_bf16 *x, size_t n)
{
    size_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) {
        __builtin_prefetch(x + i + AHEAD);
        backward_vec(dx + i, y ? y + i : NULL, dy + i, x + i);
    }
    if (i == n) return;
    vt_bf16 last_d[VT_LANES] = {0}, last[VT_LANES] = {0};
    memcpy(last_d, dy + i, (n - i) * sizeof *dy);
    memcpy(last, x + i, (n - i) * sizeof *x);
    backward_vec(last_d, y ? last : NULL, last_d, last);
    memcpy(dx + i, last_d, (n - i) * sizeof *dx);
    if (y) memcpy(y + i, last, (n - i) * sizeof *y);
}
#endif

void vt_gelu_forward(void *y, const void *x, vt_elem type, size_t n)
{
    if (type == VT_BFLOAT)
        forward_bf16(y, x, n);
    else
        forward_real(y, x, n);
}

void vt_gelu_backward(void *dx, void *y, const void *dy, const void *x, vt_elem type, size_t n)
{
    if (type == VT_BFLOAT && y)
        backward_bf16(dx, y, dy, x, n);
    else if (type == VT_BFLOAT)
        backward_bf16(dx, NULL, dy, x, n);
    else if (y)
        backward_real(dx, y, dy, x, n);
    else
        backward_real(dx, NULL, dy, x, n);
}
