// Mix, forward, label, loss, backward.
#include "vitrain/train/step.h"

#include "vitrain/base/threads.h"

#include <assert.h>

enum { MAX_HOOKS = 8 };

vt_status vt_step_init(vt_step *step, vt_model *model, const vt_mix_config *mix, double smoothing,
                       const char *rule, const vt_loss_config *loss, int max_batch)
{
    const vt_model_config *c = &model->config;
    *step = (vt_step){
        .model = model,
        .mix = mix,
        .smoothing = smoothing,
        .loss = loss ? *loss : (vt_loss_config){0},
        .max_batch = max_batch,
        .mix_shape = {c->in_chans, c->image_height, c->image_width, c->patch_size},
    };
    model->ops->layout(model, &step->layout);
    return vt_label_init(&step->label, rule, &step->layout);
}

vt_status vt_step_place(vt_step *step, vt_arena *arena, vt_elem type, vt_recompute recompute)
{
    const vt_model_config *c = &step->model->config;
    const size_t B = (size_t)step->max_batch, BK = B * (size_t)c->num_classes;
    const size_t pixels = (size_t)c->in_chans * (size_t)c->image_height * (size_t)c->image_width;
    const int heads = c->distilled ? 2 : 1;
    const vt_placement placement = {step->max_batch, true, type, recompute};
    VT_TRY(step->model->ops->place(step->model, arena, &placement));
    vt_mix_plan_place(&step->plan, arena, step->max_batch,
                      step->layout.grid_h * step->layout.grid_w);
    vt_label_place(&step->label, arena, step->max_batch);
    if (vt_fluctuation_possible(&step->label) && vt_model_attends_globally(step->model))
        vt_fluctuation_place(&step->fluctuation, arena, &step->label, c->depth);
    step->scratch = VT_ARENA_TAKE(arena, vt_real, (size_t)vt_threads() * pixels);
    step->rule_s = VT_ARENA_TAKE(arena, vt_thread_clock, (size_t)vt_threads());
    step->losses = VT_ARENA_TAKE(arena, vt_real, 2 * B);
    vt_real **const single[] = {&step->logits, &step->dlogits, &step->target, &step->share};
    vt_real **const second[] = {&step->logits_dist, &step->dlogits_dist, &step->target_dist,
                                &step->share_dist};
    for (int i = 0; i < 4; i++) {
        *single[i] = VT_ARENA_TAKE(arena, vt_real, i < 3 ? BK : B);
        *second[i] = heads == 2 ? VT_ARENA_TAKE(arena, vt_real, i < 3 ? BK : B) : NULL;
    }
    return VT_OK;
}

// Loss and its gradient of one head, which counts `weight`. Returns the mean loss.
static double head_loss(const vt_step *step, vt_real *losses, vt_real *dlogits,
                        const vt_real *logits, vt_real *target, const vt_real *share,
                        const int32_t *labels, int B, double weight)
{
    const int K = step->model->config.num_classes;
    vt_label_target(target, labels, step->plan.partner, share, step->smoothing, B, K);
    return vt_loss_of_head(&step->loss, losses, dlogits, logits, target, weight, B, K);
}

static double second_loss(vt_step *step, vt_real *losses, const vt_real *images,
                          const int32_t *labels, int B, double weight)
{
    if (!step->teacher)
        return head_loss(step, losses, step->dlogits_dist, step->logits_dist, step->target_dist,
                         step->share_dist, labels, B, weight);
    return vt_loss_of_teacher(&step->loss, losses, step->dlogits_dist, step->logits_dist,
                              vt_teacher_logits(step->teacher, images, B), step->target_dist,
                              weight, B, step->model->config.num_classes);
}

static double loss_of(vt_step *step, const vt_real *images, const int32_t *labels, int B)
{
    const double share = !step->logits_dist ? 0 : step->teacher ? step->loss.alpha : 0.5;
    const double first = head_loss(step, step->losses, step->dlogits, step->logits, step->target,
                                   step->share, labels, B, 1 - share);
    if (!step->logits_dist) return first;
    vt_real *losses = step->losses + step->max_batch;
    const double second = second_loss(step, losses, images, labels, B, share);
    for (int i = 0; i < B; i++)
        step->losses[i] =
            (vt_real)((1 - share) * (double)step->losses[i] + share * (double)losses[i]);
    return (1 - share) * first + share * second;
}

static void end_phase(vt_step *step, vt_phase phase, double *since)
{
    double now = vt_now_s();
    step->phase_s[phase] += now - *since;
    *since = now;
}

// The rule's hooks with a clock around them.
static void clocked_attention(void *self, const vt_attn_view *view)
{
    const vt_step *step = self;
    const double start = vt_now_s();
    step->rule.on_attention(step->rule.self, view);
    step->rule_s[vt_thread_index()].s += vt_now_s() - start;
}

static void clocked_merge(void *self, const vt_merge_view *view)
{
    const vt_step *step = self;
    const double start = vt_now_s();
    if (step->rule.on_merge) step->rule.on_merge(step->rule.self, view);
    step->rule_s[vt_thread_index()].s += vt_now_s() - start;
}

// The threads' mean time in the rule's hook goes from the forward phase to the label phase.
static void book_rule(vt_step *step)
{
    double sum = 0;
    for (int i = 0; i < vt_threads(); i++) {
        sum += step->rule_s[i].s;
        step->rule_s[i].s = 0;
    }
    step->phase_s[VT_PHASE_FORWARD] -= sum / vt_threads();
    step->phase_s[VT_PHASE_LABEL] += sum / vt_threads();
}

double vt_step_compute(vt_step *step, const vt_real *weights, vt_real *grads, const vt_real *images,
                       const int32_t *labels, int B, const vt_attn_hook *extra, int n_extra,
                       bool stochastic, vt_step_key key)
{
    assert(B >= 1 && B <= step->max_batch && n_extra + 2 <= MAX_HOOKS);
    double since = vt_now_s();
    vt_attn_hook hooks[MAX_HOOKS];
    vt_pass pass = {.B = B,
                    .images = images,
                    .logits = step->logits,
                    .logits_dist = step->logits_dist,
                    .hooks = hooks,
                    .training = true,
                    .stochastic = stochastic,
                    .seed = key.seed,
                    .step = key.step};
    if (vt_label_begin(&step->label, &step->plan, &step->rule))
        hooks[pass.n_hooks++] = (vt_attn_hook){
            .self = step, .on_attention = clocked_attention, .on_merge = clocked_merge};
    if (pass.n_hooks && step->fluctuation.layers)
        hooks[pass.n_hooks++] = vt_fluctuation_hook(&step->fluctuation);
    for (int i = 0; i < n_extra; i++) hooks[pass.n_hooks++] = extra[i];
    step->model->ops->forward(step->model, weights, &pass);
    end_phase(step, VT_PHASE_FORWARD, &since);
    book_rule(step);

    vt_label_finish(&step->label, step->share, step->share_dist);
    double loss = loss_of(step, images, labels, B);
    end_phase(step, VT_PHASE_LABEL, &since);

    step->model->ops->backward(step->model, weights, grads, &pass, step->dlogits,
                               step->dlogits_dist);
    end_phase(step, VT_PHASE_BACKWARD, &since);
    return loss;
}

void vt_step_mix(vt_step *step, vt_real *images, int B, vt_step_key key)
{
    double since = vt_now_s();
    vt_rng rng = vt_rng_at(key.seed, VT_STREAM_MIX, key.epoch, key.batch);
    vt_mix_draw(&step->plan, B, step->mix, &step->mix_shape, &rng);
    vt_mix_apply(images, &step->plan, &step->mix_shape, step->scratch);
    end_phase(step, VT_PHASE_MIX, &since);
}

double vt_step_run(vt_step *step, const vt_real *weights, vt_real *grads, vt_real *images,
                   const int32_t *labels, int B, vt_step_key key)
{
    vt_step_mix(step, images, B, key);
    return vt_step_compute(step, weights, grads, images, labels, B, NULL, 0, true, key);
}
