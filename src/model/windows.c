// Windows on a map, their masks and the relative position bias; see the header.
#include "windows.h"

#include "vitrain/base/arena.h"

#include <stdlib.h>

// timm's: far below any score, so that exp makes nothing of it.
static const vt_real FAR_APART = -100;

static int windows_along(int map, int window)
{
    return (map + window - 1) / window;
}

// Where row or column `at` of the rolled and padded map comes from; -1: padding.
static int source(int at, int map, int shift)
{
    return at < map ? (at + shift) % map : -1;
}

// Which part of the map a row or column of the rolled and padded one belongs to. Parts that the
// roll has brought together in the last windows are told apart; padding, which is not rolled,
// belongs to the last.
static int region(int at, int padded, int window, int shift)
{
    if (shift == 0) return 0;
    return at < padded - window ? 0 : at < padded - shift ? 1 : 2;
}

// A window's tokens and their regions. tokens, regions: (T) out. Returns how many tokens are real.
static int list(int32_t *tokens, int32_t *regions, const vt_windows *w, int window)
{
    const int across = windows_along(w->map_w, w->w), down = w->count / across;
    int real = 0;
    for (int i = 0; i < w->T; i++) {
        const int y = window / across * w->h + i / w->w, x = window % across * w->w + i % w->w;
        const int from_y = source(y, w->map_h, w->shift_h),
                  from_x = source(x, w->map_w, w->shift_w);
        tokens[i] = from_y < 0 || from_x < 0 ? -1 : from_y * w->map_w + from_x;
        regions[i] = 3 * region(y, down * w->h, w->h, w->shift_h) +
                     region(x, across * w->w, w->w, w->shift_w);
        real += tokens[i] >= 0;
    }
    return real;
}

static bool is_one_region(const int32_t *regions, int T)
{
    for (int i = 1; i < T; i++)
        if (regions[i] != regions[0]) return false;
    return true;
}

static vt_status make_masks(vt_windows *w, const int32_t *regions)
{
    const size_t T = (size_t)w->T;
    int masks = 0;
    for (int i = 0; i < w->count; i++) {
        const bool none = is_one_region(regions + (size_t)i * T, w->T);
        w->mask_index[i] = none ? -1 : masks++;
    }
    w->masks = vt_alloc((size_t)(masks > 0 ? masks : 1) * T, T * sizeof *w->masks);
    if (!w->masks) return VT_ERR_MEMORY;
    for (int i = 0; i < w->count; i++) {
        const int32_t *of = regions + (size_t)i * T;
        vt_real *mask = w->mask_index[i] < 0 ? NULL : w->masks + (size_t)w->mask_index[i] * T * T;
        for (size_t t = 0; mask && t < T * T; t++) mask[t] = of[t / T] == of[t % T] ? 0 : FAR_APART;
    }
    return VT_OK;
}

vt_status vt_windows_init(vt_windows *w, int map_h, int map_w, int h, int wide, int shift_h,
                          int shift_w)
{
    *w = (vt_windows){.map_h = map_h,
                      .map_w = map_w,
                      .h = h,
                      .w = wide,
                      .T = h * wide,
                      .shift_h = shift_h,
                      .shift_w = shift_w,
                      .count = windows_along(map_h, h) * windows_along(map_w, wide)};
    w->padded = map_h % h != 0 || map_w % wide != 0;
    const size_t count = (size_t)w->count, T = (size_t)w->T;
    int32_t *regions = vt_alloc(count * T, sizeof *regions);
    w->tokens = vt_alloc(count * T, sizeof *w->tokens);
    w->starts = vt_alloc(count + 1, sizeof *w->starts);
    w->mask_index = vt_alloc(count, sizeof *w->mask_index);
    vt_status status = VT_ERR_MEMORY;
    if (regions && w->tokens && w->starts && w->mask_index) {
        for (int i = 0; i < w->count; i++) {
            const size_t at = (size_t)i * T;
            w->starts[i + 1] = w->starts[i] + list(w->tokens + at, regions + at, w, i);
        }
        status = make_masks(w, regions);
    }
    free(regions);
    return status;
}

void vt_windows_deinit(vt_windows *w)
{
    free(w->tokens);
    free(w->starts);
    free(w->mask_index);
    free(w->masks);
    *w = (vt_windows){0};
}

const vt_real *vt_windows_mask(const vt_windows *w, int window)
{
    const int index = w->mask_index[window];
    return index < 0 ? NULL : w->masks + (size_t)index * (size_t)w->T * (size_t)w->T;
}

int vt_window_offsets(int h, int w)
{
    return (2 * h - 1) * (2 * w - 1);
}

// The table's row for the query at (y, x) and the first key of a row; each further key's is the one
// before.
static size_t offset_of(int y, int x, int key_y, int h, int w)
{
    return (size_t)((y - key_y + h - 1) * (2 * w - 1) + x + w - 1);
}

void vt_window_bias(vt_real *bias, const vt_real *table, int head, int H, int h, int w)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int key_y = 0; key_y < h; key_y++) {
                const vt_real *row = table + offset_of(y, x, key_y, h, w) * (size_t)H + head;
                for (int key_x = 0; key_x < w; key_x++) *bias++ = row[-key_x * H];
            }
}

void vt_window_bias_backward(vt_real *dtable, const vt_real *dbias, int H, int h, int w)
{
    for (int head = 0; head < H; head++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int key_y = 0; key_y < h; key_y++) {
                    vt_real *row = dtable + offset_of(y, x, key_y, h, w) * (size_t)H + head;
                    for (int key_x = 0; key_x < w; key_x++) row[-key_x * H] += *dbias++;
                }
}
