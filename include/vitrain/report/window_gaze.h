// What a model looks at in one picture where attention stays within windows and patches merge
// (Swin).
//
// There is no row of a class token to show, and none reaches over the whole picture. What there is
// for every patch of a layer's own grid is what it gives to the others: the mean over all patches
// of what they take from it by their window's map. For a model that pools the same is drawn of
// whole maps (vt_gaze_patches).
//
// Rollout goes the way of the shares of TL-Align (label_tl_align.c): through a layer a patch keeps
// half of itself and takes the other half by attention, padding left out; a merged patch is the
// mean of what it is made of. So rollout up to the last layer, weighed with whose each patch is, is
// TL-Align's label.
#ifndef VITRAIN_REPORT_WINDOW_GAZE_H
#define VITRAIN_REPORT_WINDOW_GAZE_H

#include "vitrain/model/recorder.h"

typedef struct vt_window_layer {
    int grid_h, grid_w; // patches of this layer
    bool merged;        // from those of the layer before
    int32_t *tokens;    // (windows,T) which patch each is, -1: padding
    int32_t *children;  // (grid_h grid_w, 4) if merged: patches of the layer before, -1: none
    // Each map sums to 1.
    vt_real *given;   // (1 + H, grid_h, grid_w) by the mean over heads, then by each
    vt_real *rollout; // (N) what the mean over patches after this layer has of each of the first
} vt_window_layer;

typedef struct vt_window_gaze {
    vt_token_layout layout;
    int depth;
    vt_recorder recorder;    // maps[layer]: (windows,H,T,T)
    vt_window_layer *layers; // (depth)
    vt_real *flow[2];        // (N) work memory
} vt_window_gaze;

// For one picture at a time. A forward pass with the two hooks fills the maps,
// vt_window_gaze_finish the rest.
void vt_window_gaze_place(vt_window_gaze *gaze, vt_arena *arena, const vt_model *model);
void vt_window_gaze_hooks(vt_window_gaze *gaze, vt_attn_hook hooks[2]);
void vt_window_gaze_finish(vt_window_gaze *gaze);

#endif
