// The operations against bytes that Pillow made (tests/golden/augment.txt).
#include "vitrain/data/augment_ops.h"

#include "pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char fill[3] = {124, 116, 104}; // ImageNet's mean

static int op_named(const char *name)
{
    for (int i = 0; i < VT_IMAGE_OPS; i++)
        if (strcmp(vt_image_op_names[i], name) == 0) return i;
    fail_msg("no operation %s", name);
    return -1;
}

// Every line: the same bytes. (Warps too, although one level of difference would be harmless.)
static void test_pillow(void **state)
{
    (void)state;
    FILE *f = fopen("tests/golden/augment.txt", "r");
    assert_non_null(f);
    char line[512], name[32], kind[16], filter[16];
    int channels, width, height, cases[VT_IMAGE_OPS] = {0}, total = 0;
    double argument;
    unsigned crc;
    vt_op_scratch scratch = {0};
    while (fgets(line, sizeof line, f)) {
        assert_int_equal(sscanf(line, "%31s %15s %d %d %d %15s %lf %x", name, kind, &channels,
                                &width, &height, filter, &argument, &crc),
                         8);
        vt_image image = strcmp(kind, "noise") == 0 ? picture(channels, width, height)
                                                    : scene(channels, width, height);
        vt_op_call call = {.op = (vt_image_op)op_named(name), .argument = argument};
        call.filter = strcmp(filter, "bicubic") ? VT_FILTER_BILINEAR : VT_FILTER_BICUBIC;
        assert_int_equal(vt_image_apply(&image, &call, fill, &scratch), VT_OK);
        assert_int_equal(image.width, width);
        assert_int_equal(image.height, height);
        assert_int_equal(image.channels, channels);
        if (picture_crc(&image) != crc) fail_msg("other bytes than Pillow's: %s", line);
        vt_image_free(&image);
        cases[call.op]++;
        total++;
    }
    fclose(f);
    for (int i = 0; i < VT_IMAGE_OPS; i++) assert_true(cases[i] >= 16);
    assert_int_equal(total, 1372);
    vt_op_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pillow),
    };
    return cmocka_run_group_tests_name("augment_ops", tests, NULL, NULL);
}
