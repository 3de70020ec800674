// Lists of class names; see the header.
#include "vitrain/data/classes.h"

#include "vitrain/io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vt_classes_find(const vt_classes *classes, const char *name)
{
    for (int i = 0; i < classes->count; i++) {
        if (strcmp(classes->names[i], name) == 0) return i;
    }
    return -1;
}

vt_status vt_classes_copy(vt_classes *out, const vt_classes *from)
{
    *out = (vt_classes){.names = calloc((size_t)from->count, sizeof *out->names)};
    if (!out->names) return vt_fail(VT_ERR_MEMORY, "out of memory for %d classes", from->count);
    for (; out->count < from->count; out->count++) {
        out->names[out->count] = strdup(from->names[out->count]);
        if (out->names[out->count]) continue;
        vt_classes_free(out);
        return vt_fail(VT_ERR_MEMORY, "out of memory for %d classes", from->count);
    }
    return VT_OK;
}

vt_status vt_classes_number(vt_classes *classes, int count)
{
    classes->names = calloc((size_t)count, sizeof *classes->names);
    for (int i = 0; classes->names && i < count; i++, classes->count++) {
        if (asprintf(&classes->names[i], "%d", i) < 0) break;
    }
    VT_REQUIRE(classes->count == count, VT_ERR_MEMORY, "out of memory for %d classes", count);
    return VT_OK;
}

void vt_classes_free(vt_classes *classes)
{
    for (int i = 0; i < classes->count; i++) free(classes->names[i]);
    free(classes->names);
    *classes = (vt_classes){0};
}

const char *vt_classes_text(char *text, size_t capacity, const vt_classes *classes)
{
    static const char more[] = ", ...";
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < classes->count; i++) {
        const char *name = classes->names[i], *comma = i ? ", " : "";
        const size_t room = i + 1 < classes->count ? sizeof more : 1;
        if (used + strlen(comma) + strlen(name) + room > capacity) {
            snprintf(text + used, capacity - used, "%s", i ? more : "...");
            break;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", comma, name);
    }
    return text;
}

vt_status vt_classes_refuse(const char *where, const char *name, const vt_classes *classes)
{
    char list[256];
    return vt_fail(VT_ERR_DATA, "%s: class \"%s\" is not one of the %d known ones (%s)", where,
                   name, classes->count, vt_classes_text(list, sizeof list, classes));
}

static int compare_lines(const void *a, const void *b, void *lines)
{
    int i = *(const int *)a, j = *(const int *)b;
    int order = strcmp(((char **)lines)[i], ((char **)lines)[j]);
    return order ? order : i - j;
}

// order: (count) scratch.
static vt_status check_unique(const vt_classes *lines, int *order, const char *path)
{
    for (int i = 0; i < lines->count; i++) order[i] = i;
    qsort_r(order, (size_t)lines->count, sizeof *order, compare_lines, lines->names);
    for (int i = 1; i < lines->count; i++) {
        const char *name = lines->names[order[i]];
        VT_REQUIRE(strcmp(lines->names[order[i - 1]], name) != 0, VT_ERR_FORMAT,
                   "%s: line %d: class \"%s\" is already on line %d", path, order[i] + 1, name,
                   order[i - 1] + 1);
    }
    return VT_OK;
}

// Splits text into lines; names: borrowed from text, with room for as many as it has newlines, plus
// one.
static vt_status split_lines(vt_classes *lines, char *text, const char *path)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char *next = text + length + (text[length] == '\n');
        text[length] = 0;
        if (length > 0 && text[length - 1] == '\r') text[length - 1] = 0;
        VT_REQUIRE(text[strspn(text, " \t")], VT_ERR_FORMAT,
                   "%s: line %d: expected the name of a class, got a blank line", path,
                   lines->count + 1);
        lines->names[lines->count++] = text;
        text = next;
    }
    VT_REQUIRE(lines->count > 0, VT_ERR_FORMAT, "%s: expected a class name a line, got no line",
               path);
    return VT_OK;
}

vt_status vt_classes_read(vt_classes *out, const char *path)
{
    enum { MOST_BYTES = 1 << 24 };
    unsigned char *text;
    size_t bytes, newlines = 0;
    VT_TRY(vt_file_read(&text, &bytes, path, MOST_BYTES));
    for (size_t i = 0; i < bytes; i++) newlines += text[i] == '\n';
    vt_classes lines = {.names = calloc(newlines + 1, sizeof *lines.names)};
    int *order = calloc(newlines + 1, sizeof *order);
    vt_status status;
    if (!lines.names || !order)
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    else if (memchr(text, 0, bytes))
        status = vt_fail(VT_ERR_FORMAT, "%s: not a text file", path);
    else
        status = split_lines(&lines, (char *)text, path);
    if (status == VT_OK) status = check_unique(&lines, order, path);
    if (status == VT_OK) status = vt_classes_copy(out, &lines);
    free(order);
    free(lines.names);
    free(text);
    return status;
}
