// CutMix with its box on whole patches, so that every token belongs to one of the two pictures:
// what TL-Align was published with (arXiv 2210.06455, section 4.1).
#include "box.h"

static double alpha(const vt_mix_config *config)
{
    return vt_box_alpha(config, VT_MIX_TOKEN);
}

static void draw(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng)
{
    vt_box_draw(cut, config, shape, shape->patch, rng);
}

const vt_mixer vt_mixer_token_cutmix = {.name = "token_cutmix",
                                        .alpha = alpha,
                                        .cuts = true,
                                        .draw = draw,
                                        .apply = vt_box_apply,
                                        .share = vt_box_share};
