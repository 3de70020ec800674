// Antialiased resizing in the fixed-point arithmetic of Pillow (libImaging/Resample.c, 8 bits per
// channel). Along one axis output i is
//
//     clip8((2^21 + sum_t in[start_i + t] w_it) >> 22),    w_it = round(2^22 f_it / sum_t f_it)
//
// with f_it the filter at the distance of input start_i + t from the centre of output i, stretched
// by max(1, box / size). Which operations are done in which precision is part of the definition:
// box corners are floats, weights are normalised in double and rounded half away from zero. The
// Makefile compiles this file without FMA contraction, which would change weights in the last bit.
//
// Pillow skips a pass along an axis that keeps its size; the weights are then exactly 0 and 1, so
// that doing the pass yields the same bytes.
//
// Both passes are one kernel that adds up weighted byte vectors. The vertical pass adds rows. For
// the horizontal pass up to ROWS rows are turned on their side, so that pixels become such vectors.
#include "vitrain/data/resample.h"

#include "vitrain/base/arena.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 32 - 8 - 2, LANES = 8, ROWS = 16, MAX_CHANNELS = 3 };

// The outputs of a window along one axis.
typedef struct axis {
    int size;         // of the source, px
    float low, high;  // of the box
    int whole;        // outputs that the box maps to
    int first, count; // those that are wanted
    int longest;      // capacity in taps
    int *start;       // (count) first input
    int *taps;        // (count) inputs
    int32_t *weights; // (count, longest)
    double *values;   // (longest) of the output at hand
} axis;

typedef struct plan {
    axis x, y;
    int column, columns, row, rows; // of the source that are read
    unsigned char *turned;          // (columns, channels, min(ROWS, rows))
    unsigned char *narrow;          // (rows, window width, channels)
} plan;

static double filter_support(vt_filter filter)
{
    return filter == VT_FILTER_BICUBIC ? 2 : 1;
}

// Keys' cubic convolution with a = -0.5; the triangle.
static double filter_value(vt_filter filter, double x)
{
    x = fabs(x);
    if (filter == VT_FILTER_BILINEAR) return x < 1 ? 1 - x : 0;
    if (x < 1) return ((-0.5 + 2) * x - (-0.5 + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
}

static double axis_scale(const axis *a)
{
    return (double)(a->high - a->low) / a->whole;
}

static void place_axis(axis *a, vt_filter filter, vt_arena *arena)
{
    double reach = ceil(filter_support(filter) * fmax(1, axis_scale(a)));
    a->longest = (int)fmin(reach * 2 + 1, a->size);
    a->start = VT_ARENA_TAKE(arena, int, (size_t)a->count);
    a->taps = VT_ARENA_TAKE(arena, int, (size_t)a->count);
    a->weights = VT_ARENA_TAKE(arena, int32_t, (size_t)a->count * (size_t)a->longest);
    a->values = VT_ARENA_TAKE(arena, double, (size_t)a->longest);
}

static void fill_axis(axis *a, vt_filter filter)
{
    double scale = axis_scale(a), stretch = fmax(1, scale);
    double support = filter_support(filter) * stretch, inverse = 1 / stretch;
    for (int i = 0; i < a->count; i++) {
        double centre = a->low + (a->first + i + 0.5) * scale, sum = 0;
        int start = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        if (start < 0) start = 0;
        if (end > a->size) end = a->size;
        for (int t = 0; t < end - start; t++) {
            a->values[t] = filter_value(filter, (t + start - centre + 0.5) * inverse);
            sum += a->values[t];
        }
        int32_t *weights = a->weights + (size_t)i * (size_t)a->longest;
        for (int t = 0; t < end - start; t++) {
            double w = (sum != 0 ? a->values[t] / sum : a->values[t]) * (1 << PRECISION);
            weights[t] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        a->start[i] = start;
        a->taps[i] = end - start;
    }
}

// Vectors of 8, and conversions in two steps: the form that GCC turns into AVX2 widening loads.
typedef unsigned char lane_bytes __attribute__((vector_size(LANES)));
typedef uint16_t lane_shorts __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef int32_t lane_sums __attribute__((vector_size(LANES * sizeof(int32_t))));

// out[l] = clip8(sum_t in[t * stride + l] * weights[t]) for l < lanes <= LANES.
static inline void weigh_lanes(unsigned char *restrict out, const unsigned char *restrict in,
                               size_t stride, const int32_t *restrict weights, int taps, int lanes)
{
    lane_sums sum = (lane_sums){0} + (1 << (PRECISION - 1));
    lane_bytes bytes = {0};
    for (int t = 0; t < taps; t++, in += stride) {
        memcpy(&bytes, in, (size_t)lanes);
        lane_shorts shorts = __builtin_convertvector(bytes, lane_shorts);
        sum += __builtin_convertvector(shorts, lane_sums) * weights[t];
    }
    sum >>= PRECISION;
    sum &= ~(sum >> 31);              // negative: 0
    sum = (sum | (sum > 255)) & 0xFF; // a true comparison is -1
    lane_shorts shorts = __builtin_convertvector(sum, lane_shorts);
    bytes = __builtin_convertvector(shorts, lane_bytes);
    memcpy(out, &bytes, (size_t)lanes);
}

static void weigh(unsigned char *out, const unsigned char *in, size_t stride,
                  const int32_t *weights, int taps, int width)
{
    int l = 0;
    for (; l + LANES <= width; l += LANES)
        weigh_lanes(out + l, in + l, stride, weights, taps, LANES);
    if (l < width) weigh_lanes(out + l, in + l, stride, weights, taps, width - l);
}

// turned: (columns, channels, rows) = rows [row, row + rows) of the source, on their side.
static void turn_rows(const plan *p, const vt_image *from, int row, int rows)
{
    size_t channels = (size_t)from->channels, stride = (size_t)from->width * channels;
    const unsigned char *in = from->pixels + (size_t)row * stride + (size_t)p->column * channels;
    unsigned char *turned = p->turned;
    for (size_t i = 0; i < (size_t)p->columns * channels; i++) {
        for (int r = 0; r < rows; r++) *turned++ = in[(size_t)r * stride + i];
    }
}

// narrow = the source's rows resized to the window's width.
static void horizontal_pass(const plan *p, const vt_image *from)
{
    const axis *a = &p->x;
    int channels = from->channels;
    size_t stride = (size_t)a->count * (size_t)channels;
    for (int row = 0; row < p->rows; row += ROWS) {
        int rows = p->rows - row < ROWS ? p->rows - row : ROWS, pixel = channels * rows;
        turn_rows(p, from, p->row + row, rows);
        unsigned char *out = p->narrow + (size_t)row * stride;
        for (int x = 0; x < a->count; x++, out += channels) {
            unsigned char sums[MAX_CHANNELS * ROWS];
            weigh(sums, p->turned + (size_t)(a->start[x] - p->column) * (size_t)pixel,
                  (size_t)pixel, a->weights + (size_t)x * (size_t)a->longest, a->taps[x], pixel);
            for (int c = 0; c < channels; c++) {
                for (int r = 0; r < rows; r++)
                    out[(size_t)r * stride + (size_t)c] = sums[c * rows + r];
            }
        }
    }
}

static void vertical_pass(vt_image *to, const plan *p)
{
    const axis *a = &p->y;
    size_t stride = (size_t)to->width * (size_t)to->channels;
    for (int y = 0; y < a->count; y++) {
        weigh(to->pixels + (size_t)y * stride, p->narrow + (size_t)(a->start[y] - p->row) * stride,
              stride, a->weights + (size_t)y * (size_t)a->longest, a->taps[y], (int)stride);
    }
}

// Inputs [*first, *first + *count) serve the wanted outputs: centres grow with the output.
static void source_range(const axis *a, vt_filter filter, int *first, int *count)
{
    double scale = axis_scale(a), support = filter_support(filter) * fmax(1, scale);
    double low = a->low + (a->first + 0.5) * scale;
    double high = a->low + (a->first + a->count - 1 + 0.5) * scale;
    int start = (int)(low - support + 0.5), end = (int)(high + support + 0.5);
    *first = start < 0 ? 0 : start;
    *count = (end > a->size ? a->size : end) - *first;
}

static void place(plan *p, vt_filter filter, int channels, vt_arena *arena)
{
    place_axis(&p->x, filter, arena);
    place_axis(&p->y, filter, arena);
    size_t turned_rows = (size_t)(p->rows < ROWS ? p->rows : ROWS);
    p->turned = vt_arena_take(arena, (size_t)p->columns * turned_rows, (size_t)channels);
    p->narrow = vt_arena_take(arena, (size_t)p->rows * (size_t)p->x.count, (size_t)channels);
}

static vt_status grow(vt_resample_scratch *scratch, size_t bytes)
{
    if (bytes <= scratch->bytes) return VT_OK;
    vt_resample_free(scratch);
    scratch->memory = vt_alloc(bytes, 1);
    if (!scratch->memory) return VT_ERR_MEMORY;
    scratch->bytes = bytes;
    return VT_OK;
}

vt_status vt_resample(vt_image *to, const vt_image *from, const double box[4], int width,
                      int height, const int window[4], vt_filter filter,
                      vt_resample_scratch *scratch)
{
    const int everything[4] = {0, 0, width, height};
    const int *w = window ? window : everything;
    assert(to != from && (from->channels == 1 || from->channels == 3));
    assert(0 <= box[0] && box[0] < box[2] && box[2] <= from->width);
    assert(0 <= box[1] && box[1] < box[3] && box[3] <= from->height);
    assert(0 <= w[0] && 0 < w[2] && w[2] <= width - w[0]);
    assert(0 <= w[1] && 0 < w[3] && w[3] <= height - w[1]);

    plan p = {.x = {.size = from->width, .whole = width, .first = w[0], .count = w[2]},
              .y = {.size = from->height, .whole = height, .first = w[1], .count = w[3]}};
    p.x.low = (float)box[0], p.x.high = (float)box[2];
    p.y.low = (float)box[1], p.y.high = (float)box[3];
    source_range(&p.x, filter, &p.column, &p.columns);
    source_range(&p.y, filter, &p.row, &p.rows);

    vt_arena arena = {0};
    place(&p, filter, from->channels, &arena);
    VT_REQUIRE(!arena.overflow, VT_ERR_MEMORY, "resizing %d x %d to %d x %d exceeds memory",
               from->width, from->height, width, height);
    VT_TRY(grow(scratch, arena.used));
    arena = (vt_arena){.base = scratch->memory, .capacity = scratch->bytes};
    place(&p, filter, from->channels, &arena);

    VT_TRY(vt_image_reserve(to, w[2], w[3], from->channels));
    fill_axis(&p.x, filter);
    fill_axis(&p.y, filter);
    horizontal_pass(&p, from);
    vertical_pass(to, &p);
    return VT_OK;
}

void vt_resample_free(vt_resample_scratch *scratch)
{
    free(scratch->memory);
    *scratch = (vt_resample_scratch){0};
}
