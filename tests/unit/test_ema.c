// The average of the weights: PyTorch's bits, any number of threads, and that a run's memory counts
// it.
#include "vitrain/train/ema.h"

#include "numcheck.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/threads.h"
#include "vitrain/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What torch 1.13 makes of float tensors with timm's line, ema * decay + (1. - decay) * w.
static void as_in_pytorch(void **state)
{
    (void)state;
    static const double weights[3][4] = {
        {0.1, -2.0, 0.003, 0.0}, {-0.4, 1.0, 0.001, 3e7}, {0.7, 0.5, -0.02, 1e-9}};
    static const double expected[4] = {0x1.fff478p-2, -0x1.3ff77cp+0, 0x1.fff03ap+0,
                                       0x1.2bfcfep+10};
    const vt_params params = {.slab_count = 4};
    vt_real ema[4] = {(vt_real)0.5, -1.25, 2, (vt_real)1e-3}, w[4];
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 4; i++) w[i] = (vt_real)weights[step][i];
        vt_ema_update(&params, ema, w, 0.99996);
    }
    for (int i = 0; i < 4; i++) {
        double error = fabs((double)ema[i] - expected[i]) / fabs(expected[i]);
        VT_ASSERT_BELOW(error, sizeof(vt_real) == 4 ? 1e-300 : 1e-6, "ema"); // float: to the bit
    }
}

enum { SLAB = 100016 };

static vt_real *slab_new(uint32_t key)
{
    vt_real *slab = vt_alloc(SLAB, sizeof *slab);
    assert_non_null(slab);
    if (key) vt_fill_normal(slab, SLAB - 5, 1, key); // the last five: padding
    return slab;
}

// Every element of a slab longer than a chunk is done once, as a plain loop does it.
static void as_a_plain_loop(void **state)
{
    (void)state;
    const vt_params params = {.slab_count = SLAB};
    const double decay = 0.9;
    vt_real *w = slab_new(1), *ema = slab_new(2), *plain = slab_new(2), *one = slab_new(2);
    for (int step = 0; step < 3; step++) {
        vt_threads_set(3);
        vt_ema_update(&params, ema, w, decay);
        vt_threads_set(1);
        vt_ema_update(&params, one, w, decay);
        for (int i = 0; i < SLAB; i++) {
            volatile vt_real old = plain[i] * (vt_real)decay, new = (vt_real)(1 - decay) * w[i];
            plain[i] = old + new; // volatile: rounded one by one
        }
    }
    assert_memory_equal(ema, plain, SLAB * sizeof *ema);
    assert_memory_equal(one, plain, SLAB * sizeof *ema);
    for (int i = SLAB - 5; i < SLAB; i++) assert_true(ema[i] == 0);
    free(w);
    free(ema);
    free(plain);
    free(one);
}

// n steps on weights that stay: ema = w + decay^n (start - w).
static void closed_form(void **state)
{
    (void)state;
    const vt_params params = {.slab_count = 1};
    vt_real ema = 3, w = -1;
    for (int n = 0; n < 50; n++) vt_ema_update(&params, &ema, &w, 0.95);
    VT_ASSERT_BELOW(fabs((double)ema - (-1 + pow(0.95, 50) * 4)), 50 * vt_epsilon(), "ema");
}

static void counted_in_the_memory_plan(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.name=deit_tiny_patch16_224", "train.ema_decay=0.9"};
    vt_memory_plan plan[2];
    vt_threads_set(1);
    for (int i = 0; i < 2; i++) {
        vt_config config;
        VT_ASSERT_OK(vt_config_load(&config, NULL, sets, 1 + i));
        VT_ASSERT_OK(vt_plan_memory(&config, &plan[i]));
        vt_config_free(&config);
    }
    // weights, gradients and two moments; and one slab more
    assert_int_equal(4 * plan[1].parameters, 5 * plan[0].parameters);
    assert_int_equal(plan[1].activations, plan[0].activations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_pytorch),
        cmocka_unit_test(as_a_plain_loop),
        cmocka_unit_test(closed_form),
        cmocka_unit_test(counted_in_the_memory_plan),
    };
    return cmocka_run_group_tests_name("ema", tests, NULL, NULL);
}
