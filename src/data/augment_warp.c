// Affine warps as Pillow's Geometry.c computes them: the place in the source in double, the filter
// (bilinear between 2 x 2 pixels, or cubic through 4 x 4) as polynomials in double, first along each
// row, then down, the result cut off and clipped. The order of the operations is part of it.
//
// Taps beyond the border read the nearest pixel. So the source is copied with a border of two pixels
// of its outermost ones, in four bytes a pixel. The result is made in runs of RUN pixels of a row:
// the taps are gathered, tap by tap, and then everything is a plain loop over lanes (pixels times
// four bytes) that the compiler vectorizes.
//
// A polynomial in 0 is its first coefficient, exactly: where all source rows are whole (shear and
// translation along x) only the row itself counts, and likewise for columns.
#include "vitrain/data/augment_ops.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BORDER = 2, PIXEL = 4, RUN = 64, LANES = RUN * PIXEL, TAPS = 4 };

typedef struct warp {
    const vt_image *from, *padded;
    const double *m;
    vt_filter filter;
    bool across, down; // whether places may lie between columns, between rows
} warp;

// A part of a row of the result.
typedef struct run {
    int count;                       // pixels
    bool inside[RUN];                // whether the place lies in the source
    const unsigned char *at[RUN];    // its pixel in the padded copy, or else any
    double tx[LANES], ty[LANES];     // distance from it, 0 to 1, for each lane of the pixel
    unsigned char taps[TAPS][LANES]; // of one source row
    double rows[TAPS][LANES];        // interpolated along the row
    unsigned char result[LANES];
} run;

// ---- the padded copy ----

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
    unsigned char *first = padded->pixels + BORDER * stride, *to = first;
    for (int y = 0; y < from->height; y++, to += stride)
        pad_row(to, from->pixels + (size_t)y * from_stride, from->width, from->channels);
    for (size_t i = 0; i < BORDER; i++) {
        memcpy(padded->pixels + i * stride, first, stride);
        memcpy(to + i * stride, to - stride, stride);
    }
    return VT_OK;
}

// ---- one run ----

// Whether any of it lies in the source.
static bool place(run *r, const warp *w, int x, int y)
{
    const double *m = w->m, width = w->from->width, height = w->from->height, at_y = y + 0.5;
    const size_t stride = (size_t)w->padded->width * PIXEL;
    bool any = false;
    for (int i = 0; i < r->count; i++) {
        const double at_x = x + i + 0.5;
        const double from_x = m[0] * at_x + m[1] * at_y + m[2];
        const double from_y = m[3] * at_x + m[4] * at_y + m[5];
        const bool inside = from_x >= 0 && from_x < width && from_y >= 0 && from_y < height;
        const double px = inside ? from_x - 0.5 : 0, py = inside ? from_y - 0.5 : 0;
        const double column = floor(px), row = floor(py);
        r->inside[i] = inside;
        r->at[i] = w->padded->pixels + (size_t)((int)row + BORDER) * stride +
                   (size_t)((int)column + BORDER) * PIXEL;
        any = any || inside;
        for (int c = 0; c < PIXEL; c++) {
            r->tx[i * PIXEL + c] = px - column;
            r->ty[i * PIXEL + c] = py - row;
        }
    }
    return any;
}

// taps[k] = the pixel k - 1 places to the right of each place, `offset` bytes further on.
static void gather(run *r, ptrdiff_t offset, int first, int last)
{
    for (int i = 0; i < r->count; i++) {
        const unsigned char *p = r->at[i] + offset;
        for (int k = first; k <= last; k++)
            memcpy(r->taps[k] + i * PIXEL, p + (k - 1) * PIXEL, PIXEL);
    }
}

// Pillow's BICUBIC and BILINEAR; along a row, where the taps are whole numbers, and down.
static void cubic_across(double *restrict out, const unsigned char taps[TAPS][LANES],
                         const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) {
        int a = taps[0][l], b = taps[1][l], c = taps[2][l], d = taps[3][l];
        int p2 = c - a, p3 = 2 * (a - b) + c - d, p4 = b - a - c + d;
        out[l] = b + t[l] * (p2 + t[l] * (p3 + t[l] * p4));
    }
}

static void linear_across(double *restrict out, const unsigned char taps[TAPS][LANES],
                          const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) out[l] = taps[1][l] + (taps[2][l] - taps[1][l]) * t[l];
}

static void whole_across(double *restrict out, const unsigned char *restrict tap, int lanes)
{
    for (int l = 0; l < lanes; l++) out[l] = tap[l];
}

static inline unsigned char cut(double v)
{
    int level = (int)v;
    return (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static void cubic_down(unsigned char *restrict out, const double rows[TAPS][LANES],
                       const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) {
        double a = rows[0][l], b = rows[1][l], c = rows[2][l], d = rows[3][l];
        double p2 = c - a, p3 = 2 * (a - b) + c - d, p4 = b - a - c + d;
        out[l] = cut(b + t[l] * (p2 + t[l] * (p3 + t[l] * p4)));
    }
}

static void linear_down(unsigned char *restrict out, const double rows[TAPS][LANES],
                        const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) out[l] = cut(rows[1][l] + (rows[2][l] - rows[1][l]) * t[l]);
}

static void whole_down(unsigned char *restrict out, const double *restrict row, int lanes)
{
    for (int l = 0; l < lanes; l++) out[l] = cut(row[l]);
}

static void interpolate(run *r, const warp *w)
{
    const bool cubic = w->filter == VT_FILTER_BICUBIC;
    const int first = cubic ? 0 : 1, last = cubic ? 3 : 2, lanes = r->count * PIXEL;
    const ptrdiff_t stride = (ptrdiff_t)w->padded->width * PIXEL;
    for (int i = w->down ? first : 1; i <= (w->down ? last : 1); i++) {
        const ptrdiff_t offset = (i - 1) * stride;
        if (!w->across) {
            gather(r, offset, 1, 1);
            whole_across(r->rows[i], r->taps[1], lanes);
        } else if (cubic) {
            gather(r, offset, 0, 3);
            cubic_across(r->rows[i], r->taps, r->tx, lanes);
        } else {
            gather(r, offset, 1, 2);
            linear_across(r->rows[i], r->taps, r->tx, lanes);
        }
    }
    if (!w->down)
        whole_down(r->result, r->rows[1], lanes);
    else if (cubic)
        cubic_down(r->result, r->rows, r->ty, lanes);
    else
        linear_down(r->result, r->rows, r->ty, lanes);
}

static void put_run(unsigned char *out, const run *r, const unsigned char *fill, int channels)
{
    for (int i = 0; i < r->count; i++, out += channels) {
        const unsigned char *pixel = r->inside[i] ? r->result + i * PIXEL : fill;
        for (int c = 0; c < channels; c++) out[c] = pixel[c];
    }
}

// ---- all of it ----

vt_status vt_image_warp(vt_image *to, const vt_image *from, const double matrix[6],
                        vt_filter filter, const unsigned char *fill, vt_image *padded)
{
    assert(to != from && (from->channels == 1 || from->channels == 3));
    const double *m = matrix;
    const warp w = {.from = from,
                    .padded = padded,
                    .m = m,
                    .filter = filter,
                    .across = !(m[0] == 1 && m[1] == 0 && m[2] == 0),
                    .down = !(m[3] == 0 && m[4] == 1 && m[5] == 0)};
    VT_TRY(pad(padded, from));
    VT_TRY(vt_image_reserve(to, from->width, from->height, from->channels));
    run r;
    unsigned char *out = to->pixels;
    for (int y = 0; y < to->height; y++) {
        for (int x = 0; x < to->width; x += RUN) {
            r.count = to->width - x < RUN ? to->width - x : RUN;
            if (place(&r, &w, x, y)) interpolate(&r, &w);
            put_run(out, &r, fill, to->channels);
            out += r.count * to->channels;
        }
    }
    return VT_OK;
}
