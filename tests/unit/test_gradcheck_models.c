// Whole models through the training step: every gradient against central differences of the loss
// (double builds only), with dropouts and drop path on and off, mixed and unmixed. The target is a
// constant of the loss, also where TL-Align makes it from the attention maps.
#include "numcheck.h"

#include "rig.h"

#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <math.h>
#include <string.h>

static const vt_model_config SHAPE = {
    .name = "vit",
    .family = "vit",
    .image_height = 8,
    .image_width = 12,
    .patch_size = 4,
    .in_chans = 2,
    .embed_dim = 6,
    .depth = 2,
    .num_heads = 2,
    .mlp_ratio = 2,
    .num_classes = 4,
    .qkv_bias = true,
};

enum { B = 5, K = 4 };

static const vt_step_key KEY = {.seed = 11, .step = 3};

typedef struct model_case {
    vt_rig *rig;
    bool stochastic;
    double loss;
    vt_real target[B * K], target_dist[B * K]; // frozen
} model_case;

static double head_loss(const vt_real *logits, const vt_real *target)
{
    vt_real losses[B];
    double sum = 0;
    vt_cross_entropy(losses, NULL, logits, target, 1, B, K);
    for (int i = 0; i < B; i++) sum += (double)losses[i];
    return sum / B;
}

// The loss against the frozen targets. Only the forward half of the step counts here.
static double model_loss(void *context)
{
    const model_case *test = context;
    const vt_rig *rig = test->rig;
    vt_step *step = &test->rig->step;
    vt_step_compute(step, rig->weights, rig->grads, rig->images, rig->labels, B, NULL, 0,
                    test->stochastic, KEY);
    double loss = head_loss(step->logits, test->target);
    if (!step->logits_dist) return loss;
    return (loss + head_loss(step->logits_dist, test->target_dist)) / 2;
}

// A model for this number of threads. Everything in it is a function of the arguments.
static void begin(model_case *test, const vt_model_config *shape, const char *rule, bool mixed,
                  int threads)
{
    vt_model_config config = *shape;
    config.drop = 0.2, config.attn_drop = 0.3, config.drop_path = 0.4;
    vt_threads_set(threads);
    vt_rig *rig = vt_rig_create(&config, 0.1, rule, B);
    *test = (model_case){.rig = rig};
    vt_fill_normal(rig->images, B * rig->pixels, 1, 1);
    vt_fill_normal(rig->weights, rig->model->params.slab_count, 0.5, 2);
    for (int i = 0; i < B; i++) rig->labels[i] = i % K;
    if (!mixed) return;
    const vt_mix_config mix = {.cutmix = 1, .prob = 1, .mode = VT_MIX_ELEM, .correct_lam = true};
    vt_rng rng = vt_rng_at(4, VT_STREAM_MIX, 0, 0);
    vt_mix_draw(&rig->step.plan, B, &mix, &rig->step.mix_shape, &rng);
    vt_mix_apply(rig->images, &rig->step.plan, &rig->step.mix_shape, rig->step.scratch);
    assert_true(rig->step.plan.mixed);
}

// As vt_rig_compute, but nobody wants whole maps: the last block is computed as it is in training.
static double compute(vt_rig *rig, bool stochastic, vt_step_key key)
{
    memset(rig->grads, 0, rig->model->params.slab_count * sizeof *rig->grads);
    return vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, B, NULL,
                           0, stochastic, key);
}

// Makes test->loss the loss of the batch under the key and rig->other its gradient, and freezes the
// targets. That pass is by two threads, in chunks of three and two images; the thousands of passes
// for the differences are by one, which need not wait for others.
static void freeze(model_case *test, const vt_model_config *shape, const char *rule, bool mixed,
                   bool stochastic, vt_step_key key)
{
    model_case pair;
    begin(&pair, shape, rule, mixed, 2);
    const vt_step *step = &pair.rig->step;
    double plain = compute(pair.rig, false, key);
    double loss = compute(pair.rig, stochastic, key);
    assert_true((loss != plain) == stochastic);
    begin(test, shape, rule, mixed, 1);
    test->stochastic = stochastic;
    test->loss = loss;
    memcpy(test->rig->other, pair.rig->grads, pair.rig->model->params.slab_count * sizeof(vt_real));
    memcpy(test->target, step->target, sizeof test->target);
    if (step->target_dist) memcpy(test->target_dist, step->target_dist, sizeof test->target_dist);
    vt_rig_destroy(pair.rig);
}

static double error_of(model_case *test, const vt_param *row)
{
    vt_rig *rig = test->rig;
    return vt_gradient_error(rig->other + row->offset, rig->weights + row->offset, row->count,
                             model_loss, test);
}

static void check_model(vt_model_config shape, const char *rule, bool mixed, bool stochastic)
{
    model_case test;
    freeze(&test, &shape, rule, mixed, stochastic, KEY);
    assert_true(fabs(model_loss(&test) - test.loss) < 1e-12);
    for (int i = 0; i < test.rig->model->params.count; i++) {
        const vt_param *row = &test.rig->model->params.rows[i];
        VT_ASSERT_BELOW(error_of(&test, row), VT_GRADIENT_TOLERANCE, row->name);
    }
    vt_rig_destroy(test.rig);
}

static void class_token(void **state)
{
    (void)state;
    check_model(SHAPE, "area", false, false);
    check_model(SHAPE, "area", false, true);
}

static void mixed_with_area_labels(void **state)
{
    (void)state;
    check_model(SHAPE, "area", true, true);
}

static void mixed_with_aligned_labels(void **state)
{
    (void)state;
    check_model(SHAPE, "tl-align", true, false);
    check_model(SHAPE, "tl-align", true, true);
}

static void average_pool_without_qkv_bias(void **state)
{
    (void)state;
    vt_model_config config = SHAPE;
    config.pool = VT_POOL_AVG;
    config.qkv_bias = false;
    check_model(config, "tl-align", true, false);
    config.mlp_ratio = 0.5; // narrower than the tokens
    check_model(config, "tl-align", true, true);
}

static void distilled(void **state)
{
    (void)state;
    vt_model_config config = SHAPE;
    config.distilled = true;
    check_model(config, "area", false, false);
    check_model(config, "tl-align", true, true);
}

// Maps of 5 x 6 and 3 x 3 tokens: shifted windows, padding below and on the right, odd sides to
// merge.
static const vt_model_config STAGES = {
    .name = "swin",
    .family = "swin",
    .image_height = 20,
    .image_width = 24,
    .patch_size = 4,
    .in_chans = 2,
    .embed_dim = 6,
    .depths = {2, {2, 1}},
    .heads = {2, {2, 3}},
    .window_size = 3,
    .pool = VT_POOL_AVG,
    .mlp_ratio = 2,
    .num_classes = 4,
    .qkv_bias = true,
};

static void stages_of_windows(void **state)
{
    (void)state;
    check_model(STAGES, "area", false, false);
    check_model(STAGES, "tl-align", true, true);
}

static void windows_that_fit(void **state)
{
    (void)state;
    vt_model_config config = STAGES;
    config.image_height = config.image_width = 16; // 4 x 4 tokens, then 2 x 2 in one window
    config.window_size = 2;
    config.qkv_bias = false;
    check_model(config, "tl-align", true, false);
}

// The gradient of another block's position biases is not that of this one's.
static void gradient_of_other_biases_is_caught(void **state)
{
    (void)state;
    model_case test;
    freeze(&test, &STAGES, "area", false, false, KEY);
    const vt_params *params = &test.rig->model->params;
    const int first = vt_params_find(params, "layers.0.blocks.0.attn.relative_position_bias_table");
    const int second =
        vt_params_find(params, "layers.0.blocks.1.attn.relative_position_bias_table");
    const vt_param *row = &params->rows[first];
    VT_ASSERT_BELOW(error_of(&test, row), VT_GRADIENT_TOLERANCE, row->name);
    memcpy(test.rig->other + row->offset, test.rig->other + params->rows[second].offset,
           row->count * sizeof(vt_real));
    assert_true(error_of(&test, row) > 1e-3);
    vt_rig_destroy(test.rig);
}

// LayerScale, and tokens without a place.
static void deit3(void **state)
{
    (void)state;
    vt_model_config config = SHAPE;
    config.layer_scale = 1;
    config.no_embed_class = true;
    config.drop_path_rule = VT_DROP_PATH_CONSTANT;
    check_model(config, "area", false, false);
    check_model(config, "tl-align", true, true);
    config.distilled = true;
    check_model(config, "tl-align", true, true);
}

// The gradient under other dropout masks is not the gradient of this loss.
static void gradient_of_other_masks_is_caught(void **state)
{
    (void)state;
    model_case test;
    vt_step_key other = KEY;
    other.step++;
    freeze(&test, &SHAPE, "area", false, true, other);
    const vt_params *params = &test.rig->model->params;
    assert_true(error_of(&test, &params->rows[vt_params_find(params, "norm.bias")]) > 1e-3);
    vt_rig_destroy(test.rig);
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_token),
        cmocka_unit_test(mixed_with_area_labels),
        cmocka_unit_test(mixed_with_aligned_labels),
        cmocka_unit_test(average_pool_without_qkv_bias),
        cmocka_unit_test(distilled),
        cmocka_unit_test(deit3),
        cmocka_unit_test(gradient_of_other_masks_is_caught),
        cmocka_unit_test(stages_of_windows),
        cmocka_unit_test(windows_that_fit),
        cmocka_unit_test(gradient_of_other_biases_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
