// The configuration as a whole. Values come in layers, each over the one before: the table's
// defaults, the model preset's shape and pixels, the file, the overrides; what concerns more than
// one key is settled at the end.
#include "config_table.h"

#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 20, MAX_PATH = 128 };

// ---- one layer ----

static bool is_section(const char *path)
{
    for (const char *const *section = vt_config_sections; *section; section++)
        if (strcmp(*section, path) == 0) return true;
    return false;
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

// The key of that name in another section, or else the one that is nearest.
static vt_status refuse_unknown(const char *path, const vt_config_origin *origin)
{
    const char *names[VT_CONFIG_MAX_KEYS];
    size_t n = 0;
    for (const char *const *section = vt_config_sections + 1; *section; section++)
        names[n++] = *section;
    for (const vt_config_key *key = vt_config_keys; key->path && n < VT_CONFIG_MAX_KEYS; key++)
        names[n++] = key->path;
    const char *nearest = NULL;
    for (size_t i = 0; i < n && !nearest; i++)
        if (!strcmp(last_part(names[i]), last_part(path))) nearest = names[i];
    if (!nearest) nearest = vt_nearest_name(path, names, n);
    if (!nearest) return vt_fail(VT_ERR_CONFIG, "%s: unknown key \"%s\"", origin->name, path);
    return vt_fail(VT_ERR_CONFIG, "%s: unknown key \"%s\"; did you mean \"%s\"?", origin->name,
                   path, nearest);
}

static vt_status apply(vt_config *config, const char *path, const vt_json *value,
                       const vt_config_origin *origin);

static vt_status apply_members(vt_config *config, const char *section, const vt_json *object,
                               const vt_config_origin *origin)
{
    for (const vt_json *item = vt_json_first(object); item; item = vt_json_next(item)) {
        const char *name = vt_json_key(item);
        VT_REQUIRE(!strchr(name, '.'), VT_ERR_CONFIG,
                   "%s: unknown key \"%.80s\"; inside a file write it as objects within objects",
                   origin->name, name);
        char path[MAX_PATH]; // cut off if longer: no key is that long
        snprintf(path, sizeof path, "%s%s%s", section, section[0] ? "." : "", name);
        VT_TRY(apply(config, path, item, origin));
    }
    return VT_OK;
}

static vt_status apply_text(vt_config *config, const char *path, const char *json,
                            const vt_config_origin *origin)
{
    vt_json *value = NULL;
    VT_TRY(vt_json_parse(&value, json, strlen(json), path));
    vt_status status = apply(config, path, value, origin);
    vt_json_destroy(value);
    return status;
}

// The keys below `section` become what the table says.
static vt_status reset_section(vt_config *config, const char *section)
{
    static const vt_config_origin origin = {"default", NULL};
    const size_t length = strlen(section);
    for (const vt_config_key *key = vt_config_keys; key->path; key++)
        if (strncmp(key->path, section, length) == 0 && key->path[length] == '.')
            VT_TRY(apply_text(config, key->path, key->fallback, &origin));
    return VT_OK;
}

static vt_status apply_augment(vt_config *config, const vt_config_key *key, const vt_json *value,
                               const vt_config_origin *origin)
{
    const char *name = vt_json_type_of(value) == VT_JSON_STRING ? vt_json_string(value) : "";
    for (const vt_augment_preset *preset = vt_augment_presets; preset->name; preset++) {
        if (strcmp(preset->name, name) != 0) continue;
        VT_TRY(reset_section(config, key->path));
        return apply_text(config, key->path, preset->values, origin);
    }
    return vt_config_key_refuse(key, value, origin);
}

// Sets `path`, a key or a section, to a value.
static vt_status apply(vt_config *config, const char *path, const vt_json *value,
                       const vt_config_origin *origin)
{
    const vt_config_key *key = vt_config_key_find(path);
    bool section = is_section(path);
    if (section && vt_json_type_of(value) == VT_JSON_OBJECT)
        return apply_members(config, path, value, origin);
    if (key && key->kind == VT_KEY_AUGMENT) return apply_augment(config, key, value, origin);
    if (key) return vt_config_key_read(key, config, value, origin);
    if (!section) return refuse_unknown(path, origin);
    char *got = vt_json_text(value, false);
    vt_fail(VT_ERR_CONFIG, "%s: %s%sexpected an object, got %.80s", origin->name, path,
            path[0] ? ": " : "", got ? got : "?");
    free(got);
    return VT_ERR_CONFIG;
}

static vt_status apply_defaults(vt_config *config)
{
    static const vt_config_origin origin = {"default", NULL};
    for (const vt_config_key *key = vt_config_keys; key->path; key++)
        if (key->fallback) VT_TRY(apply_text(config, key->path, key->fallback, &origin));
    return VT_OK;
}

static void apply_family(vt_config *config, const char *name)
{
    const vt_model_ops *family = vt_family_find(name);
    if (family && family->defaults) family->defaults(&config->model);
}

static void apply_preset(vt_config *config, const vt_model_preset *preset)
{
    vt_model_preset_apply(&config->model, preset);
    config->data.augment.crop_pct = preset->crop_pct;
    memcpy(config->data.augment.mean, preset->mean, sizeof preset->mean);
    memcpy(config->data.augment.std, preset->std, sizeof preset->std);
}

// ---- all layers ----

vt_status vt_config_override(vt_config_layer *layer, const char *text)
{
    const char *equals = strchr(text, '=');
    VT_REQUIRE(equals, VT_ERR_CONFIG, "--set %.80s: expected KEY=VALUE", text);
    *layer = (vt_config_layer){.origin = "--set"};
    layer->key = strndup(text, (size_t)(equals - text));
    VT_REQUIRE(layer->key, VT_ERR_MEMORY, "out of memory for the configuration");
    const char *value = equals + 1;
    if (vt_json_parse(&layer->value, value, strlen(value), layer->key) == VT_OK) return VT_OK;
    layer->value = vt_json_new_string(value); // not JSON: a string
    VT_REQUIRE(layer->value, VT_ERR_MEMORY, "out of memory for the configuration");
    return VT_OK;
}

void vt_config_layer_free(vt_config_layer *layer)
{
    free(layer->key);
    vt_json_destroy(layer->value);
    *layer = (vt_config_layer){0};
}

// The value of model.name that the last layer gives; NULL if none does.
static const vt_json *find_name(const vt_config_layer *layers, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        const vt_json *value = layers[i].value;
        if (strcmp(layers[i].key, "model.name") == 0) return value;
        if (layers[i].key[0] == '\0')
            value = vt_json_get(value, "model");
        else if (strcmp(layers[i].key, "model") != 0)
            continue;
        if (value) value = vt_json_get(value, "name");
        if (value) return value;
    }
    return NULL;
}

static vt_status apply_layers(vt_config *config, const vt_config_layer *layers, int n)
{
    VT_TRY(apply_defaults(config));
    const vt_json *name = find_name(layers, n);
    const vt_model_preset *preset = NULL;
    if (name && vt_json_type_of(name) == VT_JSON_STRING)
        preset = vt_model_preset_find(vt_json_string(name));
    if (name && vt_json_type_of(name) == VT_JSON_STRING)
        apply_family(config, preset ? preset->family : vt_json_string(name));
    if (preset) apply_preset(config, preset);
    for (int i = 0; i < n; i++) {
        const vt_config_origin origin = {layers[i].origin, layers[i].folder};
        VT_TRY(apply(config, layers[i].key, layers[i].value, &origin));
    }
    return VT_OK;
}

// ---- what concerns more than one key ----

static vt_status check_pixel(const vt_config *config, const char *key, const double values[3])
{
    int channels = config->model.in_chans, given = 0;
    while (given < 3 && !isnan(values[given])) given++;
    bool grey = channels == 1 && given == 3 && values[0] == values[1] && values[0] == values[2];
    VT_REQUIRE(given == channels || grey, VT_ERR_CONFIG,
               "data.%s: expected %d number%s (model.in_chans), got %d", key, channels,
               channels == 1 ? "" : "s", given);
    return VT_OK;
}

static vt_status settle_data(vt_config *config)
{
    vt_augment_config *augment = &config->data.augment;
    bool any = config->data.train || config->data.val;
    augment->channels = config->model.in_chans;
    augment->height = config->model.image_height;
    augment->width = config->model.image_width;
    if (any) {
        VT_REQUIRE(augment->channels == 1 || augment->channels == 3, VT_ERR_CONFIG,
                   "model.in_chans: expected 1 or 3 to read pictures, got %d", augment->channels);
        VT_TRY(check_pixel(config, "mean", augment->mean));
        VT_TRY(check_pixel(config, "std", augment->std));
    }
    config->classes_assumed = config->model.num_classes == 0 && !any && !config->data.class_map;
    if (config->classes_assumed) config->model.num_classes = 1000;
    config->classes_given = config->model.num_classes > 0;
    return VT_OK;
}

static vt_status settle_model(vt_config *config)
{
    for (const vt_config_key *key = vt_config_keys; key->path; key++) {
        const char *field = (const char *)config + key->offset;
        const bool applies = vt_config_key_applies(key, config);
        const bool set = key->kind == VT_KEY_BOOL ? *(const bool *)field : *(const int *)field != 0;
        VT_REQUIRE(!(key->flags & VT_KEY_SHAPE) || set || !applies, VT_ERR_CONFIG,
                   "%s: missing; \"%s\" has no default for it", key->path, config->model.name);
        VT_REQUIRE(applies || !set, VT_ERR_CONFIG, "%s: \"%s\" takes no such key", key->path,
                   config->model.name);
    }
    vt_model_config model = config->model;
    if (model.num_classes == 0) model.num_classes = 1; // not known yet
    return vt_model_config_check(&model);
}

// runs/NAME, with NAME from NAME.json.
static vt_status settle_output(vt_config *config, const char *path)
{
    if (config->output) return VT_OK;
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path ? path : "vitrain";
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".json") == 0) length -= 5;
    char folder[512];
    snprintf(folder, sizeof folder, "runs/%.*s", (int)length, name);
    config->output = vt_path_absolute(folder);
    VT_REQUIRE(config->output, VT_ERR_MEMORY, "out of memory for the configuration");
    return VT_OK;
}

static vt_status check_distillation(const vt_config *config)
{
    if (config->loss.distill == VT_DISTILL_NONE) return VT_OK;
    VT_REQUIRE(config->distill_teacher, VT_ERR_CONFIG,
               "distill.teacher: expected a path, for distill.type is not \"none\", got none");
    VT_REQUIRE(!config->model.name[0] || config->model.distilled, VT_ERR_CONFIG,
               "model.distilled: expected true, for distill.type is not \"none\": the teacher "
               "teaches the second head; got false");
    return VT_OK;
}

// Binary targets know only which classes are in an image.
static vt_status check_loss(const vt_config *config)
{
    if (config->loss.kind != VT_LOSS_BCE || config->loss.target != VT_BCE_BINARY) return VT_OK;
    VT_REQUIRE(config->smoothing == 0, VT_ERR_CONFIG,
               "mix.smoothing: expected 0 with train.bce_target \"binary\", which counts every "
               "class above 0, got %g",
               config->smoothing);
    VT_REQUIRE(!strcmp(config->label_rule, "area"), VT_ERR_CONFIG,
               "label.rule: expected \"area\" with train.bce_target \"binary\", which forgets the "
               "shares that \"%s\" finds; or set train.bce_target=soft",
               config->label_rule);
    return VT_OK;
}

static vt_status settle(vt_config *config, const char *path)
{
    config->mix.has_minmax = config->mix.cutmix_minmax[1] > 0;
    VT_REQUIRE(config->model.name[0] || !path, VT_ERR_CONFIG,
               "model.name: missing; expected a preset such as \"%s\", or \"%s\" with its shape",
               vt_model_presets[0].name, vt_families[0]->family);
    if (config->model.name[0]) VT_TRY(settle_model(config));
    VT_TRY(settle_data(config));
    VT_TRY(check_loss(config));
    VT_TRY(check_distillation(config));
    return settle_output(config, path);
}

vt_status vt_precision_settle(vt_config *config)
{
    vt_precision *p = &config->train.precision;
    const char *missing = vt_bf16_missing();
    VT_REQUIRE(*p != VT_PRECISION_BF16 || !missing, VT_ERR_UNSUPPORTED,
               "train.precision: bf16 is not to be had: %s; \"fp32\" and \"auto\" work", missing);
    if (*p == VT_PRECISION_AUTO)
        *p = vt_bf16_pays() && vt_model_takes_bf16(&config->model) ? VT_PRECISION_BF16
                                                                   : VT_PRECISION_FP32;
    return VT_OK;
}

// ---- in and out ----

vt_status vt_config_build(vt_config *config, const vt_config_layer *layers, int n, const char *name)
{
    *config = (vt_config){0};
    vt_status status = apply_layers(config, layers, n);
    if (status == VT_OK) {
        status = settle(config, name);
        if (status != VT_OK) vt_fail_within(status, name ? name : "--set");
    }
    if (status != VT_OK) vt_config_free(config);
    return status;
}

vt_status vt_config_read(vt_json **out, const char *path)
{
    const vt_status status = vt_json_read(out, path, MAX_FILE_BYTES);
    return status == VT_ERR_FORMAT ? VT_ERR_CONFIG : status;
}

static vt_status load(vt_config *config, vt_config_layer *layers, const char *path, char *folder,
                      const char *const *overrides, int n_overrides)
{
    int n = 0;
    if (path) {
        vt_config_layer *file = &layers[n++];
        *file = (vt_config_layer){.key = strdup(""), .origin = path, .folder = folder};
        VT_REQUIRE(file->key && folder, VT_ERR_MEMORY, "out of memory for the configuration");
        VT_TRY(vt_config_read(&file->value, path));
    }
    for (int i = 0; i < n_overrides; i++) VT_TRY(vt_config_override(&layers[n++], overrides[i]));
    return vt_config_build(config, layers, n, path);
}

vt_status vt_config_load(vt_config *config, const char *path, const char *const *overrides,
                         int n_overrides)
{
    *config = (vt_config){0};
    vt_config_layer *layers = calloc((size_t)n_overrides + 1, sizeof *layers);
    VT_REQUIRE(layers, VT_ERR_MEMORY, "out of memory for the configuration");
    char *folder = path ? vt_path_folder(path) : NULL;
    vt_status status = load(config, layers, path, folder, overrides, n_overrides);
    for (int i = 0; i <= n_overrides; i++) vt_config_layer_free(&layers[i]);
    free(layers);
    free(folder);
    return status;
}

void vt_config_free(vt_config *config)
{
    for (const vt_config_key *key = vt_config_keys; key->path; key++) {
        void *field = (char *)config + key->offset;
        if (key->kind == VT_KEY_TEXT || key->kind == VT_KEY_PATH) free(*(char **)field);
        if (key->kind == VT_KEY_TEXTS) vt_texts_free(field);
    }
    *config = (vt_config){0};
}

// The object that holds path's last part, and that part; made on the way where `make`.
static vt_json *holder_of(vt_json *root, const char *path, const char **leaf, bool make)
{
    const char *dot;
    for (*leaf = path; root && (dot = strchr(*leaf, '.')); *leaf = dot + 1) {
        char name[MAX_PATH];
        snprintf(name, sizeof name, "%.*s", (int)(dot - *leaf), *leaf);
        vt_json *inner = (vt_json *)vt_json_get(root, name); // our own tree, or only read
        root = inner || !make ? inner : vt_json_add_object(root, name);
    }
    return root;
}

vt_json *vt_config_json(const vt_config *config)
{
    vt_json *root = vt_json_new_object();
    for (const vt_config_key *key = vt_config_keys; root && key->path; key++) {
        const char *leaf;
        if (key->kind == VT_KEY_AUGMENT) continue; // written value by value
        if (!vt_config_key_applies(key, config)) continue;
        vt_json *holder = holder_of(root, key->path, &leaf, true);
        if (holder && vt_config_key_write(key, config, holder, leaf)) continue;
        vt_json_destroy(root);
        root = NULL;
    }
    return root;
}

char *vt_config_input_text(const vt_config *config)
{
    static const char *const keys[] = {"interpolation", "crop_pct", "mean", "std"};
    vt_json *all = vt_config_json(config), *input = vt_json_new_object();
    for (size_t i = 0; all && i < sizeof keys / sizeof *keys; i++)
        vt_json_put_copy(input, keys[i], vt_json_get(vt_json_get(all, "data"), keys[i]));
    char *text = all ? vt_json_text(input, false) : NULL;
    vt_json_destroy(all);
    vt_json_destroy(input);
    return text;
}

// The key's value as text, in UTF-8 as in the metadata of a state. One that is missing has its
// default: the configuration is of a version that did not know the key, and did what the default
// now says.
static char *text_at(const vt_json *root, const vt_config_key *key)
{
    const char *leaf;
    const vt_json *holder = holder_of((vt_json *)root, key->path, &leaf, false);
    const vt_json *value = holder ? vt_json_get(holder, leaf) : NULL;
    vt_json *fallback = NULL;
    if (!value && key->fallback &&
        vt_json_parse(&fallback, key->fallback, strlen(key->fallback), key->path) == VT_OK)
        value = fallback;
    char *text = vt_json_text_utf8(value);
    vt_json_destroy(fallback);
    return text;
}

static const char *first_difference(const vt_json *a, const vt_json *b, unsigned flags)
{
    for (const vt_config_key *key = vt_config_keys; key->path; key++) {
        if (!(key->flags & flags)) continue;
        char *x = text_at(a, key), *y = text_at(b, key);
        bool same = x && y ? strcmp(x, y) == 0 : x == y;
        free(x);
        free(y);
        if (!same) return key->path;
    }
    return NULL;
}

const char *vt_config_difference(const vt_json *a, const vt_json *b, bool same_data)
{
    return first_difference(a, b, VT_KEY_SETTLED | (same_data ? 0 : VT_KEY_PLACE));
}

const char *vt_config_other_result(const vt_json *a, const vt_json *b)
{
    return first_difference(a, b, VT_KEY_SETTLED | VT_KEY_RESULT);
}
