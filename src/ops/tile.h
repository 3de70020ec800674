// The inner loop of every large product: a tile of C, a few rows by a few vectors, kept in
// registers while k goes by. Vectors are the compiler's own (GCC, Clang), so this is plain C for
// any processor; the one thing that needs an intrinsic is the dot product of bf16 pairs, and there
// is C for it where the processor has none.
//
// The left operand is broadcast number by number, straight from rows (or columns) as they lie; the
// right operand is a panel: VT_PANEL columns side by side, k after k. A step of k is one row of
// vt_real, or two of bf16 (a pair of numbers in 32 bits), so that both types have the same loop.
//
// Tried (products of DeiT-S, 256-bit vectors, GFLOP/s of 100 a thread): Zen 2, one thread, 4 rows x
// 3 vectors 91 to 97, 6 x 2 (BLIS's shape) 85 to 97, OpenBLAS 0.3.21, which packs both operands at
// each call, 73 to 89. Zen 3, two threads, kept to 70 to 90 by its neighbours: 6 x 2 is 2% faster
// than 4 x 3, the product of shares and values 8%; a panel of 384 steps is 24 KB, not 36, and 64
// columns are whole panels.
#ifndef OPS_TILE_H
#define OPS_TILE_H

#include "lanes.h"
#include "vitrain/ops/ops.h"

// Rows x vectors of accumulators, the right operand's vectors and one broadcast fill the registers:
// 6 x 2 of 16, 8 x 3 of 32.
enum {
    VT_TILE_ROWS = VT_VECTOR_REGISTERS == 32 ? 8 : 6,
    VT_TILE_VECTORS = VT_VECTOR_REGISTERS == 32 ? 3 : 2,
    VT_PANEL = VT_TILE_VECTORS * VT_LANES
};

// Loops over a tile's or a block's rows, all of them: their arrays live in registers.
#define UNROLL _Pragma("GCC unroll 32")

#ifndef VT_DOUBLE
typedef uint32_t vt_vec_pair __attribute__((vector_size(VT_VECTOR_BYTES), may_alias));
#endif

// Columns in memory of right panels of n: the last one ends with a vector, or is whole. (Divisors
// are constants.)
static inline int vt_right_columns(int n, bool whole)
{
    return whole ? (n + VT_PANEL - 1) / VT_PANEL * VT_PANEL
                 : (n + VT_LANES - 1) / VT_LANES * VT_LANES;
}

// Steps that k numbers of a row or column take.
static inline size_t vt_steps(vt_elem type, int k)
{
    return type == VT_BFLOAT ? ((size_t)k + 1) / 2 : (size_t)k;
}

// What a tile sums up: rows or columns times a panel, in several parts.
typedef struct vt_tile_terms {
    const char *left; // a row's numbers (or a step's, `by_column`) ld apart, in units of a step
    size_t ld;
    const char *right; // a panel
    size_t steps;
    int parts;
    size_t left_part, right_part; // bytes from a part to the next one
    // A whole tile fetches memory of the next panel meanwhile, this many bytes a step; it lies in
    // parts as the panel does. Of a left panel in parts it fetches the next part.
    const char *ahead;
    size_t pace;
    bool round; // the result is bf16
} vt_tile_terms;

// Fetches so many bytes from `ahead`; where it goes on.
static inline const char *vt_fetch_ahead(const char *ahead, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(ahead + at, 0, 2);
    return ahead + bytes;
}

// c: (rows, vectors x VT_LANES) of vt_real or bf16 = start + left right. start: the tile's first
// values, rows ld_start apart (0: a bias), or NULL; may be c. Whole vectors are written.
typedef void vt_tile_fn(void *c, size_t ldc, const vt_real *start, size_t ld_start,
                        const vt_tile_terms *terms);

// [rows - 1][vectors - 1]
typedef vt_tile_fn *const vt_tile_table[VT_TILE_ROWS][VT_TILE_VECTORS];
extern vt_tile_table vt_tiles_real_rows, vt_tiles_real_columns;
extern vt_tile_table vt_tiles_bf16_rows, vt_tiles_bf16_columns;

#endif
