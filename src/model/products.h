// Lists the matrix products of a training step (vt_model_ops.products).
#ifndef MODEL_PRODUCTS_H
#define MODEL_PRODUCTS_H

#include "vitrain/model/model.h"

typedef struct vt_product_list {
    vt_product *rows; // (VT_PRODUCTS_MAX)
    int count;
} vt_product_list;

// Into how many calls of how many rows a product is cut.
typedef struct vt_cut {
    int rows, calls;
} vt_cut;

// A linear layer that occurs `times`, on M rows in all.
typedef struct vt_linear_products {
    const char *name;
    int I, O;
    vt_cut forward, input, weight; // input.calls 0: nobody needs the input's gradient
    int slices;                    // of the weight gradient, by output rows
    int M, times;
} vt_linear_products;

void vt_products_linear(vt_product_list *list, const vt_linear_products *linear);

// Attention of B images, a product for each head, `times`.
void vt_products_attention(vt_product_list *list, int B, int T, int H, int D, int times);

#endif
