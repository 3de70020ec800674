// Counting how far labels move: against the step's own shares, with any number of threads, and what
// a run writes of it.
#include "vitrain/label/fluctuation.h"

#include "vitrain/base/threads.h"

#include "rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { B = 6 };

static vt_model_config small(vt_pool pool)
{
    return (vt_model_config){.name = "vit",
                             .family = "vit",
                             .image_height = 24,
                             .image_width = 24,
                             .patch_size = 8,
                             .in_chans = 3,
                             .embed_dim = 16,
                             .depth = 3,
                             .num_heads = 2,
                             .mlp_ratio = 2,
                             .num_classes = 4,
                             .qkv_bias = true,
                             .pool = pool};
}

// A rig whose samples 0 .. B-2 are cut (sample i keeps its first i + 1 patches), the last one not
// mixed.
static vt_rig *mixed_rig(const char *rule, vt_pool pool, vt_recompute recompute)
{
    const vt_model_config config = small(pool);
    vt_rig *rig = vt_rig_create_as(&config, 0.1, rule, B, VT_REAL, recompute);
    vt_params_init(&rig->model->params, rig->weights, 5);
    for (size_t i = 0; i < rig->model->params.slab_count; i++)
        rig->weights[i] *= 8; // attention that looks
    for (size_t i = 0; i < (size_t)B * rig->pixels; i++)
        rig->images[i] = (vt_real)sin(0.7 * (double)i + (double)(i % 11));
    vt_mix_plan *plan = &rig->step.plan;
    plan->mixed = true;
    for (int i = 0; i < B; i++) {
        const bool whole = i == B - 1;
        plan->partner[i] = whole ? i : B - 2 - i;
        plan->lambda[i] = whole ? 1 : (vt_real)(i + 1) / 9;
        for (int t = 0; t < plan->N; t++) plan->share[i * plan->N + t] = whole || t <= i;
    }
    return rig;
}

// After the last layer it is what the step trained against.
static void check_last_layer(vt_pool pool, vt_recompute recompute)
{
    vt_rig *rig = mixed_rig("tl-align", pool, recompute);
    vt_rig_compute(rig, false, (vt_step_key){0});
    double sum = 0, sum_abs = 0, squares = 0;
    int64_t counts[VT_FLUCTUATION_BINS] = {0};
    for (int i = 0; i < B - 1; i++) {
        const double d = (double)rig->step.share[i] - (double)rig->step.plan.lambda[i];
        sum += d;
        sum_abs += fabs(d);
        squares += d * d;
        counts[(int)floor(d * 100 + 0.5) + 50]++;
    }
    assert_true(sum_abs > 1e-4); // else this tests nothing
    const vt_fluctuation *f = &rig->step.fluctuation;
    const vt_fluctuation_layer last = vt_fluctuation_total(f, 2);
    for (int l = 0; l < 3; l++) assert_int_equal(vt_fluctuation_total(f, l).n, B - 1);
    const double unit = 1 << 24;
    assert_float_equal((double)last.sum / unit, sum, 1e-6);
    assert_float_equal((double)last.sum_abs / unit, sum_abs, 1e-6);
    assert_float_equal((double)last.sum_squares / unit, squares, 1e-6);
    assert_memory_equal(last.counts, counts, sizeof counts);
    vt_rig_destroy(rig);
}

static void test_last_layer(void **state)
{
    (void)state;
    check_last_layer(VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
    check_last_layer(VT_POOL_TOKEN,
                     VT_RECOMPUTE_BLOCK); // nothing is counted again in the backward pass
    check_last_layer(VT_POOL_AVG, VT_RECOMPUTE_GELU);
}

static void test_threads(void **state)
{
    (void)state;
    vt_fluctuation_layer one[3];
    const int before = vt_threads();
    for (int threads = 1; threads <= 3; threads++) {
        vt_threads_set(threads);
        vt_rig *rig = mixed_rig("tl-align", VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
        vt_rig_compute(rig, false, (vt_step_key){0});
        vt_rig_compute(rig, false, (vt_step_key){0});
        for (int l = 0; l < 3; l++) {
            const vt_fluctuation_layer total = vt_fluctuation_total(&rig->step.fluctuation, l);
            assert_int_equal(total.n, 2 * (B - 1));
            if (threads == 1) one[l] = total;
            // Shares of different numbers of threads differ in their last bits.
            assert_float_equal((double)total.sum, (double)one[l].sum, 64);
            assert_memory_equal(total.counts, one[l].counts, sizeof total.counts);
        }
        vt_fluctuation_clear(&rig->step.fluctuation);
        assert_int_equal(vt_fluctuation_total(&rig->step.fluctuation, 0).n, 0);
        vt_rig_destroy(rig);
    }
    vt_threads_set(before);
}

static void test_what_is_not_counted(void **state)
{
    (void)state;
    vt_rig *rig = mixed_rig("area", VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
    vt_json *line = vt_json_new_object();
    vt_rig_compute(rig, false, (vt_step_key){0});
    assert_null(rig->step.fluctuation.layers);
    assert_false(vt_fluctuation_json(&rig->step.fluctuation, line));
    vt_rig_destroy(rig);
    rig = mixed_rig("tl-align", VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
    rig->step.plan.mixed = false;
    vt_rig_compute(rig, false, (vt_step_key){0});
    assert_false(vt_fluctuation_json(&rig->step.fluctuation, line));
    assert_int_equal(vt_json_size(line), 0);
    rig->step.plan.mixed = true;
    vt_rig_compute(rig, false, (vt_step_key){0});
    assert_true(vt_fluctuation_json(&rig->step.fluctuation, line));
    const vt_json *layers = vt_json_get(line, "layers"), *first = vt_json_first(layers);
    assert_int_equal(vt_json_size(layers), 3);
    assert_int_equal(vt_json_size(vt_json_get(first, "counts")), VT_FLUCTUATION_BINS);
    const double sd = vt_json_number(vt_json_get(first, "sd"));
    assert_true(sd >= 0 && sd < 1);
    vt_json_destroy(line);
    vt_rig_destroy(rig);
}

// What a stopped run leaves and finds again: all up to its last whole step, and nothing of the next
// one.
static void test_settled(void **state)
{
    (void)state;
    vt_rig *rig = mixed_rig("tl-align", VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
    vt_fluctuation *f = &rig->step.fluctuation;
    vt_fluctuation_layer before[3];
    vt_rig_compute(rig, false, (vt_step_key){0});
    vt_fluctuation_settle(f);
    for (int l = 0; l < 3; l++) before[l] = vt_fluctuation_total(f, l);
    vt_rig_compute(rig, false, (vt_step_key){0});
    assert_int_equal(vt_fluctuation_total(f, 0).n, 2 * before[0].n);
    char *text = vt_fluctuation_text(f);
    assert_non_null(text);
    assert_int_equal(vt_fluctuation_restore(f, text, "there"), VT_OK);
    for (int l = 0; l < 3; l++) {
        const vt_fluctuation_layer after = vt_fluctuation_total(f, l);
        assert_memory_equal(&after, &before[l], sizeof after);
    }
    const char *const wrong[] = {"", "[]", "{\"layers\": [[1], [1], [1]]}",
                                 "{\"layers\": [1, 1, 1]}", "{\"layers\": []}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(vt_fluctuation_restore(f, text, "there"), VT_OK);
        assert_int_equal(vt_fluctuation_restore(f, wrong[i], "there"), VT_ERR_FORMAT);
        assert_non_null(strstr(vt_error_message(), "there"));
        assert_int_equal(vt_fluctuation_total(f, 0).n, 0);
    }
    memset(strstr(text, "["), ' ', 1); // no longer JSON
    assert_int_not_equal(vt_fluctuation_restore(f, text, "there"), VT_OK);
    free(text);
    vt_rig_destroy(rig);
}

// A run that blows up stops with its message, and not here.
static void test_not_finite(void **state)
{
    (void)state;
    vt_rig *rig = mixed_rig("tl-align", VT_POOL_TOKEN, VT_RECOMPUTE_GELU);
    for (size_t i = 0; i < rig->model->params.slab_count; i++) rig->weights[i] = (vt_real)NAN;
    vt_rig_compute(rig, false, (vt_step_key){0});
    for (int l = 0; l < 3; l++)
        assert_int_equal(vt_fluctuation_total(&rig->step.fluctuation, l).n, 0);
    vt_rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_layer),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_what_is_not_counted), cmocka_unit_test(test_settled),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
