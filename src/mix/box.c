// CutMix's box: Yun et al., "CutMix", ICCV 2019, as in timm 0.4.12 (rand_bbox, rand_bbox_minmax).
//
// On an axis of g cells, with a centre c uniform in 0 .. g-1 and r = sqrt(1 - lambda):
//   official: length = floor(g r), from c - floor(length/2) to c + floor(length/2)
//   exact:    length = round(g r), from c - floor(length/2) to that + length
// clipped to 0 .. g. The official box loses a cell when the length is odd and is empty when it is
// 1: on pixels nobody notices, on a grid of 8 patches these are 6% of the draws (lambda > 15/16).
//
// cutmix_minmax instead draws length in floor(g min) .. floor(g max) - 1 and the start in
// 0 .. g - length - 1; an empty range holds its lower end here, where timm stops with an error.
#include "box.h"

#include <math.h>
#include <string.h>

static int clamp(int x, int high)
{
    return x < 0 ? 0 : x > high ? high : x;
}

// Uniform in low .. end-1; low if there is nothing.
static int draw_below(vt_rng *rng, int low, int end)
{
    return end > low ? low + (int)vt_rng_below(rng, (uint32_t)(end - low)) : low;
}

static void draw_minmax(int *start, int *end, const double minmax[2], int g, vt_rng *rng)
{
    int length = draw_below(rng, (int)(g * minmax[0]), (int)(g * minmax[1]));
    *start = draw_below(rng, 0, g - length);
    *end = *start + length;
}

static void draw_centred(int *start, int *end, vt_mix_box box, double lambda, int g, vt_rng *rng)
{
    double wanted = g * sqrt(1 - lambda);
    int length = (int)(box == VT_BOX_EXACT ? round(wanted) : wanted);
    int first = (int)vt_rng_below(rng, (uint32_t)g) - length / 2;
    int last = first + (box == VT_BOX_EXACT ? length : length / 2 * 2);
    *start = clamp(first, g);
    *end = clamp(last, g);
}

double vt_box_alpha(const vt_mix_config *config, vt_mix_grid grid)
{
    if (config->grid != grid) return 0;
    return config->has_minmax ? 1 : config->cutmix;
}

void vt_box_draw(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape, int cell,
                 vt_rng *rng)
{
    int rows = shape->height / cell, columns = shape->width / cell;
    int y0, y1, x0, x1;
    if (config->has_minmax) {
        draw_minmax(&y0, &y1, config->cutmix_minmax, rows, rng);
        draw_minmax(&x0, &x1, config->cutmix_minmax, columns, rng);
    } else {
        draw_centred(&y0, &y1, config->box, cut->lambda, rows, rng);
        draw_centred(&x0, &x1, config->box, cut->lambda, columns, rng);
    }
    if (config->correct_lam || config->has_minmax) {
        double cells = (double)rows * columns, area = (double)(y1 - y0) * (x1 - x0);
        cut->lambda = (cells - area) / cells;
    }
    cut->y0 = y0 * cell, cut->y1 = y1 * cell;
    cut->x0 = x0 * cell, cut->x1 = x1 * cell;
}

void vt_box_apply(vt_real *out, const vt_real *a, const vt_real *b, const vt_mix_cut *cut,
                  const vt_mix_shape *shape)
{
    size_t plane = (size_t)shape->height * shape->width;
    size_t width = (size_t)(cut->x1 - cut->x0) * sizeof *out;
    if (out != a) memcpy(out, a, shape->channels * plane * sizeof *out);
    for (int c = 0; c < shape->channels; c++)
        for (int y = cut->y0; y < cut->y1; y++) {
            size_t at = c * plane + (size_t)y * shape->width + cut->x0;
            memcpy(out + at, b + at, width);
        }
}

// How many of the px from .. from+n-1 lie in start .. end-1.
static int overlap(int from, int n, int start, int end)
{
    int first = start > from ? start : from, last = end < from + n ? end : from + n;
    return last > first ? last - first : 0;
}

void vt_box_share(vt_real *share, const vt_mix_cut *cut, const vt_mix_shape *shape)
{
    int P = shape->patch;
    double area = (double)P * P;
    for (int y = 0; y < shape->height; y += P)
        for (int x = 0; x < shape->width; x += P) {
            double pasted =
                (double)overlap(y, P, cut->y0, cut->y1) * overlap(x, P, cut->x0, cut->x1);
            *share++ = (vt_real)((area - pasted) / area);
        }
}
