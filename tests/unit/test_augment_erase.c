// Random erasing: what it erases and with what, and the distribution of its boxes (chance.h says
// with what confidence).
#include "vitrain/data/augment_erase.h"

#include "chance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DRAWS = 40000, SIDE = 24, AREA = SIDE * SIDE };
#define UNTOUCHED 100 // no normal number is that large

static const vt_erase_config timm = {.probability = 1,
                                     .mode = VT_ERASE_PIXEL,
                                     .count = 1,
                                     .area = {0.02, 1.0 / 3},
                                     .aspect = {0.3, 1 / 0.3}};

// On an input so large that rounding to px does not show, and within ranges that need no second
// try.
static void test_boxes(void **state)
{
    (void)state;
    vt_erase_config config = timm;
    config.area[1] = 0.2, config.aspect[1] = 3;
    const int height = 30000, width = 20000;
    const double aspects[2] = {log(0.3), log(3)}, places[2] = {0, 1};
    double *areas = calloc(DRAWS, sizeof *areas), *logs = calloc(DRAWS, sizeof *logs);
    double *lefts = calloc(DRAWS, sizeof *lefts), *tops = calloc(DRAWS, sizeof *tops);
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(21, VT_STREAM_AUGMENT, 0, i);
        int box[4];
        assert_true(vt_erase_box(box, height, width, 1, &config, &rng));
        areas[i] = (double)box[2] * box[3] / ((double)height * width);
        logs[i] = log((double)box[3] / box[2]);
        lefts[i] = box[0] / (width - box[2] + 1.0);
        tops[i] = box[1] / (height - box[3] + 1.0);
    }
    chance_cdf(areas, DRAWS, chance_uniform, config.area, "erased area");
    chance_cdf(logs, DRAWS, chance_uniform, aspects, "height / width");
    chance_cdf(lefts, DRAWS, chance_uniform, places, "left");
    chance_cdf(tops, DRAWS, chance_uniform, places, "top");
    free(areas), free(logs), free(lefts), free(tops);
}

// timm's RandomErasing at 224 px: mean area 0.17605 with deviation 0.0900, mean of the logarithm of
// the aspect 0 with deviation 0.693 (150,000 draws). Four deviations of a mean of DRAWS, and as
// much again for timm's own.
static void test_means(void **state)
{
    (void)state;
    double area = 0, aspect = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(22, VT_STREAM_AUGMENT, 0, i);
        int box[4];
        assert_true(vt_erase_box(box, 224, 224, 1, &timm, &rng));
        assert_true(box[0] >= 0 && box[1] >= 0 && box[2] < 224 && box[3] < 224);
        assert_true(box[0] + box[2] <= 224 && box[1] + box[3] <= 224);
        area += (double)box[2] * box[3] / (224 * 224) / DRAWS;
        aspect += log((double)box[3] / box[2]) / DRAWS;
    }
    assert_true(fabs(area - 0.17605) < 4 * 0.0900 * (1 / sqrt(DRAWS) + 1 / sqrt(150000)));
    assert_true(fabs(aspect) < 4 * 0.693 / sqrt(DRAWS));
}

// Boxes of one size land everywhere, the edges included.
static void test_places(void **state)
{
    (void)state;
    vt_erase_config config = timm;
    config.area[0] = config.area[1] = 0.25, config.aspect[0] = config.aspect[1] = 1;
    long cells[25] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        vt_rng rng = vt_rng_at(23, VT_STREAM_AUGMENT, 0, i);
        int box[4];
        assert_true(vt_erase_box(box, 8, 8, 1, &config, &rng));
        assert_true(box[2] == 4 && box[3] == 4);
        cells[5 * box[1] + box[0]]++;
    }
    chance_counts(cells, NULL, 25, "place of the box");
    config.area[0] = config.area[1] = 1; // never smaller than the input
    vt_rng rng = vt_rng_at(23, VT_STREAM_AUGMENT, 1, 0);
    int box[4];
    assert_false(vt_erase_box(box, 8, 8, 1, &config, &rng));
}

// Erases, and counts the touched values; those that are not are checked.
static long erase(vt_real *input, int channels, const vt_erase_config *config, uint32_t sample)
{
    long touched = 0;
    vt_rng rng = vt_rng_at(24, VT_STREAM_AUGMENT, 0, sample);
    for (int i = 0; i < channels * AREA; i++) input[i] = UNTOUCHED;
    vt_erase(input, channels, SIDE, SIDE, config, &rng);
    for (int i = 0; i < channels * AREA; i++) touched += input[i] != UNTOUCHED;
    return touched;
}

// One box: the same for all channels, a rectangle, filled as the mode says.
static void test_modes(void **state)
{
    (void)state;
    vt_real input[3 * AREA];
    double *noise = calloc((size_t)DRAWS, sizeof *noise), *colours = calloc(3000, sizeof *colours);
    const double moments[2] = {0, 1};
    size_t n = 0, m = 0;
    for (int mode = VT_ERASE_CONST; mode <= VT_ERASE_PIXEL; mode++) {
        vt_erase_config config = timm;
        config.mode = (vt_erase_mode)mode;
        for (uint32_t i = 0; i < 1000; i++) {
            long touched = erase(input, 3, &config, i);
            int left = SIDE, right = -1, top = SIDE, bottom = -1;
            for (int p = 0; p < AREA; p++) {
                if (input[p] == UNTOUCHED) continue;
                int x = p % SIDE, y = p / SIDE;
                if (x < left) left = x;
                if (x > right) right = x;
                if (y < top) top = y;
                bottom = y;
            }
            assert_int_equal(touched, 3 * (right - left + 1) * (bottom - top + 1));
            for (int c = 0; c < 3; c++) {
                vt_real corner = input[c * AREA + top * SIDE + left];
                if (mode == VT_ERASE_RAND) colours[m++] = corner;
                for (int y = top; y <= bottom; y++) {
                    for (int x = left; x <= right; x++) {
                        vt_real v = input[c * AREA + y * SIDE + x];
                        if (mode == VT_ERASE_CONST) assert_true(v == 0);
                        if (mode == VT_ERASE_RAND) assert_true(v == corner);
                        if (mode == VT_ERASE_PIXEL && n < DRAWS) noise[n++] = v;
                    }
                }
            }
        }
    }
    assert_int_equal(m, 3000);
    assert_int_equal(n, DRAWS);
    chance_cdf(colours, m, chance_normal, moments, "colours of boxes");
    chance_cdf(noise, n, chance_normal, moments, "noise in boxes");
    free(noise), free(colours);
}

static void test_probability_and_count(void **state)
{
    (void)state;
    vt_real input[AREA];
    vt_erase_config config = timm;
    long erased = 0, boxes[3] = {0};
    config.probability = 0.25;
    for (uint32_t i = 0; i < DRAWS; i++) erased += erase(input, 1, &config, i) > 0;
    chance_share(erased, DRAWS, 0.25, "erased pictures");
    config.probability = 0;
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(erase(input, 1, &config, i), 0);

    // Of one pixel each, so that the touched ones count them, but for those that meet.
    config = timm;
    config.count = 3, config.mode = VT_ERASE_RAND;
    config.area[0] = config.area[1] = 2.0 / AREA, config.aspect[0] = config.aspect[1] = 1;
    for (uint32_t i = 0; i < DRAWS; i++) {
        long touched = erase(input, 1, &config, i);
        assert_in_range(touched, 1, 3);
        boxes[touched - 1]++;
    }
    // Two meet with probability 1/576; of three, some two with about 3/576.
    const double meet = 1.0 / AREA, both = 3 * meet;
    const double shares[3] = {1 + meet, 1 - meet + both, 1 - both};
    chance_counts(boxes, shares, 3, "number of boxes");
}

// The boxes share the area: of two, each has half of it.
static void test_shared_area(void **state)
{
    (void)state;
    vt_erase_config config = timm;
    config.area[0] = config.area[1] = 0.08, config.aspect[0] = config.aspect[1] = 1;
    vt_rng rng = vt_rng_at(25, VT_STREAM_AUGMENT, 0, 0);
    int box[4];
    assert_true(vt_erase_box(box, 100, 100, 2, &config, &rng));
    assert_int_equal(box[2], 20);
    assert_int_equal(box[3], 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_probability_and_count),
        cmocka_unit_test(test_shared_area),
    };
    return cmocka_run_group_tests_name("augment_erase", tests, NULL, NULL);
}
