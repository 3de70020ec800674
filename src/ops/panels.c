// Matrices laid out for the tiles: see ops.h for the layout. Copying is a percent of the product that
// follows: each number is used for tens of rows, or packed once a step.
#include "bf16.h"
#include "tile.h"

#include <assert.h>

int vt_panel_width(bool left)
{
    return left ? VT_TILE_ROWS : VT_PANEL;
}

size_t vt_panels_steps(vt_elem type, int k)
{
    return type == VT_BFLOAT ? ((size_t)k + 1) / 2 : (size_t)k;
}

int vt_panels_count(const vt_panels *p)
{
    return (p->n + p->width - 1) / p->width;
}

// A step of one column: vt_real, or a pair of bf16.
enum { UNIT = sizeof(vt_real) };

size_t vt_panels_bytes(vt_elem type, int k, int n, bool left)
{
    const size_t width = (size_t)vt_panel_width(left), panels = ((size_t)n + width - 1) / width;
    return panels * vt_panels_steps(type, k) * width * UNIT;
}

vt_panels vt_panels_at(void *data, vt_elem type, int k, int n, bool left)
{
    return (vt_panels){data, type, k, n, vt_panel_width(left)};
}

// Rows of b lie as in the panel.
VT_INLINE void pack_rows(void *to, const void *b, size_t ld, int k, int columns, int width,
                         vt_elem from, vt_elem type)
{
    if (type == VT_REAL) {
        vt_real *out = to;
        for (int p = 0; p < k; p++, out += width) {
            const vt_real *row = (const vt_real *)b + (size_t)p * ld;
            if (columns == width)
                memcpy(out, row, (size_t)width * sizeof *out);
            else
                for (int c = 0; c < width; c++) out[c] = c < columns ? row[c] : 0;
        }
        return;
    }
    vt_bf16 *out = to;
    const size_t size = vt_elem_size(from);
    for (int p = 0; p < k; p += 2, out += 2 * width) {
        const char *row = (const char *)b + (size_t)p * ld * size;
        const char *next = p + 1 < k ? row + ld * size : NULL;
        for (int c = 0; c < columns; c++) {
            out[2 * c] = vt_bf16_of((float)vt_get(row, from, (size_t)c));
            out[2 * c + 1] = next ? vt_bf16_of((float)vt_get(next, from, (size_t)c)) : 0;
        }
        for (int c = 2 * columns; c < 2 * width; c++) out[c] = 0;
    }
}

// Rows of b are the panel's columns.
VT_INLINE void pack_columns(void *to, const void *b, size_t ld, int k, int columns, int width,
                            vt_elem from, vt_elem type)
{
    if (type == VT_REAL) {
        vt_real *out = to;
        for (int p = 0; p < k; p++, out += width) {
            for (int c = 0; c < columns; c++)
                out[c] = ((const vt_real *)b)[(size_t)c * ld + (size_t)p];
            for (int c = columns; c < width; c++) out[c] = 0;
        }
        return;
    }
    vt_bf16 *out = to;
    for (int p = 0; p < k; p += 2, out += 2 * width) {
        for (int c = 0; c < columns; c++) {
            const size_t at = (size_t)c * ld + (size_t)p;
            out[2 * c] = vt_bf16_of((float)vt_get(b, from, at));
            out[2 * c + 1] = p + 1 < k ? vt_bf16_of((float)vt_get(b, from, at + 1)) : 0;
        }
        for (int c = 2 * columns; c < 2 * width; c++) out[c] = 0;
    }
}

VT_INLINE void pack_panel(void *to, const void *b, vt_trans trans, size_t ld, int k, int columns,
                          int width, vt_elem from, vt_elem type)
{
    if (trans == VT_N)
        pack_rows(to, b, ld, k, columns, width, from, type);
    else
        pack_columns(to, b, ld, k, columns, width, from, type);
}

// The two widths as constants: that is what makes the loops above vectors.
VT_INLINE void pack_any_width(void *to, const void *b, vt_trans trans, size_t ld, int k,
                              int columns, int width, vt_elem from, vt_elem type)
{
    if (width == VT_PANEL && columns == VT_PANEL)
        pack_panel(to, b, trans, ld, k, VT_PANEL, VT_PANEL, from, type);
    else if (width == VT_TILE_ROWS && columns == VT_TILE_ROWS)
        pack_panel(to, b, trans, ld, k, VT_TILE_ROWS, VT_TILE_ROWS, from, type);
    else
        pack_panel(to, b, trans, ld, k, columns, width, from, type);
}

void vt_panels_pack(const vt_panels *p, int panel, int at, const void *b, vt_elem from, int ld,
                    vt_trans trans, int k)
{
    assert(at >= 0 && at + k <= p->k && (p->type == VT_REAL || at % 2 == 0));
    assert(p->type == VT_BFLOAT || from == VT_REAL);
    const size_t width = (size_t)p->width, first = (size_t)panel * width;
    const size_t step =
        (size_t)panel * vt_panels_steps(p->type, p->k) + vt_panels_steps(p->type, at);
    const int left = p->n - (int)first, columns = left < p->width ? left : p->width;
    char *to = (char *)p->data + step * width * UNIT;
    b = (const char *)b + first * (trans == VT_N ? 1 : (size_t)ld) * vt_elem_size(from);
    if (p->type == VT_REAL)
        pack_any_width(to, b, trans, (size_t)ld, k, columns, p->width, VT_REAL, VT_REAL);
    else if (from == VT_REAL)
        pack_any_width(to, b, trans, (size_t)ld, k, columns, p->width, VT_REAL, VT_BFLOAT);
    else
        pack_any_width(to, b, trans, (size_t)ld, k, columns, p->width, VT_BFLOAT, VT_BFLOAT);
}

// A few rows at a time: as many cache lines as stay in the first level's smallest corner, since rows are
// often a multiple of 2 KiB apart.
enum { PACK_ROWS = 16 };

// Whole panels of numbers that need no rounding: copies of `width` numbers, the width a constant.
VT_INLINE void copy_rows(const vt_panels *p, int at, const vt_real *b, size_t ld, int k, int width)
{
    const size_t panel = (size_t)p->k * (size_t)width;
    for (int i = 0; i < p->n / width; i++)
        for (int row = 0; row < k; row++)
            memcpy((vt_real *)p->data + (size_t)i * panel + (size_t)(at + row) * (size_t)width,
                   b + (size_t)row * ld + (size_t)i * (size_t)width, (size_t)width * sizeof *b);
}

// The same; returns how many panels are done.
static int copy_whole_panels(const vt_panels *p, int at, const void *b, size_t ld, int k)
{
    if (p->type != VT_REAL) return 0;
    if (p->width == VT_TILE_ROWS)
        copy_rows(p, at, b, ld, k, VT_TILE_ROWS);
    else
        copy_rows(p, at, b, ld, k, VT_PANEL);
    return p->n / p->width;
}

void vt_panels_pack_all(const vt_panels *p, int at, const void *b, vt_elem from, int ld,
                        vt_trans trans, int k)
{
    const int panels = vt_panels_count(p), rows = trans == VT_N ? PACK_ROWS : k;
    for (int first = 0; first < k; first += rows) {
        const int count = k - first < rows ? k - first : rows;
        const void *row = vt_at(b, from, (size_t)first * (size_t)ld);
        int i = trans == VT_N ? copy_whole_panels(p, at + first, row, (size_t)ld, count) : 0;
        for (; i < panels; i++) vt_panels_pack(p, i, at + first, row, from, ld, trans, count);
    }
}

// sum: (width) +=
VT_INLINE void sum_panel(vt_real *sum, const void *panel, size_t steps, int width, vt_elem type)
{
    const size_t per_step = type == VT_BFLOAT ? 2 : 1;
    for (size_t s = 0; s < steps; s++)
        for (int i = 0; i < width; i++)
            for (size_t pair = 0; pair < per_step; pair++)
                sum[i] += vt_get(panel, type, (s * (size_t)width + (size_t)i) * per_step + pair);
}

VT_INLINE void add_column_sums(vt_real *sums, const vt_panels *p, int first, int count,
                               vt_elem type)
{
    const size_t width = (size_t)p->width, steps = vt_panels_steps(type, p->k);
    for (int c = first; c < first + count; c += p->width) {
        const char *panel = (const char *)p->data + (size_t)c * steps * UNIT;
        const int left = first + count - c, columns = left < p->width ? left : p->width;
        vt_real sum[VT_PANEL + VT_TILE_ROWS] = {0}; // either is the wider one
        if (width == VT_TILE_ROWS)                  // known to the compiler
            sum_panel(sum, panel, steps, VT_TILE_ROWS, type);
        else
            sum_panel(sum, panel, steps, p->width, type);
        for (int i = 0; i < columns; i++) sums[c + i] += sum[i];
    }
}

void vt_panels_column_sums(vt_real *sums, const vt_panels *p, int first, int count)
{
    assert(first % p->width == 0);
    VT_FOR_TYPE(add_column_sums, p->type, sums, p, first, count);
}
