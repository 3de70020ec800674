// Class names.
#ifndef VITRAIN_DATA_CLASSES_H
#define VITRAIN_DATA_CLASSES_H

#include "vitrain/base/status.h"

#include <stddef.h>

// The names of the classes; the index is the label.
typedef struct vt_classes {
    char **names; // (count)
    int count;
} vt_classes;

// One name a line; blank lines and duplicates are refused (VT_ERR_FORMAT with the line's number),
// and so is what has no line or is no text. VT_ERR_IO, VT_ERR_MEMORY.
vt_status vt_classes_read(vt_classes *out, const char *path);
int vt_classes_find(const vt_classes *classes, const char *name); // -1 if absent
vt_status vt_classes_copy(vt_classes *out, const vt_classes *from);
vt_status vt_classes_number(vt_classes *out, int count); // "0", "1" ...
void vt_classes_free(vt_classes *classes);               // takes a zeroed one
// The first names, "cat, dog, ..."; text: (capacity >= 16) out. Returns text.
const char *vt_classes_text(char *text, size_t capacity, const vt_classes *classes);
// VT_ERR_DATA: `where` has class `name`, which is not one of `classes`.
vt_status vt_classes_refuse(const char *where, const char *name, const vt_classes *classes);

#endif
