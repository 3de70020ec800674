// Packs: the same samples, labels and batches as from what was packed, and every kind of damage.
#include "vitrain/data/pack.h"

#include "folder.h"
#include "pictures.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"
#include "vitrain/data/loader.h"
#include "vitrain/io/file.h"

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
#include <jpeglib.h>

enum { MOST_PIXELS = 100000, MOST_BYTES = 1 << 20 };

// ---- what is packed ----

static void put_jpeg(const char *path, const vt_image *image)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long bytes = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &bytes);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = image->channels;
    jpeg.in_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < image->height; y++) {
        JSAMPROW row = image->pixels + (size_t)(y * image->width * image->channels);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    put_file(path, data, bytes);
    free(data);
}

// A folder of three classes with every kind of sample: JPEG, PNG, grey, in a deeper folder, and
// unreadable ones: empty, cut off, no picture, gone. Returns its path.
static const char *make_folder(void)
{
    static const char *const folders[] = {"t/a class", "t/b", "t/b/deep", "t/c"};
    for (int i = 0; i < 4; i++) assert_int_equal(vt_make_directories(in_folder(folders[i])), VT_OK);
    for (int i = 0; i < 20; i++) {
        char path[64];
        vt_image image = picture(i % 5 == 4 ? 1 : 3, 12 + 3 * (i % 4), 10 + 2 * (i % 7));
        const bool jpeg = i % 2;
        snprintf(path, sizeof path, "%s/%02d.%s", folders[i % 4], i, jpeg ? "JPEG" : "png");
        if (jpeg)
            put_jpeg(in_folder(path), &image);
        else
            assert_int_equal(vt_image_write_png(in_folder(path), &image), VT_OK);
        vt_image_free(&image);
    }
    unsigned char *data;
    size_t bytes;
    assert_int_equal(vt_file_read(&data, &bytes, in_folder("t/b/05.JPEG"), MOST_BYTES), VT_OK);
    put_file(in_folder("t/b/cut.jpg"), data, bytes / 2);
    free(data);
    put_file(in_folder("t/a class/empty.png"), "", 0);
    put_file(in_folder("t/c/text.jpeg"), "no picture", 10);
    unlink(in_folder("t/c/gone.png"));
    assert_int_equal(symlink("nowhere", in_folder("t/c/gone.png")), 0);
    return in_folder("t");
}

static vt_source *opened(const char *path)
{
    vt_source *source = NULL;
    if (vt_source_open(&source, path, "auto", NULL) != VT_OK) fail_msg("%s", vt_error_message());
    return source;
}

static vt_pack_config plain(int decoded)
{
    return (vt_pack_config){
        .decoded = decoded, .filter = VT_FILTER_BICUBIC, .max_pixels = MOST_PIXELS, .max_bad = 0.5};
}

static vt_pack_result packed(const char *path, const vt_source *source, int decoded)
{
    vt_pack_config config = plain(decoded);
    vt_pack_result result;
    if (vt_pack_write(path, source, &config, &result) != VT_OK) fail_msg("%s", vt_error_message());
    return result;
}

// ---- the same samples ----

static void assert_same_sample(const vt_source *a, const vt_source *b, int64_t index)
{
    vt_image x = {0}, y = {0};
    char name_a[512], name_b[512];
    const vt_status status = a->ops->read(a, index, &x, MOST_PIXELS);
    assert_true((status == VT_OK) == (b->ops->read(b, index, &y, MOST_PIXELS) == VT_OK));
    a->ops->describe(a, index, name_a, sizeof name_a);
    b->ops->describe(b, index, name_b, sizeof name_b);
    assert_string_equal(name_a + strlen(a->path) + 1, name_b + strlen(b->path) + 2);
    if (status == VT_OK) {
        assert_true(x.width == y.width && x.height == y.height && x.channels == y.channels);
        assert_memory_equal(x.pixels, y.pixels, (size_t)(x.width * x.height * x.channels));
        assert_int_equal(b->ops->read(b, index, &y, x.width * x.height - 1), VT_ERR_FORMAT);
    }
    vt_image_free(&x);
    vt_image_free(&y);
}

static void assert_same_source(const vt_source *a, const vt_source *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->labels, b->labels, (size_t)a->count * sizeof *a->labels);
    assert_int_equal(a->classes.count, b->classes.count);
    for (int i = 0; i < a->classes.count; i++)
        assert_string_equal(a->classes.names[i], b->classes.names[i]);
}

static void test_round_trip(void **state)
{
    (void)state;
    vt_source *folder = opened(make_folder());
    vt_pack_result result = packed(in_folder("t.vtpack"), folder, 0);
    assert_int_equal(result.count, 24);
    assert_int_equal(result.bad, 1); // the one that is gone; what is there goes in as it is
    vt_source *pack = opened(in_folder("t.vtpack"));
    assert_string_equal(pack->ops->name, "packed");
    assert_same_source(folder, pack);
    for (int64_t i = 0; i < folder->count; i++) {
        assert_same_sample(folder, pack, i);
        assert_int_equal(vt_pack_check(pack, i), VT_OK);
    }
    // Known by its content too.
    unsigned char *once, *twice;
    size_t bytes, again;
    assert_int_equal(vt_file_read(&once, &bytes, in_folder("t.vtpack"), MOST_BYTES), VT_OK);
    assert_int_equal(bytes, result.bytes);
    put_file(in_folder("train-images-idx3"), once, bytes);
    vt_source *other = opened(in_folder("train-images-idx3"));
    assert_string_equal(other->ops->name, "packed");
    // Packed once more, with other threads: the same file.
    vt_threads_set(3);
    packed(in_folder("again.vtpack"), pack, 0);
    vt_threads_set(1);
    assert_int_equal(vt_file_read(&twice, &again, in_folder("again.vtpack"), MOST_BYTES), VT_OK);
    assert_int_equal(bytes, again);
    assert_memory_equal(once, twice, bytes);
    free(once);
    free(twice);
    vt_source_close(other);
    vt_source_close(pack);
    vt_source_close(folder);
}

// An image's shorter side, of those that can be read.
static int shorter_side(const vt_source *source, int64_t index)
{
    vt_image image = {0};
    int side = 0;
    if (source->ops->read(source, index, &image, MOST_PIXELS) == VT_OK)
        side = image.width < image.height ? image.width : image.height;
    vt_image_free(&image);
    return side;
}

static void test_decoded(void **state)
{
    (void)state;
    enum { SIDE = 15 };
    vt_source *folder = opened(make_folder());
    vt_pack_result result = packed(in_folder("d.vtpack"), folder, SIDE);
    assert_int_equal(result.bad, 4);
    vt_source *pack = opened(in_folder("d.vtpack"));
    assert_same_source(folder, pack);
    vt_image original = {0}, expected = {0}, got = {0};
    vt_resample_scratch scratch = {0};
    for (int64_t i = 0; i < folder->count; i++) {
        const bool good = folder->ops->read(folder, i, &original, MOST_PIXELS) == VT_OK;
        assert_true(good == (pack->ops->read(pack, i, &got, MOST_PIXELS) == VT_OK));
        if (!good) continue;
        const int w = original.width, h = original.height;
        const double whole[4] = {0, 0, w, h};
        assert_int_equal(vt_resample(&expected, &original, whole, w <= h ? SIDE : SIDE * w / h,
                                     w <= h ? SIDE * h / w : SIDE, NULL, VT_FILTER_BICUBIC,
                                     &scratch),
                         VT_OK);
        assert_int_equal(got.width, expected.width);
        assert_int_equal(got.height, expected.height);
        assert_int_equal(picture_crc(&got), picture_crc(&expected));
        assert_int_equal(shorter_side(pack, i), SIDE);
    }
    // A pack of pixels, packed as it is, stays one.
    packed(in_folder("e.vtpack"), pack, 0);
    vt_source *again = opened(in_folder("e.vtpack"));
    for (int64_t i = 0; i < pack->count; i++) {
        const unsigned char *data = NULL;
        vt_file_buffer buffer = {0};
        size_t bytes;
        assert_int_equal(shorter_side(again, i), shorter_side(pack, i));
        if (again->ops->fetch(again, i, &buffer, &data, &bytes) == VT_OK) assert_null(data);
        vt_file_buffer_free(&buffer);
    }
    vt_image_free(&original);
    vt_image_free(&expected);
    vt_image_free(&got);
    vt_resample_free(&scratch);
    vt_source_close(again);
    vt_source_close(pack);
    vt_source_close(folder);
}

// Grey pixels, not files.
static void test_idx(void **state)
{
    (void)state;
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 3, 1};
    unsigned char images[16 + 2 * 12] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
    for (size_t i = 16; i < sizeof images; i++) images[i] = (unsigned char)(10 * i);
    put_file(in_folder("i-images-idx3"), images, sizeof images);
    put_file(in_folder("i-labels-idx1"), labels, sizeof labels);
    vt_source *idx = opened(in_folder("i-images-idx3"));
    packed(in_folder("i.vtpack"), idx, 0);
    vt_source *pack = opened(in_folder("i.vtpack"));
    assert_same_source(idx, pack);
    vt_image image = {0};
    assert_int_equal(pack->ops->read(pack, 1, &image, 12), VT_OK);
    assert_true(image.width == 4 && image.height == 3 && image.channels == 1);
    assert_memory_equal(image.pixels, images + 28, 12);
    assert_int_equal(pack->ops->read(pack, 1, &image, 11), VT_ERR_FORMAT);
    char name[512];
    pack->ops->describe(pack, 1, name, sizeof name);
    assert_non_null(strstr(name, "i.vtpack: i-images-idx3[1]"));
    vt_image_free(&image);
    vt_source_close(pack);
    vt_source_close(idx);
}

// ---- the same batches ----

enum { SIDE = 8, SAMPLE = 3 * SIDE * SIDE };

static vt_loader *new_loader(const vt_source *source, bool training, int workers, int copies)
{
    vt_loader_config config = {.augment = {.channels = 3,
                                           .height = SIDE,
                                           .width = SIDE,
                                           .crop = VT_CROP_RRC,
                                           .scale = {0.08, 1},
                                           .ratio = {0.75, 4.0 / 3},
                                           .flip = 0.5,
                                           .crop_pct = 0.64, // floor(8 / 0.64) = 12
                                           .filter = VT_FILTER_BICUBIC,
                                           .mean = {0.5, 0.4, 0.3},
                                           .std = {0.2, 0.2, 0.3}},
                               .batch_size = 5,
                               .workers = workers,
                               .training = training,
                               .copies = copies,
                               .seed = 4,
                               .max_pixels = MOST_PIXELS,
                               .max_bad = 1};
    vt_loader *loader = NULL;
    if (vt_loader_create(&loader, source, &config) != VT_OK) fail_msg("%s", vt_error_message());
    return loader;
}

// With different numbers of workers; some of the samples are unreadable.
static void assert_same_batches(const vt_source *a, const vt_source *b, bool training)
{
    int64_t bad = 0;
    for (int workers = 0; workers < 4; workers += 3)
        for (int copies = 1; copies < 4; copies += 2) {
            vt_loader *one = new_loader(a, training, 0, copies);
            vt_loader *other = new_loader(b, training, workers, copies);
            for (uint32_t epoch = 0; epoch < 2; epoch++) {
                const vt_batch *x, *y;
                vt_loader_start(one, epoch, 0);
                vt_loader_start(other, epoch, 0);
                do {
                    assert_int_equal(vt_loader_next(one, &x), VT_OK);
                    assert_int_equal(vt_loader_next(other, &y), VT_OK);
                    assert_true(!x == !y);
                    if (!x) break;
                    assert_int_equal(x->count, y->count);
                    const size_t n = (size_t)x->count;
                    assert_memory_equal(x->labels, y->labels, n * sizeof *x->labels);
                    assert_memory_equal(x->images, y->images, n * SAMPLE * sizeof *x->images);
                } while (true);
                assert_int_equal(vt_loader_bad(one), vt_loader_bad(other));
                bad += vt_loader_bad(one);
            }
            vt_loader_destroy(one);
            vt_loader_destroy(other);
        }
    assert_true(bad > 0);
}

static void test_same_batches(void **state)
{
    (void)state;
    vt_source *folder = opened(make_folder());
    packed(in_folder("t.vtpack"), folder, 0);
    vt_source *pack = opened(in_folder("t.vtpack"));
    assert_same_batches(folder, pack, true);
    assert_same_batches(folder, pack, false);
    // Pixels of the size that evaluation resizes to: its batches are the same too.
    packed(in_folder("d.vtpack"), folder, 12);
    vt_source *pixels = opened(in_folder("d.vtpack"));
    assert_same_batches(folder, pixels, false);
    vt_source_close(pixels);
    vt_source_close(pack);
    vt_source_close(folder);
}

// Reading system calls of this process so far; -1: the system does not tell.
static long long reads_so_far(void)
{
    long long n = -1;
    char line[128];
    FILE *file = fopen("/proc/self/io", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "syscr: %lld", &n) == 1) break;
    if (file) fclose(file);
    return n;
}

static void test_no_system_calls(void **state)
{
    (void)state;
    vt_source *folder = opened(make_folder());
    packed(in_folder("t.vtpack"), folder, 0);
    vt_source *pack = opened(in_folder("t.vtpack"));
    vt_image image = {0};
    const long long before = reads_so_far();
    for (int i = 0; i < 500; i++)
        (void)pack->ops->read(pack, i * 7 % pack->count, &image, MOST_PIXELS);
    const long long after = reads_so_far();
    for (int i = 0; i < 10; i++) (void)folder->ops->read(folder, i, &image, MOST_PIXELS);
    const long long with_files = reads_so_far();
    vt_image_free(&image);
    vt_source_close(pack);
    vt_source_close(folder);
    if (before < 0) skip();
    assert_true(after - before <= 2); // of looking
    assert_true(with_files - after >= 9);
}

// ---- classes ----

static void test_classes(void **state)
{
    (void)state;
    char *names[] = {"zebra", "c", "a class", "b"}, *few[] = {"a class", "b", "x"};
    const vt_classes known = {names, 4}, three = {few, 3};
    vt_source *folder = opened(make_folder()), *mapped = NULL, *pack = NULL;
    packed(in_folder("t.vtpack"), folder, 0);
    assert_int_equal(vt_source_open(&mapped, in_folder("t"), "folder", &known), VT_OK);
    assert_int_equal(vt_source_open(&pack, in_folder("t.vtpack"), "packed", &known), VT_OK);
    assert_same_source(mapped, pack);
    assert_int_equal(pack->labels[0], 2);
    vt_source_close(pack);
    pack = NULL;
    assert_int_equal(vt_source_open(&pack, in_folder("t.vtpack"), "auto", &three), VT_ERR_DATA);
    assert_null(pack);
    assert_non_null(strstr(vt_error_message(), "t.vtpack: class \"c\" is not one of the 3 known"));
    // A class that no sample has need not be known.
    packed(in_folder("m.vtpack"), mapped, 0);
    char *without[] = {"c", "b", "a class"};
    const vt_classes used = {without, 3};
    assert_int_equal(vt_source_open(&pack, in_folder("m.vtpack"), "auto", &used), VT_OK);
    vt_source_close(pack);
    vt_classes found = {0};
    assert_int_equal(vt_source_classes(&found, in_folder("m.vtpack"), "auto"), VT_OK);
    assert_int_equal(found.count, 4);
    assert_string_equal(found.names[0], "zebra");
    vt_classes_free(&found);
    vt_source_close(mapped);
    vt_source_close(folder);
}

// ---- damage ----

typedef struct content {
    unsigned char *data;
    size_t bytes, index, names; // where they begin
} content;

// A small pack in s.vtpack: two classes, three PNGs.
static int write_small_pack(void **state)
{
    if (folder_make(state) != 0) return -1;
    for (int i = 0; i < 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "s/%d", i / 2);
        assert_int_equal(vt_make_directories(in_folder(path)), VT_OK);
        snprintf(path, sizeof path, "s/%d/%d.png", i / 2, i);
        vt_image image = picture(3, 2 + i, 2);
        assert_int_equal(vt_image_write_png(in_folder(path), &image), VT_OK);
        vt_image_free(&image);
    }
    vt_source *source = opened(in_folder("s"));
    packed(in_folder("s.vtpack"), source, 0);
    vt_source_close(source);
    return 0;
}

static content small_pack(void)
{
    content c;
    assert_int_equal(vt_file_read(&c.data, &c.bytes, in_folder("s.vtpack"), MOST_BYTES), VT_OK);
    c.index = vt_le64(c.data + 24);
    c.names = c.index + 3 * VT_PACK_ENTRY_BYTES;
    assert_int_equal(c.names + vt_le64(c.data + 32), c.bytes);
    return c;
}

// Opened: how many samples can be read; refused (with one of the two codes and the path): -1.
static int readable(const unsigned char *data, size_t bytes)
{
    const char *path = in_folder("x.vtpack");
    put_file(path, data, bytes);
    vt_source *source = NULL;
    const vt_status status = vt_source_open(&source, path, "auto", NULL);
    if (status != VT_OK) {
        assert_null(source);
        assert_true(status == VT_ERR_FORMAT || status == VT_ERR_DATA);
        assert_non_null(strstr(vt_error_message(), path));
        return -1;
    }
    int good = 0;
    vt_image image = {0};
    for (int64_t i = 0; i < source->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.png", (int)i);
        const bool sound = vt_pack_check(source, i) == VT_OK;
        assert_true(sound == (source->ops->read(source, i, &image, MOST_PIXELS) == VT_OK));
        if (sound)
            good++;
        else if (!strstr(vt_error_message(), name) || !strstr(vt_error_message(), "checksum"))
            fail_msg("%s", vt_error_message());
    }
    vt_image_free(&image);
    vt_source_close(source);
    return good;
}

// No byte of the file can change unseen, and one in a sample costs that sample only.
static void test_every_byte(void **state)
{
    (void)state;
    content c = small_pack();
    assert_int_equal(readable(c.data, c.bytes), 3);
    for (size_t i = 0; i < c.bytes; i++) {
        const unsigned char kept = c.data[i];
        c.data[i] ^= (unsigned char)(1 << i % 8);
        const bool sample = i >= VT_PACK_HEADER_BYTES && i < c.index;
        if (readable(c.data, c.bytes) != (sample ? 2 : -1)) fail_msg("byte %zu", i);
        c.data[i] = kept;
    }
    free(c.data);
}

static void test_every_length(void **state)
{
    (void)state;
    content c = small_pack();
    for (size_t n = 0; n < c.bytes; n++)
        if (readable(c.data, n) != -1) fail_msg("%zu of %zu bytes", n, c.bytes);
    c.data = realloc(c.data, c.bytes + 1);
    assert_non_null(c.data);
    c.data[c.bytes] = 0;
    assert_int_equal(readable(c.data, c.bytes + 1), -1);
    assert_non_null(strstr(vt_error_message(), "trailing"));
    free(c.data);
}

static void put_checksums(content *c)
{
    const size_t index_bytes = c->names - c->index;
    vt_put_le32(c->data + 40, (uint32_t)crc32_z(0, c->data + c->index, index_bytes));
    vt_put_le32(c->data + 44, (uint32_t)crc32_z(0, c->data + c->names, c->bytes - c->names));
    vt_put_le32(c->data + 60, (uint32_t)crc32_z(0, c->data, 60));
}

// Lies with right checksums: sizes and places that are not to be believed.
static void test_forged(void **state)
{
    (void)state;
    const size_t header = 0, entry = 1, names = 2; // entry: the second sample's
    const struct {
        size_t part, at;
        int bytes; // of the number
        uint64_t value;
        const char *why;
    } lies[] = {
        {header, 8, 4, 2, "version 1, got 2"},
        {header, 12, 4, 0, "0 classes"},
        {header, 12, 4, 7, "expected 7 classes, got 5"},
        {header, 12, 4, UINT32_MAX, "4294967295 classes"},
        {header, 16, 8, 0, "trailing"},
        {header, 16, 8, 4, "truncated"},
        {header, 16, 8, UINT64_MAX, "truncated"},
        {header, 16, 8, UINT64_MAX / VT_PACK_ENTRY_BYTES, "truncated"},
        {header, 24, 8, UINT64_MAX, "truncated"},
        {header, 24, 8, 8, "truncated"},
        {header, 32, 8, UINT64_MAX, "truncated"},
        {header, 32, 8, 1, "trailing"},
        {entry, 0, 8, UINT64_MAX, "entry 1"},
        {entry, 0, 8, 0, "entry 1"},
        {entry, 8, 8, UINT64_MAX, "entry 1"},
        {entry, 8, 8, MOST_BYTES, "entry 1"},
        {entry, 16, 8, MOST_BYTES, "entry 1"},
        {entry, 28, 4, 2, "entry 1"},
        {entry, 28, 4, UINT32_MAX, "entry 1"},
        {entry, 32, 4, 1, "entry 1"},
        {entry, 40, 4, 3, "entry 1"},
        {entry, 44, 4, 1, "entry 1"},
        {names, 0, 1, 'x', NULL}, // another class's name: nothing wrong with that
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        content c = small_pack();
        const size_t parts[] = {0, c.index + VT_PACK_ENTRY_BYTES, c.names};
        unsigned char *place = c.data + parts[lies[i].part] + lies[i].at;
        if (lies[i].bytes == 8)
            vt_put_le64(place, lies[i].value);
        else if (lies[i].bytes == 4)
            vt_put_le32(place, (uint32_t)lies[i].value);
        else
            *place = (unsigned char)lies[i].value;
        put_checksums(&c);
        const int good = readable(c.data, c.bytes);
        if (good != (lies[i].why ? -1 : 3)) fail_msg("lie %zu is believed", i);
        if (lies[i].why && !strstr(vt_error_message(), lies[i].why))
            fail_msg("lie %zu: %s", i, vt_error_message());
        free(c.data);
    }
    content c = small_pack();
    c.data[c.bytes - 1] = 'x'; // the last name has no end
    put_checksums(&c);
    assert_int_equal(readable(c.data, c.bytes), -1);
    assert_non_null(strstr(vt_error_message(), "no end"));
    free(c.data);
}

// Pixels whose sizes do not say how many bytes there are, too large ones, five channels.
static void test_forged_pixels(void **state)
{
    (void)state;
    static const uint32_t sizes[][3] = {{2, 2, 3},         {2, 2, 1},          {4, 1, 3},
                                        {5, 1, 3},         {12, 1, 1},         {2, 2, 5},
                                        {1, 12, 2},        {UINT32_MAX, 1, 3}, {0x80000000u, 2, 3},
                                        {65536, 65536, 3}, {4, UINT32_MAX, 1}, {0, 4, 3}};
    vt_image image = picture(3, 2, 2);
    assert_int_equal(vt_make_directories(in_folder("p/k")), VT_OK);
    assert_int_equal(vt_image_write_png(in_folder("p/k/0.png"), &image), VT_OK);
    vt_image_free(&image);
    vt_source *source = opened(in_folder("p"));
    packed(in_folder("p.vtpack"), source, 2);
    vt_source_close(source);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        content c;
        assert_int_equal(vt_file_read(&c.data, &c.bytes, in_folder("p.vtpack"), MOST_BYTES), VT_OK);
        c.index = vt_le64(c.data + 24);
        c.names = c.index + VT_PACK_ENTRY_BYTES;
        for (size_t k = 0; k < 3; k++) vt_put_le32(c.data + c.index + 32 + 4 * k, sizes[i][k]);
        put_checksums(&c);
        const bool right = sizes[i][0] * sizes[i][1] * sizes[i][2] == 12 && sizes[i][2] != 2;
        assert_int_equal(readable(c.data, c.bytes), right ? 1 : -1);
        free(c.data);
    }
}

// ---- writing that fails ----

static void write_fails(const char *path, const vt_source *source, const vt_pack_config *config,
                        vt_status code, const char *why)
{
    vt_pack_result result = {.count = 77};
    assert_int_equal(vt_pack_write(path, source, config, &result), code);
    if (!strstr(vt_error_message(), why)) fail_msg("%s not in: %s", why, vt_error_message());
    assert_int_equal(result.count, 77);
    char temporary[600];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    assert_false(vt_file_exists(temporary));
}

static void test_failures(void **state)
{
    (void)state;
    vt_source *folder = opened(make_folder());
    const volatile sig_atomic_t stop = 1;
    vt_pack_config config = plain(0);
    put_file(in_folder("old.vtpack"), "old", 3);
    config.interrupted = &stop;
    write_fails(in_folder("old.vtpack"), folder, &config, VT_INTERRUPTED, "interrupted");
    config = plain(0);
    config.max_bad = 0;
    write_fails(in_folder("old.vtpack"), folder, &config, VT_ERR_DATA, "gone.png");
    config = plain(12);
    config.max_bad = 0.1; // four of 24
    write_fails(in_folder("old.vtpack"), folder, &config, VT_ERR_DATA, "3 of 24 samples");
    config = plain(1 << 20);
    config.max_bad = 0;
    write_fails(in_folder("old.vtpack"), folder, &config, VT_ERR_DATA, "would be resized to");
    config = plain(0);
    write_fails(in_folder("no/such/folder"), folder, &config, VT_ERR_IO, "no/such/folder");
    unsigned char *data;
    size_t bytes;
    assert_int_equal(vt_file_read(&data, &bytes, in_folder("old.vtpack"), 10), VT_OK);
    assert_int_equal(bytes, 3); // the old one is still there
    free(data);
    vt_source_close(folder);
}

int main(void)
{
    vt_log_set_level(VT_LOG_ERROR); // no warnings of the bad samples
    vt_threads_set(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_decoded),
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_same_batches),
        cmocka_unit_test(test_no_system_calls),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_forged_pixels),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests_name("pack", tests, write_small_pack, folder_remove);
}
