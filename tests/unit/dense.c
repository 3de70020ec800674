// The engine's operations on dense arrays; see the header.
#include "dense.h"

#include "numcheck.h"
#include "vitrain/base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *memory(size_t bytes)
{
    void *p = vt_alloc(bytes ? bytes : 1, 1);
    assert_non_null(p);
    return p;
}

static vt_attention settled(vt_attention at)
{
    if (at.R == 0) at.R = at.T;
    at.scale = (vt_real)(1 / sqrt((double)at.D));
    at.ldq = at.ldkv = 3 * at.H * at.D;
    return at;
}

void vt_dense_attention_forward(vt_real *y, vt_real *maps, const vt_real *qkv, vt_attention at)
{
    at = settled(at);
    const size_t C = (size_t)at.H * (size_t)at.D, ld = (size_t)vt_map_ld(at.T),
                 rows = (size_t)at.H * (size_t)at.R;
    vt_real *padded = memory(rows * ld * sizeof *padded);
    void *scratch = memory(vt_attention_scratch_bytes(&at));
    vt_attention_forward(y, padded, qkv, qkv + C, qkv + 2 * C, scratch, &at);
    for (size_t i = 0; i < rows; i++) {
        memcpy(maps + i * (size_t)at.T, padded + i * ld, (size_t)at.T * sizeof *maps);
        for (size_t j = (size_t)at.T; j < ld; j++) assert_true(padded[i * ld + j] == 0);
    }
    free(padded);
    free(scratch);
}

void vt_dense_attention_backward(vt_real *dqkv, vt_real *dbias, const vt_real *dy,
                                 const vt_real *qkv, const vt_real *maps, vt_attention at)
{
    at = settled(at);
    const size_t C = (size_t)at.H * (size_t)at.D, ld = (size_t)vt_map_ld(at.T),
                 rows = (size_t)at.H * (size_t)at.R;
    vt_real *padded = memory(rows * ld * sizeof *padded);
    void *scratch = memory(vt_attention_scratch_bytes(&at));
    for (size_t i = 0; i < rows; i++)
        memcpy(padded + i * ld, maps + i * (size_t)at.T, (size_t)at.T * sizeof *maps);
    for (size_t t = (size_t)at.R; t < (size_t)at.T; t++)
        memset(dqkv + t * 3 * C, 0, C * sizeof *dqkv);
    vt_attention_backward(dqkv, dqkv + C, dqkv + 2 * C, dbias, dy, qkv, qkv + C, qkv + 2 * C,
                          padded, scratch, &at);
    free(padded);
    free(scratch);
}

void vt_dense_hear(const vt_attn_hook *hook, vt_attn_view view, const vt_real *maps)
{
    view.R = view.ld = view.T;
    for (view.head = 0; view.head < view.H; view.head++) {
        view.map = maps + (size_t)view.head * (size_t)view.T * (size_t)view.T;
        hook->on_attention(hook->self, &view);
    }
}

static void *typed(const vt_real *x, size_t n, vt_elem type)
{
    void *out = memory((n + 1) * vt_elem_size(type)); // one more may be read
    vt_scale(out, type, 1, x, n);
    return out;
}

void vt_dense_product(void *y, vt_elem type_y, int ldy, vt_into into, const vt_real *a, vt_trans ta,
                      const vt_real *b, vt_trans tb, const vt_real *bias, vt_elem type, int m,
                      int n, int k)
{
    const vt_panels right =
        vt_panels_at(memory(vt_panels_bytes(type, k, n, false)), type, k, n, false);
    const vt_panels left =
        vt_panels_at(memory(vt_panels_bytes(type, k, m, true)), type, k, m, true);
    void *rows = typed(a, (size_t)m * (size_t)k, type);
    vt_panels_pack_all(&right, 0, b, VT_REAL, tb == VT_T ? k : n, tb, k);
    vt_left x;
    if (ta == VT_T && type == VT_REAL) {
        x = vt_left_columns(rows, m);
    } else if (ta == VT_T) {
        vt_panels_pack_all(&left, 0, rows, type, m, VT_N, k);
        x = vt_left_panels(&left, 0);
    } else {
        x = vt_left_rows(rows, type, k);
    }
    vt_product((vt_rows){y, type_y, ldy}, &x, &right, bias, into, m);
    free(right.data);
    free(left.data);
    free(rows);
}

vt_real vt_rounded(vt_real x)
{
    vt_bf16 stored;
    vt_scale(&stored, VT_BFLOAT, 1, &x, 1);
    const uint32_t bits = (uint32_t)stored << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (vt_real)value;
}
