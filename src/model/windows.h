// How the tokens of a map are cut into windows (Swin Transformer, Liu et al., arXiv 2103.14030,
// section 3.2), in timm's order: the map is rolled up and left by the shift, zeros are put below
// and to the right until whole windows fit, windows follow one another row by row, and so do the
// tokens in each.
#ifndef VITRAIN_WINDOWS_H
#define VITRAIN_WINDOWS_H

#include "vitrain/base/real.h"
#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vt_windows {
    int map_h, map_w;     // tokens of the map
    int h, w, T;          // tokens of a window: T = h w
    int shift_h, shift_w; // 0: not rolled
    int count;            // windows of a map
    bool padded;          // some of their tokens are only padding
    int32_t *tokens;      // (count,T) which token of the map, -1: padding
    int32_t *starts;      // (count + 1) how many tokens of the map are in the windows before
    int32_t *mask_index;  // (count) which mask, -1: none
    vt_real *masks;       // (.,T,T) 0, or -100 between tokens that are no neighbours in the map
} vt_windows;

// Windows of h x w. VT_ERR_MEMORY.
vt_status vt_windows_init(vt_windows *windows, int map_h, int map_w, int h, int w, int shift_h,
                          int shift_w);
void vt_windows_deinit(vt_windows *windows); // takes a zeroed one

// The mask that is added to a window's scores, (T,T), or NULL.
const vt_real *vt_windows_mask(const vt_windows *windows, int window);

// Relative position bias: a table of (2 h - 1)(2 w - 1) rows, H numbers each, one for each offset
// between two tokens of a window.
int vt_window_offsets(int h, int w);
// bias: (T,T) out, head `head` of the table.
void vt_window_bias(vt_real *bias, const vt_real *table, int head, int H, int h, int w);
// dtable: ((2 h - 1)(2 w - 1), H) += sums over the pairs of each offset; dbias: (H,T,T).
void vt_window_bias_backward(vt_real *dtable, const vt_real *dbias, int H, int h, int w);

#endif
