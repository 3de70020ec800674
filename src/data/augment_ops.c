// The operations on bytes, as Pillow computes them. Four kinds:
//
// - A table per channel, made from the channel's histogram: AutoContrast, Equalize.
// - Integer arithmetic on single bytes: Invert, Posterize, Solarize, SolarizeAdd.
// - ImageEnhance: blend(d, v) = clip(d + factor (v - d)) in float, cut off, where d is the picture
//   without what is enhanced: black (Brightness), its mean luma (Contrast), its luma (Color), or
//   its smoothed self (Sharpness).
// - Rotate, Shear, Translate: an affine warp, augment_warp.c. GaussianBlur: augment_blur.c. Hue:
//   augment_hue.c.
#include "vitrain/data/augment_ops.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vt_image_op_names[VT_IMAGE_OPS] = {
    "AutoContrast", "Equalize",   "Invert",     "Rotate",       "Posterize", "Solarize",
    "SolarizeAdd",  "Color",      "Contrast",   "Brightness",   "Sharpness", "ShearX",
    "ShearY",       "TranslateX", "TranslateY", "GaussianBlur", "Hue",
};

static size_t pixels_of(const vt_image *image)
{
    return (size_t)image->width * (size_t)image->height;
}

static size_t bytes_of(const vt_image *image)
{
    return pixels_of(image) * (size_t)image->channels;
}

// ---- tables ----

enum { LEVELS = 256, MAX_CHANNELS = 3 };

typedef struct histogram {
    uint32_t count[LEVELS];
} histogram;

// Neighbours often have the same level; counting them in two places keeps the additions apart.
static void count_levels(histogram *channels, const vt_image *image)
{
    histogram other[MAX_CHANNELS] = {0};
    const int step = image->channels;
    const unsigned char *p = image->pixels;
    size_t left = pixels_of(image);
    memset(channels, 0, (size_t)step * sizeof *channels);
    for (; left >= 2; left -= 2, p += 2 * step) {
        for (int c = 0; c < step; c++) {
            channels[c].count[p[c]]++;
            other[c].count[p[step + c]]++;
        }
    }
    for (int c = 0; c < step; c++) {
        if (left) channels[c].count[p[c]]++;
        for (int v = 0; v < LEVELS; v++) channels[c].count[v] += other[c].count[v];
    }
}

static unsigned char clip8(int v)
{
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void identity_table(unsigned char *table)
{
    for (int v = 0; v < LEVELS; v++) table[v] = (unsigned char)v;
}

static void auto_contrast_table(unsigned char *table, const histogram *h)
{
    int low = 0, high = LEVELS - 1;
    while (low < LEVELS - 1 && !h->count[low]) low++;
    while (high > 0 && !h->count[high]) high--;
    if (high <= low) {
        identity_table(table);
        return;
    }
    double scale = 255.0 / (high - low), offset = -low * scale;
    for (int v = 0; v < LEVELS; v++) table[v] = clip8((int)(v * scale + offset));
}

// Every level but the highest in use is to get `step` pixels for each level of the result.
static void equalize_table(unsigned char *table, const histogram *h)
{
    uint64_t total = 0;
    uint32_t last = 0;
    for (int v = 0; v < LEVELS; v++) {
        total += h->count[v];
        if (h->count[v]) last = h->count[v];
    }
    uint64_t step = (total - last) / 255;
    if (step == 0) { // also where there is but one level
        identity_table(table);
        return;
    }
    uint64_t n = step / 2;
    for (int v = 0; v < LEVELS; v++) {
        uint64_t level = n / step;
        table[v] = (unsigned char)(level > 255 ? 255 : level);
        n += h->count[v];
    }
}

static void map_channels(vt_image *image, void (*fill)(unsigned char *, const histogram *))
{
    histogram channels[MAX_CHANNELS];
    unsigned char table[MAX_CHANNELS][LEVELS];
    count_levels(channels, image);
    for (int c = 0; c < image->channels; c++) fill(table[c], &channels[c]);
    unsigned char *p = image->pixels;
    const size_t n = pixels_of(image);
    if (image->channels == 1) {
        for (size_t i = 0; i < n; i++) p[i] = table[0][p[i]];
        return;
    }
    for (size_t i = 0; i < n; i++, p += 3) {
        p[0] = table[0][p[0]];
        p[1] = table[1][p[1]];
        p[2] = table[2][p[2]];
    }
}

// ---- single bytes ----

static void posterize(unsigned char *p, size_t n, int bits)
{
    const unsigned char mask = (unsigned char)(0xFF00 >> bits);
    for (size_t i = 0; i < n; i++) p[i] &= mask;
}

static void solarize(unsigned char *p, size_t n, int threshold)
{
    if (threshold > 255) return;
    const unsigned char from = (unsigned char)threshold;
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(p[i] < from ? p[i] : 255 - p[i]);
}

// In bytes throughout, 16 or more at once.
static void solarize_add(unsigned char *p, size_t n, int add)
{
    const unsigned char most = (unsigned char)add;
    for (size_t i = 0; i < n; i++) {
        const unsigned char v = p[i], room = (unsigned char)(255 - v);
        const unsigned char more = most < room ? most : room;
        p[i] = (unsigned char)(v + (v < 128 ? more : 0));
    }
}

// ---- blends ----

// Cut off, then clipped: the same as Pillow's clipping, then cutting off.
static inline unsigned char blend(int from, int to, float factor)
{
    return clip8((int)((float)from + factor * (float)(to - from)));
}

static void blend_level(unsigned char *p, size_t n, unsigned char level, float factor)
{
    for (size_t i = 0; i < n; i++) p[i] = blend(level, p[i], factor);
}

static int mean_luma(const vt_image *image)
{
    const unsigned char *p = image->pixels;
    const size_t n = pixels_of(image), block = 4096; // whose sum fits 32 bits
    uint64_t sum = 0;
    for (size_t first = 0; first < n; first += block) {
        size_t end = n - first < block ? n : first + block;
        uint32_t part = 0;
        if (image->channels == 1)
            for (size_t i = first; i < end; i++) part += p[i];
        else
            for (size_t i = first; i < end; i++) part += vt_luma(p + 3 * i);
        sum += part;
    }
    return (int)((double)sum / (double)n + 0.5);
}

static void blend_luma(vt_image *image, float factor)
{
    if (image->channels == 1) return; // a grey picture is its own luma
    unsigned char *p = image->pixels;
    const size_t n = pixels_of(image);
    for (size_t i = 0; i < n; i++, p += 3) {
        const int luma = vt_luma(p);
        p[0] = blend(luma, p[0], factor);
        p[1] = blend(luma, p[1], factor);
        p[2] = blend(luma, p[2], factor);
    }
}

// ImageFilter.SMOOTH is (S / 13 + 1/2) cut off, S the sum of the nine with the middle five times.
// In Pillow's float arithmetic that is never nearer to a whole number than 1/26, so that it equals
// floor((S + 6) / 13); and that is (S + 6) 5042 >> 16 for S <= 13 * 255.
static void sharpen_row(unsigned char *restrict out, const unsigned char *in, size_t stride,
                        size_t step, float factor)
{
    const unsigned char *up = in - stride, *down = in + stride;
    for (size_t i = step; i < stride - step; i++) {
        int sum = up[i - step] + up[i] + up[i + step] + in[i - step] + 5 * in[i] + in[i + step] +
                  down[i - step] + down[i] + down[i + step];
        out[i] = blend(((sum + 6) * 5042) >> 16, in[i], factor);
    }
}

// The outermost pixels are not smoothed: they stay.
static vt_status sharpen(vt_image *to, const vt_image *from, float factor)
{
    VT_TRY(vt_image_reserve(to, from->width, from->height, from->channels));
    const size_t step = (size_t)from->channels, stride = (size_t)from->width * step;
    const bool has_inside = from->width >= 3 && from->height >= 3;
    for (int y = 0; y < from->height; y++) {
        const unsigned char *in = from->pixels + (size_t)y * stride;
        unsigned char *out = to->pixels + (size_t)y * stride;
        if (!has_inside || y == 0 || y == from->height - 1) {
            memcpy(out, in, stride);
            continue;
        }
        memcpy(out, in, step);
        memcpy(out + stride - step, in + stride - step, step);
        sharpen_row(out, in, stride, step, factor);
    }
    return VT_OK;
}

// ---- warps ----

// Python's round(v, 15), which is exact in decimal.
static double round15(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.15f", v);
    return strtod(text, NULL);
}

// Image.rotate's matrix about the centre; false: it copies the picture.
static bool rotation(double m[6], const vt_image *image, double degrees)
{
    double angle = fmod(degrees, 360);
    if (angle < 0) angle += 360;
    if (angle == 0) return false;
    const double radians = -(angle * (3.14159265358979323846 / 180)), x = image->width / 2.0,
                 y = image->height / 2.0;
    m[0] = m[4] = round15(cos(radians));
    m[1] = round15(sin(radians));
    m[3] = round15(-sin(radians));
    m[2] = m[0] * -x + m[1] * -y + x;
    m[5] = m[3] * -x + m[4] * -y + y;
    return true;
}

static bool warp_matrix(double m[6], const vt_image *image, vt_image_op op, double argument)
{
    m[0] = m[4] = 1;
    m[1] = m[2] = m[3] = m[5] = 0;
    switch (op) {
    case VT_OP_ROTATE: return rotation(m, image, argument);
    case VT_OP_SHEAR_X: m[1] = argument; break;
    case VT_OP_SHEAR_Y: m[3] = argument; break;
    case VT_OP_TRANSLATE_X: m[2] = argument * image->width; break;
    default: m[5] = argument * image->height; break; // VT_OP_TRANSLATE_Y
    }
    return true;
}

// ---- all of them ----

static void swap(vt_image *a, vt_image *b)
{
    vt_image kept = *a;
    *a = *b;
    *b = kept;
}

static vt_status apply_to_spare(vt_image *image, const vt_op_call *call, const unsigned char *fill,
                                vt_op_scratch *scratch)
{
    if (call->op == VT_OP_SHARPNESS) {
        VT_TRY(sharpen(&scratch->spare, image, (float)call->argument));
    } else if (call->op == VT_OP_GAUSSIAN_BLUR) {
        VT_TRY(vt_image_blur(&scratch->spare, image, call->argument, &scratch->padded));
    } else {
        double matrix[6];
        if (!warp_matrix(matrix, image, call->op, call->argument)) return VT_OK;
        VT_TRY(vt_image_warp(&scratch->spare, image, matrix, call->filter, fill, &scratch->padded));
    }
    swap(image, &scratch->spare);
    return VT_OK;
}

vt_status vt_image_apply(vt_image *image, const vt_op_call *call, const unsigned char *fill,
                         vt_op_scratch *scratch)
{
    assert(image->channels == 1 || image->channels == 3);
    unsigned char *p = image->pixels;
    const size_t n = bytes_of(image);
    const float factor = (float)call->argument;
    switch (call->op) {
    case VT_OP_AUTO_CONTRAST: map_channels(image, auto_contrast_table); break;
    case VT_OP_EQUALIZE: map_channels(image, equalize_table); break;
    case VT_OP_INVERT: solarize(p, n, 0); break;
    case VT_OP_POSTERIZE: posterize(p, n, (int)call->argument); break;
    case VT_OP_SOLARIZE: solarize(p, n, (int)call->argument); break;
    case VT_OP_SOLARIZE_ADD: solarize_add(p, n, (int)call->argument); break;
    case VT_OP_COLOR: blend_luma(image, factor); break;
    case VT_OP_CONTRAST: blend_level(p, n, (unsigned char)mean_luma(image), factor); break;
    case VT_OP_BRIGHTNESS: blend_level(p, n, 0, factor); break;
    case VT_OP_HUE: vt_image_shift_hue(image, call->argument); break;
    default: return apply_to_spare(image, call, fill, scratch);
    }
    return VT_OK;
}

void vt_op_scratch_free(vt_op_scratch *scratch)
{
    vt_image_free(&scratch->spare);
    vt_image_free(&scratch->padded);
}
