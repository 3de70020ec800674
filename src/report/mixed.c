// See the header.
#include "mixed.h"

#include "vitrain/base/threads.h"
#include "vitrain/data/sample.h"

#include <string.h>

enum { DRAWS = 200 };

// ---- memory ----

static vt_status place(vt_mixed *x, const vt_material *m)
{
    const vt_model_config *c = &m->model->config;
    vt_arena *arena = &x->arena;
    const size_t pixels = (size_t)c->in_chans * (size_t)c->image_height * (size_t)c->image_width;
    const size_t logits = (size_t)VT_MIXED * (size_t)c->num_classes;
    const vt_placement placement = {.max_batch = VT_MIXED};
    vt_mix_plan_place(&x->plan, arena, VT_MIXED, x->layout.grid_h * x->layout.grid_w);
    vt_label_place(&x->label, arena, VT_MIXED);
    vt_recorder_place(&x->recorder, arena, m->model, VT_MIXED, false, NULL);
    x->images = VT_ARENA_TAKE(arena, vt_real, VT_MIXED * pixels);
    x->scratch = VT_ARENA_TAKE(arena, vt_real, (size_t)vt_threads() * pixels);
    x->shares =
        VT_ARENA_TAKE(arena, vt_real, (size_t)x->depth * VT_MIXED * (size_t)x->layout.tokens);
    x->logits = VT_ARENA_TAKE(arena, vt_real, logits);
    x->logits_dist = c->distilled ? VT_ARENA_TAKE(arena, vt_real, logits) : NULL;
    return m->model->ops->place(m->model, arena, &placement);
}

static vt_status reserve(vt_mixed *x, const vt_material *m)
{
    m->model->ops->layout(m->model, &x->layout);
    x->depth = m->model->config.depth;
    VT_TRY(vt_label_init(&x->label, "tl-align", &x->layout));
    VT_TRY(place(x, m));
    VT_TRY(vt_arena_reserve(&x->arena));
    return place(x, m);
}

// ---- pictures ----

// Spread over the source, so that sorted data gives different classes; unreadable ones are passed
// over.
static vt_status read_pictures(vt_mixed *x, const vt_material *m)
{
    const vt_source *source = m->val;
    const vt_augment_config *a = &m->config.data.augment;
    const size_t pixels = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    vt_sampler sampler = {0};
    vt_status status = VT_OK;
    for (int i = 0; i < VT_MIXED && (status == VT_OK); i++) {
        const int64_t from = source->count * i / VT_MIXED, to = source->count * (i + 1) / VT_MIXED;
        status = vt_fail(VT_ERR_DATA, "%s: expected at least %d images", source->path, VT_MIXED);
        for (int64_t at = from; at < to && at < from + 20 && status != VT_OK; at++) {
            x->samples[i] = at;
            status = vt_sample(x->images + (size_t)i * pixels, &sampler, source, at, a,
                               m->config.data.max_pixels, NULL);
            if (status == VT_ERR_MEMORY) break;
        }
    }
    vt_sampler_free(&sampler);
    return status;
}

static bool well_mixed(const vt_mix_plan *plan)
{
    for (int i = 0; i < VT_MIXED_SHOWN; i++)
        if (!(plan->lambda[i] > 0.35 && plan->lambda[i] < 0.75)) return false;
    return true;
}

// Boxes as the run draws them, but neither tiny nor all: draws until they are, in a fixed order.
static void mix(vt_mixed *x, const vt_material *m)
{
    const vt_model_config *c = &m->model->config;
    const vt_mix_shape shape = {c->in_chans, c->image_height, c->image_width, c->patch_size};
    x->rules = m->config.mix;
    x->rules.mixup = 0;
    x->rules.cutmix = 1;
    x->rules.prob = 1;
    x->rules.mode = VT_MIX_ELEM;
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        vt_rng rng = vt_rng_at(0, VT_STREAM_MIX, draw, 0);
        vt_mix_draw(&x->plan, VT_MIXED, &x->rules, &shape, &rng);
        if (well_mixed(&x->plan)) break;
    }
    vt_mix_apply(x->images, &x->plan, &shape, x->scratch);
}

// ---- what the model makes of them ----

// After the rule's own hook: keeps where the shares are.
static void keep_shares(void *self, const vt_attn_view *view)
{
    vt_mixed *x = self;
    const size_t T = (size_t)x->layout.tokens;
    if (view->head < view->H - 1) return;
    vt_real *to = x->shares + ((size_t)view->layer * VT_MIXED + (size_t)view->sample) * T;
    for (int t = 0; t < view->T; t++) to[t] = x->label.ops->token_share(&x->label, view->sample, t);
}

static void look(vt_mixed *x, const vt_material *m)
{
    const bool follows = vt_label_begin(&x->label, &x->plan, &x->rule);
    const vt_attn_hook hooks[] = {
        vt_recorder_hook(&x->recorder), x->rule, {.self = x, .on_attention = keep_shares}};
    const vt_pass pass = {.B = VT_MIXED,
                          .images = x->images,
                          .logits = x->logits,
                          .logits_dist = x->logits_dist,
                          .hooks = hooks,
                          .n_hooks = follows ? 3 : 1};
    m->model->ops->forward(m->model, m->weights, &pass);
    vt_label_finish(&x->label, x->final_share, NULL);
}

vt_status vt_mixed_make(vt_mixed *x, const vt_material *m)
{
    *x = (vt_mixed){0};
    VT_REQUIRE(m->model, VT_ERR_DATA, "%s", m->no_model);
    VT_REQUIRE(m->val, VT_ERR_DATA, "%s", m->no_data);
    VT_REQUIRE(vt_model_attends_globally(m->model), VT_ERR_UNSUPPORTED,
               "attention in windows or stages is not drawn here; vitrain attend does it");
    VT_TRY(reserve(x, m));
    VT_TRY(read_pictures(x, m));
    mix(x, m);
    VT_REQUIRE(x->plan.mixed, VT_ERR_DATA, "no box was drawn in %d tries", DRAWS);
    look(x, m);
    return VT_OK;
}

void vt_mixed_free(vt_mixed *x)
{
    vt_arena_release(&x->arena);
}

const vt_real *vt_mixed_shares(const vt_mixed *x, int layer, int i)
{
    return x->shares + (size_t)(layer * VT_MIXED + i) * (size_t)x->layout.tokens;
}

double vt_mixed_head_share(const vt_mixed *x, int layer, int i)
{
    const vt_real *shares = vt_mixed_shares(x, layer, i);
    const int prefix = x->layout.prefix, N = x->plan.N;
    if (x->layout.pool == VT_POOL_TOKEN) return (double)shares[0];
    double sum = 0;
    for (int t = 0; t < N; t++) sum += (double)shares[prefix + t];
    return sum / N;
}
