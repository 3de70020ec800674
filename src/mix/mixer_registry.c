// Every mixer.
#include "vitrain/mix/mix.h"

extern const vt_mixer vt_mixer_mixup, vt_mixer_cutmix, vt_mixer_token_cutmix;

const vt_mixer *const vt_mixers[] = {
    &vt_mixer_mixup,
    &vt_mixer_cutmix,
    &vt_mixer_token_cutmix,
    NULL,
};
