// The definition of an experiment: from JSON to arms (experiment_arms.c), their configurations and
// the plan of runs.
#include "experiment_reader.h"

#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vt_status get_text(const vt_reader *r, const char *key, const char **text)
{
    const vt_json *node = vt_json_get(r->root, key);
    *text = NULL;
    if (!node) return VT_OK;
    if (vt_json_type_of(node) != VT_JSON_STRING || !vt_reader_is_line(vt_json_string(node)))
        return vt_reader_refuse(r, key, "a line of text", node);
    *text = vt_json_string(node);
    return VT_OK;
}

// ---- configurations ----

static vt_status read_base(vt_reader *r)
{
    const vt_json *base = vt_json_get(r->root, "base");
    VT_REQUIRE(base, VT_ERR_CONFIG, "%s: base: missing; expected a configuration", r->path);
    const vt_json_type type = vt_json_type_of(base);
    r->base.key = strdup("");
    if (type == VT_JSON_OBJECT) {
        r->base_path = strdup(r->path);
        r->base_folder = strdup(r->folder);
        r->base.value = vt_json_new_copy(base);
    } else if (type == VT_JSON_STRING && vt_json_string(base)[0]) {
        r->base_path = vt_path_join(r->folder, vt_json_string(base));
        r->base_folder = r->base_path ? vt_path_folder(r->base_path) : NULL;
        if (!r->base_folder) return vt_reader_out_of_memory(r);
        VT_TRY(vt_config_read(&r->base.value, r->base_path));
    } else {
        return vt_reader_refuse(r, "base", "a configuration's path or an object", base);
    }
    r->base.origin = r->base_path;
    r->base.folder = r->base_folder;
    return r->base.key && r->base.value && r->base_folder ? VT_OK : vt_reader_out_of_memory(r);
}

static vt_status read_overrides(vt_reader *r, const char *const *overrides, int n)
{
    r->overrides = calloc((size_t)n + 1, sizeof *r->overrides);
    if (!r->overrides) return vt_reader_out_of_memory(r);
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

static vt_status check_arm(const vt_reader *r, const vt_experiment_arm *arm)
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
static vt_status resolve(const vt_reader *r, vt_experiment_arm *arm)
{
    char origin[512];
    snprintf(origin, sizeof origin, "%.380s: arm \"%s\"", r->path, arm->name);
    const int most = 1 + vt_json_size(r->common) + r->n_overrides + vt_json_size(arm->set);
    vt_config_layer *layers = calloc((size_t)most, sizeof *layers);
    if (!layers) return vt_reader_out_of_memory(r);
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
static vt_status plan_seed(const vt_reader *r, uint64_t seed)
{
    vt_experiment *e = r->e;
    for (int i = 0; i < e->n_arms; i++) {
        if (!has_seed(&e->arms[i], seed)) continue;
        vt_experiment_run *run = &e->runs[e->n_runs++];
        *run = (vt_experiment_run){.arm = i, .seed = seed, .acc1 = NAN, .acc5 = NAN, .loss = NAN};
        if (asprintf(&run->folder, "%s/seed%llu", e->arms[i].folder, (unsigned long long)seed) <
            0) {
            run->folder = NULL;
            return vt_reader_out_of_memory(r);
        }
    }
    return VT_OK;
}

static vt_status plan(const vt_reader *r)
{
    vt_experiment *e = r->e;
    size_t all = 0;
    for (int i = 0; i < e->n_arms; i++) all += (size_t)e->arms[i].n_seeds;
    e->runs = calloc(all, sizeof *e->runs);
    if (!e->runs) return vt_reader_out_of_memory(r);
    for (int place = 0; place < VT_EXPERIMENT_MAX_SEEDS; place++)
        for (int i = 0; i < e->n_arms; i++) {
            const vt_experiment_arm *arm = &e->arms[i];
            if (place < arm->n_seeds && !is_planned(e, arm->seeds[place]))
                VT_TRY(plan_seed(r, arm->seeds[place]));
        }
    return VT_OK;
}

// ---- all together ----

static vt_status find_baseline(const vt_reader *r)
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

static vt_status name_output(const vt_reader *r, const char *given)
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
    if (!output) output = fallback;
    e->output = vt_path_absolute(output);
    e->output_as_given = strdup(output);
    e->title = title ? strdup(title) : strndup(name, length);
    e->path_as_given = strdup(r->path);
    return e->output && e->output_as_given && e->title && e->path_as_given
               ? VT_OK
               : vt_reader_out_of_memory(r);
}

static vt_status read_definition(vt_reader *r, const char *output, const char *const *overrides,
                                 int n_overrides)
{
    static const char *const keys[] = {"title", "base",     "set",    "arms", "grid",
                                       "seeds", "baseline", "output", NULL};
    vt_experiment *e = r->e;
    const vt_json *arms = vt_json_get(r->root, "arms"), *grid = vt_json_get(r->root, "grid"),
                  *set = vt_json_get(r->root, "set");
    if (vt_json_type_of(r->root) != VT_JSON_OBJECT)
        return vt_reader_refuse(r, "the definition", "an object", r->root);
    VT_TRY(vt_reader_only_keys(r, r->root, "", keys));
    VT_TRY(name_output(r, output));
    VT_TRY(read_base(r));
    VT_TRY(read_overrides(r, overrides, n_overrides));
    e->arms = calloc(VT_EXPERIMENT_MAX_ARMS, sizeof *e->arms);
    r->common = vt_json_new_object();
    if (!e->arms || !r->common) return vt_reader_out_of_memory(r);
    if (set) VT_TRY(vt_reader_set(r, r->common, "set", set));
    if (arms) VT_TRY(vt_reader_arms(r, arms));
    if (grid) VT_TRY(vt_reader_grid(r, grid));
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
    VT_TRY(vt_config_read(&root, path));
    vt_reader r = {.e = e, .path = path, .folder = vt_path_folder(path), .root = root};
    vt_status status = r.folder ? read_definition(&r, output, overrides, n_overrides)
                                : vt_reader_out_of_memory(&r);
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
    free(e->path_as_given);
    free(e->title);
    free(e->output);
    free(e->output_as_given);
    *e = (vt_experiment){0};
}
