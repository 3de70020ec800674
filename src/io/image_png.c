// PNG by libpng. What each kind of picture becomes is what Pillow's Image.open(f).convert("RGB")
// makes of it, to the bit: the published training recipes ran on that. libpng reports errors by
// longjmp; each use has one guarded function that catches them, called with everything that must
// outlive the jump in a struct of its caller.
#include "image_codec.h"
#include "vitrain/io/file.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

// Deflate packs 1032 : 1 at best, and a byte holds at most 8 pixels.
enum { REASON_BYTES = 128, MOST_PIXELS_PER_BYTE = 8 * 1032 };

typedef struct png_reader {
    png_structp png;
    png_infop info;
    const unsigned char *next;
    size_t bytes, left;
    vt_image whole; // where only a part is wanted
    char reason[REASON_BYTES];
} png_reader;

// The error pointer is char[REASON_BYTES].
static void on_png_error(png_structp png, png_const_charp reason)
{
    snprintf(png_get_error_ptr(png), REASON_BYTES, "%s", reason);
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

// ---- the header ----

static bool png_recognise(const unsigned char *data, size_t bytes)
{
    return bytes >= 8 && png_sig_cmp(data, 0, 8) == 0;
}

// May leave by longjmp.
static vt_status read_header(vt_image_reader *reader, png_reader *r, int64_t max_pixels)
{
    png_set_read_fn(r->png, r, take_png_data);
    png_read_info(r->png, r->info);
    return vt_image_take_size(reader, png_get_image_width(r->png, r->info),
                              png_get_image_height(r->png, r->info), max_pixels, r->bytes,
                              MOST_PIXELS_PER_BYTE);
}

static vt_status guard_header(vt_image_reader *reader, png_reader *r, int64_t max_pixels)
{
    if (setjmp(png_jmpbuf(r->png)) == 0) return read_header(reader, r, max_pixels);
    return vt_fail(VT_ERR_FORMAT, "%s: PNG: %s", reader->name, r->reason);
}

static vt_status png_open(vt_image_reader *reader, const unsigned char *data, size_t bytes,
                          int64_t max_pixels)
{
    png_reader *r = reader->state = calloc(1, sizeof *r);
    if (r) {
        *r = (png_reader){.next = data, .bytes = bytes, .left = bytes};
        r->png =
            png_create_read_struct(PNG_LIBPNG_VER_STRING, r->reason, on_png_error, on_png_warning);
    }
    if (r && r->png) r->info = png_create_info_struct(r->png);
    VT_REQUIRE(r && r->info, VT_ERR_MEMORY, "%s: out of memory", reader->name);
    return guard_header(reader, r, max_pixels);
}

static void png_close(vt_image_reader *reader)
{
    png_reader *r = reader->state;
    if (!r) return;
    png_destroy_read_struct(&r->png, &r->info, NULL);
    vt_image_free(&r->whole);
    free(r);
}

// ---- the pixels ----

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
static void read_pixels(png_reader *r, vt_image *image)
{
    png_structp png = r->png;
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
    png_read_update_info(png, r->info); // no row is wider than three bytes a pixel
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < image->height; y++) png_read_row(png, vt_image_row(image, y), NULL);
    }
    if (color & PNG_COLOR_MASK_COLOR && !palette) return;

    unsigned char lut[256][3]; // greys, as in Pillow also where the palette has no entry
    for (int i = 0; i < 256; i++) memset(lut[i], i, 3);
    png_colorp entries = NULL;
    int n = 0;
    if (palette) png_get_PLTE(png, r->info, &entries, &n);
    for (int i = 0; i < n; i++) {
        memcpy(lut[i], (unsigned char[]){entries[i].red, entries[i].green, entries[i].blue}, 3);
    }
    for (int y = 0; y < image->height; y++) {
        spread_row(vt_image_row(image, y), image->width, wide_grey ? 2 : 1, lut);
    }
}

static vt_status guard_pixels(vt_image_reader *reader, png_reader *r, vt_image *image)
{
    if (setjmp(png_jmpbuf(r->png)) == 0) {
        read_pixels(r, image);
        return VT_OK;
    }
    return vt_fail(VT_ERR_FORMAT, "%s: PNG: %s", reader->name, r->reason);
}

// A part is cut from the whole, so that damage anywhere is seen.
static vt_status png_decode(vt_image_reader *reader, vt_image *image, const int box[4], int shrink)
{
    png_reader *r = reader->state;
    assert(shrink == 1);
    (void)shrink;
    if (box[2] == reader->width && box[3] == reader->height) return guard_pixels(reader, r, image);
    VT_TRY(vt_image_reserve(&r->whole, reader->width, reader->height, 3));
    VT_TRY(guard_pixels(reader, r, &r->whole));
    for (int y = 0; y < box[3]; y++) {
        memcpy(vt_image_row(image, y), vt_image_row(&r->whole, box[1] + y) + 3 * (size_t)box[0],
               3 * (size_t)box[2]);
    }
    return VT_OK;
}

const vt_image_codec vt_image_png = {
    .recognise = png_recognise,
    .open = png_open,
    .decode = png_decode,
    .close = png_close,
    .most_shrink = 1,
};

// ---- writing ----

// May leave by longjmp.
static void write_png(png_structp png, png_infop info, FILE *stream, const vt_image *image)
{
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < image->height; y++) png_write_row(png, vt_image_row(image, y));
    png_write_end(png, NULL);
}

static bool guard_png_writing(png_structp png, png_infop info, FILE *stream, const vt_image *image)
{
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    write_png(png, info, stream, image);
    return true;
}

// False, with the reason, if it cannot be written; the stream's own errors are its owner's.
static bool encode(FILE *stream, const vt_image *image, char reason[REASON_BYTES])
{
    assert(image->channels == 1 || image->channels == 3);
    snprintf(reason, REASON_BYTES, "out of memory");
    png_infop info = NULL;
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, reason, on_png_error, on_png_warning);
    if (png) info = png_create_info_struct(png);
    const bool written = info && guard_png_writing(png, info, stream, image);
    png_destroy_write_struct(&png, &info);
    return written;
}

vt_status vt_image_write_png(const char *path, const vt_image *image)
{
    vt_atomic_file file;
    char reason[REASON_BYTES];
    VT_TRY(vt_atomic_begin(&file, path));
    if (encode(file.stream, image, reason)) return vt_atomic_commit(&file);
    // libpng knows no more than that it could not write.
    if (ferror(file.stream)) snprintf(reason, sizeof reason, "%s", strerror(errno));
    vt_atomic_abandon(&file);
    return vt_fail(VT_ERR_IO, "%s: cannot write: %s", path, reason);
}

vt_status vt_image_encode_png(unsigned char **out, size_t *bytes, const vt_image *image)
{
    char reason[REASON_BYTES], *data = NULL;
    FILE *stream = open_memstream(&data, bytes);
    VT_REQUIRE(stream, VT_ERR_MEMORY, "out of memory for a picture");
    const bool written = encode(stream, image, reason);
    const bool kept = fclose(stream) == 0;
    *out = (unsigned char *)data;
    if (written && kept) return VT_OK;
    free(data);
    *out = NULL;
    return vt_fail(VT_ERR_MEMORY, "a picture of %dx%d pixels cannot be encoded: %s", image->width,
                   image->height, written ? "out of memory" : reason);
}
