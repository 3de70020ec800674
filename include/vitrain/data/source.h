// Where samples come from. A family member is one file with a vt_source_ops and a line in
// source_registry.c. A source is immutable once open: read() is called from several workers at
// once.
#ifndef VITRAIN_DATA_SOURCE_H
#define VITRAIN_DATA_SOURCE_H

#include "vitrain/base/status.h"
#include "vitrain/io/file.h"
#include "vitrain/io/image.h"

#include <stdbool.h>
#include <stdint.h>

// The names of the classes; the index is the label.
typedef struct vt_classes {
    char **names; // (count)
    int count;
} vt_classes;

// One name a line; blank lines and duplicates are refused (VT_ERR_FORMAT with the line's number).
vt_status vt_classes_read(vt_classes *out, const char *path);
int vt_classes_find(const vt_classes *classes, const char *name); // -1 if absent
vt_status vt_classes_copy(vt_classes *out, const vt_classes *from);
vt_status vt_classes_number(vt_classes *out, int count); // "0", "1" ...
void vt_classes_free(vt_classes *classes);               // takes a zeroed one
// The first names, "cat, dog, ..."; text: (capacity >= 16) out. Returns text.
const char *vt_classes_text(char *text, size_t capacity, const vt_classes *classes);
// VT_ERR_DATA: `where` has class `name`, which is not one of `classes`.
vt_status vt_classes_refuse(const char *where, const char *name, const vt_classes *classes);

typedef struct vt_source vt_source;

typedef struct vt_source_ops {
    const char *name; // data.format
    // Whether this looks like a path for it (format "auto"): cheap, reads a few bytes at most.
    bool (*recognise)(const char *path);
    // Fills *source (zeroed, ops set). classes: the labels' names to use, or NULL to find them.
    vt_status (*open)(vt_source *source, const char *path, const vt_classes *classes);
    // The class names alone, where they can be had without the samples; else NULL.
    vt_status (*classes)(vt_classes *out, const char *path);
    // Decodes sample `index`; bytes on disk may be bad: VT_ERR_FORMAT or VT_ERR_IO then.
    vt_status (*read)(const vt_source *source, int64_t index, vt_image *image, int64_t max_pixels);
    // The sample as a PNG or JPEG file, of which the caller decodes what it needs: *data: (*bytes),
    // the source's own (until it is closed) or held by `buffer` (until its next use). NULL, or
    // *data = NULL: there is none, read() gives the pixels. VT_ERR_IO, VT_ERR_FORMAT.
    vt_status (*fetch)(const vt_source *source, int64_t index, vt_file_buffer *buffer,
                       const unsigned char **data, size_t *bytes);
    // What messages call the sample ("path/to/file.jpg", "images.gz[17]"); text: (capacity) out.
    void (*describe)(const vt_source *source, int64_t index, char *text, size_t capacity);
    void (*close)(vt_source *source); // releases `state`
} vt_source_ops;

struct vt_source {
    const vt_source_ops *ops;
    char *path;
    int64_t count;      // samples
    int32_t *labels;    // (count)
    vt_classes classes; // numbers as names where the format has none (IDX)
    void *state;
};

// Opens path (format "auto", or an ops' name). VT_ERR_IO, VT_ERR_FORMAT, VT_ERR_DATA (no classes,
// an empty class, a class unknown to `classes`), VT_ERR_CONFIG (unknown format).
vt_status vt_source_open(vt_source **out, const char *path, const char *format,
                         const vt_classes *classes);
void vt_source_close(vt_source *source); // takes NULL

// The classes that vt_source_open would find at path.
vt_status vt_source_classes(vt_classes *out, const char *path, const char *format);

// The registry, ended by NULL.
extern const vt_source_ops *const vt_sources[];
extern const vt_source_ops vt_source_folder, vt_source_idx, vt_source_packed, vt_source_cifar;

#endif
