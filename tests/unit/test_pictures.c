// Pictures of every kind against Pillow and torchvision (tests/golden/pictures.txt): the pixels of
// the whole, those of parts, and evaluation's input. The made-up ones lie in tests/golden/pictures;
// the others are real, and their test is skipped where they are not at hand.
#include "vitrain/data/sample.h"

#include "folder.h"
#include "pictures.h"

#include "vitrain/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum { MAX_PIXELS = 178956970, SIDE = 224, PARTS = 40 };

typedef struct golden {
    char where[64], name[256];
    int width, height;
    unsigned pixels, eval;
} golden;

// The next line about a picture in `where`; false at the end.
static bool next_golden(golden *g, FILE *f, const char *where)
{
    char line[512];
    while (fgets(line, sizeof line, f)) {
        assert_int_equal(sscanf(line, "%63s %255s %d %d %x %x", g->where, g->name, &g->width,
                                &g->height, &g->pixels, &g->eval),
                         6);
        if (strcmp(g->where, where) == 0) return true;
    }
    return false;
}

static FILE *open_golden(void)
{
    FILE *f = fopen("tests/golden/pictures.txt", "r");
    assert_non_null(f);
    return f;
}

// Parts of all sizes, in corners too, are what is cut from the whole.
static void check_parts(const unsigned char *data, size_t bytes, const vt_image *whole,
                        const char *name)
{
    vt_image part = {0};
    for (uint32_t i = 0; i < PARTS; i++) {
        vt_rng rng = vt_rng_at(5, VT_STREAM_SYNTHETIC, 0, i);
        int box[4], sides[2] = {whole->width, whole->height};
        for (int k = 0; k < 2; k++) {
            int most = vt_rng_below(&rng, 3) ? sides[k] : sides[k] < 20 ? sides[k] : 20;
            box[k + 2] = 1 + (int)vt_rng_below(&rng, (uint32_t)most);
            int room = sides[k] - box[k + 2];
            uint32_t place = vt_rng_below(&rng, 4);
            box[k] = place == 0   ? 0
                     : place == 1 ? room
                                  : (int)vt_rng_below(&rng, (uint32_t)room + 1);
        }
        vt_image_reader reader;
        assert_int_equal(vt_image_open(&reader, data, bytes, MAX_PIXELS, name), VT_OK);
        if (vt_image_decode_part(&reader, &part, box) != VT_OK) fail_msg("%s", vt_error_message());
        vt_image_close(&reader);
        for (int y = 0; y < box[3]; y++) {
            size_t first = (size_t)(box[1] + y) * (size_t)whole->width + (size_t)box[0];
            if (memcmp(part.pixels + 3 * (size_t)(y * box[2]), whole->pixels + 3 * first,
                       3 * (size_t)box[2]) != 0)
                fail_msg("%s: other bytes in row %d of part %d %d %d %d", name, y, box[0], box[1],
                         box[2], box[3]);
        }
    }
    vt_image_free(&part);
}

static const vt_augment_config evaluation = {
    .channels = 3,
    .height = SIDE,
    .width = SIDE,
    .crop_pct = 0.875,
    .filter = VT_FILTER_BICUBIC,
    .mean = {0.485, 0.456, 0.406},
    .std = {0.229, 0.224, 0.225},
};

// Evaluation decodes a part of its own choice; the whole picture gives the same.
static void check_eval(const unsigned char *data, size_t bytes, const vt_image *whole,
                       const golden *g)
{
    enum { COUNT = 3 * SIDE * SIDE };
    vt_augment_scratch scratch = {0};
    vt_real *input = calloc(2 * COUNT, sizeof *input);
    assert_non_null(input);
    vt_image_reader reader;
    assert_int_equal(vt_image_open(&reader, data, bytes, MAX_PIXELS, g->name), VT_OK);
    const vt_pixels from = {.name = g->name, .reader = &reader};
    assert_int_equal(vt_augment_eval_from(input, &from, &evaluation, &scratch), VT_OK);
    assert_int_equal(vt_augment_eval(input + COUNT, whole, &evaluation, &scratch), VT_OK);
    assert_memory_equal(input, input + COUNT, COUNT * sizeof *input);
    if (sizeof(vt_real) == sizeof(float)) { // torch computes in float
        uLong crc = crc32(0, (const unsigned char *)input, COUNT * sizeof *input);
        if (crc != g->eval) fail_msg("%s: another input than torchvision's", g->name);
    }
    vt_image_close(&reader);
    vt_augment_scratch_free(&scratch);
    free(input);
}

static void check_picture(const golden *g, const unsigned char *data, size_t bytes)
{
    vt_image whole = {0};
    if (vt_image_decode(&whole, data, bytes, MAX_PIXELS, g->name) != VT_OK)
        fail_msg("%s", vt_error_message());
    assert_int_equal(whole.width, g->width);
    assert_int_equal(whole.height, g->height);
    if (picture_crc(&whole) != g->pixels) fail_msg("%s: other bytes than Pillow's", g->name);
    check_parts(data, bytes, &whole, g->name);
    check_eval(data, bytes, &whole, g);
    vt_image_free(&whole);
}

static void test_made(void **state)
{
    (void)state;
    FILE *f = open_golden();
    golden g;
    int n = 0;
    vt_file_buffer file = {0};
    for (; next_golden(&g, f, "made"); n++) {
        char path[512];
        snprintf(path, sizeof path, "tests/golden/pictures/%s", g.name);
        assert_int_equal(vt_file_load(&file, path, VT_IMAGE_MAX_BYTES), VT_OK);
        check_picture(&g, file.data, file.bytes);
    }
    vt_file_buffer_free(&file);
    fclose(f);
    assert_int_equal(n, 42);
}

// ---- real ones ----

// The bytes of a member of a tar file.
static const unsigned char *find_in_tar(const vt_file_buffer *tar, const char *name, size_t *bytes)
{
    for (size_t at = 0; at + 512 <= tar->bytes && tar->data[at];) {
        const char *header = (const char *)tar->data + at;
        *bytes = strtoul(header + 124, NULL, 8);
        if (strncmp(header, name, 100) == 0) {
            assert_true(at + 512 + *bytes <= tar->bytes);
            return tar->data + at + 512;
        }
        at += 512 + (*bytes + 511) / 512 * 512;
    }
    fail_msg("no %s in the tar file", name);
    return NULL;
}

static void check_tar(const char *where, int expected)
{
    const char *path = shared_data(where);
    if (!path) {
        print_message("skipped: no %s in $VT_SHARED_DATA or ../shared/data\n", where);
        skip();
    }
    vt_file_buffer tar = {0};
    assert_int_equal(vt_file_load(&tar, path, VT_IMAGE_MAX_BYTES), VT_OK);
    FILE *f = open_golden();
    golden g;
    int n = 0;
    for (; next_golden(&g, f, where); n++) {
        size_t bytes = 0;
        const unsigned char *data = find_in_tar(&tar, g.name, &bytes);
        check_picture(&g, data, bytes);
    }
    fclose(f);
    vt_file_buffer_free(&tar);
    assert_int_equal(n, expected);
}

static void test_imagenet_originals(void **state)
{
    (void)state;
    check_tar("imagenet-originals.tar", 67);
}

static void test_jpeg_oddities(void **state)
{
    (void)state;
    check_tar("jpeg-oddities.tar", 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_imagenet_originals),
        cmocka_unit_test(test_jpeg_oddities),
    };
    return cmocka_run_group_tests_name("pictures", tests, NULL, NULL);
}
