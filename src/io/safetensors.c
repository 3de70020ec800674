// Reading safetensors: a mapped file whose header is checked once, and a sorted index of names.
#include "vitrain/io/safetensors.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/narrow.h"
#include "vitrain/io/file.h"
#include "vitrain/io/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are used as they are");

enum { MAX_HEADER_BYTES = 100000000, LENGTH_BYTES = 8 };

struct vt_st_file {
    char *path;
    unsigned char *map; // (bytes)
    size_t bytes;
    vt_json *header; // owns the names
    const vt_json *metadata;
    size_t count;
    vt_st_tensor *tensors;        // (count), by offset
    const vt_st_tensor **by_name; // (count)
    void *owner;                  // of an assembled file: what keeps the bytes
    void (*release)(void *owner);
};

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define VT_DTYPE_ROW(code, name, bytes) [code] = {name, bytes},
    VT_DTYPE_TABLE(VT_DTYPE_ROW)
#undef VT_DTYPE_ROW
};

enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

const char *vt_dtype_name(vt_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t vt_dtype_bytes(vt_dtype dtype)
{
    return dtypes[dtype].bytes;
}

static vt_status map_file(vt_st_file *file)
{
    VT_TRY(vt_file_map(&file->map, &file->bytes, file->path));
    VT_REQUIRE(file->bytes >= LENGTH_BYTES, VT_ERR_FORMAT, "%zu bytes are no safetensors file",
               file->bytes);
    return VT_OK;
}

// The array `key` of a tensor's entry as whole numbers; their count, or -1 if it is not that.
static int read_sizes(const vt_json *entry, const char *key, int max, int64_t *out)
{
    const vt_json *array = vt_json_get(entry, key);
    if (!array || vt_json_type_of(array) != VT_JSON_ARRAY) return -1;
    int n = 0;
    for (const vt_json *v = vt_json_first(array); v; v = vt_json_next(v)) {
        double value = vt_json_type_of(v) == VT_JSON_NUMBER ? vt_json_number(v) : -1;
        if (n == max || !(value >= 0 && value <= 0x1p53) || value != floor(value)) return -1;
        out[n++] = (int64_t)value;
    }
    return n;
}

// The entry of one tensor, placed relative to `data`, (data_bytes).
static vt_status read_entry(vt_st_tensor *tensor, const vt_json *entry, const unsigned char *data,
                            size_t data_bytes)
{
    const char *name = tensor->name = vt_json_key(entry);
    VT_REQUIRE(vt_json_type_of(entry) == VT_JSON_OBJECT, VT_ERR_FORMAT,
               "tensor %s: expected an object, got %s", name,
               vt_json_type_name(vt_json_type_of(entry)));
    const vt_json *dtype = vt_json_get(entry, "dtype");
    bool text = dtype && vt_json_type_of(dtype) == VT_JSON_STRING;
    int code = text ? 0 : N_DTYPES;
    while (code < N_DTYPES && strcmp(dtypes[code].name, vt_json_string(dtype)) != 0) code++;
    VT_REQUIRE(code < N_DTYPES, VT_ERR_FORMAT, "tensor %s: dtype %s is unknown", name,
               text ? vt_json_string(dtype) : "(none)");
    tensor->dtype = (vt_dtype)code;

    tensor->ndim = read_sizes(entry, "shape", VT_ST_MAX_DIMS, tensor->shape);
    VT_REQUIRE(tensor->ndim >= 0, VT_ERR_FORMAT, "tensor %s: shape: expected up to %d sizes", name,
               VT_ST_MAX_DIMS);
    tensor->count = 1;
    bool fits = true;
    for (int i = 0; i < tensor->ndim; i++) {
        fits = fits && vt_size_mul(tensor->count, (size_t)tensor->shape[i], &tensor->count);
    }
    fits = fits && vt_size_mul(tensor->count, vt_dtype_bytes(tensor->dtype), &tensor->bytes);
    VT_REQUIRE(fits, VT_ERR_FORMAT, "tensor %s: its shape exceeds the address space", name);

    int64_t offsets[2];
    VT_REQUIRE(read_sizes(entry, "data_offsets", 2, offsets) == 2 && offsets[0] <= offsets[1],
               VT_ERR_FORMAT, "tensor %s: data_offsets: expected [begin, end]", name);
    VT_REQUIRE((size_t)offsets[1] <= data_bytes, VT_ERR_FORMAT,
               "tensor %s: ends at byte %lld of %zu: truncated file?", name, (long long)offsets[1],
               data_bytes);
    VT_REQUIRE((size_t)(offsets[1] - offsets[0]) == tensor->bytes, VT_ERR_FORMAT,
               "tensor %s: its shape and dtype take %zu bytes, its offsets span %lld", name,
               tensor->bytes, (long long)(offsets[1] - offsets[0]));
    tensor->data = data + offsets[0];
    return VT_OK;
}

static vt_status read_metadata(vt_st_file *file, const vt_json *node)
{
    VT_REQUIRE(vt_json_type_of(node) == VT_JSON_OBJECT, VT_ERR_FORMAT,
               "__metadata__: expected an object");
    for (const vt_json *v = vt_json_first(node); v; v = vt_json_next(v)) {
        VT_REQUIRE(vt_json_type_of(v) == VT_JSON_STRING, VT_ERR_FORMAT,
                   "__metadata__: %s: expected a string", vt_json_key(v));
    }
    file->metadata = node;
    return VT_OK;
}

// Empty tensors stand in front of the one that begins at the same place.
static int by_offset(const void *a, const void *b)
{
    const vt_st_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const vt_st_tensor *const *)a)->name, (*(const vt_st_tensor *const *)b)->name);
}

static vt_status parse_header(vt_st_file *file)
{
    uint64_t length = vt_le64(file->map);
    VT_REQUIRE(length <= MAX_HEADER_BYTES, VT_ERR_FORMAT,
               "header of %llu bytes, expected at most %d: not a safetensors file?",
               (unsigned long long)length, MAX_HEADER_BYTES);
    VT_REQUIRE(length <= file->bytes - LENGTH_BYTES, VT_ERR_FORMAT,
               "header of %llu bytes in a file of %zu: truncated file?", (unsigned long long)length,
               file->bytes);
    const unsigned char *data = file->map + LENGTH_BYTES + length, *next = data;
    VT_TRY(vt_json_parse(&file->header, (const char *)file->map + LENGTH_BYTES, (size_t)length,
                         "header"));
    VT_REQUIRE(vt_json_type_of(file->header) == VT_JSON_OBJECT, VT_ERR_FORMAT,
               "header: expected an object");

    size_t n = (size_t)vt_json_size(file->header),
           data_bytes = file->bytes - (size_t)(data - file->map);
    file->tensors = calloc(n + 1, sizeof *file->tensors);
    file->by_name = calloc(n + 1, sizeof *file->by_name);
    VT_REQUIRE(file->tensors && file->by_name, VT_ERR_MEMORY, "out of memory");
    for (const vt_json *v = vt_json_first(file->header); v; v = vt_json_next(v)) {
        if (strcmp(vt_json_key(v), VT_ST_METADATA) == 0) {
            VT_TRY(read_metadata(file, v));
        } else {
            VT_TRY(read_entry(&file->tensors[file->count++], v, data, data_bytes));
        }
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    for (size_t i = 0; i < file->count; i++) {
        const vt_st_tensor *t = file->by_name[i] = &file->tensors[i];
        VT_REQUIRE(t->data == next, VT_ERR_FORMAT, "tensor %s: begins at byte %zu, expected %zu",
                   t->name, (size_t)(t->data - data), (size_t)(next - data));
        next += t->bytes;
    }
    size_t used = (size_t)(next - data);
    VT_REQUIRE(used == data_bytes, VT_ERR_FORMAT, "%zu bytes of data, expected %zu", data_bytes,
               used);
    qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
    return VT_OK;
}

vt_status vt_st_open(vt_st_file **out, const char *path)
{
    vt_st_file *file = calloc(1, sizeof *file);
    if (file) file->path = strdup(path);
    vt_status status = VT_OK;
    if (!file || !file->path) status = vt_fail(VT_ERR_MEMORY, "out of memory");
    if (status == VT_OK) status = map_file(file);
    if (status == VT_OK) status = parse_header(file);
    if (status == VT_OK) {
        *out = file;
        return VT_OK;
    }
    vt_st_close(file);
    return vt_fail_within(status, path);
}

void vt_st_close(vt_st_file *file)
{
    if (!file) return;
    vt_file_unmap(file->map, file->bytes);
    if (file->release) file->release(file->owner);
    vt_json_destroy(file->header);
    free(file->tensors);
    free(file->by_name);
    free(file->path);
    free(file);
}

vt_status vt_st_assemble(vt_st_file **out, const char *path, const vt_st_tensor *tensors,
                         size_t count, void *owner, void (*release)(void *owner))
{
    vt_st_file *file = calloc(1, sizeof *file);
    VT_REQUIRE(file, VT_ERR_MEMORY, "%s: out of memory", path);
    file->path = strdup(path);
    file->tensors = calloc(count + 1, sizeof *file->tensors);
    file->by_name = calloc(count + 1, sizeof *file->by_name);
    vt_status status = VT_OK;
    if (!file->path || !file->tensors || !file->by_name) {
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    } else {
        if (count) memcpy(file->tensors, tensors, count * sizeof *tensors);
        file->count = count;
        for (size_t i = 0; i < count; i++) file->by_name[i] = &file->tensors[i];
        qsort(file->by_name, count, sizeof *file->by_name, by_name);
    }
    for (size_t i = 1; i < count && status == VT_OK; i++)
        if (by_name(&file->by_name[i - 1], &file->by_name[i]) == 0)
            status = vt_fail(VT_ERR_FORMAT, "%s: tensor %s: is there twice", path,
                             file->by_name[i]->name);
    if (status != VT_OK) {
        vt_st_close(file);
        return status;
    }
    file->owner = owner;
    file->release = release;
    *out = file;
    return VT_OK;
}

void vt_st_adopt_metadata(vt_st_file *file, const vt_st_file *part)
{
    if (!file->metadata) file->metadata = part->metadata;
}

const char *vt_st_path(const vt_st_file *file)
{
    return file->path;
}

size_t vt_st_count(const vt_st_file *file)
{
    return file->count;
}

const vt_st_tensor *vt_st_at(const vt_st_file *file, size_t index)
{
    assert(index < file->count);
    return &file->tensors[index];
}

const vt_st_tensor *vt_st_find(const vt_st_file *file, const char *name)
{
    const vt_st_tensor key = {.name = name}, *wanted = &key;
    const vt_st_tensor **found =
        bsearch(&wanted, file->by_name, file->count, sizeof *file->by_name, by_name);
    return found ? *found : NULL;
}

const char *vt_st_metadata(const vt_st_file *file, const char *key)
{
    const vt_json *value = file->metadata ? vt_json_get(file->metadata, key) : NULL;
    return value ? vt_json_string(value) : NULL;
}

vt_status vt_st_metadata_all(const vt_st_file *file, vt_st_meta **out, size_t *count)
{
    const size_t most = file->metadata ? (size_t)vt_json_size(file->metadata) : 0;
    vt_st_meta *all = malloc((most + 1) * sizeof *all);
    VT_REQUIRE(all, VT_ERR_MEMORY, "%s: out of memory", file->path);
    *count = 0;
    for (const vt_json *v = most ? vt_json_first(file->metadata) : NULL; v; v = vt_json_next(v))
        all[(*count)++] = (vt_st_meta){vt_json_key(v), vt_json_string(v)};
    *out = all;
    return VT_OK;
}

enum { SHAPE_TEXT_BYTES = 32 + 24 * VT_ST_MAX_DIMS };

// "F32 [3, *]"
static const char *shape_text(char text[SHAPE_TEXT_BYTES], vt_dtype dtype, int ndim,
                              const int64_t *shape)
{
    int at = sprintf(text, "%s [", vt_dtype_name(dtype));
    for (int i = 0; i < ndim; i++) {
        at += sprintf(text + at, i ? ", " : "");
        at += shape[i] < 0 ? sprintf(text + at, "*")
                           : sprintf(text + at, "%lld", (long long)shape[i]);
    }
    sprintf(text + at, "]");
    return text;
}

vt_status vt_st_get(const vt_st_file *file, const char *name, vt_dtype dtype, int ndim,
                    int64_t *shape, const vt_st_tensor **out)
{
    assert(ndim <= VT_ST_MAX_DIMS);
    char expected[SHAPE_TEXT_BYTES], got[SHAPE_TEXT_BYTES];
    const vt_st_tensor *tensor = vt_st_find(file, name);
    bool right = tensor && tensor->dtype == dtype && tensor->ndim == ndim;
    for (int i = 0; right && i < ndim; i++) {
        right = shape[i] < 0 || shape[i] == tensor->shape[i];
    }
    VT_REQUIRE(right, VT_ERR_SHAPE, "%s: tensor %s: expected %s, got %s", file->path, name,
               shape_text(expected, dtype, ndim, shape),
               tensor ? shape_text(got, tensor->dtype, tensor->ndim, tensor->shape) : "none");
    for (int i = 0; i < ndim; i++) shape[i] = tensor->shape[i];
    *out = tensor;
    return VT_OK;
}

bool vt_dtype_is_floating(vt_dtype dtype)
{
    return dtype == VT_F32 || dtype == VT_F16 || dtype == VT_BF16 || dtype == VT_F64;
}

double vt_st_number(const vt_st_tensor *tensor, size_t i)
{
    float single;
    double wide;
    uint16_t narrow;
    const unsigned char *at = tensor->data + i * vt_dtype_bytes(tensor->dtype); // may be unaligned
    switch (tensor->dtype) {
    case VT_F32: memcpy(&single, at, sizeof single); return (double)single;
    case VT_F64: memcpy(&wide, at, sizeof wide); return wide;
    case VT_F16: memcpy(&narrow, at, sizeof narrow); return (double)vt_half_value(narrow);
    case VT_BF16: memcpy(&narrow, at, sizeof narrow); return (double)vt_bf16_value(narrow);
    default: assert(0); return 0;
    }
}

void vt_st_reals(const vt_st_tensor *tensor, vt_real *out)
{
    assert(vt_dtype_is_floating(tensor->dtype));
    for (size_t i = 0; i < tensor->count; i++) out[i] = (vt_real)vt_st_number(tensor, i);
}

vt_status vt_st_get_real(const vt_st_file *file, const char *name, int ndim, const int64_t *shape,
                         vt_real *out)
{
    int64_t wanted[VT_ST_MAX_DIMS];
    const vt_st_tensor *tensor = vt_st_find(file, name);
    assert(ndim <= VT_ST_MAX_DIMS);
    for (int i = 0; i < ndim; i++) wanted[i] = shape[i];
    const vt_dtype dtype = tensor && vt_dtype_is_floating(tensor->dtype) ? tensor->dtype : VT_F32;
    VT_TRY(vt_st_get(file, name, dtype, ndim, wanted, &tensor));
    vt_st_reals(tensor, out);
    return VT_OK;
}
