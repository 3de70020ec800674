// Packs, read: the file is mapped, its index checked once, and a sample's bytes are decoded (or its
// pixels copied) straight from the map. The format is told in the header.
#include "vitrain/data/pack.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { NAME_BYTES = 2048 }; // of a sample in messages

typedef struct pack {
    unsigned char *map; // the whole file
    size_t bytes;
    const unsigned char *index, *names; // in the map
    size_t names_bytes;
} pack;

// An entry of the index.
typedef struct record {
    uint64_t offset, bytes, name;
    uint32_t checksum, label, width, height, channels, zero;
} record;

static record record_at(const pack *p, int64_t index)
{
    const unsigned char *e = p->index + (size_t)index * VT_PACK_ENTRY_BYTES;
    return (record){.offset = vt_le64(e),
                    .bytes = vt_le64(e + 8),
                    .name = vt_le64(e + 16),
                    .checksum = vt_le32(e + 24),
                    .label = vt_le32(e + 28),
                    .width = vt_le32(e + 32),
                    .height = vt_le32(e + 36),
                    .channels = vt_le32(e + 40),
                    .zero = vt_le32(e + 44)};
}

// ---- opening ----

static vt_status map_file(pack *p, const char *path)
{
    vt_status status = vt_file_map(&p->map, &p->bytes, path);
    if (status != VT_OK) return vt_fail_within(status, path);
    VT_REQUIRE(p->bytes >= VT_PACK_HEADER_BYTES, VT_ERR_FORMAT,
               "%s: truncated: a pack has %d bytes at least, this %zu", path, VT_PACK_HEADER_BYTES,
               p->bytes);
    return VT_OK;
}

// Whether `bytes` bytes at `offset` lie before `end`.
static bool inside(uint64_t offset, uint64_t bytes, uint64_t end)
{
    return offset <= end && bytes <= end - offset;
}

static uint32_t checksum(const unsigned char *data, size_t bytes)
{
    return (uint32_t)crc32_z(0, data, bytes);
}

// Finds the parts of the file, and sets source->count.
static vt_status read_header(vt_source *source, uint32_t *n_classes)
{
    pack *p = source->state;
    const unsigned char *h = p->map;
    const char *path = source->path;
    VT_REQUIRE(memcmp(h, VT_PACK_MAGIC, VT_PACK_MAGIC_BYTES) == 0, VT_ERR_FORMAT,
               "%s: not a pack: it does not begin as one", path);
    VT_REQUIRE(vt_le32(h + 8) == VT_PACK_VERSION, VT_ERR_FORMAT,
               "%s: expected a pack of version %d, got %u", path, VT_PACK_VERSION, vt_le32(h + 8));
    VT_REQUIRE(vt_le32(h + 60) == checksum(h, 60), VT_ERR_FORMAT,
               "%s: the header is damaged: its checksum does not match", path);
    const uint64_t count = vt_le64(h + 16), index = vt_le64(h + 24), names = vt_le64(h + 32);
    size_t entries, end;
    bool fits = vt_size_mul(count, VT_PACK_ENTRY_BYTES, &entries) &&
                vt_size_add(index, entries, &end) && vt_size_add(end, names, &end);
    VT_REQUIRE(fits && index >= VT_PACK_HEADER_BYTES && end <= p->bytes, VT_ERR_FORMAT,
               "%s: truncated: the header announces more than the %zu bytes that are there", path,
               p->bytes);
    VT_REQUIRE(end == p->bytes, VT_ERR_FORMAT, "%s: trailing bytes after what the header announces",
               path);
    VT_REQUIRE(count > 0, VT_ERR_DATA, "%s: no samples in it", path);
    p->index = h + index;
    p->names = p->index + entries;
    p->names_bytes = names;
    VT_REQUIRE(vt_le32(h + 40) == checksum(p->index, entries), VT_ERR_FORMAT,
               "%s: the index is damaged: its checksum does not match", path);
    VT_REQUIRE(vt_le32(h + 44) == checksum(p->names, names), VT_ERR_FORMAT,
               "%s: the names are damaged: their checksum does not match", path);
    VT_REQUIRE(names > 0 && p->names[names - 1] == '\0', VT_ERR_FORMAT,
               "%s: the names are damaged: the last one has no end", path);
    *n_classes = vt_le32(h + 12);
    source->count = (int64_t)count; // a file of 48 times as many bytes is there
    return VT_OK;
}

// The classes' names, which the names begin with.
static vt_status read_classes(vt_classes *out, const vt_source *source, uint32_t n)
{
    const pack *p = source->state;
    VT_REQUIRE(n > 0 && n <= INT_MAX && n <= p->names_bytes, VT_ERR_FORMAT,
               "%s: the header is damaged: %u classes, of which the names are %zu bytes",
               source->path, n, p->names_bytes);
    out->names = calloc(n, sizeof *out->names);
    VT_REQUIRE(out->names, VT_ERR_MEMORY, "out of memory for %u classes", n);
    size_t at = 0;
    for (; (uint32_t)out->count < n; out->count++) {
        VT_REQUIRE(at < p->names_bytes, VT_ERR_FORMAT,
                   "%s: the names are damaged: expected %u classes, got %d", source->path, n,
                   out->count);
        const char *name = (const char *)p->names + at;
        out->names[out->count] = strdup(name);
        VT_REQUIRE(out->names[out->count], VT_ERR_MEMORY, "out of memory for %u classes", n);
        at += strlen(name) + 1;
    }
    return VT_OK;
}

// What each of the pack's labels is among `known` (NULL: itself); -1: not there.
static vt_status map_labels(int32_t **map, const vt_classes *own, const vt_classes *known)
{
    *map = malloc((size_t)own->count * sizeof **map);
    VT_REQUIRE(*map, VT_ERR_MEMORY, "out of memory for %d classes", own->count);
    for (int i = 0; i < own->count; i++)
        (*map)[i] = known ? vt_classes_find(known, own->names[i]) : i;
    return VT_OK;
}

static vt_status check_record(const vt_source *source, int64_t index, const record *r, int classes)
{
    const pack *p = source->state;
    const bool file = !r->width && !r->height && !r->channels;
    bool fine = inside(r->offset, r->bytes, (uint64_t)(p->index - p->map)) &&
                r->offset >= VT_PACK_HEADER_BYTES && r->name < p->names_bytes && r->zero == 0;
    fine = fine && r->label < (uint32_t)classes;
    if (!file) {
        fine = fine && r->width >= 1 && r->width <= INT_MAX && r->height >= 1 &&
               r->height <= INT_MAX && (r->channels == 1 || r->channels == 3);
        fine = fine && r->bytes % r->channels == 0 &&
               r->bytes / r->channels == (uint64_t)r->width * r->height;
    }
    VT_REQUIRE(fine, VT_ERR_FORMAT, "%s: the index is damaged: entry %lld is not valid",
               source->path, (long long)index);
    return VT_OK;
}

// Labels, and every entry checked. map: (own->count).
static vt_status read_index(vt_source *source, const vt_classes *own, const int32_t *map,
                            const vt_classes *known)
{
    source->labels = calloc((size_t)source->count, sizeof *source->labels);
    VT_REQUIRE(source->labels, VT_ERR_MEMORY, "%s: out of memory", source->path);
    for (int64_t i = 0; i < source->count; i++) {
        const record r = record_at(source->state, i);
        VT_TRY(check_record(source, i, &r, own->count));
        source->labels[i] = map[r.label];
        if (map[r.label] < 0) return vt_classes_refuse(source->path, own->names[r.label], known);
    }
    return VT_OK;
}

static vt_status packed_open(vt_source *source, const char *path, const vt_classes *classes)
{
    source->state = calloc(1, sizeof(pack));
    VT_REQUIRE(source->state, VT_ERR_MEMORY, "%s: out of memory", path);
    uint32_t n_classes = 0;
    vt_classes own = {0};
    int32_t *map = NULL;
    VT_TRY(map_file(source->state, path));
    VT_TRY(read_header(source, &n_classes));
    vt_status status = read_classes(&own, source, n_classes);
    if (status == VT_OK) status = map_labels(&map, &own, classes);
    if (status == VT_OK) status = read_index(source, &own, map, classes);
    if (status == VT_OK) status = vt_classes_copy(&source->classes, classes ? classes : &own);
    free(map);
    vt_classes_free(&own);
    return status;
}

static void packed_close(vt_source *source)
{
    pack *p = source->state;
    if (p) vt_file_unmap(p->map, p->bytes);
    free(p);
}

// By its name too, so that a damaged file is reported as one.
static bool packed_recognise(const char *path)
{
    unsigned char magic[VT_PACK_MAGIC_BYTES];
    const char *dot = strrchr(path, '.');
    if (vt_is_directory(path)) return false;
    if (dot && strcmp(dot, ".vtpack") == 0) return true;
    FILE *file = fopen(path, "rbe");
    bool right = file && fread(magic, 1, sizeof magic, file) == sizeof magic &&
                 memcmp(magic, VT_PACK_MAGIC, sizeof magic) == 0;
    if (file) fclose(file);
    return right;
}

// ---- reading ----

static void packed_describe(const vt_source *source, int64_t index, char *text, size_t capacity)
{
    const pack *p = source->state;
    snprintf(text, capacity, "%s: %s", source->path,
             (const char *)p->names + record_at(p, index).name);
}

// The bytes of a sample, checked; name: (NAME_BYTES) out, for messages.
static vt_status view(const unsigned char **data, record *r, const vt_source *source, int64_t index,
                      char *name)
{
    const pack *p = source->state;
    packed_describe(source, index, name, NAME_BYTES);
    *r = record_at(p, index);
    *data = p->map + r->offset;
    VT_REQUIRE(checksum(*data, r->bytes) == r->checksum, VT_ERR_FORMAT,
               "%s: damaged in the pack: its checksum does not match", name);
    return VT_OK;
}

static vt_status packed_read(const vt_source *source, int64_t index, vt_image *image,
                             int64_t max_pixels)
{
    char name[NAME_BYTES];
    const unsigned char *data;
    record r;
    VT_TRY(view(&data, &r, source, index, name));
    VT_REQUIRE(r.bytes > 0, VT_ERR_FORMAT, "%s: was unreadable or empty when it was packed", name);
    if (r.width == 0) return vt_image_decode(image, data, r.bytes, max_pixels, name);
    VT_REQUIRE(r.bytes / r.channels <= (uint64_t)max_pixels, VT_ERR_FORMAT,
               "%s: %ux%u pixels, expected at most %lld in all", name, r.width, r.height,
               (long long)max_pixels);
    VT_TRY(vt_image_reserve(image, (int)r.width, (int)r.height, (int)r.channels));
    memcpy(image->pixels, data, r.bytes);
    return VT_OK;
}

static vt_status packed_fetch(const vt_source *source, int64_t index, vt_file_buffer *buffer,
                              const unsigned char **data, size_t *bytes)
{
    char name[NAME_BYTES];
    const unsigned char *stored;
    record r;
    (void)buffer; // the pack is mapped
    *data = NULL;
    VT_TRY(view(&stored, &r, source, index, name));
    VT_REQUIRE(r.bytes > 0, VT_ERR_FORMAT, "%s: was unreadable or empty when it was packed", name);
    if (r.width > 0) return VT_OK;
    *data = stored;
    *bytes = r.bytes;
    return VT_OK;
}

vt_status vt_pack_check(const vt_source *source, int64_t index)
{
    char name[NAME_BYTES];
    const unsigned char *data;
    record r;
    assert(source->ops == &vt_source_packed);
    return view(&data, &r, source, index, name);
}

const vt_source_ops vt_source_packed = {
    .name = "packed",
    .recognise = packed_recognise,
    .open = packed_open,
    .read = packed_read,
    .fetch = packed_fetch,
    .describe = packed_describe,
    .close = packed_close,
};
