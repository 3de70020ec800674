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
// Both passes add up weighted byte vectors. The vertical pass adds rows. For the horizontal pass
// ROWS rows are turned on their side, so that pixels become such vectors, and turned back behind
// it.
#include "vitrain/data/resample.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/vector.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { PRECISION = 32 - 8 - 2, LANES = 8, ROWS = 16, MAX_CHANNELS = 3, VECTORS = 6 };

// Between the passes: what a picture one pixel wide and millions high would need.
#define MOST_NARROW_BYTES ((size_t)1 << 30)

// What one output is made of.
typedef struct taps {
    int start, count; // inputs
    const int32_t *weights;
} taps;

// The outputs of a window along one axis, and the weights of one output, or of all.
typedef struct axis {
    int size;         // of the source, px
    float low, high;  // of the box
    int whole;        // outputs that the box maps to
    int first, count; // those that are wanted
    int longest;      // capacity in taps
    int kept;         // outputs whose weights are kept: count, or 1
    int32_t *weights; // (kept, longest)
    double *values;   // (longest) of the output at hand
    taps *taps;       // (kept)
} axis;

typedef struct plan {
    axis x, y;
    int column, columns, row, rows; // of the source that are read
    unsigned char *turned;          // (columns x channels, ROWS)
    unsigned char *sums;            // (window width x channels, ROWS)
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
    a->weights = VT_ARENA_TAKE(arena, int32_t, (size_t)a->kept * (size_t)a->longest);
    a->values = VT_ARENA_TAKE(arena, double, (size_t)a->longest);
    a->taps = VT_ARENA_TAKE(arena, taps, (size_t)a->kept);
}

// Output i's weights into their place, if all are kept, or over those of the output before.
static const taps *weigh_output(const axis *a, vt_filter filter, int i)
{
    double scale = axis_scale(a), stretch = fmax(1, scale);
    double support = filter_support(filter) * stretch, inverse = 1 / stretch;
    double centre = a->low + (a->first + i + 0.5) * scale, sum = 0;
    int start = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    if (start < 0) start = 0;
    if (end > a->size) end = a->size;
    for (int t = 0; t < end - start; t++) {
        a->values[t] = filter_value(filter, (t + start - centre + 0.5) * inverse);
        sum += a->values[t];
    }
    int place = a->kept > 1 ? i : 0;
    int32_t *weights = a->weights + (size_t)place * (size_t)a->longest;
    for (int t = 0; t < end - start; t++) {
        double w = (sum != 0 ? a->values[t] / sum : a->values[t]) * (1 << PRECISION);
        weights[t] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    a->taps[place] = (taps){start, end - start, weights};
    return &a->taps[place];
}

// ---- weighted sums ----

// Vectors of 8; a list of bytes is the form that GCC turns into one widening load.
typedef int32_t lane_sums __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline lane_sums load_lanes(const unsigned char *in)
{
    return (lane_sums){in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]};
}

static inline unsigned char clip(int32_t sum)
{
    sum >>= PRECISION;
    sum = sum < 0 ? 0 : sum;
    return (unsigned char)(sum > UCHAR_MAX ? UCHAR_MAX : sum);
}

// 16 sums to bytes, clipped on the way. (GCC's own way, of the loop below, takes seven times the
// instructions: a sixth of a picture's resizing.)
#ifdef __AVX2__
static inline void put_two(unsigned char *out, const lane_sums *sum)
{
    const __m256i a = _mm256_srai_epi32((__m256i)sum[0], PRECISION),
                  b = _mm256_srai_epi32((__m256i)sum[1], PRECISION);
    const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    _mm_storeu_si128((__m128i *)out, _mm_packus_epi16(_mm256_castsi256_si128(shorts),
                                                      _mm256_extracti128_si256(shorts, 1)));
}
#else
static inline void put_two(unsigned char *out, const lane_sums *sum)
{
    int32_t sums[2 * LANES];
    memcpy(sums, sum, sizeof sums);
    for (int l = 0; l < 2 * LANES; l++) out[l] = clip(sums[l]);
}
#endif

// out[l] = clip8(sum_t in[t * stride + l] * weights[t]) for l < n LANES. n: a constant where this
// is called, so that the sums stay in registers.
static inline __attribute__((always_inline)) void
weigh_vectors(unsigned char *restrict out, const unsigned char *restrict in, size_t stride,
              const int32_t *restrict weights, int n_taps, int n)
{
    lane_sums sum[VECTORS];
    for (int v = 0; v < n; v++) sum[v] = (lane_sums){0} + (1 << (PRECISION - 1));
    for (int t = 0; t < n_taps; t++, in += stride) {
        for (int v = 0; v < n; v++) sum[v] += load_lanes(in + v * LANES) * weights[t];
    }
    for (int v = 0; v < n; v += 2) put_two(out + v * LANES, sum + v);
}

static unsigned char weigh_one(const unsigned char *in, size_t stride, const int32_t *weights,
                               int n)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (int t = 0; t < n; t++) sum += in[(size_t)t * stride] * weights[t];
    return clip(sum);
}

static void weigh(unsigned char *out, const unsigned char *in, size_t stride,
                  const int32_t *weights, int n_taps, int width)
{
    int l = 0;
    for (; l + VECTORS * LANES <= width; l += VECTORS * LANES)
        weigh_vectors(out + l, in + l, stride, weights, n_taps, VECTORS);
    for (; l + 2 * LANES <= width; l += 2 * LANES)
        weigh_vectors(out + l, in + l, stride, weights, n_taps, 2);
    for (; l < width; l++) out[l] = weigh_one(in + l, stride, weights, n_taps);
}

// ---- turning ----

typedef unsigned char tile_row __attribute__((vector_size(ROWS)));

// to: the rows of the upper half of `from` interleaved with those of the lower.
static inline void interleave(tile_row *restrict to, const tile_row *restrict from)
{
    for (int i = 0; i < ROWS / 2; i++) {
        const tile_row upper = from[i], lower = from[i + ROWS / 2];
        to[2 * i] = VT_SHUFFLE(tile_row, upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                               22, 7, 23);
        to[2 * i + 1] = VT_SHUFFLE(tile_row, upper, lower, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                   29, 14, 30, 15, 31);
    }
}

// to = from turned on its side, both ROWS x ROWS with the given strides: each interleaving takes
// one of the four bits of a column's number into the row's.
static inline void turn_tile(unsigned char *restrict to, size_t to_stride,
                             const unsigned char *restrict from, size_t from_stride)
{
    tile_row a[ROWS], b[ROWS];
    for (int i = 0; i < ROWS; i++) memcpy(&a[i], from + (size_t)i * from_stride, ROWS);
    interleave(b, a);
    interleave(a, b);
    interleave(b, a);
    interleave(a, b);
    for (int i = 0; i < ROWS; i++) memcpy(to + (size_t)i * to_stride, &a[i], ROWS);
}

// turned: (width, ROWS) = ROWS rows of `width` bytes on their side.
static void turn_rows(unsigned char *turned, const unsigned char *in, size_t stride, int width)
{
    int i = 0;
    for (; i + ROWS <= width; i += ROWS) turn_tile(turned + i * ROWS, ROWS, in + i, stride);
    for (; i < width; i++) {
        for (int r = 0; r < ROWS; r++) turned[i * ROWS + r] = in[(size_t)r * stride + (size_t)i];
    }
}

// The way back.
static void turn_back(unsigned char *out, size_t stride, const unsigned char *turned, int width)
{
    int i = 0;
    for (; i + ROWS <= width; i += ROWS) turn_tile(out + i, stride, turned + i * ROWS, ROWS);
    for (; i < width; i++) {
        for (int r = 0; r < ROWS; r++) out[(size_t)r * stride + (size_t)i] = turned[i * ROWS + r];
    }
}

// ---- the passes ----

// sums: (window width, channels, ROWS) = turned rows resized to the window's width.
static void weigh_turned(const plan *p, int channels)
{
    const size_t pixel = (size_t)channels * ROWS;
    unsigned char *out = p->sums;
    for (int x = 0; x < p->x.count; x++, out += pixel) {
        const taps *t = &p->x.taps[x];
        const unsigned char *in = p->turned + (size_t)(t->start - p->column) * pixel;
        if (channels == 3)
            weigh_vectors(out, in, pixel, t->weights, t->count, 3 * ROWS / LANES);
        else
            weigh_vectors(out, in, pixel, t->weights, t->count, ROWS / LANES);
    }
}

// narrow = the source's rows, at `in`, resized to the window's width, ROWS at a time: the last ones
// again where their number is not a multiple.
static void narrow_rows(const plan *p, vt_filter filter, const unsigned char *in, size_t stride,
                        int channels)
{
    int width = p->x.count * channels;
    for (int x = 0; x < p->x.count; x++) weigh_output(&p->x, filter, x);
    for (int next = 0; next < p->rows; next += ROWS) {
        size_t row = (size_t)(next + ROWS <= p->rows ? next : p->rows - ROWS);
        turn_rows(p->turned, in + row * stride, stride, p->columns * channels);
        weigh_turned(p, channels);
        turn_back(p->narrow + row * (size_t)width, (size_t)width, p->sums, width);
    }
}

// The same for fewer rows than ROWS, one output after the other, so that a picture of one row and
// millions of columns needs no more memory than itself.
static void narrow_few_rows(const plan *p, vt_filter filter, const unsigned char *in, size_t stride,
                            int channels)
{
    for (int x = 0; x < p->x.count; x++) {
        const taps *t = weigh_output(&p->x, filter, x);
        for (int i = 0; i < p->rows * channels; i++) {
            int row = i / channels, c = i % channels;
            const unsigned char *from = in + (size_t)row * stride + (size_t)c;
            p->narrow[(row * p->x.count + x) * channels + c] =
                weigh_one(from + (size_t)(t->start - p->column) * (size_t)channels,
                          (size_t)channels, t->weights, t->count);
        }
    }
}

static void vertical_pass(vt_image *to, const plan *p, vt_filter filter)
{
    size_t stride = (size_t)to->width * (size_t)to->channels;
    for (int y = 0; y < p->y.count; y++) {
        const taps *t = weigh_output(&p->y, filter, y);
        weigh(to->pixels + (size_t)y * stride, p->narrow + (size_t)(t->start - p->row) * stride,
              stride, t->weights, t->count, (int)stride);
    }
}

// ---- what is asked for ----

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

static plan plan_of(const vt_resize *r)
{
    const int *w = r->window;
    assert(0 <= r->box[0] && r->box[0] < r->box[2] && r->box[2] <= r->from_width);
    assert(0 <= r->box[1] && r->box[1] < r->box[3] && r->box[3] <= r->from_height);
    assert(0 <= w[0] && 0 < w[2] && w[2] <= r->width - w[0]);
    assert(0 <= w[1] && 0 < w[3] && w[3] <= r->height - w[1]);
    plan p = {.x = {.size = r->from_width, .whole = r->width, .first = w[0], .count = w[2]},
              .y = {.size = r->from_height, .whole = r->height, .first = w[1], .count = w[3]}};
    p.x.low = (float)r->box[0], p.x.high = (float)r->box[2];
    p.y.low = (float)r->box[1], p.y.high = (float)r->box[3];
    source_range(&p.x, r->filter, &p.column, &p.columns);
    source_range(&p.y, r->filter, &p.row, &p.rows);
    p.x.kept = p.rows < ROWS ? 1 : p.x.count;
    p.y.kept = 1;
    return p;
}

void vt_resize_reach(int part[4], const vt_resize *resize)
{
    const plan p = plan_of(resize);
    part[0] = p.column, part[1] = p.row, part[2] = p.columns, part[3] = p.rows;
}

// ---- memory ----

static void place(plan *p, vt_filter filter, int channels, vt_arena *arena)
{
    place_axis(&p->x, filter, arena);
    place_axis(&p->y, filter, arena);
    size_t columns = p->rows < ROWS ? 0 : (size_t)p->columns;
    p->turned = vt_arena_take(arena, columns * ROWS, (size_t)channels);
    p->sums = vt_arena_take(arena, (size_t)p->x.count * ROWS, (size_t)channels);
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

void vt_resample_free(vt_resample_scratch *scratch)
{
    free(scratch->memory);
    *scratch = (vt_resample_scratch){0};
}

// ---- all of it ----

vt_status vt_resize_part(vt_image *to, const vt_image *from, const int part[4],
                         const vt_resize *resize, vt_resample_scratch *scratch)
{
    const vt_resize *r = resize;
    plan p = plan_of(r);
    assert(to != from && (from->channels == 1 || from->channels == 3));
    assert(from->width == part[2] && from->height == part[3]);
    assert(part[0] <= p.column && p.column + p.columns <= part[0] + part[2]);
    assert(part[1] <= p.row && p.row + p.rows <= part[1] + part[3]);

    size_t channels = (size_t)from->channels, stride = (size_t)from->width * channels;
    VT_REQUIRE((size_t)p.rows * (size_t)p.x.count * channels <= MOST_NARROW_BYTES, VT_ERR_FORMAT,
               "a picture of %d x %d px is too thin to be resized to %d x %d", r->from_width,
               r->from_height, r->width, r->height);
    vt_arena arena = {0};
    place(&p, r->filter, from->channels, &arena);
    VT_REQUIRE(!arena.overflow, VT_ERR_MEMORY, "resizing %d x %d to %d x %d exceeds memory",
               r->from_width, r->from_height, r->width, r->height);
    VT_TRY(grow(scratch, arena.used));
    arena = (vt_arena){.base = scratch->memory, .capacity = scratch->bytes};
    place(&p, r->filter, from->channels, &arena);

    VT_TRY(vt_image_reserve(to, r->window[2], r->window[3], from->channels));
    const unsigned char *in =
        from->pixels + (size_t)(p.row - part[1]) * stride + (size_t)(p.column - part[0]) * channels;
    if (p.rows < ROWS)
        narrow_few_rows(&p, r->filter, in, stride, from->channels);
    else
        narrow_rows(&p, r->filter, in, stride, from->channels);
    vertical_pass(to, &p, r->filter);
    return VT_OK;
}

vt_status vt_cover_size(int size[2], int width, int height, const int frame[2], int64_t max_pixels)
{
    int64_t w = frame[0], h = frame[1];
    if (h * width >= w * height)
        w = h * width / height;
    else
        h = w * height / width;
    VT_REQUIRE(
        w <= INT_MAX && h <= INT_MAX && w <= max_pixels / h, VT_ERR_FORMAT,
        "a picture of %d x %d px is too thin: it would be resized to %lld x %lld, expected at "
        "most %lld px in all",
        width, height, (long long)w, (long long)h, (long long)max_pixels);
    size[0] = (int)w, size[1] = (int)h;
    return VT_OK;
}

vt_status vt_resample(vt_image *to, const vt_image *from, const double box[4], int width,
                      int height, const int window[4], vt_filter filter,
                      vt_resample_scratch *scratch)
{
    const int everything[4] = {0, 0, width, height}, part[4] = {0, 0, from->width, from->height};
    vt_resize resize = {.from_width = from->width,
                        .from_height = from->height,
                        .width = width,
                        .height = height,
                        .filter = filter};
    memcpy(resize.box, box, sizeof resize.box);
    memcpy(resize.window, window ? window : everything, sizeof resize.window);
    return vt_resize_part(to, from, part, &resize, scratch);
}
