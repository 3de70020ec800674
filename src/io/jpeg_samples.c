// From coefficients to pixels: libjpeg's inverse transform ("islow") and its colour conversion, to
// the bit.
//
// The transform is that of Loeffler, Ligtenberg and Moschytz (Practical fast 1-D DCT algorithms
// with 11 multiplications, ICASSP 1989), over columns, then over rows. Constants have 13 bits
// behind the point; products and sums are exact; the first pass rounds to 2 bits behind the point,
// the second to whole numbers, where the factor 8 of both passes together goes too. Eight columns
// (then rows) are the lanes of a vector.
//
// libjpeg-turbo's vector code adds 16-bit numbers, up to four of them, which is the same as long as
// they do not overflow. That the first pass's results are at most 8191 is therefore checked; those
// of 8-bit pictures stay below 5300.
#include "vitrain/io/jpeg_plain.h"

#include "vitrain/base/vector.h"

#include <string.h>

enum { SIDE = VT_JPEG_BLOCK, CONSTANT_BITS = 13, FIRST_BITS = 2, CENTRE = 128 };

typedef int32_t lanes __attribute__((vector_size(SIDE * sizeof(int32_t))));

#define FIXED(x) ((int32_t)((x) * (1 << CONSTANT_BITS) + 0.5))

// v[0..7] = (transform of v) >> shift, with `bias` added before. few: v[4..7] are zero.
VT_INLINE void transform(lanes v[SIDE], int32_t bias, int shift, bool few)
{
    const lanes none = {0};
    const lanes x4 = few ? none : v[4], x5 = few ? none : v[5], x6 = few ? none : v[6],
                x7 = few ? none : v[7];
    // Even: a rotation of 2 and 6, sum and difference of 0 and 4.
    const lanes turn = (v[2] + x6) * FIXED(0.541196100);
    const lanes low = turn + v[2] * FIXED(0.765366865), high = turn - x6 * FIXED(1.847759065);
    const lanes sum = ((v[0] + x4) << CONSTANT_BITS) + bias;
    const lanes difference = ((v[0] - x4) << CONSTANT_BITS) + bias;
    const lanes even[4] = {sum + low, difference + high, difference - high, sum - low};
    // Odd: each of 1, 3, 5, 7 by its own constant and two shared products.
    const lanes shared = (x7 + v[3] + x5 + v[1]) * FIXED(1.175875602);
    const lanes a = (x7 + v[1]) * -FIXED(0.899976223), b = (x5 + v[3]) * -FIXED(2.562915447);
    const lanes c = shared - (x7 + v[3]) * FIXED(1.961570560);
    const lanes d = shared - (x5 + v[1]) * FIXED(0.390180644);
    const lanes odd[4] = {v[1] * FIXED(1.501321110) + a + d, v[3] * FIXED(3.072711026) + b + c,
                          x5 * FIXED(2.053119869) + b + d, x7 * FIXED(0.298631336) + a + c};
    for (int i = 0; i < 4; i++) {
        v[i] = (even[i] + odd[i]) >> shift;
        v[SIDE - 1 - i] = (even[i] - odd[i]) >> shift;
    }
}

VT_INLINE void turn(lanes v[SIDE])
{
    vt_eight rows[SIDE];
    for (int i = 0; i < SIDE; i++) rows[i] = (vt_eight)v[i];
    vt_transpose(rows);
    for (int i = 0; i < SIDE; i++) v[i] = (lanes)rows[i];
}

// Comparisons of vectors yield lanes of zeros or ones.
VT_INLINE lanes clip(lanes v)
{
    return ((v & (v > 0)) | (v > UINT8_MAX)) & UINT8_MAX;
}

// The transposed block's columns, four bytes to a lane, so that two lanes are a row.
VT_INLINE void put(unsigned char *out, size_t stride, const lanes v[SIDE])
{
    lanes half[2];
    for (int i = 0; i < 2; i++) {
        const lanes *q = v + 4 * i;
        half[i] = clip(q[0]) | clip(q[1]) << 8 | clip(q[2]) << 16 | clip(q[3]) << 24;
    }
    const lanes rows[2] = {
        VT_SHUFFLE(lanes, half[0], half[1], 0, 8, 1, 9, 4, 12, 5, 13),    // 0, 1, 4, 5
        VT_SHUFFLE(lanes, half[0], half[1], 2, 10, 3, 11, 6, 14, 7, 15)}; // 2, 3, 6, 7
    const unsigned char *from = (const unsigned char *)rows;
    static const int row_at[SIDE] = {0, 1, 4, 5, 2, 3, 6, 7};
    for (int i = 0; i < SIDE; i++) memcpy(out + (size_t)row_at[i] * stride, from + i * SIDE, SIDE);
}

VT_INLINE bool inverse_dct(unsigned char *out, size_t stride, const int32_t *block, bool sparse)
{
    enum { FIRST = CONSTANT_BITS - FIRST_BITS, SECOND = CONSTANT_BITS + FIRST_BITS + 3 };
    lanes v[SIDE], extreme = {0};
    memcpy(v, block, sizeof v);
    transform(v, 1 << (FIRST - 1), FIRST, sparse);
    for (int i = 0; i < SIDE; i++) extreme |= v[i] ^ v[i] >> 31;
    turn(v);
    transform(v, (CENTRE << SECOND) + (1 << (SECOND - 1)), SECOND, sparse);
    put(out, stride, v);
    extreme = extreme > VT_JPEG_MOST_COEFFICIENT;
    int64_t any[4];
    memcpy(any, &extreme, sizeof any);
    return (any[0] | any[1] | any[2] | any[3]) == 0;
}

bool vt_jpeg_inverse_dct(unsigned char *out, size_t stride, const int32_t *block, bool sparse)
{
    return sparse ? inverse_dct(out, stride, block, true) : inverse_dct(out, stride, block, false);
}

// ---- colour ----

enum { RUN = 16 }; // pixels at once

typedef uint8_t bytes __attribute__((vector_size(RUN)));

static inline uint8_t clip8(int16_t v)
{
    v = v < 0 ? 0 : v;
    v = v > UINT8_MAX ? UINT8_MAX : v;
    return (uint8_t)v;
}

// v x / 32768, rounded to nearest.
static inline int16_t scale(int16_t v, int16_t x)
{
    return (int16_t)(((v * x >> 14) + 1) >> 1);
}

// JFIF's equations, each rounded once. Of the factors 1.402, 1.772 and 0.71414 only what lies
// beside a whole number is multiplied, so that most fits 16 bits; libjpeg has one more behind the
// point of 0.402, which changes none of the 256 results.
static inline void rgb_of_run(uint8_t *restrict red, uint8_t *restrict green,
                              uint8_t *restrict blue, const uint8_t *restrict y,
                              const uint8_t *restrict cb, const uint8_t *restrict cr)
{
    enum { RED = 13173, BLUE = -7471, GREEN_CB = 22554, GREEN_CR = 18734, HALF = 1 << 15 };
    for (int x = 0; x < RUN; x++) {
        const int16_t b = (int16_t)(cb[x] - CENTRE), r = (int16_t)(cr[x] - CENTRE);
        const int16_t part = (int16_t)((r * GREEN_CR - b * GREEN_CB + HALF) >> 16);
        red[x] = clip8((int16_t)(y[x] + r + scale(r, RED)));
        green[x] = clip8((int16_t)(y[x] - r + part));
        blue[x] = clip8((int16_t)(y[x] + 2 * b + scale(b, BLUE)));
    }
}

// rgb = three rows interleaved: each vector of it is picked from two of them, then the third.
static inline void interleave(uint8_t *rgb, const bytes *red, const bytes *green, const bytes *blue)
{
    const bytes first =
        VT_SHUFFLE(bytes, *red, *green, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    const bytes middle =
        VT_SHUFFLE(bytes, *red, *green, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    const bytes last =
        VT_SHUFFLE(bytes, *red, *green, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    const bytes out[3] = {
        VT_SHUFFLE(bytes, first, *blue, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15),
        VT_SHUFFLE(bytes, middle, *blue, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15),
        VT_SHUFFLE(bytes, last, *blue, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31)};
    memcpy(rgb, out, sizeof out);
}

static inline void put_run(uint8_t *rgb, const uint8_t *y, const uint8_t *cb, const uint8_t *cr)
{
    bytes red, green, blue;
    rgb_of_run((uint8_t *)&red, (uint8_t *)&green, (uint8_t *)&blue, y, cb, cr);
    interleave(rgb, &red, &green, &blue);
}

void vt_jpeg_rgb_from_ycc(unsigned char *rgb, const unsigned char *y, const unsigned char *cb,
                          const unsigned char *cr, int n)
{
    int x = 0;
    for (; x + RUN <= n; x += RUN) put_run(rgb + 3 * x, y + x, cb + x, cr + x);
    if (x == n) return;
    unsigned char last[3 * RUN], from[3][RUN] = {{0}};
    const size_t left = (size_t)(n - x);
    memcpy(from[0], y + x, left);
    memcpy(from[1], cb + x, left);
    memcpy(from[2], cr + x, left);
    put_run(last, from[0], from[1], from[2]);
    memcpy(rgb + 3 * x, last, 3 * left);
}
