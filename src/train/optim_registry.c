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

extern const vt_optim_ops vt_optim_adamw, vt_optim_sgd;
const vt_optim_ops *const vt_optims[] = {&vt_optim_adamw, &vt_optim_sgd, NULL};

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

// Of the tensor's name; -1 if it is of no block.
static int block_of(const char *name)
{
    int block;
    return sscanf(name, "blocks.%d.", &block) == 1 ? block : -1;
}

static bool is_embedding(const char *name)
{
    return !strncmp(name, "patch_embed.", 12) || !strcmp(name, "pos_embed") ||
           !strcmp(name, "cls_token") || !strcmp(name, "dist_token");
}

double vt_layer_scale(const vt_params *params, int row, double layer_decay)
{
    if (layer_decay <= 0 || layer_decay >= 1) return 1;
    const char *name = params->rows[row].name;
    const int block = block_of(name);
    int depth = 0;
    for (int i = 0; i < params->count; i++) {
        const int other = block_of(params->rows[i].name);
        if (other >= depth) depth = other + 1;
    }
    const int layer = block >= 0 ? block + 1 : is_embedding(name) ? 0 : depth + 1;
    return pow(layer_decay, depth + 1 - layer);
}

void vt_optim_step(const vt_optim_ops *ops, const vt_params *params, vt_real *weights,
                   const vt_real *grads, vt_real *const slabs[2], double lr, double scale,
                   int64_t step, const vt_optim_config *config)
{
#pragma omp parallel
    for (int row = 0; row < params->count; row++) {
        const vt_param *param = &params->rows[row];
        if (param->frozen) continue;
        double decay = param->decays ? config->weight_decay : 0;
        double rate = lr * vt_layer_scale(params, row, config->layer_decay);
#pragma omp for schedule(dynamic) nowait
        for (size_t chunk = 0; chunk < chunks_of(param->count); chunk++) {
            size_t start = chunk * CHUNK, at = param->offset + start;
            vt_real *moments[2] = {NULL, NULL};
            for (int i = 0; i < ops->n_slabs; i++) moments[i] = slabs[i] + at;
            ops->update(weights + at, grads + at, moments, chunk_length(param->count, start), rate,
                        decay, scale, step, config);
        }
    }
}

size_t vt_grad_norm_partials(const vt_params *params)
{
    return chunks_of(params->slab_count);
}

double vt_grad_norm(const vt_params *params, const vt_real *grads, double *partials)
{
    size_t chunks = vt_grad_norm_partials(params);
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
