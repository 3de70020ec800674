// Keeps attention maps. Different samples come from different threads and go to different places.
#include "vitrain/model/recorder.h"

static size_t map_size(const vt_recorder *r, const vt_attn_shape *s)
{
    return (size_t)s->T * (size_t)s->T * (size_t)(r->heads ? s->H : 1);
}

void vt_recorder_place(vt_recorder *r, vt_arena *arena, const vt_model *model, int max_batch,
                       bool heads, const bool *wanted)
{
    vt_attn_shape shape;
    model->ops->attention(model, 0, &shape);
    r->depth = model->config.depth;
    r->H = shape.H;
    r->T = shape.T;
    r->heads = heads;
    r->wanted = VT_ARENA_TAKE(arena, bool, r->depth);
    r->shapes = VT_ARENA_TAKE(arena, vt_attn_shape, r->depth);
    r->maps = VT_ARENA_TAKE(arena, vt_real *, r->depth);
    for (int l = 0; l < r->depth; l++) {
        const bool keep = !wanted || wanted[l];
        model->ops->attention(model, l, &shape);
        const size_t image = (size_t)shape.windows * map_size(r, &shape);
        vt_real *maps = keep ? VT_ARENA_TAKE(arena, vt_real, (size_t)max_batch * image) : NULL;
        if (!r->wanted) continue; // counting
        r->wanted[l] = keep;
        r->shapes[l] = shape;
        r->maps[l] = maps;
    }
}

static void on_attention(void *self, const vt_attn_view *view)
{
    vt_recorder *r = self;
    if (!r->wanted[view->layer]) return;
    const vt_attn_shape *s = &r->shapes[view->layer];
    const size_t T = (size_t)view->T;
    const size_t unit = (size_t)view->sample * (size_t)s->windows + (size_t)view->window;
    vt_real *to = r->maps[view->layer] + unit * map_size(r, s);
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
