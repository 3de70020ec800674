// Weights into safetensors files, in another type if wished, in one file or in shards.
#include "vitrain/io/file.h"
#include "vitrain/io/json.h"
#include "vitrain/io/weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_METADATA = 32, MAX_SHARDS = 99999 };
static const char ending[] = ".safetensors";

// ---- narrow types ----

// IEEE 754 half precision, to the nearest, ties to even.
static uint16_t half_of(double value)
{
    const double a = fabs(value);
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    int exponent;
    if (isnan(value)) return 0x7e00;
    if (a >= 65520) return sign | 0x7c00;
    if (a < 0x1p-14) return sign | (uint16_t)nearbyint(a * 0x1p24);
    frexp(a, &exponent); // 2^(exponent-1) <= a; a fraction rounded up to 2048 carries
    const int fraction = (int)nearbyint(ldexp(a, 11 - exponent)) - 1024;
    return (uint16_t)(sign | (((exponent + 14) << 10) + fraction));
}

static uint16_t bf16_of(double value)
{
    const float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if (isnan(single)) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static bool is_infinite(uint16_t bits, vt_dtype dtype)
{
    const uint16_t infinity = dtype == VT_F16 ? 0x7c00 : 0x7f80;
    return (bits & 0x7fff) == infinity;
}

// *out: malloc'd
static vt_status narrow(uint16_t **out, const vt_st_tensor *tensor, vt_dtype dtype,
                        const vt_real *values)
{
    uint16_t *bits = *out = malloc(tensor->count * sizeof *bits + 1);
    VT_REQUIRE(bits, VT_ERR_MEMORY, "tensor %s: out of memory", tensor->name);
    for (size_t i = 0; i < tensor->count; i++) {
        const double v = (double)values[i];
        bits[i] = dtype == VT_F16 ? half_of(v) : bf16_of(v);
        VT_REQUIRE(!isfinite(v) || !is_infinite(bits[i], dtype), VT_ERR_NUMERIC,
                   "tensor %s: %g is beyond the range of %s", tensor->name, v,
                   vt_dtype_name(dtype));
    }
    return VT_OK;
}

// The entry for a tensor; *owned: malloc'd memory that it points at, or NULL.
static vt_status make_entry(vt_st_entry *entry, void **owned, const vt_st_tensor *tensor,
                            const vt_dtype *wish)
{
    const vt_dtype dtype = wish && vt_dtype_is_floating(tensor->dtype) ? *wish : tensor->dtype;
    *owned = NULL;
    *entry = (vt_st_entry){tensor->name, dtype, tensor->ndim, {0}, tensor->data};
    memcpy(entry->shape, tensor->shape, sizeof entry->shape);
    if (dtype == tensor->dtype && dtype != VT_F32) return VT_OK; // F32 is given as vt_real
    vt_real *values = malloc(tensor->count * sizeof *values + 1);
    VT_REQUIRE(values, VT_ERR_MEMORY, "tensor %s: out of memory", tensor->name);
    vt_st_reals(tensor, values);
    entry->data = *owned = values;
    if (dtype == VT_F32) return VT_OK;
    uint16_t *bits;
    vt_status status = narrow(&bits, tensor, dtype, values);
    free(values);
    entry->data = *owned = bits;
    return status;
}

// ---- files ----

// Tensors first .. first + n - 1 into one file, with the metadata of the file they are from.
static vt_status write_range(const char *path, const vt_st_file *file, size_t first, size_t n,
                             const vt_dtype *wish)
{
    vt_st_entry *entries = calloc(n + 1, sizeof *entries);
    void **owned = calloc(n + 1, sizeof *owned);
    vt_st_meta metadata[MAX_METADATA];
    size_t n_metadata = 0;
    while (n_metadata < MAX_METADATA && vt_st_metadata_at(file, n_metadata, &metadata[n_metadata]))
        n_metadata++;
    if (n_metadata == 0) metadata[n_metadata++] = (vt_st_meta){"format", "pt"};
    vt_status status = entries && owned ? VT_OK : vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < n && status == VT_OK; i++)
        status = make_entry(&entries[i], &owned[i], vt_st_at(file, first + i), wish);
    if (status == VT_OK) status = vt_st_write(path, entries, n, metadata, n_metadata);
    for (size_t i = 0; i < n && owned; i++) free(owned[i]);
    free(entries);
    free(owned);
    return status;
}

static size_t bytes_of(const vt_st_tensor *tensor, const vt_dtype *wish)
{
    const vt_dtype dtype = wish && vt_dtype_is_floating(tensor->dtype) ? *wish : tensor->dtype;
    return tensor->count * vt_dtype_bytes(dtype);
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

vt_status vt_weights_write(const char *path, const vt_st_file *file, const vt_dtype *dtype,
                           size_t shard_bytes)
{
    if (shard_bytes == 0) return write_range(path, file, 0, vt_st_count(file), dtype);
    const size_t length = strlen(path), tail = strlen(ending);
    VT_REQUIRE(length > tail && strcmp(path + length - tail, ending) == 0, VT_ERR_USAGE,
               "%s: expected a name that ends in %s, for shards to be named after it", path,
               ending);
    int total = 0;
    for (size_t first = 0; first < vt_st_count(file) && total <= MAX_SHARDS; total++)
        first += shard_length(file, first, dtype, shard_bytes);
    VT_REQUIRE(total <= MAX_SHARDS, VT_ERR_USAGE, "%s: more than %d shards", path, MAX_SHARDS);
    if (total <= 1) return write_range(path, file, 0, vt_st_count(file), dtype);
    return write_shards(path, file, dtype, shard_bytes, total);
}
