// What a model with windows looks at: whole, and the way that TL-Align's shares go.
#include "staged.h"

#include "vitrain/report/window_gaze.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_sums_to_1(const vt_real *values, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        assert_true(values[i] >= 0);
        sum += (double)values[i];
    }
    assert_float_equal(sum, 1, 1e-5);
}

// The first sample's. Shares of patches are 0 or 1; what rollout says of them is what the rule
// arrives at.
static void check(int h, int w, int stages, int window)
{
    const vt_model_config config = vt_staged_shape(h, w, stages, window);
    vt_rig *rig = vt_staged_rig(&config, "tl-align");
    vt_mix_plan *plan = &rig->step.plan;
    plan->mixed = true;
    for (int t = 0; t < VT_STAGED_B * plan->N; t++) plan->share[t] = t % 5 < 2;
    vt_rig_compute(rig, false, (vt_step_key){0});

    vt_arena arena = {0};
    vt_window_gaze gaze;
    vt_attn_hook hooks[2];
    vt_window_gaze_place(&gaze, &arena, rig->model);
    assert_int_equal(vt_arena_reserve(&arena), VT_OK);
    vt_window_gaze_place(&gaze, &arena, rig->model);
    vt_window_gaze_hooks(&gaze, hooks);
    const vt_pass pass = {
        .B = 1, .images = rig->images, .logits = rig->step.logits, .hooks = hooks, .n_hooks = 2};
    rig->model->ops->forward(rig->model, rig->weights, &pass);
    vt_window_gaze_finish(&gaze);

    for (int l = 0; l < gaze.depth; l++) {
        const vt_window_layer *layer = &gaze.layers[l];
        const int n = layer->grid_h * layer->grid_w;
        assert_true(layer->merged == (l > 0 && l % 2 == 0)); // stages of two blocks
        for (int k = 0; k < 3; k++) assert_sums_to_1(layer->given + k * n, n);
        assert_sums_to_1(layer->rollout, h * w);
    }
    double share = 0, area = 0;
    for (int t = 0; t < h * w; t++) {
        share += (double)(gaze.layers[gaze.depth - 1].rollout[t] * plan->share[t]);
        area += (double)plan->share[t] / (h * w);
    }
    assert_true(fabs(share - area) > 1e-4); // else attention has moved nothing
    assert_float_equal(share, (double)rig->step.share[0], 1e-5);
    vt_arena_release(&arena);
    vt_rig_destroy(rig);
}

static void test_whole_windows(void **state)
{
    (void)state;
    check(8, 8, 2, 4);
}

static void test_padding_and_odd_sides(void **state)
{
    (void)state;
    check(7, 5, 3, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_windows),
        cmocka_unit_test(test_padding_and_odd_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
