// What the engine may do to be fast or small, and what that may change: nothing, or roundings.
#include "numcheck.h"

#include "rig.h"
#include "vitrain/base/threads.h"

#include <math.h>
#include <string.h>

// Odd numbers of tokens and images; chunks of several images for two threads.
static const vt_model_config SHAPE = {
    .name = "vit",
    .family = "vit",
    .image_height = 20,
    .image_width = 12,
    .patch_size = 4,
    .in_chans = 3,
    .embed_dim = 24,
    .depth = 3,
    .num_heads = 3,
    .mlp_ratio = 4,
    .num_classes = 5,
    .qkv_bias = true,
    .drop_path = 0.2,
    .drop = 0.1,
};

// Maps of 5 x 3 and 3 x 2 tokens, padded windows, some shifted.
static const vt_model_config STAGES = {
    .name = "swin",
    .family = "swin",
    .image_height = 20,
    .image_width = 12,
    .patch_size = 4,
    .in_chans = 3,
    .embed_dim = 24,
    .depths = {2, {2, 2}},
    .heads = {2, {3, 4}},
    .window_size = 2,
    .pool = VT_POOL_AVG,
    .mlp_ratio = 4,
    .num_classes = 5,
    .qkv_bias = true,
    .drop_path = 0.2,
    .drop = 0.1,
    .attn_drop = 0.1,
};

// DeiT III's, with dropout of the maps, for which the last block is computed for all tokens.
static const vt_model_config SCALED = {
    .name = "vit",
    .family = "vit",
    .image_height = 20,
    .image_width = 12,
    .patch_size = 4,
    .in_chans = 3,
    .embed_dim = 24,
    .depth = 3,
    .num_heads = 3,
    .mlp_ratio = 4,
    .num_classes = 5,
    .qkv_bias = true,
    .layer_scale = 0.2,
    .no_embed_class = true,
    .drop_path = 0.2,
    .drop_path_rule = VT_DROP_PATH_CONSTANT,
    .drop = 0.1,
    .attn_drop = 0.1,
};

static const vt_model_config *const SHAPES[] = {&SHAPE, &STAGES, &SCALED};

enum { B = 7, FAMILIES = sizeof SHAPES / sizeof *SHAPES };

static const vt_step_key KEY = {.seed = 11, .step = 3};

static vt_rig *make(const vt_model_config *config, vt_elem type, vt_recompute recompute)
{
    vt_threads_set(2);
    vt_rig *rig = vt_rig_create_as(config, 0.1, "tl-align", B, type, recompute);
    vt_fill_normal(rig->images, B * rig->pixels, 1, 1);
    vt_params_init(&rig->model->params, rig->weights, 5);
    // Biases and weights of a size that all matter.
    for (size_t i = 0; i < rig->model->params.slab_count; i++) rig->weights[i] *= 4;
    for (int i = 0; i < B; i++) rig->labels[i] = i % 5;
    const vt_mix_config mix = {.cutmix = 1, .prob = 1, .mode = VT_MIX_ELEM, .correct_lam = true};
    vt_rng rng = vt_rng_at(4, VT_STREAM_MIX, 0, 0);
    vt_mix_draw(&rig->step.plan, B, &mix, &rig->step.mix_shape, &rng);
    vt_mix_apply(rig->images, &rig->step.plan, &rig->step.mix_shape, rig->step.scratch);
    return rig;
}

static double loss_heard(vt_rig *rig, const vt_attn_hook *hooks, int count)
{
    memset(rig->grads, 0, rig->model->params.slab_count * sizeof *rig->grads);
    return vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, B, hooks,
                           count, true, KEY);
}

static double loss_of(vt_rig *rig, bool whole)
{
    const vt_attn_hook hook = vt_recorder_hook(&rig->recorder);
    return loss_heard(rig, &hook, whole ? 1 : 0);
}

// The largest relative error of a tensor of `got`, against `expected`.
static double gradient_error(const vt_rig *got, const vt_rig *expected)
{
    double worst = 0;
    for (int i = 0; i < got->model->params.count; i++) {
        const vt_param *row = &got->model->params.rows[i];
        worst = fmax(worst, vt_relative_error(got->grads + row->offset,
                                              expected->grads + row->offset, row->count));
    }
    return worst;
}

// rows: (B) of the last layer's maps.
static void note_rows(void *self, const vt_attn_view *view)
{
    int *rows = self;
    if (view->layer == SHAPE.depth - 1) rows[view->sample] = view->R;
}

// Only the class token's row of the last block is computed, unless someone wants the whole map.
static void few_rows_are_those_of_all(void **state)
{
    (void)state;
    enum { RECOMPUTES = VT_RECOMPUTE_BLOCK + 1, PATCHES = 15 };
    for (int kind = 0; kind < 3 * RECOMPUTES; kind++) {
        vt_model_config config = SHAPE;
        config.distilled = kind / RECOMPUTES == 1;
        config.pool = kind / RECOMPUTES == 2 ? VT_POOL_AVG : VT_POOL_TOKEN;
        vt_rig *few = make(&config, VT_REAL, kind % RECOMPUTES),
               *all = make(&config, VT_REAL, VT_RECOMPUTE_GELU);
        int rows[B];
        const vt_attn_hook hook = {.self = rows, .on_attention = note_rows};
        const double loss = loss_heard(few, &hook, 1);
        const int prefix = 1 + config.distilled;
        for (int i = 0; i < B; i++)
            assert_int_equal(rows[i], config.pool == VT_POOL_AVG ? PATCHES + prefix : prefix);
        VT_ASSERT_BELOW(fabs(loss - loss_of(all, true)), 20 * vt_epsilon(), "loss");
        VT_ASSERT_BELOW(gradient_error(few, all), 500 * vt_epsilon(), "gradients");
        for (int i = 0; i < B; i++)
            VT_ASSERT_BELOW(fabs((double)(few->step.share[i] - all->step.share[i])),
                            4 * vt_epsilon(), "share");
        vt_rig_destroy(few);
        vt_rig_destroy(all);
    }
}

// What is computed again is what was computed before: the bits may differ by how the compiler fused
// multiplications, not more.
static void recomputing_changes_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2 * FAMILIES; kind++) {
        const vt_model_config *shape = SHAPES[kind / 2];
        const bool whole = kind % 2;
        vt_rig *kept = make(shape, VT_REAL, VT_RECOMPUTE_NONE);
        const double loss = loss_of(kept, whole);
        for (int mode = VT_RECOMPUTE_GELU; mode <= VT_RECOMPUTE_BLOCK; mode++) {
            vt_rig *rig = make(shape, VT_REAL, mode);
            assert_true(rig->arena.used < kept->arena.used);
            assert_true(loss_of(rig, whole) == loss);
            VT_ASSERT_BELOW(gradient_error(rig, kept), 20 * vt_epsilon(), "gradients");
            vt_rig_destroy(rig);
        }
        vt_rig_destroy(kept);
    }
}

static void same_bits_twice(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2 * FAMILIES; kind++) {
        const vt_model_config *shape = SHAPES[kind / 2];
        const vt_elem type = kind % 2 ? VT_BFLOAT : VT_REAL;
#ifdef VT_DOUBLE
        if (type == VT_BFLOAT) continue;
#endif
        vt_rig *one = make(shape, type, VT_RECOMPUTE_GELU),
               *two = make(shape, type, VT_RECOMPUTE_GELU);
        const double loss = loss_of(one, false);
        for (int i = 0; i < 20; i++) {
            assert_true(loss_of(two, false) == loss);
            assert_memory_equal(one->grads, two->grads,
                                one->model->params.slab_count * sizeof *one->grads);
        }
        vt_rig_destroy(one);
        vt_rig_destroy(two);
    }
}

#ifndef VT_DOUBLE
// bf16 has 8 bits: each stored number is off by 2^-9, and a gradient has come through some tens of
// them. What matters is that nothing worse than rounding happens: a wrong operand is off by its
// size.
static void bf16_is_near(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3 * FAMILIES; kind++) {
        const vt_model_config *shape = SHAPES[kind / 3];
        vt_rig *real = make(shape, VT_REAL, VT_RECOMPUTE_GELU),
               *half = make(shape, VT_BFLOAT, kind % 3);
        const double loss = loss_of(real, false), rounded = loss_of(half, false);
        assert_true(loss != rounded); // it is in use
        VT_ASSERT_BELOW(fabs(loss - rounded) / loss, 1e-2, "loss");
        VT_ASSERT_BELOW(gradient_error(half, real), 0.1, "gradients");
        for (int i = 0; i < B; i++)
            VT_ASSERT_BELOW(fabs((double)(half->step.share[i] - real->step.share[i])), 1e-2,
                            "share");
        vt_rig_destroy(real);
        vt_rig_destroy(half);
    }
}

static void bf16_wants_even_widths(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        vt_model_config config = kind < 3 ? SHAPE : STAGES;
        if (kind == 0) config.embed_dim = 15;
        if (kind == 1) config.mlp_ratio = 2.625; // 63
        if (kind == 2) config.image_height = config.image_width = 25, config.patch_size = 5;
        if (kind == 3) config.heads.at[1] = 16; // of width 3
        if (kind == 4) config.mlp_ratio = 2.625;
        vt_model *model;
        vt_arena arena = {0};
        VT_ASSERT_OK(vt_model_create(&model, &config));
        const vt_placement placement = {.max_batch = 2, .type = VT_BFLOAT};
        assert_int_equal(model->ops->place(model, &arena, &placement), VT_ERR_CONFIG);
        assert_non_null(strstr(vt_error_message(), "even"));
        vt_model_destroy(model);
    }
}
#endif

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_rows_are_those_of_all),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(same_bits_twice),
#ifndef VT_DOUBLE
        cmocka_unit_test(bf16_is_near),
        cmocka_unit_test(bf16_wants_even_widths),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
