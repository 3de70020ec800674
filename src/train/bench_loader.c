// Samples made by one worker, as the loader makes them, stage by stage.
#include "vitrain/train/bench.h"

#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"

#include <stdlib.h>

static const double WARM_UP_S = 2, LEAST_S = 5, MOST_S = 30;

typedef struct bench {
    const vt_data_config *data;
    const vt_source *source;
    bool training;
    uint64_t seed;
    uint32_t *order; // (source->count)
    vt_real *input;
    vt_sampler sampler;
    int64_t samples, bad;
    bool warned;
} bench;

// The samples of a pass, until `limit_s` is over.
static void run_pass(bench *b, uint32_t pass, double limit_s)
{
    const double start = vt_now_s();
    for (int64_t i = 0; i < b->source->count && vt_now_s() - start < limit_s; i++, b->samples++) {
        vt_rng rng = vt_sample_rng(b->seed, pass, (uint32_t)i);
        vt_status status =
            vt_sample(b->input, &b->sampler, b->source, b->order[i], &b->data->augment,
                      b->data->max_pixels, b->training ? &rng : NULL);
        if (status == VT_OK) continue;
        b->bad++;
        if (!b->warned) vt_log(VT_LOG_WARN, "%s (left out)", vt_error_message());
        b->warned = true;
    }
}

static vt_status measure(bench *b, vt_bench_loader_result *r)
{
    run_pass(b, 0, WARM_UP_S);
    b->samples = b->bad = 0;
    for (int i = 0; i < VT_STAGES; i++) b->sampler.scratch.stage_s[i] = 0;
    const double start = vt_now_s(), used = vt_processor_s();
    double spent = 0;
    for (uint32_t pass = 1; spent < LEAST_S; pass++, spent = vt_now_s() - start)
        run_pass(b, pass, MOST_S - spent);
    const int64_t good = b->samples - b->bad;
    VT_REQUIRE(good > 0, VT_ERR_DATA, "%s: none of %lld samples is readable", b->source->path,
               (long long)b->samples);
    *r = (vt_bench_loader_result){.samples = b->samples,
                                  .bad = b->bad,
                                  .images_per_s = (double)good / spent,
                                  .images_per_cpu_s = (double)good / (vt_processor_s() - used)};
    for (int i = 0; i < VT_STAGES; i++)
        r->stage_ms[i] = 1e3 * b->sampler.scratch.stage_s[i] / (double)good;
    return VT_OK;
}

vt_status vt_bench_loader(const vt_config *config, bool training, vt_bench_loader_result *result)
{
    const vt_data_config *data = &config->data;
    const vt_augment_config *a = &data->augment;
    const char *path = !training && data->val ? data->val : data->train;
    vt_source *source = NULL;
    VT_REQUIRE(path, VT_ERR_CONFIG, "data.train: expected a path, got none");
    VT_TRY(vt_source_open(&source, path, data->format, NULL));
    bench b = {.data = data, .source = source, .training = training, .seed = config->train.seed};
    b.order = vt_alloc((size_t)source->count, sizeof *b.order);
    b.input = vt_alloc((size_t)a->channels * (size_t)a->height * (size_t)a->width, sizeof *b.input);
    vt_status status = b.order && b.input ? VT_OK : VT_ERR_MEMORY;
    if (status == VT_OK) {
        vt_rng rng = vt_rng_at(b.seed, VT_STREAM_ORDER, 0, 0);
        vt_rng_permutation(&rng, (uint32_t)source->count, b.order);
        status = measure(&b, result);
    }
    vt_sampler_free(&b.sampler);
    free(b.input);
    free(b.order);
    vt_source_close(source);
    return status;
}
