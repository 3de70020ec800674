// RandAugment's policies and draws against timm 0.4.12's numbers, and the distribution of
// everything that is drawn (chance.h says with what confidence).
#include "vitrain/data/augment_rand.h"

#include "chance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DRAWS = 60000, MOST = 2 * DRAWS };

static const vt_filter bicubic[2] = {VT_FILTER_BICUBIC, VT_FILTER_BICUBIC};
static const vt_filter either[2] = {VT_FILTER_BILINEAR, VT_FILTER_BICUBIC};
static const char deit[] = "rand-m9-mstd0.5-inc1";

static vt_rand_augment parsed(const char *text)
{
    vt_rand_augment policy;
    if (vt_rand_augment_parse(&policy, text) != VT_OK) fail_msg("%s", vt_error_message());
    assert_string_equal(policy.policy, text);
    return policy;
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double m, mstd, p;
        int n;
        bool inc, w;
    } cases[] = {
        {"rand", 10, 0, 0.5, 2, false, false},
        {"rand-m9-mstd0.5-inc1", 9, 0.5, 0.5, 2, true, false},
        {"rand-inc1-mstd0.5-m9", 9, 0.5, 0.5, 2, true, false},
        {"rand-m7-n3-mstd1", 7, 1, 0.5, 3, false, false},
        {"rand-mstd1-w0", 10, 1, 0.5, 2, false, true},
        {"rand-m15-n0-p1", 15, 0, 1, 0, false, false},
        {"rand-n16-p0.25", 10, 0, 0.25, 16, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_rand_augment policy = parsed(cases[i].text);
        assert_true(policy.magnitude == cases[i].m && policy.deviation == cases[i].mstd);
        assert_true(policy.probability == cases[i].p && policy.operations == cases[i].n);
        assert_true(policy.increasing == cases[i].inc && policy.weighted == cases[i].w);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "unknown policy \"\""},
        {"original", "unknown policy \"original\""},
        {"randm9", "unknown policy \"randm9\""},
        {"augmix-m3", "unknown policy \"augmix\"; expected rand"},
        {"rand-", "unknown section \"\""},
        {"rand-m9-", "unknown section \"\""},
        {"rand-mmax20", "unknown section \"mmax20\"; expected m, n, mstd, inc, w or p"},
        {"rand-q1", "rand-q1: unknown section \"q1\""},
        {"rand-M9", "unknown section \"M9\""},
        {"rand-9", "unknown section \"9\""},
        {"rand-mstdinf", "unknown section \"mstdinf\""},
        {"rand-m", "m: expected an integer from 0 to 100, got \"\""},
        {"rand-m9.5", "m: expected an integer from 0 to 100, got \"9.5\""},
        {"rand-m101", "m: expected"},
        {"rand-m9x", "m: expected an integer from 0 to 100, got \"9x\""},
        {"rand-m9-m8", "m is given twice"},
        {"rand-n17", "n: expected an integer from 0 to 16"},
        {"rand-mstd0.5.1", "mstd: expected a number from 0 to 100, got \"0.5.1\""},
        {"rand-mstd1e3", "mstd: expected"},
        {"rand-inc0", "inc: expected 1 (leave it out for the plain operations), got \"0\""},
        {"rand-w1", "w: expected 0"},
        {"rand-p1.5", "p: expected a number from 0 to 1, got \"1.5\""},
        {"rand-m00000000000000000000000000000009", "m: expected"},
        {"rand-m9-mstd0.5-inc1-m9-mstd0.5-inc1-m9-mstd0.5-inc1-m9-mstd0.5-", "expected at most 63"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_rand_augment policy;
        if (vt_rand_augment_parse(&policy, cases[i][0]) != VT_ERR_CONFIG ||
            !strstr(vt_error_message(), cases[i][1]))
            fail_msg("%s: \"%s\"", cases[i][0], vt_error_message());
    }
}

// What timm's _*_level_to_arg say, but for signs: of the plain operations and the increasing ones.
static void test_arguments(void **state)
{
    (void)state;
    static const double magnitudes[] = {0, 3, 7, 9, 10};
    static const double expected[2][5][VT_RAND_OPS] = {
        {{0, 0, 0, 0, 0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0},
         {0, 0, 0, 9, 1, 76, 33, 0.64, 0.64, 0.64, 0.64, 0.09, 0.09, 0.135, 0.135},
         {0, 0, 0, 21, 2, 179, 77, 1.36, 1.36, 1.36, 1.36, 0.21, 0.21, 0.315, 0.315},
         {0, 0, 0, 27, 3, 230, 99, 1.72, 1.72, 1.72, 1.72, 0.27, 0.27, 0.405, 0.405},
         {0, 0, 0, 30, 4, 256, 110, 1.9, 1.9, 1.9, 1.9, 0.3, 0.3, 0.45, 0.45}},
        {{0, 0, 0, 0, 4, 256, 0, 1, 1, 1, 1, 0, 0, 0, 0},
         {0, 0, 0, 9, 3, 180, 33, 1.27, 1.27, 1.27, 1.27, 0.09, 0.09, 0.135, 0.135},
         {0, 0, 0, 21, 2, 77, 77, 1.63, 1.63, 1.63, 1.63, 0.21, 0.21, 0.315, 0.315},
         {0, 0, 0, 27, 1, 26, 99, 1.81, 1.81, 1.81, 1.81, 0.27, 0.27, 0.405, 0.405},
         {0, 0, 0, 30, 0, 0, 110, 1.9, 1.9, 1.9, 1.9, 0.3, 0.3, 0.45, 0.45}}};
    for (int k = 0; k < 10; k++) {
        const int increasing = k / 5, row = k % 5;
        char text[64];
        snprintf(text, sizeof text, "rand-m%g-n1-p1%s", magnitudes[row], increasing ? "-inc1" : "");
        vt_rand_augment policy = parsed(text);
        int seen[VT_RAND_OPS] = {0};
        for (uint32_t i = 0; i < 1000; i++) {
            vt_rng rng = vt_rng_at(4, VT_STREAM_AUGMENT, 0, i);
            vt_op_call call;
            assert_int_equal(vt_rand_augment_draw(&call, &policy, bicubic, &rng), 1);
            double v = call.argument, one = expected[increasing][row][call.op];
            bool factor = call.op >= VT_OP_COLOR && call.op <= VT_OP_SHARPNESS;
            if (increasing && factor)
                v = 1 + fabs(v - 1);
            else
                v = fabs(v);
            if (fabs(v - one) > 1e-12)
                fail_msg("%s: %s: %.17g, expected %.17g", text, vt_image_op_names[call.op], v, one);
            seen[call.op]++;
        }
        for (int op = 0; op < VT_RAND_OPS; op++) assert_true(seen[op] > 20);
    }
}

// The magnitude that a call was made with where it can be told, its sign dropped.
static double magnitude_of(const vt_op_call *call)
{
    switch (call->op) {
    case VT_OP_ROTATE: return fabs(call->argument) / 3;
    case VT_OP_COLOR:
    case VT_OP_CONTRAST:
    case VT_OP_BRIGHTNESS:
    case VT_OP_SHARPNESS: return fabs(call->argument - 1) / 0.09;
    case VT_OP_SHEAR_X:
    case VT_OP_SHEAR_Y: return fabs(call->argument) / 0.03;
    case VT_OP_TRANSLATE_X:
    case VT_OP_TRANSLATE_Y: return fabs(call->argument) / 0.045;
    default: return -1;
    }
}

// A normal distribution of mean c[0] and deviation c[1] below a bound that it has the share c[2]
// below.
static double cut_normal(double v, const double *c)
{
    return chance_normal(v, c) / c[2];
}

// DeiT's policy: how many operations, which, their magnitudes and signs.
static void test_deit(void **state)
{
    (void)state;
    const vt_rand_augment policy = parsed(deit);
    const double moments[2] = {9, 0.5}, lengths[3] = {1, 2, 1};
    double *magnitudes = calloc(MOST, sizeof *magnitudes);
    long counts[VT_RAND_OPS] = {0}, calls_of[3] = {0}, same = 0, negative = 0, signed_ones = 0;
    long top = 0, kept = 0;
    assert_non_null(magnitudes);
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(11, VT_STREAM_AUGMENT, 3, i);
        vt_op_call calls[VT_MOST_OP_CALLS];
        int n = vt_rand_augment_draw(calls, &policy, bicubic, &rng);
        assert_in_range(n, 0, 2);
        calls_of[n]++;
        same += n == 2 && calls[0].op == calls[1].op;
        for (int k = 0; k < n; k++) {
            counts[calls[k].op]++;
            assert_int_equal(calls[k].filter, VT_FILTER_BICUBIC);
            double m = magnitude_of(&calls[k]);
            if (m < 0) continue;
            bool factor = calls[k].op >= VT_OP_COLOR && calls[k].op <= VT_OP_SHARPNESS;
            negative += calls[k].argument < factor;
            signed_ones++;
            if (m > 10 - 1e-9)
                top++;
            else
                magnitudes[kept++] = m;
        }
    }
    chance_counts(calls_of, lengths, 3, "operations applied");
    chance_counts(counts, NULL, VT_RAND_OPS, "which operation");
    chance_share(same, calls_of[2], 1.0 / VT_RAND_OPS, "the same one twice");
    chance_share(negative, signed_ones, 0.5, "negative arguments");
    chance_share(top, signed_ones, 1 - chance_normal(10, moments), "magnitudes cut at 10");
    const double below = chance_normal(10, moments), context[3] = {9, 0.5, below};
    chance_cdf(magnitudes, (size_t)kept, cut_normal, context, "magnitudes");
    free(magnitudes);
}

// Without replacement, in proportion to the weights of those that are left.
static void test_weighted(void **state)
{
    (void)state;
    static const double weights[VT_RAND_OPS] = {0.025, 0.005, 0,     0.3, 0,   0.005, 0.005, 0.025,
                                                0.005, 0.005, 0.025, 0.2, 0.2, 0.1,   0.1};
    const vt_rand_augment policy = parsed("rand-m9-w0-p1");
    long first[VT_RAND_OPS] = {0}, second[VT_RAND_OPS] = {0};
    double then[VT_RAND_OPS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(12, VT_STREAM_AUGMENT, 0, i);
        vt_op_call calls[VT_MOST_OP_CALLS];
        assert_int_equal(vt_rand_augment_draw(calls, &policy, bicubic, &rng), 2);
        assert_int_not_equal(calls[0].op, calls[1].op);
        first[calls[0].op]++;
        second[calls[1].op]++;
    }
    for (int i = 0; i < VT_RAND_OPS; i++)
        for (int j = 0; j < VT_RAND_OPS; j++)
            if (i != j) then[j] += weights[i] * weights[j] / (1 - weights[i]);
    chance_counts(first, weights, VT_RAND_OPS, "first, weighted");
    chance_counts(second, then, VT_RAND_OPS, "second, weighted");
}

// All that have a weight, each once.
static void test_weighted_to_the_end(void **state)
{
    (void)state;
    const vt_rand_augment policy = parsed("rand-n13-w0-p1");
    vt_rng rng = vt_rng_at(1, VT_STREAM_AUGMENT, 0, 0);
    vt_op_call calls[VT_MOST_OP_CALLS];
    int seen[VT_RAND_OPS] = {0};
    assert_int_equal(vt_rand_augment_draw(calls, &policy, bicubic, &rng), 13);
    for (int i = 0; i < 13; i++) seen[calls[i].op]++;
    for (int op = 0; op < VT_RAND_OPS; op++)
        assert_int_equal(seen[op], op != VT_OP_POSTERIZE && op != VT_OP_INVERT);
    vt_rand_augment more;
    assert_int_equal(vt_rand_augment_parse(&more, "rand-n14-w0"), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "rand-n14-w0: n: expected at most 13 with w0"));
}

static void test_probability_and_filter(void **state)
{
    (void)state;
    const vt_rand_augment policy = parsed("rand-n4-p0.3");
    long applied = 0, moved = 0, cubic = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(13, VT_STREAM_AUGMENT, 0, i);
        vt_op_call calls[VT_MOST_OP_CALLS];
        int n = vt_rand_augment_draw(calls, &policy, either, &rng);
        applied += n;
        for (int k = 0; k < n; k++) {
            if (calls[k].op != VT_OP_ROTATE && calls[k].op < VT_OP_SHEAR_X) continue;
            moved++;
            cubic += calls[k].filter == VT_FILTER_BICUBIC;
        }
    }
    chance_share(applied, 4L * DRAWS, 0.3, "p0.3");
    chance_share(cubic, moved, 0.5, "random filter");
}

enum { ORDERS = 24, CODES = 256 }; // of four; four digits of two bits

static void test_color_jitter(void **state)
{
    (void)state;
    static const vt_image_op ops[VT_JITTERS] = {VT_OP_BRIGHTNESS, VT_OP_CONTRAST, VT_OP_COLOR,
                                                VT_OP_HUE};
    static const double strength[VT_JITTERS] = {0.4, 0.3, 1.5, 0.1};
    static const double bounds[VT_JITTERS][2] = {{0.6, 1.4}, {0.7, 1.3}, {0, 2.5}, {-0.1, 0.1}};
    long orders[CODES] = {0}, permutations[ORDERS], n = 0;
    double *factors[VT_JITTERS];
    for (int k = 0; k < VT_JITTERS; k++) factors[k] = calloc(DRAWS, sizeof **factors);
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(14, VT_STREAM_AUGMENT, 0, i);
        vt_op_call calls[VT_MOST_OP_CALLS];
        int code = 0;
        assert_int_equal(vt_color_jitter_draw(calls, strength, &rng), VT_JITTERS);
        for (int k = 0; k < VT_JITTERS; k++) {
            int which = 0;
            while (ops[which] != calls[k].op) which++;
            code = VT_JITTERS * code + which;
            factors[which][i] = calls[k].argument;
        }
        orders[code]++;
    }
    for (int code = 0; code < CODES; code++)
        if (orders[code]) permutations[n < ORDERS ? n : ORDERS - 1] = orders[code], n++;
    assert_int_equal(n, ORDERS);
    chance_counts(permutations, NULL, ORDERS, "order of colour jitter");
    for (int k = 0; k < VT_JITTERS; k++) {
        chance_cdf(factors[k], DRAWS, chance_uniform, bounds[k], vt_image_op_names[ops[k]]);
        free(factors[k]);
    }
}

// What has no strength is left out, as in torchvision; a factor does not fall below 0.
static void test_color_jitter_in_part(void **state)
{
    (void)state;
    static const double none[VT_JITTERS] = {0}, strong[VT_JITTERS] = {2, 2, 2, 0},
                        two[VT_JITTERS] = {0, 0.2, 0, 0.5};
    vt_op_call calls[VT_MOST_OP_CALLS];
    vt_rng rng = vt_rng_at(15, VT_STREAM_AUGMENT, 0, 0);
    assert_int_equal(vt_color_jitter_draw(calls, none, &rng), 0);
    long hue_first = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(vt_color_jitter_draw(calls, strong, &rng), 3);
        assert_true(calls[0].argument >= 0 && calls[0].argument < 3);
        assert_int_equal(vt_color_jitter_draw(calls, two, &rng), 2);
        const bool first = calls[0].op == VT_OP_HUE;
        assert_int_equal(calls[first ? 0 : 1].op, VT_OP_HUE);
        assert_int_equal(calls[first ? 1 : 0].op, VT_OP_CONTRAST);
        hue_first += first;
    }
    chance_share(hue_first, 1000, 0.5, "hue before contrast");
}

static void test_three_augment(void **state)
{
    (void)state;
    static const vt_image_op ops[3] = {VT_OP_COLOR, VT_OP_SOLARIZE, VT_OP_GAUSSIAN_BLUR};
    long counts[3] = {0};
    double *radii = calloc(DRAWS, sizeof *radii), bounds[2] = {0.1, 2};
    size_t blurred = 0;
    assert_non_null(radii);
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(16, VT_STREAM_AUGMENT, 0, i);
        const vt_op_call call = vt_three_augment_draw(&rng);
        int which = 0;
        while (which < 2 && ops[which] != call.op) which++;
        assert_int_equal(call.op, ops[which]);
        counts[which]++;
        if (which == 0) assert_true(call.argument == 0);
        if (which == 1) assert_true(call.argument == 128);
        if (which == 2) radii[blurred++] = call.argument;
    }
    chance_counts(counts, NULL, 3, "one of the three");
    chance_cdf(radii, blurred, chance_uniform, bounds, "the blur's radius");
    free(radii);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_deit),
        cmocka_unit_test(test_weighted),
        cmocka_unit_test(test_weighted_to_the_end),
        cmocka_unit_test(test_probability_and_filter),
        cmocka_unit_test(test_color_jitter),
        cmocka_unit_test(test_three_augment),
        cmocka_unit_test(test_color_jitter_in_part),
    };
    return cmocka_run_group_tests_name("augment_rand", tests, NULL, NULL);
}
