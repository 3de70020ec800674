// Attention rollout: Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv
// 2005.00928, section 3. Through one layer a token keeps half of itself (the residual path) and
// takes the other half by attention; through all layers up to this one
//
//     R_l = (A_l + I) / 2 R_(l-1),    R_(-1) = I,    A_l = mean over heads of the softmax maps.
//
// Row t of R_l says what the input tokens contribute to token t after layer l. Rows sum to 1.
#ifndef VITRAIN_REPORT_ROLLOUT_H
#define VITRAIN_REPORT_ROLLOUT_H

#include "vitrain/base/real.h"

// mean: (T,T) out; maps: (H,T,T).
void vt_attention_mean(vt_real *mean, const vt_real *maps, int H, int T);

// out: (T,T), no alias; before: (T,T) of the layer before, or NULL at the first; mean: (T,T).
void vt_rollout_step(vt_real *out, const vt_real *before, const vt_real *mean, int T);

#endif
