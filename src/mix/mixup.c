// Mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018. out = lambda a +
// (1 - lambda) b, everywhere, as timm computes it.
#include "vitrain/mix/mix.h"

static double alpha(const vt_mix_config *config)
{
    return config->mixup;
}

static void draw(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng)
{
    (void)cut, (void)config, (void)shape, (void)rng; // lambda as drawn is all there is
}

static void apply(vt_real *out, const vt_real *a, const vt_real *b, const vt_mix_cut *cut,
                  const vt_mix_shape *shape)
{
    size_t n = (size_t)shape->channels * shape->height * shape->width;
    vt_real lambda = (vt_real)cut->lambda, rest = (vt_real)(1 - cut->lambda);
#pragma omp simd
    for (size_t i = 0; i < n; i++) out[i] = a[i] * lambda + b[i] * rest;
}

static void share(vt_real *out, const vt_mix_cut *cut, const vt_mix_shape *shape)
{
    int N = (shape->height / shape->patch) * (shape->width / shape->patch);
    for (int t = 0; t < N; t++) out[t] = (vt_real)cut->lambda;
}

const vt_mixer vt_mixer_mixup = {
    .name = "mixup", .alpha = alpha, .cuts = false, .draw = draw, .apply = apply, .share = share};
