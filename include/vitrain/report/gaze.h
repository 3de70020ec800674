// What a model looks at in one picture: every head's map of every layer, and rollout.
#ifndef VITRAIN_REPORT_GAZE_H
#define VITRAIN_REPORT_GAZE_H

#include "vitrain/model/recorder.h"

typedef struct vt_gaze {
    vt_token_layout layout;
    int depth, H, T;
    vt_recorder recorder; // maps[layer]: (H,T,T)
    vt_real *mean;        // (T,T), of the layer asked for last
    vt_real **rollout;    // (depth): (T,T); see rollout.h
} vt_gaze;

// For one picture at a time. A forward pass with vt_recorder_hook(&gaze->recorder) fills the maps,
// vt_gaze_finish the rest.
void vt_gaze_place(vt_gaze *gaze, vt_arena *arena, const vt_model *model);
void vt_gaze_finish(vt_gaze *gaze);

// Mean over heads of a layer: (T,T), valid until the next call.
const vt_real *vt_gaze_heads_mean(vt_gaze *gaze, int layer);

// patches: (grid_h, grid_w) out, what the output takes from each patch by a map (T,T): the class
// token's row, or where the head pools the mean of the patches' rows.
void vt_gaze_patches(vt_real *patches, const vt_real *map, const vt_token_layout *layout);

#endif
