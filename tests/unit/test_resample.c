// resample.c against bytes that Pillow made (tests/golden/resample.txt), and what a window
// promises.
#include "vitrain/data/resample.h"

#include "pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_pillow(void **state)
{
    (void)state;
    FILE *f = fopen("tests/golden/resample.txt", "r");
    assert_non_null(f);
    char line[512], name[16];
    int cases = 0;
    vt_resample_scratch scratch = {0};
    vt_image to = {0};
    while (fgets(line, sizeof line, f)) {
        int channels, width, height, new_width, new_height;
        double box[4];
        unsigned crc;
        if (sscanf(line, "resample %d %d %d %15s %lf %lf %lf %lf %d %d %x", &channels, &width,
                   &height, name, &box[0], &box[1], &box[2], &box[3], &new_width, &new_height,
                   &crc) != 11)
            continue;
        vt_image from = picture(channels, width, height);
        vt_filter filter = strcmp(name, "bicubic") ? VT_FILTER_BILINEAR : VT_FILTER_BICUBIC;
        assert_int_equal(
            vt_resample(&to, &from, box, new_width, new_height, NULL, filter, &scratch), VT_OK);
        assert_int_equal(to.width, new_width);
        assert_int_equal(to.height, new_height);
        assert_int_equal(to.channels, channels);
        if (picture_crc(&to) != crc) fail_msg("other bytes than Pillow's: %s", line);
        vt_image_free(&from);
        cases++;
    }
    fclose(f);
    assert_int_equal(cases, 96);
    vt_image_free(&to);
    vt_resample_free(&scratch);
}

// Any window holds the bytes of the whole result.
static void test_window(void **state)
{
    (void)state;
    static const int windows[][4] = {
        {0, 0, 40, 30}, {7, 5, 1, 1}, {39, 29, 1, 1}, {3, 0, 20, 30}, {11, 13, 17, 9}};
    const double box[4] = {1.25, 0, 60, 76.5};
    vt_image from = picture(3, 61, 77), whole = {0}, part = {0};
    vt_resample_scratch scratch = {0};
    vt_filter filter = VT_FILTER_BICUBIC;
    assert_int_equal(vt_resample(&whole, &from, box, 40, 30, NULL, filter, &scratch), VT_OK);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        const int *w = windows[i];
        assert_int_equal(vt_resample(&part, &from, box, 40, 30, w, filter, &scratch), VT_OK);
        assert_int_equal(part.width, w[2]);
        assert_int_equal(part.height, w[3]);
        for (int y = 0; y < w[3]; y++) {
            assert_memory_equal(part.pixels + 3 * y * w[2],
                                whole.pixels + 3 * ((w[1] + y) * 40 + w[0]), (size_t)(3 * w[2]));
        }
    }
    vt_image_free(&from);
    vt_image_free(&whole);
    vt_image_free(&part);
    vt_resample_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pillow),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests_name("resample", tests, NULL, NULL);
}
