// The losses of a head against PyTorch's (scripts/golden_losses.py). In float: a few roundings of
// sums over nine classes.
#include "numcheck.h"

#include "golden.h"

#include "vitrain/train/loss.h"

#include <math.h>
#include <stdio.h>

#ifdef VT_DOUBLE
static const double TOLERANCE = 1e-7; // the golden values are float32
#else
static const double TOLERANCE = 2e-6;
#endif

enum { B = 6, K = 9 };

typedef struct loss_test {
    vt_st_file *file;
    vt_real logits[B * K], target[B * K];
} loss_test;

static loss_test begin(void)
{
    loss_test test = {.file = vt_golden_open("losses")};
    vt_golden_reals(test.file, "logits", test.logits, B * K);
    vt_golden_reals(test.file, "target", test.target, B * K);
    return test;
}

static void compare(const loss_test *test, const char *name, const vt_real *losses, double mean,
                    const vt_real *dlogits, double weight)
{
    char gradient[64];
    vt_real expected[B], slope[B * K];
    double sum = 0;
    snprintf(gradient, sizeof gradient, "%s.grad", name);
    vt_golden_reals(test->file, name, expected, B);
    vt_golden_reals(test->file, gradient, slope, B * K);
    for (int i = 0; i < B; i++) sum += (double)expected[i];
    for (int i = 0; i < B * K; i++) slope[i] *= (vt_real)weight;
    VT_ASSERT_BELOW(vt_relative_error(losses, expected, B), TOLERANCE, name);
    VT_ASSERT_BELOW(vt_relative_error(dlogits, slope, B * K), TOLERANCE, gradient);
    VT_ASSERT_BELOW(fabs(mean - sum / B), TOLERANCE * fabs(mean), "mean");
}

static void heads_match(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vt_loss_config config;
    } cases[] = {
        {"cross-entropy", {.kind = VT_LOSS_CROSS_ENTROPY, .target = VT_BCE_BINARY}}, // no BCE
        {"bce.soft", {.kind = VT_LOSS_BCE, .target = VT_BCE_SOFT}},
        {"bce.binary", {.kind = VT_LOSS_BCE, .target = VT_BCE_BINARY}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loss_test test = begin();
        vt_real losses[B], dlogits[B * K];
        const double mean =
            vt_loss_of_head(&cases[i].config, losses, dlogits, test.logits, test.target, 0.5, B, K);
        compare(&test, cases[i].name, losses, mean, dlogits, 0.5);
        vt_st_close(test.file);
    }
}

static void teachers_match(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vt_loss_config config;
    } cases[] = {
        {"distill.hard", {.distill = VT_DISTILL_HARD, .tau = 3}},
        {"distill.soft.1", {.distill = VT_DISTILL_SOFT, .tau = 1}},
        {"distill.soft.3", {.kind = VT_LOSS_BCE, .distill = VT_DISTILL_SOFT, .tau = 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loss_test test = begin();
        vt_real teacher[B * K], losses[B], dlogits[B * K];
        vt_golden_reals(test.file, "teacher", teacher, B * K);
        const double mean = vt_loss_of_teacher(&cases[i].config, losses, dlogits, test.logits,
                                               teacher, test.target, 0.25, B, K);
        compare(&test, cases[i].name, losses, mean, dlogits, 0.25);
        vt_st_close(test.file);
    }
}

// A student that says what its teacher says has nothing to learn from it.
static void agreement_costs_nothing(void **state)
{
    (void)state;
    const vt_loss_config soft = {.distill = VT_DISTILL_SOFT, .tau = 2};
    loss_test test = begin();
    vt_real losses[B], dlogits[B * K];
    const double mean =
        vt_loss_of_teacher(&soft, losses, dlogits, test.logits, test.logits, test.target, 1, B, K);
    assert_true(mean == 0);
    for (int i = 0; i < B * K; i++) assert_true(dlogits[i] == 0);
    vt_st_close(test.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_match),
        cmocka_unit_test(teachers_match),
        cmocka_unit_test(agreement_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
