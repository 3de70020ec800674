// JSON: parsed documents with the place of an error, numbers that mean what they say, and text out.
// json.c is the only caller of cJSON; other files hold a vt_json, which is cJSON's node.
#ifndef VITRAIN_IO_JSON_H
#define VITRAIN_IO_JSON_H

#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct cJSON vt_json;

typedef enum vt_json_type {
    VT_JSON_NULL,
    VT_JSON_BOOL,
    VT_JSON_NUMBER,
    VT_JSON_STRING,
    VT_JSON_ARRAY,
    VT_JSON_OBJECT,
} vt_json_type;

// Parses text of `bytes` bytes (no terminator needed). `name` is what messages call the document.
// Refused with VT_ERR_FORMAT, line and column: syntax errors, anything after the value, duplicate
// keys, a NUL (\u0000 too) or another control character, numbers that no double holds or of more
// than 63 characters, nesting deeper than 64. VT_ERR_MEMORY. The tree is the caller's:
// vt_json_destroy.
vt_status vt_json_parse(vt_json **out, const char *text, size_t bytes, const char *name);
// Reads and parses a file. One that cannot be read: VT_ERR_IO; one of more than max_bytes:
// VT_ERR_FORMAT.
vt_status vt_json_read(vt_json **out, const char *path, size_t max_bytes);
void vt_json_destroy(vt_json *node); // takes NULL

// Views; the strings live as long as the node.
vt_json_type vt_json_type_of(const vt_json *node);
const char *vt_json_type_name(vt_json_type type);                   // "a number", "an object" ...
const char *vt_json_key(const vt_json *node);                       // NULL outside an object
const char *vt_json_string(const vt_json *node);                    // of a string node
double vt_json_number(const vt_json *node);                         // of a number node
bool vt_json_bool(const vt_json *node);                             // of a bool node
int vt_json_size(const vt_json *node);                              // members of an array or object
const vt_json *vt_json_first(const vt_json *node);                  // first member, NULL if none
const vt_json *vt_json_next(const vt_json *node);                   // sibling, NULL at the end
const vt_json *vt_json_get(const vt_json *object, const char *key); // NULL if absent, or object is
double vt_json_number_at(const vt_json *object, const char *key); // NAN if there is no such number

// Roots, the caller's to destroy; NULL when out of memory.
vt_json *vt_json_new_object(void);
vt_json *vt_json_new_string(const char *value);
vt_json *vt_json_new_copy(const vt_json *node);

// Building. Each returns the new node, owned by `parent`; key is NULL inside arrays. Running out of
// memory surfaces when the text is made: these return NULL, also where parent is one, and
// vt_json_text gives none of a tree that lacks something.
vt_json *vt_json_add_object(vt_json *parent, const char *key);
vt_json *vt_json_add_array(vt_json *parent, const char *key);
vt_json *vt_json_add_number(vt_json *parent, const char *key, double value); // not finite: null
vt_json *vt_json_add_string(vt_json *parent, const char *key, const char *value);
vt_json *vt_json_add_bool(vt_json *parent, const char *key, bool value);
vt_json *vt_json_add_null(vt_json *parent, const char *key);
// A copy of `node` under parent, in place of an older member of that name.
vt_json *vt_json_put_copy(vt_json *parent, const char *key, const vt_json *node);

// Text of a tree, one line or indented; malloc'd, free() it; NULL when out of memory, now or
// before. Numbers are written with as many digits as it takes to read the same double back,
// integers without a point.
char *vt_json_text(const vt_json *node, bool indented);
// The same in one line of valid UTF-8 (vt_text_utf8), whatever bytes the strings have.
char *vt_json_text_utf8(const vt_json *node);

#endif
