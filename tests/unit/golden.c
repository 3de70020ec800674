// Golden files; see the header.
#include "numcheck.h"

#include "golden.h"

#include "vitrain/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

vt_st_file *vt_golden_open(const char *name)
{
    char path[128];
    vt_st_file *file;
    snprintf(path, sizeof path, "tests/golden/%s.safetensors", name);
    VT_ASSERT_OK(vt_st_open(&file, path));
    return file;
}

double vt_golden_number(const vt_st_file *file, const char *key)
{
    const char *text = vt_st_metadata(file, key);
    if (!text) fail_msg("%s: no metadata \"%s\"", vt_st_path(file), key);
    return strtod(text, NULL);
}

static vt_stage_ints stages(const vt_st_file *file, const char *key)
{
    vt_stage_ints out = {0};
    const char *text = vt_st_metadata(file, key);
    int length = 0;
    for (; text && sscanf(text, "%d%n", &out.at[out.count], &length) == 1; text += length)
        out.count++;
    return out;
}

// What golden_swin.py says instead of a depth.
static void read_stages(vt_model_config *config, const vt_st_file *file)
{
    strcpy(config->name, "swin");
    strcpy(config->family, "swin");
    config->depths = stages(file, "depths");
    config->heads = stages(file, "num_heads");
    config->num_heads = config->heads.at[0];
    config->window_size = (int)vt_golden_number(file, "window_size");
}

vt_model_config vt_golden_model(const vt_st_file *file)
{
    const bool staged = vt_st_metadata(file, "depths") != NULL;
    vt_model_config config = {
        .name = "vit",
        .family = "vit",
        .mlp_ratio = vt_golden_number(file, "mlp_ratio"),
        .qkv_bias = vt_golden_number(file, "qkv_bias") != 0,
        .pool = vt_golden_number(file, "avg") != 0 ? VT_POOL_AVG : VT_POOL_TOKEN,
        .distilled = vt_golden_number(file, "distilled") != 0,
    };
    if (vt_st_metadata(file, "init_values")) { // DeiT III
        config.layer_scale = vt_golden_number(file, "init_values");
        config.no_embed_class = vt_golden_number(file, "no_embed_class") != 0;
    }
    const struct {
        int *field;
        const char *key;
    } sizes[] = {
        {&config.image_height, "image_height"}, {&config.image_width, "image_width"},
        {&config.patch_size, "patch_size"},     {&config.in_chans, "in_chans"},
        {&config.embed_dim, "embed_dim"},       {&config.num_classes, "num_classes"},
        {&config.num_heads, "num_heads"},       {&config.depth, "depth"}, // not in stages
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes - (staged ? 2 : 0); i++)
        *sizes[i].field = (int)vt_golden_number(file, sizes[i].key);
    if (staged) read_stages(&config, file);
    return config;
}

vt_optim_config vt_golden_optim(const vt_st_file *file, const char *kind)
{
    struct {
        const char *key;
        double value;
    } numbers[] = {{"lr", 0},  {"beta1", 0},    {"beta2", 0},
                   {"eps", 0}, {"momentum", 0}, {"weight_decay", 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_%s", kind, numbers[i].key);
        if (vt_st_metadata(file, key)) numbers[i].value = vt_golden_number(file, key);
    }
    return (vt_optim_config){.lr = numbers[0].value,
                             .betas = {numbers[1].value, numbers[2].value},
                             .eps = numbers[3].value,
                             .momentum = numbers[4].value,
                             .weight_decay = numbers[5].value};
}

static const vt_st_tensor *find(const vt_st_file *file, const char *name, vt_dtype dtype, size_t n)
{
    const vt_st_tensor *tensor = vt_st_find(file, name);
    if (!tensor || tensor->dtype != dtype || tensor->count != n)
        fail_msg("%s: no tensor \"%s\" of %zu x %s", vt_st_path(file), name, n,
                 vt_dtype_name(dtype));
    return tensor;
}

void vt_golden_reals(const vt_st_file *file, const char *name, vt_real *out, size_t n)
{
    const vt_st_tensor *tensor = find(file, name, VT_F32, n);
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, tensor->data + i * sizeof value, sizeof value);
        out[i] = (vt_real)value;
    }
}

void vt_golden_ints(const vt_st_file *file, const char *name, int32_t *out, size_t n)
{
    const vt_st_tensor *tensor = find(file, name, VT_I64, n);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)vt_le64(tensor->data + 8 * i);
}

void vt_golden_plan(vt_rig *rig, const vt_st_file *file, const vt_real *mask)
{
    vt_mix_plan *plan = &rig->step.plan;
    plan->mixed = true;
    vt_golden_ints(file, "partner", plan->partner, (size_t)rig->B);
    for (size_t i = 0; i < (size_t)rig->B * (size_t)plan->N; i++) plan->share[i] = 1 - mask[i];
}
