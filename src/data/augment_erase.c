// timm 0.4.12's RandomErasing. Python's round() is half to even, which is rint().
#include "vitrain/data/augment_erase.h"

#include <math.h>
#include <stddef.h>

enum { NOISE = 256 };

bool vt_erase_box(int box[4], int height, int width, int count, const vt_erase_config *config,
                  vt_rng *rng)
{
    const double area = (double)height * width / count;
    const double low = log(config->aspect[0]), high = log(config->aspect[1]);
    for (int attempt = 0; attempt < 10; attempt++) {
        double target = area * vt_rng_range(rng, config->area[0], config->area[1]);
        double aspect = exp(vt_rng_range(rng, low, high));
        double h = rint(sqrt(target * aspect)), w = rint(sqrt(target / aspect));
        if (!(w < width && h < height)) continue;
        box[2] = (int)w, box[3] = (int)h;
        box[1] = (int)vt_rng_below(rng, (uint32_t)(height - box[3] + 1));
        box[0] = (int)vt_rng_below(rng, (uint32_t)(width - box[2] + 1));
        return true;
    }
    return false;
}

static void erase_row(vt_real *row, int n, float level, bool noise, vt_rng *rng)
{
    float numbers[NOISE];
    for (int x = 0; x < n; x++) {
        if (noise && x % NOISE == 0)
            vt_rng_normals(rng, numbers, (size_t)(n - x < NOISE ? n - x : NOISE));
        row[x] = noise ? numbers[x % NOISE] : level;
    }
}

void vt_erase(vt_real *input, int channels, int height, int width, const vt_erase_config *config,
              vt_rng *rng)
{
    if (vt_rng_uniform(rng) >= config->probability) return;
    const int count = config->count > 1 ? 1 + (int)vt_rng_below(rng, (uint32_t)config->count) : 1;
    for (int i = 0; i < count; i++) {
        int box[4];
        if (!vt_erase_box(box, height, width, count, config, rng)) continue;
        for (int c = 0; c < channels; c++) {
            float level = 0;
            if (config->mode == VT_ERASE_RAND) level = (float)vt_rng_normal(rng);
            for (int y = box[1]; y < box[1] + box[3]; y++) {
                vt_real *row = input + ((size_t)c * (size_t)height + (size_t)y) * (size_t)width;
                erase_row(row + box[0], box[2], level, config->mode == VT_ERASE_PIXEL, rng);
            }
        }
    }
}
