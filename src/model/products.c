// The products of linear layers (ops/linear.c) and of attention (ops/attention.c).
#include "products.h"

#include <assert.h>
#include <stdio.h>

static void add(vt_product_list *list, const char *name, const char *what, vt_product product)
{
    assert(list->count < VT_PRODUCTS_MAX);
    snprintf(product.name, sizeof product.name, "%s%s", name, what);
    list->rows[list->count++] = product;
}

static int up(int n, int parts)
{
    return (n + parts - 1) / parts;
}

void vt_products_linear(vt_product_list *list, const vt_linear_products *l)
{
    const int I = l->I, O = l->O, slice = up(O, l->slices);
    const size_t i = (size_t)I, o = (size_t)O;
    const size_t f = (size_t)l->forward.rows, d = (size_t)l->input.rows, w = (size_t)l->weight.rows;
    const double flops = 2.0 * l->M * I * O * l->times;
    add(list, l->name, "",
        (vt_product){.m = l->forward.rows,
                     .n = O,
                     .k = I,
                     .ta = VT_N,
                     .tb = VT_T,
                     .lda = I,
                     .ldb = I,
                     .ldc = O,
                     .accumulates = true,
                     .outer = l->forward.calls,
                     .inner = 1,
                     .a = {f * i},
                     .c = {f * o},
                     .flops = flops});
    if (l->input.calls)
        add(list, l->name, " dx",
            (vt_product){.m = l->input.rows,
                         .n = I,
                         .k = O,
                         .ta = VT_N,
                         .tb = VT_N,
                         .lda = O,
                         .ldb = I,
                         .ldc = I,
                         .outer = l->input.calls,
                         .inner = 1,
                         .a = {d * o},
                         .c = {d * i},
                         .flops = flops});
    // Rows that the slices do not divide evenly: timed as the larger slices are, in as many as fit.
    add(list, l->name, " dW",
        (vt_product){.m = slice,
                     .n = I,
                     .k = l->weight.rows,
                     .ta = VT_T,
                     .tb = VT_N,
                     .lda = O,
                     .ldb = I,
                     .ldc = I,
                     .accumulates = true,
                     .outer = l->weight.calls,
                     .inner = O / slice,
                     .a = {w * o, (size_t)slice},
                     .b = {w * i},
                     .c = {0, (size_t)slice * i},
                     .flops = flops});
}

void vt_products_attention(vt_product_list *list, int B, int T, int H, int D, int times)
{
    const int C = H * D;
    const size_t t = (size_t)T, d = (size_t)D, c = (size_t)C;
    const double flops = 2.0 * B * H * T * T * D * times;
    // Operands: a head's columns in rows of qkv (or dqkv), in rows of y (or dy), and its map.
    const size_t qkv[2] = {t * 3 * c, d}, y[2] = {t * c, d}, map[2] = {t * t * (size_t)H, t * t};
    const vt_product scores = {.m = T,
                               .n = T,
                               .k = D,
                               .tb = VT_T,
                               .ldc = T,
                               .outer = B,
                               .inner = H,
                               .c = {map[0], map[1]},
                               .flops = flops};
    const vt_product mixed = {.m = T,
                              .n = D,
                              .k = T,
                              .lda = T,
                              .outer = B,
                              .inner = H,
                              .a = {map[0], map[1]},
                              .flops = flops};
    vt_product p = scores;
    p.lda = p.ldb = 3 * C;
    p.a[0] = p.b[0] = qkv[0], p.a[1] = p.b[1] = qkv[1];
    add(list, "attention", " qk", p);
    p.lda = C; // dy instead of q
    p.a[0] = y[0];
    add(list, "attention", " dP", p);
    p = mixed;
    p.ldb = 3 * C, p.ldc = C;
    p.b[0] = qkv[0], p.b[1] = qkv[1], p.c[0] = y[0], p.c[1] = y[1];
    add(list, "attention", " Pv", p);
    p.ldc = 3 * C;
    p.c[0] = qkv[0];
    add(list, "attention", " dq", p);
    p.ta = VT_T;
    add(list, "attention", " dk", p);
    p.ldb = C; // dy instead of q
    p.b[0] = y[0];
    add(list, "attention", " dv", p);
}
