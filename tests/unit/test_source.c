// Data sources: what folders and IDX files are read as, and the sentence for each way to be wrong.
#include "vitrain/data/source.h"

#include "vitrain/io/file.h"

#include "folder.h"
#include "pictures.h"

#include <limits.h>
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

static vt_source *opened(const char *path, const char *format, const vt_classes *classes)
{
    vt_source *source = NULL;
    if (vt_source_open(&source, path, format, classes) != VT_OK) fail_msg("%s", vt_error_message());
    return source;
}

// Refused with this code, and both texts in the message.
static void refused(const char *path, const vt_classes *classes, vt_status code, const char *a,
                    const char *b)
{
    vt_source *source = NULL;
    assert_int_equal(vt_source_open(&source, path, "auto", classes), code);
    assert_null(source);
    const char *message = vt_error_message();
    if (!strstr(message, a) || !strstr(message, b))
        fail_msg("expected \"%s\" and \"%s\" in: %s", a, b, message);
}

// ---- folders ----

static void put_picture(const char *path, int channels, int width)
{
    vt_image image = picture(channels, width, 3);
    char *folder = vt_path_folder(path);
    assert_int_equal(vt_make_directories(folder), VT_OK);
    assert_int_equal(vt_image_write_png(path, &image), VT_OK);
    free(folder);
    vt_image_free(&image);
}

static void test_folder(void **state)
{
    (void)state;
    // Sorted as torchvision does; the width tells the files apart.
    static const char *const names[] = {
        "tree/B/b.png",     "tree/a/Z.PNG",      "tree/a/b.Jpg",
        "tree/a/in/y.jpeg", "tree/a/in-1/x.png", "tree/c/only/deep/d.png",
    };
    enum { COUNT = sizeof names / sizeof *names };
    static const int labels[COUNT] = {0, 1, 1, 1, 1, 2};
    for (int i = COUNT - 1; i >= 0; i--) put_picture(in_folder(names[i]), 3, 1 + i);
    put_picture(in_folder("tree/a/.hidden.png"), 3, 50);
    put_picture(in_folder("tree/a/.cache/e.png"), 3, 50);
    put_picture(in_folder("tree/.git/e.png"), 3, 50);
    put_file(in_folder("tree/README"), "x", 1);
    put_file(in_folder("tree/a/list.txt"), "x", 1);
    assert_int_equal(symlink(".", in_folder("tree/a/loop")), 0);
    assert_int_equal(symlink("../a/b.Jpg", in_folder("tree/c/z.png")), 0);

    vt_source *source = opened(in_folder("tree"), "auto", NULL);
    assert_string_equal(source->ops->name, "folder");
    assert_int_equal(source->classes.count, 3);
    assert_string_equal(source->classes.names[0], "B");
    assert_string_equal(source->classes.names[2], "c");
    assert_int_equal(source->count, COUNT + 1);
    vt_image image = {0};
    for (int i = 0; i < COUNT; i++) {
        int at = i < 5 ? i : 6; // tree/c/z.png comes before tree/c/only/deep/d.png
        assert_int_equal(source->labels[at], labels[i]);
        assert_int_equal(source->ops->read(source, at, &image, 1000), VT_OK);
        assert_int_equal(image.width, 1 + i);
        assert_int_equal(image.channels, 3);
        char text[PATH_MAX];
        source->ops->describe(source, at, text, sizeof text);
        assert_string_equal(text, in_folder(names[i]));
    }
    assert_int_equal(source->ops->read(source, 6, &image, 17), VT_ERR_FORMAT); // 6 x 3 px
    vt_image_free(&image);
    vt_source_close(source);
    vt_source_close(NULL);
}

static void test_folder_classes(void **state)
{
    (void)state;
    char *given_names[] = {"zebra", "cat", "dog"};
    const vt_classes given = {given_names, 3};
    put_picture(in_folder("some/dog/1.png"), 3, 2);
    put_picture(in_folder("some/zebra/1.png"), 3, 2);
    vt_source *source = opened(in_folder("some"), "auto", &given);
    assert_int_equal(source->count, 2);
    assert_int_equal(source->labels[0], 2);
    assert_int_equal(source->labels[1], 0);
    assert_int_equal(source->classes.count, 3);
    assert_string_equal(source->classes.names[1], "cat");
    vt_source_close(source);
    put_picture(in_folder("some/mouse/1.png"), 3, 2);
    refused(in_folder("some"), &given, VT_ERR_DATA, "some/mouse", "zebra, cat, dog");
}

static void test_folder_refusals(void **state)
{
    (void)state;
    refused(in_folder("absent"), NULL, VT_ERR_IO, "absent", "No such file");
    assert_int_equal(vt_make_directories(in_folder("none")), VT_OK);
    put_file(in_folder("none/1.png"), "x", 1);
    refused(in_folder("none"), NULL, VT_ERR_DATA, "none", "no class folders");
    put_picture(in_folder("hollow/full/1.png"), 3, 2);
    assert_int_equal(vt_make_directories(in_folder("hollow/empty/deep")), VT_OK);
    put_file(in_folder("hollow/empty/1.gif"), "x", 1);
    refused(in_folder("hollow"), NULL, VT_ERR_DATA, "hollow/empty", "no images");
    put_file(in_folder("note.txt"), "some text", 9);
    refused(in_folder("note.txt"), NULL, VT_ERR_FORMAT, "note.txt", "IDX");
    vt_source *source = NULL;
    assert_int_equal(vt_source_open(&source, in_folder("hollow"), "foldr", NULL), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "folder, idx"));
}

// ---- IDX ----

enum { IMAGES = 5, SIDE = 4, AREA = SIDE * SIDE, IMAGES_BYTES = 16 + IMAGES * AREA };

static const unsigned char labels_file[8 + IMAGES] = {0, 0, 8, 1, 0, 0, 0, IMAGES, 3, 0, 2, 3, 1};

static void fill_images(unsigned char file[IMAGES_BYTES])
{
    static const unsigned char header[16] = {0, 0, 8, 3,    0, 0, 0, IMAGES,
                                             0, 0, 0, SIDE, 0, 0, 0, SIDE};
    memcpy(file, header, sizeof header);
    for (int i = 0; i < IMAGES * AREA; i++) file[16 + i] = (unsigned char)(7 * i);
}

static void put_gzip(const char *path, const void *data, size_t bytes)
{
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(f), Z_OK);
}

static void check_idx(const char *path)
{
    unsigned char file[IMAGES_BYTES];
    fill_images(file);
    vt_source *source = opened(path, "auto", NULL);
    assert_string_equal(source->ops->name, "idx");
    assert_int_equal(source->count, IMAGES);
    assert_int_equal(source->classes.count, 4);
    assert_string_equal(source->classes.names[3], "3");
    vt_image image = {0};
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(source->labels[i], labels_file[8 + i]);
        assert_int_equal(source->ops->read(source, i, &image, AREA), VT_OK);
        assert_int_equal(image.width, SIDE);
        assert_int_equal(image.height, SIDE);
        assert_int_equal(image.channels, 1);
        assert_memory_equal(image.pixels, file + 16 + i * AREA, AREA);
    }
    assert_int_equal(source->ops->read(source, 0, &image, AREA - 1), VT_ERR_FORMAT);
    char text[PATH_MAX];
    source->ops->describe(source, 4, text, sizeof text);
    assert_int_equal(strncmp(text, path, strlen(path)), 0);
    assert_string_equal(text + strlen(path), "[4]");
    vt_image_free(&image);
    vt_source_close(source);
}

static void test_idx(void **state)
{
    (void)state;
    unsigned char file[IMAGES_BYTES];
    fill_images(file);
    put_file(in_folder("a-images-idx3-ubyte"), file, sizeof file);
    put_file(in_folder("a-labels-idx1-ubyte"), labels_file, sizeof labels_file);
    check_idx(in_folder("a-images-idx3-ubyte"));
    put_gzip(in_folder("b-images-idx3-ubyte.gz"), file, sizeof file);
    put_gzip(in_folder("b-labels-idx1-ubyte.gz"), labels_file, sizeof labels_file);
    check_idx(in_folder("b-images-idx3-ubyte.gz"));
    put_gzip(in_folder("c.images.idx3.gz"), file, sizeof file); // labels plain
    put_file(in_folder("c.labels.idx1"), labels_file, sizeof labels_file);
    check_idx(in_folder("c.images.idx3.gz"));

    char *names[] = {"a", "b", "c"};
    const vt_classes three = {names, 3};
    refused(in_folder("a-images-idx3-ubyte"), &three, VT_ERR_DATA, "a-labels-idx1", "got 3");
}

// Opens `file` as images, plain and zipped, beside good labels.
static void images_refused(const unsigned char *file, size_t bytes, vt_status code, const char *why)
{
    put_file(in_folder("x-images-idx3"), file, bytes);
    put_file(in_folder("x-labels-idx1"), labels_file, sizeof labels_file);
    refused(in_folder("x-images-idx3"), NULL, code, "x-images-idx3: ", why);
    put_gzip(in_folder("y-images-idx3.gz"), file, bytes);
    put_file(in_folder("y-labels-idx1"), labels_file, sizeof labels_file);
    refused(in_folder("y-images-idx3.gz"), NULL, code, "y-images-idx3.gz: ", why);
}

static void test_idx_refusals(void **state)
{
    (void)state;
    unsigned char file[IMAGES_BYTES + 1] = {0};
    fill_images(file);
    images_refused(file, IMAGES_BYTES + 1, VT_ERR_FORMAT, "trailing");
    images_refused(file, IMAGES_BYTES - 1, VT_ERR_FORMAT, "truncated");
    images_refused(file, 11, VT_ERR_FORMAT, "truncated");
    images_refused(file, 0, VT_ERR_FORMAT, "truncated");
    file[4] = 0xff; // four thousand million images
    images_refused(file, IMAGES_BYTES, VT_ERR_FORMAT, "announces");
    file[4] = 0, file[8] = 0x7f, file[12] = 0x7f; // 5 x 2^31 x 2^31 overflows
    images_refused(file, IMAGES_BYTES, VT_ERR_FORMAT, "announces");
    fill_images(file);
    file[7] = 0;
    images_refused(file, 16, VT_ERR_DATA, "no images");
    images_refused(file, 17, VT_ERR_FORMAT, "trailing");
    fill_images(file);
    file[11] = 0;
    images_refused(file, 16, VT_ERR_FORMAT, "at least 1 x 1");
    images_refused(file, 17, VT_ERR_FORMAT, "");
    fill_images(file);
    file[3] = 1;
    images_refused(file, IMAGES_BYTES, VT_ERR_FORMAT, "expected an IDX file of magic 0x00000803");
}

static void test_idx_labels(void **state)
{
    (void)state;
    unsigned char file[IMAGES_BYTES], labels[sizeof labels_file];
    fill_images(file);
    put_file(in_folder("l-images-idx3"), file, sizeof file);
    refused(in_folder("l-images-idx3"), NULL, VT_ERR_IO, "l-labels-idx1", "no labels");
    memcpy(labels, labels_file, sizeof labels);
    labels[7] = IMAGES - 1;
    put_file(in_folder("l-labels-idx1"), labels, sizeof labels - 1);
    refused(in_folder("l-images-idx3"), NULL, VT_ERR_FORMAT, "l-labels-idx1", "expected 5 labels");
    labels[3] = 3;
    put_file(in_folder("l-labels-idx1"), labels, sizeof labels);
    refused(in_folder("l-images-idx3"), NULL, VT_ERR_FORMAT, "l-labels-idx1", "0x00000801");
    put_file(in_folder("pictures.idx"), file, sizeof file);
    refused(in_folder("pictures.idx"), NULL, VT_ERR_DATA, "pictures.idx", "images-idx3");
}

// Damage to the compressed bytes themselves.
static void test_idx_gzip(void **state)
{
    (void)state;
    unsigned char file[IMAGES_BYTES], *zipped;
    size_t bytes;
    fill_images(file);
    const char *path = in_folder("g-images-idx3.gz");
    put_file(in_folder("g-labels-idx1"), labels_file, sizeof labels_file);
    put_gzip(path, file, sizeof file);
    assert_int_equal(vt_file_read(&zipped, &bytes, path, 10000), VT_OK);
    put_file(path, zipped, bytes - 1); // in the trailer: all pixels are there
    refused(path, NULL, VT_ERR_FORMAT, "g-images", "truncated");
    put_file(path, zipped, bytes + 1); // vt_file_read puts a NUL behind
    refused(path, NULL, VT_ERR_FORMAT, "g-images", "trailing");
    zipped[bytes - 5] ^= 1; // the checksum
    put_file(path, zipped, bytes);
    refused(path, NULL, VT_ERR_FORMAT, "g-images", "corrupt gzip data");
    free(zipped);
}

// ---- classes ----

static void classes_refused(const char *text, const char *why)
{
    vt_classes classes = {0};
    put_file(in_folder("classes.txt"), text, strlen(text));
    assert_int_equal(vt_classes_read(&classes, in_folder("classes.txt")), VT_ERR_FORMAT);
    if (!strstr(vt_error_message(), why)) fail_msg("%s not in: %s", why, vt_error_message());
    assert_null(classes.names);
}

static void test_classes(void **state)
{
    (void)state;
    vt_classes classes = {0};
    static const char text[] = "n02\r\ngreat white shark\nn01"; // with and without line ends
    put_file(in_folder("classes.txt"), text, strlen(text));
    assert_int_equal(vt_classes_read(&classes, in_folder("classes.txt")), VT_OK);
    assert_int_equal(classes.count, 3);
    assert_int_equal(vt_classes_find(&classes, "n02"), 0);
    assert_int_equal(vt_classes_find(&classes, "great white shark"), 1);
    assert_int_equal(vt_classes_find(&classes, "n01"), 2);
    assert_int_equal(vt_classes_find(&classes, "n0"), -1);
    vt_classes_free(&classes);
    char list[32];
    char *names[] = {"cat", "dog", "a very long name of a class", "ox"};
    static const char *const shown[] = {"", "cat", "cat, dog", "cat, dog, ...", "cat, dog, ..."};
    for (int i = 0; i <= 4; i++)
        assert_string_equal(vt_classes_text(list, sizeof list, &(vt_classes){names, i}), shown[i]);
    assert_string_equal(vt_classes_text(list, 16, &(vt_classes){names + 2, 2}), "...");
    assert_string_equal(vt_classes_text(list, 9, &(vt_classes){names, 2}), "cat, dog"); // just so
    classes_refused("", "no line");
    classes_refused("a\n\nb\n", "line 2");
    classes_refused("a\nb\nc\nb\n", "line 4: class \"b\" is already on line 2");
    assert_int_equal(vt_classes_read(&classes, in_folder("nowhere.txt")), VT_ERR_IO);
    vt_classes_free(&classes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),          cmocka_unit_test(test_folder_classes),
        cmocka_unit_test(test_folder_refusals), cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_refusals),    cmocka_unit_test(test_idx_labels),
        cmocka_unit_test(test_idx_gzip),        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests_name("source", tests, folder_make, folder_remove);
}
