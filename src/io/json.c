// JSON by cJSON, which is lenient and knows no places. What it lets pass, or cannot place, is
// checked here: a scan of the text before (what a token may contain, numbers, nesting, so that
// cJSON's recursion is bounded), and a walk over the tree afterwards (duplicate keys). Text is
// printed here, too, because cJSON's numbers lose their last digits.
#include "vitrain/io/json.h"

#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct document {
    const char *text; // (bytes + 1), a NUL behind it
    size_t bytes;
    const char *name;
} document;

static vt_status fail_at(const document *doc, size_t offset, const char *what)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        column = doc->text[i] == '\n' ? 1 : column + 1;
        line += doc->text[i] == '\n';
    }
    return vt_fail(VT_ERR_FORMAT, "%s:%d:%d: %s", doc->name, line, column, what);
}

// ---- before: the text ----

// Past the string whose opening quote is at `at`; an error leaves its offset there and returns
// text.
static const char *scan_string(const document *doc, size_t *at)
{
    for (size_t i = *at + 1; i < doc->bytes; i++) {
        unsigned char c = (unsigned char)doc->text[i];
        if (c == '"') {
            *at = i + 1;
            return NULL;
        }
        const char *wrong = c < 0x20 ? "control character in a string" : NULL;
        if (c == '\\' && strncmp(doc->text + i, "\\u0000", 6) == 0) wrong = "NUL in a string";
        if (wrong) {
            *at = i;
            return wrong;
        }
        i += c == '\\'; // cJSON checks which escape it is
    }
    return "the string that begins here has no end";
}

// Past the number at `at`: -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)?, and finite.
static const char *scan_number(const document *doc, size_t *at)
{
    static const char digits[] = "0123456789";
    const char *begin = doc->text + *at, *p = begin + (*begin == '-');
    size_t whole = strspn(p, digits);
    bool right = whole == 1 || (whole > 1 && *p != '0');
    p += whole;
    if (*p == '.') {
        size_t fraction = strspn(++p, digits);
        right = right && fraction > 0;
        p += fraction;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        size_t exponent = strspn(p, digits);
        right = right && exponent > 0;
        p += exponent;
    }
    if (!right) return "not a number as JSON writes it";
    if (p - begin > 63) return "a number of more than 63 characters"; // cJSON's limit
    if (isinf(strtod(begin, NULL))) return "a number too large for a double";
    *at = (size_t)(p - doc->text);
    return NULL;
}

// What is wrong with the token at `at`, or NULL with `at` behind it.
static const char *scan_token(const document *doc, size_t *at)
{
    char c = doc->text[*at];
    if (c == '"') return scan_string(doc, at);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(doc, at);
    if (c == 0) return "NUL byte";
    if (c > 0 && c < 0x20 && !strchr("\t\n\r", c)) return "control character";
    ++*at;
    return NULL;
}

static vt_status scan(const document *doc)
{
    char open[MAX_DEPTH + 1] = {0}, last = 0; // brackets not closed yet; the token before
    int depth = 0;
    for (size_t at = 0; at < doc->bytes;) {
        char c = doc->text[at];
        bool key_next = open[depth] == '{' && (last == ',' || (last == '{' && c != '}'));
        if (!isspace((unsigned char)c)) {
            if (key_next && c != '"') return fail_at(doc, at, "expected a key in double quotes");
            last = c;
        }
        const char *wrong = scan_token(doc, &at);
        if (c == '{' || c == '[') {
            if (depth == MAX_DEPTH) return fail_at(doc, at - 1, "nested deeper than 64");
            open[++depth] = c;
        }
        if ((c == '}' || c == ']') && depth > 0) depth--;
        if (wrong) return fail_at(doc, at, wrong);
    }
    return VT_OK;
}

// ---- after: the tree ----

typedef struct member {
    const char *key;
    size_t index; // among all keys of the document
} member;

static int by_key(const void *a, const void *b)
{
    const member *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

// Where key number `index` of the document is: a string with a colon behind it is a key.
static size_t offset_of_key(const document *doc, size_t index)
{
    for (size_t at = 0; at < doc->bytes;) {
        size_t begin = at;
        if (doc->text[begin] != '"') {
            at++;
            continue;
        }
        scan_string(doc, &at);
        bool key = doc->text[at + strspn(doc->text + at, " \t\n\r")] == ':';
        if (key && index-- == 0) return begin;
    }
    return doc->bytes;
}

// Refuses a key that an object has twice. *keys counts the document's keys in the order of the
// text.
static vt_status check_keys(const document *doc, const cJSON *node, size_t *keys)
{
    size_t n = (size_t)cJSON_GetArraySize(node), i = 0, second = SIZE_MAX;
    vt_status status = VT_OK;
    bool object = cJSON_IsObject(node);
    member *members = object && n ? malloc(n * sizeof *members) : NULL;
    VT_REQUIRE(members || !object || !n, VT_ERR_MEMORY, "%s: out of memory", doc->name);
    for (const cJSON *child = node->child; child; child = child->next) {
        if (object) members[i++] = (member){child->string, (*keys)++};
        VT_TRY_OR_FAIL(status, check_keys(doc, child, keys));
    }
    if (i) qsort(members, i, sizeof *members, by_key);
    for (size_t k = 1; k < i; k++) {
        bool twice = strcmp(members[k - 1].key, members[k].key) == 0;
        if (twice && members[k].index < second) second = members[k].index;
    }
    if (second != SIZE_MAX) {
        // The key as it is written, quotes and escapes included.
        size_t begin = offset_of_key(doc, second), end = begin;
        char what[128];
        scan_string(doc, &end);
        snprintf(what, sizeof what, "this key was given before: %.*s",
                 end - begin < 90 ? (int)(end - begin) : 90, doc->text + begin);
        status = fail_at(doc, begin, what);
    }
fail:
    free(members);
    return status;
}

vt_status vt_json_parse(vt_json **out, const char *text, size_t bytes, const char *name)
{
    char *copy = malloc(bytes + 1);
    VT_REQUIRE(copy, VT_ERR_MEMORY, "%s: out of memory", name);
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    document doc = {copy, bytes, name};
    cJSON *root = NULL;
    const char *end = copy;
    size_t keys = 0;
    vt_status status;
    VT_TRY_OR_FAIL(status, scan(&doc));
    root = cJSON_ParseWithLengthOpts(copy, bytes + 1, &end, true);
    if (!root) {
        bool at_end = end >= copy + bytes;
        status = fail_at(&doc, (size_t)(end - copy),
                         at_end ? "syntax error: the text ends here" : "syntax error");
        goto fail;
    }
    VT_TRY_OR_FAIL(status, check_keys(&doc, root, &keys));
    free(copy);
    *out = root;
    return VT_OK;
fail:
    cJSON_Delete(root);
    free(copy);
    return status;
}

vt_status vt_json_read(vt_json **out, const char *path, size_t max_bytes)
{
    unsigned char *text;
    size_t bytes;
    VT_TRY(vt_file_read(&text, &bytes, path, max_bytes));
    vt_status status = vt_json_parse(out, (const char *)text, bytes, path);
    free(text);
    return status;
}

void vt_json_destroy(vt_json *node)
{
    cJSON_Delete(node);
}

// ---- views ----

vt_json_type vt_json_type_of(const vt_json *node)
{
    if (cJSON_IsBool(node)) return VT_JSON_BOOL;
    if (cJSON_IsNumber(node)) return VT_JSON_NUMBER;
    if (cJSON_IsString(node)) return VT_JSON_STRING;
    if (cJSON_IsArray(node)) return VT_JSON_ARRAY;
    if (cJSON_IsObject(node)) return VT_JSON_OBJECT;
    return VT_JSON_NULL;
}

const char *vt_json_type_name(vt_json_type type)
{
    static const char *const names[] = {
        [VT_JSON_NULL] = "null",       [VT_JSON_BOOL] = "true or false",
        [VT_JSON_NUMBER] = "a number", [VT_JSON_STRING] = "a string",
        [VT_JSON_ARRAY] = "an array",  [VT_JSON_OBJECT] = "an object",
    };
    return names[type];
}

const char *vt_json_key(const vt_json *node)
{
    return node->string;
}

const char *vt_json_string(const vt_json *node)
{
    assert(cJSON_IsString(node));
    return node->valuestring;
}

double vt_json_number(const vt_json *node)
{
    assert(cJSON_IsNumber(node));
    return node->valuedouble;
}

bool vt_json_bool(const vt_json *node)
{
    assert(cJSON_IsBool(node));
    return cJSON_IsTrue(node);
}

int vt_json_size(const vt_json *node)
{
    return cJSON_GetArraySize(node);
}

const vt_json *vt_json_first(const vt_json *node)
{
    return node->child;
}

const vt_json *vt_json_next(const vt_json *node)
{
    return node->next;
}

const vt_json *vt_json_get(const vt_json *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

double vt_json_number_at(const vt_json *object, const char *key)
{
    const vt_json *node = vt_json_get(object, key);
    return cJSON_IsNumber(node) ? vt_json_number(node) : NAN;
}

// ---- building ----

// A bit of a node's type that cJSON has no use for: memory ran out for something below the node.
enum { INCOMPLETE = 1 << 16 };

static vt_json *add(vt_json *parent, const char *key, vt_json *node)
{
    assert(!parent || (cJSON_IsObject(parent) ? key != NULL : cJSON_IsArray(parent) && !key));
    const bool added =
        parent && node &&
        (key ? cJSON_AddItemToObject(parent, key, node) : cJSON_AddItemToArray(parent, node));
    if (added) return node;
    if (parent) parent->type |= INCOMPLETE;
    cJSON_Delete(node);
    return NULL;
}

vt_json *vt_json_new_object(void)
{
    return cJSON_CreateObject();
}

vt_json *vt_json_new_string(const char *value)
{
    return cJSON_CreateString(value);
}

vt_json *vt_json_new_copy(const vt_json *node)
{
    return cJSON_Duplicate(node, true);
}

vt_json *vt_json_add_object(vt_json *parent, const char *key)
{
    return add(parent, key, cJSON_CreateObject());
}

vt_json *vt_json_add_array(vt_json *parent, const char *key)
{
    return add(parent, key, cJSON_CreateArray());
}

vt_json *vt_json_add_number(vt_json *parent, const char *key, double value)
{
    return add(parent, key, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

vt_json *vt_json_add_string(vt_json *parent, const char *key, const char *value)
{
    return add(parent, key, cJSON_CreateString(value));
}

vt_json *vt_json_add_bool(vt_json *parent, const char *key, bool value)
{
    return add(parent, key, cJSON_CreateBool(value));
}

vt_json *vt_json_add_null(vt_json *parent, const char *key)
{
    return add(parent, key, cJSON_CreateNull());
}

vt_json *vt_json_put_copy(vt_json *parent, const char *key, const vt_json *node)
{
    vt_json *copy = vt_json_new_copy(node);
    if (copy && parent && cJSON_ReplaceItemInObjectCaseSensitive(parent, key, copy)) return copy;
    return add(parent, key, copy);
}

// ---- text ----

static void print_string(FILE *out, const char *s)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    fputc('"', out);
    for (; *s; s++) {
        const char *special = strchr(plain, *s);
        if (special) {
            fprintf(out, "\\%c", letter[special - plain]);
        } else if ((unsigned char)*s < 0x20) {
            fprintf(out, "\\u%04x", (unsigned)*s);
        } else {
            fputc(*s, out);
        }
    }
    fputc('"', out);
}

// The fewest digits of 15 to 17 that read back as the same double.
static void print_number(FILE *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    const char *point = localeconv()->decimal_point; // JSON's is always a full stop
    char *found = strstr(text, point);
    if (found) {
        *found = '.';
        memmove(found + 1, found + strlen(point), strlen(found + strlen(point)) + 1);
    }
    fputs(text, out);
}

// The gap in front of a member, or of the closing bracket. indent < 0: all in one line.
static void print_gap(FILE *out, int indent, const char *in_line)
{
    if (indent < 0) {
        fputs(in_line, out);
    } else {
        fprintf(out, "\n%*s", 2 * indent, "");
    }
}

// Whether memory never ran out below it. A member put in another's place may have lost its key.
static bool complete(const vt_json *node)
{
    bool whole = !(node->type & INCOMPLETE);
    for (const vt_json *child = node->child; child && whole; child = child->next)
        whole = (child->string || !cJSON_IsObject(node)) && complete(child);
    return whole;
}

static void print(FILE *out, const vt_json *node, int indent)
{
    vt_json_type type = vt_json_type_of(node);
    const vt_json *child = vt_json_first(node);
    switch (type) {
    case VT_JSON_NULL: fputs("null", out); return;
    case VT_JSON_BOOL: fputs(vt_json_bool(node) ? "true" : "false", out); return;
    case VT_JSON_NUMBER: print_number(out, vt_json_number(node)); return;
    case VT_JSON_STRING: print_string(out, vt_json_string(node)); return;
    case VT_JSON_ARRAY: // of plain values: in one line; [0.9, 0.999] reads better so
        if (!child || !child->child) indent = -1;
        break;
    case VT_JSON_OBJECT:
        if (!child) indent = -1;
        break;
    }
    int inner = indent < 0 ? -1 : indent + 1;
    fputc(type == VT_JSON_ARRAY ? '[' : '{', out);
    for (; child; child = vt_json_next(child)) {
        print_gap(out, inner, "");
        if (type == VT_JSON_OBJECT) {
            print_string(out, vt_json_key(child));
            fputs(": ", out);
        }
        print(out, child, inner);
        if (child->next) fputs(inner < 0 ? ", " : ",", out);
    }
    print_gap(out, indent, "");
    fputc(type == VT_JSON_ARRAY ? ']' : '}', out);
}

char *vt_json_text(const vt_json *node, bool indented)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = node && complete(node) ? open_memstream(&text, &bytes) : NULL;
    if (!out) return NULL;
    print(out, node, indented ? 0 : -1);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) return text;
    free(text);
    return NULL;
}

char *vt_json_text_utf8(const vt_json *node)
{
    char *text = vt_json_text(node, false), *valid = text ? vt_text_utf8(text) : NULL;
    free(text);
    return valid;
}
