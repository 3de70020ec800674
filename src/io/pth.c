// torch.save's archives: a zip file of uncompressed entries (PKWARE's APPNOTE 4.3, zip64 too), of
// which NAME/data.pkl is a pickle and NAME/data/KEY the bytes of storage KEY.
//
// Tensors that lie in their storage as they are read are views of the mapped file; others are
// gathered into copies, which together are no larger than the file.
#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"
#include "vitrain/io/pickle.h"
#include "vitrain/io/weights.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    END_BYTES = 22,
    MAX_COMMENT = 65535,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    KEY_BYTES = 32,
    MAX_FOLDER = 1024
};
static const char pickle_name[] = "data.pkl";

typedef struct entry {
    const char *name; // in the archive, not terminated
    size_t length;
    const unsigned char *data;
    size_t bytes;
} entry;

typedef struct archive {
    unsigned char *map;
    size_t bytes;
    entry *entries; // (count)
    size_t count;
    const entry *pickle_entry;
    vt_pickle *pickle;
    vt_st_tensor *tensors;           // (n_tensors)
    unsigned char **owned;           // (n_tensors) copies, or NULL
    char **names;                    // (n_tensors)
    size_t n_tensors, copied, named; // bytes of copies and of names
} archive;

static unsigned le16(const unsigned char *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

// ---- zip ----

// How much of a name a message has room for.
static int shown(const entry *e)
{
    return e->length < 80 ? (int)e->length : 80;
}

// The list of entries: where it begins and how many there are.
typedef struct directory {
    uint64_t offset, bytes, count;
} directory;

static vt_status find_directory(const archive *a, directory *out)
{
    const size_t least =
        a->bytes > END_BYTES + MAX_COMMENT ? a->bytes - END_BYTES - MAX_COMMENT : 0;
    size_t at = a->bytes >= END_BYTES ? a->bytes - END_BYTES + 1 : 0;
    bool found = false;
    while (!found && at > least) found = vt_le32(a->map + --at) == 0x06054b50;
    VT_REQUIRE(found, VT_ERR_FORMAT, "zip: no end of the archive: truncated file?");
    const unsigned char *end = a->map + at;
    *out = (directory){vt_le32(end + 16), vt_le32(end + 12), le16(end + 10)};
    if (at >= 20 && vt_le32(end - 20) == 0x07064b50) { // zip64: the numbers are elsewhere
        const uint64_t wide = vt_le64(end - 12);
        VT_REQUIRE(a->bytes >= 56 && wide <= a->bytes - 56 && vt_le32(a->map + wide) == 0x06064b50,
                   VT_ERR_FORMAT, "zip: no zip64 end of the archive where one is announced");
        const unsigned char *record = a->map + wide;
        *out = (directory){vt_le64(record + 48), vt_le64(record + 40), vt_le64(record + 32)};
    }
    VT_REQUIRE(out->offset <= a->bytes && out->bytes <= a->bytes - out->offset &&
                   out->count <= out->bytes / CENTRAL_BYTES,
               VT_ERR_FORMAT, "zip: the list of entries lies outside the file");
    return VT_OK;
}

// Sizes and offset that do not fit 32 bits are in an extra field, in this order.
static void widen(const unsigned char *extra, size_t length, uint64_t *const numbers[3])
{
    while (length >= 4) {
        const size_t bytes = le16(extra + 2);
        if (bytes > length - 4) return;
        if (le16(extra) == 1) {
            size_t at = 0;
            for (int i = 0; i < 3; i++) {
                if (*numbers[i] != UINT32_MAX || at + 8 > bytes) continue;
                *numbers[i] = vt_le64(extra + 4 + at);
                at += 8;
            }
            return;
        }
        extra += 4 + bytes;
        length -= 4 + bytes;
    }
}

static vt_status locate(const archive *a, entry *e, uint64_t offset, uint64_t bytes, uint32_t crc)
{
    VT_REQUIRE(a->bytes >= LOCAL_BYTES && offset <= a->bytes - LOCAL_BYTES &&
                   vt_le32(a->map + offset) == 0x04034b50,
               VT_ERR_FORMAT, "zip: entry %.*s: lies outside the file", shown(e), e->name);
    const unsigned char *local = a->map + offset;
    const size_t head = LOCAL_BYTES + (size_t)le16(local + 26) + le16(local + 28),
                 room = a->bytes - (size_t)offset;
    VT_REQUIRE(head <= room && bytes <= room - head, VT_ERR_FORMAT,
               "zip: entry %.*s: lies outside the file", shown(e), e->name);
    e->data = local + head;
    e->bytes = (size_t)bytes;
    VT_REQUIRE(crc32_z(0, e->data, e->bytes) == crc, VT_ERR_FORMAT,
               "zip: entry %.*s: damaged (its checksum differs)", shown(e), e->name);
    return VT_OK;
}

// The entry at *at in the list, which ends at `end`.
static vt_status read_central(archive *a, entry *e, size_t *at, size_t end)
{
    const unsigned char *c = a->map + *at;
    VT_REQUIRE(end - *at >= CENTRAL_BYTES && vt_le32(c) == 0x02014b50, VT_ERR_FORMAT,
               "zip: the list of entries is damaged");
    const size_t name = le16(c + 28), extra = le16(c + 30),
                 length = CENTRAL_BYTES + name + extra + le16(c + 32);
    VT_REQUIRE(length <= end - *at, VT_ERR_FORMAT, "zip: the list of entries is damaged");
    e->name = (const char *)c + CENTRAL_BYTES;
    e->length = name;
    uint64_t packed = vt_le32(c + 20), bytes = vt_le32(c + 24), offset = vt_le32(c + 42);
    widen(c + CENTRAL_BYTES + name, extra, (uint64_t *const[]){&bytes, &packed, &offset});
    VT_REQUIRE(le16(c + 10) == 0 && packed == bytes, VT_ERR_UNSUPPORTED,
               "zip: entry %.*s: is compressed, which torch.save does not do", shown(e), e->name);
    *at += length;
    return locate(a, e, offset, bytes, vt_le32(c + 16));
}

static int by_name(const void *x, const void *y)
{
    const entry *a = x, *b = y;
    const int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int by_place(const void *x, const void *y)
{
    const entry *a = x, *b = y;
    if (a->data != b->data) return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static vt_status read_entries(archive *a)
{
    directory d = {0};
    VT_TRY(find_directory(a, &d));
    a->entries = calloc((size_t)d.count + 1, sizeof *a->entries);
    VT_REQUIRE(a->entries, VT_ERR_MEMORY, "out of memory");
    size_t at = (size_t)d.offset;
    for (; a->count < d.count; a->count++)
        VT_TRY(read_central(a, &a->entries[a->count], &at, (size_t)(d.offset + d.bytes)));
    qsort(a->entries, a->count, sizeof *a->entries, by_place);
    for (size_t i = 1; i < a->count; i++)
        VT_REQUIRE(a->entries[i - 1].data + a->entries[i - 1].bytes <= a->entries[i].data,
                   VT_ERR_FORMAT, "zip: entries %.*s and %.*s overlap", shown(&a->entries[i - 1]),
                   a->entries[i - 1].name, shown(&a->entries[i]), a->entries[i].name);
    qsort(a->entries, a->count, sizeof *a->entries, by_name);
    for (size_t i = 1; i < a->count; i++)
        VT_REQUIRE(by_name(&a->entries[i - 1], &a->entries[i]) != 0, VT_ERR_FORMAT,
                   "zip: entry %.*s: is there twice", shown(&a->entries[i]), a->entries[i].name);
    return VT_OK;
}

// The entry `tail` in the folder of the pickle; NULL if absent.
static const entry *find_entry(const archive *a, const char *tail)
{
    const entry *p = a->pickle_entry;
    const size_t folder = p->length - strlen(pickle_name), n = strlen(tail);
    char name[MAX_FOLDER + KEY_BYTES + 8];
    if (folder > MAX_FOLDER || folder + n > sizeof name) return NULL;
    memcpy(name, p->name, folder);
    memcpy(name + folder, tail, n);
    const entry wanted = {.name = name, .length = folder + n};
    return bsearch(&wanted, a->entries, a->count, sizeof *a->entries, by_name);
}

static vt_status read_pickle(archive *a)
{
    const size_t n = strlen(pickle_name);
    for (size_t i = 0; i < a->count && !a->pickle_entry; i++) {
        const entry *e = &a->entries[i];
        if (e->length > n && e->length - n <= MAX_FOLDER && e->name[e->length - n - 1] == '/' &&
            memcmp(e->name + e->length - n, pickle_name, n) == 0)
            a->pickle_entry = e;
    }
    VT_REQUIRE(a->pickle_entry, VT_ERR_FORMAT, "zip: no data.pkl in it: not written by torch.save");
    const entry *order = find_entry(a, "byteorder");
    VT_REQUIRE(!order || (order->bytes == 6 && memcmp(order->data, "little", 6) == 0),
               VT_ERR_UNSUPPORTED, "byteorder: expected little, got %.*s",
               order && order->bytes < 20 ? (int)order->bytes : 20,
               order ? (const char *)order->data : "");
    return vt_pickle_read(&a->pickle, a->pickle_entry->data, a->pickle_entry->bytes);
}

// ---- tensors ----

// Up to `max` values of a container; their number, or -1 if there are more.
static int list(const vt_pickle_value *container, const vt_pickle_value **out, int max)
{
    int n = 0;
    for (const vt_pickle_item *i = container->first; i; i = i->next) {
        if (n == max) return -1;
        out[n++] = i->value;
    }
    return n;
}

// A tuple of whole numbers >= 0; their number, or -1.
static int sizes(const vt_pickle_value *tuple, int64_t *out)
{
    const vt_pickle_value *values[VT_ST_MAX_DIMS];
    if (tuple->type != VT_PICKLE_TUPLE) return -1;
    const int n = list(tuple, values, VT_ST_MAX_DIMS);
    for (int i = 0; i < n; i++) {
        if (values[i]->type != VT_PICKLE_INT || values[i]->whole < 0) return -1;
        out[i] = values[i]->whole;
    }
    return n;
}

// A storage: type, bytes, number of elements.
static vt_status read_storage(const archive *a, const vt_pickle_value *value, vt_dtype *dtype,
                              const unsigned char **data, size_t *count)
{
    enum { TYPE = 1, KEY = 2, COUNT = 4 };
    const vt_pickle_value *parts[5];
    VT_REQUIRE(value->type == VT_PICKLE_STORAGE && list(value, parts, 5) == 5 &&
                   parts[KEY]->type == VT_PICKLE_STRING && parts[KEY]->length < KEY_BYTES &&
                   parts[COUNT]->type == VT_PICKLE_INT && parts[COUNT]->whole >= 0,
               VT_ERR_FORMAT, "not a storage as torch.save writes it");
    VT_TRY(vt_pickle_dtype(dtype, parts[TYPE]));
    char tail[KEY_BYTES + 8];
    snprintf(tail, sizeof tail, "data/%.*s", (int)parts[KEY]->length, parts[KEY]->text);
    const entry *e = find_entry(a, tail);
    VT_REQUIRE(e, VT_ERR_FORMAT, "no %s in the archive", tail);
    size_t bytes;
    *count = (size_t)parts[COUNT]->whole;
    VT_REQUIRE(vt_size_mul(*count, vt_dtype_bytes(*dtype), &bytes) && bytes == e->bytes,
               VT_ERR_FORMAT, "%s: expected %zu elements of %s, got %zu bytes", tail, *count,
               vt_dtype_name(*dtype), e->bytes);
    *data = e->data;
    return VT_OK;
}

// How a tensor lies in its storage, in elements.
typedef struct layout {
    size_t offset;
    int64_t stride[VT_ST_MAX_DIMS];
} layout;

static vt_status check_extent(const vt_st_tensor *t, const layout *l, size_t storage)
{
    size_t last = l->offset, step;
    bool fits = true;
    for (int i = 0; i < t->ndim && t->count > 0; i++)
        fits = fits && vt_size_mul((size_t)t->shape[i] - 1, (size_t)l->stride[i], &step) &&
               vt_size_add(last, step, &last);
    VT_REQUIRE(fits && (t->count == 0 || last < storage), VT_ERR_FORMAT,
               "reaches beyond its storage of %zu elements", storage);
    VT_REQUIRE(t->count <= storage, VT_ERR_FORMAT, "%zu elements in a storage of %zu", t->count,
               storage);
    return VT_OK;
}

static bool is_contiguous(const vt_st_tensor *t, const layout *l)
{
    int64_t expected = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && l->stride[i] != expected) return false;
        expected *= t->shape[i];
    }
    return true;
}

static void gather(unsigned char *out, const unsigned char *storage, const vt_st_tensor *t,
                   const layout *l)
{
    const size_t element = vt_dtype_bytes(t->dtype);
    int64_t at[VT_ST_MAX_DIMS] = {0};
    for (size_t n = 0; n < t->count; n++) {
        size_t from = l->offset;
        for (int i = 0; i < t->ndim; i++) from += (size_t)(at[i] * l->stride[i]);
        memcpy(out + n * element, storage + from * element, element);
        for (int i = t->ndim - 1; i >= 0 && ++at[i] == t->shape[i]; i--) at[i] = 0;
    }
}

static vt_status read_tensor(archive *a, vt_st_tensor *t, unsigned char **owned,
                             const vt_pickle_value *value)
{
    enum { STORAGE, OFFSET, SHAPE, STRIDE, LEAST = 4, MOST = 8 };
    const vt_pickle_value *parts[MOST];
    const unsigned char *storage = NULL;
    layout l;
    size_t storage_count = 0;
    const bool right = list(value, parts, MOST) >= LEAST && parts[OFFSET]->type == VT_PICKLE_INT &&
                       parts[OFFSET]->whole >= 0 &&
                       (t->ndim = sizes(parts[SHAPE], t->shape)) >= 0 &&
                       sizes(parts[STRIDE], l.stride) == t->ndim;
    VT_REQUIRE(right, VT_ERR_FORMAT, "not a tensor as torch.save writes it");
    l.offset = (size_t)parts[OFFSET]->whole;
    VT_TRY(read_storage(a, parts[STORAGE], &t->dtype, &storage, &storage_count));
    t->count = 1;
    bool fits = true;
    for (int i = 0; i < t->ndim; i++)
        fits = fits && vt_size_mul(t->count, (size_t)t->shape[i], &t->count);
    VT_REQUIRE(fits && vt_size_mul(t->count, vt_dtype_bytes(t->dtype), &t->bytes), VT_ERR_FORMAT,
               "its shape exceeds the address space");
    VT_TRY(check_extent(t, &l, storage_count));
    t->data = storage;
    if (t->count == 0) return VT_OK;
    if (is_contiguous(t, &l)) {
        t->data = storage + l.offset * vt_dtype_bytes(t->dtype);
        return VT_OK;
    }
    VT_REQUIRE(t->bytes <= a->bytes - a->copied, VT_ERR_FORMAT,
               "more strided tensors than a file of %zu bytes should hold", a->bytes);
    a->copied += t->bytes;
    *owned = malloc(t->bytes);
    VT_REQUIRE(*owned, VT_ERR_MEMORY, "out of memory");
    gather(*owned, storage, t, &l);
    t->data = *owned;
    return VT_OK;
}

static vt_status read_named(archive *a, const vt_pickle_value *key, const vt_pickle_value *value)
{
    VT_REQUIRE(key->type == VT_PICKLE_STRING && !memchr(key->text, 0, key->length), VT_ERR_FORMAT,
               "state_dict: a key that is no string");
    a->named += key->length; // one text may be the key of any number of entries
    VT_REQUIRE(a->named <= a->pickle_entry->bytes, VT_ERR_FORMAT,
               "state_dict: longer names than its pickle of %zu bytes holds",
               a->pickle_entry->bytes);
    const size_t i = a->n_tensors++;
    char *name = a->names[i] = strndup(key->text, key->length);
    VT_REQUIRE(name, VT_ERR_MEMORY, "out of memory");
    VT_REQUIRE(value->type == VT_PICKLE_TENSOR, VT_ERR_FORMAT,
               "state_dict: expected tensors, \"%.80s\" is none", name);
    a->tensors[i].name = name;
    vt_status status = read_tensor(a, &a->tensors[i], &a->owned[i], value);
    if (status == VT_OK) return VT_OK;
    char prefix[128];
    snprintf(prefix, sizeof prefix, "tensor %.100s", name);
    return vt_fail_within(status, prefix);
}

static vt_status read_tensors(archive *a)
{
    const vt_pickle_value *root = vt_pickle_root(a->pickle), *dict = root;
    const char *const keys[] = {"state_dict", "model"}; // the last one wins
    for (int i = 0; i < 2; i++) {
        const vt_pickle_value *inner = vt_pickle_get(root, keys[i]);
        if (inner && inner->type == VT_PICKLE_DICT) dict = inner;
    }
    VT_REQUIRE(dict->type == VT_PICKLE_DICT, VT_ERR_FORMAT, "expected a state_dict");
    size_t n = 0;
    for (const vt_pickle_item *k = dict->first; k; k = k->next->next) n++;
    a->tensors = calloc(n + 1, sizeof *a->tensors);
    a->owned = calloc(n + 1, sizeof *a->owned);
    a->names = calloc(n + 1, sizeof *a->names);
    VT_REQUIRE(a->tensors && a->owned && a->names, VT_ERR_MEMORY, "out of memory");
    for (const vt_pickle_item *k = dict->first; k; k = k->next->next)
        VT_TRY(read_named(a, k->value, k->next->value));
    return VT_OK;
}

static void release(void *self)
{
    archive *a = self;
    for (size_t i = 0; i < a->n_tensors; i++) {
        free(a->owned[i]);
        free(a->names[i]);
    }
    free(a->tensors);
    free(a->owned);
    free(a->names);
    vt_pickle_destroy(a->pickle);
    free(a->entries);
    vt_file_unmap(a->map, a->bytes);
    free(a);
}

vt_status vt_pth_open(vt_st_file **out, const char *path)
{
    archive *a = calloc(1, sizeof *a);
    VT_REQUIRE(a, VT_ERR_MEMORY, "%s: out of memory", path);
    vt_status status = vt_file_map(&a->map, &a->bytes, path);
    if (status == VT_OK) status = read_entries(a);
    if (status == VT_OK) status = read_pickle(a);
    if (status == VT_OK) status = read_tensors(a);
    if (status != VT_OK) {
        status = vt_fail_within(status, path);
    } else {
        status = vt_st_assemble(out, path, a->tensors, a->n_tensors, a, release);
    }
    if (status != VT_OK) release(a);
    return status;
}
