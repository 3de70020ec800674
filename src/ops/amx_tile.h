// A tile of a bf16 product in the matrix unit's registers (base/amx.h), where vt_amx(): two by
// three of sums, with one left and one right operand passing through.
//
// Panels are laid out for it: their steps are a multiple of 16, with zeros, and they consist of
// blocks as a register has them. Of a left panel, 16 rows of the product, the blocks of (16 rows,
// 16 steps) follow each other; of a right one, for every 16 steps, three of (16 steps, 16 columns).
//
// Tried (Emerald Rapids, one core, peak 2.97 TFLOP/s), k of 512: 2.87 TFLOP/s from the first-level
// cache whatever the shape, from the second 2.1; panels in blocks 2.7; two by two of sums 2.5, one
// by three 1.9. Stating shapes anew takes 75 ns, a store of six sums to the second-level cache 144
// ns.
#ifndef OPS_AMX_TILE_H
#define OPS_AMX_TILE_H

#include "tile.h"

#include "vitrain/base/amx.h"

enum { VT_AMX_TILE_ROWS = 2 * VT_AMX_ROWS };

// As vt_tile_fn, after vt_amx_begin: rows are as many, or 32 after 16. x: what terms->left is from.
void vt_amx_tile(vt_real *c, size_t ldc, const vt_real *start, size_t ld_start,
                 const vt_tile_terms *terms, const vt_left *x, int rows, int vectors);

#endif
