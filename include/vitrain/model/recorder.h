// An attention hook that keeps maps: of chosen layers, head means or every head.
#ifndef VITRAIN_MODEL_RECORDER_H
#define VITRAIN_MODEL_RECORDER_H

#include "vitrain/base/arena.h"
#include "vitrain/model/model.h"

typedef struct vt_recorder {
    int depth;
    int H, T;              // of the first layer
    bool heads;            // every head instead of the mean
    bool *wanted;          // (depth)
    vt_attn_shape *shapes; // (depth)
    // (depth): (B,windows,T,T), or (B,windows,H,T,T) with `heads`, each layer's; NULL where not
    // wanted
    vt_real **maps;
} vt_recorder;

// wanted: (depth), or NULL for all layers.
void vt_recorder_place(vt_recorder *recorder, vt_arena *arena, const vt_model *model, int max_batch,
                       bool heads, const bool *wanted);
vt_attn_hook vt_recorder_hook(vt_recorder *recorder);

#endif
