// The definition of an experiment: from JSON to arms, their configurations and the plan of runs.
#include "vitrain/train/experiment.h"

#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 20, MAX_NAME = 64, DEFAULT_SEEDS = 3 };
static const double MOST_SEED = 9007199254740992.0; // that a double holds exactly

// What the reading needs besides the experiment.
typedef struct reader {
    vt_experiment *e;
    const char *path;              // as given, for messages
    char *folder;                  // that holds the definition
    const vt_json *root;           // the definition
    vt_config_layer base;          // a file's content, or what the definition holds
    vt_json *common;               // the set of all arms
    char *base_path, *base_folder; // where it is from
    vt_config_layer *overrides;    // (n_overrides) --set
    int n_overrides;
} reader;

static vt_status out_of_memory(const reader *r)
{
    return vt_fail(VT_ERR_MEMORY, "%s: out of memory", r->path);
}

static vt_status refuse(const reader *r, const char *where, const char *expected,
                        const vt_json *got)
{
    char *text = vt_json_text(got, false);
    vt_fail(VT_ERR_CONFIG, "%s: %s: expected %s, got %.80s", r->path, where, expected,
            text ? text : "?");
    free(text);
    return VT_ERR_CONFIG;
}

// Whether an object has no other keys than these (ended by NULL).
static vt_status only_keys(const reader *r, const vt_json *object, const char *where,
                           const char *const *keys)
{
    size_t n = 0;
    while (keys[n]) n++;
    for (const vt_json *item = vt_json_first(object); item; item = vt_json_next(item)) {
        const char *key = vt_json_key(item), *nearest = vt_nearest_name(key, keys, n);
        bool known = false;
        for (size_t i = 0; i < n; i++) known |= strcmp(key, keys[i]) == 0;
        VT_REQUIRE(known, VT_ERR_CONFIG, "%s: %s%sunknown key \"%.80s\"%s%s%s", r->path, where,
                   *where ? ": " : "", key, nearest ? "; did you mean \"" : "",
                   nearest ? nearest : "", nearest ? "\"?" : "");
    }
    return VT_OK;
}

static vt_status get_text(const reader *r, const char *key, const char **text)
{
    const vt_json *node = vt_json_get(r->root, key);
    *text = NULL;
    if (!node) return VT_OK;
    if (vt_json_type_of(node) != VT_JSON_STRING || !vt_json_string(node)[0])
        return refuse(r, key, "a text", node);
    *text = vt_json_string(node);
    return VT_OK;
}

// ---- seeds ----

static bool is_whole(const vt_json *node, double low, double high)
{
    if (vt_json_type_of(node) != VT_JSON_NUMBER) return false;
    const double v = vt_json_number(node);
    return v >= low && v <= high && v == floor(v);
}

static vt_status list_seeds(const reader *r, const char *where, const vt_json *node,
                            vt_experiment_arm *arm)
{
    for (const vt_json *item = vt_json_first(node); item; item = vt_json_next(item)) {
        if (!is_whole(item, 0, MOST_SEED)) return refuse(r, where, "integers >= 0", item);
        const uint64_t seed = (uint64_t)vt_json_number(item);
        for (int i = 0; i < arm->n_seeds; i++)
            if (arm->seeds[i] == seed) return refuse(r, where, "each seed once", item);
        arm->seeds[arm->n_seeds++] = seed;
    }
    return VT_OK;
}

// node NULL: the default.
static vt_status read_seeds(const reader *r, const char *where, const vt_json *node,
                            vt_experiment_arm *arm)
{
    static const char expected[] = "a number of seeds from 1 to 1000, or a list of as many";
    const bool list = node && vt_json_type_of(node) == VT_JSON_ARRAY;
    int n = DEFAULT_SEEDS;
    if (list) n = vt_json_size(node);
    if ((list && (n < 1 || n > VT_EXPERIMENT_MAX_SEEDS)) ||
        (node && !list && !is_whole(node, 1, VT_EXPERIMENT_MAX_SEEDS)))
        return refuse(r, where, expected, node);
    if (node && !list) n = (int)vt_json_number(node);
    arm->seeds = calloc((size_t)n, sizeof *arm->seeds);
    if (!arm->seeds) return out_of_memory(r);
    if (list) return list_seeds(r, where, node, arm);
    for (int i = 0; i < n; i++) arm->seeds[i] = (uint64_t)i;
    arm->n_seeds = n;
    return VT_OK;
}

// ---- arms ----

// The name as that of a folder.
static char *folder_name(const char *name)
{
    char *folder = strdup(name);
    for (char *c = folder; c && *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._=+-", *c)) *c = '-';
    if (folder && *folder == '.') *folder = '-';
    return folder;
}

static vt_status add_arm(const reader *r, const char *name, vt_experiment_arm **out)
{
    vt_experiment *e = r->e;
    VT_REQUIRE(name[0] && strlen(name) <= MAX_NAME, VT_ERR_CONFIG,
               "%s: arms: expected a name of 1 to %d bytes, got \"%.80s\"", r->path, MAX_NAME,
               name);
    VT_REQUIRE(e->n_arms < VT_EXPERIMENT_MAX_ARMS, VT_ERR_CONFIG,
               "%s: expected at most %d arms, got more", r->path, VT_EXPERIMENT_MAX_ARMS);
    vt_experiment_arm *arm = *out = &e->arms[e->n_arms++];
    char *folder = folder_name(name);
    arm->name = strdup(name);
    arm->folder = folder ? vt_path_join(e->output, folder) : NULL;
    arm->set = vt_json_new_object();
    free(folder);
    if (!arm->name || !arm->folder || !arm->set) return out_of_memory(r);
    for (const vt_experiment_arm *other = e->arms; other < arm; other++)
        VT_REQUIRE(strcmp(other->folder, arm->folder) != 0, VT_ERR_CONFIG,
                   "%s: arms \"%s\" and \"%s\" would have the same folder, %s", r->path,
                   other->name, arm->name, arm->folder);
    return VT_OK;
}

// Puts the keys of `set` over those of `all`.
static vt_status add_set(const reader *r, vt_json *all, const char *where, const vt_json *set)
{
    static const char *const ours[] = {"output", "train.seed", "train.resume", NULL};
    if (vt_json_type_of(set) != VT_JSON_OBJECT) return refuse(r, where, "an object", set);
    for (const vt_json *item = vt_json_first(set); item; item = vt_json_next(item)) {
        const char *key = vt_json_key(item);
        for (int i = 0; ours[i]; i++) {
            const size_t length = strcspn(ours[i], ".");
            const bool inside = ours[i][length] && strncmp(key, ours[i], length) == 0 &&
                                !key[length] && vt_json_type_of(item) == VT_JSON_OBJECT &&
                                vt_json_get(item, ours[i] + length + 1);
            VT_REQUIRE(strcmp(key, ours[i]) != 0 && !inside, VT_ERR_CONFIG,
                       "%s: %s: %s is for the experiment to set", r->path, where, ours[i]);
        }
        if (!vt_json_put_copy(all, key, item)) return out_of_memory(r);
    }
    return VT_OK;
}

static vt_status read_arms(const reader *r, const vt_json *arms)
{
    static const char *const keys[] = {"set", "seeds", NULL};
    if (vt_json_type_of(arms) != VT_JSON_OBJECT) return refuse(r, "arms", "an object", arms);
    for (const vt_json *item = vt_json_first(arms); item; item = vt_json_next(item)) {
        vt_experiment_arm *arm;
        char where[MAX_NAME + 32];
        VT_TRY(add_arm(r, vt_json_key(item), &arm));
        snprintf(where, sizeof where, "arms: \"%s\"", arm->name);
        if (vt_json_type_of(item) != VT_JSON_OBJECT)
            return refuse(r, where, "an object {\"set\": {...}, \"seeds\": ...}", item);
        VT_TRY(only_keys(r, item, where, keys));
        const vt_json *set = vt_json_get(item, "set"), *seeds = vt_json_get(item, "seeds");
        if (set) VT_TRY(add_set(r, arm->set, where, set));
        VT_TRY(read_seeds(r, where, seeds ? seeds : vt_json_get(r->root, "seeds"), arm));
    }
    return VT_OK;
}

// ---- grid ----

// Appends " axis=value" to a name; a text without its quotes.
static void append_name(char *name, size_t capacity, const char *axis, const vt_json *value,
                        bool named)
{
    char *text = named ? strdup(vt_json_key(value)) : vt_json_text(value, false);
    const char *shown = text ? text : "?";
    if (!named && vt_json_type_of(value) == VT_JSON_STRING) shown = vt_json_string(value);
    const size_t used = strlen(name);
    snprintf(name + used, capacity - used, "%s%s=%s", used ? " " : "", axis, shown);
    free(text);
}

// One step along an axis: the value is a named set of keys, or that of the key which the axis is called.
static vt_status add_value(const reader *r, vt_experiment_arm *arm, const vt_json *axis,
                           const vt_json *value)
{
    char where[MAX_NAME + 32];
    snprintf(where, sizeof where, "grid: %.*s", MAX_NAME, vt_json_key(axis));
    if (vt_json_type_of(axis) == VT_JSON_OBJECT) return add_set(r, arm->set, where, value);
    vt_json *set = vt_json_new_object();
    vt_json_put_copy(set, vt_json_key(axis), value);
    vt_status status = set ? add_set(r, arm->set, where, set) : out_of_memory(r);
    vt_json_destroy(set);
    return status;
}

static const vt_json *member_at(const vt_json *list, int index)
{
    const vt_json *item = vt_json_first(list);
    while (item && index-- > 0) item = vt_json_next(item);
    return item;
}

// Arm number `index` of the grid; the last axis runs fastest.
static vt_status add_combination(const reader *r, const vt_json *grid, int index, int all)
{
    char name[4 * MAX_NAME] = "";
    vt_experiment_arm *arm = NULL;
    for (int naming = 1; naming >= 0; naming--) {
        int rest = index, block = all;
        for (const vt_json *axis = vt_json_first(grid); axis; axis = vt_json_next(axis)) {
            block /= vt_json_size(axis);
            const vt_json *value = member_at(axis, rest / block);
            rest %= block;
            if (naming)
                append_name(name, sizeof name, vt_json_key(axis), value,
                            vt_json_type_of(axis) == VT_JSON_OBJECT);
            else
                VT_TRY(add_value(r, arm, axis, value));
        }
        if (naming) VT_TRY(add_arm(r, name, &arm));
    }
    return read_seeds(r, "seeds", vt_json_get(r->root, "seeds"), arm);
}

static vt_status read_grid(const reader *r, const vt_json *grid)
{
    int all = 1;
    if (vt_json_type_of(grid) != VT_JSON_OBJECT || vt_json_size(grid) == 0)
        return refuse(r, "grid", "an object of axes", grid);
    for (const vt_json *axis = vt_json_first(grid); axis; axis = vt_json_next(axis)) {
        const vt_json_type type = vt_json_type_of(axis);
        if ((type != VT_JSON_ARRAY && type != VT_JSON_OBJECT) || vt_json_size(axis) == 0 ||
            vt_json_size(axis) > VT_EXPERIMENT_MAX_ARMS)
            return refuse(r, "grid", "axes of values [...] or of named sets {...}", axis);
        all *= vt_json_size(axis);
        VT_REQUIRE(all <= VT_EXPERIMENT_MAX_ARMS, VT_ERR_CONFIG,
                   "%s: grid: expected at most %d combinations, got more", r->path,
                   VT_EXPERIMENT_MAX_ARMS);
    }
    for (int i = 0; i < all; i++) VT_TRY(add_combination(r, grid, i, all));
    return VT_OK;
}

// ---- configurations ----

static vt_status read_base(reader *r)
{
    const vt_json *base = vt_json_get(r->root, "base");
    VT_REQUIRE(base, VT_ERR_CONFIG, "%s: base: missing; expected a configuration", r->path);
    const vt_json_type type = vt_json_type_of(base);
    r->base.key = strdup("");
    if (type == VT_JSON_OBJECT) {
        r->base_path = strdup(r->path);
        r->base_folder = strdup(r->folder);
        r->base.value = vt_json_put_copy(NULL, NULL, base);
    } else if (type == VT_JSON_STRING && vt_json_string(base)[0]) {
        r->base_path = vt_path_join(r->folder, vt_json_string(base));
        r->base_folder = r->base_path ? vt_path_folder(r->base_path) : NULL;
        if (!r->base_folder) return out_of_memory(r);
        VT_TRY(vt_json_read(&r->base.value, r->base_path, MAX_FILE_BYTES));
    } else {
        return refuse(r, "base", "a configuration's path or an object", base);
    }
    r->base.origin = r->base_path;
    r->base.folder = r->base_folder;
    return r->base.key && r->base.value && r->base_folder ? VT_OK : out_of_memory(r);
}

static vt_status read_overrides(reader *r, const char *const *overrides, int n)
{
    r->overrides = calloc((size_t)n + 1, sizeof *r->overrides);
    if (!r->overrides) return out_of_memory(r);
    r->n_overrides = n;
    for (int i = 0; i < n; i++) {
        VT_TRY(vt_config_override(&r->overrides[i], overrides[i]));
        const char *key = r->overrides[i].key;
        VT_REQUIRE(strcmp(key, "output") != 0, VT_ERR_CONFIG,
                   "--set output: an experiment's folder is given by --output");
        VT_REQUIRE(strcmp(key, "train.seed") != 0 && strcmp(key, "train.resume") != 0,
                   VT_ERR_CONFIG, "--set %s: that is for the experiment to set", key);
    }
    return VT_OK;
}

static vt_status check_arm(const reader *r, const vt_experiment_arm *arm)
{
    const vt_config *c = &arm->config;
    VT_REQUIRE(c->data.train, VT_ERR_CONFIG,
               "%s: arm \"%s\": data.train: expected a path, got none", r->path, arm->name);
    VT_REQUIRE(c->data.val, VT_ERR_CONFIG,
               "%s: arm \"%s\": data.val: expected a path (accuracies are compared), got none",
               r->path, arm->name);
    return VT_OK;
}

static int add_layers(vt_config_layer *layers, const vt_json *set, const char *origin,
                      const char *folder)
{
    int n = 0;
    for (const vt_json *item = vt_json_first(set); item; item = vt_json_next(item))
        layers[n++] = (vt_config_layer){.key = (char *)vt_json_key(item),
                                        .value = (vt_json *)item, // is only read
                                        .origin = origin,
                                        .folder = folder};
    return n;
}

// The base, the definition's set, --set and the arm's own values, one over the other.
static vt_status resolve(const reader *r, vt_experiment_arm *arm)
{
    char origin[512];
    snprintf(origin, sizeof origin, "%.380s: arm \"%s\"", r->path, arm->name);
    const int most = 1 + vt_json_size(r->common) + r->n_overrides + vt_json_size(arm->set);
    vt_config_layer *layers = calloc((size_t)most, sizeof *layers);
    if (!layers) return out_of_memory(r);
    int n = 0;
    layers[n++] = r->base;
    n += add_layers(layers + n, r->common, r->path, r->folder);
    for (int i = 0; i < r->n_overrides; i++) layers[n++] = r->overrides[i];
    n += add_layers(layers + n, arm->set, origin, r->folder);
    vt_status status = vt_config_build(&arm->config, layers, n, r->base_path);
    free(layers);
    if (status == VT_OK) status = check_arm(r, arm);
    return status;
}

// ---- the plan ----

static bool has_seed(const vt_experiment_arm *arm, uint64_t seed)
{
    for (int i = 0; i < arm->n_seeds; i++)
        if (arm->seeds[i] == seed) return true;
    return false;
}

static bool is_planned(const vt_experiment *e, uint64_t seed)
{
    for (int i = 0; i < e->n_runs; i++)
        if (e->runs[i].seed == seed) return true;
    return false;
}

// A seed in all arms that have it.
static vt_status plan_seed(const reader *r, uint64_t seed)
{
    vt_experiment *e = r->e;
    for (int i = 0; i < e->n_arms; i++) {
        if (!has_seed(&e->arms[i], seed)) continue;
        vt_experiment_run *run = &e->runs[e->n_runs++];
        *run = (vt_experiment_run){.arm = i, .seed = seed, .acc1 = NAN, .acc5 = NAN, .loss = NAN};
        if (asprintf(&run->folder, "%s/seed%llu", e->arms[i].folder, (unsigned long long)seed) <
            0) {
            run->folder = NULL;
            return out_of_memory(r);
        }
    }
    return VT_OK;
}

static vt_status plan(const reader *r)
{
    vt_experiment *e = r->e;
    size_t all = 0;
    for (int i = 0; i < e->n_arms; i++) all += (size_t)e->arms[i].n_seeds;
    e->runs = calloc(all, sizeof *e->runs);
    if (!e->runs) return out_of_memory(r);
    for (int place = 0; place < VT_EXPERIMENT_MAX_SEEDS; place++)
        for (int i = 0; i < e->n_arms; i++) {
            const vt_experiment_arm *arm = &e->arms[i];
            if (place < arm->n_seeds && !is_planned(e, arm->seeds[place]))
                VT_TRY(plan_seed(r, arm->seeds[place]));
        }
    return VT_OK;
}

// ---- all together ----

static vt_status find_baseline(const reader *r)
{
    const char *name;
    VT_TRY(get_text(r, "baseline", &name));
    const char *names[VT_EXPERIMENT_MAX_ARMS];
    for (int i = 0; i < r->e->n_arms; i++) {
        names[i] = r->e->arms[i].name;
        r->e->baseline = i;
        if (name && strcmp(names[i], name) == 0) return VT_OK;
    }
    r->e->baseline = 0;
    const char *nearest = name ? vt_nearest_name(name, names, (size_t)r->e->n_arms) : NULL;
    VT_REQUIRE(!name, VT_ERR_CONFIG, "%s: baseline: there is no arm \"%.80s\"%s%s%s", r->path, name,
               nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    return VT_OK;
}

static vt_status name_output(const reader *r, const char *given)
{
    const char *slash = strrchr(r->path, '/'), *name = slash ? slash + 1 : r->path;
    size_t length = strlen(name);
    if (length > 5 && strcmp(name + length - 5, ".json") == 0) length -= 5;
    char fallback[512];
    snprintf(fallback, sizeof fallback, "runs/%.*s", (int)length, name);
    const char *output = given, *title;
    if (!output) VT_TRY(get_text(r, "output", &output));
    VT_TRY(get_text(r, "title", &title));
    vt_experiment *e = r->e;
    e->output = vt_path_absolute(output ? output : fallback);
    e->title = title ? strdup(title) : strndup(name, length);
    e->path = vt_path_absolute(r->path);
    return e->output && e->title && e->path ? VT_OK : out_of_memory(r);
}

static vt_status read_definition(reader *r, const char *output, const char *const *overrides,
                                 int n_overrides)
{
    static const char *const keys[] = {"title", "base",     "set",    "arms", "grid",
                                       "seeds", "baseline", "output", NULL};
    vt_experiment *e = r->e;
    const vt_json *arms = vt_json_get(r->root, "arms"), *grid = vt_json_get(r->root, "grid"),
                  *set = vt_json_get(r->root, "set");
    if (vt_json_type_of(r->root) != VT_JSON_OBJECT)
        return refuse(r, "the definition", "an object", r->root);
    VT_TRY(only_keys(r, r->root, "", keys));
    VT_TRY(name_output(r, output));
    VT_TRY(read_base(r));
    VT_TRY(read_overrides(r, overrides, n_overrides));
    e->arms = calloc(VT_EXPERIMENT_MAX_ARMS, sizeof *e->arms);
    r->common = vt_json_new_object();
    if (!e->arms || !r->common) return out_of_memory(r);
    if (set) VT_TRY(add_set(r, r->common, "set", set));
    if (arms) VT_TRY(read_arms(r, arms));
    if (grid) VT_TRY(read_grid(r, grid));
    VT_REQUIRE(e->n_arms > 0, VT_ERR_CONFIG, "%s: expected arms, a grid or both, got neither",
               r->path);
    VT_TRY(find_baseline(r));
    for (int i = 0; i < e->n_arms; i++) VT_TRY(resolve(r, &e->arms[i]));
    return plan(r);
}

vt_status vt_experiment_load(vt_experiment *e, const char *path, const char *output,
                             const char *const *overrides, int n_overrides)
{
    *e = (vt_experiment){0};
    vt_json *root = NULL;
    VT_TRY(vt_json_read(&root, path, MAX_FILE_BYTES));
    reader r = {.e = e, .path = path, .folder = vt_path_folder(path), .root = root};
    vt_status status =
        r.folder ? read_definition(&r, output, overrides, n_overrides) : out_of_memory(&r);
    for (int i = 0; i < r.n_overrides; i++) vt_config_layer_free(&r.overrides[i]);
    vt_config_layer_free(&r.base);
    vt_json_destroy(r.common);
    free(r.overrides);
    free(r.base_path);
    free(r.base_folder);
    free(r.folder);
    vt_json_destroy(root);
    if (status != VT_OK) vt_experiment_free(e);
    return status;
}

void vt_experiment_free(vt_experiment *e)
{
    for (int i = 0; i < e->n_arms; i++) {
        vt_experiment_arm *arm = &e->arms[i];
        free(arm->name);
        free(arm->folder);
        free(arm->seeds);
        vt_json_destroy(arm->set);
        vt_config_free(&arm->config);
    }
    for (int i = 0; i < e->n_runs; i++) {
        free(e->runs[i].folder);
        free(e->runs[i].error);
    }
    free(e->arms);
    free(e->runs);
    free(e->path);
    free(e->title);
    free(e->output);
    *e = (vt_experiment){0};
}
