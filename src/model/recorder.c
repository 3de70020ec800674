// Keeps attention maps. Different samples come from different threads and go to different places.
#include "vitrain/model/recorder.h"

void vt_recorder_place(vt_recorder *r, vt_arena *arena, const vt_model *model, int max_batch,
                       bool heads, const bool *wanted)
{
    vt_token_layout layout;
    model->ops->layout(model, &layout);
    r->depth = model->config.depth;
    r->H = model->config.num_heads;
    r->T = layout.tokens;
    r->heads = heads;
    r->wanted = VT_ARENA_TAKE(arena, bool, r->depth);
    r->maps = VT_ARENA_TAKE(arena, vt_real *, r->depth);
    const size_t map = (size_t)r->T * (size_t)r->T * (size_t)(heads ? r->H : 1);
    for (int l = 0; l < r->depth; l++) {
        bool keep = !wanted || wanted[l];
        vt_real *maps = keep ? VT_ARENA_TAKE(arena, vt_real, (size_t)max_batch * map) : NULL;
        if (!r->wanted) continue; // counting
        r->wanted[l] = keep;
        r->maps[l] = maps;
    }
}

static void on_attention(void *self, const vt_attn_view *view)
{
    vt_recorder *r = self;
    if (!r->wanted[view->layer]) return;
    const size_t T = (size_t)view->T, image = T * T * (size_t)(r->heads ? r->H : 1);
    vt_real *to = r->maps[view->layer] + (size_t)view->sample * image;
    if (r->heads) to += (size_t)view->head * T * T;
    const vt_real share = (vt_real)(r->heads ? 1 : view->H);
    const bool first = r->heads || view->head == 0;
    for (size_t i = 0; i < (size_t)view->R; i++) {
        const vt_real *row = view->map + i * (size_t)view->ld;
        for (size_t j = 0; j < T; j++) to[i * T + j] = (first ? 0 : to[i * T + j]) + row[j] / share;
    }
}

vt_attn_hook vt_recorder_hook(vt_recorder *recorder)
{
    return (vt_attn_hook){.self = recorder, .on_attention = on_attention, .whole = true};
}
