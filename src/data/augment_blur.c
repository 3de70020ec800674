// Pillow's ImageFilter.GaussianBlur: three box blurs along the rows, then three along the columns,
// each rounded to bytes (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by
// Extended Box Filtering", SSVM 2011). A box of a width that is no whole number is 2 r + 1 pixels
// of full weight between two of less; beyond the border lies the outermost pixel again.
#include "vitrain/data/augment_ops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { PASSES = 3, MOST_TAPS = 2 * 128 + 1, BLOCK = 256 };

// In units of 2^-24.
typedef struct box {
    int radius;             // r
    uint32_t inner, border; // weights; (2 r + 1) inner + 2 border = 1
} box;

// Pillow's float arithmetic, in its order.
static box box_of(float sigma)
{
    const float variance = sigma * sigma / PASSES;
    const float length = (float)sqrt(12.0 * variance + 1.0);
    const float whole = (float)floor((length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    const float radius = whole + part;
    box b = {.radius = (int)radius, .inner = (uint32_t)((float)(1 << 24) / (radius * 2 + 1))};
    b.border = ((1 << 24) - (uint32_t)(2 * b.radius + 1) * b.inner) / 2;
    return b;
}

// out[i]: the weighted sum of taps[0][i] .. taps[2 r + 2][i], whose first and last are the
// border's.
static void weigh(unsigned char *out, const unsigned char *const *taps, const box *b, size_t n)
{
    const int last = 2 * b->radius + 2;
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t count = n - first < BLOCK ? n - first : BLOCK;
        uint32_t sums[BLOCK] = {0};
        for (int k = 1; k < last; k++) {
            const unsigned char *tap = taps[k] + first;
            for (size_t i = 0; i < count; i++) sums[i] += tap[i];
        }
        const unsigned char *left = taps[0] + first, *right = taps[last] + first;
        for (size_t i = 0; i < count; i++) {
            const uint32_t far = (uint32_t)left[i] + right[i];
            out[first + i] =
                (unsigned char)((sums[i] * b->inner + far * b->border + (1 << 23)) >> 24);
        }
    }
}

// One row, PASSES times in place. line: room for it and r + 1 pixels on either side.
static void blur_row(unsigned char *row, int width, int step, const box *b, unsigned char *line)
{
    const int margin = b->radius + 1;
    const size_t n = (size_t)width * (size_t)step;
    const unsigned char *taps[MOST_TAPS];
    for (int k = 0; k <= 2 * margin; k++) taps[k] = line + k * step;
    for (int pass = 0; pass < PASSES; pass++) {
        unsigned char *middle = line + margin * step;
        memcpy(middle, row, n);
        for (int k = 0; k < margin; k++) {
            memcpy(line + k * step, row, (size_t)step);
            memcpy(middle + n + (size_t)(k * step), row + n - step, (size_t)step);
        }
        weigh(row, taps, b, n);
    }
}

// All columns, once.
static void blur_columns(vt_image *to, const vt_image *from, const box *b)
{
    const int margin = b->radius + 1, last = from->height - 1;
    const size_t stride = (size_t)from->width * (size_t)from->channels;
    const unsigned char *taps[MOST_TAPS];
    for (int y = 0; y <= last; y++) {
        for (int k = 0; k <= 2 * margin; k++) {
            const int row = y + k - margin;
            taps[k] = from->pixels + (size_t)(row < 0 ? 0 : row > last ? last : row) * stride;
        }
        weigh(to->pixels + (size_t)y * stride, taps, b, stride);
    }
}

vt_status vt_image_blur(vt_image *to, vt_image *from, double radius, vt_image *line)
{
    const box b = box_of((float)radius);
    const int margin = b.radius + 1;
    assert(2 * margin + 1 <= MOST_TAPS);
    VT_TRY(vt_image_reserve(to, from->width, from->height, from->channels));
    VT_TRY(vt_image_reserve(line, from->width + 2 * margin, 1, from->channels));
    const size_t stride = (size_t)from->width * (size_t)from->channels;
    for (int y = 0; y < from->height; y++)
        blur_row(from->pixels + (size_t)y * stride, from->width, from->channels, &b, line->pixels);
    blur_columns(to, from, &b);
    blur_columns(from, to, &b);
    blur_columns(to, from, &b);
    return VT_OK;
}
