// vitrain preprocess: the network's input for one picture, so that anyone can hold it against
// another program's.
//
// Out: images (1,channels,height,width) F32, as `vitrain probe` takes them.
#include "commands.h"

#include "vitrain/data/sample.h"
#include "vitrain/io/safetensors.h"

#include <math.h>
#include <stdlib.h>

// What training draws from; the defaults are those of a run's first sample.
static vt_status read_rng(vt_rng *rng, const vt_args *args, const vt_config *config)
{
    uint64_t seed = config->train.seed, epoch = 0, index = 0;
    VT_REQUIRE(args->train || !(args->seed || args->epoch || args->index), VT_ERR_USAGE,
               "--seed, --epoch and --index choose what training draws: they need --train");
    VT_TRY(vt_args_number(&seed, "seed", args->seed, 0, UINT64_C(1) << 53)); // as train.seed
    VT_TRY(vt_args_number(&epoch, "epoch", args->epoch, 0, UINT32_MAX));
    VT_TRY(vt_args_number(&index, "index", args->index, 0, UINT32_MAX));
    *rng = vt_sample_rng(seed, (uint32_t)epoch, (uint32_t)index);
    return VT_OK;
}

static vt_status preprocess(const vt_args *args, const vt_config *config)
{
    const vt_augment_config *a = &config->data.augment;
    VT_REQUIRE(config->model.name[0], VT_ERR_CONFIG, "model.name: missing");
    VT_REQUIRE(a->channels == 1 || a->channels == 3, VT_ERR_CONFIG,
               "model.in_chans: expected 1 or 3 to read pictures, got %d", a->channels);
    for (int c = 0; c < a->channels; c++)
        VT_REQUIRE(!isnan(a->mean[c]) && !isnan(a->std[c]), VT_ERR_CONFIG,
                   "data.mean, data.std: expected %d numbers (model.in_chans), got %d", a->channels,
                   c);
    vt_rng rng;
    VT_TRY(read_rng(&rng, args, config));
    vt_real *input =
        vt_alloc((size_t)a->channels * (size_t)a->height * (size_t)a->width, sizeof *input);
    if (!input) return VT_ERR_MEMORY;
    vt_sampler sampler = {0};
    vt_status status = vt_sample_file(input, &sampler, args->operands[0], a,
                                      config->data.max_pixels, args->train ? &rng : NULL);
    const vt_st_entry entry = {"images", VT_F32, 4, {1, a->channels, a->height, a->width}, input};
    if (status == VT_OK) status = vt_st_write(args->output, &entry, 1, NULL, 0);
    vt_sampler_free(&sampler);
    free(input);
    return status;
}

static vt_status run(const vt_args *args)
{
    vt_config config;
    VT_TRY(vt_config_load(&config, args->config, args->sets, args->n_sets));
    vt_status status = preprocess(args, &config);
    vt_config_free(&config);
    return status;
}

const vt_command vt_cmd_preprocess = {
    .name = "preprocess",
    .operands = "IMAGE",
    .summary = "the network's input for a picture, as evaluation or training makes it",
    .takes = "config output train seed epoch index set quiet",
    .needs = "config output",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
