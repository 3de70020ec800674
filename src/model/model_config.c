// A model's configuration: what is allowed, and its form in the metadata of weights files.
#include "vitrain/io/json.h"
#include "vitrain/model/model.h"

#include <string.h>

// Bounds that keep every product of sizes far inside int; real models stay below them.
enum {
    MAX_SIDE = 8192,
    MAX_CHANS = 64,
    MAX_WIDTH = 16384,
    MAX_DEPTH = 1000,
    MAX_CLASSES = 1000000,
    MAX_TOKENS = 65536
};

static vt_status in_range(const char *key, int value, int most)
{
    VT_REQUIRE(value >= 1 && value <= most, VT_ERR_CONFIG, "model.%s: expected 1 to %d, got %d",
               key, most, value);
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
    VT_TRY(in_range("image_size", c->image_height, MAX_SIDE));
    VT_TRY(in_range("image_size", c->image_width, MAX_SIDE));
    VT_TRY(in_range("patch_size", c->patch_size, MAX_SIDE));
    VT_TRY(in_range("in_chans", c->in_chans, MAX_CHANS));
    VT_TRY(in_range("embed_dim", c->embed_dim, MAX_WIDTH));
    VT_TRY(in_range("depth", c->depth, MAX_DEPTH));
    VT_TRY(in_range("num_heads", c->num_heads, c->embed_dim));
    VT_TRY(in_range("num_classes", c->num_classes, MAX_CLASSES));
    VT_REQUIRE(c->image_height % c->patch_size == 0 && c->image_width % c->patch_size == 0,
               VT_ERR_CONFIG, "model.patch_size: %d does not divide model.image_size %d x %d",
               c->patch_size, c->image_height, c->image_width);
    VT_REQUIRE((c->image_height / c->patch_size) * (c->image_width / c->patch_size) < MAX_TOKENS,
               VT_ERR_CONFIG, "model.patch_size: expected fewer than %d patches, got %d x %d",
               MAX_TOKENS, c->image_height / c->patch_size, c->image_width / c->patch_size);
    VT_REQUIRE(c->embed_dim % c->num_heads == 0, VT_ERR_CONFIG,
               "model.num_heads: %d does not divide model.embed_dim %d", c->num_heads,
               c->embed_dim);
    VT_REQUIRE(c->mlp_ratio > 0 && c->mlp_ratio <= 64 && c->mlp_ratio * c->embed_dim >= 1,
               VT_ERR_CONFIG, "model.mlp_ratio: expected a number above 0, at most 64, got %g",
               c->mlp_ratio);
    VT_TRY(is_rate("drop_path", c->drop_path));
    VT_TRY(is_rate("drop", c->drop));
    VT_TRY(is_rate("attn_drop", c->attn_drop));
    VT_REQUIRE(
        !(c->pool == VT_POOL_AVG && c->distilled), VT_ERR_CONFIG,
        "model.pool: \"avg\" does not go with model.distilled: a distilled model reads its two "
        "tokens");
    return VT_OK;
}

bool vt_model_takes_bf16(const vt_model_config *c)
{
    const int widths[] = {c->embed_dim / c->num_heads, (int)(c->embed_dim * c->mlp_ratio),
                          c->in_chans * c->patch_size * c->patch_size};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i] % 2) return false;
    return true;
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
    vt_json_add_number(root, "depth", c->depth);
    vt_json_add_number(root, "num_heads", c->num_heads);
    vt_json_add_number(root, "mlp_ratio", c->mlp_ratio);
    vt_json_add_number(root, "num_classes", c->num_classes);
    vt_json_add_bool(root, "qkv_bias", c->qkv_bias);
    vt_json_add_string(root, "pool", c->pool == VT_POOL_AVG ? "avg" : "token");
    vt_json_add_bool(root, "distilled", c->distilled);
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

static vt_status parse_members(vt_model_config *c, const vt_json *root, const char *name)
{
    const vt_json *node;
    struct {
        const char *key;
        int *value;
    } numbers[] = {{"patch_size", &c->patch_size}, {"in_chans", &c->in_chans},
                   {"embed_dim", &c->embed_dim},   {"depth", &c->depth},
                   {"num_heads", &c->num_heads},   {"num_classes", &c->num_classes}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        VT_TRY(member(&node, root, numbers[i].key, VT_JSON_NUMBER, name));
        VT_TRY(get_int(numbers[i].value, node, numbers[i].key, name));
    }
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
    return VT_OK;
}

vt_status vt_model_config_parse(vt_model_config *config, const char *text, const char *name)
{
    vt_json *root = NULL;
    VT_TRY(vt_json_parse(&root, text, strlen(text), name));
    vt_model_config parsed = {0};
    vt_status status = vt_json_type_of(root) == VT_JSON_OBJECT
                           ? parse_members(&parsed, root, name)
                           : vt_fail(VT_ERR_FORMAT, "%s: expected an object", name);
    vt_json_destroy(root);
    if (status == VT_OK) *config = parsed;
    return status;
}
