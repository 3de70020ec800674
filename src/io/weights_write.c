// Weights into safetensors files, in another type if wished, in one file or in shards.
#include "vitrain/base/narrow.h"
#include "vitrain/io/file.h"
#include "vitrain/io/json.h"
#include "vitrain/io/weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARDS = 99999 };
static const char ending[] = ".safetensors";

static vt_dtype type_of(const vt_st_tensor *tensor, const vt_dtype *wish)
{
    return wish && vt_dtype_is_floating(tensor->dtype) ? *wish : tensor->dtype;
}

// ---- numbers ----

// Element i of `to`, from a number; whether it is still finite.
static bool put_number(void *to, vt_dtype dtype, size_t i, double number)
{
    vt_real *reals = to;
    uint16_t *narrow = to;
    switch (dtype) {
    case VT_F16: return isfinite(vt_half_value(narrow[i] = vt_half_of(number)));
    case VT_BF16: return isfinite(vt_bf16_value(narrow[i] = vt_bf16_of((float)number)));
    case VT_F32: reals[i] = (vt_real)number; return isfinite((float)number);
    default: return isfinite(number); // is written as it is
    }
}

// The tensors of one file on their way, one at a time.
typedef struct passage {
    const vt_st_file *file;
    size_t first; // its first tensor
    const vt_dtype *wish;
    void *buffer; // room for the largest
} passage;

static vt_status pass(void *self, size_t index, const void **data)
{
    const passage *p = self;
    const vt_st_tensor *tensor = vt_st_at(p->file, p->first + index);
    const vt_dtype dtype = type_of(tensor, p->wish);
    const bool same = dtype == tensor->dtype && dtype != VT_F32; // F32 is given as vt_real
    *data = same ? tensor->data : p->buffer;
    if (!vt_dtype_is_floating(dtype)) return VT_OK;
    for (size_t i = 0; i < tensor->count; i++) {
        const double number = vt_st_number(tensor, i);
        const bool fits = put_number(p->buffer, dtype, i, number);
        VT_REQUIRE(isfinite(number), VT_ERR_NUMERIC,
                   "%s: tensor %s: expected finite numbers, got %g", vt_st_path(p->file),
                   tensor->name, number);
        VT_REQUIRE(fits, VT_ERR_NUMERIC, "%s: tensor %s: %g is beyond the range of %s",
                   vt_st_path(p->file), tensor->name, number, vt_dtype_name(dtype));
    }
    return VT_OK;
}

static vt_status passage_init(passage *p, const vt_st_file *file, size_t first, size_t n,
                              const vt_dtype *wish)
{
    size_t most = 0;
    for (size_t i = first; i < first + n; i++)
        if (vt_st_at(file, i)->count > most) most = vt_st_at(file, i)->count;
    *p = (passage){file, first, wish, malloc(most * sizeof(vt_real) + 1)};
    VT_REQUIRE(p->buffer, VT_ERR_MEMORY, "%s: out of memory", vt_st_path(file));
    return VT_OK;
}

// Whether all numbers will pass, before the first of several files is written.
static vt_status check_numbers(const vt_st_file *file, const vt_dtype *wish)
{
    passage p;
    const void *data;
    const size_t n = vt_st_count(file);
    vt_status status = passage_init(&p, file, 0, n, wish);
    for (size_t i = 0; i < n && status == VT_OK; i++) status = pass(&p, i, &data);
    free(p.buffer);
    return status;
}

// ---- files ----

static vt_status write_entries(const char *path, const passage *from, const vt_st_entry *entries,
                               size_t n)
{
    vt_st_meta *metadata;
    size_t n_metadata;
    VT_TRY(vt_st_metadata_all(from->file, &metadata, &n_metadata));
    const vt_st_meta plain = {"format", "pt"}, *said = n_metadata ? metadata : &plain;
    const vt_st_supply supply = {(void *)from, pass}; // is only read
    vt_status status =
        vt_st_write_from(path, entries, n, said, n_metadata ? n_metadata : 1, &supply);
    free(metadata);
    return status;
}

// Tensors first .. first + n - 1 into one file, with the metadata of the file they are from.
static vt_status write_range(const char *path, const vt_st_file *file, size_t first, size_t n,
                             const vt_dtype *wish)
{
    passage from;
    VT_TRY(passage_init(&from, file, first, n, wish));
    vt_st_entry *entries = calloc(n + 1, sizeof *entries);
    for (size_t i = 0; i < n && entries; i++) {
        const vt_st_tensor *t = vt_st_at(file, first + i);
        entries[i] = (vt_st_entry){.name = t->name, .dtype = type_of(t, wish), .ndim = t->ndim};
        memcpy(entries[i].shape, t->shape, sizeof t->shape);
    }
    vt_status status = entries ? write_entries(path, &from, entries, n)
                               : vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    free(entries);
    free(from.buffer);
    return status;
}

static size_t bytes_of(const vt_st_tensor *tensor, const vt_dtype *wish)
{
    return tensor->count * vt_dtype_bytes(type_of(tensor, wish));
}

// How many tensors from `first` on make a shard: one at least.
static size_t shard_length(const vt_st_file *file, size_t first, const vt_dtype *wish, size_t most)
{
    size_t n = 0, bytes = 0;
    while (first + n < vt_st_count(file)) {
        bytes += bytes_of(vt_st_at(file, first + n), wish);
        if (n > 0 && bytes > most) break;
        n++;
    }
    return n;
}

// Writes shard `number` of `total` and adds its tensors to the index.
static vt_status write_shard(const char *path, int number, int total, const vt_st_file *file,
                             size_t first, size_t n, const vt_dtype *wish, vt_json *map)
{
    const int stem = (int)(strlen(path) - strlen(ending));
    char *name;
    VT_REQUIRE(asprintf(&name, "%.*s-%05d-of-%05d%s", stem, path, number, total, ending) >= 0,
               VT_ERR_MEMORY, "%s: out of memory", path);
    const char *slash = strrchr(name, '/');
    vt_status status = write_range(name, file, first, n, wish);
    for (size_t i = 0; i < n; i++)
        vt_json_add_string(map, vt_st_at(file, first + i)->name, slash ? slash + 1 : name);
    free(name);
    return status;
}

static vt_status write_index(const char *path, const vt_json *index)
{
    char *text = vt_json_text(index, true), *name = NULL;
    vt_status status = text && asprintf(&name, "%s.index.json", path) >= 0
                           ? vt_file_write(name, text, strlen(text))
                           : vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    free(text);
    free(name);
    return status;
}

static vt_status write_shards(const char *path, const vt_st_file *file, const vt_dtype *wish,
                              size_t most, int total)
{
    VT_TRY(check_numbers(file, wish));
    vt_json *index = vt_json_new_object();
    double bytes = 0;
    for (size_t i = 0; i < vt_st_count(file); i++)
        bytes += (double)bytes_of(vt_st_at(file, i), wish);
    vt_json_add_number(vt_json_add_object(index, "metadata"), "total_size", bytes);
    vt_json *map = vt_json_add_object(index, "weight_map");
    vt_status status = VT_OK;
    size_t first = 0;
    for (int number = 1; number <= total && status == VT_OK; number++) {
        const size_t n = shard_length(file, first, wish, most);
        status = write_shard(path, number, total, file, first, n, wish, map);
        first += n;
    }
    if (status == VT_OK) status = write_index(path, index); // last: it names whole shards only
    vt_json_destroy(index);
    return status;
}

static vt_status count_shards(int *total, const char *path, const vt_st_file *file,
                              const vt_dtype *dtype, size_t most)
{
    *total = 0;
    for (size_t first = 0; first < vt_st_count(file) && *total <= MAX_SHARDS; ++*total)
        first += shard_length(file, first, dtype, most);
    VT_REQUIRE(*total <= MAX_SHARDS, VT_ERR_USAGE,
               "%s: shards of %zu bytes would be more than %d; expected a larger --shard-size",
               path, most, MAX_SHARDS);
    return VT_OK;
}

vt_status vt_weights_write(const char *path, const vt_st_file *file, const vt_dtype *dtype,
                           size_t shard_bytes, vt_weights_result *result)
{
    const size_t length = strlen(path), tail = strlen(ending);
    int shards = 1;
    VT_REQUIRE(length > tail && strcmp(path + length - tail, ending) == 0, VT_ERR_USAGE,
               "%s: expected a name that ends in %s", path, ending);
    if (shard_bytes > 0) VT_TRY(count_shards(&shards, path, file, dtype, shard_bytes));
    if (shards > 1)
        VT_TRY(write_shards(path, file, dtype, shard_bytes, shards));
    else
        VT_TRY(write_range(path, file, 0, vt_st_count(file), dtype));
    if (!result) return VT_OK;
    *result = (vt_weights_result){.tensors = vt_st_count(file), .shards = shards > 1 ? shards : 1};
    for (size_t i = 0; i < result->tensors; i++)
        result->bytes += bytes_of(vt_st_at(file, i), dtype);
    return VT_OK;
}
