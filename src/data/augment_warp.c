// Affine warps as Pillow's Geometry.c computes them: the place in the source in double, the filter
// (bilinear between 2 x 2 pixels, or cubic through 4 x 4) as polynomials in double, first along
// each row, then down, the result cut off and clipped. The order of the operations is part of it.
//
// Taps beyond the border read the nearest pixel. So the source is copied with a border of two
// pixels of its outermost ones. The result is made in runs of RUN pixels of a row: the taps are
// gathered, tap by tap (or are in order already, where the places are neighbours), and then
// everything is a plain loop over lanes, pixels times channels, that the compiler vectorizes.
//
// A polynomial in 0 is its first coefficient, exactly. So where all places lie on rows (shear and
// translation along x) or on columns, one polynomial along the other axis is all.
#include "vitrain/data/augment_ops.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

// QUAD: pixels of three bytes are moved in fours, each over the fourth byte of the one before.
enum { BORDER = 2, RUN = 64, MAX_CHANNELS = 3, QUAD = 4, TAPS = 4 };
enum { LANES = RUN * MAX_CHANNELS + QUAD - MAX_CHANNELS };

typedef struct warp {
    int width, height, channels, stride; // of the source; of its padded copy, bytes
    const unsigned char *padded;
    const double *m;
    vt_filter filter;
    bool across, down; // whether places may lie between columns, between rows
} warp;

// A part of a row of the result. For each of its pixels:
typedef struct run {
    int count;
    bool all, any;               // whether all, any of them are inside
    bool ordered;                // whether their pixels are neighbours
    int inside[RUN];             // whether the place lies in the source
    double x[RUN], y[RUN];       // the place; then how far it is beyond its pixel's centre
    int at[RUN];                 // that pixel in the padded copy: offset in bytes
    double tx[LANES], ty[LANES]; // the same for each lane
    unsigned char gathered[TAPS][LANES];
    double rows[TAPS][LANES]; // interpolated along rows
    unsigned char result[LANES];
} run;

// ---- the padded copy ----

static void pad_row(unsigned char *to, const unsigned char *row, int width, int channels)
{
    const size_t bytes = (size_t)width * (size_t)channels, border = (size_t)(BORDER * channels);
    const unsigned char *last = row + bytes - channels;
    memcpy(to + border, row, bytes);
    for (size_t i = 0; i < border; i++) {
        to[i] = row[i % (size_t)channels];
        to[border + bytes + i] = last[i % (size_t)channels];
    }
}

// With a row to spare below, into which the last quads reach.
static vt_status pad(vt_image *padded, const vt_image *from)
{
    const int width = from->width + 2 * BORDER, height = from->height + 2 * BORDER;
    VT_TRY(vt_image_reserve(padded, width, height + 1, from->channels));
    const size_t stride = (size_t)width * (size_t)from->channels;
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

// ---- where a run's pixels come from ----

static void place(run *r, const warp *w, int x, int y)
{
    const double *m = w->m, width = w->width, height = w->height, at_y = y + 0.5;
    const double m0 = m[0], m1 = m[1], m2 = m[2], m3 = m[3], m4 = m[4], m5 = m[5];
    int all = 1, any = 0;
    for (int i = 0; i < r->count; i++) {
        const double at_x = x + i + 0.5;
        const double from_x = m0 * at_x + m1 * at_y + m2, from_y = m3 * at_x + m4 * at_y + m5;
        const int inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height);
        r->x[i] = from_x;
        r->y[i] = from_y;
        r->inside[i] = inside;
        all &= inside;
        any |= inside;
    }
    r->all = all;
    r->any = any;
}

// floor(), which the compiler would call.
static inline int round_down(double v)
{
    const int whole = (int)v;
    return whole - (v < whole);
}

// From places to the pixels before them. Those outside are given some place inside.
static void find_pixels(run *r, const warp *w)
{
    const int stride = w->stride, channels = w->channels;
    for (int i = 0; i < r->count && !r->all; i++)
        if (!r->inside[i]) r->x[i] = r->y[i] = 0;
    for (int i = 0; i < r->count; i++) {
        const double x = r->x[i] - 0.5, y = r->y[i] - 0.5;
        const int column = round_down(x), row = round_down(y);
        r->at[i] = (row + BORDER) * stride + (column + BORDER) * channels;
        r->x[i] = x - column;
        r->y[i] = y - row;
    }
}

static void spread(double *restrict lanes, const double *restrict pixels, int count, int channels)
{
    if (channels == 1) {
        memcpy(lanes, pixels, (size_t)count * sizeof *lanes);
        return;
    }
    for (int i = 0; i < count; i++) {
        const double v = pixels[i];
        for (int c = 0; c < QUAD; c++) lanes[3 * i + c] = v;
    }
}

static bool in_order(const run *r, int channels)
{
    int differs = 0;
    for (int i = 0; i < r->count; i++) differs |= r->at[i] ^ (r->at[0] + i * channels);
    return !differs;
}

static void gather(unsigned char *restrict to, const unsigned char *restrict from, const run *r,
                   int channels)
{
    if (channels == 3)
        for (int i = 0; i < r->count; i++) memcpy(to + 3 * i, from + r->at[i], QUAD);
    else
        for (int i = 0; i < r->count; i++) to[i] = from[r->at[i]];
}

// taps[k], k from `first` to `last`: for each lane, the byte (k - 1) * step from its place in the
// source at `from`.
static void find_taps(const unsigned char *taps[TAPS], run *r, const unsigned char *from,
                      ptrdiff_t step, int first, int last, int channels)
{
    for (int k = first; k <= last; k++) {
        const unsigned char *tap = from + (k - 1) * step;
        taps[k] = r->ordered ? tap + r->at[0] : r->gathered[k];
        if (!r->ordered) gather(r->gathered[k], tap, r, channels);
    }
}

// ---- Pillow's BICUBIC and BILINEAR ----

static inline double cubic_bytes(const unsigned char *const taps[TAPS], int l, double t)
{
    const int a = taps[0][l], b = taps[1][l], c = taps[2][l], d = taps[3][l];
    const int p2 = c - a, p3 = 2 * (a - b) + c - d, p4 = b - a - c + d; // exact, as in double
    return b + t * (p2 + t * (p3 + t * p4));
}

static inline double linear_bytes(const unsigned char *const taps[TAPS], int l, double t)
{
    return taps[1][l] + (taps[2][l] - taps[1][l]) * t;
}

static inline unsigned char cut(double v)
{
    const int level = (int)v;
    return (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
}

// Along one axis, to numbers that go on to the other, or to bytes.
static void along_row(double *restrict out, const unsigned char *const taps[TAPS],
                      const double *restrict t, int lanes, bool cubic)
{
    const unsigned char *const kept[TAPS] = {taps[0], taps[1], taps[2], taps[3]};
    if (cubic)
        for (int l = 0; l < lanes; l++) out[l] = cubic_bytes(kept, l, t[l]);
    else
        for (int l = 0; l < lanes; l++) out[l] = linear_bytes(kept, l, t[l]);
}

static void along_one_axis(unsigned char *restrict out, const unsigned char *const taps[TAPS],
                           const double *restrict t, int lanes, bool cubic)
{
    const unsigned char *const kept[TAPS] = {taps[0], taps[1], taps[2], taps[3]};
    if (cubic)
        for (int l = 0; l < lanes; l++) out[l] = cut(cubic_bytes(kept, l, t[l]));
    else
        for (int l = 0; l < lanes; l++) out[l] = cut(linear_bytes(kept, l, t[l]));
}

static void cubic_down(unsigned char *restrict out, const double rows[TAPS][LANES],
                       const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) {
        const double a = rows[0][l], b = rows[1][l], c = rows[2][l], d = rows[3][l];
        const double p2 = c - a, p3 = 2 * (a - b) + c - d, p4 = b - a - c + d;
        out[l] = cut(b + t[l] * (p2 + t[l] * (p3 + t[l] * p4)));
    }
}

static void linear_down(unsigned char *restrict out, const double rows[TAPS][LANES],
                        const double *restrict t, int lanes)
{
    for (int l = 0; l < lanes; l++) out[l] = cut(rows[1][l] + (rows[2][l] - rows[1][l]) * t[l]);
}

// ---- a run ----

static void interpolate(run *r, const warp *w)
{
    const bool cubic = w->filter == VT_FILTER_BICUBIC;
    const int first = cubic ? 0 : 1, last = cubic ? 3 : 2, channels = w->channels;
    const int lanes = r->count * channels;
    const unsigned char *taps[TAPS] = {NULL};
    r->ordered = in_order(r, channels);
    if (w->across) spread(r->tx, r->x, r->count, channels);
    if (w->down) spread(r->ty, r->y, r->count, channels);
    if (!w->across || !w->down) {
        find_taps(taps, r, w->padded, w->down ? w->stride : channels, first, last, channels);
        along_one_axis(r->result, taps, w->down ? r->ty : r->tx, lanes, cubic);
        return;
    }
    for (int i = first; i <= last; i++) {
        const unsigned char *from = w->padded + (ptrdiff_t)(i - 1) * w->stride;
        find_taps(taps, r, from, channels, first, last, channels);
        along_row(r->rows[i], taps, r->tx, lanes, cubic);
    }
    if (cubic)
        cubic_down(r->result, r->rows, r->ty, lanes);
    else
        linear_down(r->result, r->rows, r->ty, lanes);
}

static void put_run(unsigned char *out, run *r, const unsigned char *fill, int channels)
{
    const size_t pixel = (size_t)channels;
    for (size_t i = 0; i < (size_t)r->count && !r->all; i++)
        if (!r->inside[i]) memcpy(r->result + i * pixel, fill, pixel);
    memcpy(out, r->result, (size_t)r->count * pixel);
}

// ---- all of it ----

vt_status vt_image_warp(vt_image *to, const vt_image *from, const double matrix[6],
                        vt_filter filter, const unsigned char *fill, vt_image *padded)
{
    assert(to != from && (from->channels == 1 || from->channels == 3));
    const double *m = matrix;
    const int channels = from->channels;
    const bool down = !(m[3] == 0 && m[4] == 1 && m[5] == 0);
    VT_REQUIRE((from->width + 4.0) * (from->height + 5.0) * channels <= INT_MAX, VT_ERR_MEMORY,
               "a picture of %dx%d pixels is too large to be warped", from->width, from->height);
    VT_TRY(pad(padded, from));
    VT_TRY(vt_image_reserve(to, from->width, from->height, channels));
    const warp w = {.width = from->width,
                    .height = from->height,
                    .channels = channels,
                    .stride = padded->width * channels,
                    .padded = padded->pixels,
                    .m = m,
                    .filter = filter,
                    .across = !(m[0] == 1 && m[1] == 0 && m[2] == 0) || !down,
                    .down = down};
    unsigned char *out = to->pixels;
    run r;
    for (int y = 0; y < w.height; y++) {
        for (int x = 0; x < w.width; x += RUN, out += r.count * channels) {
            r.count = w.width - x < RUN ? w.width - x : RUN;
            place(&r, &w, x, y);
            if (r.any) {
                find_pixels(&r, &w);
                interpolate(&r, &w);
            }
            put_run(out, &r, fill, channels);
        }
    }
    return VT_OK;
}
