// The products of a training step, for people and for `vitrain bench`; see the header.
#include "products.h"

#include <assert.h>
#include <stdio.h>

static void list(vt_product_list *l, vt_product_info info, const char *name, const char *what)
{
    assert(l->count < VT_PRODUCTS_MAX);
    snprintf(info.name, sizeof info.name, "%s%s", name, what);
    l->rows[l->count++] = info;
}

void vt_list_linear(vt_product_list *l, const char *name, int I, int O, const vt_linear_calls *c)
{
    const double flops = 2.0 * c->rows * I * O;
    const vt_product_info y = {.kind = VT_PRODUCT_ROWS,
                               .m = c->m,
                               .n = O,
                               .k = I,
                               .tb = VT_T,
                               .calls = c->times * c->calls,
                               .flops = c->times * flops};
    const vt_product_info dx = {
        .kind = VT_PRODUCT_ROWS, .m = c->m, .n = I, .k = O, .calls = c->calls, .flops = flops};
    const int slice = (O + c->threads - 1) / c->threads;
    const vt_product_info dw = {.kind = VT_PRODUCT_GRADIENT,
                                .m = slice,
                                .n = I,
                                .k = c->m,
                                .ta = VT_T,
                                .calls = c->calls * c->threads,
                                .flops = flops};
    list(l, y, name, "");
    if (c->input_gradient) list(l, dx, name, " dx");
    list(l, dw, name, " dW");
}

void vt_list_attention(vt_product_list *l, const char *name, const vt_block_shape *s, double flops,
                       int calls, int times)
{
    const int T = s->T, D = s->C / s->H;
    const vt_product_info across = {.kind = VT_PRODUCT_ROWS,
                                    .m = T,
                                    .n = T,
                                    .k = D,
                                    .tb = VT_T,
                                    .calls = calls,
                                    .flops = flops};
    const vt_product_info along = {
        .kind = VT_PRODUCT_ROWS, .m = T, .n = D, .k = T, .calls = calls, .flops = flops};
    vt_product_info again_across = across, again_along = along, by_column = along;
    again_across.calls *= times, again_across.flops *= times;
    again_along.calls *= times, again_along.flops *= times;
    by_column.ta = VT_T;
    list(l, again_across, name, " qk");
    list(l, again_along, name, " Pv");
    list(l, across, name, " dP");
    list(l, along, name, " dq");
    list(l, by_column, name, " dk");
    list(l, by_column, name, " dv");
}

void vt_list_small(vt_product_list *l, const char *name, int m, int n, int k, int calls,
                   double flops)
{
    const vt_product_info small = {.kind = VT_PRODUCT_SMALL,
                                   .m = m,
                                   .n = n,
                                   .k = k,
                                   .tb = VT_T,
                                   .calls = calls,
                                   .flops = flops};
    list(l, small, name, " all");
}
