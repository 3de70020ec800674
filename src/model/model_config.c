// A model's configuration: what is allowed, and its form in the metadata of weights files.
#include "vitrain/io/json.h"
#include "vitrain/model/model.h"

#include <string.h>

// Bounds that keep every product of sizes far inside int; real models stay below them.
enum { MAX_SIDE = 8192, MAX_CHANS = 64, MAX_CLASSES = 1000000, MAX_TOKENS = 65536 };

vt_status vt_model_check_range(const char *key, int value, int most)
{
    VT_REQUIRE(value >= 1 && value <= most, VT_ERR_CONFIG, "model.%s: expected 1 to %d, got %d",
               key, most, value);
    return VT_OK;
}

vt_status vt_model_check_heads(int heads, int width)
{
    VT_TRY(vt_model_check_range("num_heads", heads, width));
    VT_REQUIRE(width % heads == 0, VT_ERR_CONFIG,
               "model.num_heads: %d does not divide model.embed_dim %d", heads, width);
    return VT_OK;
}

static vt_status is_rate(const char *key, double value)
{
    VT_REQUIRE(value >= 0 && value < 1, VT_ERR_CONFIG,
               "model.%s: expected a probability from 0 up to, not including, 1, got %g", key,
               value);
    return VT_OK;
}

vt_status vt_model_config_check(const vt_model_config *c)
{
    const vt_model_ops *ops = vt_family_find(c->family);
    VT_REQUIRE(ops, VT_ERR_CONFIG, "model.name: no model family \"%s\"", c->family);
    VT_TRY(vt_model_check_range("image_size", c->image_height, MAX_SIDE));
    VT_TRY(vt_model_check_range("image_size", c->image_width, MAX_SIDE));
    VT_TRY(vt_model_check_range("patch_size", c->patch_size, MAX_SIDE));
    VT_TRY(vt_model_check_range("in_chans", c->in_chans, MAX_CHANS));
    VT_TRY(vt_model_check_range("embed_dim", c->embed_dim, VT_MODEL_MAX_WIDTH));
    VT_TRY(vt_model_check_range("num_classes", c->num_classes, MAX_CLASSES));
    VT_REQUIRE(c->image_height % c->patch_size == 0 && c->image_width % c->patch_size == 0,
               VT_ERR_CONFIG, "model.patch_size: %d does not divide model.image_size %d x %d",
               c->patch_size, c->image_height, c->image_width);
    VT_REQUIRE((c->image_height / c->patch_size) * (c->image_width / c->patch_size) < MAX_TOKENS,
               VT_ERR_CONFIG, "model.patch_size: expected fewer than %d patches, got %d x %d",
               MAX_TOKENS, c->image_height / c->patch_size, c->image_width / c->patch_size);
    VT_REQUIRE(c->mlp_ratio > 0 && c->mlp_ratio <= 64, VT_ERR_CONFIG,
               "model.mlp_ratio: expected a number above 0, at most 64, got %g", c->mlp_ratio);
    VT_REQUIRE(c->mlp_ratio * c->embed_dim >= 1, VT_ERR_CONFIG,
               "model.mlp_ratio: expected an MLP at least 1 wide, so a number >= %.3g for "
               "model.embed_dim %d, got %g",
               1.0 / c->embed_dim, c->embed_dim, c->mlp_ratio);
    VT_REQUIRE(c->layer_scale >= 0 && c->layer_scale <= 1e6, VT_ERR_CONFIG,
               "model.init_values: expected a number above 0 or none, got %g", c->layer_scale);
    VT_TRY(is_rate("drop_path", c->drop_path));
    VT_TRY(is_rate("drop", c->drop));
    VT_TRY(is_rate("attn_drop", c->attn_drop));
    return ops->check(c);
}

bool vt_model_takes_bf16(const vt_model_config *c)
{
    return c->in_chans * c->patch_size * c->patch_size % 2 == 0 &&
           vt_family_find(c->family)->takes_bf16(c);
}

double vt_model_drop_path(const vt_model_config *c, int layer)
{
    const int last = c->depth - 1;
    if (c->drop_path_rule == VT_DROP_PATH_CONSTANT) return c->drop_path;
    return last > 0 ? c->drop_path * layer / last : 0;
}

// ---- metadata ----

static void write_stages(vt_json *root, const char *key, const vt_stage_ints *stages)
{
    vt_json *list = vt_json_add_array(root, key);
    for (int i = 0; i < stages->count; i++) vt_json_add_number(list, NULL, stages->at[i]);
}

char *vt_model_config_text(const vt_model_config *c)
{
    vt_json *root = vt_json_new_object();
    vt_json_add_string(root, "name", c->name);
    vt_json_add_string(root, "family", c->family);
    vt_json *size = vt_json_add_array(root, "image_size");
    vt_json_add_number(size, NULL, c->image_height);
    vt_json_add_number(size, NULL, c->image_width);
    vt_json_add_number(root, "patch_size", c->patch_size);
    vt_json_add_number(root, "in_chans", c->in_chans);
    vt_json_add_number(root, "embed_dim", c->embed_dim);
    if (c->depths.count > 0) {
        write_stages(root, "depths", &c->depths);
        write_stages(root, "num_heads", &c->heads);
        vt_json_add_number(root, "window_size", c->window_size);
    } else {
        vt_json_add_number(root, "depth", c->depth);
        vt_json_add_number(root, "num_heads", c->num_heads);
    }
    vt_json_add_number(root, "mlp_ratio", c->mlp_ratio);
    vt_json_add_number(root, "num_classes", c->num_classes);
    vt_json_add_bool(root, "qkv_bias", c->qkv_bias);
    vt_json_add_string(root, "pool", c->pool == VT_POOL_AVG ? "avg" : "token");
    vt_json_add_bool(root, "distilled", c->distilled);
    if (c->layer_scale > 0) vt_json_add_number(root, "init_values", c->layer_scale);
    if (c->no_embed_class) vt_json_add_bool(root, "no_embed_class", true);
    char *text = vt_json_text(root, false);
    vt_json_destroy(root);
    return text;
}

static vt_status member(const vt_json **out, const vt_json *root, const char *key,
                        vt_json_type type, const char *name)
{
    *out = vt_json_get(root, key);
    VT_REQUIRE(*out && vt_json_type_of(*out) == type, VT_ERR_FORMAT,
               "%s: the model's description lacks \"%s\", %s", name, key, vt_json_type_name(type));
    return VT_OK;
}

static vt_status get_int(int *out, const vt_json *node, const char *key, const char *name)
{
    double value = vt_json_number(node);
    VT_REQUIRE(value >= 0 && value <= 1e9 && value == (int)value, VT_ERR_FORMAT,
               "%s: the model's \"%s\": expected a whole number, got %g", name, key, value);
    *out = (int)value;
    return VT_OK;
}

static vt_status get_name(char *out, size_t capacity, const vt_json *root, const char *key,
                          const char *name)
{
    const vt_json *node;
    VT_TRY(member(&node, root, key, VT_JSON_STRING, name));
    VT_REQUIRE(strlen(vt_json_string(node)) < capacity, VT_ERR_FORMAT,
               "%s: the model's \"%s\" is too long", name, key);
    strcpy(out, vt_json_string(node));
    return VT_OK;
}

static vt_status get_number(int *out, const vt_json *root, const char *key, const char *name)
{
    const vt_json *node;
    VT_TRY(member(&node, root, key, VT_JSON_NUMBER, name));
    return get_int(out, node, key, name);
}

static vt_status get_stages(vt_stage_ints *out, const vt_json *root, const char *key,
                            const char *name)
{
    const vt_json *node;
    VT_TRY(member(&node, root, key, VT_JSON_ARRAY, name));
    VT_REQUIRE(vt_json_size(node) >= 1 && vt_json_size(node) <= VT_STAGES_MAX, VT_ERR_FORMAT,
               "%s: the model's \"%s\": expected 1 to %d numbers", name, key, VT_STAGES_MAX);
    for (node = vt_json_first(node); node; node = vt_json_next(node)) {
        VT_REQUIRE(vt_json_type_of(node) == VT_JSON_NUMBER, VT_ERR_FORMAT,
                   "%s: the model's \"%s\": expected numbers", name, key);
        VT_TRY(get_int(&out->at[out->count++], node, key, name));
    }
    return VT_OK;
}

// A model in stages has "depths".
static vt_status parse_blocks(vt_model_config *c, const vt_json *root, const char *name)
{
    if (!vt_json_get(root, "depths")) {
        VT_TRY(get_number(&c->depth, root, "depth", name));
        return get_number(&c->num_heads, root, "num_heads", name);
    }
    VT_TRY(get_stages(&c->depths, root, "depths", name));
    VT_TRY(get_stages(&c->heads, root, "num_heads", name));
    c->num_heads = c->heads.at[0];
    return get_number(&c->window_size, root, "window_size", name);
}

// What older files do not have, because there was none of it.
static vt_status parse_variant(vt_model_config *c, const vt_json *root, const char *name)
{
    const vt_json *node;
    if (vt_json_get(root, "init_values")) {
        VT_TRY(member(&node, root, "init_values", VT_JSON_NUMBER, name));
        c->layer_scale = vt_json_number(node);
    }
    if (vt_json_get(root, "no_embed_class")) {
        VT_TRY(member(&node, root, "no_embed_class", VT_JSON_BOOL, name));
        c->no_embed_class = vt_json_bool(node);
    }
    return VT_OK;
}

static vt_status parse_members(vt_model_config *c, const vt_json *root, const char *name)
{
    const vt_json *node;
    struct {
        const char *key;
        int *value;
    } numbers[] = {{"patch_size", &c->patch_size},
                   {"in_chans", &c->in_chans},
                   {"embed_dim", &c->embed_dim},
                   {"num_classes", &c->num_classes}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        VT_TRY(get_number(numbers[i].value, root, numbers[i].key, name));
    VT_TRY(parse_blocks(c, root, name));
    VT_TRY(get_name(c->name, sizeof c->name, root, "name", name));
    VT_TRY(get_name(c->family, sizeof c->family, root, "family", name));
    char pool[8];
    VT_TRY(get_name(pool, sizeof pool, root, "pool", name));
    c->pool = strcmp(pool, "avg") ? VT_POOL_TOKEN : VT_POOL_AVG;
    VT_REQUIRE(c->pool == VT_POOL_AVG || !strcmp(pool, "token"), VT_ERR_FORMAT,
               "%s: the model's \"pool\": expected \"token\" or \"avg\", got \"%s\"", name, pool);
    VT_TRY(member(&node, root, "image_size", VT_JSON_ARRAY, name));
    const vt_json *height = vt_json_first(node), *width = height ? vt_json_next(height) : NULL;
    VT_REQUIRE(width && vt_json_type_of(height) == VT_JSON_NUMBER &&
                   vt_json_type_of(width) == VT_JSON_NUMBER,
               VT_ERR_FORMAT, "%s: the model's \"image_size\": expected [height, width]", name);
    VT_TRY(get_int(&c->image_height, height, "image_size", name));
    VT_TRY(get_int(&c->image_width, width, "image_size", name));
    VT_TRY(member(&node, root, "mlp_ratio", VT_JSON_NUMBER, name));
    c->mlp_ratio = vt_json_number(node);
    VT_TRY(member(&node, root, "qkv_bias", VT_JSON_BOOL, name));
    c->qkv_bias = vt_json_bool(node);
    VT_TRY(member(&node, root, "distilled", VT_JSON_BOOL, name));
    c->distilled = vt_json_bool(node);
    return parse_variant(c, root, name);
}

vt_status vt_model_config_parse(vt_model_config *config, const char *text, const char *name)
{
    vt_json *root = NULL;
    vt_model_config parsed = {0};
    vt_status status = vt_json_parse(&root, text, strlen(text), VT_MODEL_METADATA);
    if (status != VT_OK) return vt_fail_within(status, name);
    status = vt_json_type_of(root) == VT_JSON_OBJECT
                 ? parse_members(&parsed, root, name)
                 : vt_fail(VT_ERR_FORMAT, "%s: expected an object", name);
    vt_json_destroy(root);
    if (status == VT_OK) *config = parsed;
    return status;
}
