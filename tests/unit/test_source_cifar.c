// CIFAR's binary files, made up here: picture n of a file has label n % classes, and its pixel p in
// plane k is (n + 5 p + 77 k) % 256.
#include "folder.h"
#include "numcheck.h"

#include "vitrain/data/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { AREA = 32 * 32 };

static int value(int n, int p, int k)
{
    return (n + 5 * p + 77 * k) % 256;
}

// first: number of the first picture; head: 1 or 2 bytes before a picture.
static void put_pictures(const char *path, int first, int count, int head, int classes)
{
    const size_t record = (size_t)head + 3 * AREA;
    unsigned char *bytes = calloc((size_t)count, record), *at = bytes;
    for (int n = first; n < first + count; n++) {
        if (head == 2) *at++ = 19; // the coarse label, which must not matter
        *at++ = (unsigned char)(n % classes);
        for (int k = 0; k < 3; k++)
            for (int p = 0; p < AREA; p++) *at++ = (unsigned char)value(n, p, k);
    }
    put_file(path, bytes, (size_t)count * record);
    free(bytes);
}

static void check_source(const char *path, int first, int count, int classes)
{
    vt_source *source;
    vt_image image = {0};
    char text[512];
    VT_ASSERT_OK(vt_source_open(&source, path, "auto", NULL));
    assert_string_equal(source->ops->name, "cifar");
    assert_int_equal(source->count, count);
    assert_int_equal(source->classes.count, classes);
    for (int i = 0; i < count; i++) {
        assert_int_equal(source->labels[i], (first + i) % classes);
        VT_ASSERT_OK(source->ops->read(source, i, &image, AREA));
        assert_true(image.width == 32 && image.height == 32 && image.channels == 3);
        for (int p = 0; p < AREA; p++)
            for (int k = 0; k < 3; k++)
                if (image.pixels[3 * p + k] != value(first + i, p, k))
                    fail_msg("%s: picture %d, pixel %d, channel %d", path, i, p, k);
    }
    assert_int_equal(source->ops->read(source, 0, &image, AREA - 1), VT_ERR_FORMAT);
    source->ops->describe(source, 1, text, sizeof text);
    assert_non_null(strstr(text, "[1]"));
    vt_image_free(&image);
    vt_source_close(source);
}

static void reads_files_and_folders(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_folder("ten"), 0700), 0);
    assert_int_equal(mkdir(in_folder("hundred"), 0700), 0);
    put_pictures(in_folder("ten/data_batch_1.bin"), 0, 3, 1, 10);
    put_pictures(in_folder("ten/data_batch_2.bin"), 3, 9, 1, 10);
    put_pictures(in_folder("ten/test_batch.bin"), 40, 4, 1, 10);
    put_pictures(in_folder("hundred/train.bin"), 90, 12, 2, 100);
    put_pictures(in_folder("hundred/test.bin"), 7, 2, 2, 100);
    check_source(in_folder("ten"), 0, 12, 10);
    check_source(in_folder("ten/data_batch_2.bin"), 3, 9, 10);
    check_source(in_folder("ten/test_batch.bin"), 40, 4, 10);
    check_source(in_folder("hundred"), 90, 12, 100);
    check_source(in_folder("hundred/test.bin"), 7, 2, 100);
}

static void refused(const char *path, vt_status code, const char *part)
{
    vt_source *source;
    assert_int_equal(vt_source_open(&source, path, "cifar", NULL), code);
    if (!strstr(vt_error_message(), part))
        fail_msg("expected %s, got %s", part, vt_error_message());
}

static void refuses_damage(void **state)
{
    (void)state;
    static const unsigned char bytes[1 + 3 * AREA] = {10}; // a label too large
    assert_int_equal(mkdir(in_folder("bad"), 0700), 0);
    refused(in_folder("bad"), VT_ERR_DATA, "expected data_batch_1.bin or train.bin");
    put_file(in_folder("bad/test_batch.bin"), bytes, sizeof bytes);
    refused(in_folder("bad/test_batch.bin"), VT_ERR_DATA,
            "label 0: expected one of 10 classes, got 10");
    put_file(in_folder("bad/data_batch_1.bin"), bytes, sizeof bytes - 1);
    refused(in_folder("bad"), VT_ERR_FORMAT, "3072 bytes, expected pictures of 3073");
    put_file(in_folder("bad/test.bin"), bytes, 0);
    refused(in_folder("bad/test.bin"), VT_ERR_FORMAT, "0 bytes");
    put_file(in_folder("bad/other.bin"), bytes, sizeof bytes);
    refused(in_folder("bad/other.bin"), VT_ERR_DATA, "expected data_batch_N.bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_files_and_folders),
        cmocka_unit_test(refuses_damage),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
