// See amx_tile.h.
#include "amx_tile.h"

#if defined __AMX_BF16__ && !defined VT_DOUBLE

#include <immintrin.h>

enum { STEP = sizeof(uint32_t), LEFT = 6, RIGHT = 7 };
static const size_t PANEL_STEP = VT_PANEL * STEP, VECTOR = VT_LANES * sizeof(vt_real);

// The sums of a tile's upper half are registers 0 to 2, the lower half's 3 to 5.
#define EACH_SUM(does)                      \
    do {                                    \
        does(0, 0, 0);                      \
        if (vectors > 1) does(1, 0, 1);     \
        if (vectors > 2) does(2, 0, 2);     \
        if (rows > VT_AMX_ROWS) {           \
            does(3, 1, 0);                  \
            if (vectors > 1) does(4, 1, 1); \
            if (vectors > 2) does(5, 1, 2); \
        }                                   \
    } while (0)

// A block of steps. left: rows left_ld bytes apart, the lower half `below` further on.
static inline void multiply(const char *left, size_t left_ld, size_t below, const char *right,
                            int rows, int vectors)
{
#define MULTIPLY(sum, half, vector)                          \
    do {                                                     \
        _tile_loadd(7, right + (vector)*VECTOR, PANEL_STEP); \
        _tile_dpbf16ps(sum, 6, 7);                           \
    } while (0)
    _tile_loadd(6, left, left_ld);
    MULTIPLY(0, 0, 0);
    if (vectors > 1) MULTIPLY(1, 0, 1);
    if (vectors > 2) MULTIPLY(2, 0, 2);
    if (rows <= VT_AMX_ROWS) return;
    _tile_loadd(6, left + below, left_ld);
    if (vectors > 2) MULTIPLY(5, 1, 2);
    if (vectors > 1) MULTIPLY(4, 1, 1);
    MULTIPLY(3, 1, 0);
}

void vt_amx_tile(vt_real *c, size_t ldc, const vt_real *start, size_t ld_start,
                 const vt_tile_terms *terms, const vt_left *x, int rows, int vectors)
{
    const size_t from_row = x->by_column ? VT_AMX_PAIRS * STEP : x->row_bytes,
                 block = x->by_column ? VT_AMX_ROWS * VT_AMX_PAIRS * STEP : VT_AMX_PAIRS * STEP,
                 below = VT_AMX_ROWS * x->row_bytes, whole = terms->steps / VT_AMX_PAIRS,
                 over = terms->steps % VT_AMX_PAIRS;
#define START(sum, half, vector)                                                        \
    do {                                                                                \
        if (start)                                                                      \
            _tile_loadd(sum, start + (half)*VT_AMX_ROWS * ld_start + (vector)*VT_LANES, \
                        ld_start * sizeof *start);                                      \
        else                                                                            \
            _tile_zero(sum);                                                            \
    } while (0)
#define STORE(sum, half, vector) \
    _tile_stored(sum, c + (half)*VT_AMX_ROWS * ldc + (vector)*VT_LANES, ldc * sizeof *c)
    __asm__ volatile("" : : : "memory");
    EACH_SUM(START);
    for (int part = 0; part < terms->parts; part++) {
        const char *left = terms->left + (size_t)part * terms->left_part,
                   *right = terms->right + (size_t)part * terms->right_part;
        for (size_t i = 0; i < whole; i++, left += block, right += VT_AMX_PAIRS * PANEL_STEP)
            multiply(left, from_row, below, right, rows, vectors);
        if (over == 0) continue;
        // Rows end here, whatever comes after them; the panel goes on with zeros.
        uint32_t last[VT_AMX_TILE_ROWS][VT_AMX_PAIRS] __attribute__((aligned(64)));
        for (int i = 0; i < rows; i++)
            _mm512_store_si512(last[i], _mm512_maskz_loadu_epi32((__mmask16)((1u << over) - 1),
                                                                 left + (size_t)i * x->row_bytes));
        __asm__ volatile("" : : "r"(last) : "memory");
        multiply((const char *)last, sizeof last[0], VT_AMX_ROWS * sizeof last[0], right, rows,
                 vectors);
        __asm__ volatile("" : : "r"(last) : "memory"); // the next part's rows come after these
    }
    EACH_SUM(STORE);
}

#else

void vt_amx_tile(vt_real *c, size_t ldc, const vt_real *start, size_t ld_start,
                 const vt_tile_terms *terms, const vt_left *left, int rows, int vectors)
{
    (void)c, (void)ldc, (void)start, (void)ld_start, (void)terms, (void)left, (void)rows;
    (void)vectors;
}

#endif
