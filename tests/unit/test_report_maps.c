// Attention for people: rollout, the colour map, overlays and sheets.
#include "vitrain/report/colormap.h"
#include "vitrain/report/gaze.h"
#include "vitrain/report/rollout.h"
#include "vitrain/report/sheet.h"

#include "rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_rollout_by_hand(void **state)
{
    (void)state;
    // (A + I) / 2 = [[.75 .25] [.5 .5]]; of the second layer [[.5 .5] [0 1]].
    const vt_real first[2][4] = {{1, 0, 1, 0}, {0, 1, 1, 0}}; // two heads, mean [[.5 .5] [1 0]]
    const vt_real second[4] = {0, 1, 0, 1};
    vt_real mean[4], a[4], b[4];
    vt_attention_mean(mean, first[0], 2, 2);
    assert_float_equal(mean[0], 0.5, 0);
    assert_float_equal(mean[3], 0, 0);
    vt_rollout_step(a, NULL, mean, 2);
    const double expected_a[] = {0.75, 0.25, 0.5, 0.5};
    for (int i = 0; i < 4; i++) assert_float_equal(a[i], expected_a[i], 1e-7);
    vt_rollout_step(b, a, second, 2);
    const double expected_b[] = {0.625, 0.375, 0.5, 0.5};
    for (int i = 0; i < 4; i++) assert_float_equal(b[i], expected_b[i], 1e-7);
}

// Of a real model: rows of every map and every rollout sum to 1, and what is taken from patches is
// the class token's row.
static void test_gaze(void **state)
{
    (void)state;
    vt_model_config config = {.name = "vit",
                              .family = "vit",
                              .image_height = 24,
                              .image_width = 16,
                              .patch_size = 8,
                              .in_chans = 3,
                              .embed_dim = 12,
                              .depth = 3,
                              .num_heads = 2,
                              .mlp_ratio = 2,
                              .num_classes = 4,
                              .qkv_bias = true};
    vt_rig *rig = vt_rig_create(&config, 0, "area", 1);
    vt_params_init(&rig->model->params, rig->weights, 3);
    for (size_t i = 0; i < rig->pixels; i++) rig->images[i] = (vt_real)sin((double)i);
    vt_arena arena = {0};
    vt_gaze gaze = {0};
    vt_gaze_place(&gaze, &arena, rig->model);
    assert_int_equal(vt_arena_reserve(&arena), VT_OK);
    vt_gaze_place(&gaze, &arena, rig->model);
    const vt_attn_hook hook = vt_recorder_hook(&gaze.recorder);
    vt_pass pass = {
        .B = 1, .images = rig->images, .logits = rig->step.logits, .hooks = &hook, .n_hooks = 1};
    rig->model->ops->forward(rig->model, rig->weights, &pass);
    vt_gaze_finish(&gaze);
    assert_int_equal(gaze.T, 7);
    for (int l = 0; l < gaze.depth; l++)
        for (int i = 0; i < gaze.T; i++) {
            double mean = 0, rollout = 0;
            for (int j = 0; j < gaze.T; j++) {
                mean += (double)vt_gaze_heads_mean(&gaze, l)[i * gaze.T + j];
                rollout += (double)gaze.rollout[l][i * gaze.T + j];
            }
            assert_float_equal(mean, 1, 1e-5);
            assert_float_equal(rollout, 1, 1e-5);
        }
    vt_real patches[6];
    vt_gaze_patches(patches, gaze.rollout[2], &gaze.layout);
    for (int j = 0; j < 6; j++) assert_float_equal(patches[j], gaze.rollout[2][1 + j], 0);
    gaze.layout.pool = VT_POOL_AVG;
    vt_gaze_patches(patches, gaze.rollout[2], &gaze.layout);
    double column = 0;
    for (int i = 1; i < 7; i++) column += (double)gaze.rollout[2][i * 7 + 4] / 6;
    assert_float_equal(patches[3], column, 1e-6);
    vt_arena_release(&arena);
    vt_rig_destroy(rig);
}

static double luminance(const unsigned char rgb[3])
{
    const double weights[3] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int c = 0; c < 3; c++) sum += weights[c] * pow(rgb[c] / 255.0, 2.2);
    return sum;
}

static void test_colormap_gets_lighter(void **state)
{
    (void)state;
    double before = -1;
    for (int i = 0; i <= 64; i++) {
        unsigned char rgb[3];
        vt_colormap(rgb, i / 64.0);
        assert_true(luminance(rgb) > before);
        before = luminance(rgb);
    }
    assert_true(before > 0.8);
    unsigned char a[3], b[3];
    vt_colormap(a, 0), vt_colormap(b, NAN);
    assert_memory_equal(a, b, 3);
    vt_colormap(a, 1), vt_colormap(b, 7);
    assert_memory_equal(a, b, 3);
}

static vt_image grey_picture(int width, int height, int value)
{
    vt_image image = {0};
    assert_int_equal(vt_image_reserve(&image, width, height, 3), VT_OK);
    memset(image.pixels, value, (size_t)width * (size_t)height * 3);
    return image;
}

static void test_overlay_and_sheet(void **state)
{
    (void)state;
    vt_image picture = grey_picture(40, 20, 100), drawn = {0};
    vt_map_overlay overlay = {0};
    vt_real map[8] = {0};
    map[5] = 2; // second row, second column of 2 x 4
    assert_int_equal(vt_map_overlay_draw(&overlay, &drawn, &picture, map, 2, 4), VT_OK);
    const unsigned char *peak = drawn.pixels + (15 * 40 + 15) * 3, *corner = drawn.pixels + 39 * 3;
    assert_true(luminance(peak) > 5 * luminance(corner));
    for (int i = 0; i < 8; i++) map[i] = NAN;
    assert_int_equal(vt_map_overlay_draw(&overlay, &drawn, &picture, map, 2, 4), VT_OK);
    assert_memory_equal(drawn.pixels, corner, 3); // all dark

    vt_sheet sheet = {0};
    assert_int_equal(vt_sheet_begin(&sheet, 9, 40, 20), VT_OK);
    assert_int_equal(sheet.columns, 5);
    for (int i = 0; i < 9; i++) vt_sheet_add(&sheet, &picture);
    const unsigned char *last =
        sheet.image.pixels + ((size_t)(8 + 28) * (size_t)sheet.image.width + 8 + 3 * 48) * 3;
    assert_int_equal(last[0], 100);
    assert_int_equal(last[48 * 3], 255); // the tenth place stays empty

    vt_image small = grey_picture(5, 3, 7), large = {0};
    assert_int_equal(vt_enlarge(&large, &small, 10), VT_OK);
    assert_int_equal(large.width, 20);
    assert_int_equal(large.height, 12);
    assert_int_equal(large.pixels[20 * 12 * 3 - 1], 7);
    vt_image *const images[] = {&picture, &drawn, &small, &large};
    for (int i = 0; i < 4; i++) vt_image_free(images[i]);
    vt_map_overlay_free(&overlay);
    vt_sheet_free(&sheet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollout_by_hand),
        cmocka_unit_test(test_gaze),
        cmocka_unit_test(test_colormap_gets_lighter),
        cmocka_unit_test(test_overlay_and_sheet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
