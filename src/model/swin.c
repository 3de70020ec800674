// Swin Transformer (Liu et al., arXiv 2103.14030), equal to timm's SwinTransformer: patch embedding
// with a norm, stages of blocks that attend within windows, every second one shifted, patch merging
// before each stage but the first, norm, mean over the tokens, head.
//
// As in timm, what a stage takes for its side is the first stage's halved and rounded down,
// although merging rounds up: windows are at most so large, and not shifted where one covers it.
#include "swin.h"

#include "products.h"
#include "vitrain/base/threads.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WINDOW = 32 };

static const char *const keys[] = {"model.depths", "model.window_size", NULL};

static void defaults(vt_model_config *c)
{
    c->pool = VT_POOL_AVG;
    c->window_size = 7;
}

static vt_status check(const vt_model_config *c)
{
    int depth = 0, width = c->embed_dim;
    VT_REQUIRE(c->heads.count == c->depths.count, VT_ERR_CONFIG,
               "model.num_heads: expected a list of %d, a number for each of model.depths",
               c->depths.count);
    for (int i = 0; i < c->depths.count; i++, width *= 2) {
        VT_TRY(vt_model_check_range("depths", c->depths.at[i], VT_MODEL_MAX_DEPTH));
        VT_REQUIRE(width <= VT_MODEL_MAX_WIDTH, VT_ERR_CONFIG,
                   "model.embed_dim: expected at most %d after %d stages, got %d",
                   VT_MODEL_MAX_WIDTH, i + 1, width);
        VT_TRY(vt_model_check_heads(c->heads.at[i], width));
        depth += c->depths.at[i];
    }
    VT_TRY(vt_model_check_range("depths", depth, VT_MODEL_MAX_DEPTH));
    VT_TRY(vt_model_check_range("window_size", c->window_size, MAX_WINDOW));
    VT_REQUIRE(c->pool == VT_POOL_AVG && !c->distilled, VT_ERR_CONFIG,
               "model.pool: expected \"avg\": this model has no class token");
    return VT_OK;
}

static bool takes_bf16(const vt_model_config *c)
{
    for (int i = 0; i < c->depths.count; i++) {
        const int width = c->embed_dim << i;
        if (width / c->heads.at[i] % 2 || (int)(width * c->mlp_ratio) % 2) return false;
    }
    return c->embed_dim % 2 == 0;
}

// ---- tensors ----

// Before timm 0.9 a stage ended with the merging that now begins the next one, and the head was
// called so; indices and masks were among the tensors.
static bool rename_tensor(char *out, const char *name, const vt_st_file *file)
{
    const bool old = !vt_st_find(file, "head.fc.weight");
    int stage, length = 0;
    if (strstr(name, "relative_position_index") || strstr(name, "attn_mask")) return false;
    if (old && sscanf(name, "layers.%3d.downsample.%n", &stage, &length) == 1 && length > 0)
        snprintf(out, VT_ENTRY_NAME_BYTES, "layers.%d.downsample.%s", stage + 1, name + length);
    else if (old && !strncmp(name, "head.", 5))
        snprintf(out, VT_ENTRY_NAME_BYTES, "head.fc.%s", name + 5);
    else
        snprintf(out, VT_ENTRY_NAME_BYTES, "%s", name);
    return true;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

// A side's window: all of it where the window is not smaller.
static int window_of(int grid, int stage, int window)
{
    const int side = grid >> stage;
    return side > 0 ? smaller(side, window) : 1;
}

static int shift_of(int grid, int stage, int window)
{
    return grid >> stage > window ? window / 2 : 0;
}

// map_h, map_w: the sides that merging has led to.
static vt_status init_stage(vt_swin_stage *s, const vt_model *model, int i, int map_h, int map_w)
{
    const vt_model_config *c = &model->config;
    const int grid_h = c->image_height / c->patch_size, grid_w = c->image_width / c->patch_size;
    const int h = window_of(grid_h, i, c->window_size), w = window_of(grid_w, i, c->window_size);
    const int width = c->embed_dim << i;
    s->L = map_h * map_w;
    s->depth = c->depths.at[i];
    s->shape = (vt_block_shape){.T = h * w,
                                .C = width,
                                .H = c->heads.at[i],
                                .F = (int)(width * c->mlp_ratio),
                                .window_h = h,
                                .window_w = w,
                                .norm_eps = (vt_real)model->ops->norm_eps,
                                .drop = c->drop,
                                .attn_drop = c->attn_drop};
    VT_TRY(vt_windows_init(&s->windows[0], map_h, map_w, h, w, 0, 0));
    VT_TRY(vt_windows_init(&s->windows[1], map_h, map_w, h, w, shift_of(grid_h, i, c->window_size),
                           shift_of(grid_w, i, c->window_size)));
    s->blocks = vt_alloc((size_t)s->depth, sizeof *s->blocks);
    s->saved = vt_alloc((size_t)s->depth, sizeof *s->saved);
    return s->blocks && s->saved ? VT_OK : VT_ERR_MEMORY;
}

static vt_status declare_stage(vt_swin_stage *s, vt_params *params, int i, bool qkv_bias)
{
    char prefix[48];
    snprintf(prefix, sizeof prefix, "layers.%d.downsample", i);
    if (i > 0) VT_TRY(vt_merge_declare(&s->merge, params, prefix));
    for (int j = 0; j < s->depth; j++) {
        snprintf(prefix, sizeof prefix, "layers.%d.blocks.%d", i, j);
        VT_TRY(vt_block_declare(params, &s->blocks[j], &s->shape, qkv_bias, prefix));
    }
    return VT_OK;
}

static vt_status declare(vt_model *model)
{
    vt_swin *v = model->state;
    const vt_model_config *c = &model->config;
    vt_params *t = &model->params;
    int h = c->image_height / c->patch_size, w = c->image_width / c->patch_size, layer = 0;
    t->rename = rename_tensor;
    VT_TRY(vt_embed_declare(&v->embed, t, c));
    VT_TRY(
        vt_norm_declare(t, &v->embed_norm_w, &v->embed_norm_b, c->embed_dim, "patch_embed.norm"));
    for (v->stages = 0; v->stages < c->depths.count; v->stages++) {
        const int i = v->stages;
        vt_swin_stage *s = &v->stage[i];
        if (i > 0) {
            VT_TRY(vt_merge_init(&s->merge, h, w, c->embed_dim << (i - 1),
                                 (vt_real)model->ops->norm_eps));
            h = (h + 1) / 2, w = (w + 1) / 2;
        }
        VT_TRY(init_stage(s, model, i, h, w));
        VT_TRY(declare_stage(s, t, i, c->qkv_bias));
        s->first_layer = layer;
        layer += s->depth;
    }
    v->features = v->stage[v->stages - 1].shape.C;
    VT_TRY(vt_norm_declare(t, &v->norm_w, &v->norm_b, v->features, "norm"));
    return vt_linear_declare(t, &v->head, VT_INIT_TRUNC_NORMAL_02, true, v->features,
                             c->num_classes, "head.fc");
}

static void destroy_state(void *state)
{
    vt_swin *v = state;
    for (int i = 0; i < VT_STAGES_MAX; i++) {
        vt_swin_stage *s = &v->stage[i];
        for (int j = 0; j < 2; j++) vt_windows_deinit(&s->windows[j]);
        vt_merge_deinit(&s->merge);
        free(s->blocks);
        free(s->saved);
    }
    free(v->thread);
}

// ---- memory ----

// What each of a stage's blocks keeps, and what lies over the other stages'.
static void place_stages(vt_swin *v, vt_arena *arena)
{
    const vt_placement *p = &v->placement;
    vt_arena_union shared = vt_arena_union_begin(arena);
    for (int i = 0; i < v->stages; i++, vt_arena_union_next(&shared, arena))
        vt_block_packed_place(&v->stage[i].packed, arena, &v->stage[i].blocks[0],
                              &v->stage[i].shape, p->training);
    vt_arena_union_end(&shared, arena);
    if (!p->training) return;
    shared = vt_arena_union_begin(arena);
    for (int i = 0; i < v->stages; i++, vt_arena_union_next(&shared, arena)) {
        vt_swin_stage *s = &v->stage[i];
        vt_block_inputs_place(&s->again, arena, &s->shape, p->recompute, &s->planned);
        vt_block_grads_place(&s->grads, arena, &s->blocks[0], &s->shape, &s->planned);
    }
    vt_arena_union_end(&shared, arena);
    for (int i = 0; i < v->stages; i++) {
        vt_swin_stage *s = &v->stage[i];
        vt_block_saved_place(s->saved, s->depth, arena, &s->shape, &s->again, p->recompute,
                             &s->planned);
    }
}

static void place_thread(vt_swin *v, vt_swin_thread *t, vt_arena *arena)
{
    const vt_placement *p = &v->placement;
    const vt_swin_stage *last = &v->stage[v->stages - 1];
    vt_arena_union shared = vt_arena_union_begin(arena);
    vt_embed_scratch_place(&t->embed, arena, &v->embed, 1);
    t->embedded = VT_ARENA_TAKE(arena, vt_real, (size_t)v->embed.N * (size_t)v->stage[0].shape.C);
    vt_arena_union_next(&shared, arena);
    for (int i = 0; i < v->stages; i++) {
        const vt_swin_stage *s = &v->stage[i];
        if (i > 0) vt_merge_scratch_place(&t->merge[i], arena, &s->merge, p->training);
        vt_arena_union_next(&shared, arena);
        vt_block_scratch_place(&t->block[i], arena, &s->shape, s->planned.units, p->training,
                               p->recompute);
        t->rows[i] = VT_ARENA_TAKE(arena, vt_real, (size_t)s->planned.rows * (size_t)s->shape.C);
        vt_arena_union_next(&shared, arena);
    }
    t->last = VT_ARENA_TAKE(arena, vt_real, (size_t)last->L * (size_t)v->features);
    vt_arena_union_next(&shared, arena);
    vt_arena_union_end(&shared, arena);
}

static void place_tokens(vt_swin *v, vt_arena *arena)
{
    const size_t B = (size_t)v->placement.max_batch;
    const bool training = v->placement.training;
    for (int i = 0; i < v->stages; i++) {
        vt_swin_stage *s = &v->stage[i];
        const size_t numbers = B * (size_t)s->L * (size_t)s->shape.C;
        s->tokens = VT_ARENA_TAKE(arena, vt_real, numbers);
        s->dtokens = VT_ARENA_TAKE(arena, vt_real, training ? numbers : 0);
    }
    const size_t N = B * (size_t)v->embed.N, C = (size_t)v->stage[0].shape.C,
                 L = B * (size_t)v->stage[v->stages - 1].L, F = B * (size_t)v->features;
    v->embedded = VT_ARENA_TAKE(arena, vt_real, training ? N * C : 0);
    v->embed_mean = VT_ARENA_TAKE(arena, vt_real, N);
    v->embed_rstd = VT_ARENA_TAKE(arena, vt_real, N);
    v->last_mean = VT_ARENA_TAKE(arena, vt_real, L);
    v->last_rstd = VT_ARENA_TAKE(arena, vt_real, L);
    v->feature = VT_ARENA_TAKE(arena, vt_real, F);
    if (!training) return;
    v->dfeature = VT_ARENA_TAKE(arena, vt_real, F);
    v->embed_norms = VT_ARENA_TAKE(arena, vt_real, B * 2 * C);
    v->norms = VT_ARENA_TAKE(arena, vt_real, 2 * F);
}

static vt_status place(vt_model *model, vt_arena *arena, const vt_placement *placement)
{
    vt_swin *v = model->state;
    const int B = placement->max_batch;
    const int rows = v->stage[0].windows[0].count * v->stage[0].shape.T; // no stage has more
    VT_REQUIRE(B <= INT_MAX / rows, VT_ERR_CONFIG,
               "train.batch_size: expected at most %d of this model's images, got %d",
               INT_MAX / rows, B);
    VT_REQUIRE(placement->type == VT_REAL || vt_model_takes_bf16(&model->config), VT_ERR_CONFIG,
               "train.precision: bf16 takes even widths of tokens, a head, the MLP and a patch");
    v->thread = vt_alloc_per_thread(v->thread, &v->threads, sizeof *v->thread);
    if (!v->thread) return VT_ERR_MEMORY;
    v->placement = *placement;
    v->images = (vt_chunks){.B = B, .units = 1, .count = B, .rows = v->embed.N};
    vt_embed_place(&v->embed, arena, placement->type, placement->training ? &v->images : NULL);
    for (int i = 0; i < v->stages; i++) {
        vt_swin_stage *s = &v->stage[i];
        s->shape.type = placement->type;
        s->planned = vt_chunks_plan(B * s->windows[0].count, s->shape.T, v->threads, NULL);
        if (i > 0)
            vt_merge_place(&s->merge, arena, placement->type, B, v->threads, placement->training);
    }
    place_stages(v, arena);
    for (int i = 0; i < v->threads; i++) place_thread(v, &v->thread[i], arena);
    place_tokens(v, arena);
    return VT_OK;
}

static void layout(const vt_model *model, vt_token_layout *out)
{
    const vt_swin *v = model->state;
    const vt_windows *first = &v->stage[0].windows[0];
    *out = (vt_token_layout){.tokens = v->embed.N,
                             .last_tokens = v->stage[v->stages - 1].L,
                             .grid_h = first->map_h,
                             .grid_w = first->map_w,
                             .pool = VT_POOL_AVG};
}

static void attention(const vt_model *model, int layer, vt_attn_shape *shape)
{
    const vt_swin *v = model->state;
    const vt_swin_stage *s = v->stage;
    while (layer >= s->first_layer + s->depth) s++;
    *shape = (vt_attn_shape){s->windows[0].count, s->shape.T, s->shape.H};
}

// ---- arithmetic ----

static double embed_flops(const vt_swin *v)
{
    return 2.0 * v->embed.N * v->embed.values * v->embed.proj.O;
}

// Padding attends and is projected as tokens are; only the MLP leaves it out.
static double forward_flops(const vt_model *model)
{
    const vt_swin *v = model->state;
    double flops = embed_flops(v) + 2.0 * v->features * model->config.num_classes;
    for (int i = 0; i < v->stages; i++) {
        const vt_swin_stage *s = &v->stage[i];
        const double T = s->shape.T, C = s->shape.C, F = s->shape.F;
        const double rows = s->windows[0].count * T;
        flops += s->depth * (rows * (8 * C * C + 4 * T * C) + 4 * s->L * C * F);
        if (i > 0) flops += 2.0 * s->L * s->merge.reduction.I * s->merge.reduction.O;
    }
    return flops;
}

// Each product twice again backward, but for the gradient of the pixels.
static double train_flops(const vt_model *model)
{
    return 3 * forward_flops(model) - embed_flops(model->state);
}

static void list_stage(vt_product_list *l, const vt_swin *v, int i, int B)
{
    const vt_swin_stage *s = &v->stage[i];
    const vt_block_shape *shape = &s->shape;
    const vt_chunks c =
        vt_chunks_within(&s->planned, B * s->windows[0].count, shape->T, v->threads);
    const int calls = s->depth * c.count,
              times = v->placement.recompute == VT_RECOMPUTE_BLOCK ? 2 : 1;
    const double rows = (double)c.B * shape->T * s->depth, tokens = (double)B * s->L * s->depth;
    const int units = c.B * s->depth, m = c.units * shape->T;
    const vt_linear_calls padded = {rows, m, calls, times, true, v->threads},
                          mlp = {tokens, m, calls, times, true, v->threads},
                          once = {tokens, m, calls, 1, true, v->threads};
    const struct {
        const char *name;
        int I, O;
        const vt_linear_calls *calls;
    } layers[] = {{"q", shape->C, shape->C, &padded},
                  {"kv", shape->C, 2 * shape->C, &padded},
                  {"proj", shape->C, shape->C, &padded},
                  {"fc1", shape->C, shape->F, &mlp},
                  {"fc2", shape->F, shape->C, &once}};
    char name[32];
    for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
        snprintf(name, sizeof name, "%d %s", i + 1, layers[k].name);
        vt_list_linear(l, name, layers[k].I, layers[k].O, layers[k].calls);
    }
    snprintf(name, sizeof name, "%d attention", i + 1);
    vt_list_attention(l, name, shape, 2.0 * rows * shape->T * shape->C, units * shape->H, times);
    if (i == 0) return;
    const vt_chunks merges = vt_merge_chunks(&s->merge, B, v->threads);
    const vt_linear_calls merge = {(double)merges.B, merges.units, merges.count, 1, true,
                                   v->threads};
    snprintf(name, sizeof name, "%d merge", i + 1);
    vt_list_linear(l, name, s->merge.reduction.I, s->merge.reduction.O, &merge);
}

static int products(const vt_model *model, vt_product_info *out, int B)
{
    const vt_swin *v = model->state;
    vt_product_list l = {out, 0};
    const vt_linear_calls patches = {(double)B * v->embed.N, v->embed.N, B, 1, false, v->threads};
    vt_list_linear(&l, "embed", v->embed.proj.I, v->embed.proj.O, &patches);
    for (int i = 0; i < v->stages; i++) list_stage(&l, v, i, B);
    vt_list_small(&l, "head", B, model->config.num_classes, v->features, 3,
                  6.0 * B * v->features * model->config.num_classes);
    return l.count;
}

const vt_model_ops vt_family_swin = {
    .family = "swin",
    .state_bytes = sizeof(vt_swin),
    .norm_eps = 1e-5,
    .keys = keys,
    .defaults = defaults,
    .check = check,
    .takes_bf16 = takes_bf16,
    .declare = declare,
    .destroy_state = destroy_state,
    .place = place,
    .forward = vt_swin_forward,
    .backward = vt_swin_backward,
    .layout = layout,
    .attention = attention,
    .forward_flops = forward_flops,
    .train_flops = train_flops,
    .products = products,
};
