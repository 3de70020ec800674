// The tiles, a function for each shape; see tile.h.
#include "tile.h"

#include "bf16.h"

#include <stdatomic.h>

static inline vt_vec multiply_add(vt_vec sum, vt_vec a, vt_vec b)
{
    return sum + a * b;
}

// Sizes are literals in each instance: all arrays but the left pointers' live in registers. Tiles
// of one or two rows, or of one vector (Zen 5: a tenth of their time), have too few sums to keep
// the multipliers busy, so theirs are split into `chains`, of every such step each.
//
// Rounds of eight steps. A step's bookkeeping is a fifth of its instructions with AVX2, which is
// nothing to a core of its own and everything to one with a busy neighbour (Zen 3, a shared
// machine, products of DeiT-S, tiles of 4 x 3: 80 instead of 73 GFLOP/s of 100 by rounds of four,
// 82 by rounds of eight, no more by rounds of sixteen; in quiet moments 95 to 99 either way). With
// AVX-512 on a shared Xeon a step of DeiT-S is 4% faster by rounds of eight than by single steps;
// the loop is then at 98% of multiply-adds from registers alone. GCC 12 puts new sums where
// operands were, unless these are kept, and moves them about; by way of the stack a sum takes
// longer than its round.
#ifdef __FMA__
enum { ROUND = 8 };
#define KEEP(vector) __asm__("" : : "v"(vector))
#else
enum { ROUND = 1 };
#define KEEP(vector) (void)(vector)
#endif
#define STEPS_OF(chains) ((chains) > ROUND ? (chains) : ROUND)

// One step of k: panel moves on.
#define STEP(rows, vectors, vector, dot, left, sums)                                        \
    {                                                                                       \
        vector b[vectors];                                                                  \
        UNROLL for (int j = 0; j < vectors; j++) b[j] = panel[j];                           \
        UNROLL for (int i = 0; i < rows; i++)                                               \
        {                                                                                   \
            atomic_signal_fence(memory_order_seq_cst); /* loads stay where they are */      \
            const vector a = left - (vector){0};                                            \
            UNROLL for (int j = 0; j < vectors; j++) sums[i][j] = dot(sums[i][j], a, b[j]); \
            KEEP(a);                                                                        \
        }                                                                                   \
        panel += vectors;                                                                   \
        UNROLL for (int j = 0; j < vectors; j++) KEEP(b[j]);                                \
    }

#define PUT_ALL(type, rows, vectors)                                            \
    do {                                                                        \
        char *line = c;                                                         \
        UNROLL for (int i = 0; i < rows; i++, line += ldc * vt_elem_size(type)) \
            UNROLL for (size_t j = 0; j < vectors; j++)                         \
                vt_put_vec(line, type, j *VT_LANES, sum[0][i][j]);              \
    } while (0)

// What is written for the first time in a while is fetched while the sums grow: 2% of a step.
#define FETCH_ALL(size, rows, vectors)                                                          \
    do {                                                                                        \
        const size_t row = ldc * (size), next = VT_LANES * (size);                              \
        const char *line = c;                                                                   \
        UNROLL for (int i = 0; i < rows; i++, line += row)                                      \
            UNROLL for (size_t j = 0; j < vectors; j++) __builtin_prefetch(line + j * next, 1); \
    } while (0)

#define TILE(name, rows, vectors, chains, unit, vector, dot, LEFT)                                 \
    static void name(void *c, size_t ldc, const vt_real *start, size_t ld_start,                   \
                     const vt_tile_terms *terms)                                                   \
    {                                                                                              \
        const size_t steps = terms->steps, ld = terms->ld, pace = terms->pace;                     \
        FETCH_ALL(terms->round ? sizeof(vt_bf16) : sizeof(vt_real), rows, vectors);                \
        vt_vec sum[chains][rows][vectors];                                                         \
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)             \
        {                                                                                          \
            sum[0][i][j] = start ? vt_vec_at(start + (size_t)i * ld_start + (size_t)j * VT_LANES)  \
                                 : (vt_vec){0};                                                    \
            UNROLL for (int h = 1; h < chains; h++) sum[h][i][j] = (vt_vec){0};                    \
        }                                                                                          \
        for (int part = 0; part < terms->parts; part++) {                                          \
            const unit *from = (const void *)(terms->left + (size_t)part * terms->left_part);      \
            const vector *panel = (const void *)(terms->right + (size_t)part * terms->right_part); \
            const char *ahead = terms->ahead + (size_t)part * terms->right_part;                   \
            size_t p = 0;                                                                          \
            for (; p + STEPS_OF(chains) <= steps; p += STEPS_OF(chains)) {                         \
                UNROLL for (int h = 0; h < STEPS_OF(chains); h++)                                  \
                    STEP(rows, vectors, vector, dot, LEFT(p + (size_t)h), sum[h % chains]);        \
                if (rows != VT_TILE_ROWS) continue;                                                \
                ahead = vt_fetch_ahead(ahead, STEPS_OF(chains) * pace);                            \
                LEFT##_AHEAD(STEPS_OF(chains) * rows * sizeof(unit));                              \
            }                                                                                      \
            for (; p < steps; p++) STEP(rows, vectors, vector, dot, LEFT(p), sum[0]);              \
        }                                                                                          \
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)             \
            UNROLL for (int h = 1; h < chains; h++) sum[0][i][j] += sum[h][i][j];                  \
        if (terms->round)                                                                          \
            PUT_ALL(VT_BFLOAT, rows, vectors);                                                     \
        else                                                                                       \
            PUT_ALL(VT_REAL, rows, vectors);                                                       \
    }

#define BY_ROW(step) from[(size_t)i * ld + (step)]
#define BY_COLUMN(step) from[(step)*ld + (size_t)i]

// Weight gradients: each part of a left panel lies elsewhere in memory, and the processor is slow
// to see where. So the part that follows is fetched meanwhile (28-px model, Zen 5: such tiles take
// 30% less).
#define BY_ROW_AHEAD(bytes) (void)0
#define BY_COLUMN_AHEAD(bytes) \
    if (terms->left_part) vt_fetch_ahead((const char *)(from + p * ld) + terms->left_part, bytes)

#define TWO_TILES(kind, rows, chains, unit, vector, dot)                             \
    TILE(kind##_r_##rows##_1, rows, 1, (2 * (chains)), unit, vector, dot, BY_ROW)    \
    TILE(kind##_r_##rows##_2, rows, 2, chains, unit, vector, dot, BY_ROW)            \
    TILE(kind##_c_##rows##_1, rows, 1, (2 * (chains)), unit, vector, dot, BY_COLUMN) \
    TILE(kind##_c_##rows##_2, rows, 2, chains, unit, vector, dot, BY_COLUMN)
#define TWO(kind, form, rows) kind##_##form##_##rows##_1, kind##_##form##_##rows##_2

#if VT_VECTOR_REGISTERS == 32
#define TILES(kind, rows, chains, unit, vector, dot)                      \
    TWO_TILES(kind, rows, chains, unit, vector, dot)                      \
    TILE(kind##_r_##rows##_3, rows, 3, chains, unit, vector, dot, BY_ROW) \
    TILE(kind##_c_##rows##_3, rows, 3, chains, unit, vector, dot, BY_COLUMN)
#define ROW(kind, form, rows)                             \
    {                                                     \
        TWO(kind, form, rows), kind##_##form##_##rows##_3 \
    }
#define TILES_BEYOND_SIX(kind, unit, vector, dot) \
    TILES(kind, 7, 1, unit, vector, dot)          \
    TILES(kind, 8, 1, unit, vector, dot)
#define ROWS_BEYOND_SIX(kind, form) , ROW(kind, form, 7), ROW(kind, form, 8)
#else
#define TILES TWO_TILES
#define ROW(kind, form, rows) \
    {                         \
        TWO(kind, form, rows) \
    }
#define TILES_BEYOND_SIX(kind, unit, vector, dot)
#define ROWS_BEYOND_SIX(kind, form)
#endif

#define ALL_TILES(kind, unit, vector, dot) \
    TILES(kind, 1, 4, unit, vector, dot)   \
    TILES(kind, 2, 2, unit, vector, dot)   \
    TILES(kind, 3, 1, unit, vector, dot)   \
    TILES(kind, 4, 1, unit, vector, dot)   \
    TILES(kind, 5, 1, unit, vector, dot)   \
    TILES(kind, 6, 1, unit, vector, dot)   \
    TILES_BEYOND_SIX(kind, unit, vector, dot)
#define TABLE(kind, form)                                                               \
    {                                                                                   \
        ROW(kind, form, 1), ROW(kind, form, 2), ROW(kind, form, 3), ROW(kind, form, 4), \
            ROW(kind, form, 5), ROW(kind, form, 6) ROWS_BEYOND_SIX(kind, form)          \
    }

ALL_TILES(real, vt_real, vt_vec, multiply_add)
vt_tile_table vt_tiles_real_rows = TABLE(real, r);
vt_tile_table vt_tiles_real_columns = TABLE(real, c);

#ifndef VT_DOUBLE

#if defined __AVX512BF16__
static inline vt_vec dot_pairs(vt_vec sum, vt_vec_pair a, vt_vec_pair b)
{
    return (vt_vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#else
// A bf16 is the upper half of a float, so the two numbers of a pair are a shift and a mask away.
static inline vt_vec dot_pairs(vt_vec sum, vt_vec_pair a, vt_vec_pair b)
{
    sum += (vt_vec)(a << 16) * (vt_vec)(b << 16);
    return sum + (vt_vec)(a & 0xffff0000u) * (vt_vec)(b & 0xffff0000u);
}
#endif

// A row's pairs begin at any even address.
typedef uint32_t pair __attribute__((aligned(2), may_alias));

ALL_TILES(bf16, pair, vt_vec_pair, dot_pairs)
vt_tile_table vt_tiles_bf16_rows = TABLE(bf16, r);
vt_tile_table vt_tiles_bf16_columns = TABLE(bf16, c);

#endif
