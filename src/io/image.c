// PNG and JPEG by libpng and libjpeg. What each kind of picture becomes is what Pillow's
// Image.open(f).convert("RGB") makes of it, to the bit: the published training recipes ran on that.
// Both libraries report errors by longjmp; each has one guarded function that catches them, called
// with everything that must outlive the jump in a struct of its caller.
#include "vitrain/io/image.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"

#include <assert.h>
#include <limits.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

vt_status vt_image_reserve(vt_image *image, int width, int height, int channels)
{
    assert(width > 0 && height > 0 && channels > 0);
    size_t bytes;
    VT_REQUIRE(vt_size_mul((size_t)width, (size_t)height, &bytes) &&
                   vt_size_mul(bytes, (size_t)channels, &bytes),
               VT_ERR_MEMORY, "a picture of %dx%d pixels exceeds the address space", width, height);
    if (bytes > image->capacity) {
        vt_image_free(image); // nothing in it is worth a copy
        image->pixels = malloc(bytes);
        VT_REQUIRE(image->pixels, VT_ERR_MEMORY, "out of memory for a picture of %dx%d pixels",
                   width, height);
        image->capacity = bytes;
    }
    image->width = width;
    image->height = height;
    image->channels = channels;
    return VT_OK;
}

void vt_image_free(vt_image *image)
{
    free(image->pixels);
    *image = (vt_image){0};
}

static unsigned char *row_of(const vt_image *image, int y)
{
    return image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels;
}

static vt_status check_size(const char *name, uint32_t width, uint32_t height, int64_t max_pixels)
{
    VT_REQUIRE(width <= INT_MAX && height <= INT_MAX &&
                   (uint64_t)width * height <= (uint64_t)max_pixels,
               VT_ERR_FORMAT, "%s: %ux%u pixels, expected at most %lld in all", name, width, height,
               (long long)max_pixels);
    return VT_OK;
}

// ---- JPEG ----

typedef struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_source_mgr source;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    bool ended;   // the data ran out, an end marker was made up
    bool starved; // entropy-coded data ended early, the rest was made up
} jpeg_reader;

static void on_jpeg_error(j_common_ptr jpeg)
{
    longjmp(((jpeg_reader *)jpeg->client_data)->failed, 1);
}

static void on_jpeg_message(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code == JWRN_HIT_MARKER) { // below 0: a warning
        ((jpeg_reader *)jpeg->client_data)->starved = true;
    }
}

static void no_jpeg_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void no_jpeg_action(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean end_jpeg_data(j_decompress_ptr jpeg)
{
    static const JOCTET end_marker[] = {0xFF, JPEG_EOI};
    jpeg->src->next_input_byte = end_marker;
    jpeg->src->bytes_in_buffer = sizeof end_marker;
    ((jpeg_reader *)jpeg->client_data)->ended = true;
    return TRUE;
}

static void skip_jpeg_data(j_decompress_ptr jpeg, long bytes)
{
    struct jpeg_source_mgr *source = jpeg->src;
    size_t skipped = bytes < 0 ? 0 : (size_t)bytes;
    if (skipped > source->bytes_in_buffer) skipped = source->bytes_in_buffer;
    source->next_input_byte += skipped;
    source->bytes_in_buffer -= skipped;
}

// As Pillow, which takes all four-component JPEGs for Adobe's (inverted), and whose conversion is
// 255 - k - c (255 - k) / 255 with the product rounded to nearest.
static void rgb_from_inverted_cmyk(unsigned char *rgb, const unsigned char *cmyk, int width)
{
    for (int x = 0; x < width; x++) {
        unsigned white = cmyk[4 * x + 3];
        for (int c = 0; c < 3; c++) {
            unsigned t = (255u - cmyk[4 * x + c]) * white + 128;
            rgb[3 * x + c] = (unsigned char)(white - ((t + (t >> 8)) >> 8));
        }
    }
}

// May leave by longjmp.
static vt_status read_jpeg(jpeg_reader *r, vt_image *image, int64_t max_pixels, const char *name)
{
    j_decompress_ptr jpeg = &r->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->src = &r->source;
    jpeg_read_header(jpeg, TRUE);
    VT_TRY(check_size(name, jpeg->image_width, jpeg->image_height, max_pixels));
    int channels = jpeg->num_components;
    VT_REQUIRE(channels == 1 || channels == 3 || channels == 4, VT_ERR_FORMAT,
               "%s: JPEG with %d components, expected 1, 3 or 4", name, channels);
    jpeg->out_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
    bool one_scan = !jpeg_has_multiple_scans(jpeg) && !jpeg->arith_code;
    jpeg_start_decompress(jpeg);
    VT_TRY(vt_image_reserve(image, (int)jpeg->output_width, (int)jpeg->output_height, 3));
    JSAMPROW cmyk = NULL;
    if (channels == 4) {
        cmyk = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, 4 * jpeg->output_width);
    }
    for (int y = 0; y < image->height; y++) {
        unsigned char *row = row_of(image, y);
        jpeg_read_scanlines(jpeg, cmyk ? &cmyk : &row, 1);
        if (cmyk) rgb_from_inverted_cmyk(row, cmyk, image->width);
    }
    // Without the end marker nobody knows whether a picture of several scans lacks some, and an
    // arithmetic decoder does not notice that it has run out of data.
    VT_REQUIRE(!r->ended || (one_scan && !r->starved), VT_ERR_FORMAT, "%s: truncated JPEG", name);
    return VT_OK;
}

static vt_status guard_jpeg(jpeg_reader *r, vt_image *image, int64_t max_pixels, const char *name)
{
    if (setjmp(r->failed) == 0) return read_jpeg(r, image, max_pixels, name);
    char reason[JMSG_LENGTH_MAX];
    r->errors.format_message((j_common_ptr)&r->jpeg, reason);
    return vt_fail(VT_ERR_FORMAT, "%s: %s: %s", name, r->ended ? "truncated JPEG" : "JPEG", reason);
}

static vt_status decode_jpeg(vt_image *image, const unsigned char *data, size_t bytes,
                             int64_t max_pixels, const char *name)
{
    jpeg_reader r = {
        .source = {.next_input_byte = data,
                   .bytes_in_buffer = bytes,
                   .init_source = no_jpeg_action,
                   .fill_input_buffer = end_jpeg_data,
                   .skip_input_data = skip_jpeg_data,
                   .resync_to_restart = jpeg_resync_to_restart,
                   .term_source = no_jpeg_action},
    };
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = on_jpeg_error;
    r.errors.emit_message = on_jpeg_message;
    r.errors.output_message = no_jpeg_output;
    vt_status status = guard_jpeg(&r, image, max_pixels, name);
    jpeg_destroy_decompress(&r.jpeg);
    return status;
}

// ---- PNG ----

enum { PNG_REASON_BYTES = 128 };

typedef struct png_reader {
    png_structp png;
    png_infop info;
    const unsigned char *next;
    size_t left;
    char reason[PNG_REASON_BYTES];
} png_reader;

// The error pointer is char[PNG_REASON_BYTES].
static void on_png_error(png_structp png, png_const_charp reason)
{
    snprintf(png_get_error_ptr(png), PNG_REASON_BYTES, "%s", reason);
    png_longjmp(png, 1);
}

static void on_png_warning(png_structp png, png_const_charp reason)
{
    (void)png, (void)reason;
}

static void take_png_data(png_structp png, png_bytep out, size_t bytes)
{
    png_reader *r = png_get_io_ptr(png);
    if (bytes > r->left) png_error(png, "truncated");
    memcpy(out, r->next, bytes);
    r->next += bytes;
    r->left -= bytes;
}

// Spreads one row of `bytes` (1 or 2) bytes a pixel to three, in place and so from the right.
// lut: (256, 3), what a byte becomes. A 16-bit value is clipped to a byte before.
static void spread_row(unsigned char *row, int width, int bytes, const unsigned char lut[256][3])
{
    for (int x = width - 1; x >= 0; x--) {
        unsigned char value = bytes == 1 ? row[x] : row[2 * x] ? 255 : row[2 * x + 1];
        memcpy(row + 3 * x, lut[value], 3);
    }
}

// May leave by longjmp.
static vt_status read_png(png_reader *r, vt_image *image, int64_t max_pixels, const char *name)
{
    png_structp png = r->png;
    png_set_read_fn(png, r, take_png_data);
    png_read_info(png, r->info);
    uint32_t width = png_get_image_width(png, r->info), height = png_get_image_height(png, r->info);
    VT_TRY(check_size(name, width, height, max_pixels));
    int color = png_get_color_type(png, r->info), depth = png_get_bit_depth(png, r->info);
    bool palette = color == PNG_COLOR_TYPE_PALETTE, wide_grey = false;
    if (palette) {
        png_set_packing(png);
    } else if (depth < 8) {
        png_set_expand_gray_1_2_4_to_8(png);
    } else if (depth == 16) {
        wide_grey = color == PNG_COLOR_TYPE_GRAY;
        if (!wide_grey) png_set_strip_16(png);
    }
    png_set_strip_alpha(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, r->info);
    VT_TRY(vt_image_reserve(image, (int)width, (int)height, 3)); // no row is wider before spreading
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < image->height; y++) png_read_row(png, row_of(image, y), NULL);
    }
    if (color & PNG_COLOR_MASK_COLOR && !palette) return VT_OK;

    unsigned char lut[256][3]; // greys, as in Pillow also where the palette has no entry
    for (int i = 0; i < 256; i++) memset(lut[i], i, 3);
    png_colorp entries = NULL;
    int n = 0;
    if (palette) png_get_PLTE(png, r->info, &entries, &n);
    for (int i = 0; i < n; i++) {
        memcpy(lut[i], (unsigned char[]){entries[i].red, entries[i].green, entries[i].blue}, 3);
    }
    for (int y = 0; y < image->height; y++) {
        spread_row(row_of(image, y), image->width, wide_grey ? 2 : 1, lut);
    }
    return VT_OK;
}

static vt_status guard_png(png_reader *r, vt_image *image, int64_t max_pixels, const char *name)
{
    if (setjmp(png_jmpbuf(r->png)) == 0) return read_png(r, image, max_pixels, name);
    return vt_fail(VT_ERR_FORMAT, "%s: PNG: %s", name, r->reason);
}

static vt_status decode_png(vt_image *image, const unsigned char *data, size_t bytes,
                            int64_t max_pixels, const char *name)
{
    png_reader r = {.next = data, .left = bytes};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r.reason, on_png_error, on_png_warning);
    if (r.png) r.info = png_create_info_struct(r.png);
    vt_status status = r.info ? guard_png(&r, image, max_pixels, name)
                              : vt_fail(VT_ERR_MEMORY, "%s: out of memory", name);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return status;
}

// ---- either ----

vt_status vt_image_decode(vt_image *image, const unsigned char *data, size_t bytes,
                          int64_t max_pixels, const char *name)
{
    VT_REQUIRE(bytes > 0, VT_ERR_FORMAT, "%s: empty file, expected a picture", name);
    if (bytes >= 8 && png_sig_cmp(data, 0, 8) == 0) {
        return decode_png(image, data, bytes, max_pixels, name);
    }
    if (bytes >= 3 && memcmp(data, "\xFF\xD8\xFF", 3) == 0) {
        return decode_jpeg(image, data, bytes, max_pixels, name);
    }
    return vt_fail(VT_ERR_FORMAT, "%s: neither a PNG nor a JPEG", name);
}

vt_status vt_image_read(vt_image *image, const char *path, int64_t max_pixels)
{
    unsigned char *data;
    size_t bytes;
    VT_TRY(vt_file_read(&data, &bytes, path, (size_t)1 << 30)); // no sane picture is larger
    vt_status status = vt_image_decode(image, data, bytes, max_pixels, path);
    free(data);
    return status;
}

// ---- writing ----

// May leave by longjmp.
static void write_png(png_structp png, png_infop info, FILE *stream, const vt_image *image)
{
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < image->height; y++) png_write_row(png, row_of(image, y));
    png_write_end(png, NULL);
}

static bool guard_png_writing(png_structp png, png_infop info, FILE *stream, const vt_image *image)
{
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    write_png(png, info, stream, image);
    return true;
}

vt_status vt_image_write_png(const char *path, const vt_image *image)
{
    assert(image->channels == 1 || image->channels == 3);
    vt_atomic_file file;
    VT_TRY(vt_atomic_begin(&file, path));
    char reason[PNG_REASON_BYTES] = "out of memory";
    png_infop info = NULL;
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, reason, on_png_error, on_png_warning);
    if (png) info = png_create_info_struct(png);
    bool written = info && guard_png_writing(png, info, file.stream, image);
    png_destroy_write_struct(&png, &info);
    if (written) return vt_atomic_commit(&file);
    vt_atomic_abandon(&file);
    return vt_fail(VT_ERR_IO, "%s: cannot write: %s", path, reason);
}
