// Affine warps as Pillow's Geometry.c computes them: the place in the source in double, the filter
// (bilinear between 2 x 2 pixels, or cubic through 4 x 4) as polynomials in double, first along each
// row, then down, the result cut off and clipped. The order of the operations is part of it.
//
// Taps beyond the border read the nearest pixel. So the source is copied with a border of two pixels
// of its outermost ones, in four bytes a pixel: the taps of a row are 16 bytes wherever they lie,
// and a pixel's channels are the lanes of one vector.
//
// A coefficient 0 of the cubic in exact places is exact too: where all source rows are whole (shear
// and translation along x) only the row itself counts, and likewise for columns.
#include "vitrain/data/augment_ops.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BORDER = 2, PIXEL = 4 };

typedef unsigned char quad_bytes __attribute__((vector_size(PIXEL)));
typedef int32_t quad_ints __attribute__((vector_size(PIXEL * sizeof(int32_t))));
typedef double quad __attribute__((vector_size(PIXEL * sizeof(double))));

static void put_pixel(unsigned char *to, const unsigned char *pixel, int channels)
{
    for (int c = 0; c < PIXEL; c++) to[c] = c < channels ? pixel[c] : 0;
}

static void pad_row(unsigned char *to, const unsigned char *row, int width, int channels)
{
    const unsigned char *last = row + (size_t)(width - 1) * (size_t)channels;
    for (int x = 0; x < BORDER; x++, to += PIXEL) put_pixel(to, row, channels);
    if (channels == 3) {
        for (int x = 0; x < width; x++, to += PIXEL, row += 3) put_pixel(to, row, 3);
    } else {
        for (int x = 0; x < width; x++, to += PIXEL, row++) put_pixel(to, row, 1);
    }
    for (int x = 0; x < BORDER; x++, to += PIXEL) put_pixel(to, last, channels);
}

static vt_status pad(vt_image *padded, const vt_image *from)
{
    VT_TRY(vt_image_reserve(padded, from->width + 2 * BORDER, from->height + 2 * BORDER, PIXEL));
    const size_t stride = (size_t)padded->width * PIXEL;
    const size_t from_stride = (size_t)from->width * (size_t)from->channels;
    unsigned char *first = padded->pixels + BORDER * stride;
    for (int y = 0; y < from->height; y++)
        pad_row(first + (size_t)y * stride, from->pixels + (size_t)y * from_stride, from->width,
                from->channels);
    const unsigned char *last = first + (size_t)(from->height - 1) * stride;
    for (size_t i = 1; i <= BORDER; i++) {
        memcpy(first - i * stride, first, stride);
        memcpy(padded->pixels + (size_t)(from->height + BORDER - 1 + (int)i) * stride, last, stride);
    }
    return VT_OK;
}

static inline quad read_pixel(const unsigned char *p)
{
    quad_bytes bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, quad_ints), quad);
}

// Pillow's BICUBIC and BILINEAR.
static inline quad cubic(quad a, quad b, quad c, quad d, double t)
{
    quad p2 = c - a, p3 = 2 * (a - b) + c - d, p4 = b - a - c + d;
    return b + t * (p2 + t * (p3 + t * p4));
}

static inline quad linear(quad a, quad b, double t)
{
    return a + (b - a) * t;
}

// Along a row. p: the pixel that t is measured from.
static inline quad along(const unsigned char *p, double t, vt_filter filter)
{
    if (filter == VT_FILTER_BILINEAR) return linear(read_pixel(p), read_pixel(p + PIXEL), t);
    return cubic(read_pixel(p - PIXEL), read_pixel(p), read_pixel(p + PIXEL),
                 read_pixel(p + 2 * PIXEL), t);
}

typedef struct warp {
    const vt_image *from, *padded;
    const double *m;
    const unsigned char *fill;
} warp;

// The value at (x, y), where pixels' centres are whole numbers. across, down: whether x, y may be
// anything else than whole.
static inline __attribute__((always_inline)) quad sample(const vt_image *padded, double x, double y,
                                                         vt_filter filter, bool across, bool down)
{
    const int column = x < 0 ? (int)floor(x) : (int)x, row = y < 0 ? (int)floor(y) : (int)y;
    const double tx = x - column, ty = y - row;
    const ptrdiff_t stride = (ptrdiff_t)padded->width * PIXEL;
    const unsigned char *p =
        padded->pixels + (row + BORDER) * stride + (ptrdiff_t)(column + BORDER) * PIXEL;
    if (!down) return along(p, tx, filter);
    quad value[4];
    const int first = filter == VT_FILTER_BILINEAR ? 1 : 0, last = first ? 2 : 3;
    for (int i = first; i <= last; i++) {
        const unsigned char *q = p + (i - 1) * stride;
        value[i] = across ? along(q, tx, filter) : read_pixel(q);
    }
    if (filter == VT_FILTER_BILINEAR) return linear(value[1], value[2], ty);
    return cubic(value[0], value[1], value[2], value[3], ty);
}

static inline __attribute__((always_inline)) void
warp_row(unsigned char *out, const warp *w, int y, int channels, vt_filter filter, bool across,
         bool down)
{
    const double *m = w->m, at_y = y + 0.5, width = w->from->width, height = w->from->height;
    for (int x = 0; x < w->from->width; x++, out += channels) {
        const double at_x = x + 0.5;
        const double from_x = m[0] * at_x + m[1] * at_y + m[2];
        const double from_y = m[3] * at_x + m[4] * at_y + m[5];
        if (!(from_x >= 0 && from_x < width && from_y >= 0 && from_y < height)) {
            for (int c = 0; c < channels; c++) out[c] = w->fill[c];
            continue;
        }
        quad value = sample(w->padded, from_x - 0.5, from_y - 0.5, filter, across, down);
        quad_ints level = __builtin_convertvector(value, quad_ints);
        level &= ~(level >> 31);                // negative: 0
        level = (level | (level > 255)) & 0xFF; // a true comparison is -1
        quad_bytes bytes = __builtin_convertvector(level, quad_bytes);
        for (int c = 0; c < channels; c++) out[c] = bytes[c];
    }
}

static inline __attribute__((always_inline)) void
warp_rows(vt_image *to, const warp *w, int channels, vt_filter filter)
{
    const double *m = w->m;
    const bool across = !(m[0] == 1 && m[1] == 0 && m[2] == 0);
    const bool down = !(m[3] == 0 && m[4] == 1 && m[5] == 0);
    unsigned char *out = to->pixels;
    const size_t stride = (size_t)to->width * (size_t)channels;
    for (int y = 0; y < to->height; y++, out += stride) {
        if (!down)
            warp_row(out, w, y, channels, filter, true, false);
        else if (!across)
            warp_row(out, w, y, channels, filter, false, true);
        else
            warp_row(out, w, y, channels, filter, true, true);
    }
}

vt_status vt_image_warp(vt_image *to, const vt_image *from, const double matrix[6],
                        vt_filter filter, const unsigned char *fill, vt_image *padded)
{
    assert(to != from && (from->channels == 1 || from->channels == 3));
    VT_TRY(pad(padded, from));
    VT_TRY(vt_image_reserve(to, from->width, from->height, from->channels));
    const warp w = {.from = from, .padded = padded, .m = matrix, .fill = fill};
    if (from->channels == 3 && filter == VT_FILTER_BICUBIC)
        warp_rows(to, &w, 3, VT_FILTER_BICUBIC);
    else if (from->channels == 3)
        warp_rows(to, &w, 3, VT_FILTER_BILINEAR);
    else
        warp_rows(to, &w, 1, filter);
    return VT_OK;
}
