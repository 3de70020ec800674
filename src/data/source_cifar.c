// CIFAR-10's and CIFAR-100's binary files (https://www.cs.toronto.edu/~kriz/cifar.html): records of
// a label (CIFAR-100: a coarse and a fine one, of which the fine one counts) and 32 x 32 px in
// planes of red, green and blue. The path is a file, or a folder: then its training files are meant
// (data_batch_1.bin, data_batch_2.bin ..., or train.bin). Everything is read at once.
#include "vitrain/data/source.h"

#include "vitrain/io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, AREA = SIDE * SIDE, PIXELS = 3 * AREA };
static const size_t MAX_FILE_BYTES = (size_t)1 << 30;

// head: bytes before a picture, the last of them its label.
typedef struct cifar_kind {
    int classes;
    size_t head, record;
} cifar_kind;

static const cifar_kind ten = {10, 1, 1 + PIXELS}, hundred = {100, 2, 2 + PIXELS};

typedef struct cifar {
    const cifar_kind *kind;
    unsigned char *records; // (count, kind->record)
    size_t bytes;
} cifar;

// By a file's name; NULL if it is not one of these.
static const cifar_kind *kind_of(const char *path)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    int number, end = 0;
    if (!strcmp(name, "train.bin") || !strcmp(name, "test.bin")) return &hundred;
    if (!strcmp(name, "test_batch.bin")) return &ten;
    sscanf(name, "data_batch_%9d.bin%n", &number, &end);
    return end > 0 && name[end] == '\0' ? &ten : NULL;
}

static vt_status append_file(vt_source *source, const char *path)
{
    cifar *c = source->state;
    unsigned char *content;
    size_t bytes;
    VT_TRY(vt_file_read(&content, &bytes, path, MAX_FILE_BYTES));
    const size_t record = c->kind->record;
    unsigned char *grown =
        bytes > 0 && bytes % record == 0 ? realloc(c->records, c->bytes + bytes) : NULL;
    vt_status status = VT_OK;
    if (bytes == 0 || bytes % record != 0) {
        status = vt_fail(VT_ERR_FORMAT, "%s: %zu bytes, expected pictures of %zu bytes each", path,
                         bytes, record);
    } else if (!grown) {
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    } else {
        memcpy(grown + c->bytes, content, bytes);
        c->records = grown;
        c->bytes += bytes;
    }
    free(content);
    return status;
}

// The folder's file of this name, if it is there; *found tells.
static vt_status append_from(vt_source *source, const char *folder, const char *name, bool *found)
{
    char *path = vt_path_join(folder, name);
    VT_REQUIRE(path, VT_ERR_MEMORY, "%s: out of memory", folder);
    *found = vt_file_exists(path);
    vt_status status = *found ? append_file(source, path) : VT_OK;
    free(path);
    return status;
}

static vt_status append_folder(vt_source *source, const char *folder)
{
    cifar *c = source->state;
    bool found = true;
    c->kind = &ten;
    for (int i = 1; found; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        VT_TRY(append_from(source, folder, name, &found));
    }
    if (c->bytes > 0) return VT_OK;
    c->kind = &hundred;
    VT_TRY(append_from(source, folder, "train.bin", &found));
    VT_REQUIRE(found, VT_ERR_DATA, "%s: expected data_batch_1.bin or train.bin in it", folder);
    return VT_OK;
}

static vt_status take_labels(vt_source *source)
{
    const cifar *c = source->state;
    const int classes = source->classes.count;
    source->labels = malloc((size_t)source->count * sizeof *source->labels);
    VT_REQUIRE(source->labels, VT_ERR_MEMORY, "%s: out of memory", source->path);
    for (int64_t i = 0; i < source->count; i++) {
        const int label = c->records[(size_t)i * c->kind->record + c->kind->head - 1];
        VT_REQUIRE(label < classes && label < c->kind->classes, VT_ERR_DATA,
                   "%s: label %lld: expected one of %d classes, got %d", source->path, (long long)i,
                   classes < c->kind->classes ? classes : c->kind->classes, label);
        source->labels[i] = label;
    }
    return VT_OK;
}

static vt_status cifar_open(vt_source *source, const char *path, const vt_classes *classes)
{
    cifar *c = source->state = calloc(1, sizeof *c);
    VT_REQUIRE(c, VT_ERR_MEMORY, "%s: out of memory", path);
    if (vt_is_directory(path)) {
        VT_TRY(append_folder(source, path));
    } else {
        c->kind = kind_of(path);
        VT_REQUIRE(c->kind, VT_ERR_DATA,
                   "%s: expected data_batch_N.bin, test_batch.bin, train.bin or test.bin", path);
        VT_TRY(append_file(source, path));
    }
    source->count = (int64_t)(c->bytes / c->kind->record);
    VT_TRY(classes ? vt_classes_copy(&source->classes, classes)
                   : vt_classes_number(&source->classes, c->kind->classes));
    return take_labels(source);
}

static bool cifar_recognise(const char *path)
{
    if (!vt_is_directory(path)) return kind_of(path) != NULL;
    static const char *const names[] = {"data_batch_1.bin", "train.bin"};
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        char *file = vt_path_join(path, names[i]);
        found = file && vt_file_exists(file) && !vt_is_directory(file);
        free(file);
    }
    return found;
}

static void cifar_describe(const vt_source *source, int64_t index, char *text, size_t capacity)
{
    snprintf(text, capacity, "%s[%lld]", source->path, (long long)index);
}

static vt_status cifar_read(const vt_source *source, int64_t index, vt_image *image,
                            int64_t max_pixels)
{
    const cifar *c = source->state;
    VT_REQUIRE(max_pixels >= AREA, VT_ERR_FORMAT,
               "%s[%lld]: 32 x 32 px, expected at most %lld pixels", source->path, (long long)index,
               (long long)max_pixels);
    VT_TRY(vt_image_reserve(image, SIDE, SIDE, 3));
    const unsigned char *planes = c->records + (size_t)index * c->kind->record + c->kind->head;
    for (int p = 0; p < AREA; p++)
        for (int k = 0; k < 3; k++) image->pixels[3 * p + k] = planes[k * AREA + p];
    return VT_OK;
}

static void cifar_close(vt_source *source)
{
    cifar *c = source->state;
    if (c) free(c->records);
    free(c);
}

const vt_source_ops vt_source_cifar = {
    .name = "cifar",
    .recognise = cifar_recognise,
    .open = cifar_open,
    .read = cifar_read,
    .describe = cifar_describe,
    .close = cifar_close,
};
