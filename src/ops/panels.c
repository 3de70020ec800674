// Matrices laid out for the tiles: see ops.h for the layout. Copying is a percent of the product
// that follows: each number is used for tens of rows, or packed once a step.
#include "amx_tile.h"
#include "bf16.h"

#include <assert.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

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

static int columns_in_memory(vt_elem type, int n, bool left)
{
    if (!left) return vt_right_columns(n, by_amx(type));
    const int width = vt_panel_width(type, left);
    return (n + width - 1) / width * width;
}

size_t vt_panels_bytes(vt_elem type, int k, int n, bool left)
{
    return vt_panels_steps(type, k) * (size_t)columns_in_memory(type, n, left) * UNIT;
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

// A panel's columns, and how many there are in memory.
static int columns_of(const vt_panels *p, int panel)
{
    const int rest = p->n - panel * p->width;
    return rest < p->width ? rest : p->width;
}

static int width_of(const vt_panels *p, int panel)
{
    return columns_in_memory(p->type, columns_of(p, panel), p->width != VT_PANEL);
}

static void clear(void *to, size_t units)
{
    memset(to, 0, units * UNIT);
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

// The numbers of pair i.
VT_INLINE vt_real low_of(const void *pairs, size_t i)
{
    return (vt_real)vt_bf16_value((vt_bf16)((const uint32_t *)pairs)[i]);
}

VT_INLINE vt_real high_of(const void *pairs, size_t i)
{
    return (vt_real)vt_bf16_value((vt_bf16)(((const uint32_t *)pairs)[i] >> 16));
}

// Vectors of pairs; the compiler makes none of loops over a panel's width.
enum { EIGHT = 8 };
typedef vt_eight pairs;
typedef uint32_t pairs_loose __attribute__((vector_size(4 * EIGHT), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(4 * EIGHT)));

// 16 numbers as they are stored.
VT_INLINE void take(halves *out, const void *x, vt_elem from)
{
    if (from == VT_BFLOAT)
        memcpy(out, x, sizeof *out);
    else
        vt_put_all(out, VT_BFLOAT, x, 2 * EIGHT);
}

// The pairs of two rows' 16 columns.
VT_INLINE void interleave(pairs out[2], const void *row, const void *next, vt_elem from)
{
    halves x, y;
    take(&x, row, from);
    take(&y, next, from);
    out[0] =
        (pairs)VT_SHUFFLE(halves, x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    out[1] = (pairs)VT_SHUFFLE(halves, x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                               15, 31);
}

// Eight columns: for panels that are no wider.
typedef uint16_t eight_halves __attribute__((vector_size(2 * EIGHT)));

VT_INLINE void interleave_eight(uint32_t *out, const void *row, const void *next)
{
    eight_halves x, y, low, high;
    memcpy(&x, row, sizeof x);
    memcpy(&y, next, sizeof y);
    low = VT_SHUFFLE(eight_halves, x, y, 0, 8, 1, 9, 2, 10, 3, 11);
    high = VT_SHUFFLE(eight_halves, x, y, 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(out, &low, sizeof low);
    memcpy(out + EIGHT / 2, &high, sizeof high);
}

// ---- a panel, or some of its steps ----
//
// b: the panel's first number. Its rows lie as in the panel (VT_N), or are the panel's columns
// (VT_T). Sizes are constants where it matters: that is what makes vectors of these loops. Columns
// that are not there are left alone: they are zeros already.

VT_INLINE void pack_number_rows(vt_real *to, const vt_real *b, size_t ld, int k, int columns,
                                int width)
{
    for (int p = 0; p < k; p++, to += width, b += ld) {
        int c = 0;
        if (columns == width) {
            memcpy(to, b, (size_t)width * sizeof *to);
            continue;
        }
        for (; c + EIGHT <= columns; c += EIGHT) memcpy(to + c, b + c, EIGHT * sizeof *to);
        for (; c < columns; c++) to[c] = b[c];
    }
}

VT_INLINE void pack_number_columns(vt_real *to, const vt_real *b, size_t ld, int k, int columns,
                                   int width)
{
    const int units = sizeof *to == sizeof(uint32_t) ? EIGHT : 1; // what a transpose takes
    for (int p = 0, some; p < k; p += some, to += some * width, b += some) {
        int c = 0;
        some = k - p < units ? 1 : units;
        for (; some == EIGHT && c + EIGHT <= columns; c += EIGHT) {
            pairs block[EIGHT];
            UNROLL for (int i = 0; i < EIGHT; i++)
                memcpy(&block[i], b + (size_t)(c + i) * ld, sizeof block[i]);
            vt_transpose(block);
            UNROLL for (int i = 0; i < EIGHT; i++)
                memcpy(to + i * width + c, &block[i], sizeof block[i]);
        }
        for (; c < columns; c++)
            for (int i = 0; i < some; i++) to[i * width + c] = b[(size_t)c * ld + i];
    }
}

VT_INLINE void pack_numbers(vt_real *to, const vt_real *b, vt_trans trans, size_t ld, int k,
                            int columns, int width)
{
    if (trans == VT_N)
        pack_number_rows(to, b, ld, k, columns, width);
    else
        pack_number_columns(to, b, ld, k, columns, width);
}

// Where pairs go: a step is `step` of them after the one before, 16 columns `group` after the last
// ones.
typedef struct layout {
    int step, group;
} layout;

VT_INLINE int place_of(layout l, int column)
{
    return column / (2 * EIGHT) * l.group + column % (2 * EIGHT);
}

VT_INLINE void pack_rows(uint32_t *to, const void *b, size_t ld, int k, int columns, layout l,
                         vt_elem from)
{
    for (int p = 0; p < k; p += 2, to += l.step) {
        const void *row = vt_at(b, from, (size_t)p * ld), *next = vt_at(row, from, ld);
        int c = 0;
        if (p + 1 == k) next = NULL;
        for (pairs both[2]; next && c + 2 * EIGHT <= columns; c += 2 * EIGHT) {
            pairs_loose *out = (pairs_loose *)(to + place_of(l, c));
            interleave(both, vt_at(row, from, (size_t)c), vt_at(next, from, (size_t)c), from);
            out[0] = both[0], out[1] = both[1];
        }
        for (; next && from == VT_BFLOAT && c + EIGHT <= columns; c += EIGHT)
            interleave_eight(to + place_of(l, c), vt_at(row, from, (size_t)c),
                             vt_at(next, from, (size_t)c));
        for (; c < columns; c++) to[place_of(l, c)] = pair_of(row, next, from, (size_t)c);
    }
}

// Zeros beyond the columns: as many as make `width`.
VT_INLINE void pack_columns(uint32_t *to, const void *b, size_t ld, int k, int columns, int width,
                            layout l, vt_elem from)
{
    static const vt_real none[2 * EIGHT];
    for (int p = 0, c = 0; p < k; p += 2 * EIGHT, c = 0, to += EIGHT * l.step) {
        const int rest = k - p, steps = rest < 2 * EIGHT ? (rest + 1) / 2 : EIGHT;
        for (; rest >= 2 * EIGHT && c + EIGHT <= width; c += EIGHT) {
            uint32_t *out = to + place_of(l, c);
            pairs block[EIGHT];
            UNROLL for (int i = 0; i < EIGHT; i++) take(
                (halves *)&block[i],
                c + i < columns ? vt_at(b, from, (size_t)(c + i) * ld + (size_t)p) : none, from);
            vt_transpose(block);
            UNROLL for (int i = 0; i < EIGHT; i++) * (pairs_loose *)(out + i * l.step) = block[i];
        }
        for (; c < width; c++)
            for (int i = 0; i < steps; i++) {
                const void *x = vt_at(b, from, (size_t)c * ld + (size_t)(p + 2 * i));
                to[place_of(l, c) + i * l.step] =
                    c < columns ? pair_of(x, 2 * i + 1 < rest ? vt_at(x, from, 1) : NULL, from, 0)
                                : 0;
            }
    }
}

VT_INLINE void pack_pairs(uint32_t *to, const void *b, vt_trans trans, size_t ld, int k,
                          int columns, layout l, vt_elem from)
{
    if (trans == VT_N)
        pack_rows(to, b, ld, k, columns, l, from);
    else
        pack_columns(to, b, ld, k, columns, columns, l, from);
}

// ---- panels for AMX: see amx_tile.h ----

// A panel's (or a part's) block of a step, 16 of its columns from `column`.
VT_INLINE uint32_t *amx_block(uint32_t *panel, size_t steps, bool left, int column, size_t step)
{
    const size_t row = step / VT_AMX_PAIRS * VT_AMX_PAIRS, at = (size_t)column;
    return panel + (left ? at * steps + row * VT_AMX_ROWS : row * VT_PANEL + at * VT_AMX_PAIRS);
}

// Some steps of a left block, all in one half of it: k rows, then zeros, `rows` in all. b: the
// first column's first number.
VT_INLINE void pack_amx_rows(uint32_t *to, const void *b, vt_trans trans, size_t ld, int k,
                             int rows, int columns, vt_elem from)
{
    if (rows == 2 * EIGHT && columns >= VT_AMX_ROWS && trans == VT_N) {
        static const vt_real none[2 * EIGHT];
        pairs block[EIGHT][2], half[EIGHT];
        UNROLL for (int i = 0; i < EIGHT; i++)
            interleave(block[i], 2 * i < k ? vt_at(b, from, (size_t)(2 * i) * ld) : none,
                       2 * i + 1 < k ? vt_at(b, from, (size_t)(2 * i + 1) * ld) : none, from);
        UNROLL for (int side = 0; side < 2; side++)
        {
            UNROLL for (int i = 0; i < EIGHT; i++) half[i] = block[i][side];
            vt_transpose(half);
            UNROLL for (int i = 0; i < EIGHT; i++) *
                (pairs_loose *)(to + (side * EIGHT + i) * VT_AMX_PAIRS) = half[i];
        }
        return;
    }
    const size_t next = trans == VT_N ? ld : 1, across = trans == VT_N ? 1 : ld;
    for (int c = 0; c < VT_AMX_ROWS; c++)
        for (int p = 0; p < rows; p += 2) {
            const void *x = vt_at(b, from, (size_t)p * next + (size_t)c * across);
            to[c * VT_AMX_PAIRS + p / 2] =
                c < columns && p < k ? pair_of(x, p + 1 < k ? vt_at(x, from, next) : NULL, from, 0)
                                     : 0;
        }
}

VT_INLINE void pack_amx(const vt_panels *p, int panel, int at, const void *b, vt_elem from,
                        size_t ld, vt_trans trans, int k)
{
    const layout l = {VT_AMX_PAIRS, VT_AMX_ROWS * VT_AMX_PAIRS};
    const bool left = p->width != VT_PANEL;
    const int columns = columns_of(p, panel), unit = 2 * (left ? EIGHT : VT_AMX_PAIRS);
    const size_t steps = vt_panels_steps(p->type, p->k);
    uint32_t *to = (uint32_t *)p->data + (size_t)panel * (size_t)p->width * steps;
    const int end = at + k < p->k ? at + k : 2 * (int)steps; // after the last step come zeros
    for (int row = at, rows; row < end; row += rows) {
        const size_t step = (size_t)row / 2;
        const void *x = vt_at(b, from, (size_t)(row - at) * (trans == VT_N ? ld : 1));
        rows = end - row < unit - row % unit ? end - row : unit - row % unit;
        const int some = at + k - row < rows ? (row < at + k ? at + k - row : 0) : rows;
        uint32_t *block =
            amx_block(to, steps, left, 0, step) + step % VT_AMX_PAIRS * (left ? 1 : VT_AMX_PAIRS);
        if (left) {
            for (int c = 0; c < p->width; c += VT_AMX_ROWS)
                pack_amx_rows(block + (size_t)c * steps,
                              vt_at(x, from, (size_t)c * (trans == VT_N ? 1 : ld)), trans, ld, some,
                              rows, columns - c, from);
        } else if (columns == VT_PANEL && some == rows) {
            pack_pairs(block, x, trans, ld, some, VT_PANEL, l, from);
        } else {
            for (int c = 0; c < VT_PANEL; c += VT_AMX_ROWS)
                clear(block + place_of(l, c), vt_steps(p->type, rows) * VT_AMX_ROWS);
            pack_pairs(block, x, trans, ld, some, columns, l, from);
        }
    }
}

// Row `at` of a panel, of other processors.
VT_INLINE void *place_in(const vt_panels *p, int panel, int at)
{
    const size_t before = (size_t)panel * (size_t)p->width * vt_panels_steps(p->type, p->k);
    return (char *)p->data + (before + vt_steps(p->type, at) * (size_t)width_of(p, panel)) * UNIT;
}

// Of other processors. Widths are constants where it matters.
VT_INLINE void pack_bf16(const vt_panels *p, int panel, int at, const void *b, vt_elem from,
                         size_t ld, vt_trans trans, int k)
{
    const int width = width_of(p, panel), columns = columns_of(p, panel);
    uint32_t *to = place_in(p, panel, at);
    if (columns == VT_PANEL)
        pack_pairs(to, b, trans, ld, k, VT_PANEL, (layout){VT_PANEL, 2 * EIGHT}, from);
    else if (width == 2 * EIGHT && columns == 2 * EIGHT)
        pack_pairs(to, b, trans, ld, k, 2 * EIGHT, (layout){2 * EIGHT, 2 * EIGHT}, from);
    else if (width == VT_TILE_ROWS && columns == VT_TILE_ROWS)
        pack_pairs(to, b, trans, ld, k, VT_TILE_ROWS, (layout){VT_TILE_ROWS, 2 * EIGHT}, from);
    else if (trans == VT_T)
        pack_columns(to, b, ld, k, columns, width, (layout){width, 2 * EIGHT}, from);
    else {
        clear(to, vt_steps(p->type, k) * (size_t)width);
        pack_rows(to, b, ld, k, columns, (layout){width, 2 * EIGHT}, from);
    }
}

VT_INLINE void pack_real(const vt_panels *p, int panel, int at, const vt_real *b, size_t ld,
                         vt_trans trans, int k)
{
    const int width = width_of(p, panel), columns = columns_of(p, panel);
    vt_real *to = place_in(p, panel, at);
    if (columns == VT_PANEL)
        pack_numbers(to, b, trans, ld, k, VT_PANEL, VT_PANEL);
    else if (width == VT_TILE_ROWS && columns == VT_TILE_ROWS)
        pack_numbers(to, b, trans, ld, k, VT_TILE_ROWS, VT_TILE_ROWS);
    else {
        clear(to, (size_t)k * (size_t)width);
        pack_numbers(to, b, trans, ld, k, columns, width);
    }
}

void vt_panels_pack(const vt_panels *p, int panel, int at, const void *b, vt_elem from, int ld,
                    vt_trans trans, int k)
{
    assert(at >= 0 && at + k <= p->k && (p->type == VT_REAL || at % 2 == 0));
    assert(p->type == VT_BFLOAT || from == VT_REAL);
    const size_t rows = (size_t)ld;
    b = vt_at(b, from, (size_t)panel * (size_t)p->width * (trans == VT_N ? 1 : rows));
    if (p->type == VT_REAL)
        pack_real(p, panel, at, b, rows, trans, k);
    else if (vt_amx() && from == VT_REAL)
        pack_amx(p, panel, at, b, VT_REAL, rows, trans, k);
    else if (vt_amx())
        pack_amx(p, panel, at, b, VT_BFLOAT, rows, trans, k);
    else if (from == VT_REAL)
        pack_bf16(p, panel, at, b, VT_REAL, rows, trans, k);
    else
        pack_bf16(p, panel, at, b, VT_BFLOAT, rows, trans, k);
}

// Panels that are read long after, in memory by then, are written past the caches, which otherwise
// would fetch every line first: some rows of one panel at a time are packed nearby and streamed. As
// many rows as fill the blocks of AMX. (DeiT-S on a Xeon of 2 MB of second-level cache a core: 3%
// of a step in fp32, 5% in bf16; the 28-px model: 1%, on two Zen 4 cores 9%. AVX2 has left panels
// of other widths than vectors.)
enum { FAR_ROWS = 2 * VT_AMX_PAIRS };
#ifdef __AVX512F__
enum { STREAMS = true };

static void stream(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(__m256i))
        _mm256_stream_si256((__m256i *)((char *)to + i),
                            *(const __m256i *)((const char *)from + i));
}

static void end_stream(void)
{
    _mm_sfence();
}
#else
enum { STREAMS = false };
#define stream memcpy
#define end_stream() ((void)0)
#endif

// A few rows at a time: as many cache lines as stay in the first level's smallest corner, since
// rows are often a multiple of 2 KiB apart.
enum { PACK_ROWS = 16 };

// Whole panels of numbers that need no rounding: copies of `width` numbers, the width a constant.
VT_INLINE void copy_rows(const vt_panels *p, int at, const vt_real *b, size_t ld, int k, int width)
{
    const size_t panel = (size_t)p->k * (size_t)width;
    vt_real *first = (vt_real *)p->data + (size_t)at * (size_t)width;
    for (int i = 0; i < p->n / width; i++, first += panel, b += width)
        pack_number_rows(first, b, ld, k, width, width);
}

// Two left panels of eight columns at a time: a vector's worth.
VT_INLINE void interleave_panels(const vt_panels *p, int at, const void *b, size_t ld, int k,
                                 bool far, vt_elem from)
{
    static const vt_real none[2 * EIGHT];
    const size_t panel = vt_panels_steps(p->type, p->k);
    pairs *first = (pairs *)p->data + vt_steps(p->type, at);
    for (int i = 0; i + 1 < p->n / EIGHT; i += 2, first += 2 * panel, b = vt_at(b, from, 2 * EIGHT))
        for (int row = 0; row < k; row += 2) {
            const void *x = vt_at(b, from, (size_t)row * ld);
            pairs both[2], *to = first + row / 2;
            interleave(both, x, row + 1 < k ? vt_at(x, from, ld) : none, from);
            if (far) {
                stream(to, &both[0], sizeof *to);
                stream(to + panel, &both[1], sizeof *to);
            } else {
                to[0] = both[0], to[panel] = both[1];
            }
        }
}

// Whole panels, rows as they lie; returns how many are done.
static int pack_whole_panels(const vt_panels *p, int at, const void *b, vt_elem from, size_t ld,
                             int k, bool far)
{
    if (p->type == VT_REAL && !far) {
        if (p->width == VT_TILE_ROWS)
            copy_rows(p, at, b, ld, k, VT_TILE_ROWS);
        else
            copy_rows(p, at, b, ld, k, VT_PANEL);
        return p->n / p->width;
    }
    if (p->type != VT_BFLOAT || p->width != EIGHT || by_amx(p->type)) return 0;
    VT_FOR_TYPE(interleave_panels, from, p, at, b, ld, k, far);
    return p->n / EIGHT / 2 * 2;
}

// b: the panel's first number.
static void pack_far(const vt_panels *p, int panel, int at, const void *b, vt_elem from, int ld,
                     vt_trans trans, int k)
{
    vt_real near[FAR_ROWS * VT_PANEL] __attribute__((aligned(64)));
    const bool left = p->width != VT_PANEL;
    const int first = panel * p->width, width = width_of(p, panel);
    const vt_panels few = vt_panels_at(near, p->type, k, columns_of(p, panel), left);
    const size_t steps = vt_panels_steps(p->type, k), row = vt_panels_steps(p->type, p->k) * UNIT;
    vt_panels_pack(&few, 0, 0, b, from, ld, trans, k);
    // A left panel for AMX is two columns of blocks.
    const int across = left && by_amx(p->type) ? VT_AMX_ROWS : width;
    for (int c = 0; c < width; c += across)
        stream((char *)p->data + (size_t)(first + c) * row +
                   vt_steps(p->type, at) * (size_t)across * UNIT,
               (const char *)near + (size_t)c * steps * UNIT, steps * (size_t)across * UNIT);
}

void vt_panels_pack_all(const vt_panels *p, int at, const void *b, vt_elem from, int ld,
                        vt_trans trans, int k)
{
    const bool far = STREAMS && p->far && at % FAR_ROWS == 0;
    const size_t next = trans == VT_N ? (size_t)ld : 1, across = trans == VT_N ? 1 : (size_t)ld;
    const int panels = vt_panels_count(p), near = trans == VT_N && panels > 1 ? PACK_ROWS : k,
              rows = far ? FAR_ROWS : near;
    for (int first = 0; first < k; first += rows) {
        const int count = k - first < rows ? k - first : rows;
        const void *row = vt_at(b, from, (size_t)first * next);
        int i = trans == VT_N ? pack_whole_panels(p, at + first, row, from, next, count, far) : 0;
        for (; i < panels; i++)
            if (far)
                pack_far(p, i, at + first, vt_at(row, from, (size_t)(i * p->width) * across), from,
                         ld, trans, count);
            else
                vt_panels_pack(p, i, at + first, row, from, ld, trans, count);
    }
    if (far) end_stream();
}

VT_INLINE vt_real of_step(const void *panel, size_t at, vt_elem type)
{
    return type == VT_REAL ? vt_get(panel, type, at) : low_of(panel, at) + high_of(panel, at);
}

// sum: (columns) += . Four sums at a time: each waits for its last addition.
VT_INLINE void sum_panel(vt_real *sum, const void *panel, size_t steps, int columns, int width,
                         vt_elem type)
{
    enum { CHAINS = 4 };
    const size_t w = (size_t)width;
    vt_real sums[CHAINS][VT_PANEL + VT_TILE_ROWS] = {0}; // either is the wider one
    size_t s = 0;
    for (; s + CHAINS <= steps; s += CHAINS)
        UNROLL for (size_t h = 0; h < CHAINS; h++) for (size_t i = 0; i < w; i++) sums[h][i] +=
            of_step(panel, (s + h) * w + i, type);
    for (; s < steps; s++)
        for (size_t i = 0; i < w; i++) sums[0][i] += of_step(panel, s * w + i, type);
    for (int i = 0; i < columns; i++)
        sum[i] += (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
}

VT_INLINE void add_column_sums(vt_real *sums, const vt_panels *p, int first, int count,
                               vt_elem type)
{
    const size_t steps = vt_panels_steps(type, p->k);
    for (int c = first; c < first + count; c += p->width) {
        const int left = first + count - c, columns = left < p->width ? left : p->width,
                  width = width_of(p, c / p->width);
        for (int part = 0; part < p->parts; part++) {
            const char *panel =
                (const char *)p->data + (size_t)c * steps * UNIT + (size_t)part * p->part_bytes;
            if (width == VT_TILE_ROWS) // known to the compiler
                sum_panel(sums + c, panel, steps, columns, VT_TILE_ROWS, type);
            else
                sum_panel(sums + c, panel, steps, columns, width, type);
        }
    }
}

static void add_amx_column_sums(vt_real *sums, const vt_panels *p, int first, int count)
{
    const bool left = p->width != VT_PANEL;
    const size_t steps = vt_panels_steps(p->type, p->k);
    for (int c = first; c < first + count; c += VT_AMX_ROWS) {
        vt_real sum[VT_AMX_ROWS][VT_AMX_PAIRS] = {0}; // as a block
        for (int part = 0; part < p->parts; part++) {
            uint32_t *panel = (uint32_t *)p->data + (size_t)(c - c % p->width) * steps +
                              (size_t)part * p->part_bytes / UNIT;
            for (size_t s = 0; s < steps; s += VT_AMX_PAIRS) {
                const uint32_t *block = amx_block(panel, steps, left, c % p->width, s);
                for (size_t i = 0; i < VT_AMX_ROWS; i++)
                    for (size_t j = 0; j < VT_AMX_PAIRS; j++)
                        sum[i][j] += low_of(block, i * VT_AMX_PAIRS + j) +
                                     high_of(block, i * VT_AMX_PAIRS + j);
            }
        }
        for (int i = 0; i < VT_AMX_ROWS; i++)
            for (int j = 0; j < VT_AMX_PAIRS; j++) {
                const int column = c + (left ? i : j);
                if (column < first + count) sums[column] += sum[i][j];
            }
    }
}

void vt_panels_column_sums(vt_real *sums, const vt_panels *p, int first, int count)
{
    assert(first % p->width == 0);
    if (by_amx(p->type)) {
        add_amx_column_sums(sums, p, first, count);
        return;
    }
    VT_FOR_TYPE(add_column_sums, p->type, sums, p, first, count);
}
