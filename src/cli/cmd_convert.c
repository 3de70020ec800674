// vitrain convert: weights of any kind that is read, as safetensors.
#include "commands.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/io/weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    vt_dtype dtype;
} dtypes[] = {{"f32", VT_F32}, {"f16", VT_F16}, {"bf16", VT_BF16}};

// *out: NULL if none is asked for.
static vt_status read_dtype(const vt_dtype **out, const char *name)
{
    *out = NULL;
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(name, dtypes[i].name)) *out = &dtypes[i].dtype;
    VT_REQUIRE(!name || *out, VT_ERR_USAGE, "--dtype: expected f32, f16 or bf16, got \"%s\"", name);
    return VT_OK;
}

// Bytes, or as Hugging Face's max_shard_size: "500MB", in thousands.
static vt_status read_shard_size(size_t *out, const char *text)
{
    static const char *const units[] = {"", "KB", "MB", "GB"};
    *out = 0;
    if (!text) return VT_OK;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    size_t unit = 0;
    while (unit < 4 && strcasecmp(end, units[unit]) != 0) unit++;
    bool valid = text[0] >= '0' && text[0] <= '9' && errno == 0 && *out > 0 && unit < 4;
    for (; valid && unit > 0; unit--) valid = vt_size_mul(*out, 1000, out);
    VT_REQUIRE(valid, VT_ERR_USAGE,
               "--shard-size: expected bytes or a number with KB, MB or GB, got \"%s\"", text);
    return VT_OK;
}

static void tell(const vt_args *args, size_t left_out, const vt_weights_result *result)
{
    char shards[48] = "";
    if (left_out)
        vt_log(VT_LOG_INFO, "%s: left out %zu tensor%s of the run's state (optim.*, ema.*)",
               args->operands[0], left_out, vt_plural((int64_t)left_out));
    if (result->shards > 1)
        snprintf(shards, sizeof shards, " in %d shards and an index", result->shards);
    vt_log(VT_LOG_INFO, "%s: %zu tensor%s, %.1f MB%s", args->operands[1], result->tensors,
           vt_plural((int64_t)result->tensors), (double)result->bytes * 1e-6, shards);
}

static vt_status run(const vt_args *args)
{
    const vt_dtype *dtype;
    size_t shard_bytes;
    vt_st_file *file;
    VT_TRY(read_dtype(&dtype, args->dtype));
    VT_TRY(read_shard_size(&shard_bytes, args->shard_size));
    VT_TRY(vt_weights_open(&file, args->operands[0]));
    vt_st_file *weights;
    size_t left_out;
    VT_TRY(vt_weights_without_state(&weights, file, &left_out));
    vt_weights_result result;
    vt_status status =
        vt_st_count(weights) > 0
            ? vt_weights_write(args->operands[1], weights, dtype, shard_bytes, &result)
            : vt_fail(VT_ERR_FORMAT, "%s: expected weights, got %s", args->operands[0],
                      left_out ? "only a run's state (optim.*, ema.*)" : "no tensor");
    if (status == VT_OK) tell(args, left_out, &result);
    vt_st_close(weights);
    return status;
}

static void help(void)
{
    puts("\nWEIGHTS is a safetensors file, the index of a sharded one, or a .pth checkpoint of\n"
         "PyTorch's; OUT ends in .safetensors. Of a run's last.safetensors the weights are taken, "
         "not\n"
         "the optimizer's state. Without --dtype every tensor keeps its type; integers always do. "
         "With\n"
         "--shard-size, weights that are larger become OUT-00001-of-N.safetensors ... and an\n"
         "index, OUT.safetensors.index.json.");
}

const vt_command vt_cmd_convert = {
    .name = "convert",
    .operands = "WEIGHTS OUT",
    .summary = "weights (safetensors, sharded, .pth) as safetensors, in another type or in shards",
    .takes = "dtype shard-size quiet",
    .needs = "",
    .min_operands = 2,
    .max_operands = 2,
    .run = run,
    .help = help,
};
