// See the header.
#include "vitrain/report/gaze.h"

#include "vitrain/report/rollout.h"

#include <string.h>

void vt_gaze_place(vt_gaze *a, vt_arena *arena, const vt_model *model)
{
    model->ops->layout(model, &a->layout);
    a->depth = model->config.depth;
    a->H = model->config.num_heads;
    a->T = a->layout.tokens;
    vt_recorder_place(&a->recorder, arena, model, 1, true, NULL);
    const size_t map = (size_t)a->T * (size_t)a->T;
    a->mean = VT_ARENA_TAKE(arena, vt_real, map);
    a->rollout = VT_ARENA_TAKE(arena, vt_real *, (size_t)a->depth);
    for (int l = 0; l < a->depth; l++) {
        vt_real *rollout = VT_ARENA_TAKE(arena, vt_real, map);
        if (a->rollout) a->rollout[l] = rollout;
    }
}

const vt_real *vt_gaze_heads_mean(vt_gaze *a, int layer)
{
    vt_attention_mean(a->mean, a->recorder.maps[layer], a->H, a->T);
    return a->mean;
}

void vt_gaze_finish(vt_gaze *a)
{
    for (int l = 0; l < a->depth; l++)
        vt_rollout_step(a->rollout[l], l ? a->rollout[l - 1] : NULL, vt_gaze_heads_mean(a, l),
                        a->T);
}

void vt_gaze_patches(vt_real *patches, const vt_real *map, const vt_token_layout *layout)
{
    const int T = layout->tokens, prefix = layout->prefix, N = layout->grid_h * layout->grid_w;
    if (layout->pool == VT_POOL_TOKEN) {
        memcpy(patches, map + prefix, (size_t)N * sizeof *patches);
        return;
    }
    memset(patches, 0, (size_t)N * sizeof *patches);
    for (int i = prefix; i < prefix + N; i++)
        for (int j = 0; j < N; j++) patches[j] += map[i * T + prefix + j] / (vt_real)N;
}
