// Student's t by the regularized incomplete beta function I_x(a, b), which is taken from its
// continued fraction (NIST's Digital Library of Mathematical Functions, 8.17.22) by Lentz's method:
// P(|T| > t) = I_x(df / 2, 1 / 2) with x = df / (df + t^2).
#include "vitrain/train/stats.h"

#include <float.h>
#include <math.h>

vt_summary vt_summarize(const double *values, int n)
{
    vt_summary s = {.n = n, .mean = NAN, .sd = NAN};
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += values[i];
    if (n > 0) s.mean = sum / n;
    for (int i = 0; i < n; i++) squares += (values[i] - s.mean) * (values[i] - s.mean);
    if (n > 1) s.sd = sqrt(squares / (n - 1));
    return s;
}

static double away_from_zero(double x)
{
    return fabs(x) < DBL_MIN / DBL_EPSILON ? DBL_MIN / DBL_EPSILON : x;
}

// 1 / (1 + d1 / (1 + d2 / (1 + ...))); converges fast for x < (a + 1) / (a + b + 2).
static double beta_fraction(double x, double a, double b)
{
    enum { MOST = 10000 };
    double c = 1, d = 1 / away_from_zero(1 - (a + b) / (a + 1) * x), value = d;
    for (int m = 1; m < MOST; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double change = 1;
        for (int i = 0; i < 2; i++) {
            const double term = i ? odd : even;
            d = 1 / away_from_zero(1 + term * d);
            c = away_from_zero(1 + term / c);
            change = c * d;
            value *= change;
        }
        if (fabs(change - 1) < 4 * DBL_EPSILON) break;
    }
    return value;
}

// I_x(a, b), with y = 1 - x given too, as it may be tiny.
static double incomplete_beta(double x, double y, double a, double b)
{
    if (x <= 0) return 0;
    if (y <= 0) return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(y, b, a) / b;
}

double vt_student_p(double t, double df)
{
    if (isnan(t)) return NAN;
    if (isinf(t)) return 0;
    const double sum = df + t * t;
    return incomplete_beta(df / sum, t * t / sum, df / 2, 0.5);
}

double vt_student_quantile(double alpha, double df)
{
    double low = 0, high = 1;
    while (vt_student_p(high, df) > alpha && high < DBL_MAX / 2) high *= 2;
    for (double middle = high / 2; middle > low && middle < high; middle = low + (high - low) / 2) {
        if (vt_student_p(middle, df) > alpha)
            low = middle;
        else
            high = middle;
    }
    return high;
}

vt_paired vt_compare_paired(const double *differences, int n, double confidence)
{
    vt_paired r = {
        .difference = vt_summarize(differences, n), .low = NAN, .high = NAN, .t = NAN, .p = NAN};
    const double rounding = 1e-9 * fabs(r.difference.mean);
    if (n < 2 || !(r.difference.sd > rounding)) return r;
    const double error = r.difference.sd / sqrt(n), df = n - 1;
    const double reach = error * vt_student_quantile(1 - confidence, df);
    r.low = r.difference.mean - reach;
    r.high = r.difference.mean + reach;
    r.t = r.difference.mean / error;
    r.p = vt_student_p(r.t, df);
    return r;
}

void vt_holm(double *adjusted, const double *p, int n)
{
    int m = 0;
    for (int i = 0; i < n; i++) m += !isnan(p[i]);
    // The k-th smallest counts (m - k) times, and no less than those before it.
    for (int i = 0; i < n; i++) {
        adjusted[i] = isnan(p[i]) ? NAN : 0;
        for (int j = 0; j < n && !isnan(p[i]); j++) {
            if (isnan(p[j]) || p[j] > p[i]) continue;
            int smaller = 0;
            for (int k = 0; k < n; k++) smaller += p[k] < p[j] || (p[k] == p[j] && k < j);
            adjusted[i] = fmax(adjusted[i], fmin(1, (m - smaller) * p[j]));
        }
    }
}
