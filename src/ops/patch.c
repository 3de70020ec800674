// Images cut into patches, a row each, in the order of conv2d's weight (channel, y, x): the patch
// embedding is then a linear layer.
#include "vitrain/ops/ops.h"

#include <string.h>

void vt_patch_rows(vt_real *rows, const vt_real *image, const vt_patch_grid *grid)
{
    const int P = grid->patch, across = grid->width / P, down = grid->height / P;
    for (int gy = 0; gy < down; gy++)
        for (int gx = 0; gx < across; gx++)
            for (int c = 0; c < grid->channels; c++)
                for (int y = 0; y < P; y++, rows += P)
                    memcpy(rows,
                           image + ((size_t)c * grid->height + gy * P + y) * grid->width + gx * P,
                           (size_t)P * sizeof *rows);
}
