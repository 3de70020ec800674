// One sample, from its file to the network's input: what a worker of the loader does, what `vitrain
// preprocess` writes and `vitrain bench loader` measures.
#ifndef VITRAIN_DATA_SAMPLE_H
#define VITRAIN_DATA_SAMPLE_H

#include "vitrain/data/augment.h"
#include "vitrain/data/source.h"

// A worker's memory; zeroed to begin with, grows to the largest picture seen.
typedef struct vt_sampler {
    vt_file_buffer file;
    vt_image image;
    vt_augment_scratch scratch;
} vt_sampler;

void vt_sampler_free(vt_sampler *sampler);          // takes a zeroed one
size_t vt_sampler_bytes(const vt_sampler *sampler); // that it holds

// What augments the sample at `position` of a training epoch.
vt_rng vt_sample_rng(uint64_t seed, uint32_t epoch, uint32_t position);

// out: (channels, height, width). Training with rng, evaluation with NULL. The errors of the
// source, of vt_image_decode and of vt_augment_eval; the message names the picture.
vt_status vt_sample(vt_real *out, vt_sampler *sampler, const vt_source *source, int64_t index,
                    const vt_augment_config *config, int64_t max_pixels, vt_rng *rng);
// The same of a PNG or JPEG file by its path.
vt_status vt_sample_file(vt_real *out, vt_sampler *sampler, const char *path,
                         const vt_augment_config *config, int64_t max_pixels, vt_rng *rng);

#endif
