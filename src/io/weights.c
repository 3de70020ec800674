// Which format a file of weights has, and sharded safetensors as one.
#include "vitrain/io/weights.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"
#include "vitrain/io/json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INDEX_BYTES = 100000000 };

// ---- shards ----

typedef struct shards {
    vt_json *index;
    vt_st_file **files; // (count)
    const char **names; // (count) as the index writes them
    size_t count;
    vt_st_tensor *tensors; // (n_tensors)
    size_t n_tensors;
} shards;

static void release(void *self)
{
    shards *s = self;
    for (size_t i = 0; i < s->count; i++) vt_st_close(s->files[i]);
    free(s->files);
    free(s->names);
    free(s->tensors);
    vt_json_destroy(s->index);
    free(s);
}

// The shard of this name, opened when it is first met.
static vt_status get_shard(shards *s, const char *folder, const char *name, vt_st_file **out)
{
    for (size_t i = 0; i < s->count; i++) {
        *out = s->files[i];
        if (strcmp(s->names[i], name) == 0) return VT_OK;
    }
    VT_REQUIRE(!strchr(name, '/'), VT_ERR_FORMAT, "shard %s: expected a name without a folder",
               name);
    char *path = vt_path_join(folder, name);
    VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
    vt_status status = vt_st_open(out, path);
    free(path);
    VT_TRY(status);
    s->files[s->count] = *out;
    s->names[s->count++] = name;
    return VT_OK;
}

static vt_status read_map(shards *s, const char *folder, const vt_json *map)
{
    VT_REQUIRE(map && vt_json_type_of(map) == VT_JSON_OBJECT, VT_ERR_FORMAT,
               "weight_map: expected an object");
    const size_t n = (size_t)vt_json_size(map);
    s->files = calloc(n + 1, sizeof *s->files);
    s->names = calloc(n + 1, sizeof *s->names);
    s->tensors = calloc(n + 1, sizeof *s->tensors);
    VT_REQUIRE(s->files && s->names && s->tensors, VT_ERR_MEMORY, "out of memory");
    for (const vt_json *v = vt_json_first(map); v; v = vt_json_next(v)) {
        const char *name = vt_json_key(v);
        VT_REQUIRE(vt_json_type_of(v) == VT_JSON_STRING, VT_ERR_FORMAT,
                   "weight_map: %s: expected a file's name", name);
        vt_st_file *file;
        VT_TRY(get_shard(s, folder, vt_json_string(v), &file));
        const vt_st_tensor *tensor = vt_st_find(file, name);
        VT_REQUIRE(tensor, VT_ERR_FORMAT, "tensor %s: is not in %s", name, vt_st_path(file));
        s->tensors[s->n_tensors++] = *tensor;
    }
    return VT_OK;
}

// Every tensor of a shard must be the one that the index means.
static vt_status check_shards(const shards *s, vt_st_file *all)
{
    for (size_t i = 0; i < s->count; i++) {
        vt_st_adopt_metadata(all, s->files[i]);
        for (size_t k = 0; k < vt_st_count(s->files[i]); k++) {
            const vt_st_tensor *held = vt_st_at(s->files[i], k),
                               *meant = vt_st_find(all, held->name);
            VT_REQUIRE(meant, VT_ERR_FORMAT, "tensor %s: is in shard %s, but not in weight_map",
                       held->name, s->names[i]);
            VT_REQUIRE(meant->data == held->data, VT_ERR_FORMAT,
                       "tensor %s: is in shard %s, and in the one that weight_map says", held->name,
                       s->names[i]);
        }
    }
    return VT_OK;
}

static vt_status open_index(vt_st_file **out, const char *path)
{
    shards *s = calloc(1, sizeof *s);
    char *folder = vt_path_folder(path);
    vt_status status = s && folder ? vt_json_read(&s->index, path, MAX_INDEX_BYTES)
                                   : vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    if (status == VT_OK) {
        const bool object = vt_json_type_of(s->index) == VT_JSON_OBJECT;
        status = read_map(s, folder, object ? vt_json_get(s->index, "weight_map") : NULL);
        if (status != VT_OK) status = vt_fail_within(status, path);
    }
    vt_st_file *all = NULL; // takes the shards over
    if (status == VT_OK) status = vt_st_assemble(&all, path, s->tensors, s->n_tensors, s, release);
    if (all) {
        status = check_shards(s, all);
        if (status != VT_OK) status = vt_fail_within(status, path);
    }
    if (status == VT_OK)
        *out = all;
    else if (all)
        vt_st_close(all);
    else if (s)
        release(s);
    free(folder);
    return status;
}

// ---- which one ----

// A run's folder, or a model's as others pass it on.
static vt_status refuse_folder(const char *path)
{
    char *inside = vt_path_join(path, "model.safetensors");
    const bool there = inside && vt_file_exists(inside);
    vt_fail(VT_ERR_IO, "%s: is a folder, expected a file of weights%s%s", path,
            there ? "; there is " : "", there ? inside : "");
    free(inside);
    return VT_ERR_IO;
}

vt_status vt_weights_open(vt_st_file **out, const char *path)
{
    unsigned char *map, head[9] = {0};
    size_t bytes;
    if (vt_is_directory(path)) return refuse_folder(path);
    vt_status status = vt_file_map(&map, &bytes, path);
    if (status != VT_OK) return vt_fail_within(status, path);
    if (map) memcpy(head, map, bytes < sizeof head ? bytes : sizeof head);
    vt_file_unmap(map, bytes);
    if (memcmp(head, "PK\3\4", 4) == 0) return vt_pth_open(out, path);
    VT_REQUIRE(head[0] != 0x80 || head[2] == 0 || head[8] == '{', VT_ERR_UNSUPPORTED,
               "%s: a pickle outside a zip archive: save it again with PyTorch 1.6 or later", path);
    // A safetensors file begins with a length that is never so large.
    const bool json = head[0] == '{' && vt_le64(head) > UINT32_MAX;
    return json ? open_index(out, path) : vt_st_open(out, path);
}

// ---- a run's state ----

bool vt_weights_is_state(const char *name)
{
    return !strncmp(name, "optim.", 6) || !strncmp(name, "ema.", 4);
}

static void close_whole(void *file)
{
    vt_st_close(file);
}

vt_status vt_weights_without_state(vt_st_file **out, vt_st_file *file, size_t *left_out)
{
    const size_t all = vt_st_count(file);
    size_t n = 0;
    vt_st_tensor *weights = calloc(all + 1, sizeof *weights);
    vt_status status =
        weights ? VT_OK : vt_fail(VT_ERR_MEMORY, "%s: out of memory", vt_st_path(file));
    for (size_t i = 0; weights && i < all; i++)
        if (!vt_weights_is_state(vt_st_at(file, i)->name)) weights[n++] = *vt_st_at(file, i);
    *left_out = all - n;
    if (status == VT_OK)
        status = vt_st_assemble(out, vt_st_path(file), weights, n, file, close_whole);
    free(weights);
    if (status == VT_OK)
        vt_st_adopt_metadata(*out, file);
    else
        vt_st_close(file);
    return status;
}
