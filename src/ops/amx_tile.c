// See amx_tile.h.
#include "amx_tile.h"

#if defined VT_AMX_BUILT && !defined VT_DOUBLE

#include <immintrin.h>

// Of the operands: a row of 16 pairs, and 16 such.
enum { ROW = VT_AMX_PAIRS * sizeof(uint32_t), BLOCK = VT_AMX_ROWS * ROW };

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
#define LOAD_RIGHT(vector) _tile_loadd(7, (right + (vector)*BLOCK), ROW)
    _tile_loadd(6, left, left_ld);
    LOAD_RIGHT(0);
    _tile_dpbf16ps(0, 6, 7);
    if (vectors > 1) {
        LOAD_RIGHT(1);
        _tile_dpbf16ps(1, 6, 7);
    }
    if (vectors > 2) {
        LOAD_RIGHT(2);
        _tile_dpbf16ps(2, 6, 7);
    }
    if (rows <= VT_AMX_ROWS) return;
    _tile_loadd(6, (left + below), left_ld); // and backwards, from the last one that is loaded
    if (vectors > 2) {
        _tile_dpbf16ps(5, 6, 7);
        LOAD_RIGHT(1);
    }
    if (vectors > 1) {
        _tile_dpbf16ps(4, 6, 7);
        LOAD_RIGHT(0);
    }
    _tile_dpbf16ps(3, 6, 7);
}

void vt_amx_tile(vt_real *c, size_t ldc, const vt_real *start, size_t ld_start,
                 const vt_tile_terms *terms, const vt_left *x, int rows, int vectors)
{
    const size_t from_row = x->by_column ? ROW : x->row_bytes, block = x->by_column ? BLOCK : ROW,
                 below = VT_AMX_ROWS * x->row_bytes, whole = terms->steps / VT_AMX_PAIRS,
                 over = terms->steps % VT_AMX_PAIRS;
#define START(sum, half, vector)                                                          \
    do {                                                                                  \
        if (start)                                                                        \
            _tile_loadd(sum, (start + (half)*VT_AMX_ROWS * ld_start + (vector)*VT_LANES), \
                        ld_start * sizeof *start);                                        \
        else                                                                              \
            _tile_zero(sum);                                                              \
    } while (0)
#define STORE(sum, half, vector) \
    _tile_stored(sum, (c + (half)*VT_AMX_ROWS * ldc + (vector)*VT_LANES), ldc * sizeof *c)
    __asm__ volatile("" : : : "memory");
    EACH_SUM(START);
    for (int part = 0; part < terms->parts; part++) {
        const char *left = terms->left + (size_t)part * terms->left_part,
                   *right = terms->right + (size_t)part * terms->right_part,
                   *ahead = terms->ahead + (size_t)part * terms->right_part;
        for (size_t i = 0; i < whole; i++, left += block, right += VT_TILE_VECTORS * BLOCK) {
            ahead = vt_fetch_ahead(ahead, VT_AMX_PAIRS * terms->pace);
            multiply(left, from_row, below, right, rows, vectors);
        }
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
                 const vt_tile_terms *terms, const vt_left *x, int rows, int vectors)
{
    (void)c, (void)ldc, (void)start, (void)ld_start, (void)terms, (void)x, (void)rows;
    (void)vectors;
}

#endif
