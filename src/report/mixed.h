// A few validation pictures, cut into each other as training does it, and what the model makes of
// them: attention and label shares after every layer.
#ifndef VITRAIN_REPORT_MIXED_H
#define VITRAIN_REPORT_MIXED_H

#include "material.h"
#include "vitrain/label/label.h"
#include "vitrain/mix/mix.h"
#include "vitrain/model/recorder.h"

enum { VT_MIXED_SHOWN = 3, VT_MIXED = 2 * VT_MIXED_SHOWN }; // the second half are the partners

typedef struct vt_mixed {
    vt_token_layout layout;
    int depth;
    int64_t samples[VT_MIXED]; // indices in the source
    vt_mix_config rules;       // CutMix alone, every sample
    vt_mix_plan plan;
    vt_label label; // TL-Align
    vt_attn_hook rule;
    vt_recorder recorder; // head means
    vt_real *images;      // (VT_MIXED, channels, height, width), mixed
    vt_real *shares;      // (depth, VT_MIXED, tokens) after each layer
    vt_real *logits, *logits_dist, *scratch;
    vt_real final_share[VT_MIXED];
    vt_arena arena;
} vt_mixed;

// VT_ERR_DATA, VT_ERR_UNSUPPORTED and others where it cannot be done. To be freed in any case.
vt_status vt_mixed_make(vt_mixed *mixed, const vt_material *material);
void vt_mixed_free(vt_mixed *mixed); // takes a zeroed one

// The tokens' shares after a layer: (tokens).
const vt_real *vt_mixed_shares(const vt_mixed *mixed, int layer, int i);
// The share that the head would read of them.
double vt_mixed_head_share(const vt_mixed *mixed, int layer, int i);

#endif
