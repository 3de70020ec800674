// augment.c: evaluation against torchvision's bytes (tests/golden/resample.txt), the training
// transforms against their definitions.
#include "vitrain/data/augment.h"

#include "chance.h"
#include "pictures.h"

#include "vitrain/base/arena.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const vt_augment_config base = {
    .channels = 3,
    .height = 32,
    .width = 32,
    .crop = VT_CROP_NONE,
    .scale = {0.08, 1},
    .ratio = {3.0 / 4, 4.0 / 3},
    .crop_pct = 0.875,
    .filter = VT_FILTER_BICUBIC,
    .mean = {0.485, 0.456, 0.406},
    .std = {0.229, 0.224, 0.225},
};

static vt_real *new_input(const vt_augment_config *config)
{
    vt_real *input = calloc((size_t)(3 * config->height * config->width), sizeof *input);
    assert_non_null(input);
    return input;
}

// The input that one call makes, as bytes; the caller frees the picture.
static vt_image transformed(const vt_image *from, const vt_augment_config *config, vt_rng *rng)
{
    vt_augment_scratch scratch = {0};
    vt_image result = {0};
    vt_real *input = new_input(config);
    assert_int_equal(rng ? vt_augment_train(input, from, config, rng, &scratch)
                         : vt_augment_eval(input, from, config, &scratch),
                     VT_OK);
    assert_int_equal(vt_augment_picture(&result, input, config), VT_OK);
    vt_augment_scratch_free(&scratch);
    free(input);
    return result;
}

static void test_eval(void **state)
{
    (void)state;
    FILE *f = fopen("tests/golden/resample.txt", "r");
    assert_non_null(f);
    char line[512], name[16];
    int cases = 0;
    while (fgets(line, sizeof line, f)) {
        vt_augment_config config = base;
        int channels, width, height;
        unsigned crc;
        if (sscanf(line, "eval %d %d %d %15s %d %lf %x", &channels, &width, &height, name,
                   &config.width, &config.crop_pct, &crc) != 7)
            continue;
        config.height = config.width;
        config.filter = strcmp(name, "bicubic") ? VT_FILTER_BILINEAR : VT_FILTER_BICUBIC;
        vt_image from = picture(channels, width, height);
        vt_image result = transformed(&from, &config, NULL);
        if (picture_crc(&result) != crc) fail_msg("other bytes than torchvision's: %s", line);
        vt_image_free(&from);
        vt_image_free(&result);
        cases++;
    }
    fclose(f);
    assert_int_equal(cases, 35);
}

// A wide input from a wide picture: the frame is 64 x 32, the picture 2 px too high for it.
static void test_eval_frame(void **state)
{
    (void)state;
    vt_augment_config config = base;
    config.width = 56, config.height = 28;
    vt_image from = picture(3, 64, 34), result = transformed(&from, &config, NULL);
    for (int y = 0; y < 28; y++) {
        const unsigned char *expected = from.pixels + 3 * ((y + 3) * 64 + 4);
        assert_memory_equal(result.pixels + 3 * y * 56, expected, 3 * 56);
    }
    vt_image_free(&from);
    vt_image_free(&result);
    from = picture(3, 3, 1);
    from.width = INT_MAX; // so thin that its pixels are never looked at
    vt_augment_scratch scratch = {0};
    vt_real *input = new_input(&config);
    assert_int_equal(vt_augment_eval(input, &from, &config, &scratch), VT_ERR_FORMAT);
    free(input);
    vt_augment_scratch_free(&scratch);
    vt_image_free(&from);
}

// (v / 255 - mean) / std in the arithmetic of vt_real, channel by channel.
static void test_normalisation(void **state)
{
    (void)state;
    vt_augment_config config = base;
    vt_image from = picture(3, 32, 32);
    vt_rng rng = vt_rng_at(1, VT_STREAM_AUGMENT, 0, 0);
    vt_real *input = new_input(&config);
    vt_augment_scratch scratch = {0};
    assert_int_equal(vt_augment_train(input, &from, &config, &rng, &scratch), VT_OK);
    for (int i = 0; i < 3 * 32 * 32; i++) {
        int c = i / (32 * 32);
        vt_real v = (vt_real)from.pixels[i % (32 * 32) * 3 + c] / 255;
        assert_true(input[i] == (v - (vt_real)config.mean[c]) / (vt_real)config.std[c]);
    }
    free(input);
    vt_augment_scratch_free(&scratch);
    vt_image_free(&from);
}

static void test_channels(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(1, VT_STREAM_AUGMENT, 0, 0);
    vt_augment_config config = base;
    vt_image grey = picture(1, 32, 32), colour = picture(3, 32, 32);
    vt_image replicated = transformed(&grey, &config, &rng);
    config.channels = 1;
    vt_image kept = transformed(&grey, &config, &rng), luma = transformed(&colour, &config, &rng);
    for (int i = 0; i < 3 * 32 * 32; i++) {
        assert_int_equal(replicated.pixels[i], grey.pixels[i / 3]);
        assert_int_equal(kept.pixels[i], grey.pixels[i / 3]);
        const unsigned char *p = colour.pixels + i / 3 * 3; // Pillow: 16-bit weights, rounded
        int expected = (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 32768) / 65536;
        assert_int_equal(luma.pixels[i], expected);
    }
    vt_image_free(&grey);
    vt_image_free(&colour);
    vt_image_free(&replicated);
    vt_image_free(&kept);
    vt_image_free(&luma);
}

// Whether `result` is the padded picture shifted by (dx, dy), mirrored or not.
static bool is_shifted(const vt_image *result, const vt_image *from, int dx, int dy, bool flip)
{
    for (int y = 0; y < result->height; y++) {
        for (int x = 0; x < result->width; x++) {
            int from_x = (flip ? result->width - 1 - x : x) + dx, from_y = y + dy;
            bool inside =
                from_x >= 0 && from_x < from->width && from_y >= 0 && from_y < from->height;
            for (int c = 0; c < 3; c++) {
                int expected = inside ? from->pixels[3 * (from_y * from->width + from_x) + c] : 0;
                if (result->pixels[3 * (y * result->width + x) + c] != expected) return false;
            }
        }
    }
    return true;
}

// Every shift by up to `pad`, with and without a flip, comes up, and nothing else.
static void test_pad_and_crop(void **state)
{
    (void)state;
    enum { PAD = 1, SHIFTS = 2 * PAD + 1, DRAWS = 400 };
    vt_augment_config config = base;
    config.crop = VT_CROP_PAD, config.pad = PAD, config.flip = 0.5;
    vt_image from = picture(3, 32, 32);
    int seen[2][SHIFTS][SHIFTS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(7, VT_STREAM_AUGMENT, 0, i);
        vt_image result = transformed(&from, &config, &rng);
        int found = 0;
        for (int k = 0; k < 2 * SHIFTS * SHIFTS; k++) {
            int flip = k / (SHIFTS * SHIFTS), dy = k / SHIFTS % SHIFTS, dx = k % SHIFTS;
            if (!is_shifted(&result, &from, dx - PAD, dy - PAD, flip)) continue;
            seen[flip][dy][dx]++;
            found++;
        }
        assert_int_equal(found, 1);
        vt_image_free(&result);
    }
    // 18 cells of mean 22: under 4 or over 50 would be beyond four deviations.
    for (int k = 0; k < 2 * SHIFTS * SHIFTS; k++) assert_in_range((&seen[0][0][0])[k], 4, 50);
    vt_image_free(&from);
}

// Whether `result` is the picture shifted by (dx, dy), mirrored at its borders, flipped or not.
static bool is_reflected(const vt_image *result, const vt_image *from, int dx, int dy, bool flip)
{
    for (int y = 0; y < result->height; y++) {
        for (int x = 0; x < result->width; x++) {
            int at[2] = {(flip ? result->width - 1 - x : x) + dx, y + dy};
            const int sides[2] = {from->width, from->height};
            for (int k = 0; k < 2; k++) { // numpy's "reflect": the outermost pixel once
                if (at[k] < 0) at[k] = -at[k];
                if (at[k] >= sides[k]) at[k] = 2 * (sides[k] - 1) - at[k];
            }
            if (memcmp(result->pixels + 3 * (y * result->width + x),
                       from->pixels + 3 * (at[1] * from->width + at[0]), 3))
                return false;
        }
    }
    return true;
}

// DeiT III's simple random crop of a picture that covers the input with two columns to spare: no
// resizing; every shift, with and without a flip, comes up, and nothing else.
static void test_simple_crop(void **state)
{
    (void)state;
    enum { PAD = 1, ACROSS = 2 * PAD + 3, DOWN = 2 * PAD + 1, DRAWS = 700 };
    vt_augment_config config = base;
    config.crop = VT_CROP_SIMPLE, config.pad = PAD, config.flip = 0.5;
    vt_image from = picture(3, 34, 32);
    long seen[2 * DOWN * ACROSS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(7, VT_STREAM_AUGMENT, 1, i);
        vt_image result = transformed(&from, &config, &rng);
        int found = 0;
        for (int k = 0; k < 2 * DOWN * ACROSS; k++) {
            const int flip = k / (DOWN * ACROSS), dy = k / ACROSS % DOWN, dx = k % ACROSS;
            if (!is_reflected(&result, &from, dx - PAD, dy - PAD, flip)) continue;
            seen[k]++;
            found++;
        }
        assert_int_equal(found, 1);
        vt_image_free(&result);
    }
    chance_counts(seen, NULL, 2 * DOWN * ACROSS, "shifts and flips");
    vt_image_free(&from);
}

// It resizes to the size that evaluation with crop_pct 1 resizes to; a border wider than the
// picture is reflected again and again; grey pictures are replicated; too thin ones refused.
static void test_simple_crop_sizes(void **state)
{
    (void)state;
    vt_augment_config config = base;
    config.crop = VT_CROP_SIMPLE;
    vt_resample_scratch resample = {0};
    vt_image from = picture(1, 70, 90), resized = {0}; // to 32 x 41
    const double whole[4] = {0, 0, 70, 90};
    assert_int_equal(vt_resample(&resized, &from, whole, 32, 41, NULL, config.filter, &resample),
                     VT_OK);
    for (uint32_t i = 0; i < 20; i++) {
        vt_rng rng = vt_rng_at(7, VT_STREAM_AUGMENT, 2, i), same = rng;
        const int top = (int)vt_rng_below(&same, 10);
        vt_image result = transformed(&from, &config, &rng);
        for (int p = 0; p < 3 * 32 * 32; p++)
            assert_int_equal(result.pixels[p], resized.pixels[32 * top + p / 3]);
        vt_image_free(&result);
    }
    config.pad = 200;
    vt_rng rng = vt_rng_at(7, VT_STREAM_AUGMENT, 3, 0);
    vt_image result = transformed(&from, &config, &rng);
    vt_image_free(&result);
    vt_image_free(&from);
    from = picture(3, 3, 1);
    from.width = INT_MAX;
    vt_augment_scratch scratch = {0};
    vt_real *input = new_input(&config);
    assert_int_equal(vt_augment_train(input, &from, &config, &rng, &scratch), VT_ERR_FORMAT);
    free(input);
    vt_augment_scratch_free(&scratch);
    vt_image_free(&from);
    vt_image_free(&resized);
    vt_resample_free(&resample);
}

// rrc equals crop, then resize, of the box that the same numbers give.
static void test_random_resized_crop(void **state)
{
    (void)state;
    vt_augment_config config = base;
    config.crop = VT_CROP_RRC;
    vt_image from = picture(3, 90, 70), cut = {0}, expected = {0};
    vt_resample_scratch scratch = {0};
    for (uint32_t i = 0; i < 20; i++) {
        vt_rng rng = vt_rng_at(3, VT_STREAM_AUGMENT, 1, i), same = rng;
        int box[4];
        vt_random_resized_crop(box, 90, 70, config.scale, config.ratio, &same);
        assert_int_equal(vt_image_reserve(&cut, box[2], box[3], 3), VT_OK);
        for (int y = 0; y < box[3]; y++) {
            memcpy(cut.pixels + 3 * y * box[2], from.pixels + 3 * ((box[1] + y) * 90 + box[0]),
                   (size_t)(3 * box[2]));
        }
        const double whole[4] = {0, 0, box[2], box[3]};
        assert_int_equal(vt_resample(&expected, &cut, whole, 32, 32, NULL, config.filter, &scratch),
                         VT_OK);
        vt_image result = transformed(&from, &config, &rng);
        assert_memory_equal(result.pixels, expected.pixels, 3 * 32 * 32);
        vt_image_free(&result);
    }
    vt_image_free(&from);
    vt_image_free(&cut);
    vt_image_free(&expected);
    vt_resample_free(&scratch);
}

static void test_crop_boxes(void **state)
{
    (void)state;
    const double scale[2] = {0.08, 1}, ratio[2] = {0.75, 4.0 / 3}, tiny[2] = {1e-9, 1e-9};
    double area = 0;
    enum { DRAWS = 4000 };
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(5, VT_STREAM_AUGMENT, 0, i);
        int box[4];
        vt_random_resized_crop(box, 400, 300, scale, ratio, &rng);
        assert_true(box[0] >= 0 && box[1] >= 0 && box[2] > 0 && box[3] > 0);
        assert_true(box[0] + box[2] <= 400 && box[1] + box[3] <= 300);
        double aspect = (double)box[2] / box[3];
        assert_true(aspect > 0.74 && aspect < 1.35); // rounding to px moves it by under 1%
        area += (double)box[2] * box[3] / (400 * 300) / DRAWS;
    }
    // torchvision's get_params averages 0.4321 of the area on 400 x 300 (150,000 draws); one draw
    // deviates by 0.218, this mean by 0.0034: four deviations.
    assert_true(fabs(area - 0.4321) < 0.014);
    static const int cases[][6] = {// width, height; the fall-back's box
                                   {300, 30, 130, 0, 40, 30},
                                   {30, 300, 0, 130, 30, 40},
                                   {40, 40, 0, 0, 40, 40}};
    for (size_t i = 0; i < 3; i++) {
        vt_rng rng = vt_rng_at(5, VT_STREAM_AUGMENT, 0, 0);
        int box[4];
        vt_random_resized_crop(box, cases[i][0], cases[i][1], tiny, ratio, &rng); // under 1 px
        assert_memory_equal(box, cases[i] + 2, sizeof box);
    }
}

// Area and aspect where no draw has to be repeated.
static void test_crop_distribution(void **state)
{
    (void)state;
    enum { DRAWS = 40000, SIDE = 20000 };
    const double scale[2] = {0.1, 0.4}, ratio[2] = {0.75, 4.0 / 3}, whole[2] = {0, 1};
    const double logs[2] = {log(0.75), log(4.0 / 3)};
    static double areas[DRAWS], aspects[DRAWS], lefts[DRAWS], tops[DRAWS];
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(6, VT_STREAM_AUGMENT, 0, i);
        int box[4];
        vt_random_resized_crop(box, SIDE, SIDE, scale, ratio, &rng);
        areas[i] = (double)box[2] * box[3] / ((double)SIDE * SIDE);
        aspects[i] = log((double)box[2] / box[3]);
        lefts[i] = box[0] / (SIDE - box[2] + 1.0);
        tops[i] = box[1] / (SIDE - box[3] + 1.0);
    }
    chance_cdf(areas, DRAWS, chance_uniform, scale, "area of the crop");
    chance_cdf(aspects, DRAWS, chance_uniform, logs, "width / height");
    chance_cdf(lefts, DRAWS, chance_uniform, whole, "left");
    chance_cdf(tops, DRAWS, chance_uniform, whole, "top");
}

// ---- the stages after the crop ----

// Colour jitter so weak that it changes nothing takes the way through a picture of its own: the
// same input, for every kind of crop, flip and number of channels.
static void test_frame(void **state)
{
    (void)state;
    static const int pads[] = {0, 3, 100};
    for (int k = 0; k < 3 * 3 * 40; k++) {
        vt_augment_config plain = base;
        const int kind = k % 3; // grey to grey, grey to three, colour
        plain.channels = kind == 0 ? 1 : 3;
        plain.flip = 0.5, plain.crop = VT_CROP_PAD, plain.pad = pads[k / 3 % 3];
        plain.height = 20;
        vt_augment_config jittered = plain;
        jittered.color_jitter[0] = 1e-12;
        vt_image from = picture(kind == 2 ? 3 : 1, k % 2 ? 32 : 21, 20);
        vt_rng rng = vt_rng_at(9, VT_STREAM_AUGMENT, 0, (uint32_t)k), same = rng;
        vt_image a = transformed(&from, &plain, &rng), b = transformed(&from, &jittered, &same);
        assert_memory_equal(a.pixels, b.pixels, 32 * 20 * 3);
        vt_image_free(&a);
        vt_image_free(&b);
        vt_image_free(&from);
    }
}

// Crop, flip, operations, normalisation, erasing, one after the other by hand.
static void test_stages(void **state)
{
    (void)state;
    vt_augment_config config = base;
    config.crop = VT_CROP_RRC, config.flip = 0.5, config.interpolation = VT_TRAIN_FILTER_RANDOM;
    config.erase = (vt_erase_config){0.5, VT_ERASE_PIXEL, 1, {0.02, 1.0 / 3}, {0.3, 1 / 0.3}};
    config.color_jitter[0] = 0.4; // off: there is a policy
    assert_int_equal(vt_rand_augment_parse(&config.aa, "rand-m9-mstd0.5-inc1"), VT_OK);
    const vt_filter filters[2] = {VT_FILTER_BILINEAR, VT_FILTER_BICUBIC};
    const unsigned char fill[3] = {124, 116, 104};
    vt_augment_config cropping = base; // crop alone
    cropping.crop = VT_CROP_RRC;
    vt_image from = picture(3, 90, 70);
    vt_real *input = new_input(&config), *expected = new_input(&config);
    vt_augment_scratch scratch = {0};
    vt_op_scratch ops = {0};
    int changed = 0, erased = 0;
    for (uint32_t i = 0; i < 60; i++) {
        vt_rng rng = vt_rng_at(8, VT_STREAM_AUGMENT, 2, i), same = rng, first = rng;
        assert_int_equal(vt_augment_train(input, &from, &config, &rng, &scratch), VT_OK);
        int box[4];
        vt_random_resized_crop(box, 90, 70, config.scale, config.ratio, &same);
        cropping.filter = vt_filter_draw(filters, &same);
        vt_image image = transformed(&from, &cropping, &first);
        if (vt_rng_uniform(&same) < 0.5) {
            vt_image mirrored = picture(3, 32, 32);
            for (int p = 0; p < 32 * 32; p++)
                memcpy(mirrored.pixels + 3 * p, image.pixels + 3 * (p / 32 * 32 + 31 - p % 32), 3);
            vt_image_free(&image);
            image = mirrored;
        }
        vt_op_call calls[VT_MOST_OP_CALLS];
        int n = vt_rand_augment_draw(calls, &config.aa, filters, &same);
        for (int k = 0; k < n; k++)
            assert_int_equal(vt_image_apply(&image, &calls[k], fill, &ops), VT_OK);
        for (int p = 0; p < 3 * 32 * 32; p++) {
            int c = p / (32 * 32);
            vt_real v = (vt_real)image.pixels[p % (32 * 32) * 3 + c] / 255;
            expected[p] = (v - (vt_real)config.mean[c]) / (vt_real)config.std[c];
        }
        vt_rng at_erasing = same;
        vt_erase(expected, 3, 32, 32, &config.erase, &same);
        erased += vt_rng_uniform(&at_erasing) < 0.5;
        changed += n > 0;
        assert_memory_equal(input, expected, 3 * 32 * 32 * sizeof *input);
        vt_image_free(&image);
    }
    assert_in_range(changed, 30, 58); // 45 on average
    assert_in_range(erased, 15, 45);
    vt_image_free(&from);
    vt_augment_scratch_free(&scratch);
    vt_op_scratch_free(&ops);
    free(input), free(expected);
}

// Colour jitter alone does what its calls say.
static void test_jitter(void **state)
{
    (void)state;
    vt_augment_config config = base;
    const double strength[VT_JITTERS] = {0.4, 0.3, 0.4, 0.1};
    memcpy(config.color_jitter, strength, sizeof strength);
    const unsigned char fill[3] = {0};
    vt_op_scratch ops = {0};
    for (uint32_t i = 0; i < 10; i++) {
        vt_rng rng = vt_rng_at(8, VT_STREAM_AUGMENT, 3, i), same = rng;
        vt_image from = scene(3, 32, 32), result = transformed(&from, &config, &rng);
        vt_op_call calls[VT_MOST_OP_CALLS];
        vt_rng_uniform(&same); // the flip's
        assert_int_equal(vt_color_jitter_draw(calls, strength, &same), VT_JITTERS);
        for (int k = 0; k < VT_JITTERS; k++)
            assert_int_equal(vt_image_apply(&from, &calls[k], fill, &ops), VT_OK);
        assert_memory_equal(result.pixels, from.pixels, 3 * 32 * 32);
        vt_image_free(&from);
        vt_image_free(&result);
    }
    vt_op_scratch_free(&ops);
}

// DeiT III: one of the three, then jitter.
static void test_three_augment(void **state)
{
    (void)state;
    vt_augment_config config = base;
    static const double strength[VT_JITTERS] = {0.3, 0.3, 0.3, 0};
    config.three_augment = true;
    memcpy(config.color_jitter, strength, sizeof strength);
    const unsigned char fill[3] = {0};
    vt_op_scratch ops = {0};
    for (uint32_t i = 0; i < 20; i++) {
        vt_rng rng = vt_rng_at(8, VT_STREAM_AUGMENT, 6, i), same = rng;
        vt_image from = scene(3, 32, 32), result = transformed(&from, &config, &rng);
        vt_op_call calls[1 + VT_MOST_OP_CALLS];
        vt_rng_uniform(&same); // the flip's
        calls[0] = vt_three_augment_draw(&same);
        assert_int_equal(vt_color_jitter_draw(calls + 1, strength, &same), 3);
        for (int k = 0; k < 4; k++)
            assert_int_equal(vt_image_apply(&from, &calls[k], fill, &ops), VT_OK);
        assert_memory_equal(result.pixels, from.pixels, 3 * 32 * 32);
        vt_image_free(&from);
        vt_image_free(&result);
    }
    vt_op_scratch_free(&ops);
}

// The colour that moved pixels leave behind is the mean's, rounded; one number for grey inputs.
static void test_fill(void **state)
{
    (void)state;
    static const unsigned char colour[3] = {124, 116, 104}, grey[3] = {128, 128, 128};
    for (int channels = 1; channels <= 3; channels += 2) {
        vt_augment_config config = base;
        config.channels = channels;
        if (channels == 1) config.mean[0] = 0.5, config.std[0] = 0.5;
        assert_int_equal(vt_rand_augment_parse(&config.aa, "rand-m10-n16-p1"), VT_OK);
        int found = 0;
        for (uint32_t i = 0; i < 400; i++) {
            vt_rng rng = vt_rng_at(8, VT_STREAM_AUGMENT, 4, i), same = rng;
            vt_op_call calls[VT_MOST_OP_CALLS];
            const vt_filter filters[2] = {VT_FILTER_BICUBIC, VT_FILTER_BICUBIC};
            vt_rng_uniform(&same); // the flip's
            int n = vt_rand_augment_draw(calls, &config.aa, filters, &same);
            if (calls[n - 1].op != VT_OP_TRANSLATE_X) continue;
            vt_image from = picture(channels, 32, 32), result = transformed(&from, &config, &rng);
            int x = calls[n - 1].argument > 0 ? 31 : 0;
            assert_memory_equal(result.pixels + 3 * x, channels == 3 ? colour : grey, 3);
            vt_image_free(&from);
            vt_image_free(&result);
            found++;
        }
        assert_true(found > 5);
    }
}

static size_t capacity_of(const vt_augment_scratch *s)
{
    return s->region.capacity + s->resized.capacity + s->framed.capacity + s->ops.spare.capacity +
           s->ops.padded.capacity + s->resample.bytes;
}

// Memory grows to what the largest picture needs and no further.
static void test_no_allocation_once_warm(void **state)
{
    (void)state;
    vt_augment_config config = base;
    config.flip = 0.5, config.three_augment = true;
    config.erase = (vt_erase_config){0.5, VT_ERASE_PIXEL, 2, {0.02, 1.0 / 3}, {0.3, 1 / 0.3}};
    assert_int_equal(vt_rand_augment_parse(&config.aa, "rand-m9-mstd0.5-n4-inc1"), VT_OK);
    vt_image from = picture(3, 64, 48);
    vt_augment_scratch scratch = {0};
    vt_real *input = new_input(&config);
    size_t capacity = 0, allocations = 0;
    for (uint32_t i = 0; i < 300; i++) {
        vt_rng rng = vt_rng_at(8, VT_STREAM_AUGMENT, 5, i);
        assert_int_equal(vt_augment_train(input, &from, &config, &rng, &scratch), VT_OK);
        if (i < 100) {
            capacity = capacity_of(&scratch);
            allocations = vt_alloc_count();
        }
    }
    assert_int_equal(capacity_of(&scratch), capacity);
    assert_int_equal(vt_alloc_count(), allocations);
    vt_image_free(&from);
    vt_augment_scratch_free(&scratch);
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_eval_frame),
        cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_pad_and_crop),
        cmocka_unit_test(test_simple_crop),
        cmocka_unit_test(test_simple_crop_sizes),
        cmocka_unit_test(test_random_resized_crop),
        cmocka_unit_test(test_crop_boxes),
        cmocka_unit_test(test_crop_distribution),
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_three_augment),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_no_allocation_once_warm),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
