// The exponential moving average of the weights, timm 0.4.12's ModelEma (utils/model_ema.py):
//
//     ema <- decay ema + (1 - decay) w
//
// after every optimizer step, beginning with the weights that the run begins with. There is no
// correction for the beginning and no warm-up of the decay. timm averages buffers too; a ViT has
// none.
#ifndef VITRAIN_TRAIN_EMA_H
#define VITRAIN_TRAIN_EMA_H

#include "vitrain/model/params.h"

// ema, weights: slabs; ema is changed, no alias. In parallel; the same bits with any number of
// threads. Padding stays zero.
void vt_ema_update(const vt_params *params, vt_real *ema, const vt_real *weights, double decay);

#endif
