// Numbers in tests; see the header.
//
// f'(x) = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h + O(h^4).
#include "numcheck.h"

#include "vitrain/base/rng.h"

#include <float.h>
#include <math.h>

double vt_epsilon(void)
{
    return sizeof(vt_real) == sizeof(double) ? DBL_EPSILON : FLT_EPSILON;
}

void vt_fill_normal(vt_real *x, size_t n, double deviation, uint32_t key)
{
    vt_rng rng = vt_rng_at(17, VT_STREAM_SYNTHETIC, 0, key);
    for (size_t i = 0; i < n; i++) x[i] = (vt_real)(deviation * vt_rng_normal(&rng));
}

double vt_dot(const vt_real *a, const vt_real *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

double vt_largest_difference(const vt_real *a, const vt_real *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(difference)) return INFINITY;
        most = fmax(most, difference);
    }
    return most;
}

double vt_relative_error(const vt_real *a, const vt_real *b, size_t n)
{
    double most = 0, difference = vt_largest_difference(a, b, n);
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)b[i]));
    return difference == 0 ? 0 : difference / most;
}

double vt_gradient_error(const vt_real *dx, vt_real *x, size_t n, double (*loss)(void *context),
                         void *context)
{
    const double h = 1e-3;
    const double at[4] = {h, -h, 2 * h, -2 * h}, weight[4] = {8, -8, -1, 1};
    // Where every derivative is below this, the gradient is zero but for rounding.
    double most = 1e-3, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const vt_real kept = x[i];
        double numeric = 0;
        for (int k = 0; k < 4; k++) {
            x[i] = (vt_real)((double)kept + at[k]);
            numeric += weight[k] * loss(context) / (12 * h);
        }
        x[i] = kept;
        double difference = fabs((double)dx[i] - numeric);
        if (!isfinite(difference)) return INFINITY;
        worst = fmax(worst, difference);
        most = fmax(most, fabs(numeric));
    }
    return worst / most;
}
