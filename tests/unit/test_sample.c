// sample.c: what the loader gives is what one gets for the same place in the same epoch alone; the
// fast way to decode; and folders full of what is no picture.
#include "vitrain/data/sample.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"
#include "vitrain/data/loader.h"

#include "folder.h"
#include "pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

enum { SIDE = 32, COUNT = 3 * SIDE * SIDE, MAX_PIXELS = 178956970, SEED = 17 };

static vt_augment_config augment; // small_crops

// A golden picture under another name.
static vt_file_buffer golden(const char *name)
{
    char path[512];
    vt_file_buffer file = {0};
    snprintf(path, sizeof path, "tests/golden/pictures/%s", name);
    assert_int_equal(vt_file_load(&file, path, VT_IMAGE_MAX_BYTES), VT_OK);
    return file;
}

static void put_golden(const char *to, const char *name)
{
    vt_file_buffer file = golden(name);
    char *folder = vt_path_folder(to);
    assert_int_equal(vt_make_directories(folder), VT_OK);
    put_file(to, file.data, file.bytes);
    free(folder);
    vt_file_buffer_free(&file);
}

static vt_source *opened(const char *path)
{
    vt_source *source = NULL;
    if (vt_source_open(&source, path, "auto", NULL) != VT_OK) fail_msg("%s", vt_error_message());
    return source;
}

static vt_loader *new_loader(const vt_source *source, bool training, int batch, int workers)
{
    const vt_loader_config config = {
        .augment = augment,
        .batch_size = batch,
        .workers = workers,
        .training = training,
        .seed = SEED,
        .max_pixels = MAX_PIXELS,
        .max_bad = 1,
    };
    vt_loader *loader = NULL;
    if (vt_loader_create(&loader, source, &config) != VT_OK) fail_msg("%s", vt_error_message());
    return loader;
}

// ---- alone or in a batch ----

static void test_as_the_loader(void **state)
{
    (void)state;
    static const char *const names[] = {
        "large.jpg",  "444.jpg", "420_progressive.jpg", "grey16.png",   "cmyk.jpg", "palette4.png",
        "no_end.jpg", "440.jpg", "rgb_alpha8.png",      "one_pixel.jpg"};
    enum { N = sizeof names / sizeof *names, EPOCH = 3 };
    char path[64];
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "alone/class%d/%d.jpg", i % 2, i); // some are PNGs
        put_golden(in_folder(path), names[i]);
    }
    vt_source *source = opened(in_folder("alone"));
    assert_int_equal(source->count, N);
    vt_loader *loader = new_loader(source, true, N, 2);
    uint32_t order[N];
    vt_rng rng = vt_rng_at(SEED, VT_STREAM_ORDER, EPOCH, 0);
    vt_rng_permutation(&rng, N, order);
    const vt_batch *batch;
    vt_loader_start(loader, EPOCH, 0);
    assert_int_equal(vt_loader_next(loader, &batch), VT_OK);
    vt_sampler sampler = {0};
    vt_real input[COUNT];
    for (uint32_t i = 0; i < N; i++) {
        char name[512];
        source->ops->describe(source, order[i], name, sizeof name);
        rng = vt_sample_rng(SEED, EPOCH, i);
        assert_int_equal(vt_sample_file(input, &sampler, name, &augment, MAX_PIXELS, &rng), VT_OK);
        assert_memory_equal(input, batch->images + i * COUNT, sizeof input);
    }
    vt_sampler_free(&sampler);
    vt_loader_destroy(loader);
    vt_source_close(source);
}

// Decoding what a crop needs gives what decoding all of it does.
static void test_parts_are_exact(void **state)
{
    (void)state;
    vt_file_buffer file = golden("large.jpg");
    vt_image whole = {0};
    vt_augment_scratch scratch = {0};
    vt_real a[COUNT], b[COUNT];
    assert_int_equal(vt_image_decode(&whole, file.data, file.bytes, MAX_PIXELS, "large"), VT_OK);
    for (uint32_t i = 0; i < 60; i++) {
        vt_augment_config config = augment;
        config.channels = i % 3 ? 3 : 1;
        config.crop = i % 4 == 3 ? VT_CROP_NONE : VT_CROP_RRC;
        vt_rng rng = vt_sample_rng(SEED, 0, i), same = rng;
        vt_image_reader reader;
        assert_int_equal(vt_image_open(&reader, file.data, file.bytes, MAX_PIXELS, "large"), VT_OK);
        const vt_pixels from = {.reader = &reader};
        assert_int_equal(vt_augment_train_from(a, &from, &config, &rng, &scratch), VT_OK);
        assert_int_equal(vt_augment_train(b, &whole, &config, &same, &scratch), VT_OK);
        assert_memory_equal(a, b, (size_t)config.channels * SIDE * SIDE * sizeof *a);
        vt_image_close(&reader);
    }
    vt_augment_scratch_free(&scratch);
    vt_image_free(&whole);
    vt_file_buffer_free(&file);
}

// ---- decode = fast ----

static void test_fast(void **state)
{
    (void)state;
    vt_sampler sampler = {0};
    vt_augment_config fast = augment;
    fast.decode = VT_DECODE_FAST;
    vt_real a[COUNT], b[COUNT];
    double off = 0;
    int others = 0;
    for (uint32_t i = 0; i < 40; i++) {
        vt_rng rng = vt_sample_rng(SEED, 1, i), same = rng;
        const char *path = "tests/golden/pictures/large.jpg";
        assert_int_equal(vt_sample_file(a, &sampler, path, &augment, MAX_PIXELS, &rng), VT_OK);
        assert_int_equal(vt_sample_file(b, &sampler, path, &fast, MAX_PIXELS, &same), VT_OK);
        assert_memory_equal(&rng, &same, sizeof rng); // the same draws
        others += memcmp(a, b, sizeof a) != 0;
        for (int k = 0; k < COUNT; k++) off += fabs((double)(a[k] - b[k])) / (40.0 * COUNT);
    }
    // Crops of 640 x 480 px are rarely below 64 px, twice the input. In place: on this picture, one
    // pixel of the input aside would be 20 levels off.
    assert_true(others > 30);
    if (off > 1.0 / 255) fail_msg("%g levels off on average", 255 * off);
    // A picture below twice the input's size is not shrunk.
    vt_rng rng = vt_sample_rng(SEED, 1, 0), same = rng;
    const char *path = "tests/golden/pictures/444.jpg";
    assert_int_equal(vt_sample_file(a, &sampler, path, &augment, MAX_PIXELS, &rng), VT_OK);
    assert_int_equal(vt_sample_file(b, &sampler, path, &fast, MAX_PIXELS, &same), VT_OK);
    assert_memory_equal(a, b, sizeof a);
    vt_sampler_free(&sampler);
}

static void test_shrink(void **state)
{
    (void)state;
    static const int most[] = {0, 1, 2, 3, 4, 7, 8, 100}, expected[] = {1, 1, 2, 2, 4, 4, 8, 8};
    vt_file_buffer jpeg = golden("420.jpg"), png = golden("rgb8.png");
    vt_image_reader reader;
    vt_image image = {0};
    for (int shrink = 1; shrink <= 8; shrink *= 2) { // 45 x 35 px
        assert_int_equal(vt_image_open(&reader, jpeg.data, jpeg.bytes, MAX_PIXELS, "j"), VT_OK);
        for (int i = 0; i < 8; i++)
            assert_int_equal(vt_image_shrink(&reader, most[i]), expected[i]);
        const int box[4] = {1, 2, (45 + shrink - 1) / shrink - 1, (35 + shrink - 1) / shrink - 2};
        assert_int_equal(vt_image_decode_shrunk(&reader, &image, box, shrink), VT_OK);
        assert_int_equal(image.width, box[2]);
        assert_int_equal(image.height, box[3]);
        vt_image_close(&reader);
    }
    assert_int_equal(vt_image_open(&reader, png.data, png.bytes, MAX_PIXELS, "p"), VT_OK);
    assert_int_equal(vt_image_shrink(&reader, 8), 1);
    vt_image_close(&reader);
    vt_image_close(&reader);
    vt_image_free(&image);
    vt_file_buffer_free(&jpeg);
    vt_file_buffer_free(&png);
}

// ---- what is no picture ----

// A few kilobytes that announce 65500 x 65500 px.
static void put_bombs(const char *jpeg_path, const char *png_path)
{
    static const unsigned char sides[] = {0xFF, 0xDC, 0xFF, 0xDC}; // 65500
    vt_file_buffer jpeg = golden("444.jpg"), png = golden("rgb8.png");
    unsigned char *sof = memmem(jpeg.data, jpeg.bytes, "\xFF\xC0\x00\x11\x08", 5);
    assert_non_null(sof);
    memcpy(sof + 5, sides, 4);
    put_file(jpeg_path, jpeg.data, jpeg.bytes);
    memcpy(png.data + 18, sides, 2); // the low halves of width and height
    memcpy(png.data + 22, sides, 2);
    uLong crc = crc32(0, png.data + 12, 17);
    for (int k = 0; k < 4; k++) png.data[29 + k] = (unsigned char)(crc >> (24 - 8 * k));
    put_file(png_path, png.data, png.bytes);
    vt_file_buffer_free(&jpeg);
    vt_file_buffer_free(&png);
}

// Twenty good pictures and eight files that are none, each bad in a way of its own.
static vt_source *mixed_folder(void)
{
    char path[64];
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "mixed/class%d/good%d.png", i % 2, i); // JPEGs by content
        put_golden(in_folder(path), i % 3 ? "420.jpg" : "rgb8.png");
    }
    put_file(in_folder("mixed/class0/empty.jpg"), "", 0);
    put_file(in_folder("mixed/class0/text.jpg"), "no picture", 10);
    put_file(in_folder("mixed/class0/caf\xE9 \x1B[31m\n.jpg"), "\xFF\xD8\xFF",
             3); // Latin-1, control
    vt_file_buffer file = golden("420.jpg");
    put_file(in_folder("mixed/class1/half.jpg"), file.data, file.bytes / 2);
    vt_file_buffer_free(&file);
    put_bombs(in_folder("mixed/class1/bomb.jpg"), in_folder("mixed/class1/bomb.png"));
    assert_int_equal(symlink("loop.jpg", in_folder("mixed/class1/loop.jpg")), 0);
    assert_int_equal(symlink("..", in_folder("mixed/class1/up")), 0);
    put_golden(in_folder("mixed/class1/vanishes.jpg"), "420.jpg");
    vt_source *source = opened(in_folder("mixed/class1/up")); // the loop of folders ends
    assert_int_equal(unlink(in_folder("mixed/class1/vanishes.jpg")), 0);
    return source;
}

static void test_bad_files(void **state)
{
    (void)state;
    vt_source *source = mixed_folder();
    const vt_batch *batch;
    for (int training = 0; training < 2; training++) {
        vt_loader *loader = new_loader(source, training, 7, 2);
        int64_t kept = 0;
        vt_loader_start(loader, 0, 0);
        for (;;) {
            if (vt_loader_next(loader, &batch) != VT_OK) fail_msg("%s", vt_error_message());
            if (!batch) break;
            kept += batch->count;
        }
        assert_int_equal(vt_loader_bad(loader), 8);
        assert_int_equal(kept, training ? 28 : 20); // replaced, or left out
        vt_loader_destroy(loader);
    }
    // Nothing was taken at the word of a header: 65500 x 65500 px are 12 GB.
    assert_true(vt_peak_rss_bytes() < (unsigned long long)1 << 30);
    vt_source_close(source);
}

// One line, and the path in it, for each kind.
static void test_messages(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"empty.jpg", "empty file"},      {"text.jpg", "neither a PNG nor a JPEG"},
        {"half.jpg", "truncated"},        {"bomb.jpg", "65500x65500 pixels, expected at most"},
        {"bomb.png", "65500x65500"},      {"loop.jpg", "Too many levels of symbolic links"},
        {"vanishes.jpg", "No such file"}, {"caf\xE9 ?[31m?.jpg", "JPEG"},
    };
    enum { BAD = sizeof bad / sizeof *bad };
    vt_source *source = opened(in_folder("mixed"));
    vt_sampler sampler = {0};
    vt_real input[COUNT];
    int found[BAD] = {0};
    for (int64_t i = 0; i < source->count; i++) {
        if (vt_sample(input, &sampler, source, i, &augment, MAX_PIXELS, NULL) == VT_OK) continue;
        const char *message = vt_error_message();
        assert_null(strchr(message, '\n'));
        for (int k = 0; k < BAD; k++)
            found[k] += strstr(message, bad[k][0]) && strstr(message, bad[k][1]);
    }
    for (int k = 0; k < BAD; k++) {
        bool listed = strcmp(bad[k][0], "vanishes.jpg") != 0; // it is gone by now
        if ((found[k] > 0) != listed) fail_msg("%s: %d messages", bad[k][0], found[k]);
    }
    vt_sampler_free(&sampler);
    vt_source_close(source);
}

// Headers that max_pixels admits, of files that cannot hold so much: nothing is allocated for them.
static void test_implausible_headers(void **state)
{
    (void)state;
    vt_image image = {0};
    char path[512];
    put_bombs(in_folder("implausible.jpg"), in_folder("implausible.png"));
    for (int png = 0; png < 2; png++) {
        snprintf(path, sizeof path, "%s", in_folder(png ? "implausible.png" : "implausible.jpg"));
        assert_int_equal(vt_image_read(&image, path, INT64_MAX), VT_ERR_FORMAT);
        if (!strstr(vt_error_message(), "do not fit in")) fail_msg("%s", vt_error_message());
        assert_null(image.pixels);
    }
}

// A picture one pixel wide or high and millions long is a bad sample, or a small one; never memory
// that runs out.
static void test_thin_pictures(void **state)
{
    (void)state;
    enum { LENGTH = 6000000 };
    vt_image thin = {0}, to = {0};
    vt_resample_scratch scratch = {0};
    const double row[4] = {0, 0, LENGTH, 1}, column[4] = {0, 0, 1, LENGTH};
    assert_int_equal(vt_image_reserve(&thin, LENGTH, 1, 1), VT_OK);
    memset(thin.pixels, 77, LENGTH);
    assert_int_equal(vt_resample(&to, &thin, row, SIDE, SIDE, NULL, VT_FILTER_BICUBIC, &scratch),
                     VT_OK);
    for (int i = 0; i < SIDE * SIDE; i++) assert_int_equal(to.pixels[i], 77);
    assert_true(scratch.bytes < (size_t)20 * LENGTH); // weights of one output, not of all
    thin.width = 1, thin.height = LENGTH;
    assert_int_equal(vt_resample(&to, &thin, column, SIDE, SIDE, NULL, VT_FILTER_BICUBIC, &scratch),
                     VT_OK);
    for (int i = 0; i < SIDE * SIDE; i++) assert_int_equal(to.pixels[i], 77);
    assert_int_equal(vt_resample(&to, &thin, column, 1000, 1000, NULL, VT_FILTER_BICUBIC, &scratch),
                     VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "too thin"));
    // Training resizes all of it, and refuses what is beyond max_pixels; evaluation takes a window.
    vt_augment_config simple = small_crops(SIDE);
    simple.crop = VT_CROP_SIMPLE;
    vt_augment_scratch work = {0};
    vt_rng rng = vt_sample_rng(SEED, 0, 0);
    vt_real out[3 * SIDE * SIDE];
    thin.width = 2, thin.height = 10000;
    vt_pixels from = {.image = &thin, .max_pixels = (int64_t)SIDE * SIDE / 2 * thin.height};
    assert_int_equal(vt_augment_train_from(out, &from, &simple, &rng, &work), VT_OK);
    from.max_pixels--;
    assert_int_equal(vt_augment_train_from(out, &from, &simple, &rng, &work), VT_ERR_FORMAT);
    assert_int_equal(vt_augment_eval_from(out, &from, &simple, &work), VT_OK);
    vt_augment_scratch_free(&work);
    vt_image_free(&thin);
    vt_image_free(&to);
    vt_resample_free(&scratch);
}

int main(void)
{
    augment = small_crops(SIDE);
    vt_log_set_level(VT_LOG_ERROR); // no warnings of the bad samples
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_loader),
        cmocka_unit_test(test_parts_are_exact),
        cmocka_unit_test(test_fast),
        cmocka_unit_test(test_shrink),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_implausible_headers),
        cmocka_unit_test(test_thin_pictures),
    };
    return cmocka_run_group_tests_name("sample", tests, folder_make, folder_remove);
}
