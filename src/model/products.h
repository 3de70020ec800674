// Lists what a training step multiplies (vt_model_ops.products), for the families.
#ifndef VITRAIN_PRODUCTS_H
#define VITRAIN_PRODUCTS_H

#include "block.h"

typedef struct vt_product_list {
    vt_product_info *rows; // (VT_PRODUCTS_MAX)
    int count;
} vt_product_list;

// Calls of a linear layer.
typedef struct vt_linear_calls {
    double rows;         // of the batch, all layers
    int m;               // rows of a call
    int calls;           // all layers and chunks
    int times;           // the forward product is computed so often
    bool input_gradient; // is computed
    int threads;         // share the weight gradient
} vt_linear_calls;

// Forward, input gradient and weight gradient. name: up to 15 characters.
void vt_list_linear(vt_product_list *list, const char *name, int I, int O,
                    const vt_linear_calls *calls);
// calls: of each head's product; flops: of all of them.
void vt_list_attention(vt_product_list *list, const char *name, const vt_block_shape *shape,
                       double flops, int calls, int times);
void vt_list_small(vt_product_list *list, const char *name, int m, int n, int k, int calls,
                   double flops);

#endif
