// Writing safetensors: the header from the list of entries, then their bytes one after the other.
#include "vitrain/base/bytes.h"
#include "vitrain/base/text.h"
#include "vitrain/io/file.h"
#include "vitrain/io/json.h"
#include "vitrain/io/safetensors.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are written as they are");

enum { LENGTH_BYTES = 8 };

// Neither what is in memory nor what is in a file overflows.
static size_t count_of(const vt_st_entry *entry)
{
    assert(entry->ndim <= VT_ST_MAX_DIMS);
    size_t count = 1;
    for (int i = 0; i < entry->ndim; i++) count *= (size_t)entry->shape[i];
    return count;
}

// Of metadata: it may name files, whose names may be of any encoding; other readers take a header
// in UTF-8 only.
static void add_valid(vt_json *meta, const char *key, const char *value)
{
    char *valid = vt_text_utf8(value);
    vt_json_add_string(meta, key, valid);
    free(valid);
}

// The header as text; free() it. NULL when out of memory.
static char *make_header(const vt_st_entry *entries, size_t n_entries, const vt_st_meta *metadata,
                         size_t n_metadata)
{
    vt_json *root = vt_json_new_object();
    vt_json *meta = n_metadata ? vt_json_add_object(root, VT_ST_METADATA) : NULL;
    for (size_t i = 0; i < n_metadata; i++) {
        if (metadata[i].value) add_valid(meta, metadata[i].key, metadata[i].value);
    }
    size_t end = 0;
    for (size_t i = 0; i < n_entries; i++) {
        const vt_st_entry *e = &entries[i];
        vt_json *entry = vt_json_add_object(root, e->name);
        vt_json_add_string(entry, "dtype", vt_dtype_name(e->dtype));
        vt_json *shape = vt_json_add_array(entry, "shape");
        for (int d = 0; d < e->ndim; d++) vt_json_add_number(shape, NULL, (double)e->shape[d]);
        vt_json *offsets = vt_json_add_array(entry, "data_offsets");
        vt_json_add_number(offsets, NULL, (double)end);
        end += count_of(e) * vt_dtype_bytes(e->dtype);
        vt_json_add_number(offsets, NULL, (double)end);
    }
    char *text = vt_json_text(root, false);
    vt_json_destroy(root);
    return text;
}

// Errors of the stream are vt_atomic_commit's to report, here and below.
static void write_header(FILE *stream, const char *header)
{
    size_t length = strlen(header), padding = -length % 8; // the data then begins aligned
    unsigned char prefix[LENGTH_BYTES];
    vt_put_le64(prefix, length + padding);
    fwrite(prefix, 1, sizeof prefix, stream);
    fprintf(stream, "%s%*s", header, (int)padding, "");
}

static void write_real(FILE *stream, const vt_real *data, size_t count)
{
#ifdef VT_DOUBLE
    for (size_t i = 0; i < count; i++) {
        float value = (float)data[i];
        fwrite(&value, sizeof value, 1, stream);
    }
#else
    fwrite(data, sizeof *data, count, stream);
#endif
}

static vt_status write_data(FILE *stream, const vt_st_entry *entries, size_t n_entries,
                            const vt_st_supply *supply)
{
    for (size_t i = 0; i < n_entries; i++) {
        const vt_st_entry *e = &entries[i];
        const void *data = e->data;
        const size_t count = count_of(e);
        if (count == 0) continue; // its data may be NULL
        if (supply) VT_TRY(supply->get(supply->self, i, &data));
        if (e->dtype == VT_F32)
            write_real(stream, data, count);
        else
            fwrite(data, vt_dtype_bytes(e->dtype), count, stream);
    }
    return VT_OK;
}

vt_status vt_st_write_from(const char *path, const vt_st_entry *entries, size_t n_entries,
                           const vt_st_meta *metadata, size_t n_metadata,
                           const vt_st_supply *supply)
{
    char *header = make_header(entries, n_entries, metadata, n_metadata);
    VT_REQUIRE(header, VT_ERR_MEMORY, "%s: out of memory", path);
    vt_atomic_file file = {0};
    vt_status status = vt_atomic_begin(&file, path);
    if (status == VT_OK) {
        write_header(file.stream, header);
        status = write_data(file.stream, entries, n_entries, supply);
        if (status == VT_OK)
            status = vt_atomic_commit(&file);
        else
            vt_atomic_abandon(&file);
    }
    free(header);
    return status;
}

vt_status vt_st_write(const char *path, const vt_st_entry *entries, size_t n_entries,
                      const vt_st_meta *metadata, size_t n_metadata)
{
    return vt_st_write_from(path, entries, n_entries, metadata, n_metadata, NULL);
}
