// Student's t against tables and closed forms, paired differences by hand, Holm's example.
#include "vitrain/train/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want))) fail_msg("got %.17g, want %.17g", got, want);
}

// For 1, 2 and 4 degrees of freedom the distribution has a closed form.
static void test_closed_forms(void **state)
{
    (void)state;
    const double pi = acos(-1);
    for (double t = 0.015625; t < 100; t *= 1.4) {
        const double s = t / sqrt(4 + t * t);
        near(vt_student_p(t, 1), 2 / pi * atan(1 / t), 1e-13);
        near(vt_student_p(t, 2), 2 / (sqrt(2 + t * t) * (sqrt(2 + t * t) + t)), 1e-12);
        if (t < 10) near(vt_student_p(t, 4), 1 - s * (1.5 - 0.5 * s * s), 1e-10);
        near(vt_student_p(-t, 3), vt_student_p(t, 3), 0);
    }
    assert_true(vt_student_p(0, 5) == 1);
    assert_true(vt_student_p(INFINITY, 5) == 0);
    assert_true(isnan(vt_student_p(NAN, 5)));
}

// Printed tables (two-sided).
static void test_quantiles(void **state)
{
    (void)state;
    const struct {
        double alpha, df, t;
    } rows[] = {{0.05, 1, 12.706204736}, {0.05, 2, 4.302652730},   {0.05, 3, 3.182446305},
                {0.05, 4, 2.776445105},  {0.05, 5, 2.570581836},   {0.05, 10, 2.228138852},
                {0.05, 30, 2.042272456}, {0.05, 120, 1.979930405}, {0.01, 1, 63.656741162},
                {0.01, 4, 4.604094871},  {0.01, 10, 3.169272673},  {0.10, 4, 2.131846786},
                {0.001, 2, 31.599054577}};
    for (int i = 0; i < COUNT(rows); i++)
        near(vt_student_quantile(rows[i].alpha, rows[i].df), rows[i].t, 1e-9);
    near(vt_student_quantile(0.05, 1e7), 1.959963985, 1e-6); // the normal distribution's
    for (double df = 1; df < 2000; df *= 3)
        near(vt_student_p(vt_student_quantile(0.05, df), df), 0.05, 1e-12);
}

static void test_summary(void **state)
{
    (void)state;
    const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    vt_summary s = vt_summarize(values, 8);
    assert_int_equal(s.n, 8);
    near(s.mean, 5, 1e-15);
    near(s.sd, sqrt(32.0 / 7), 1e-15);
    s = vt_summarize(values, 1);
    assert_true(s.mean == 2 && isnan(s.sd));
    s = vt_summarize(values, 0);
    assert_true(s.n == 0 && isnan(s.mean) && isnan(s.sd));
}

static void test_paired(void **state)
{
    (void)state;
    const double differences[] = {1, 2, 3, 4, 5};
    vt_paired r = vt_compare_paired(differences, 5, 0.95);
    near(r.difference.mean, 3, 1e-15);
    near(r.t, 3 / sqrt(0.5), 1e-14);
    near(r.p, 0.013235599563682698, 1e-11); // the closed form
    near(r.low, 3 - 2.776445105 * sqrt(0.5), 1e-9);
    near(r.high, 3 + 2.776445105 * sqrt(0.5), 1e-9);
    assert_true(vt_compare_paired(differences, 2, 0.95).low < 0); // 1.5 +- 6.35: two tell little
}

static void test_no_interval(void **state)
{
    (void)state;
    const double one[] = {1}, same[] = {0.3, 0.1 + 0.2, 0.3}, zeros[] = {0, 0};
    const vt_paired r[] = {vt_compare_paired(one, 0, 0.95), vt_compare_paired(one, 1, 0.95),
                           vt_compare_paired(same, 3, 0.95), vt_compare_paired(zeros, 2, 0.95)};
    for (int i = 0; i < COUNT(r); i++)
        assert_true(isnan(r[i].low) && isnan(r[i].high) && isnan(r[i].t) && isnan(r[i].p));
    assert_true(r[1].difference.mean == 1 && r[3].difference.mean == 0);
}

static void test_holm(void **state)
{
    (void)state;
    const double p[] = {0.01, 0.04, NAN, 0.03, 0.005, 0.9},
                 want[] = {0.04, 0.09, NAN, 0.09, 0.025, 0.9};
    double got[6];
    vt_holm(got, p, 6);
    for (int i = 0; i < 6; i++) {
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else
            near(got[i], want[i], 1e-15);
    }
    const double equal[] = {0.5, 0.5, 0.5};
    vt_holm(got, equal, 3);
    for (int i = 0; i < 3; i++) assert_true(got[i] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_forms), cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_summary),      cmocka_unit_test(test_paired),
        cmocka_unit_test(test_no_interval),  cmocka_unit_test(test_holm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
