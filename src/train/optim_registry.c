// The optimizers, and what they share: walking the table of tensors in parallel, the gradient's
// norm.
//
// Threads share chunks of a fixed size, so where a chunk begins, and with it every bit of the
// result, is independent of their number.
#include "vitrain/train/optim.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 16384 }; // elements; four streams of them fit a core's second-level cache

extern const vt_optim_ops vt_optim_adamw, vt_optim_sgd, vt_optim_lamb;
const vt_optim_ops *const vt_optims[] = {&vt_optim_adamw, &vt_optim_sgd, &vt_optim_lamb, NULL};

const vt_optim_ops *vt_optim_find(const char *name)
{
    for (const vt_optim_ops *const *ops = vt_optims; *ops; ops++)
        if (strcmp((*ops)->name, name) == 0) return *ops;
    return NULL;
}

static size_t chunks_of(size_t count)
{
    return count / CHUNK + (count % CHUNK != 0);
}

static size_t chunk_length(size_t count, size_t start)
{
    return count - start < CHUNK ? count - start : CHUNK;
}

double vt_trust_ratio(const double sums[2], double decay)
{
    return decay != 0 && sums[0] > 0 && sums[1] > 0 ? sqrt(sums[0]) / sqrt(sums[1]) : 1;
}

static double decay_of(const vt_optim_work *w, const vt_param *param)
{
    return param->decays ? w->config->weight_decay : 0;
}

// As in BEiT and MAE: the more layers lie above, the slower.
static double layer_scale(const vt_param *param, double decay)
{
    return decay > 0 ? pow(decay, param->layers_above) : 1;
}

// A chunk of a tensor; sums: where it is measured, NULL where it is updated.
static void do_chunk(const vt_optim_work *w, const vt_param *param, size_t chunk,
                     const vt_optim_rate *rate, double *sums)
{
    const size_t start = chunk * CHUNK, at = param->offset + start;
    const size_t n = chunk_length(param->count, start);
    vt_real *moments[2];
    for (int i = 0; i < 2; i++) moments[i] = i < w->ops->n_slabs ? w->slabs[i] + at : NULL;
    if (sums)
        w->ops->measure(sums, w->weights + at, w->grads + at, moments, n, rate, w->config);
    else
        w->ops->update(w->weights + at, w->grads + at, moments, n, rate, w->config);
}

static void measure(const vt_optim_work *w, vt_optim_rate rate)
{
#pragma omp parallel firstprivate(rate)
    {
        double *sums = w->partials;
        for (int row = 0; row < w->params->count; row++) {
            const vt_param *param = &w->params->rows[row];
            const size_t chunks = chunks_of(param->count);
            if (!param->frozen) {
                rate.decay = decay_of(w, param);
#pragma omp for schedule(dynamic) nowait
                for (size_t chunk = 0; chunk < chunks; chunk++)
                    do_chunk(w, param, chunk, &rate, sums + 2 * chunk);
            }
            sums += 2 * chunks;
        }
    }
}

// The ratio of the tensor whose chunks' sums begin at `sums`, added up in their order.
static double ratio_of(const vt_optim_work *w, const vt_param *param, const double *sums)
{
    if (!w->ops->measure) return 1;
    double all[2] = {0, 0};
    for (size_t i = 0; i < 2 * chunks_of(param->count); i++) all[i % 2] += sums[i];
    return vt_trust_ratio(all, decay_of(w, param));
}

void vt_optim_step(const vt_optim_work *w, double lr, double scale, int64_t step)
{
    vt_optim_rate rate = {.scale = scale, .step = step};
    if (w->ops->measure) measure(w, rate);
#pragma omp parallel firstprivate(rate)
    {
        const double *sums = w->partials;
        for (int row = 0; row < w->params->count; row++) {
            const vt_param *param = &w->params->rows[row];
            const size_t chunks = chunks_of(param->count);
            if (!param->frozen) {
                rate.lr =
                    lr * layer_scale(param, w->config->layer_decay) * ratio_of(w, param, sums);
                rate.decay = decay_of(w, param);
#pragma omp for schedule(dynamic) nowait
                for (size_t chunk = 0; chunk < chunks; chunk++)
                    do_chunk(w, param, chunk, &rate, NULL);
            }
            if (w->ops->measure) sums += 2 * chunks;
        }
    }
}

size_t vt_optim_partials(const vt_params *params)
{
    size_t measured = 0, norm = chunks_of(params->slab_count);
    for (int row = 0; row < params->count; row++)
        measured += 2 * chunks_of(params->rows[row].count);
    return measured > norm ? measured : norm;
}

double vt_grad_norm(const vt_params *params, const vt_real *grads, double *partials)
{
    const size_t chunks = chunks_of(params->slab_count);
#pragma omp parallel for
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        const vt_real *g = grads + chunk * CHUNK;
        size_t n = chunk_length(params->slab_count, chunk * CHUNK);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++) sum += (double)g[i] * (double)g[i];
        partials[chunk] = sum;
    }
    double sum = 0;
    for (size_t chunk = 0; chunk < chunks; chunk++) sum += partials[chunk];
    return sqrt(sum);
}

double vt_clip_scale(double norm, double clip_norm)
{
    double scale = clip_norm > 0 ? clip_norm / (norm + 1e-6) : 1;
    return scale < 1 ? scale : 1;
}

double vt_optim_scale(const vt_optim_ops *ops, double norm, double clip_norm)
{
    const double clip = vt_clip_scale(norm, clip_norm), left = norm * clip;
    return ops->max_norm > 0 && left > ops->max_norm ? clip * ops->max_norm / left : clip;
}
