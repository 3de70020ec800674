// The engine's operations on dense arrays, for tests: packs, pads and finds memory as they want it.
// Everything here fails the test on an error.
#ifndef VITRAIN_TESTS_DENSE_H
#define VITRAIN_TESTS_DENSE_H

#include "vitrain/model/model.h"
#include "vitrain/ops/ops.h"

// Attention on timm's qkv: (T, 3 H D). at: ldq and ldkv are filled in, and R = T where it is 0.
// y: (R, H D) out; maps: (H,R,T) out. VT_REAL.
void vt_dense_attention_forward(vt_real *y, vt_real *maps, const vt_real *qkv, vt_attention at);
// dqkv: out, 0 for the q of tokens that do not ask; dbias: (H,R,T) += or NULL.
void vt_dense_attention_backward(vt_real *dqkv, vt_real *dbias, const vt_real *dy,
                                 const vt_real *qkv, const vt_real *maps, vt_attention at);

// Calls the hook for each head of maps: (H,T,T), R = T. view: all but R, ld, head and map.
void vt_dense_hear(const vt_attn_hook *hook, vt_attn_view view, const vt_real *maps);

// y: (m,n) = or += op(a) b + bias by vt_product, rows of y ldy apart. a: (m,k) or (k,m) if ta; b:
// (k,n) or (n,k) if tb; both are rounded to the type first.
void vt_dense_product(void *y, vt_elem type_y, int ldy, vt_into into, const vt_real *a, vt_trans ta,
                      const vt_real *b, vt_trans tb, const vt_real *bias, vt_elem type, int m,
                      int n, int k);
// Rounded to bf16 and back.
vt_real vt_rounded(vt_real x);

#endif
