// See the header. The quantiles for 1e-4: of the normal distribution, two-sided, 3.891; one-sided
// 3.719, from which chi-square's come by Wilson and Hilferty's cube; of Kolmogorov's, 2 exp(-2 x^2)
// = 1e-4 at x = 2.226.
#include "chance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

void chance_share(long hits, long n, double p, const char *what)
{
    double deviation = sqrt((double)n * p * (1 - p)), off = (double)hits - (double)n * p;
    if (fabs(off) > 3.891 * deviation)
        fail_msg("%s: %ld of %ld, expected a share of %g: %.1f deviations", what, hits, n, p,
                 off / deviation);
}

void chance_counts(const long *counts, const double *weights, int cells, const char *what)
{
    double total = 0, weight = 0, chi = 0;
    int used = 0;
    for (int i = 0; i < cells; i++) {
        total += (double)counts[i];
        weight += weights ? weights[i] : 1;
    }
    for (int i = 0; i < cells; i++) {
        double expected = total * (weights ? weights[i] : 1) / weight;
        double off = (double)counts[i] - expected;
        if (expected == 0) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        assert_true(expected >= 5); // the test's own condition
        chi += off * off / expected;
        used++;
    }
    double freedom = used - 1, s = 2 / (9 * freedom);
    double bound = freedom * pow(1 - s + 3.719 * sqrt(s), 3);
    if (chi > bound)
        fail_msg("%s: chi-square %.1f of %d cells, at most %.1f", what, chi, used, bound);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void chance_cdf(double *values, size_t n, double (*cdf)(double, const double *),
                const double *context, const char *what)
{
    double worst = 0;
    assert_true(n >= 100);
    qsort(values, n, sizeof *values, compare);
    for (size_t i = 0; i < n; i++) {
        double p = cdf(values[i], context);
        worst = fmax(worst, fmax(p - (double)i / (double)n, (double)(i + 1) / (double)n - p));
    }
    if (worst * sqrt((double)n) > 2.226)
        fail_msg("%s: %zu numbers are off their distribution by %.4f, at most %.4f", what, n, worst,
                 2.226 / sqrt((double)n));
}

double chance_uniform(double value, const double *bounds)
{
    return fmin(fmax((value - bounds[0]) / (bounds[1] - bounds[0]), 0), 1);
}

double chance_normal(double value, const double *moments)
{
    return 0.5 * erfc((moments[0] - value) / moments[1] * 0.70710678118654752440);
}
