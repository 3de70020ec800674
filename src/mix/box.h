// CutMix's box, shared by the mixers that paste one.
#ifndef VITRAIN_MIX_BOX_H
#define VITRAIN_MIX_BOX_H

#include "vitrain/mix/mix.h"

// Beta's parameter if CutMix's box lies on `grid` under this config, else 0.
double vt_box_alpha(const vt_mix_config *config, vt_mix_grid grid);
// Draws the cut's box on a grid of cells of cell x cell px and corrects lambda.
void vt_box_draw(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape, int cell,
                 vt_rng *rng);
// vt_mixer's apply and share, for a box anywhere.
void vt_box_apply(vt_real *out, const vt_real *a, const vt_real *b, const vt_mix_cut *cut,
                  const vt_mix_shape *shape);
void vt_box_share(vt_real *share, const vt_mix_cut *cut, const vt_mix_shape *shape);

#endif
