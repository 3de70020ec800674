// The mix plan: who is mixed with whom, how, and how much is left where. Sample i's partner is
// B-1-i; the middle one of an odd batch has none.
#include "vitrain/mix/mix.h"

#include "vitrain/base/threads.h"

#include <string.h>

void vt_mix_plan_place(vt_mix_plan *plan, vt_arena *arena, int B, int N)
{
    *plan = (vt_mix_plan){.B = B, .N = N};
    plan->partner = VT_ARENA_TAKE(arena, int32_t, B);
    plan->lambda = VT_ARENA_TAKE(arena, vt_real, B);
    plan->share = VT_ARENA_TAKE(arena, vt_real, (size_t)B * N);
    plan->cuts = VT_ARENA_TAKE(arena, vt_mix_cut, B);
}

// The mixer of the next cut; NULL if no alpha is above 0.
static const vt_mixer *choose(const vt_mix_config *config, vt_rng *rng)
{
    const vt_mixer *found[2] = {NULL, NULL}; // one that blends, one that cuts
    for (const vt_mixer *const *m = vt_mixers; *m; m++)
        if ((*m)->alpha(config) > 0) found[(*m)->cuts] = *m;
    if (found[0] && found[1]) return found[vt_rng_uniform(rng) < config->switch_prob];
    return found[0] ? found[0] : found[1];
}

static vt_mix_cut draw_cut(const vt_mix_config *config, const vt_mix_shape *shape, vt_rng *rng)
{
    vt_mix_cut cut = {.lambda = 1};
    if (vt_rng_uniform(rng) >= config->prob) return cut;
    cut.mixer = choose(config, rng);
    if (!cut.mixer) return cut;
    double alpha = cut.mixer->alpha(config);
    cut.lambda = vt_rng_beta(rng, alpha, alpha);
    cut.mixer->draw(&cut, config, shape, rng);
    return cut;
}

static void draw_cuts(vt_mix_plan *plan, const vt_mix_config *config, const vt_mix_shape *shape,
                      vt_rng *rng)
{
    vt_mix_cut *cuts = plan->cuts;
    for (int i = 0, j = plan->B - 1; i < j; i++, j--) {
        bool again = config->mode == VT_MIX_BATCH && i > 0;
        cuts[i] = again ? cuts[0] : draw_cut(config, shape, rng);
        cuts[j] = config->mode == VT_MIX_ELEM ? draw_cut(config, shape, rng) : cuts[i];
    }
}

void vt_mix_draw(vt_mix_plan *plan, int B, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng)
{
    plan->B = B;
    plan->mixed = false;
    for (int i = 0; i < B; i++) plan->cuts[i] = (vt_mix_cut){.lambda = 1};
    if (config) draw_cuts(plan, config, shape, rng);
    for (int i = 0; i < B; i++) {
        const vt_mix_cut *cut = &plan->cuts[i];
        vt_real *share = plan->share + (size_t)i * plan->N;
        plan->partner[i] = cut->mixer ? B - 1 - i : i;
        plan->lambda[i] = (vt_real)cut->lambda;
        plan->mixed |= cut->mixer != NULL;
        if (cut->mixer)
            cut->mixer->share(share, cut, shape);
        else
            for (int t = 0; t < plan->N; t++) share[t] = 1;
    }
}

void vt_mix_apply(vt_real *images, const vt_mix_plan *plan, const vt_mix_shape *shape,
                  vt_real *scratch)
{
    if (!plan->mixed) return;
    size_t n = (size_t)shape->channels * shape->height * shape->width;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < plan->B / 2; i++) {
        int j = plan->B - 1 - i;
        const vt_mix_cut *cut_a = &plan->cuts[i], *cut_b = &plan->cuts[j];
        vt_real *a = images + i * n, *b = images + j * n;
        const vt_real *original = a; // b is mixed with a as it was
        if (cut_a->mixer && cut_b->mixer)
            original = memcpy(scratch + vt_thread_index() * n, a, n * sizeof *a);
        if (cut_a->mixer) cut_a->mixer->apply(a, a, b, cut_a, shape);
        if (cut_b->mixer) cut_b->mixer->apply(b, b, original, cut_b, shape);
    }
}
