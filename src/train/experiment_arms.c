// The arms of an experiment as its definition writes them: by name, and as the combinations of a
// grid.
#include "experiment_reader.h"

#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 120, DEFAULT_SEEDS = 3 };
static const double MOST_SEED = 9007199254740992.0; // that a double holds exactly

vt_status vt_reader_out_of_memory(const vt_reader *r)
{
    return vt_fail(VT_ERR_MEMORY, "%s: out of memory", r->path);
}

vt_status vt_reader_refuse(const vt_reader *r, const char *where, const char *expected,
                           const vt_json *got)
{
    char *text = vt_json_text(got, false);
    vt_fail(VT_ERR_CONFIG, "%s: %s: expected %s, got %.80s", r->path, where, expected,
            text ? text : "?");
    free(text);
    return VT_ERR_CONFIG;
}

bool vt_reader_is_line(const char *text)
{
    bool visible = false;
    for (; *text; text++) {
        if (iscntrl((unsigned char)*text)) return false;
        visible |= *text != ' ';
    }
    return visible;
}

vt_status vt_reader_only_keys(const vt_reader *r, const vt_json *object, const char *where,
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

// ---- seeds ----

static bool is_whole(const vt_json *node, double low, double high)
{
    if (vt_json_type_of(node) != VT_JSON_NUMBER) return false;
    const double v = vt_json_number(node);
    return v >= low && v <= high && v == floor(v);
}

static vt_status list_seeds(const vt_reader *r, const char *where, const vt_json *node,
                            vt_experiment_arm *arm)
{
    for (const vt_json *item = vt_json_first(node); item; item = vt_json_next(item)) {
        if (!is_whole(item, 0, MOST_SEED)) return vt_reader_refuse(r, where, "integers >= 0", item);
        const uint64_t seed = (uint64_t)vt_json_number(item);
        for (int i = 0; i < arm->n_seeds; i++)
            if (arm->seeds[i] == seed) return vt_reader_refuse(r, where, "each seed once", item);
        arm->seeds[arm->n_seeds++] = seed;
    }
    return VT_OK;
}

// own: the arm's, or NULL for those of all arms.
static vt_status read_seeds(const vt_reader *r, const char *arm_where, const vt_json *own,
                            vt_experiment_arm *arm)
{
    const vt_json *node = own ? own : vt_json_get(r->root, "seeds");
    char where[MAX_NAME + 64];
    snprintf(where, sizeof where, "%s%sseeds", own ? arm_where : "", own ? ": " : "");
    static const char expected[] = "a number of seeds from 1 to 1000, or a list of as many";
    const bool list = node && vt_json_type_of(node) == VT_JSON_ARRAY;
    int n = DEFAULT_SEEDS;
    if (list) n = vt_json_size(node);
    if ((list && (n < 1 || n > VT_EXPERIMENT_MAX_SEEDS)) ||
        (node && !list && !is_whole(node, 1, VT_EXPERIMENT_MAX_SEEDS)))
        return vt_reader_refuse(r, where, expected, node);
    if (node && !list) n = (int)vt_json_number(node);
    arm->seeds = calloc((size_t)n, sizeof *arm->seeds);
    if (!arm->seeds) return vt_reader_out_of_memory(r);
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

static vt_status add_arm(const vt_reader *r, const char *name, vt_experiment_arm **out)
{
    vt_experiment *e = r->e;
    VT_REQUIRE(vt_reader_is_line(name) && strlen(name) <= MAX_NAME, VT_ERR_CONFIG,
               "%s: arms: expected a name of one line, 1 to %d bytes, got \"%.80s\"", r->path,
               MAX_NAME, name);
    VT_REQUIRE(e->n_arms < VT_EXPERIMENT_MAX_ARMS, VT_ERR_CONFIG,
               "%s: expected at most %d arms, got more", r->path, VT_EXPERIMENT_MAX_ARMS);
    vt_experiment_arm *arm = *out = &e->arms[e->n_arms++];
    char *folder = folder_name(name);
    arm->name = strdup(name);
    arm->folder = folder ? vt_path_join(e->output, folder) : NULL;
    arm->set = vt_json_new_object();
    free(folder);
    if (!arm->name || !arm->folder || !arm->set) return vt_reader_out_of_memory(r);
    for (const vt_experiment_arm *other = e->arms; other < arm; other++)
        VT_REQUIRE(strcmp(other->folder, arm->folder) != 0, VT_ERR_CONFIG,
                   "%s: arms \"%s\" and \"%s\" would have the same folder, %s", r->path,
                   other->name, arm->name, arm->folder);
    return VT_OK;
}

vt_status vt_reader_set(const vt_reader *r, vt_json *all, const char *where, const vt_json *set)
{
    static const char *const ours[] = {"output", "train.seed", "train.resume", NULL};
    if (vt_json_type_of(set) != VT_JSON_OBJECT) return vt_reader_refuse(r, where, "an object", set);
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
        if (!vt_json_put_copy(all, key, item)) return vt_reader_out_of_memory(r);
    }
    return VT_OK;
}

vt_status vt_reader_arms(const vt_reader *r, const vt_json *arms)
{
    static const char *const keys[] = {"set", "seeds", NULL};
    if (vt_json_type_of(arms) != VT_JSON_OBJECT)
        return vt_reader_refuse(r, "arms", "an object", arms);
    for (const vt_json *item = vt_json_first(arms); item; item = vt_json_next(item)) {
        vt_experiment_arm *arm;
        char where[MAX_NAME + 32];
        VT_TRY(add_arm(r, vt_json_key(item), &arm));
        snprintf(where, sizeof where, "arms: \"%s\"", arm->name);
        if (vt_json_type_of(item) != VT_JSON_OBJECT)
            return vt_reader_refuse(r, where, "an object {\"set\": {...}, \"seeds\": ...}", item);
        VT_TRY(vt_reader_only_keys(r, item, where, keys));
        const vt_json *set = vt_json_get(item, "set");
        if (set) VT_TRY(vt_reader_set(r, arm->set, where, set));
        VT_TRY(read_seeds(r, where, vt_json_get(item, "seeds"), arm));
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

// One step along an axis: the value is a named set of keys, or that of the key which the axis is
// called.
static vt_status add_value(const vt_reader *r, vt_experiment_arm *arm, const vt_json *axis,
                           const vt_json *value)
{
    char where[MAX_NAME + 32];
    snprintf(where, sizeof where, "grid: %.*s", MAX_NAME, vt_json_key(axis));
    if (vt_json_type_of(axis) == VT_JSON_OBJECT) return vt_reader_set(r, arm->set, where, value);
    vt_json *set = vt_json_new_object();
    vt_json_put_copy(set, vt_json_key(axis), value);
    vt_status status = set ? vt_reader_set(r, arm->set, where, set) : vt_reader_out_of_memory(r);
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
static vt_status add_combination(const vt_reader *r, const vt_json *grid, int index, int all)
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
    return read_seeds(r, "", NULL, arm);
}

vt_status vt_reader_grid(const vt_reader *r, const vt_json *grid)
{
    int all = 1;
    if (vt_json_type_of(grid) != VT_JSON_OBJECT || vt_json_size(grid) == 0)
        return vt_reader_refuse(r, "grid", "an object of axes", grid);
    for (const vt_json *axis = vt_json_first(grid); axis; axis = vt_json_next(axis)) {
        const vt_json_type type = vt_json_type_of(axis);
        if ((type != VT_JSON_ARRAY && type != VT_JSON_OBJECT) || vt_json_size(axis) == 0 ||
            vt_json_size(axis) > VT_EXPERIMENT_MAX_ARMS)
            return vt_reader_refuse(r, "grid", "axes of values [...] or of named sets {...}", axis);
        all *= vt_json_size(axis);
        VT_REQUIRE(all <= VT_EXPERIMENT_MAX_ARMS, VT_ERR_CONFIG,
                   "%s: grid: expected at most %d combinations, got more", r->path,
                   VT_EXPERIMENT_MAX_ARMS);
    }
    for (int i = 0; i < all; i++) VT_TRY(add_combination(r, grid, i, all));
    return VT_OK;
}
