// See the header.
#include "vitrain/data/sample.h"

enum { NAME_BYTES = 1024 };

void vt_sampler_free(vt_sampler *sampler)
{
    vt_file_buffer_free(&sampler->file);
    vt_image_free(&sampler->image);
    vt_augment_scratch_free(&sampler->scratch);
}

vt_rng vt_sample_rng(uint64_t seed, uint32_t epoch, uint32_t position)
{
    return vt_rng_at(seed, VT_STREAM_AUGMENT, epoch, position);
}

size_t vt_sampler_bytes(const vt_sampler *sampler)
{
    const vt_augment_scratch *s = &sampler->scratch;
    return sampler->file.capacity + sampler->image.capacity + s->decoded.capacity +
           s->region.capacity + s->resized.capacity + s->framed.capacity + s->resample.bytes +
           s->ops.spare.capacity + s->ops.padded.capacity;
}

static vt_status augment(vt_real *out, const vt_pixels *from, const vt_augment_config *config,
                         vt_rng *rng, vt_augment_scratch *scratch)
{
    return rng ? vt_augment_train_from(out, from, config, rng, scratch)
               : vt_augment_eval_from(out, from, config, scratch);
}

static vt_status sample_encoded(vt_real *out, vt_sampler *sampler, const unsigned char *data,
                                size_t bytes, const char *name, const vt_augment_config *config,
                                int64_t max_pixels, vt_rng *rng)
{
    vt_image_reader reader;
    VT_TRY(vt_image_open(&reader, data, bytes, max_pixels, name));
    const vt_pixels from = {.name = name, .reader = &reader, .max_pixels = max_pixels};
    vt_status status = augment(out, &from, config, rng, &sampler->scratch);
    vt_image_close(&reader);
    return status;
}

vt_status vt_sample(vt_real *out, vt_sampler *sampler, const vt_source *source, int64_t index,
                    const vt_augment_config *config, int64_t max_pixels, vt_rng *rng)
{
    char name[NAME_BYTES];
    const unsigned char *data = NULL;
    size_t bytes = 0;
    source->ops->describe(source, index, name, sizeof name);
    vt_stage_begin(&sampler->scratch);
    if (source->ops->fetch)
        VT_TRY(source->ops->fetch(source, index, &sampler->file, &data, &bytes));
    vt_stage_end(&sampler->scratch, VT_STAGE_READ);
    if (data) return sample_encoded(out, sampler, data, bytes, name, config, max_pixels, rng);
    VT_TRY(source->ops->read(source, index, &sampler->image, max_pixels));
    vt_stage_end(&sampler->scratch, VT_STAGE_DECODE);
    const vt_pixels from = {.name = name, .image = &sampler->image, .max_pixels = max_pixels};
    return augment(out, &from, config, rng, &sampler->scratch);
}

vt_status vt_sample_file(vt_real *out, vt_sampler *sampler, const char *path,
                         const vt_augment_config *config, int64_t max_pixels, vt_rng *rng)
{
    vt_file_buffer *file = &sampler->file;
    vt_stage_begin(&sampler->scratch);
    VT_TRY(vt_file_load(file, path, VT_IMAGE_MAX_BYTES));
    vt_stage_end(&sampler->scratch, VT_STAGE_READ);
    return sample_encoded(out, sampler, file->data, file->bytes, path, config, max_pixels, rng);
}
