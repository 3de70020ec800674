// Matrices laid out for the tiles: see ops.h for the layout. Copying is a percent of the product that
// follows: each number is used for tens of rows, or packed once a step.
#include "amx_tile.h"
#include "bf16.h"

#include <assert.h>

static bool by_amx(vt_elem type)
{
    return type == VT_BFLOAT && vt_amx();
}

int vt_panel_width(vt_elem type, bool left)
{
    return !left ? VT_PANEL : by_amx(type) ? VT_AMX_TILE_ROWS : VT_TILE_ROWS;
}

size_t vt_panels_steps(vt_elem type, int k)
{
    const size_t unit = by_amx(type) ? VT_AMX_PAIRS : 1;
    return (vt_steps(type, k) + unit - 1) / unit * unit;
}

int vt_panels_count(const vt_panels *p)
{
    return (p->n + p->width - 1) / p->width;
}

// A step of one column: vt_real, or a pair of bf16.
enum { UNIT = sizeof(vt_real) };

size_t vt_panels_bytes(vt_elem type, int k, int n, bool left)
{
    const size_t width = (size_t)vt_panel_width(type, left),
                 panels = ((size_t)n + width - 1) / width;
    return panels * vt_panels_steps(type, k) * width * UNIT;
}

vt_panels vt_panels_at(void *data, vt_elem type, int k, int n, bool left)
{
    return (vt_panels){.data = data,
                       .type = type,
                       .k = k,
                       .n = n,
                       .width = vt_panel_width(type, left),
                       .parts = 1};
}

// A stored number's bits; (a step of) one column: two of them, the first one low.
VT_INLINE uint32_t bits_of(const void *x, vt_elem from, size_t i)
{
    return from == VT_BFLOAT ? ((const vt_bf16 *)x)[i] : vt_bf16_of((float)((const vt_real *)x)[i]);
}

VT_INLINE uint32_t pair_of(const void *x, const void *y, vt_elem from, size_t i)
{
    return bits_of(x, from, i) | (y ? bits_of(y, from, i) << 16 : 0);
}

VT_INLINE vt_real value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The numbers of pair i.
VT_INLINE vt_real low_of(const void *pairs, size_t i)
{
    return value_of(((const uint32_t *)pairs)[i] << 16);
}

VT_INLINE vt_real high_of(const void *pairs, size_t i)
{
    return value_of(((const uint32_t *)pairs)[i] & 0xffff0000u);
}

// Whole vectors of them; the loop over a panel of this width is none that the compiler makes vectors of.
enum { EIGHT = 8 };
typedef uint16_t eight_loose __attribute__((vector_size(2 * EIGHT), aligned(2), may_alias));
typedef uint32_t eight_pairs __attribute__((vector_size(4 * EIGHT)));
typedef uint32_t eight_pairs_loose __attribute__((vector_size(4 * EIGHT), aligned(4)));

VT_INLINE eight_pairs widened(const void *x, int at)
{
    return __builtin_convertvector(*(const eight_loose *)((const vt_bf16 *)x + at), eight_pairs);
}

// Pairs of two rows, of as many columns.
VT_INLINE eight_pairs interleaved(const void *row, const void *next, int at, vt_elem from)
{
    if (from == VT_BFLOAT) return widened(row, at) | widened(next, at) << 16;
    vt_bf16 rounded[2][EIGHT];
    vt_put_all(rounded[0], VT_BFLOAT, vt_at(row, from, (size_t)at), EIGHT);
    vt_put_all(rounded[1], VT_BFLOAT, vt_at(next, from, (size_t)at), EIGHT);
    return widened(rounded[0], 0) | widened(rounded[1], 0) << 16;
}

// Pairs of one row.
VT_INLINE eight_pairs adjacent(const void *row, vt_elem from)
{
    eight_pairs pairs;
    if (from == VT_BFLOAT)
        memcpy(&pairs, row, sizeof pairs);
    else
        vt_put_all(&pairs, VT_BFLOAT, row, 2 * EIGHT);
    return pairs;
}

VT_INLINE void transpose(eight_pairs x[EIGHT])
{
    eight_pairs y[EIGHT];
    for (int i = 0; i < EIGHT; i += 2) { // by one
        y[i] = __builtin_shufflevector(x[i], x[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        y[i + 1] = __builtin_shufflevector(x[i], x[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < EIGHT; i += (i & 1) ? 3 : 1) { // by two
        x[i] = __builtin_shufflevector(y[i], y[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        x[i + 2] = __builtin_shufflevector(y[i], y[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int i = 0; i < EIGHT / 2; i++) { // by four
        const eight_pairs low = x[i], high = x[i + 4];
        x[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = __builtin_shufflevector(low, high, 4, 5, 6, 7, 12, 13, 14, 15);
    }
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
    uint32_t *out = to;
    for (int p = 0; p < k; p += 2, out += width) {
        const void *row = vt_at(b, from, (size_t)p * ld), *next = vt_at(row, from, ld);
        int c = 0;
        if (p + 1 == k) next = NULL;
        for (; next && c + EIGHT <= columns; c += EIGHT)
            *(eight_pairs_loose *)(out + c) = interleaved(row, next, c, from);
        for (; c < columns; c++) out[c] = pair_of(row, next, from, (size_t)c);
        for (c = columns; c < width; c++) out[c] = 0;
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
    uint32_t *out = to;
    int p = 0;
    for (; p + 2 * EIGHT <= k; p += 2 * EIGHT, out += EIGHT * width) {
        int c = 0;
        for (; c + EIGHT <= columns; c += EIGHT) {
            eight_pairs block[EIGHT];
            for (int i = 0; i < EIGHT; i++)
                block[i] = adjacent(vt_at(b, from, (size_t)(c + i) * ld + (size_t)p), from);
            transpose(block);
            for (int i = 0; i < EIGHT; i++) *(eight_pairs_loose *)(out + i * width + c) = block[i];
        }
        for (; c < width; c++)
            for (int i = 0; i < EIGHT; i++) {
                const size_t at = (size_t)c * ld + (size_t)(p + 2 * i);
                out[i * width + c] =
                    c < columns ? pair_of(vt_at(b, from, at), vt_at(b, from, at + 1), from, 0) : 0;
            }
    }
    for (; p < k; p += 2, out += width) {
        for (int c = 0; c < columns; c++) {
            const void *x = vt_at(b, from, (size_t)c * ld + (size_t)p);
            out[c] = pair_of(x, p + 1 < k ? vt_at(x, from, 1) : NULL, from, 0);
        }
        for (int c = columns; c < width; c++) out[c] = 0;
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

// ---- left panels for AMX: blocks of 16 rows by 16 steps (amx_tile.h) ----

VT_INLINE uint32_t *amx_step(const vt_panels *p, int panel, size_t step)
{
    return (uint32_t *)p->data + (size_t)(panel * p->width) * vt_panels_steps(p->type, p->k) +
           step / VT_AMX_PAIRS * (VT_AMX_ROWS * VT_AMX_PAIRS) + step % VT_AMX_PAIRS;
}

// to: of a step. column: of the panel.
VT_INLINE uint32_t *amx_column(uint32_t *to, size_t steps, int column)
{
    return to + (size_t)(column / VT_AMX_ROWS * VT_AMX_ROWS) * steps +
           column % VT_AMX_ROWS * VT_AMX_PAIRS;
}

// Some steps, all in one half of a block, of eight columns. b: the first column's first number.
VT_INLINE void pack_amx_block(uint32_t *to, const void *b, vt_trans trans, size_t ld, int k,
                              int columns, vt_elem from)
{
    eight_pairs block[EIGHT];
    if (k == 2 * EIGHT && columns == EIGHT) {
        for (int i = 0; i < EIGHT; i++)
            block[i] = trans == VT_N
                           ? interleaved(vt_at(b, from, (size_t)(2 * i) * ld),
                                         vt_at(b, from, (size_t)(2 * i + 1) * ld), 0, from)
                           : adjacent(vt_at(b, from, (size_t)i * ld), from);
        if (trans == VT_N) transpose(block);
        for (int i = 0; i < EIGHT; i++) *(eight_pairs_loose *)(to + i * VT_AMX_PAIRS) = block[i];
        return;
    }
    const size_t next = trans == VT_N ? ld : 1, across = trans == VT_N ? 1 : ld;
    for (int c = 0; c < EIGHT; c++)
        for (int p = 0; p < k; p += 2) {
            const void *x = vt_at(b, from, (size_t)p * next + (size_t)c * across);
            to[c * VT_AMX_PAIRS + p / 2] =
                c >= columns ? 0 : pair_of(x, p + 1 < k ? vt_at(x, from, next) : NULL, from, 0);
        }
}

VT_INLINE void pack_amx(const vt_panels *to, int panel, int at, const void *b, vt_trans trans,
                        size_t ld, int k, int columns, vt_elem from)
{
    const size_t steps = vt_panels_steps(to->type, to->k);
    for (int done = 0, some; done < k; done += some) {
        const int step = (at + done) / 2, most = 2 * (EIGHT - step % EIGHT);
        some = k - done < most ? k - done : most;
        uint32_t *out = amx_step(to, panel, (size_t)step);
        for (int c = 0; c < to->width; c += EIGHT) {
            const int left = columns - c < 0 ? 0 : columns - c < EIGHT ? columns - c : EIGHT;
            const size_t first =
                trans == VT_N ? (size_t)done * ld + (size_t)c : (size_t)c * ld + (size_t)done;
            pack_amx_block(amx_column(out, steps, c), vt_at(b, from, first), trans, ld, some, left,
                           from);
        }
    }
}

// Steps after the last one are zeros.
static void end_panel(const vt_panels *p, int panel, bool left)
{
    const size_t steps = vt_panels_steps(p->type, p->k), width = (size_t)p->width;
    for (size_t s = vt_steps(p->type, p->k); s < steps; s++)
        if (left)
            for (int c = 0; c < p->width; c++) *amx_column(amx_step(p, panel, s), steps, c) = 0;
        else
            memset((char *)p->data + ((size_t)panel * steps + s) * width * UNIT, 0, width * UNIT);
}

void vt_panels_pack(const vt_panels *p, int panel, int at, const void *b, vt_elem from, int ld,
                    vt_trans trans, int k)
{
    assert(at >= 0 && at + k <= p->k && (p->type == VT_REAL || at % 2 == 0));
    assert(p->type == VT_BFLOAT || from == VT_REAL);
    const size_t width = (size_t)p->width, first = (size_t)panel * width;
    const size_t step = (size_t)panel * vt_panels_steps(p->type, p->k) + vt_steps(p->type, at);
    const bool amx = by_amx(p->type), by_blocks = amx && p->width == VT_AMX_TILE_ROWS;
    const int left = p->n - (int)first, columns = left < p->width ? left : p->width;
    char *to = (char *)p->data + step * width * UNIT;
    b = (const char *)b + first * (trans == VT_N ? 1 : (size_t)ld) * vt_elem_size(from);
    if (amx && at + k == p->k) end_panel(p, panel, by_blocks);
    if (by_blocks && from == VT_REAL)
        pack_amx(p, panel, at, b, trans, (size_t)ld, k, columns, VT_REAL);
    else if (by_blocks)
        pack_amx(p, panel, at, b, trans, (size_t)ld, k, columns, VT_BFLOAT);
    else if (p->type == VT_REAL)
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
    for (size_t s = 0; s < steps; s++)
        for (int i = 0; i < width; i++) {
            const size_t at = s * (size_t)width + (size_t)i;
            if (type == VT_REAL)
                sum[i] += vt_get(panel, type, at);
            else
                sum[i] += low_of(panel, at), sum[i] += high_of(panel, at);
        }
}

VT_INLINE void add_column_sums(vt_real *sums, const vt_panels *p, int first, int count,
                               vt_elem type)
{
    const size_t width = (size_t)p->width, steps = vt_panels_steps(type, p->k);
    for (int c = first; c < first + count; c += p->width) {
        const int left = first + count - c, columns = left < p->width ? left : p->width;
        for (int part = 0; part < p->parts; part++) {
            const char *panel =
                (const char *)p->data + (size_t)c * steps * UNIT + (size_t)part * p->part_bytes;
            vt_real sum[VT_PANEL + VT_TILE_ROWS] = {0}; // either is the wider one
            if (width == VT_TILE_ROWS)                  // known to the compiler
                sum_panel(sum, panel, steps, VT_TILE_ROWS, type);
            else
                sum_panel(sum, panel, steps, p->width, type);
            for (int i = 0; i < columns; i++) sums[c + i] += sum[i];
        }
    }
}

static void add_amx_column_sums(vt_real *sums, const vt_panels *p, int first, int count)
{
    const size_t steps = vt_panels_steps(p->type, p->k);
    for (int c = first; c < first + count; c++)
        for (int part = 0; part < p->parts; part++) {
            const uint32_t *column = amx_column(amx_step(p, c / p->width, 0), steps, c % p->width) +
                                     (size_t)part * p->part_bytes / UNIT;
            vt_real sum[VT_AMX_PAIRS] = {0}, all = 0;
            for (size_t s = 0; s < steps; s += VT_AMX_PAIRS, column += VT_AMX_ROWS * VT_AMX_PAIRS)
                for (size_t i = 0; i < VT_AMX_PAIRS; i++)
                    sum[i] += low_of(column, i), sum[i] += high_of(column, i);
            for (int i = 0; i < VT_AMX_PAIRS; i++) all += sum[i];
            sums[c] += all;
        }
}

void vt_panels_column_sums(vt_real *sums, const vt_panels *p, int first, int count)
{
    assert(first % p->width == 0);
    if (by_amx(p->type) && p->width == VT_AMX_TILE_ROWS) {
        add_amx_column_sums(sums, p, first, count);
        return;
    }
    VT_FOR_TYPE(add_column_sums, p->type, sums, p, first, count);
}
