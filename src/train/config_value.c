// One key's value: from JSON into its field, back, and what it takes in words.
#include "config_table.h"

#include "vitrain/io/file.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- in words ----

static const char *kind_noun(vt_key_kind kind)
{
    switch (kind) {
    case VT_KEY_INT:
    case VT_KEY_INT64: return "an integer";
    case VT_KEY_REAL: return "a number";
    case VT_KEY_BOOL: return "true or false";
    case VT_KEY_PATH: return "a path";
    case VT_KEY_SIZE: return "an integer or [height, width],";
    case VT_KEY_STAGES: return "a list of integers";
    case VT_KEY_HEADS: return "an integer or a list of integers,";
    case VT_KEY_PAIR: return "a list of 2 numbers";
    case VT_KEY_PIXEL: return "a list of 1 to 3 numbers";
    case VT_KEY_JITTER: return "a number or [brightness, contrast, saturation, hue],";
    case VT_KEY_POLICY: return "a policy such as \"rand-m9-mstd0.5-inc1\"";
    case VT_KEY_AUGMENT: return "an object";
    case VT_KEY_TEXTS: return "a list of patterns";
    case VT_KEY_MODEL:
    case VT_KEY_ENUM:
    case VT_KEY_TEXT: break;
    }
    return NULL;
}

static bool has_range(vt_key_kind kind)
{
    return kind == VT_KEY_INT || kind == VT_KEY_INT64 || kind == VT_KEY_REAL ||
           kind == VT_KEY_SIZE || kind == VT_KEY_STAGES || kind == VT_KEY_HEADS ||
           kind == VT_KEY_PAIR || kind == VT_KEY_PIXEL || kind == VT_KEY_JITTER;
}

static void say_range(FILE *out, const vt_config_key *key)
{
    bool above = key->flags & VT_KEY_ABOVE, below = key->flags & VT_KEY_BELOW;
    bool has_low = isfinite(key->low), has_high = isfinite(key->high);
    if (has_low && has_high && !above && !below) {
        fprintf(out, " from %.15g to %.15g", key->low, key->high);
    } else {
        if (has_low) fprintf(out, " %s %.15g", above ? ">" : ">=", key->low);
        if (has_low && has_high) fprintf(out, " and");
        if (has_high) fprintf(out, " %s %.15g", below ? "<" : "<=", key->high);
    }
    if (key->flags & VT_KEY_RISING)
        fprintf(out, ", the first %s the second",
                key->flags & VT_KEY_APART ? "below" : "not above");
}

void vt_config_key_takes(const vt_config_key *key, char *text, size_t capacity)
{
    enum { MOST = 48 };
    const char *parts[MOST + 2]; // joined as "a, b or c"
    char quoted[MOST][48];
    int n = 0;
    for (; key->choice && key->choice(n) && n < MOST; n++) {
        snprintf(quoted[n], sizeof quoted[n], "\"%s\"", key->choice(n));
        parts[n] = quoted[n];
    }
    if (kind_noun(key->kind)) parts[n++] = kind_noun(key->kind);
    if (key->flags & VT_KEY_NULL) parts[n++] = "null";

    text[0] = '\0';
    FILE *out = fmemopen(text, capacity, "w");
    if (!out) return;
    for (int i = 0; i < n; i++) {
        fprintf(out, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", parts[i]);
        if (i == 0 && has_range(key->kind)) say_range(out, key);
    }
    fclose(out);
}

vt_status vt_config_key_refuse(const vt_config_key *key, const vt_json *value,
                               const vt_config_origin *origin)
{
    char takes[VT_CONFIG_TAKES_BYTES];
    vt_config_key_takes(key, takes, sizeof takes);
    char *got = vt_json_text(value, false);
    vt_fail(VT_ERR_CONFIG, "%s: %s: expected %s, got %.80s", origin->name, key->path, takes,
            got ? got : "?");
    free(got);
    return VT_ERR_CONFIG;
}

// ---- reading ----

static bool in_range(const vt_config_key *key, const vt_json *value)
{
    if (vt_json_type_of(value) != VT_JSON_NUMBER) return false;
    double v = vt_json_number(value);
    if (!isfinite(v)) return false;
    if (key->flags & VT_KEY_ABOVE ? v <= key->low : v < key->low) return false;
    return key->flags & VT_KEY_BELOW ? v < key->high : v <= key->high;
}

// Whole, and in a double exactly (seeds), or in an int.
static bool is_integer(const vt_config_key *key, const vt_json *value)
{
    double most = key->kind == VT_KEY_INT64 ? 9007199254740992.0 : INT_MAX;
    if (!in_range(key, value)) return false;
    double v = vt_json_number(value);
    return v == floor(v) && v <= most;
}

// The number of a list's elements, all of them in range; 0 if it is not such a list.
static int read_list(const vt_config_key *key, const vt_json *value, int most, double *out)
{
    if (vt_json_type_of(value) != VT_JSON_ARRAY || vt_json_size(value) > most) return 0;
    int n = 0;
    for (const vt_json *item = vt_json_first(value); item; item = vt_json_next(item)) {
        if (!in_range(key, item)) return 0;
        out[n++] = vt_json_number(item);
    }
    return n;
}

_Static_assert(offsetof(vt_model_config, image_width) ==
                   offsetof(vt_model_config, image_height) + sizeof(int),
               "VT_KEY_SIZE takes height and width for an array");

static bool read_size(const vt_config_key *key, const vt_json *value, int *side)
{
    if (is_integer(key, value)) {
        side[0] = side[1] = (int)vt_json_number(value);
        return true;
    }
    if (vt_json_type_of(value) != VT_JSON_ARRAY || vt_json_size(value) != 2) return false;
    const vt_json *height = vt_json_first(value), *width = vt_json_next(height);
    if (!is_integer(key, height) || !is_integer(key, width)) return false;
    side[0] = (int)vt_json_number(height);
    side[1] = (int)vt_json_number(width);
    return true;
}

static bool read_stages(const vt_config_key *key, const vt_json *value, vt_stage_ints *stages)
{
    vt_stage_ints v = {0};
    if (vt_json_type_of(value) != VT_JSON_ARRAY || vt_json_size(value) > VT_STAGES_MAX)
        return false;
    for (const vt_json *item = vt_json_first(value); item; item = vt_json_next(item)) {
        if (!is_integer(key, item)) return false;
        v.at[v.count++] = (int)vt_json_number(item);
    }
    if (v.count > 0) *stages = v;
    return v.count > 0;
}

static bool read_heads(const vt_config_key *key, const vt_json *value, vt_model_config *model)
{
    if (read_stages(key, value, &model->heads)) {
        model->num_heads = model->heads.at[0];
        return true;
    }
    if (!is_integer(key, value)) return false;
    model->num_heads = (int)vt_json_number(value);
    model->heads.count = 0;
    return true;
}

static bool read_pair(const vt_config_key *key, const vt_json *value, double *pair)
{
    double v[2];
    if (read_list(key, value, 2, v) != 2) return false;
    if ((key->flags & VT_KEY_RISING) && v[0] > v[1]) return false;
    if ((key->flags & VT_KEY_APART) && v[0] == v[1]) return false;
    memcpy(pair, v, sizeof v);
    return true;
}

static bool read_pixel(const vt_config_key *key, const vt_json *value, double *channels)
{
    double v[3] = {NAN, NAN, NAN};
    if (read_list(key, value, 3, v) == 0) return false;
    memcpy(channels, v, sizeof v);
    return true;
}

// As timm: a number is the strength of all but the hue, which a list of three leaves out too.
static bool read_jitter(const vt_config_key *key, const vt_json *value, double *strength)
{
    static const double most_hue = 0.5;
    double v[VT_JITTERS] = {0};
    if (in_range(key, value))
        v[0] = v[1] = v[2] = vt_json_number(value);
    else if (read_list(key, value, VT_JITTERS, v) < VT_JITTERS - 1)
        return false;
    if (v[VT_JITTERS - 1] > most_hue) return false;
    memcpy(strength, v, sizeof v);
    return true;
}

static int choice_index(const vt_config_key *key, const char *name)
{
    for (int i = 0; name && key->choice && key->choice(i); i++)
        if (strcmp(key->choice(i), name) == 0) return i;
    return -1;
}

static vt_status replace_text(char **field, char *text)
{
    VT_REQUIRE(text, VT_ERR_MEMORY, "out of memory for the configuration");
    free(*field);
    *field = text;
    return VT_OK;
}

static vt_status read_path(const vt_config_key *key, char **field, const char *name,
                           const vt_config_origin *origin)
{
    if (choice_index(key, name) >= 0) return replace_text(field, strdup(name));
    if (!origin->folder || (key->flags & VT_KEY_CWD))
        return replace_text(field, vt_path_absolute(name));
    char *joined = vt_path_join(origin->folder, name);
    char *absolute = joined ? vt_path_absolute(joined) : NULL;
    free(joined);
    return replace_text(field, absolute);
}

// The name is known: a preset's or a family's.
static void read_model(vt_model_config *model, const char *name)
{
    const vt_model_preset *preset = vt_model_preset_find(name);
    const char *family = preset ? preset->family : name;
    snprintf(model->name, sizeof model->name, "%s", name);
    snprintf(model->family, sizeof model->family, "%s", family);
}

static vt_status read_policy(const vt_config_key *key, vt_rand_augment *field, const char *policy,
                             const vt_config_origin *origin)
{
    char prefix[256];
    if (vt_rand_augment_parse(field, policy) == VT_OK) return VT_OK;
    snprintf(prefix, sizeof prefix, "%s: %s", origin->name, key->path);
    return vt_fail_within(VT_ERR_CONFIG, prefix);
}

static void set_null(const vt_config_key *key, void *field)
{
    switch (key->kind) {
    case VT_KEY_INT: *(int *)field = 0; break;
    case VT_KEY_REAL: *(double *)field = 0; break;
    case VT_KEY_PAIR: memset(field, 0, 2 * sizeof(double)); break;
    case VT_KEY_POLICY: memset(field, 0, sizeof(vt_rand_augment)); break;
    default: // a text
        free(*(char **)field);
        *(char **)field = NULL;
    }
}

void vt_texts_free(vt_texts *texts)
{
    for (int i = 0; i < texts->count; i++) free(texts->text[i]);
    free(texts->text);
    *texts = (vt_texts){0};
}

static vt_status read_texts(const vt_config_key *key, vt_texts *field, const vt_json *value,
                            const vt_config_origin *origin)
{
    const bool list = vt_json_type_of(value) == VT_JSON_ARRAY;
    if (!list || vt_json_size(value) > VT_CONFIG_MAX_TEXTS)
        return vt_config_key_refuse(key, value, origin);
    for (const vt_json *item = vt_json_first(value); item; item = vt_json_next(item))
        if (vt_json_type_of(item) != VT_JSON_STRING || !vt_json_string(item)[0])
            return vt_config_key_refuse(key, value, origin);
    vt_texts_free(field);
    if (!vt_json_first(value)) return VT_OK;
    field->text = calloc((size_t)vt_json_size(value), sizeof *field->text);
    VT_REQUIRE(field->text, VT_ERR_MEMORY, "out of memory for the configuration");
    for (const vt_json *item = vt_json_first(value); item; item = vt_json_next(item))
        VT_TRY(replace_text(&field->text[field->count++], strdup(vt_json_string(item))));
    return VT_OK;
}

vt_status vt_config_key_read(const vt_config_key *key, vt_config *config, const vt_json *value,
                             const vt_config_origin *origin)
{
    void *field = (char *)config + key->offset;
    vt_json_type type = vt_json_type_of(value);
    const char *text = type == VT_JSON_STRING ? vt_json_string(value) : NULL;
    int choice = choice_index(key, text);
    bool fine = false;
    if (type == VT_JSON_NULL && (key->flags & VT_KEY_NULL)) {
        set_null(key, field);
        return VT_OK;
    }
    switch (key->kind) {
    case VT_KEY_MODEL:
        fine = choice >= 0;
        if (fine) read_model(&config->model, text);
        break;
    case VT_KEY_INT:
        fine = is_integer(key, value);
        if (fine) *(int *)field = (int)vt_json_number(value);
        break;
    case VT_KEY_INT64:
        fine = is_integer(key, value);
        if (fine) *(int64_t *)field = (int64_t)vt_json_number(value);
        break;
    case VT_KEY_REAL:
        fine = in_range(key, value);
        if (fine) *(double *)field = vt_json_number(value);
        break;
    case VT_KEY_BOOL:
        fine = type == VT_JSON_BOOL;
        if (fine) *(bool *)field = vt_json_bool(value);
        break;
    case VT_KEY_ENUM:
        fine = choice >= 0;
        if (fine) *(int *)field = choice;
        break;
    case VT_KEY_TEXT:
        if (choice >= 0) return replace_text(field, strdup(text));
        break;
    case VT_KEY_PATH:
        if (text && text[0]) return read_path(key, field, text, origin);
        break;
    case VT_KEY_SIZE: fine = read_size(key, value, field); break;
    case VT_KEY_STAGES: fine = read_stages(key, value, field); break;
    case VT_KEY_HEADS: fine = read_heads(key, value, &config->model); break;
    case VT_KEY_PAIR: fine = read_pair(key, value, field); break;
    case VT_KEY_PIXEL: fine = read_pixel(key, value, field); break;
    case VT_KEY_JITTER: fine = read_jitter(key, value, field); break;
    case VT_KEY_TEXTS: return read_texts(key, field, value, origin);
    case VT_KEY_POLICY:
        if (text) return read_policy(key, field, text, origin);
        break;
    case VT_KEY_AUGMENT: break; // config.c's
    }
    return fine ? VT_OK : vt_config_key_refuse(key, value, origin);
}

bool vt_config_key_applies(const vt_config_key *key, const vt_config *config)
{
    const vt_model_ops *family = vt_family_find(config->model.family);
    return !(key->flags & VT_KEY_FAMILY) || (family && vt_family_takes(family, key->path));
}

// ---- writing ----

static vt_json *write_list(vt_json *parent, const char *name, const double *v, int n)
{
    vt_json *list = vt_json_add_array(parent, name);
    for (int i = 0; list && i < n; i++)
        if (!vt_json_add_number(list, NULL, v[i])) return NULL;
    return list;
}

static vt_json *write_size(vt_json *parent, const char *name, const int side[2])
{
    if (side[0] == side[1]) return vt_json_add_number(parent, name, side[0]);
    return write_list(parent, name, (double[]){side[0], side[1]}, 2);
}

static vt_json *write_stages(vt_json *parent, const char *name, const vt_stage_ints *stages)
{
    double v[VT_STAGES_MAX];
    for (int i = 0; i < stages->count; i++) v[i] = stages->at[i];
    return write_list(parent, name, v, stages->count);
}

static vt_json *write_pixel(vt_json *parent, const char *name, const double channels[3])
{
    int n = 0;
    while (n < 3 && !isnan(channels[n])) n++;
    return write_list(parent, name, channels, n);
}

static vt_json *write_jitter(vt_json *parent, const char *name, const double v[VT_JITTERS])
{
    if (v[3] == 0 && v[0] == v[1] && v[1] == v[2]) return vt_json_add_number(parent, name, v[0]);
    return write_list(parent, name, v, v[3] == 0 ? VT_JITTERS - 1 : VT_JITTERS);
}

static vt_json *write_text(vt_json *parent, const char *name, const char *text)
{
    return text ? vt_json_add_string(parent, name, text) : vt_json_add_null(parent, name);
}

static vt_json *write_texts(vt_json *parent, const char *name, const vt_texts *texts)
{
    vt_json *list = vt_json_add_array(parent, name);
    for (int i = 0; list && i < texts->count; i++)
        if (!vt_json_add_string(list, NULL, texts->text[i])) return NULL;
    return list;
}

vt_json *vt_config_key_write(const vt_config_key *key, const vt_config *config, vt_json *parent,
                             const char *name)
{
    const void *field = (const char *)config + key->offset;
    bool may_be_null = key->flags & VT_KEY_NULL;
    switch (key->kind) {
    case VT_KEY_MODEL: return vt_json_add_string(parent, name, field);
    case VT_KEY_INT:
        if (may_be_null && *(const int *)field == 0) break;
        return vt_json_add_number(parent, name, *(const int *)field);
    case VT_KEY_INT64: return vt_json_add_number(parent, name, (double)*(const int64_t *)field);
    case VT_KEY_REAL:
        if (may_be_null && *(const double *)field == 0) break;
        return vt_json_add_number(parent, name, *(const double *)field);
    case VT_KEY_BOOL: return vt_json_add_bool(parent, name, *(const bool *)field);
    case VT_KEY_ENUM: return vt_json_add_string(parent, name, key->choice(*(const int *)field));
    case VT_KEY_TEXT:
    case VT_KEY_PATH: return write_text(parent, name, *(char *const *)field);
    case VT_KEY_SIZE: return write_size(parent, name, field);
    case VT_KEY_PAIR:
        if (may_be_null && ((const double *)field)[1] == 0) break;
        return write_list(parent, name, field, 2);
    case VT_KEY_PIXEL: return write_pixel(parent, name, field);
    case VT_KEY_JITTER: return write_jitter(parent, name, field);
    case VT_KEY_STAGES: return write_stages(parent, name, field);
    case VT_KEY_HEADS:
        if (config->model.heads.count > 0) return write_stages(parent, name, &config->model.heads);
        return vt_json_add_number(parent, name, *(const int *)field);
    case VT_KEY_POLICY: {
        const char *policy = ((const vt_rand_augment *)field)->policy;
        return write_text(parent, name, policy[0] ? policy : NULL);
    }
    case VT_KEY_TEXTS: return write_texts(parent, name, field);
    case VT_KEY_AUGMENT: break; // written value by value
    }
    return vt_json_add_null(parent, name);
}
