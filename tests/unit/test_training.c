// Training as a whole: a model fits what it is given, and a short run with TL-Align on mixed images
// goes as in PyTorch.
#include "numcheck.h"

#include "golden.h"

#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <math.h>
#include <string.h>

static void optimize(vt_rig *rig, const vt_optim_config *config, double lr, int t)
{
    const vt_optim_work work = {vt_optim_find("adamw"),
                                config,
                                &rig->model->params,
                                rig->weights,
                                rig->grads,
                                rig->slabs,
                                NULL};
    vt_optim_step(&work, lr, 1, t);
}

// Eight classes of gratings (four directions, two wavelengths) with random phases and much noise.
static void draw_gratings(vt_rig *rig, int side)
{
    vt_rng rng = vt_rng_at(1, VT_STREAM_SYNTHETIC, 0, 0);
    for (int i = 0; i < rig->B; i++) {
        rig->labels[i] = i % 8;
        double angle = (i % 4) * acos(-1) / 4, wave = i % 8 < 4 ? 0.8 : 1.6;
        double phase = vt_rng_range(&rng, 0, 6.28);
        for (int p = 0; p < side * side; p++) {
            double along = cos(angle) * (p % side) + sin(angle) * (p / side);
            rig->images[i * side * side + p] =
                (vt_real)(sin(wave * along + phase) + 0.5 * vt_rng_normal(&rng));
        }
    }
}

static void four_blocks_fit_64_images(void **state)
{
    (void)state;
    const vt_model_config config = {.name = "vit",
                                    .family = "vit",
                                    .image_height = 12,
                                    .image_width = 12,
                                    .patch_size = 4,
                                    .in_chans = 1,
                                    .embed_dim = 32,
                                    .depth = 4,
                                    .num_heads = 4,
                                    .mlp_ratio = 4,
                                    .num_classes = 8,
                                    .qkv_bias = true};
    const vt_optim_config adamw = {.betas = {0.9, 0.999}, .eps = 1e-8};
    vt_rig *rig = vt_rig_create(&config, 0, "tl-align", 64);
    vt_params_init(&rig->model->params, rig->weights, 1);
    draw_gratings(rig, 12);
    const int steps = 180;
    double first = 0, loss = 0;
    for (int t = 1; t <= steps; t++) {
        loss = vt_rig_compute(rig, true, (vt_step_key){.step = (uint32_t)t});
        if (t == 1) first = loss;
        optimize(rig, &adamw, 3e-3 * fmin(1, t / 10.0), t);
    }
    assert_true(fabs(first - log(8)) < 0.2); // at the start the model knows nothing
    VT_ASSERT_BELOW(loss, 0.01, "loss");
    vt_rig_destroy(rig);
}

// Mixes patch by patch by the plan's shares.
static void mix_patches(vt_rig *rig, const vt_real *images)
{
    const vt_model_config *c = &rig->model->config;
    const vt_mix_plan *plan = &rig->step.plan;
    const int H = c->image_height, W = c->image_width, P = c->patch_size;
    for (int i = 0; i < rig->B; i++)
        for (size_t p = 0; p < rig->pixels; p++) {
            int y = (int)p / W % H, x = (int)p % W;
            vt_real own = plan->share[i * plan->N + y / P * (W / P) + x / P];
            rig->images[(size_t)i * rig->pixels + p] =
                own * images[(size_t)i * rig->pixels + p] +
                (1 - own) * images[(size_t)plan->partner[i] * rig->pixels + p];
        }
}

// Rounding grows with the steps: 1e-6 in float at the twentieth.
static void aligned_training_goes_as_in_pytorch(void **state)
{
    (void)state;
    enum { STEPS = 20, IMAGES = 8, PATCHES = 24, PIXELS = 3 * 16 * 24 };
    static vt_real images[IMAGES * PIXELS], mask[STEPS * IMAGES * PATCHES], expected[STEPS];
    vt_st_file *vit = vt_golden_open("vit"), *run = vt_golden_open("training");
    const vt_model_config config = vt_golden_model(vit);
    const vt_optim_config adamw = vt_golden_optim(vit, "adamw");
    vt_rig *rig = vt_rig_create(&config, vt_golden_number(vit, "smoothing"), "tl-align", IMAGES);
    VT_ASSERT_OK(vt_params_load(&rig->model->params, rig->weights, vit, "weight."));
    assert_int_equal(rig->step.plan.N, PATCHES);
    assert_int_equal(rig->pixels, PIXELS);
    vt_golden_reals(run, "images", images, IMAGES * PIXELS);
    vt_golden_ints(run, "labels", rig->labels, IMAGES);
    vt_golden_reals(run, "mask", mask, STEPS * IMAGES * PATCHES);
    vt_golden_reals(run, "losses", expected, STEPS);
    vt_real losses[STEPS];
    for (int t = 0; t < STEPS; t++) {
        vt_golden_plan(rig, run, mask + t * IMAGES * PATCHES);
        mix_patches(rig, images);
        losses[t] = (vt_real)vt_rig_compute(rig, true, (vt_step_key){0});
        optimize(rig, &adamw, adamw.lr, t + 1);
    }
    VT_ASSERT_BELOW(vt_largest_difference(losses, expected, STEPS), 1e-4, "losses");
    assert_true(losses[STEPS - 1] < losses[0] / 2);
    vt_rig_destroy(rig);
    vt_st_close(vit);
    vt_st_close(run);
}

int main(void)
{
    vt_gemm_setup();
    vt_threads_set(1); // small passes: threads on a busy machine would mostly wait for each other
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_blocks_fit_64_images),
        cmocka_unit_test(aligned_training_goes_as_in_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
