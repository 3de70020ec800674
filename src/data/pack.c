// Packs, written. Threads read (and where asked decode and resize) a chunk of samples at a time,
// one writes them in order, so that memory is bounded by a chunk and the file is the same with any
// number of threads. Index and names are kept in memory and follow the samples; the header goes in
// last, over a blank one.
#include "vitrain/data/pack.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { ITEMS_PER_THREAD = 4, TEXT_BYTES = 2048 };
static const double SHOW_INTERVAL_S = 0.5;

// A sample between source and file.
typedef struct item {
    const unsigned char *data; // a file's bytes; NULL: none, see image
    size_t bytes;
    vt_file_buffer buffer;
    vt_image image;   // its memory is reused
    vt_status status; // of reading it
    char message[TEXT_BYTES];
} item;

// A thread's work memory.
typedef struct worker {
    vt_image image;
    vt_resample_scratch scratch;
} worker;

typedef struct packer {
    const vt_source *source;
    const vt_pack_config *config;
    const char *path;
    vt_atomic_file file;
    int n_items, n_workers;
    item *items;     // (n_items) the chunk
    worker *workers; // (n_workers)
    uint64_t at;     // bytes written
    unsigned char *index;
    char *names;
    size_t names_bytes, names_capacity;
    int64_t bad;
    double shown_s;
} packer;

// ---- reading a sample ----

// The shorter side becomes config->decoded.
static vt_status resize(item *it, const vt_image *image, const vt_pack_config *config, worker *w)
{
    int size[2];
    const int frame[2] = {config->decoded, config->decoded};
    VT_TRY(vt_cover_size(size, image->width, image->height, frame, config->max_pixels));
    const double whole[4] = {0, 0, (double)image->width, (double)image->height};
    return vt_resample(&it->image, image, whole, size[0], size[1], NULL, config->filter,
                       &w->scratch);
}

static vt_status decode(item *it, const vt_source *source, int64_t index,
                        const vt_pack_config *config, worker *w)
{
    const int side = config->decoded;
    VT_TRY(source->ops->read(source, index, &w->image, config->max_pixels));
    const int shorter = w->image.width < w->image.height ? w->image.width : w->image.height;
    if (side == 0 || side == shorter) {
        vt_image kept = it->image; // swapped, not copied
        it->image = w->image;
        w->image = kept;
        return VT_OK;
    }
    vt_status status = resize(it, &w->image, config, w);
    if (status == VT_OK) return VT_OK;
    char name[TEXT_BYTES / 2];
    source->ops->describe(source, index, name, sizeof name);
    return vt_fail_within(status, name);
}

// Fills an item; safe in several threads at once.
static void prepare(item *it, const vt_source *source, int64_t index, const vt_pack_config *config,
                    worker *w)
{
    it->data = NULL;
    it->bytes = 0;
    it->status = VT_OK;
    const bool as_they_are = config->decoded == 0 && source->ops->fetch;
    if (as_they_are)
        it->status = source->ops->fetch(source, index, &it->buffer, &it->data, &it->bytes);
    if (it->status == VT_OK && !it->data) it->status = decode(it, source, index, config, w);
    if (it->status != VT_OK) snprintf(it->message, sizeof it->message, "%s", vt_error_message());
}

// ---- writing ----

static vt_status put(packer *p, const void *data, size_t bytes)
{
    VT_REQUIRE(fwrite(data, 1, bytes, p->file.stream) == bytes, VT_ERR_IO, "%s: cannot write: %s",
               p->path, strerror(errno));
    p->at += bytes;
    return VT_OK;
}

static vt_status add_name(packer *p, const char *name)
{
    const size_t bytes = strlen(name) + 1;
    if (bytes > p->names_capacity - p->names_bytes) {
        const size_t capacity = 2 * p->names_capacity + bytes;
        char *names = realloc(p->names, capacity);
        VT_REQUIRE(names, VT_ERR_MEMORY, "%s: out of memory", p->path);
        p->names = names;
        p->names_capacity = capacity;
    }
    memcpy(p->names + p->names_bytes, name, bytes);
    p->names_bytes += bytes;
    return VT_OK;
}

// What the source calls the sample, less the folder that is packed or that holds the source.
static const char *short_name(const char *name, const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t whole = strlen(path), folder = slash ? (size_t)(slash - path) + 1 : 0;
    if (strncmp(name, path, whole) != 0) return name;
    if (whole > 0 && path[whole - 1] == '/') return name + whole;
    if (name[whole] == '/') return name + whole + 1;
    if (strncmp(name + whole, ": ", 2) == 0) return name + whole + 2; // packed once more
    return name + folder;
}

// The sample's bytes, its name and its entry.
static vt_status write_item(packer *p, const item *it, int64_t index)
{
    unsigned char *entry = p->index + (size_t)index * VT_PACK_ENTRY_BYTES;
    const vt_image *image = it->status == VT_OK && !it->data ? &it->image : NULL;
    const unsigned char *data = image ? image->pixels : it->data;
    size_t bytes = it->bytes;
    if (image) bytes = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    vt_put_le64(entry, p->at);
    vt_put_le64(entry + 8, bytes);
    vt_put_le64(entry + 16, p->names_bytes);
    vt_put_le32(entry + 24, bytes ? (uint32_t)crc32_z(0, data, bytes) : 0);
    vt_put_le32(entry + 28, (uint32_t)p->source->labels[index]);
    vt_put_le32(entry + 32, image ? (uint32_t)image->width : 0);
    vt_put_le32(entry + 36, image ? (uint32_t)image->height : 0);
    vt_put_le32(entry + 40, image ? (uint32_t)image->channels : 0);
    vt_put_le32(entry + 44, 0);
    char name[TEXT_BYTES];
    p->source->ops->describe(p->source, index, name, sizeof name);
    VT_TRY(add_name(p, short_name(name, p->source->path)));
    return bytes ? put(p, data, bytes) : VT_OK;
}

// A sample that could not be read keeps its place, unless memory was what lacked.
static vt_status count_bad(packer *p, const item *it)
{
    if (it->status == VT_OK) return VT_OK;
    if (it->status == VT_ERR_MEMORY) return vt_fail(it->status, "%s", it->message);
    p->bad++;
    VT_REQUIRE((double)p->bad <= p->config->max_bad * (double)p->source->count, VT_ERR_DATA,
               "%s: %lld of %lld samples are unreadable, more than the share of %g that "
               "data.max_bad allows; "
               "the last one: %s",
               p->source->path, (long long)p->bad, (long long)p->source->count, p->config->max_bad,
               it->message);
    vt_log(VT_LOG_WARN, "%s (packed as unreadable)", it->message);
    return VT_OK;
}

static void show(packer *p, int64_t done)
{
    char text[128];
    if (vt_now_s() - p->shown_s < SHOW_INTERVAL_S) return;
    p->shown_s = vt_now_s();
    snprintf(text, sizeof text, "packed %lld of %lld samples, %.0f MB", (long long)done,
             (long long)p->source->count, (double)p->at * 1e-6);
    vt_log_progress(text);
}

static vt_status write_samples(packer *p)
{
    const volatile sig_atomic_t *interrupted = p->config->interrupted;
    for (int64_t start = 0; start < p->source->count; start += p->n_items) {
        const int64_t left = p->source->count - start;
        const int n = left < p->n_items ? (int)left : p->n_items;
        if (interrupted && *interrupted) return vt_fail(VT_INTERRUPTED, "interrupted");
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < n; i++)
            prepare(&p->items[i], p->source, start + i, p->config, &p->workers[vt_thread_index()]);
        for (int i = 0; i < n; i++) {
            VT_TRY(count_bad(p, &p->items[i]));
            VT_TRY(write_item(p, &p->items[i], start + i));
        }
        show(p, start + n);
    }
    return VT_OK;
}

// Index, names, and with them known the header.
static vt_status write_tables(packer *p)
{
    const size_t index_bytes = (size_t)p->source->count * VT_PACK_ENTRY_BYTES;
    unsigned char h[VT_PACK_HEADER_BYTES] = {0};
    memcpy(h, VT_PACK_MAGIC, VT_PACK_MAGIC_BYTES);
    vt_put_le32(h + 8, VT_PACK_VERSION);
    vt_put_le32(h + 12, (uint32_t)p->source->classes.count);
    vt_put_le64(h + 16, (uint64_t)p->source->count);
    vt_put_le64(h + 24, p->at);
    vt_put_le64(h + 32, p->names_bytes);
    vt_put_le32(h + 40, (uint32_t)crc32_z(0, p->index, index_bytes));
    vt_put_le32(h + 44, (uint32_t)crc32_z(0, (const unsigned char *)p->names, p->names_bytes));
    vt_put_le32(h + 60, (uint32_t)crc32_z(0, h, 60));
    VT_TRY(put(p, p->index, index_bytes));
    VT_TRY(put(p, p->names, p->names_bytes));
    VT_REQUIRE(fseeko(p->file.stream, 0, SEEK_SET) == 0 &&
                   fwrite(h, 1, sizeof h, p->file.stream) == sizeof h,
               VT_ERR_IO, "%s: cannot write: %s", p->path, strerror(errno));
    return VT_OK;
}

// ---- all of it ----

static vt_status reserve(packer *p)
{
    size_t index_bytes;
    VT_REQUIRE(vt_size_mul((size_t)p->source->count, VT_PACK_ENTRY_BYTES, &index_bytes),
               VT_ERR_MEMORY, "%s: out of memory", p->path);
    p->n_workers = vt_threads();
    p->n_items = ITEMS_PER_THREAD * p->n_workers;
    p->workers = vt_alloc((size_t)p->n_workers, sizeof *p->workers);
    p->items = vt_alloc((size_t)p->n_items, sizeof *p->items);
    p->index = vt_alloc(index_bytes, 1);
    return p->workers && p->items && p->index ? VT_OK : VT_ERR_MEMORY;
}

static vt_status pack(packer *p)
{
    static const unsigned char blank[VT_PACK_HEADER_BYTES];
    const vt_classes *classes = &p->source->classes;
    VT_TRY(reserve(p));
    for (int i = 0; i < classes->count; i++) VT_TRY(add_name(p, classes->names[i]));
    VT_TRY(vt_atomic_begin(&p->file, p->path));
    VT_TRY(put(p, blank, sizeof blank));
    VT_TRY(write_samples(p));
    VT_TRY(write_tables(p));
    return vt_atomic_commit(&p->file);
}

vt_status vt_pack_write(const char *path, const vt_source *source, const vt_pack_config *config,
                        vt_pack_result *result)
{
    packer p = {.source = source, .config = config, .path = path, .shown_s = vt_now_s()};
    vt_status status = pack(&p);
    vt_log_progress(NULL);
    vt_atomic_abandon(&p.file);
    for (int i = 0; p.items && i < p.n_items; i++) {
        vt_file_buffer_free(&p.items[i].buffer);
        vt_image_free(&p.items[i].image);
    }
    for (int i = 0; p.workers && i < p.n_workers; i++) {
        vt_image_free(&p.workers[i].image);
        vt_resample_free(&p.workers[i].scratch);
    }
    free(p.items);
    free(p.workers);
    free(p.index);
    free(p.names);
    if (status != VT_OK) return status;
    *result = (vt_pack_result){.count = source->count, .bad = p.bad, .bytes = (int64_t)p.at};
    return VT_OK;
}
