// A linear layer taken apart by heads, for few rows; see ops.h. Weights are read as they lie:
// packing them, or a call of BLAS for each head of a few rows, takes longer than the products
// themselves.
#include "bf16.h"
#include "tile.h"

// What is summed up at a time, in registers.
enum { VECTORS = 4, BLOCK = VECTORS * VT_LANES };

// y: (C) = x w; x: (D), w: (D,C).
VT_INLINE void widen_row(void *y, const vt_real *x, const vt_real *w, int D, int C, vt_elem type)
{
    const size_t ld = (size_t)C;
    size_t c = 0;
    for (; c + BLOCK <= ld; c += BLOCK) {
        vt_vec sums[VECTORS] = {0};
        for (size_t d = 0; d < (size_t)D; d++)
            UNROLL for (size_t j = 0; j < VECTORS; j++) sums[j] +=
                x[d] * vt_vec_at(w + d * ld + c + j * VT_LANES);
        UNROLL for (size_t j = 0; j < VECTORS; j++) vt_put_vec(y, type, c + j * VT_LANES, sums[j]);
    }
    for (; c < ld; c++) {
        vt_real sum = 0;
        for (size_t d = 0; d < (size_t)D; d++) sum += x[d] * w[d * ld + c];
        vt_put(y, type, c, sum);
    }
}

VT_INLINE void widen(void *y, vt_real *kept, const void *x, const vt_real *w, int M, int H, int D,
                     int C, vt_elem type)
{
    for (int h = 0; h < H; h++)
        for (int m = 0; m < M; m++) {
            const size_t i = (size_t)(m * H + h), from = i * (size_t)D;
            for (size_t d = 0; d < (size_t)D; d++) kept[from + d] = vt_get(x, type, from + d);
            widen_row(vt_at(y, type, i * (size_t)C), kept + from, w + (size_t)(h * D) * (size_t)C,
                      D, C, type);
        }
}

void vt_heads_widen(void *y, vt_real *kept, const void *x, vt_elem type, const vt_real *w, int M,
                    int H, int D, int C)
{
    VT_FOR_TYPE(widen, type, y, kept, x, w, M, H, D, C);
}

VT_INLINE vt_real dot(const vt_real *x, const vt_real *y, size_t n)
{
    vt_vec sums[2] = {0};
    vt_real rest = 0;
    size_t i = 0;
    for (; i + 2 * VT_LANES <= n; i += 2 * VT_LANES)
        for (size_t j = 0; j < 2; j++)
            sums[j] += vt_vec_at(x + i + j * VT_LANES) * vt_vec_at(y + i + j * VT_LANES);
    for (; i < n; i++) rest += x[i] * y[i];
    return vt_lanes_sum(sums[0] + sums[1]) + rest;
}

VT_INLINE void narrow(void *y, vt_real *kept, const void *x, const vt_real *w, const vt_real *b,
                      int M, int H, int D, int C, vt_elem type)
{
    const size_t n = (size_t)C;
    for (int h = 0; h < H; h++)
        for (int m = 0; m < M; m++) {
            const size_t i = (size_t)(m * H + h), first = (size_t)(h * D); // of w's rows
            vt_real *row = kept + i * n;
            for (size_t c = 0; c < n; c++) row[c] = vt_get(x, type, i * n + c);
            for (size_t d = 0; d < (size_t)D; d++)
                vt_put(y, type, i * (size_t)D + d,
                       dot(row, w + (first + d) * n, n) + (b ? b[first + d] : 0));
        }
}

void vt_heads_narrow(void *y, vt_real *kept, const void *x, vt_elem type, const vt_real *w,
                     const vt_real *b, int M, int H, int D, int C)
{
    VT_FOR_TYPE(narrow, type, y, kept, x, w, b, M, H, D, C);
}
