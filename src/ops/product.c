// Products of rows with panels. A block of rows and a part of a panel fit the second-level cache
// together; a tile's rows are read from there, the panel passes by. See tile.h for the innermost
// loop.
//
// The smallest products (a head of the 28-px model) take a thousand cycles. A vector load of
// several numbers that were just stored one by one waits until they have left the core, and so
// until all that is under way is done: operands go by address, and a tile's terms are written in
// place. Divisors are constants but where a product is cut.
#include "amx_tile.h"
#include "bf16.h"

#include <assert.h>

// 80 to 640 KB of rows, and 48 KB of a panel where vectors have 32 bytes. Tried with a DeiT-S step,
// two threads, Zen 2: 104, 152 or 208 rows, 384 or 512 steps: the same within the noise; two panels
// at a time: 2% slower; 192 or 256 steps: 5 to 8%, for tiles then come back twice as often. Zen 5,
// where a panel is used up twice as fast: 208 rows (an image's) instead of 104 6% faster, or none
// once the next panel was fetched evenly.
enum { BLOCK_STEPS = 768, BLOCK_ROWS = 208, STRIP_ROWS = 32 / VT_TILE_ROWS * VT_TILE_ROWS };

vt_left vt_left_rows(const void *x, vt_elem type, int ld)
{
    assert(type == VT_REAL || ld % 2 == 0);
    const size_t pair = type == VT_BFLOAT ? 2 : 1;
    return (vt_left){.data = x,
                     .ld = (size_t)ld / pair,
                     .row_bytes = (size_t)ld * vt_elem_size(type),
                     .type = type,
                     .parts = 1};
}

vt_left vt_left_columns(const vt_real *x, int ld)
{
    return (vt_left){.data = x,
                     .ld = (size_t)ld,
                     .row_bytes = sizeof *x,
                     .type = VT_REAL,
                     .by_column = true,
                     .parts = 1};
}

vt_left vt_left_panels(const vt_panels *x, int first)
{
    assert(x->width == vt_panel_width(x->type, true) && first % x->width == 0);
    const size_t row = vt_panels_steps(x->type, x->k) * sizeof(vt_real);
    return (vt_left){.data = (const char *)x->data + (size_t)first * row,
                     .ld = x->width == VT_AMX_TILE_ROWS ? VT_AMX_ROWS : VT_TILE_ROWS,
                     .row_bytes = row,
                     .type = x->type,
                     .by_column = true,
                     .parts = x->parts,
                     .part_bytes = x->part_bytes};
}

static const vt_tile_table *tiles_of(const vt_left *x)
{
#ifndef VT_DOUBLE
    if (x->type == VT_BFLOAT) return x->by_column ? &vt_tiles_bf16_columns : &vt_tiles_bf16_rows;
#endif
    return x->by_column ? &vt_tiles_real_columns : &vt_tiles_real_rows;
}

// Some rows, over a part of k.
typedef struct tile_block {
    const vt_left *x;
    int row, rows;
    bool amx;
    int most;            // rows of a tile
    size_t first;        // step of k
    const char *left;    // the first row, at that step
    vt_tile_terms terms; // of the tile at hand
} tile_block;

// What they are multiplied by.
typedef struct tile_panel {
    vt_tile_fn *const *tiles; // [rows - 1][vectors - 1], or NULL: by AMX
    const char *data;
    int columns;
    const char *next; // or NULL
    size_t next_step; // bytes
} tile_panel;

// Tiles that rows make; the divisors are constants.
static size_t tiles_in(const tile_block *b, int rows)
{
    return (size_t)(b->amx ? (rows + VT_AMX_TILE_ROWS - 1) / VT_AMX_TILE_ROWS
                           : (rows + VT_TILE_ROWS - 1) / VT_TILE_ROWS);
}

static int vectors_of(int columns)
{
    return (columns + VT_LANES - 1) / VT_LANES;
}

// Rows first .. of the block. c: their first number, of `type`. start: as for a tile.
static void compute(tile_block *b, const tile_panel *panel, char *c, size_t ldc, vt_elem type,
                    const vt_real *start, size_t ld_start, int first, int rows)
{
    const size_t size = vt_elem_size(type);
    vt_tile_terms *terms = &b->terms;
    terms->round = type == VT_BFLOAT;
    terms->left = b->left + (size_t)first * b->x->row_bytes;
    terms->right = panel->data;
    // The first row of tiles would wait for a panel that comes from afar: so the next one is
    // fetched bit by bit.
    terms->ahead = panel->data; // what is there already
    terms->pace = 0;
    if (panel->next) {
        const size_t tiles = tiles_in(b, b->rows);
        terms->pace = (panel->next_step + tiles - 1) / tiles;
        terms->ahead = panel->next + tiles_in(b, first) * terms->pace * terms->steps;
    }
    for (int end = first + rows, some; first < end; first += some) {
        some = end - first < b->most ? end - first : b->most;
        if (panel->tiles)
            panel->tiles[(some - 1) * VT_TILE_VECTORS](c, ldc, start, ld_start, terms);
        else
            vt_amx_tile((vt_real *)c, ldc, start, ld_start, terms, b->x, some,
                        vectors_of(panel->columns));
        c += (size_t)some * ldc * size;
        if (start) start += (size_t)some * ld_start;
        terms->left += (size_t)some * b->x->row_bytes;
        terms->ahead += terms->pace * terms->steps;
    }
}

VT_INLINE void put(void *y, size_t ldy, const vt_real *strip, int rows, int columns, bool add,
                   vt_elem type)
{
    for (int i = 0; i < rows; i++) {
        char *row = (char *)y + (size_t)i * ldy * vt_elem_size(type);
        const vt_real *from = strip + (size_t)i * VT_PANEL;
        if (add)
            for (int c = 0; c < columns; c++)
                vt_put(row, type, (size_t)c, vt_get(row, type, (size_t)c) + from[c]);
        else
            vt_put_all(row, type, from, (size_t)columns);
    }
}

// By way of a strip: for columns that are not whole vectors, and to round what AMX computes.
static void compute_strips(tile_block *b, const tile_panel *panel, const vt_rows *y, char *out,
                           const vt_real *bias, bool add)
{
    vt_real strip[STRIP_ROWS * VT_PANEL] __attribute__((aligned(VT_VECTOR_BYTES)));
    const size_t row = (size_t)y->ld * vt_elem_size(y->type);
    for (int first = 0; first < b->rows; first += STRIP_ROWS, out += STRIP_ROWS * row) {
        const int below = b->rows - first, rows = below < STRIP_ROWS ? below : STRIP_ROWS;
        compute(b, panel, (char *)strip, VT_PANEL, VT_REAL, bias, 0, first, rows);
        VT_FOR_TYPE(put, y->type, out, (size_t)y->ld, strip, rows, panel->columns, add);
    }
}

// column: the panel's first.
static void compute_block(tile_block *b, const tile_panel *panel, const vt_rows *y, int column,
                          const vt_real *bias, vt_into into)
{
    const bool add = into == VT_ADD || b->first > 0;
    const bool whole = panel->columns % VT_LANES == 0 || into == VT_SET_PADDED;
    char *out =
        (char *)y->data + ((size_t)b->row * (size_t)y->ld + (size_t)column) * vt_elem_size(y->type);
    vt_real padded[VT_PANEL]; // vectors of bias may reach beyond its end
    bias = bias && !add ? bias + column : NULL;
    if (bias && panel->columns % VT_LANES != 0) {
        for (int c = 0; c < VT_PANEL; c++) padded[c] = 0;
        memcpy(padded, bias, (size_t)panel->columns * sizeof *bias);
        bias = padded;
    }
    if (!whole || (y->type != VT_REAL && (add || !panel->tiles)))
        compute_strips(b, panel, y, out, bias, add);
    else
        compute(b, panel, out, (size_t)y->ld, y->type, add ? (vt_real *)out : bias,
                add ? (size_t)y->ld : 0, 0, b->rows);
}

// A step of the panel that begins with `column`.
static size_t step_bytes(const tile_block *b, int n, int column)
{
    const int rest = n - column;
    return (size_t)vt_right_columns(rest < VT_PANEL ? rest : VT_PANEL, b->amx) * sizeof(vt_real);
}

// By every panel. steps: of the panels.
static void compute_panels(tile_block *b, const vt_panels *panels, size_t steps, const vt_rows *y,
                           const vt_real *bias, vt_into into)
{
    const char *panel = panels->data;
    for (int column = 0, next; column < panels->n; column = next) {
        const size_t step = step_bytes(b, panels->n, column);
        next = column + VT_PANEL;
        tile_panel p = {.data = panel + b->first * step,
                        .columns = (next < panels->n ? next : panels->n) - column};
        panel += steps * step;
        if (next < panels->n) {
            p.next_step = step_bytes(b, panels->n, next);
            p.next = panel + b->first * p.next_step;
        } else if (panels->next) {
            p.next_step = step_bytes(b, panels->n, 0);
            p.next = (const char *)panels->next + b->first * p.next_step;
        }
        if (!b->amx) p.tiles = &(*tiles_of(b->x))[0][vectors_of(p.columns) - 1];
        compute_block(b, &p, y, column, bias, into);
    }
}

void vt_product(vt_rows y, const vt_left *x, const vt_panels *panels, const vt_real *bias,
                vt_into into, int m)
{
    assert(x->type == panels->type && panels->width == VT_PANEL && x->parts == panels->parts &&
           !(bias && into == VT_ADD));
    const bool amx = x->type == VT_BFLOAT && vt_amx();
    tile_block b = {.x = x,
                    .amx = amx,
                    .most = amx ? VT_AMX_TILE_ROWS : VT_TILE_ROWS,
                    .terms = {.ld = x->ld,
                              .parts = x->parts,
                              .left_part = x->part_bytes,
                              .right_part = panels->part_bytes}};
    const int steps = (int)vt_panels_steps(panels->type, panels->k), unit = amx ? VT_AMX_PAIRS : 1;
    // Panels may have zeros after the last step, rows have not.
    const int last = x->by_column ? steps : (int)vt_steps(x->type, panels->k);
    // A sum that is rounded is rounded once.
    const int slices = y.type == VT_REAL ? (steps + BLOCK_STEPS - 1) / BLOCK_STEPS : 1;
    // The rows that are left over from whole registers are a block of their own.
    const int whole = amx ? m / VT_AMX_ROWS * VT_AMX_ROWS : m,
              blocks = (whole + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (int i = 0; i < blocks + (whole < m); i++) {
        b.row = i < blocks ? vt_share(whole, b.most, i, blocks) : whole;
        b.rows = (i < blocks ? vt_share(whole, b.most, i + 1, blocks) : m) - b.row;
        if (amx && (i == 0 || i == blocks))
            vt_amx_begin(b.rows < VT_AMX_ROWS ? b.rows : VT_AMX_ROWS);
        for (int slice = 0; slice < slices; slice++) {
            const int first = vt_share(steps, unit, slice, slices),
                      end = vt_share(steps, unit, slice + 1, slices);
            b.first = (size_t)first;
            b.terms.steps = (size_t)((end < last ? end : last) - first);
            b.left = (const char *)x->data +
                     b.first * (x->by_column ? x->ld : 1) * sizeof(vt_real) +
                     (size_t)b.row * x->row_bytes;
            compute_panels(&b, panels, (size_t)steps, &y, bias, into);
        }
    }
    if (amx) vt_amx_end();
}

int vt_share(int n, int multiple, int part, int parts)
{
    if (part == 0) return 0; // without a division
    if (part == parts) return n;
    const int64_t units = (n + multiple - 1) / multiple, at = units * part / parts * multiple;
    return at < n ? (int)at : n;
}

const char *vt_bf16_missing(void)
{
#if defined VT_DOUBLE
    return "this is the double build";
#elif defined VT_BF16_IN_C
    return NULL;
#elif defined __AVX512BF16__
    return __builtin_cpu_supports("avx512bf16") ? NULL : "this processor has no AVX512-BF16";
#else
    return "this build is for a processor without AVX512-BF16";
#endif
}

bool vt_bf16_pays(void)
{
#if defined __AVX512BF16__ && !defined VT_DOUBLE
    return !vt_bf16_missing() && (vt_amx() || __builtin_cpu_is("amd"));
#else
    return false;
#endif
}

const char *vt_product_describe(void)
{
#if defined __AVX512BF16__ && !defined VT_DOUBLE
    return vt_amx() ? "AVX-512 tiles, bf16 by AMX" : "AVX-512 and AVX512-BF16 tiles";
#elif defined VT_BF16_IN_C
    return "fp32 tiles, bf16 in plain C";
#elif defined __AVX512F__
    return "AVX-512 tiles";
#elif defined __FMA__
    return "AVX2 tiles";
#elif defined __AVX__
    return "AVX tiles";
#else
    return "128-bit tiles";
#endif
}
