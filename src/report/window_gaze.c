// See the header.
#include "vitrain/report/window_gaze.h"

#include <assert.h>
#include <string.h>

void vt_window_gaze_place(vt_window_gaze *g, vt_arena *arena, const vt_model *model)
{
    model->ops->layout(model, &g->layout);
    g->depth = model->config.depth;
    vt_recorder_place(&g->recorder, arena, model, 1, true, NULL);
    g->layers = VT_ARENA_TAKE(arena, vt_window_layer, (size_t)g->depth);
    const size_t N = (size_t)g->layout.tokens;
    for (int i = 0; i < 2; i++) g->flow[i] = VT_ARENA_TAKE(arena, vt_real, N);
    for (int l = 0; l < g->depth; l++) {
        vt_attn_shape shape;
        model->ops->attention(model, l, &shape);
        const size_t places = (size_t)shape.windows * (size_t)shape.T; // padding among them
        const vt_window_layer layer = {
            .tokens = VT_ARENA_TAKE(arena, int32_t, places),
            .children = VT_ARENA_TAKE(arena, int32_t, 4 * places),
            .given = VT_ARENA_TAKE(arena, vt_real, (1 + (size_t)shape.H) * places),
            .rollout = VT_ARENA_TAKE(arena, vt_real, N)};
        if (g->layers) g->layers[l] = layer;
    }
}

// ---- listening ----

static void on_attention(void *self, const vt_attn_view *view)
{
    const vt_window_gaze *g = self;
    if (view->head > 0) return;
    int32_t *tokens = g->layers[view->layer].tokens + (size_t)view->window * (size_t)view->T;
    for (int t = 0; t < view->T; t++) tokens[t] = view->tokens ? view->tokens[t] : t;
}

static void on_merge(void *self, const vt_merge_view *view)
{
    vt_window_layer *layer = &((vt_window_gaze *)self)->layers[view->layer];
    layer->merged = true;
    memcpy(layer->children, view->children, 4 * (size_t)view->count * sizeof *view->children);
}

void vt_window_gaze_hooks(vt_window_gaze *g, vt_attn_hook hooks[2])
{
    hooks[0] = vt_recorder_hook(&g->recorder);
    hooks[1] = (vt_attn_hook){
        .self = g, .on_attention = on_attention, .on_merge = on_merge, .whole = true};
}

// ---- what comes of it ----

// One window's maps of some heads, (heads,T,T), and its patches.
typedef struct window {
    const vt_real *maps;
    const int32_t *tokens;
    int heads, T;
} window;

// to += weight times what query i takes from each patch; the query itself if it sees padding only.
static void take(vt_real *to, const window *w, int i, vt_real weight)
{
    const size_t T = (size_t)w->T;
    vt_real mass = 0;
    for (size_t h = 0; h < (size_t)w->heads; h++)
        for (size_t j = 0; j < T; j++)
            if (w->tokens[j] >= 0) mass += w->maps[(h * T + (size_t)i) * T + j];
    if (!(mass > 0)) to[w->tokens[i]] += weight;
    for (size_t h = 0; mass > 0 && h < (size_t)w->heads; h++)
        for (size_t j = 0; j < T; j++)
            if (w->tokens[j] >= 0)
                to[w->tokens[j]] += weight * w->maps[(h * T + (size_t)i) * T + j] / mass;
}

// to += what all patches of a layer take by heads first .. first + heads - 1, weight[i] times each.
static void take_all(vt_real *to, const vt_window_gaze *g, int layer, int first, int heads,
                     const vt_real *weight)
{
    const vt_attn_shape *s = &g->recorder.shapes[layer];
    const size_t T = (size_t)s->T, map = T * T;
    for (size_t k = 0; k < (size_t)s->windows; k++) {
        const window w = {.maps =
                              g->recorder.maps[layer] + (k * (size_t)s->H + (size_t)first) * map,
                          .tokens = g->layers[layer].tokens + k * T,
                          .heads = heads,
                          .T = s->T};
        for (int i = 0; i < s->T; i++)
            if (w.tokens[i] >= 0) take(to, &w, i, weight[w.tokens[i]]);
    }
}

static int patches_of(const vt_window_gaze *g, int layer)
{
    return g->layers[layer].grid_h * g->layers[layer].grid_w;
}

static void spread_evenly(vt_real *flow, int n)
{
    for (int i = 0; i < n; i++) flow[i] = 1 / (vt_real)n;
}

static void find_given(vt_window_gaze *g, int layer)
{
    const int n = patches_of(g, layer), H = g->recorder.shapes[layer].H;
    vt_real *given = g->layers[layer].given;
    spread_evenly(g->flow[0], n);
    memset(given, 0, (size_t)(1 + H) * (size_t)n * sizeof *given);
    take_all(given, g, layer, 0, H, g->flow[0]);
    for (int h = 0; h < H; h++)
        take_all(given + (size_t)(1 + h) * (size_t)n, g, layer, h, 1, g->flow[0]);
}

// before: of the patches that were merged into those of `layer`, out.
static void unmerge(vt_real *before, const vt_real *flow, const vt_window_gaze *g, int layer)
{
    const int32_t *child = g->layers[layer].children;
    memset(before, 0, (size_t)patches_of(g, layer - 1) * sizeof *before);
    for (int t = 0; t < patches_of(g, layer); t++, child += 4) {
        int n = 0;
        for (int i = 0; i < 4; i++) n += child[i] >= 0;
        for (int i = 0; i < 4; i++)
            if (child[i] >= 0) before[child[i]] += flow[t] / (vt_real)n;
    }
}

// From the mean over the patches after `last` down to the picture.
static void find_rollout(vt_window_gaze *g, int last)
{
    vt_real *flow = g->flow[0], *other = g->flow[1];
    spread_evenly(flow, patches_of(g, last));
    for (int l = last; l >= 0; l--) {
        const int n = patches_of(g, l);
        for (int i = 0; i < n; i++) other[i] = flow[i] /= 2;
        take_all(other, g, l, 0, g->recorder.shapes[l].H, flow);
        if (g->layers[l].merged)
            unmerge(flow, other, g, l);
        else
            memcpy(flow, other, (size_t)n * sizeof *flow);
    }
    memcpy(g->layers[last].rollout, flow, (size_t)g->layout.tokens * sizeof *flow);
}

void vt_window_gaze_finish(vt_window_gaze *g)
{
    int grid_h = g->layout.grid_h, grid_w = g->layout.grid_w;
    for (int l = 0; l < g->depth; l++) {
        vt_window_layer *layer = &g->layers[l];
        grid_h = layer->merged ? (grid_h + 1) / 2 : grid_h;
        grid_w = layer->merged ? (grid_w + 1) / 2 : grid_w;
        layer->grid_h = grid_h;
        layer->grid_w = grid_w;
        find_given(g, l);
        find_rollout(g, l);
    }
    assert(grid_h * grid_w == g->layout.last_tokens);
}
