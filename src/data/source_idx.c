// IDX files, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist): a big-endian magic
// number (0x00000803: bytes in three dimensions; 0x00000801: in one), the dimensions, the bytes.
// Plain or gzip, which the content decides. The labels lie beside the images under the name that
// has "labels-idx1" for "images-idx3" (or with a dot for the dash, as some copies do), with or
// without .gz. Everything is read at once; a sample is a grey picture.
#include "vitrain/data/source.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { IMAGES_MAGIC = 0x803, LABELS_MAGIC = 0x801, IN_BYTES = 1 << 16 };

typedef struct idx_images {
    int width, height;
    unsigned char *pixels; // (count, height, width)
} idx_images;

// ---- a file's bytes, inflated if need be ----

typedef struct reader {
    const char *path;
    FILE *file;
    uint64_t file_bytes;
    bool gzip, ended; // ended: the compressed stream is complete
    z_stream z;       // next_in, avail_in: read from the file, not yet used
    unsigned char in[IN_BYTES];
} reader;

static vt_status fill(reader *r)
{
    if (r->z.avail_in > 0) return VT_OK;
    size_t got = fread(r->in, 1, sizeof r->in, r->file);
    VT_REQUIRE(!ferror(r->file), VT_ERR_IO, "%s: cannot read: %s", r->path, strerror(errno));
    r->z.next_in = r->in;
    r->z.avail_in = (uInt)got;
    return VT_OK;
}

static vt_status reader_open(reader *r, const char *path)
{
    struct stat info;
    *r = (reader){.path = path, .file = fopen(path, "rbe")};
    VT_REQUIRE(r->file, VT_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    VT_REQUIRE(fstat(fileno(r->file), &info) == 0 && S_ISREG(info.st_mode), VT_ERR_IO,
               "%s: not a regular file", path);
    r->file_bytes = (uint64_t)info.st_size;
    VT_TRY(fill(r));
    if (r->z.avail_in < 2 || r->in[0] != 0x1f || r->in[1] != 0x8b) return VT_OK;
    VT_REQUIRE(inflateInit2(&r->z, 15 + 16) == Z_OK, VT_ERR_MEMORY, "%s: out of memory", path);
    r->gzip = true;
    return VT_OK;
}

static void reader_close(reader *r)
{
    if (r->gzip) inflateEnd(&r->z);
    if (r->file) fclose(r->file);
}

// One piece of at most INT_MAX bytes; *got is 0 at the end only.
static vt_status read_piece(reader *r, unsigned char *out, size_t bytes, size_t *got)
{
    size_t want = bytes < INT_MAX ? bytes : INT_MAX;
    *got = 0;
    while (*got == 0 && !r->ended) {
        VT_TRY(fill(r));
        if (r->z.avail_in == 0) return VT_OK;
        if (r->gzip) {
            r->z.next_out = out;
            r->z.avail_out = (uInt)want;
            int code = inflate(&r->z, Z_NO_FLUSH);
            VT_REQUIRE(code == Z_OK || code == Z_STREAM_END, VT_ERR_FORMAT,
                       "%s: corrupt gzip data: %s", r->path, r->z.msg ? r->z.msg : zError(code));
            r->ended = code == Z_STREAM_END;
            *got = want - r->z.avail_out;
        } else {
            *got = r->z.avail_in < want ? r->z.avail_in : want;
            memcpy(out, r->z.next_in, *got);
            r->z.next_in += *got;
            r->z.avail_in -= (uInt)*got;
        }
    }
    return VT_OK;
}

static vt_status read_exactly(reader *r, unsigned char *out, size_t bytes)
{
    size_t done = 0, got = 1;
    while (got > 0 && done < bytes) {
        VT_TRY(read_piece(r, out + done, bytes - done, &got));
        done += got;
    }
    VT_REQUIRE(done == bytes, VT_ERR_FORMAT, "%s: truncated: %zu of %zu bytes are missing", r->path,
               bytes - done, bytes);
    return VT_OK;
}

static vt_status expect_end(reader *r)
{
    unsigned char byte;
    size_t got;
    VT_TRY(read_piece(r, &byte, 1, &got));
    VT_REQUIRE(got > 0 || r->ended || !r->gzip, VT_ERR_FORMAT,
               "%s: truncated: the end of the gzip data is missing", r->path);
    if (got == 0) VT_TRY(fill(r));
    VT_REQUIRE(got == 0 && r->z.avail_in == 0, VT_ERR_FORMAT,
               "%s: trailing bytes after what the header announces", r->path);
    return VT_OK;
}

// ---- the format ----

// One file whole: dims: (ndim) out; *out: their product of bytes, malloc'd. What a file announces
// is allocated only if a file of its size can hold it (deflate does not pack more than 1032 : 1).
static vt_status load_open(reader *r, uint32_t magic, int ndim, uint32_t *dims, unsigned char **out)
{
    unsigned char header[16];
    size_t header_bytes = 4 + 4 * (size_t)ndim, bytes = 1;
    VT_TRY(read_exactly(r, header, header_bytes));
    VT_REQUIRE(vt_be32(header) == magic, VT_ERR_FORMAT,
               "%s: expected an IDX file of magic 0x%08x, got 0x%08x", r->path, magic,
               vt_be32(header));
    bool fits = true;
    for (int i = 0; i < ndim; i++) {
        dims[i] = vt_be32(header + 4 + 4 * i);
        fits = fits && dims[i] <= INT_MAX && vt_size_mul(bytes, dims[i], &bytes);
    }
    size_t most = (size_t)r->file_bytes * (r->gzip ? 1032 : 1);
    VT_REQUIRE(fits && bytes <= most, VT_ERR_FORMAT,
               "%s: truncated: the header announces more than a file of %llu bytes holds", r->path,
               (unsigned long long)r->file_bytes);
    *out = malloc(bytes + 1); // of an empty file too
    VT_REQUIRE(*out, VT_ERR_MEMORY, "%s: out of memory: %zu bytes asked for", r->path, bytes);
    VT_TRY(read_exactly(r, *out, bytes));
    return expect_end(r);
}

static vt_status load(const char *path, uint32_t magic, int ndim, uint32_t *dims,
                      unsigned char **out)
{
    reader r;
    vt_status status = reader_open(&r, path);
    if (status == VT_OK) status = load_open(&r, magic, ndim, dims, out);
    reader_close(&r);
    return status;
}

// *out: malloc'd path of the labels, which exists.
static vt_status labels_path(char **out, const char *images)
{
    const char *name = strrchr(images, '/') ? strrchr(images, '/') + 1 : images;
    const char *at =
        strstr(name, "images-idx3") ? strstr(name, "images-idx3") : strstr(name, "images.idx3");
    VT_REQUIRE(at, VT_ERR_DATA,
               "%s: the labels' file cannot be told: expected \"images-idx3\" in the name", images);
    size_t length = strlen(at);
    bool zipped = length >= 3 && strcmp(at + length - 3, ".gz") == 0;
    int rest = (int)(length - strlen("images-idx3")) - (zipped ? 3 : 0);
    for (int attempt = 0; attempt < 2; attempt++, zipped = !zipped) {
        if (asprintf(out, "%.*slabels%cidx1%.*s%s", (int)(at - images), images, at[6], rest,
                     at + strlen("images-idx3"), zipped ? ".gz" : "") < 0) {
            *out = NULL;
            return vt_fail(VT_ERR_MEMORY, "%s: out of memory", images);
        }
        if (vt_file_exists(*out)) return VT_OK;
        if (attempt == 0) free(*out);
    }
    return vt_fail(VT_ERR_IO, "%s: no labels beside it: expected %s, with or without .gz", images,
                   *out);
}

static vt_status take_labels(vt_source *source, const unsigned char *labels, const char *path,
                             const vt_classes *classes)
{
    source->labels = malloc((size_t)source->count * sizeof *source->labels);
    VT_REQUIRE(source->labels, VT_ERR_MEMORY, "%s: out of memory", path);
    int32_t largest = 0;
    for (int64_t i = 0; i < source->count; i++) {
        source->labels[i] = labels[i];
        if (labels[i] > largest) largest = labels[i];
        VT_REQUIRE(!classes || labels[i] < classes->count, VT_ERR_DATA,
                   "%s: label %lld: expected one of %d classes, got %d", path, (long long)i,
                   classes->count, labels[i]);
    }
    if (classes) return vt_classes_copy(&source->classes, classes);
    return vt_classes_number(&source->classes, largest + 1);
}

static vt_status load_labels(vt_source *source, const char *images, const vt_classes *classes)
{
    char *path = NULL;
    unsigned char *labels = NULL;
    uint32_t count;
    vt_status status = labels_path(&path, images);
    if (status == VT_OK) status = load(path, LABELS_MAGIC, 1, &count, &labels);
    if (status == VT_OK && count != source->count) {
        status =
            vt_fail(VT_ERR_FORMAT, "%s: expected %lld labels, one for each image of %s, got %u",
                    path, (long long)source->count, images, count);
    }
    if (status == VT_OK) status = take_labels(source, labels, path, classes);
    free(labels);
    free(path);
    return status;
}

static vt_status idx_open(vt_source *source, const char *path, const vt_classes *classes)
{
    idx_images *images = source->state = calloc(1, sizeof *images);
    VT_REQUIRE(images, VT_ERR_MEMORY, "%s: out of memory", path);
    uint32_t dims[3];
    VT_TRY(load(path, IMAGES_MAGIC, 3, dims, &images->pixels));
    VT_REQUIRE(dims[0] > 0, VT_ERR_DATA, "%s: no images in it", path);
    VT_REQUIRE(dims[1] > 0 && dims[2] > 0, VT_ERR_FORMAT,
               "%s: expected images of at least 1 x 1 px, got %u x %u", path, dims[2], dims[1]);
    source->count = dims[0];
    images->height = (int)dims[1];
    images->width = (int)dims[2];
    return load_labels(source, path, classes);
}

// By its name too, so that a damaged file is reported as one.
static bool idx_recognise(const char *path)
{
    unsigned char magic[4];
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (vt_is_directory(path)) return false;
    if (strstr(name, "idx3")) return true;
    reader r;
    bool right = reader_open(&r, path) == VT_OK && read_exactly(&r, magic, 4) == VT_OK &&
                 vt_be32(magic) == IMAGES_MAGIC;
    reader_close(&r);
    return right;
}

static void idx_describe(const vt_source *source, int64_t index, char *text, size_t capacity)
{
    snprintf(text, capacity, "%s[%lld]", source->path, (long long)index);
}

static vt_status idx_read(const vt_source *source, int64_t index, vt_image *image,
                          int64_t max_pixels)
{
    const idx_images *images = source->state;
    size_t area = (size_t)images->width * (size_t)images->height;
    VT_REQUIRE(area <= (uint64_t)max_pixels, VT_ERR_FORMAT,
               "%s[%lld]: %d x %d px, expected at most %lld pixels", source->path, (long long)index,
               images->width, images->height, (long long)max_pixels);
    VT_TRY(vt_image_reserve(image, images->width, images->height, 1));
    memcpy(image->pixels, images->pixels + (size_t)index * area, area);
    return VT_OK;
}

static void idx_close(vt_source *source)
{
    idx_images *images = source->state;
    if (images) free(images->pixels);
    free(images);
}

const vt_source_ops vt_source_idx = {
    .name = "idx",
    .recognise = idx_recognise,
    .open = idx_open,
    .read = idx_read,
    .describe = idx_describe,
    .close = idx_close,
};
