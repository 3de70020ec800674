// rng.c: Philox against the published known answers, the distributions against their exact
// distribution functions (Kolmogorov-Smirnov) or moments. Seeds are fixed, so a test passes always
// or never; the bounds are five standard deviations of the estimate (or the KS value of p = 1e-6),
// so that a right generator fails one seed in a million.
#include "vitrain/base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 100000 };
static double sample[N];

static vt_rng generator(uint32_t which)
{
    return vt_rng_at(0x123456789ABCDEF0u, VT_STREAM_SYNTHETIC, 7, which);
}

// ---- Philox ----

// philox4x32 10 of kat_vectors in Random123 (counter, key, result).
static void test_known_answers(void **state)
{
    (void)state;
    static const uint32_t rows[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *r = rows[i];
        uint32_t out[4];
        vt_philox(out, (uint64_t)r[5] << 32 | r[4], r[3], r[2], r[1], r[0]);
        assert_memory_equal(out, r + 6, sizeof out);
    }
}

static void test_draws_are_the_counter(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(11, VT_STREAM_MIX, 22, 33);
    for (uint32_t draw = 0; draw < 3; draw++) {
        uint32_t block[4];
        vt_philox(block, 11, VT_STREAM_MIX, 22, 33, draw);
        for (int i = 0; i < 4; i++) assert_int_equal(vt_rng_u32(&rng), block[i]);
    }
    vt_rng copy = rng;
    assert_int_equal(vt_rng_u32(&rng), vt_rng_u32(&copy));
}

// ---- distributions ----

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The largest distance between the sample's distribution and cdf.
static void assert_distribution(double (*cdf)(double))
{
    qsort(sample, N, sizeof *sample, ascending);
    double worst = 0;
    for (int i = 0; i < N; i++) {
        double f = cdf(sample[i]);
        worst = fmax(worst, fmax(f - (double)i / N, (i + 1.0) / N - f));
    }
    assert_true(worst * sqrt(N) < 2.69); // P = 2 exp(-2 x^2) = 1e-6
}

// Central moments up to the fourth give the estimates' own deviations.
static void assert_moments(double mean, double variance)
{
    double m = 0, v = 0, fourth = 0;
    for (int i = 0; i < N; i++) m += sample[i] / N;
    for (int i = 0; i < N; i++) v += pow(sample[i] - m, 2) / N;
    for (int i = 0; i < N; i++) fourth += pow(sample[i] - m, 4) / N;
    assert_true(fabs(m - mean) < 5 * sqrt(variance / N));
    assert_true(fabs(v - variance) < 5 * sqrt((fourth - v * v) / N));
}

static double uniform_cdf(double x)
{
    return x;
}

static void test_uniform(void **state)
{
    (void)state;
    vt_rng rng = generator(0);
    int low_bits = 0;
    double correlation = 0, before = 0.5;
    for (int i = 0; i < N; i++) {
        double u = sample[i] = vt_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        low_bits += (int)fmod(u * 0x1p53, 2);
        correlation += (u - 0.5) * (before - 0.5) * 12 / N;
        before = u;
    }
    assert_true(abs(low_bits - N / 2) < 5 * sqrt(N) / 2); // all 53 bits are random
    assert_true(fabs(correlation) < 5 / sqrt(N));
    assert_moments(0.5, 1.0 / 12);
    assert_distribution(uniform_cdf);
    for (int i = 0; i < N; i++) {
        sample[i] = vt_rng_range(&rng, -3, 5);
        assert_true(sample[i] >= -3 && sample[i] < 5);
    }
    assert_moments(1, 64.0 / 12);
}

// Numbers of neighbouring counters must not be alike.
static void test_streams_differ(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        vt_rng rng = vt_rng_at((uint64_t)(i % 10), (uint32_t)(i / 10 % 10),
                               (uint32_t)(i / 100 % 10), (uint32_t)(i / 1000));
        sample[i] = vt_rng_uniform(&rng);
    }
    assert_distribution(uniform_cdf);
    for (int i = 1; i < N; i++) assert_true(sample[i] != sample[i - 1]);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static void test_normal(void **state)
{
    (void)state;
    vt_rng rng = generator(1);
    for (int i = 0; i < N; i++) sample[i] = vt_rng_normal(&rng);
    assert_moments(0, 1);
    assert_distribution(normal_cdf);
}

// The same numbers however many are asked for and wherever in the stream one begins; the two of a
// pair, a quarter of a chunk apart, do not go together, nor do their squares.
static void test_normals(void **state)
{
    (void)state;
    enum { CHUNK = 128, PAIR = CHUNK / 4 };
    static float all[N], few[300];
    vt_rng rng = generator(9), same = rng, later = rng;
    vt_rng_normals(&rng, all, N);
    vt_rng_u32(&same);
    same.draw = 0;
    vt_rng_normals(&same, few, 300); // what is left of a block is dropped
    assert_memory_equal(few, all, sizeof few);
    assert_int_equal(same.draw, 3 * CHUNK / 4); // whole chunks, a block makes four
    later.draw = 5 * CHUNK / 4;
    vt_rng_normals(&later, few, CHUNK);
    assert_memory_equal(few, all + 5 * CHUNK, CHUNK * sizeof *few);
    double together = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sample[i] = all[i];
        assert_true(fabsf(all[i]) < 6.7f);
        if (i % (2 * PAIR) >= PAIR) continue;
        double x = all[i], y = i + PAIR < N ? all[i + PAIR] : 0;
        together += x * y;
        squares += (x * x - 1) * (y * y - 1);
    }
    assert_true(fabs(together) < 5 * sqrt(N / 2.0));
    assert_true(fabs(squares) < 5 * 2 * sqrt(N / 2.0)); // x^2 deviates by sqrt 2
    assert_moments(0, 1);
    assert_distribution(normal_cdf);
}

static double exponential_cdf(double x)
{
    return -expm1(-x);
}

static double erlang2_cdf(double x)
{
    return 1 - exp(-x) * (1 + x);
}

static double half_gamma_cdf(double x) // a squared normal's half
{
    return erf(sqrt(x));
}

static void test_gamma(void **state)
{
    (void)state;
    static const struct {
        double shape;
        double (*cdf)(double);
    } cases[] = {{0.1, NULL},      {0.5, half_gamma_cdf}, {0.8, NULL}, {1, exponential_cdf},
                 {2, erlang2_cdf}, {7.5, NULL},           {100, NULL}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        vt_rng rng = generator(100 + (uint32_t)k);
        for (int i = 0; i < N; i++) {
            sample[i] = vt_rng_gamma(&rng, cases[k].shape);
            assert_true(sample[i] >= 0 && isfinite(sample[i]));
        }
        assert_moments(cases[k].shape, cases[k].shape);
        if (cases[k].cdf) assert_distribution(cases[k].cdf);
    }
}

static double arcsine_cdf(double x)
{
    return asin(sqrt(x)) / acos(0);
}

static double beta22_cdf(double x)
{
    return x * x * (3 - 2 * x);
}

static double beta_fifth_one_cdf(double x)
{
    return pow(x, 0.2);
}

static double beta13_cdf(double x)
{
    return 1 - pow(1 - x, 3);
}

static void test_beta(void **state)
{
    (void)state;
    static const struct {
        double a, b;
        double (*cdf)(double);
    } cases[] = {{0.1, 0.1, NULL},        {0.2, 0.2, NULL},   {0.2, 1, beta_fifth_one_cdf},
                 {0.5, 0.5, arcsine_cdf}, {0.8, 0.8, NULL},   {1, 1, uniform_cdf},
                 {1, 3, beta13_cdf},      {2, 2, beta22_cdf}, {8, 8, NULL},
                 {0.3, 30, NULL}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double a = cases[k].a, b = cases[k].b;
        vt_rng rng = generator(200 + (uint32_t)k);
        for (int i = 0; i < N; i++) {
            sample[i] = vt_rng_beta(&rng, a, b);
            assert_true(sample[i] >= 0 && sample[i] <= 1);
        }
        assert_moments(a / (a + b), a * b / ((a + b) * (a + b) * (a + b + 1)));
        if (cases[k].cdf) assert_distribution(cases[k].cdf);
    }
    vt_rng rng = generator(300);
    int ones = 0;
    for (int i = 0; i < N; i++) { // both Gammas underflow here: all the weight is at the ends
        double x = vt_rng_beta(&rng, 1e-4, 1e-4);
        assert_true(x >= 0 && x <= 1);
        ones += x > 0.5;
    }
    assert_true(abs(ones - N / 2) < 5 * sqrt(N) / 2);
}

// ---- whole numbers ----

// Pearson's statistic of `bins` counts against n / bins each, within five deviations of its mean.
static void assert_even(const int *counts, int bins, int n)
{
    double expected = (double)n / bins, chi2 = 0;
    for (int i = 0; i < bins; i++) chi2 += pow(counts[i] - expected, 2) / expected;
    assert_true(fabs(chi2 - (bins - 1)) < 5 * sqrt(2.0 * (bins - 1)));
}

static void test_below(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 7, 64, 100};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        vt_rng rng = generator(400 + (uint32_t)k);
        int counts[100] = {0};
        for (int i = 0; i < N; i++) {
            uint32_t x = vt_rng_below(&rng, sizes[k]);
            assert_true(x < sizes[k]);
            counts[x]++;
        }
        if (sizes[k] > 1) assert_even(counts, (int)sizes[k], N);
    }
    vt_rng rng = generator(410); // 3 x 2^30: without rejection every third number comes up twice
    int thirds[3] = {0};
    for (int i = 0; i < N; i++) thirds[vt_rng_below(&rng, 3u << 30) % 3]++;
    assert_even(thirds, 3, N);
}

static void test_permutation(void **state)
{
    (void)state;
    enum { LENGTH = 1000, RUNS = 24 * 1000 };
    uint32_t p[LENGTH];
    unsigned char seen[LENGTH] = {0};
    vt_rng rng = generator(500);
    vt_rng_permutation(&rng, LENGTH, p);
    for (int i = 0; i < LENGTH; i++) assert_int_equal(seen[p[i]]++, 0);
    int orders[256] = {0}, counts[24], n = 0;
    for (int i = 0; i < RUNS; i++) {
        vt_rng_permutation(&rng, 4, p);
        orders[p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (orders[i]) counts[n++ % 24] = orders[i];
    }
    assert_int_equal(n, 24);
    assert_even(counts, 24, RUNS);
    vt_rng_permutation(&rng, 0, p);
    vt_rng_permutation(&rng, 1, p);
    assert_int_equal(p[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_draws_are_the_counter),
        cmocka_unit_test(test_uniform),       cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_normal),        cmocka_unit_test(test_normals),
        cmocka_unit_test(test_gamma),         cmocka_unit_test(test_beta),
        cmocka_unit_test(test_below),         cmocka_unit_test(test_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
