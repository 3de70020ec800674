// CutMix with its box on pixels: it may cut through patches.
#include "box.h"

static double alpha(const vt_mix_config *config)
{
    return vt_box_alpha(config, VT_MIX_PIXEL);
}

static void draw(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng)
{
    vt_box_draw(cut, config, shape, 1, rng);
}

const vt_mixer vt_mixer_cutmix = {.name = "cutmix",
                                  .alpha = alpha,
                                  .cuts = true,
                                  .draw = draw,
                                  .apply = vt_box_apply,
                                  .share = vt_box_share};
