// Distillation: a teacher from a file, what it refuses to be, and a step's loss and gradients with
// it.
#include "folder.h"
#include "numcheck.h"

#include "rig.h"

#include "vitrain/base/threads.h"
#include "vitrain/train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 5, K = 4 };

static const vt_model_config student = {.name = "vit",
                                        .family = "vit",
                                        .image_height = 12,
                                        .image_width = 8,
                                        .patch_size = 4,
                                        .in_chans = 3,
                                        .embed_dim = 8,
                                        .depth = 2,
                                        .num_heads = 2,
                                        .mlp_ratio = 2,
                                        .num_classes = K,
                                        .qkv_bias = true,
                                        .distilled = true};

static const char input[] = "{\"mean\":[0.5,0.5,0.25],\"std\":[0.5,0.25,1]}";

// Another width, pooled; a file of its weights.
static const char *write_teacher(vt_model_config config, const char *pictures)
{
    static char path[512];
    vt_model *model;
    config.distilled = false, config.pool = VT_POOL_AVG, config.embed_dim = 12;
    snprintf(path, sizeof path, "%s", in_folder("teacher.safetensors"));
    VT_ASSERT_OK(vt_model_create(&model, &config));
    vt_real *slab = vt_alloc(model->params.slab_count, sizeof *slab);
    assert_non_null(slab);
    vt_params_init(&model->params, slab, 3);
    for (size_t i = 0; i < model->params.slab_count; i++) slab[i] *= 8; // opinions
    VT_ASSERT_OK(vt_weights_save(path, model, slab, &(vt_weights_notes){.input = pictures}));
    free(slab);
    vt_model_destroy(model);
    return path;
}

static vt_config configure(const char *teacher, const vt_loss_config *loss)
{
    vt_config config = {.model = student, .loss = *loss, .distill_teacher = (char *)teacher};
    config.data.augment.channels = 3;
    memcpy(config.data.augment.mean, (const double[]){0.5, 0.5, 0.25}, 3 * sizeof(double));
    memcpy(config.data.augment.std, (const double[]){0.5, 0.25, 1}, 3 * sizeof(double));
    return config;
}

// A teacher in memory of its own; the caller closes both.
static vt_teacher *open_teacher(const vt_config *config, vt_arena *arena)
{
    vt_teacher *teacher;
    VT_ASSERT_OK(vt_teacher_open(&teacher, config));
    assert_non_null(teacher);
    VT_ASSERT_OK(vt_teacher_place(teacher, arena, B, VT_REAL));
    VT_ASSERT_OK(vt_arena_reserve(arena));
    VT_ASSERT_OK(vt_teacher_place(teacher, arena, B, VT_REAL));
    VT_ASSERT_OK(vt_teacher_load(teacher));
    return teacher;
}

static vt_rig *make_rig(void)
{
    vt_rig *rig = vt_rig_create(&student, 0.1, "tl-align", B);
    vt_fill_normal(rig->images, B * rig->pixels, 1, 1);
    vt_fill_normal(rig->weights, rig->model->params.slab_count, 0.5, 2);
    for (int i = 0; i < B; i++) rig->labels[i] = i % K;
    const vt_mix_config mix = {.cutmix = 1, .prob = 1, .mode = VT_MIX_ELEM, .correct_lam = true};
    vt_rng rng = vt_rng_at(4, VT_STREAM_MIX, 0, 0);
    vt_mix_draw(&rig->step.plan, B, &mix, &rig->step.mix_shape, &rng);
    vt_mix_apply(rig->images, &rig->step.plan, &rig->step.mix_shape, rig->step.scratch);
    return rig;
}

// The step's loss is (1 - alpha) x the class head's against the rule's target, as without a
// teacher, plus alpha x the second head's against the teacher's logits; and so are the gradients of
// the logits.
static void a_step_learns_from_both(void **state)
{
    (void)state;
    for (int kind = VT_DISTILL_SOFT; kind <= VT_DISTILL_HARD; kind++) {
        const vt_loss_config loss = {.distill = (vt_distill_kind)kind, .alpha = 0.75, .tau = 2};
        const vt_config config = configure(write_teacher(student, input), &loss);
        vt_arena arena = {0};
        vt_teacher *teacher = open_teacher(&config, &arena);
        vt_rig *plain = make_rig(), *rig = make_rig();
        vt_rig_compute(plain, false, (vt_step_key){0});
        rig->step.loss = loss;
        rig->step.teacher = teacher;
        const size_t before = vt_alloc_count();
        const double got = vt_rig_compute(rig, false, (vt_step_key){0});
        assert_int_equal(vt_alloc_count(), before);
        vt_real losses[B], second[B], d[B * K], d_second[B * K], scratch[B * K];
        assert_memory_equal(rig->step.target, plain->step.target, sizeof(vt_real) * B * K);
        const double first =
            vt_loss_of_head(&loss, losses, d, rig->step.logits, rig->step.target, 0.25, B, K);
        const double other =
            vt_loss_of_teacher(&loss, second, d_second, rig->step.logits_dist,
                               vt_teacher_logits(teacher, rig->images, B), scratch, 0.75, B, K);
        VT_ASSERT_BELOW(fabs(got - (0.25 * first + 0.75 * other)), 8 * vt_epsilon(), "loss");
        assert_memory_equal(rig->step.dlogits, d, sizeof d);
        assert_memory_equal(rig->step.dlogits_dist, d_second, sizeof d_second);
        for (int i = 0; i < B; i++)
            VT_ASSERT_BELOW(fabs((double)rig->step.losses[i] - 0.25 * (double)losses[i] -
                                 0.75 * (double)second[i]),
                            8 * vt_epsilon(), "losses");
        assert_true(fabs(first - other) > 1e-3);
        vt_rig_destroy(plain);
        vt_rig_destroy(rig);
        vt_teacher_close(teacher);
        vt_arena_release(&arena);
    }
}

static void refused(const vt_config *config, const char *message)
{
    vt_teacher *teacher;
    assert_int_equal(vt_teacher_open(&teacher, config), VT_ERR_CONFIG);
    assert_null(teacher);
    if (!strstr(vt_error_message(), message)) fail_msg("\"%s\"", vt_error_message());
}

static void what_cannot_teach_is_refused(void **state)
{
    (void)state;
    const vt_loss_config hard = {.distill = VT_DISTILL_HARD};
    vt_model_config other = student;
    other.image_width = 12;
    vt_config config = configure(write_teacher(other, input), &hard);
    refused(&config, "expected a model for images of 12 x 8 px as model.image_size, got 12 x 12");
    other = student, other.num_classes = 3;
    config = configure(write_teacher(other, input), &hard);
    refused(&config, "expected model.num_classes 4 as the student's, got 3");
    other = student, other.in_chans = 1;
    config = configure(write_teacher(other, input), &hard);
    refused(&config, "expected model.in_chans 3 as the student's, got 1");
    config =
        configure(write_teacher(student, "{\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.25,1]}"), &hard);
    refused(&config, "mean 0.5 and std 1 in channel 2; set data.mean and data.std");
    config.distill_model = "deit_tiny_patch16_224";
    refused(&config, "got 224 x 224");
    config = configure("tests/golden/losses.safetensors", &hard);
    refused(&config, "distill.model: tests/golden/losses.safetensors does not say what model");
    vt_teacher *teacher;
    config = configure(in_folder("absent.safetensors"), &hard);
    assert_int_equal(vt_teacher_open(&teacher, &config), VT_ERR_IO);
    config.loss.distill = VT_DISTILL_NONE;
    VT_ASSERT_OK(vt_teacher_open(&teacher, &config));
    assert_null(teacher);
}

// Weights that do not fit the preset are named when they are read.
static void weights_have_to_fit(void **state)
{
    (void)state;
    const vt_loss_config hard = {.distill = VT_DISTILL_HARD};
    vt_config config = configure(write_teacher(student, input), &hard);
    config.model.image_height = config.model.image_width = 224;
    config.distill_model = "deit_tiny_patch16_224";
    memcpy(config.data.augment.mean, vt_model_preset_find("deit_tiny_patch16_224")->mean,
           3 * sizeof(double));
    memcpy(config.data.augment.std, vt_model_preset_find("deit_tiny_patch16_224")->std,
           3 * sizeof(double));
    vt_teacher *teacher;
    vt_arena arena = {0};
    VT_ASSERT_OK(vt_teacher_open(&teacher, &config));
    VT_ASSERT_OK(vt_teacher_place(teacher, &arena, 1, VT_REAL));
    VT_ASSERT_OK(vt_arena_reserve(&arena));
    VT_ASSERT_OK(vt_teacher_place(teacher, &arena, 1, VT_REAL));
    assert_int_equal(vt_teacher_load(teacher), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "tensor cls_token: expected F32 [1, 1, 192]"));
    vt_teacher_close(teacher);
    vt_arena_release(&arena);
}

// Every preset makes a teacher for images of its size and pixels.
static void every_preset_can_teach(void **state)
{
    (void)state;
    const vt_loss_config hard = {.distill = VT_DISTILL_HARD};
    for (const vt_model_preset *p = vt_model_presets; p->name; p++) {
        vt_config config = configure("tests/golden/losses.safetensors", &hard);
        vt_teacher *teacher;
        config.model.image_height = config.model.image_width = p->image_size;
        config.distill_model = (char *)p->name;
        memcpy(config.data.augment.mean, p->mean, sizeof p->mean);
        memcpy(config.data.augment.std, p->std, sizeof p->std);
        VT_ASSERT_OK(vt_teacher_open(&teacher, &config));
        assert_string_equal(teacher->model->config.name, p->name);
        assert_true((vt_params_find(&teacher->model->params, "blocks.0.ls1.gamma") >= 0) ==
                    (p->layer_scale > 0));
        vt_teacher_close(teacher);
    }
}

int main(void)
{
    vt_gemm_setup();
    vt_threads_set(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_learns_from_both),
        cmocka_unit_test(what_cannot_teach_is_refused),
        cmocka_unit_test(weights_have_to_fit),
        cmocka_unit_test(every_preset_can_teach),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
