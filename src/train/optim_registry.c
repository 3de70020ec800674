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

// What a step is for each chunk.
typedef struct optim_step {
    const vt_optim_ops *ops;
    const vt_params *params;
    vt_real *weights;
    const vt_real *grads;
    vt_real *const *slabs;
    double lr, scale;
    int64_t step;
    const vt_optim_config *config;
    double *partials; // measured: of each tensor's chunks, two each
} optim_step;

static double decay_of(const optim_step *s, const vt_param *param)
{
    return param->decays ? s->config->weight_decay : 0;
}

// As in BEiT and MAE: the more layers lie above, the slower.
static double layer_scale(const vt_param *param, double decay)
{
    return decay > 0 ? pow(decay, param->layers_above) : 1;
}

static void moments_at(vt_real *moments[2], const optim_step *s, size_t at)
{
    for (int i = 0; i < 2; i++) moments[i] = i < s->ops->n_slabs ? s->slabs[i] + at : NULL;
}

static void measure_chunk(const optim_step *s, const vt_param *param, size_t chunk, double *sums)
{
    const size_t start = chunk * CHUNK, at = param->offset + start;
    vt_real *moments[2];
    moments_at(moments, s, at);
    s->ops->measure(sums, s->weights + at, s->grads + at, moments,
                    chunk_length(param->count, start), decay_of(s, param), s->scale, s->step,
                    s->config);
}

static void update_chunk(const optim_step *s, const vt_param *param, size_t chunk, double lr)
{
    const size_t start = chunk * CHUNK, at = param->offset + start;
    vt_real *moments[2];
    moments_at(moments, s, at);
    s->ops->update(s->weights + at, s->grads + at, moments, chunk_length(param->count, start), lr,
                   decay_of(s, param), s->scale, s->step, s->config);
}

static void measure(const optim_step *s)
{
#pragma omp parallel
    {
        double *sums = s->partials;
        for (int row = 0; row < s->params->count; row++) {
            const vt_param *param = &s->params->rows[row];
            const size_t chunks = chunks_of(param->count);
            if (!param->frozen) {
#pragma omp for schedule(dynamic) nowait
                for (size_t chunk = 0; chunk < chunks; chunk++)
                    measure_chunk(s, param, chunk, sums + 2 * chunk);
            }
            sums += 2 * chunks;
        }
    }
}

// The ratio of the tensor whose chunks' sums begin at `sums`, added up in their order.
static double ratio_of(const optim_step *s, const vt_param *param, const double *sums)
{
    if (!s->ops->measure) return 1;
    double all[2] = {0, 0};
    for (size_t i = 0; i < 2 * chunks_of(param->count); i++) all[i % 2] += sums[i];
    return vt_trust_ratio(all, decay_of(s, param));
}

void vt_optim_step(const vt_optim_ops *ops, const vt_params *params, vt_real *weights,
                   const vt_real *grads, vt_real *const slabs[2], double lr, double scale,
                   int64_t step, const vt_optim_config *config, double *partials)
{
    const optim_step s = {ops, params, weights, grads, slabs, lr, scale, step, config, partials};
    if (ops->measure) measure(&s);
#pragma omp parallel
    {
        const double *sums = partials;
        for (int row = 0; row < params->count; row++) {
            const vt_param *param = &params->rows[row];
            const size_t chunks = chunks_of(param->count);
            if (!param->frozen) {
                const double rate =
                    lr * layer_scale(param, config->layer_decay) * ratio_of(&s, param, sums);
#pragma omp for schedule(dynamic) nowait
                for (size_t chunk = 0; chunk < chunks; chunk++)
                    update_chunk(&s, param, chunk, rate);
            }
            if (ops->measure) sums += 2 * chunks;
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
