// ViT and DeiT (Dosovitskiy et al., arXiv 2010.11929; Touvron et al., arXiv 2012.12877), equal to
// timm 0.4.12's VisionTransformer, and for `pool: avg` to the current one's global_pool='avg':
// patch embedding, class token (and distillation token), position embedding, blocks, norm, head.
// With layer_scale and no_embed_class DeiT III (Touvron et al., arXiv 2204.07118), equal to the
// current timm's init_values and no_embed_class.
#include "vit.h"

#include "products.h"
#include "vitrain/base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// DeiT III's own files have blocks.0.gamma_1 for what timm calls blocks.0.ls1.gamma.
static bool rename_tensor(char *out, const char *name, const vt_st_file *file)
{
    (void)file;
    int block, branch, end = 0;
    if (sscanf(name, "blocks.%d.gamma_%1d%n", &block, &branch, &end) == 2 && !name[end])
        snprintf(out, VT_ENTRY_NAME_BYTES, "blocks.%d.ls%d.gamma", block, branch);
    else
        snprintf(out, VT_ENTRY_NAME_BYTES, "%s", name);
    return true;
}

static vt_status declare(vt_model *model)
{
    vt_vit *v = model->state;
    const vt_model_config *c = &model->config;
    v->N = (c->image_height / c->patch_size) * (c->image_width / c->patch_size);
    v->prefix = v->heads = c->distilled ? 2 : 1;
    v->shape = (vt_block_shape){.T = v->N + v->prefix,
                                .C = c->embed_dim,
                                .H = c->num_heads,
                                .F = (int)(c->embed_dim * c->mlp_ratio),
                                .norm_eps = (vt_real)model->ops->norm_eps,
                                .layer_scale = c->layer_scale,
                                .drop = c->drop,
                                .attn_drop = c->attn_drop,
                                .few = c->pool == VT_POOL_TOKEN ? v->prefix : 0};
    v->unplaced = c->no_embed_class ? v->prefix : 0;
    const int64_t C = c->embed_dim, placed = v->shape.T - v->unplaced;
    const vt_init normal = VT_INIT_TRUNC_NORMAL_02;
    vt_params *t = &model->params;
    t->rename = rename_tensor;
    VT_TRY(vt_params_add(t, &v->cls_token, normal, false, 3, (int64_t[]){1, 1, C}, "cls_token"));
    if (c->distilled)
        VT_TRY(
            vt_params_add(t, &v->dist_token, normal, false, 3, (int64_t[]){1, 1, C}, "dist_token"));
    VT_TRY(
        vt_params_add(t, &v->pos_embed, normal, false, 3, (int64_t[]){1, placed, C}, "pos_embed"));
    VT_TRY(vt_embed_declare(&v->embed, t, c));
    v->blocks = vt_alloc((size_t)c->depth, sizeof *v->blocks);
    v->saved = vt_alloc((size_t)c->depth, sizeof *v->saved);
    if (!v->blocks || !v->saved) return VT_ERR_MEMORY;
    for (int l = 0; l < c->depth; l++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blocks.%d", l);
        VT_TRY(vt_block_declare(t, &v->blocks[l], &v->shape, c->qkv_bias, prefix));
    }
    const char *norm = c->pool == VT_POOL_AVG ? "fc_norm" : "norm";
    VT_TRY(vt_norm_declare(t, &v->norm_w, &v->norm_b, (int)C, norm));
    VT_TRY(vt_linear_declare(t, &v->head[0], normal, true, (int)C, c->num_classes, "head"));
    if (c->distilled)
        VT_TRY(
            vt_linear_declare(t, &v->head[1], normal, true, (int)C, c->num_classes, "head_dist"));
    return VT_OK;
}

static void destroy_state(void *state)
{
    vt_vit *v = state;
    free(v->blocks);
    free(v->saved);
    free(v->thread);
}

static void place_threads(vt_vit *v, vt_arena *arena, const vt_placement *placement)
{
    for (int i = 0; i < v->threads; i++) {
        vt_vit_thread *t = &v->thread[i];
        vt_block_scratch_place(&t->block, arena, &v->shape, v->planned.units, placement->training,
                               placement->recompute);
        vt_embed_scratch_place(&t->embed, arena, &v->embed, v->planned.units);
    }
}

static void place_training(vt_vit *v, vt_arena *arena, const vt_placement *placement, int depth)
{
    const vt_block_shape *s = &v->shape;
    const size_t B = (size_t)placement->max_batch, TC = (size_t)s->T * (size_t)s->C;
    vt_block_inputs_place(&v->again, arena, s, placement->recompute, &v->planned);
    vt_block_saved_place(v->saved, depth, arena, s, &v->again, placement->recompute, &v->planned);
    vt_block_grads_place(&v->grads, arena, &v->blocks[0], s, &v->planned);
    v->x = v->saved[0].x;
    v->dx = VT_ARENA_TAKE(arena, vt_real, B * TC);
    v->dlast = VT_ARENA_TAKE(arena, vt_real, B * (size_t)v->prefix * (size_t)s->C);
    v->dfeature = VT_ARENA_TAKE(arena, vt_real, (size_t)v->heads * B * (size_t)s->C);
    v->dpooled = VT_ARENA_TAKE(arena, vt_real, (size_t)v->heads * B * (size_t)s->C);
}

static vt_status place(vt_model *model, vt_arena *arena, const vt_placement *placement)
{
    vt_vit *v = model->state;
    vt_block_shape *s = &v->shape;
    const int B = placement->max_batch;
    VT_REQUIRE(placement->type == VT_REAL || vt_model_takes_bf16(&model->config), VT_ERR_CONFIG,
               "train.precision: bf16 takes even widths of a head, the MLP and a patch");
    v->thread = vt_alloc_per_thread(v->thread, &v->threads, sizeof *v->thread);
    if (!v->thread) return VT_ERR_MEMORY;
    v->placement = *placement;
    s->type = placement->type;
    v->planned = vt_chunks_plan(B, s->T, v->threads, NULL);
    vt_embed_place(&v->embed, arena, s->type, placement->training ? &v->planned : NULL);
    vt_block_packed_place(&v->packed, arena, &v->blocks[0], s, placement->training);
    place_threads(v, arena, placement);
    vt_block_factors_place(&v->factors, arena, s, B);
    v->turns = VT_ARENA_TAKE(arena, vt_turns, v->threads);
    const size_t TC = (size_t)s->T * (size_t)s->C, stats = (size_t)v->heads * (size_t)B,
                 features = stats * (size_t)s->C;
    v->pooled = VT_ARENA_TAKE(arena, vt_real, features);
    v->feature = VT_ARENA_TAKE(arena, vt_real, features);
    v->pool_mean = VT_ARENA_TAKE(arena, vt_real, stats);
    v->pool_rstd = VT_ARENA_TAKE(arena, vt_real, stats);
    v->last = VT_ARENA_TAKE(arena, vt_real, (size_t)B * TC);
    if (placement->training)
        place_training(v, arena, placement, model->config.depth);
    else
        v->x = VT_ARENA_TAKE(arena, vt_real, (size_t)B * TC);
    return VT_OK;
}

static vt_status check(const vt_model_config *c)
{
    VT_TRY(vt_model_check_range("depth", c->depth, VT_MODEL_MAX_DEPTH));
    VT_REQUIRE(c->heads.count == 0, VT_ERR_CONFIG,
               "model.num_heads: expected one number, got a list: this model has no stages");
    VT_TRY(vt_model_check_heads(c->num_heads, c->embed_dim));
    VT_REQUIRE(
        !(c->pool == VT_POOL_AVG && c->distilled), VT_ERR_CONFIG,
        "model.pool: \"avg\" does not go with model.distilled: a distilled model reads its two "
        "tokens");
    return VT_OK;
}

static bool takes_bf16(const vt_model_config *c)
{
    return c->embed_dim / c->num_heads % 2 == 0 && (int)(c->embed_dim * c->mlp_ratio) % 2 == 0;
}

static void attention(const vt_model *model, int layer, vt_attn_shape *shape)
{
    const vt_vit *v = model->state;
    (void)layer; // they are all alike
    *shape = (vt_attn_shape){1, v->shape.T, v->shape.H};
}

static void layout(const vt_model *model, vt_token_layout *out)
{
    const vt_vit *v = model->state;
    *out = (vt_token_layout){.tokens = v->shape.T,
                             .last_tokens = v->shape.T,
                             .prefix = v->prefix,
                             .grid_h = v->embed.grid.height / v->embed.grid.patch,
                             .grid_w = v->embed.grid.width / v->embed.grid.patch,
                             .pool = model->config.pool,
                             .distilled = model->config.distilled};
}

// ---- arithmetic ----

static double embed_flops(const vt_vit *v)
{
    return 2.0 * v->N * v->embed.values * v->shape.C;
}

static double forward_flops(const vt_model *model)
{
    const vt_vit *v = model->state;
    const double T = v->shape.T, C = v->shape.C, F = v->shape.F;
    double block = 2 * T * C * (3 * C + C + 2 * F) + 4 * T * T * C;
    return embed_flops(v) + model->config.depth * block +
           2.0 * v->heads * C * model->config.num_classes;
}

// Each product twice again backward, but for the gradient of the pixels.
static double train_flops(const vt_model *model)
{
    return 3 * forward_flops(model) - embed_flops(model->state);
}

static int products(const vt_model *model, vt_product_info *out, int B)
{
    const vt_vit *v = model->state;
    const vt_block_shape *s = &v->shape;
    const vt_chunks c = vt_vit_chunks(v, B);
    const int depth = model->config.depth, threads = v->threads, m = c.units * s->T;
    const vt_pass pass = {.B = B, .stochastic = true}; // nobody asks for whole maps
    const int few = vt_vit_rows(model, &pass, depth - 1), whole = depth - (few < s->T);
    const int times = v->placement.recompute == VT_RECOMPUTE_BLOCK ? 2 : 1;
    const double all = (double)B * whole * s->T, last = (double)B * (depth - whole) * few,
                 asking = all + last;
    vt_product_list l = {out, 0};
    const vt_linear_calls patches = {(double)B * v->N, v->N, B, 1, false, threads};
    const int calls = depth * c.count;
    const vt_linear_calls few_rows = {asking, m, calls, times, true, threads},
                          all_rows = {all, m, whole * c.count, times, true, threads},
                          once = {asking, m, calls, s->layer_scale > 0 ? times : 1, true, threads};
    vt_list_linear(&l, "embed", v->embed.proj.I, v->embed.proj.O, &patches);
    l.rows[1].k = c.units * v->N, l.rows[1].calls = c.count * threads; // by chunks
    vt_list_linear(&l, "q", s->C, s->C, &few_rows);
    vt_list_linear(&l, "kv", s->C, 2 * s->C, &all_rows);
    vt_list_linear(&l, "proj", s->C, s->C, &few_rows);
    vt_list_linear(&l, "fc1", s->C, s->F, &few_rows);
    vt_list_linear(&l, "fc2", s->F, s->C, &once);
    // The last block's shapes are others.
    vt_list_attention(&l, "attention", s, 2.0 * (all + last * s->H) * s->T * s->C, B * s->H * whole,
                      times);
    if (whole < depth) // each of kv's heads to and fro, and its gradient
        vt_list_small(&l, "last kv", few * c.units, s->C, s->C / s->H,
                      (4 + 2 * times) * s->H * c.count, (4 + 2 * times) * 2.0 * last * s->C * s->C);
    vt_list_small(&l, "head", B, model->config.num_classes, s->C, 3 * v->heads,
                  6.0 * B * v->heads * s->C * model->config.num_classes);
    return l.count;
}

static const char *const keys[] = {"model.depth", "model.distilled", "model.init_values",
                                   "model.no_embed_class", NULL};

const vt_model_ops vt_family_vit = {
    .family = "vit",
    .state_bytes = sizeof(vt_vit),
    .norm_eps = 1e-6,
    .keys = keys,
    .check = check,
    .takes_bf16 = takes_bf16,
    .declare = declare,
    .destroy_state = destroy_state,
    .place = place,
    .forward = vt_vit_forward,
    .backward = vt_vit_backward,
    .layout = layout,
    .attention = attention,
    .forward_flops = forward_flops,
    .train_flops = train_flops,
    .products = products,
};
