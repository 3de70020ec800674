// The ops' values against plain loops in double, at the edges (infinities, large values, one token,
// odd sizes), and what their contracts promise beside the values: same bits again, masks, aliasing.
//
// Tolerances are multiples of the spacing of vt_real at 1, eps: sums of n terms of size 1 are
// off by some sqrt(n) eps, and a few operations follow.
#include "dense.h"
#include "numcheck.h"

#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_close(const vt_real *got, const vt_real *expected, size_t n, const char *what)
{
    VT_ASSERT_BELOW(vt_relative_error(got, expected, n), 32 * vt_epsilon(), what);
}

// ---- products ----

enum { GM = 7, GN = 9, GK = 33, LD = 40 };

static vt_real at(const vt_real *a, vt_trans trans, int i, int j)
{
    return trans == VT_T ? a[j * LD + i] : a[i * LD + j];
}

static void gemm_matches_loops(void **state)
{
    (void)state;
    static vt_real a[LD * LD], b[LD * LD], before[GM * LD], c[GM * LD], expected[GM * LD];
    vt_fill_normal(a, COUNT(a), 1, 1);
    vt_fill_normal(b, COUNT(b), 1, 2);
    for (int k = 0; k < 8; k++) {
        vt_trans ta = k & 1 ? VT_T : VT_N, tb = k & 2 ? VT_T : VT_N;
        vt_real alpha = (vt_real)0.5, beta = k & 4 ? (vt_real)-2 : 0;
        vt_fill_normal(before, COUNT(before), 1, 3);
        memcpy(expected, before, sizeof before);
        memcpy(c, before, sizeof before);
        for (int i = 0; i < GM; i++)
            for (int j = 0; j < GN; j++) {
                double sum = 0;
                for (int l = 0; l < GK; l++) sum += (double)at(a, ta, i, l) * at(b, tb, l, j);
                expected[i * LD + j] = (vt_real)(alpha * sum + beta * before[i * LD + j]);
                if (beta == 0) c[i * LD + j] = NAN; // beta 0: what is there does not matter
            }
        vt_gemm(c, LD, a, LD, ta, b, LD, tb, alpha, beta, GM, GN, GK);
        assert_close(c, expected, COUNT(c), "gemm"); // the gaps between rows are untouched
    }
}

// ---- linear ----

enum { LM = 11, LI = 19, LO = 13 };

static void linear_matches_loops(void **state)
{
    (void)state;
    vt_real x[LM * LI], w[LO * LI], b[LO], y[LM * LO], expected[LM * LO];
    vt_fill_normal(x, COUNT(x), 1, 1);
    vt_fill_normal(w, COUNT(w), 1, 2);
    vt_fill_normal(b, COUNT(b), 1, 3);
    for (int biased = 0; biased < 2; biased++) {
        for (int m = 0; m < LM; m++)
            for (int o = 0; o < LO; o++) {
                double sum = biased ? b[o] : 0;
                for (int i = 0; i < LI; i++) sum += (double)x[m * LI + i] * w[o * LI + i];
                expected[m * LO + o] = (vt_real)sum;
            }
        vt_linear_forward(y, x, w, biased ? b : NULL, LM, LI, LO);
        assert_close(y, expected, COUNT(y), "linear");
    }
}

static void linear_backward_matches_loops(void **state)
{
    (void)state;
    vt_real x[LM * LI], w[LO * LI], dy[LM * LO], dx[LM * LI], dw[LO * LI] = {0}, db[LO] = {0};
    vt_real dx_expected[LM * LI], dw_expected[LO * LI], db_expected[LO];
    vt_fill_normal(x, COUNT(x), 1, 1);
    vt_fill_normal(w, COUNT(w), 1, 2);
    vt_fill_normal(dy, COUNT(dy), 1, 3);
    for (int m = 0; m < LM; m++)
        for (int i = 0; i < LI; i++) {
            double sum = 0;
            for (int o = 0; o < LO; o++) sum += (double)dy[m * LO + o] * w[o * LI + i];
            dx_expected[m * LI + i] = (vt_real)sum;
        }
    for (int o = 0; o < LO; o++) {
        double bias = 0;
        for (int m = 0; m < LM; m++) bias += (double)dy[m * LO + o];
        db_expected[o] = (vt_real)bias;
        for (int i = 0; i < LI; i++) {
            double sum = 0;
            for (int m = 0; m < LM; m++) sum += (double)dy[m * LO + o] * x[m * LI + i];
            dw_expected[o * LI + i] = (vt_real)sum;
        }
    }
    vt_linear_backward_input(dx, dy, w, LM, LI, LO);
    assert_close(dx, dx_expected, COUNT(dx), "dx");
    for (int first = 0; first < LO; first += 5) // rows in uneven shares, as threads take them
        vt_linear_backward_weight(dw, db, dy, x, LI, first, first + 5 < LO ? 5 : LO - first, LM, LI,
                                  LO);
    assert_close(dw, dw_expected, COUNT(dw), "dw");
    assert_close(db, db_expected, COUNT(db), "db");
}

// ---- layer normalisation ----

enum { NM = 6, NC = 67 };

static void layernorm_case(double mean_of_x, double deviation)
{
    const double eps = 1e-6;
    vt_real x[NM * NC], w[NC], b[NC], y[NM * NC], again[NM * NC], mean[NM], rstd[NM];
    vt_real expected[NM * NC];
    vt_fill_normal(x, COUNT(x), deviation, 1);
    vt_fill_normal(w, COUNT(w), 1, 2);
    vt_fill_normal(b, COUNT(b), 1, 3);
    for (size_t i = 0; i < COUNT(x); i++) x[i] += (vt_real)mean_of_x;
    for (int m = 0; m < NM; m++) {
        double mu = 0, variance = 0;
        for (int c = 0; c < NC; c++) mu += (double)x[m * NC + c] / NC;
        for (int c = 0; c < NC; c++) variance += pow((double)x[m * NC + c] - mu, 2) / NC;
        for (int c = 0; c < NC; c++)
            expected[m * NC + c] =
                (vt_real)((x[m * NC + c] - mu) / sqrt(variance + eps) * w[c] + b[c]);
    }
    vt_layernorm_forward(y, VT_REAL, mean, rstd, x, w, b, (vt_real)eps, NM, NC);
    // The mean is rounded to eps |mean|, which weighs against the deviation.
    double tolerance = (32 + 4 * mean_of_x / deviation) * vt_epsilon();
    VT_ASSERT_BELOW(vt_relative_error(y, expected, COUNT(y)), tolerance, "layernorm");

    vt_layernorm_again(again, VT_REAL, x, w, b, mean, rstd, NM, NC);
    assert_memory_equal(again, y, sizeof y);
    vt_layernorm_forward(again, VT_REAL, NULL, NULL, x, w, b, (vt_real)eps, NM, NC);
    assert_memory_equal(again, y, sizeof y);
}

static void layernorm_matches_loops(void **state)
{
    (void)state;
    layernorm_case(0, 1);
    layernorm_case(1000, 1); // the variance is not E x^2 - (E x)^2
    layernorm_case(0, 1e-3); // eps weighs as much as the variance
}

static void layernorm_of_a_constant_row_is_the_bias(void **state)
{
    (void)state;
    vt_real x[8], w[8], b[8], y[8];
    for (int c = 0; c < 8; c++) x[c] = 3, w[c] = 2, b[c] = (vt_real)c;
    vt_layernorm_forward(y, VT_REAL, NULL, NULL, x, w, b, (vt_real)1e-6, 1, 8);
    assert_memory_equal(y, b, sizeof b);
}

// ---- exponential, normal distribution, GELU ----

static double ulps(vt_real got, double expected)
{
    double spacing = fmax(fabs(expected) * vt_epsilon(), FLT_MIN);
    return fabs((double)got - expected) / spacing;
}

static void exp_is_exact_to_two_ulps(void **state)
{
    (void)state;
    double worst = 0;
    for (double x = -87.2; x < 88.7; x += 1.37e-4) {
        vt_real rounded = (vt_real)x;
        worst = fmax(worst, ulps(vt_exp(rounded), exp((double)rounded)));
    }
    VT_ASSERT_BELOW(worst, 2, "exp, in ulps");
    assert_true(vt_exp(0) == 1);
    assert_true(vt_exp(-INFINITY) == 0);
    assert_true(vt_exp((vt_real)-1e30) == 0);
    assert_true(vt_exp(INFINITY) == INFINITY);
    assert_true(vt_exp((vt_real)1e30) == INFINITY);
    assert_true(isnan(vt_exp(NAN)));
}

static void gelu_matches_erf(void **state)
{
    (void)state;
    double cdf = 0, density = 0, value = 0, slope = 0;
    for (double at_x = -14; at_x < 14; at_x += 1.9e-4) {
        vt_real x = (vt_real)at_x, one = 1, y, dx, phi;
        vt_real Phi = vt_normal_cdf(x, &phi);
        double exact = 0.5 * erfc(-(double)x * sqrt(0.5));
        double exact_phi = exp(-0.5 * x * x) / sqrt(2 * acos(-1));
        vt_gelu_forward(&y, &x, VT_REAL, 1);
        vt_gelu_backward(&dx, NULL, &one, &x, VT_REAL, 1);
        cdf = fmax(cdf, fabs((double)Phi - exact));
        density = fmax(density, fabs((double)phi - exact_phi));
        value = fmax(value, fabs((double)y - x * exact) / fmax(1, fabs((double)x)));
        slope = fmax(slope, fabs((double)dx - (exact + x * exact_phi)));
    }
    // Values of 1: one rounding, and the few that led to it.
    VT_ASSERT_BELOW(cdf, 1.5 * vt_epsilon(), "Phi");
    VT_ASSERT_BELOW(density, 2 * vt_epsilon(), "phi");
    VT_ASSERT_BELOW(value, 2 * vt_epsilon(), "gelu");
    VT_ASSERT_BELOW(slope, 4 * vt_epsilon(), "gelu's derivative");
}

static void gelu_of_large_values(void **state)
{
    (void)state;
    vt_real x[] = {0, 50, (vt_real)1e30, -50, (vt_real)-1e30, INFINITY, NAN}, y[7];
    vt_gelu_forward(y, x, VT_REAL, 7);
    for (int i = 0; i < 3; i++) assert_true(y[i] == x[i]);
    for (int i = 3; i < 5; i++) assert_true(y[i] == 0);
    assert_true(y[5] == INFINITY);
    assert_true(isnan(y[6]));
    vt_gelu_forward(x, x, VT_REAL, 5); // in place
    assert_memory_equal(x, y, 5 * sizeof *x);
}

// Rounded, GELU is right to the last bit or nearly so: its own error is below 2^-13. Every number
// of bf16 that is not 0 to the processor.
static void gelu_of_every_bf16(void **state)
{
    (void)state;
#ifndef VT_DOUBLE
    enum { PATTERNS = 1 << 16 };
    static vt_bf16 x[PATTERNS], y[PATTERNS], again[PATTERNS], dx[PATTERNS];
    double value = 0, slope = 0, far = 0;
    for (int i = 0; i < PATTERNS; i++) x[i] = (vt_bf16)i, dx[i] = vt_bf16_of(1);
    vt_gelu_forward(y, x, VT_BFLOAT, PATTERNS - 1); // what is no whole vector, too
    vt_gelu_backward(dx, again, dx, x, VT_BFLOAT, PATTERNS - 1);
    assert_memory_equal(y, again, (PATTERNS - 1) * sizeof *y);
    assert_true(y[PATTERNS - 1] == 0);
    for (int i = 0; i < PATTERNS - 1; i++) {
        const double at = (double)vt_bf16_value(x[i]), got = (double)vt_bf16_value(y[i]),
                     got_slope = (double)vt_bf16_value(dx[i]);
        if (isnan(at)) assert_true(isnan(got) && isnan(got_slope));
        if (!isfinite(at) || fabs(at) < 1e-30) continue;
        const double cdf = 0.5 * erfc(-at * sqrt(0.5)), exact = at * cdf,
                     exact_slope = cdf + at * exp(-0.5 * at * at) / sqrt(2 * acos(-1));
        if (at < -6)
            far = fmax(far, fabs(got - exact));
        else
            value = fmax(value, fabs(got - exact) / fabs(exact));
        slope = fmax(slope, fabs(got_slope - exact_slope) - fabs(exact_slope) / 256);
    }
    VT_ASSERT_BELOW(value, 0x1p-8 + 0x1p-13, "gelu of bf16, relatively");
    VT_ASSERT_BELOW(far, 7e-9, "gelu of bf16 below -6");
    VT_ASSERT_BELOW(slope, 0x1p-14, "gelu's derivative of bf16, beyond its rounding");
#endif
}

// ---- softmax ----

static void softmax_rows_expected(vt_real *out, const vt_real *x, const vt_real *bias, int M, int n)
{
    for (int m = 0; m < M; m++) {
        double most = -INFINITY, sum = 0, z[64];
        for (int i = 0; i < n; i++) {
            z[i] = (double)x[m * n + i] + (bias ? (double)bias[m * n + i] : 0);
            most = fmax(most, z[i]);
        }
        for (int i = 0; i < n; i++) sum += exp(z[i] - most);
        for (int i = 0; i < n; i++) out[m * n + i] = (vt_real)(exp(z[i] - most) / sum);
    }
}

static void softmax_matches_loops(void **state)
{
    (void)state;
    enum { M = 5, N = 37 };
    vt_real x[M * N], bias[M * N], expected[M * N];
    for (int biased = 0; biased < 2; biased++) {
        vt_fill_normal(x, COUNT(x), 4, 1);
        vt_fill_normal(bias, COUNT(bias), 4, 2);
        for (int m = 0; m < M; m++) bias[m * N + m] = -INFINITY;
        softmax_rows_expected(expected, x, biased ? bias : NULL, M, N);
        vt_softmax_rows(x, biased ? bias : NULL, M, N);
        assert_close(x, expected, COUNT(x), "softmax");
        for (int m = 0; m < M && biased; m++) assert_true(x[m * N + m] == 0);
    }
}

static void softmax_of_large_values(void **state)
{
    (void)state;
    vt_real x[] = {(vt_real)1e30, 0, (vt_real)-1e30, 30000, 30000, 29000, -500, -INFINITY, -500};
    const vt_real expected[] = {1, 0,           0, (vt_real)0.5, (vt_real)0.5, 0, (vt_real)0.5,
                                0, (vt_real)0.5};
    vt_softmax_rows(x, NULL, 3, 3);
    assert_memory_equal(x, expected, sizeof expected);
    vt_real one = -7;
    vt_softmax_rows(&one, NULL, 1, 1);
    assert_true(one == 1);
    vt_real bad[] = {1, NAN, 2}; // what is not finite must not vanish
    vt_softmax_rows(bad, NULL, 1, 3);
    for (int i = 0; i < 3; i++) assert_true(isnan(bad[i]));
}

// ---- attention ----

enum { AT = 10, AH = 3, AD = 5, AC = AH * AD, ATT = AH * AT * AT };

typedef struct attention_case {
    vt_real qkv[AT * 3 * AC], bias[ATT], mask[AT * AT], y[AT * AC], maps[ATT];
} attention_case;

static void attention_expected(attention_case *out, const attention_case *in, bool biased,
                               bool masked)
{
    for (int h = 0; h < AH; h++)
        for (int i = 0; i < AT; i++) {
            vt_real row[AT], *map = out->maps + (h * AT + i) * AT;
            for (int j = 0; j < AT; j++) {
                double score = 0;
                for (int d = 0; d < AD; d++)
                    score += (double)in->qkv[i * 3 * AC + h * AD + d] *
                             in->qkv[j * 3 * AC + AC + h * AD + d];
                score /= sqrt(AD);
                if (biased) score += in->bias[(h * AT + i) * AT + j];
                if (masked) score += in->mask[i * AT + j];
                row[j] = (vt_real)score;
            }
            softmax_rows_expected(map, row, NULL, 1, AT);
            for (int d = 0; d < AD; d++) {
                double sum = 0;
                for (int j = 0; j < AT; j++)
                    sum += (double)map[j] * in->qkv[j * 3 * AC + 2 * AC + h * AD + d];
                out->y[i * AC + h * AD + d] = (vt_real)sum;
            }
        }
}

static void attention_matches_loops(void **state)
{
    (void)state;
    attention_case in, expected;
    vt_fill_normal(in.qkv, COUNT(in.qkv), 1, 1);
    vt_fill_normal(in.bias, COUNT(in.bias), 1, 2);
    vt_fill_normal(in.mask, COUNT(in.mask), 1, 3);
    for (int i = 0; i < AT; i++) in.mask[i * AT + (i + 3) % AT] = -INFINITY;
    for (int k = 0; k < 4; k++) {
        vt_attention attention = {.T = AT,
                                  .H = AH,
                                  .D = AD,
                                  .bias = k & 1 ? in.bias : NULL,
                                  .mask = k & 2 ? in.mask : NULL};
        attention_expected(&expected, &in, k & 1, k & 2);
        vt_dense_attention_forward(in.y, in.maps, in.qkv, attention);
        assert_close(in.maps, expected.maps, ATT, "maps");
        assert_close(in.y, expected.y, AT * AC, "y");
        for (int i = 0; i < AT && k & 2; i++) assert_true(in.maps[i * AT + (i + 3) % AT] == 0);
    }
}

// Maps are kept as they are before dropout, and y is made from those after it.
static void attention_dropout(void **state)
{
    (void)state;
    attention_case in, dropped;
    vt_real kept[ATT];
    vt_fill_normal(in.qkv, COUNT(in.qkv), 1, 1);
    vt_attention attention = {.T = AT, .H = AH, .D = AD};
    vt_dense_attention_forward(in.y, in.maps, in.qkv, attention);
    vt_dropout drop = {.p = 0.5, .seed = 3, .stream = VT_STREAM_DROPOUT, .step = 1, .sample = 4};
    attention.drop = &drop;
    vt_dense_attention_forward(dropped.y, dropped.maps, in.qkv, attention);
    assert_memory_equal(dropped.maps, in.maps, sizeof in.maps);
    vt_dropout_apply(kept, in.maps, VT_REAL, &drop, 0, ATT);
    for (int i = 0; i < AT; i++)
        for (int c = 0; c < AC; c++) {
            double sum = 0;
            for (int j = 0; j < AT; j++)
                sum += (double)kept[(c / AD * AT + i) * AT + j] * in.qkv[j * 3 * AC + 2 * AC + c];
            in.y[i * AC + c] = (vt_real)sum;
        }
    assert_close(dropped.y, in.y, AT * AC, "y");
}

static void attention_of_one_token_is_its_value(void **state)
{
    (void)state;
    vt_real qkv[6] = {1, 2, 3, 4, 5, 6}, y[2], maps[2];
    vt_attention attention = {.T = 1, .H = 2, .D = 1};
    vt_dense_attention_forward(y, maps, qkv, attention);
    assert_true(maps[0] == 1 && maps[1] == 1 && y[0] == 5 && y[1] == 6);
}

// With fewer queries: the first rows of what all get.
static void attention_of_some_queries(void **state)
{
    (void)state;
    attention_case all, some;
    vt_fill_normal(all.qkv, COUNT(all.qkv), 1, 1);
    vt_dense_attention_forward(all.y, all.maps, all.qkv, (vt_attention){.T = AT, .H = AH, .D = AD});
    for (int R = 1; R < AT; R++) {
        const vt_attention attention = {.T = AT, .R = R, .H = AH, .D = AD};
        vt_dense_attention_forward(some.y, some.maps, all.qkv, attention);
        assert_close(some.y, all.y, (size_t)R * AC, "y");
        for (int h = 0; h < AH; h++)
            assert_close(some.maps + h * R * AT, all.maps + h * AT * AT, (size_t)R * AT, "maps");
    }
}

// Keys that are their own values: the gradient is one sum.
static void attention_of_shared_keys(void **state)
{
    (void)state;
    enum { QKV = 3 * AC };
    static vt_real apart[AT * QKV], dapart[AT * QKV], together[AT * AC], maps[AH * AT * 16],
        y[AT * AC], dy[AT * AC];
    vt_real both[AC];
    const vt_attention attention = {
        .T = AT, .R = AT, .H = AH, .D = AD, .scale = 0.3f, .ldq = QKV, .ldkv = QKV};
    void *scratch = vt_alloc(vt_attention_scratch_bytes(&attention), 1);
    assert_non_null(scratch);
    assert_true(vt_map_ld(AT) == 16);
    vt_fill_normal(apart, COUNT(apart), 1, 1);
    vt_fill_normal(dy, COUNT(dy), 1, 2);
    for (int t = 0; t < AT; t++)
        memcpy(apart + t * QKV + 2 * AC, apart + t * QKV + AC, sizeof *y * AC);
    vt_attention_forward(y, maps, apart, apart + AC, apart + 2 * AC, scratch, &attention);
    vt_attention_backward(dapart, dapart + AC, dapart + 2 * AC, NULL, dy, apart, apart + AC,
                          apart + 2 * AC, maps, scratch, &attention);
    vt_attention shared = attention;
    shared.ldkv = AC;
    for (int t = 0; t < AT; t++) memcpy(together + t * AC, apart + t * QKV + AC, sizeof *y * AC);
    vt_real *sum = y; // AT rows again
    vt_attention_backward(dapart, sum, sum, NULL, dy, apart, together, together, maps, scratch,
                          &shared);
    for (int t = 0; t < AT; t++) {
        memcpy(both, dapart + t * QKV + AC, sizeof both);
        vt_add(both, dapart + t * QKV + 2 * AC, AC);
        assert_close(sum + t * AC, both, AC, "dk + dv");
    }
    free(scratch);
}

// ---- heads of a linear layer ----

static void heads_match_linear_layers(void **state)
{
    (void)state;
    enum { HM = 3, HH = 2, HD = 5, HC = 150, NARROW = HM * HH * HD, WIDE = HM * HH * HC };
    static vt_real w[HH * HD * HC], b[HH * HD], narrow[NARROW], wide[WIDE], got[WIDE], kept[WIDE],
        expected[WIDE], dw[COUNT(w)], dw_expected[COUNT(w)], db[COUNT(b)], db_expected[COUNT(b)];
    vt_fill_normal(w, COUNT(w), 1, 1);
    vt_fill_normal(b, COUNT(b), 1, 2);
    vt_fill_normal(narrow, NARROW, 1, 3);
    vt_fill_normal(wide, WIDE, 1, 4);
    vt_fill_normal(dw, COUNT(dw), 1, 5);
    vt_fill_normal(db, COUNT(db), 1, 6);
    memcpy(dw_expected, dw, sizeof dw);
    memcpy(db_expected, db, sizeof db);
    for (int m = 0; m < HM; m++)
        for (int h = 0; h < HH; h++) {
            const int i = m * HH + h;
            vt_linear_backward_input(expected + i * HC, narrow + i * HD, w + h * HD * HC, 1, HC,
                                     HD);
            vt_linear_backward_weight(dw_expected + h * HD * HC, db_expected + h * HD,
                                      narrow + i * HD, wide + i * HC, HC, 0, HD, 1, HC, HD);
        }
    vt_heads_widen(got, kept, narrow, VT_REAL, w, HM, HH, HD, HC);
    assert_close(got, expected, WIDE, "wide");
    assert_memory_equal(kept, narrow, sizeof narrow);
    for (int i = 0; i < HM * HH; i++)
        vt_linear_forward(expected + i * HD, wide + i * HC, w + i % HH * HD * HC, b + i % HH * HD,
                          1, HC, HD);
    vt_heads_narrow(got, kept, wide, VT_REAL, w, b, HM, HH, HD, HC);
    assert_close(got, expected, NARROW, "narrow");
    assert_memory_equal(kept, wide, sizeof wide);
    for (int h = 0; h < HH; h++)
        vt_linear_backward_weight(dw, db, narrow, wide + h * HC, HH * HC, h * HD, HD, HM, HC,
                                  HH * HD);
    assert_close(dw, dw_expected, COUNT(dw), "dw");
    assert_close(db, db_expected, COUNT(db), "db");
}

// An op is a function of its arguments: many threads at once give the bits that one gives.
static void threads_do_not_change_bits(void **state)
{
    (void)state;
    enum { IMAGES = 12 };
    static attention_case one[IMAGES], many[IMAGES];
    const vt_attention attention = {.T = AT, .H = AH, .D = AD};
    for (int pass = 0; pass < 2; pass++) {
        attention_case *cases = pass ? many : one;
        vt_threads_set(pass ? 4 : 1);
#pragma omp parallel for schedule(static)
        for (int i = 0; i < IMAGES; i++) {
            vt_fill_normal(cases[i].qkv, COUNT(cases[i].qkv), 1, (uint32_t)i);
            vt_dense_attention_forward(cases[i].y, cases[i].maps, cases[i].qkv, attention);
            vt_gelu_forward(cases[i].y, cases[i].y, VT_REAL, COUNT(cases[i].y));
        }
    }
    vt_threads_set(0);
    assert_memory_equal(many, one, sizeof one);
}

// ---- dropout ----

enum { DN = 40000 };

static const vt_dropout DROP = {
    .p = 0.3, .seed = 9, .stream = VT_STREAM_DROPOUT + 2, .step = 5, .sample = 1};

static void dropout_keeps_the_right_share(void **state)
{
    (void)state;
    static vt_real y[DN];
    int kept = 0;
    for (int i = 0; i < DN; i++) y[i] = 2;
    vt_dropout_apply(y, y, VT_REAL, &DROP, 0, DN);
    for (int i = 0; i < DN; i++) {
        kept += y[i] != 0;
        assert_true(y[i] == 0 || y[i] == 2 * (vt_real)(1 / 0.7));
    }
    double deviation = sqrt(DN * 0.3 * 0.7);
    assert_true(fabs(kept - 0.7 * DN) < 5 * deviation); // one run in two million fails
}

// Any part of a mask is the same as that part of the whole.
static void dropout_mask_does_not_depend_on_where_one_begins(void **state)
{
    (void)state;
    vt_real ones[64], whole[64], part[64];
    for (int i = 0; i < 64; i++) ones[i] = 1;
    vt_dropout_apply(whole, ones, VT_REAL, &DROP, 0, 64);
    for (size_t from = 0; from < 64; from++) {
        vt_dropout_apply(part, ones, VT_REAL, &DROP, from, 64 - from);
        assert_memory_equal(part, whole + from, (64 - from) * sizeof *whole);
    }
}

static void dropout_mask_depends_on_every_part_of_its_key(void **state)
{
    (void)state;
    vt_real ones[256], y[256], other[256];
    vt_dropout drops[4] = {DROP, DROP, DROP, DROP};
    drops[0].seed++, drops[1].stream++, drops[2].step++, drops[3].sample++;
    for (int i = 0; i < 256; i++) ones[i] = 1;
    vt_dropout_apply(y, ones, VT_REAL, &DROP, 0, 256);
    for (int k = 0; k < 4; k++) {
        int same = 0;
        vt_dropout_apply(other, ones, VT_REAL, &drops[k], 0, 256);
        for (int i = 0; i < 256; i++) same += y[i] == other[i];
        assert_true(abs(same - 148) < 60); // 0.58 of 256 if independent, give or take 8
    }
}

static void dropout_of_nothing_changes_nothing(void **state)
{
    (void)state;
    vt_real x[33], y[33];
    vt_dropout drop = DROP;
    drop.p = 0;
    vt_fill_normal(x, 33, 1, 1);
    vt_dropout_apply(y, x, VT_REAL, &drop, 0, 33);
    assert_memory_equal(y, x, sizeof x);
}

static void drop_path_keeps_the_right_share(void **state)
{
    (void)state;
    int kept = 0;
    for (uint32_t sample = 0; sample < 100; sample++)
        for (uint32_t branch = 0; branch < 100; branch++) {
            vt_real scale = vt_drop_path_scale(0.2, 1, 2, sample, branch);
            assert_true(scale == 0 || scale == (vt_real)(1 / 0.8));
            assert_true(scale == vt_drop_path_scale(0.2, 1, 2, sample, branch));
            assert_true(vt_drop_path_scale(0, 1, 2, sample, branch) == 1);
            kept += scale != 0;
        }
    assert_true(abs(kept - 8000) < 5 * 40);
}

// ---- patches, loss, sums ----

static void patch_rows_are_in_the_order_of_conv2d(void **state)
{
    (void)state;
    const vt_patch_grid grid = {.channels = 2, .height = 6, .width = 9, .patch = 3};
    vt_real image[2 * 6 * 9], rows[2 * 6 * 9];
    for (int i = 0; i < 108; i++) image[i] = (vt_real)i;
    vt_patch_rows(rows, image, &grid);
    for (int n = 0; n < 6; n++)
        for (int c = 0; c < 2; c++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 3; x++) {
                    int expected = (c * 6 + n / 3 * 3 + y) * 9 + n % 3 * 3 + x;
                    assert_true(rows[((n * 2 + c) * 3 + y) * 3 + x] == expected);
                }
}

static void cross_entropy_matches_loops(void **state)
{
    (void)state;
    enum { B = 4, K = 10 };
    vt_real z[B * K], t[B * K], losses[B], d[B * K], loss_expected[B], d_expected[B * K];
    vt_fill_normal(z, COUNT(z), 3, 1);
    vt_fill_normal(t, COUNT(t), 1, 2);
    z[K] += 20000, z[K + 1] -= 20000; // no overflow
    for (int i = 0; i < B; i++) {
        double most = -INFINITY, sum = 0, weight = 0, loss = 0;
        for (int k = 0; k < K; k++) most = fmax(most, (double)z[i * K + k]);
        for (int k = 0; k < K; k++) {
            t[i * K + k] = (vt_real)fabs((double)t[i * K + k]);
            sum += exp(z[i * K + k] - most);
            weight += (double)t[i * K + k];
        }
        for (int k = 0; k < K; k++) {
            double log_p = z[i * K + k] - most - log(sum);
            loss -= t[i * K + k] * log_p;
            d_expected[i * K + k] = (vt_real)(0.25 * (exp(log_p) * weight - t[i * K + k]));
        }
        loss_expected[i] = (vt_real)loss;
    }
    vt_cross_entropy(losses, d, z, t, (vt_real)0.25, B, K);
    for (int i = 0; i < B; i++) assert_close(losses + i, loss_expected + i, 1, "loss");
    assert_close(d, d_expected, COUNT(d), "dlogits");
    vt_cross_entropy(losses, NULL, z, t, (vt_real)0.25, B, K);
    for (int i = 0; i < B; i++) assert_close(losses + i, loss_expected + i, 1, "loss alone");
}

static void binary_cross_entropy_matches_loops(void **state)
{
    (void)state;
    enum { B = 3, K = 7 };
    vt_real z[B * K], t[B * K], losses[B], d[B * K], loss_expected[B], d_expected[B * K];
    vt_fill_normal(z, COUNT(z), 3, 1);
    vt_fill_normal(t, COUNT(t), 1, 2);
    for (int i = 0; i < B; i++) {
        double sum = 0;
        for (int k = 0; k < K; k++) {
            const double p = 1 / (1 + exp(-z[i * K + k]));
            t[i * K + k] = (vt_real)fabs((double)t[i * K + k]);
            sum -= t[i * K + k] * log(p) + (1 - t[i * K + k]) * log(1 - p);
            d_expected[i * K + k] = (vt_real)(0.25 / K * (p - t[i * K + k]));
        }
        loss_expected[i] = (vt_real)(sum / K);
    }
    vt_binary_cross_entropy(losses, d, z, t, (vt_real)0.25, B, K);
    for (int i = 0; i < B; i++) assert_close(losses + i, loss_expected + i, 1, "loss");
    assert_close(d, d_expected, COUNT(d), "dlogits");
    vt_binary_cross_entropy(losses, NULL, z, t, (vt_real)0.25, B, K);
    for (int i = 0; i < B; i++) assert_close(losses + i, loss_expected + i, 1, "loss alone");
    vt_real far[2] = {20000, -20000}, target[2] = {0, 0}, loss, slope[2]; // no overflow
    vt_binary_cross_entropy(&loss, slope, far, target, 1, 1, 2);
    assert_true(loss == 10000 && slope[0] == (vt_real)0.5 && slope[1] == 0);
}

// A logit that is not finite must not give a finite loss.
static void cross_entropy_of_nan_is_nan(void **state)
{
    (void)state;
    for (int bad = 0; bad < 3; bad++) {
        vt_real z[3] = {1, 2, 3}, t[3] = {0, 1, 0}, loss, d[3];
        z[bad] = NAN;
        vt_cross_entropy(&loss, d, z, t, 1, 1, 3);
        assert_true(isnan(loss));
        vt_binary_cross_entropy(&loss, d, z, t, 1, 1, 3);
        assert_true(isnan(loss));
        vt_kl_divergence(&loss, d, z, t, 2, 1, 1, 3);
        assert_true(isnan(loss));
        vt_kl_divergence(&loss, d, t, z, 2, 1, 1, 3); // of the teacher
        assert_true(isnan(loss));
    }
}

static void sums(void **state)
{
    (void)state;
    vt_real y[5] = {1, 2, 3, 4, 5}, a[5] = {5, 4, 3, 2, 1}, out[5];
    vt_add(y, a, 5);
    vt_add_scaled(out, y, -3, a, 5);
    vt_add_scaled(a, a, 2, y, 5); // aliases
    for (int i = 0; i < 5; i++) {
        assert_true(y[i] == 6);
        assert_true(out[i] == 6 - 3 * (5 - i));
        assert_true(a[i] == 5 - i + 12);
    }
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_matches_loops),
        cmocka_unit_test(linear_matches_loops),
        cmocka_unit_test(linear_backward_matches_loops),
        cmocka_unit_test(layernorm_matches_loops),
        cmocka_unit_test(layernorm_of_a_constant_row_is_the_bias),
        cmocka_unit_test(exp_is_exact_to_two_ulps),
        cmocka_unit_test(gelu_matches_erf),
        cmocka_unit_test(gelu_of_large_values),
        cmocka_unit_test(gelu_of_every_bf16),
        cmocka_unit_test(softmax_matches_loops),
        cmocka_unit_test(softmax_of_large_values),
        cmocka_unit_test(attention_matches_loops),
        cmocka_unit_test(attention_dropout),
        cmocka_unit_test(attention_of_one_token_is_its_value),
        cmocka_unit_test(attention_of_some_queries),
        cmocka_unit_test(attention_of_shared_keys),
        cmocka_unit_test(heads_match_linear_layers),
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(dropout_keeps_the_right_share),
        cmocka_unit_test(dropout_mask_does_not_depend_on_where_one_begins),
        cmocka_unit_test(dropout_mask_depends_on_every_part_of_its_key),
        cmocka_unit_test(dropout_of_nothing_changes_nothing),
        cmocka_unit_test(drop_path_keeps_the_right_share),
        cmocka_unit_test(patch_rows_are_in_the_order_of_conv2d),
        cmocka_unit_test(cross_entropy_matches_loops),
        cmocka_unit_test(binary_cross_entropy_matches_loops),
        cmocka_unit_test(cross_entropy_of_nan_is_nan),
        cmocka_unit_test(sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
