// image.c: every kind of PNG against its definition, every kind of JPEG against pixels that Pillow
// confirmed, damaged files, limits, writing.
#include "vitrain/io/image.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/rng.h"
#include "vitrain/io/file.h"

#include "folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include <cmocka.h>

enum { MAX_PIXELS = 1000000 };

typedef struct bytes {
    unsigned char *data;
    size_t size;
} bytes;

static uint64_t fnv(uint64_t hash, const void *data, size_t size)
{
    for (const unsigned char *p = data; size--; p++) hash = (hash ^ *p) * 1099511628211u;
    return hash;
}

static uint64_t hash_of(const vt_image *image)
{
    return fnv(14695981039346656037u, image->pixels,
               (size_t)image->width * (size_t)image->height * (size_t)image->channels);
}

// ---- PNG ----

typedef struct png_kind {
    int color, depth, interlace, width, height;
    int n_palette; // entries, may be fewer than the depth allows
    bool trns;
} png_kind;

static int channels_of(int color)
{
    return color == PNG_COLOR_TYPE_RGB          ? 3
           : color == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
           : color == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                                : 1;
}

static png_color palette_entry(int i)
{
    return (png_color){(png_byte)(7 * i + 3), (png_byte)(255 - 5 * i), (png_byte)(i * i)};
}

static void collect(png_structp png, png_bytep data, size_t size)
{
    bytes *out = png_get_io_ptr(png);
    out->data = realloc(out->data, out->size + size);
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void no_flush(png_structp png)
{
    (void)png;
}

// A picture of this kind with `samples` (height, width, channels), one per uint16_t.
static bytes make_png(const png_kind *kind, const uint16_t *samples)
{
    bytes out = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &out, collect, no_flush);
    png_set_check_for_invalid_index(png, 0); // indices without an entry are part of the test
    png_set_IHDR(png, info, (png_uint_32)kind->width, (png_uint_32)kind->height, kind->depth,
                 kind->color, kind->interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_gAMA_fixed(png, info, 45455); // must change nothing
    if (kind->color == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (int i = 0; i < kind->n_palette; i++) palette[i] = palette_entry(i);
        png_set_PLTE(png, info, palette, kind->n_palette);
    }
    png_color_16 transparent = {.index = 0, .red = 1, .green = 1, .blue = 1, .gray = 1};
    if (kind->trns) png_set_tRNS(png, info, (png_byte[]){0}, 1, &transparent);
    png_write_info(png, info);
    int n = kind->width * channels_of(kind->color);
    unsigned char *row = malloc((size_t)n * 2);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < kind->height; y++) {
            memset(row, 0, (size_t)n * 2);
            for (int x = 0; x < n; x++) {
                unsigned v = samples[y * n + x];
                if (kind->depth == 16) {
                    row[2 * x] = (unsigned char)(v >> 8);
                    row[2 * x + 1] = (unsigned char)v;
                } else { // packed from the high bits down
                    int bit = x * kind->depth;
                    row[bit / 8] |= (unsigned char)(v << (8 - kind->depth - bit % 8));
                }
            }
            png_write_row(png, row);
        }
    }
    free(row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return out;
}

static uint16_t *make_samples(const png_kind *kind)
{
    size_t n = (size_t)(kind->width * kind->height * channels_of(kind->color));
    uint16_t *samples = malloc(n * sizeof *samples);
    vt_rng rng = vt_rng_at(1, VT_STREAM_SYNTHETIC, 0, 0);
    for (size_t i = 0; i < n; i++) {
        samples[i] = (uint16_t)(vt_rng_u32(&rng) & ((1u << kind->depth) - 1));
        if (kind->depth == 16 && vt_rng_below(&rng, 2)) samples[i] &= 0x1FF; // around the clipping
    }
    return samples;
}

// What a sample of a grey or coloured picture becomes.
static unsigned char expected_byte(const png_kind *kind, unsigned v)
{
    if (kind->depth == 16 && kind->color == PNG_COLOR_TYPE_GRAY) {
        return (unsigned char)(v > 255 ? 255 : v);
    }
    return (unsigned char)(kind->depth == 16 ? v >> 8 : v * 255 / ((1u << kind->depth) - 1));
}

static void check_png(const png_kind *kind)
{
    uint16_t *samples = make_samples(kind);
    bytes file = make_png(kind, samples);
    vt_image image = {0};
    if (vt_image_decode(&image, file.data, file.size, MAX_PIXELS, "p") != VT_OK) {
        fail_msg("color %d depth %d: %s", kind->color, kind->depth, vt_error_message());
    }
    assert_int_equal(image.width, kind->width);
    assert_int_equal(image.height, kind->height);
    assert_int_equal(image.channels, 3);
    int channels = channels_of(kind->color);
    for (int i = 0; i < kind->width * kind->height; i++) {
        const uint16_t *s = samples + i * channels;
        unsigned char want[3];
        for (int c = 0; c < 3; c++) want[c] = expected_byte(kind, s[channels < 3 ? 0 : c]);
        if (kind->color == PNG_COLOR_TYPE_PALETTE) {
            png_color entry = palette_entry(s[0]);
            memcpy(want, &entry, 3);
            if (s[0] >= kind->n_palette) memset(want, s[0], 3); // as Pillow: a grey
        }
        assert_memory_equal(image.pixels + 3 * i, want, 3);
    }
    vt_image_free(&image);
    free(file.data);
    free(samples);
}

static void test_png_kinds(void **state)
{
    (void)state;
    static const int depths[][6] = {
        [0] = {1, 2, 4, 8, 16}, [2] = {8, 16}, [3] = {1, 2, 4, 8}, [4] = {8, 16}, [6] = {8, 16}};
    for (int color = 0; color <= 6; color++) {
        for (int d = 0; color != 1 && color != 5 && depths[color][d]; d++) {
            for (int interlace = 0; interlace < 2; interlace++) {
                int depth = depths[color][d];
                png_kind kind = {color, depth, interlace, 13, 9, 1 << (depth & 15), false};
                check_png(&kind);
                kind.n_palette = (kind.n_palette + 1) / 2;
                kind.trns = !(color & PNG_COLOR_MASK_ALPHA);
                check_png(&kind);
                kind.width = kind.height = 1;
                check_png(&kind);
            }
        }
    }
}

// ---- JPEG ----

typedef struct jpeg_kind {
    const char *what;
    J_COLOR_SPACE given, stored;
    int h, v; // sampling of the first component, the others have 1x1
    bool progressive, several_scans, arithmetic;
    int restart;   // MCUs
    uint64_t hash; // of the pixels, equal to those of Pillow 9.4 with libjpeg-turbo 2.1.5
} jpeg_kind;

enum { JPEG_WIDTH = 37, JPEG_HEIGHT = 29 };

static const jpeg_kind jpeg_kinds[] = {
    {"4:4:4", JCS_RGB, JCS_YCbCr, 1, 1, 0, 0, 0, 0, 0x6f948553d3971e90},
    {"4:2:2", JCS_RGB, JCS_YCbCr, 2, 1, 0, 0, 0, 0, 0x64238a5488ef768c},
    {"4:2:0", JCS_RGB, JCS_YCbCr, 2, 2, 0, 0, 0, 0, 0x37fd548cfdb563c1},
    {"4:4:0", JCS_RGB, JCS_YCbCr, 1, 2, 0, 0, 0, 0, 0xe7a324453c3021ad},
    {"4:1:1", JCS_RGB, JCS_YCbCr, 4, 1, 0, 0, 0, 0, 0x5266b450bbf18257},
    {"4:2:0 progressive", JCS_RGB, JCS_YCbCr, 2, 2, 1, 0, 0, 0, 0x37fd548cfdb563c1},
    {"4:2:0 with restarts", JCS_RGB, JCS_YCbCr, 2, 2, 0, 0, 0, 2, 0x37fd548cfdb563c1},
    {"4:2:0 in several scans", JCS_RGB, JCS_YCbCr, 2, 2, 0, 1, 0, 0, 0x37fd548cfdb563c1},
    {"4:2:0 arithmetic", JCS_RGB, JCS_YCbCr, 2, 2, 0, 0, 1, 0, 0x37fd548cfdb563c1},
    {"RGB", JCS_RGB, JCS_RGB, 1, 1, 0, 0, 0, 0, 0x81ca762f8de75ebb},
    {"grey", JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, 0, 0, 0, 0, 0x7179f422e6d5955d},
    {"grey progressive", JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, 1, 0, 0, 0, 0x7179f422e6d5955d},
    {"CMYK", JCS_CMYK, JCS_CMYK, 1, 1, 0, 0, 0, 0, 0x3b1983fa35a42ce3},
    {"YCCK", JCS_CMYK, JCS_YCCK, 2, 2, 0, 0, 0, 0, 0x27e622fa08391294},
};
enum { N_JPEG_KINDS = sizeof jpeg_kinds / sizeof *jpeg_kinds };

static bytes make_jpeg(const jpeg_kind *kind)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = JPEG_WIDTH;
    jpeg.image_height = JPEG_HEIGHT;
    jpeg.in_color_space = kind->given;
    jpeg.input_components = kind->given == JCS_CMYK ? 4 : kind->given == JCS_RGB ? 3 : 1;
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, kind->stored);
    jpeg_set_quality(&jpeg, 90, TRUE);
    for (int c = 0; c < jpeg.num_components; c++) {
        jpeg.comp_info[c].h_samp_factor = c == 0 || c == 3 ? kind->h : 1;
        jpeg.comp_info[c].v_samp_factor = c == 0 || c == 3 ? kind->v : 1;
    }
    jpeg.restart_interval = (unsigned)kind->restart;
    jpeg.arith_code = kind->arithmetic;
    static const jpeg_scan_info scans[] = {{1, {0}, 0, 63, 0, 0}, {2, {1, 2}, 0, 63, 0, 0}};
    if (kind->several_scans) {
        jpeg.scan_info = scans;
        jpeg.num_scans = 2;
    }
    if (kind->progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    vt_rng rng = vt_rng_at(2, VT_STREAM_SYNTHETIC, 0, 0);
    for (int y = 0; y < JPEG_HEIGHT; y++) {
        unsigned char row[JPEG_WIDTH * 4];
        for (int i = 0; i < JPEG_WIDTH * jpeg.input_components; i++) {
            row[i] = (unsigned char)(5 * i + 6 * y + (int)vt_rng_below(&rng, 40));
        }
        JSAMPROW rows = row;
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return (bytes){data, size};
}

static void test_jpeg_kinds(void **state)
{
    (void)state;
    vt_image image = {0};
    int wrong = 0;
    for (int i = 0; i < N_JPEG_KINDS; i++) {
        const jpeg_kind *kind = &jpeg_kinds[i];
        bytes file = make_jpeg(kind);
        assert_int_equal(vt_image_decode(&image, file.data, file.size, MAX_PIXELS, "j"), VT_OK);
        assert_int_equal(image.width, JPEG_WIDTH);
        assert_int_equal(image.height, JPEG_HEIGHT);
        if (hash_of(&image) != kind->hash) {
            print_error("%s: 0x%016llx\n", kind->what, (unsigned long long)hash_of(&image));
            wrong++;
        }
        free(file.data);
    }
    vt_image_free(&image);
    assert_int_equal(wrong, 0);
}

// The end marker may be missing where nothing else can be; anything more is truncation.
static void test_jpeg_without_end(void **state)
{
    (void)state;
    vt_image image = {0};
    for (int i = 0; i < N_JPEG_KINDS; i++) {
        const jpeg_kind *kind = &jpeg_kinds[i];
        bytes file = make_jpeg(kind);
        bool tells = !kind->several_scans && !kind->arithmetic; // that nothing else is missing
        for (size_t cut = 1; cut < file.size; cut++) {
            vt_status status =
                vt_image_decode(&image, file.data, file.size - cut, MAX_PIXELS, "cut");
            bool kept = tells && (cut <= 2 || (cut == 3 && status == VT_OK));
            if (kept && hash_of(&image) != kind->hash) fail_msg("%s: other pixels", kind->what);
            if (status != (kept ? VT_OK : VT_ERR_FORMAT)) {
                fail_msg("%s without %zu bytes: %s", kind->what, cut, vt_status_name(status));
            }
        }
        free(file.data);
    }
    vt_image_free(&image);
}

// ---- damage ----

// Decodes a copy that ends where its allocation ends, so that asan sees any overrun.
static vt_status decode_exact(vt_image *image, const unsigned char *data, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    vt_status status = vt_image_decode(image, copy, size, MAX_PIXELS, "damaged");
    free(copy);
    assert_true(status == VT_OK || status == VT_ERR_FORMAT);
    return status;
}

static void damage(bytes file)
{
    vt_image image = {0};
    for (size_t n = 0; n < file.size; n++) decode_exact(&image, file.data, n);
    for (size_t at = 0; at < file.size; at++) {
        static const unsigned char flips[] = {0x01, 0x80, 0xFF, 0x10};
        for (size_t k = 0; k < sizeof flips; k++) {
            file.data[at] ^= flips[k];
            decode_exact(&image, file.data, file.size);
            file.data[at] ^= flips[k];
        }
    }
    assert_int_equal(decode_exact(&image, file.data, file.size), VT_OK);
    vt_image_free(&image);
    free(file.data);
}

static void test_damaged_jpeg(void **state)
{
    (void)state;
    damage(make_jpeg(&jpeg_kinds[2]));
    damage(make_jpeg(&jpeg_kinds[5]));
    damage(make_jpeg(&jpeg_kinds[N_JPEG_KINDS - 1]));
}

static void test_damaged_png(void **state)
{
    (void)state;
    static const png_kind kinds[] = {{PNG_COLOR_TYPE_PALETTE, 4, 1, 13, 9, 10, true},
                                     {PNG_COLOR_TYPE_GRAY, 16, 0, 7, 9, 0, false},
                                     {PNG_COLOR_TYPE_RGB_ALPHA, 8, 1, 7, 6, 0, false}};
    for (int i = 0; i < 3; i++) {
        uint16_t *samples = make_samples(&kinds[i]);
        bytes file = make_png(&kinds[i], samples);
        vt_image image = {0}; // without the last data chunk's CRC and the end chunk
        assert_int_equal(decode_exact(&image, file.data, file.size - 20), VT_ERR_FORMAT);
        vt_image_free(&image);
        damage(file);
        free(samples);
    }
}

// The same damage with the checksums mended, so that it reaches what lies behind them.
static void test_damaged_png_behind_checksums(void **state)
{
    (void)state;
    static const png_kind kind = {PNG_COLOR_TYPE_PALETTE, 4, 1, 13, 9, 10, true};
    uint16_t *samples = make_samples(&kind);
    bytes file = make_png(&kind, samples);
    vt_image image = {0};
    for (size_t chunk = 8; chunk < file.size; chunk += 12 + vt_be32(file.data + chunk)) {
        size_t n = vt_be32(file.data + chunk) + 4;
        unsigned char *body = file.data + chunk + 4, kept_crc[4];
        memcpy(kept_crc, body + n, 4);
        for (size_t at = 0; at < n; at++) {
            for (int flip = 1; flip < 256; flip <<= 1) {
                body[at] ^= (unsigned char)flip;
                uLong crc = crc32(0, body, (uInt)n);
                for (int k = 0; k < 4; k++) body[n + k] = (unsigned char)(crc >> (24 - 8 * k));
                decode_exact(&image, file.data, file.size);
                body[at] ^= (unsigned char)flip;
            }
        }
        memcpy(body + n, kept_crc, 4);
    }
    vt_image_free(&image);
    free(file.data);
    free(samples);
}

// ---- limits, files ----

static void test_limits(void **state)
{
    (void)state;
    vt_image image = {0};
    static const png_kind kind = {PNG_COLOR_TYPE_RGB, 8, 0, JPEG_WIDTH, JPEG_HEIGHT, 0, false};
    uint16_t *samples = make_samples(&kind);
    bytes files[] = {make_png(&kind, samples), make_jpeg(&jpeg_kinds[0])};
    const int64_t pixels = JPEG_WIDTH * JPEG_HEIGHT;
    for (int i = 0; i < 2; i++) {
        const bytes *f = &files[i];
        assert_int_equal(vt_image_decode(&image, f->data, f->size, pixels - 1, "big"),
                         VT_ERR_FORMAT);
        assert_non_null(strstr(vt_error_message(), "big: 37x29 pixels, expected at most 1072"));
        assert_null(image.pixels); // refused before anything was allocated
        assert_int_equal(vt_image_decode(&image, f->data, f->size, pixels, "fits"), VT_OK);
        vt_image_free(&image);
        free(f->data);
    }
    free(samples);
    assert_int_equal(vt_image_decode(&image, (const unsigned char *)"", 0, 9, "n"), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "n: empty"));
    assert_int_equal(vt_image_decode(&image, (const unsigned char *)"GIF89a..", 8, 9, "n"),
                     VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "n: neither a PNG nor a JPEG"));
}

static void test_memory_is_reused(void **state)
{
    (void)state;
    vt_image image = {0};
    assert_int_equal(vt_image_reserve(&image, 100, 50, 3), VT_OK);
    assert_int_equal(image.capacity, 100 * 50 * 3);
    const unsigned char *pixels = image.pixels;
    bytes file = make_jpeg(&jpeg_kinds[0]);
    assert_int_equal(vt_image_decode(&image, file.data, file.size, MAX_PIXELS, "j"), VT_OK);
    assert_ptr_equal(image.pixels, pixels);
    assert_int_equal(image.width, JPEG_WIDTH);
    assert_int_equal(vt_image_reserve(&image, 101, 50, 3), VT_OK);
    assert_int_equal(image.capacity, 101 * 50 * 3);
    vt_image_free(&image);
    vt_image_free(&image);
    free(file.data);
}

static void test_write(void **state)
{
    (void)state;
    vt_image image = {0}, back = {0};
    const char *path = in_folder("picture.jpg"); // the content decides, not the name
    for (int channels = 1; channels <= 3; channels += 2) {
        assert_int_equal(vt_image_reserve(&image, 11, 7, channels), VT_OK);
        for (int i = 0; i < 77 * channels; i++) image.pixels[i] = (unsigned char)(i * 31);
        assert_int_equal(vt_image_write_png(path, &image), VT_OK);
        assert_int_equal(vt_image_read(&back, path, MAX_PIXELS), VT_OK);
        assert_int_equal(back.width, 11);
        assert_int_equal(back.height, 7);
        for (int i = 0; i < 77 * 3; i++) {
            assert_int_equal(back.pixels[i], image.pixels[channels == 3 ? i : i / 3]);
        }
    }
    assert_int_equal(vt_image_write_png(in_folder("none/x.png"), &image), VT_ERR_IO);
    assert_int_equal(vt_image_read(&back, in_folder("none/x.png"), MAX_PIXELS), VT_ERR_IO);
    vt_image_free(&image);
    vt_image_free(&back);
}

// What the system says is said, not that it was "Write Error".
static void test_write_error(void **state)
{
    (void)state;
    enum { SIDE = 200 };
    vt_image image = {0};
    assert_int_equal(vt_image_reserve(&image, SIDE, SIDE, 3), VT_OK);
    vt_rng rng = vt_rng_at(1, 2, 3, 4);
    for (int i = 0; i < SIDE * SIDE * 3; i++) image.pixels[i] = (unsigned char)vt_rng_u32(&rng);
    begin_full_disk();
    const vt_status status = vt_image_write_png(in_folder("large.png"), &image);
    end_full_disk();
    assert_int_equal(status, VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), strerror(EFBIG)));
    vt_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_jpeg_kinds),
        cmocka_unit_test(test_jpeg_without_end),
        cmocka_unit_test(test_damaged_jpeg),
        cmocka_unit_test(test_damaged_png),
        cmocka_unit_test(test_damaged_png_behind_checksums),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory_is_reused),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_error),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
