// The learning rate against figures worked out by hand from timm's CosineLRScheduler.
#include "vitrain/train/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// DeiT's recipe: 5e-4 x 1024 / 512 = 1e-3 after 5 epochs from 1e-6, cosine over 300 epochs to 1e-5.
static vt_config recipe(vt_schedule_compat compat)
{
    static char cosine[] = "cosine";
    vt_config config = {0};
    config.optim.lr = 5e-4;
    config.optim.lr_base_batch = 512;
    config.schedule = (vt_schedule_config){cosine, 5, 1e-6, 1e-5, compat};
    config.train.epochs = 300;
    config.train.batch_size = 128;
    config.train.accumulate = 8;
    return config;
}

// A few operations in double: 1e-12 relative.
static void assert_rate(double got, double expected)
{
    if (fabs(got - expected) > 1e-12 * fabs(expected))
        fail_msg("expected %.15g, got %.15g", expected, got);
}

static void test_peak(void **state)
{
    (void)state;
    vt_config config = recipe(VT_SCHEDULE_EXACT);
    assert_rate(vt_schedule_peak_lr(&config), 1e-3);
    config.optim.lr_base_batch = 0;
    assert_rate(vt_schedule_peak_lr(&config), 5e-4);
}

static void test_deit(void **state)
{
    (void)state;
    vt_config config = recipe(VT_SCHEDULE_DEIT);
    // Rate of each epoch: the scheduler was stepped with the epoch before, the first one not at
    // all.
    static const struct {
        int64_t epoch;
        double lr;
    } expected[] = {
        {0, 1e-6},       {1, 1e-6}, // f(0)
        {2, 2.008e-4},              // f(1) = 1e-6 + 9.99e-4 / 5
        {5, 8.002e-4},              // f(4), the warm-up's last
        {151, 5.05e-4},             // f(150): half way, (1e-3 + 1e-5) / 2
        {101, 7.525e-4},            // f(100): cos(pi/3) = 1/2, 1e-5 + 9.9e-4 x 3/4
        {201, 2.575e-4},            // f(200): cos(2pi/3) = -1/2, 1e-5 + 9.9e-4 / 4
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_rate(vt_schedule_lr(&config, expected[i].epoch * 7, 7), expected[i].lr);
        assert_rate(vt_schedule_lr(&config, expected[i].epoch * 7 + 6, 7), expected[i].lr);
    }
    // f(5): the cosine has run since epoch 0.
    assert_rate(vt_schedule_lr(&config, 6 * 7, 7), 1e-5 + 9.9e-4 * (1 + cos(acos(-1) / 60)) / 2);
}

static void test_exact(void **state)
{
    (void)state;
    vt_config config = recipe(VT_SCHEDULE_EXACT);
    assert_rate(vt_schedule_lr(&config, 0, 10), 1e-6);
    assert_rate(vt_schedule_lr(&config, 25, 10), 5.005e-4); // t = 2.5: half of the warm-up
    assert_rate(vt_schedule_lr(&config, 1000, 10), 7.525e-4);
    assert_rate(vt_schedule_lr(&config, 1500, 10), 5.05e-4);
    double last = vt_schedule_lr(&config, 2999, 10); // t = 299.9
    assert_true(last > 1e-5 && last < 1.001e-5);
    config.schedule.warmup_epochs = 0;
    assert_rate(vt_schedule_lr(&config, 0, 10), 1e-3);
}

// Rates of whole runs (scripts/golden_schedule.py). deit: an epoch's first and last step.
static void check_case(FILE *file, const char *compat, const double numbers[5], int64_t steps)
{
    vt_config config = recipe(strcmp(compat, "deit") == 0 ? VT_SCHEDULE_DEIT : VT_SCHEDULE_EXACT);
    config.train.epochs = (int)numbers[0];
    config.schedule.warmup_epochs = numbers[1];
    config.optim.lr = numbers[2];
    config.optim.lr_base_batch = 0;
    config.schedule.warmup_lr = numbers[3];
    config.schedule.min_lr = numbers[4];
    const int64_t all = config.train.epochs * steps;
    const int64_t stride = config.schedule.compat == VT_SCHEDULE_DEIT ? steps : 1;
    for (int64_t step = 0; step < all; step += stride) {
        double expected;
        assert_int_equal(fscanf(file, "%lf", &expected), 1);
        assert_rate(vt_schedule_lr(&config, step, steps), expected);
        assert_rate(vt_schedule_lr(&config, step + stride - 1, steps), expected);
    }
}

static void test_whole_runs(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/schedule.txt", "r");
    assert_non_null(file);
    int cases = 0;
    char compat[8];
    double n[5];
    long long steps;
    while (fscanf(file, " case %7s %lf %lf %lf %lf %lf %lld", compat, &n[0], &n[1], &n[2], &n[3],
                  &n[4], &steps) == 7) {
        check_case(file, compat, n, steps);
        cases++;
    }
    assert_true(feof(file));
    assert_int_equal(cases, 12);
    fclose(file);
}

static void test_constant(void **state)
{
    (void)state;
    static char constant[] = "constant";
    vt_config config = recipe(VT_SCHEDULE_EXACT);
    config.schedule.name = constant;
    assert_rate(vt_schedule_lr(&config, 25, 10), 5.005e-4);
    assert_rate(vt_schedule_lr(&config, 50, 10), 1e-3);
    assert_rate(vt_schedule_lr(&config, 2999, 10), 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peak),     cmocka_unit_test(test_deit),
        cmocka_unit_test(test_exact),    cmocka_unit_test(test_whole_runs),
        cmocka_unit_test(test_constant),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
