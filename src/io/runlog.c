// Lines of JSON at the end of a file; see the header.
#include "vitrain/io/runlog.h"

#include "vitrain/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t MOST_BYTES = (size_t)1 << 28; // of lines that are all kept in memory

vt_status vt_runlog_append(const char *path, const vt_json *line)
{
    char *text = vt_json_text(line, false);
    VT_REQUIRE(text, VT_ERR_MEMORY, "%s: out of memory", path);
    size_t bytes = strlen(text);
    text[bytes++] = '\n'; // in the terminator's place
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    ssize_t written = fd < 0 ? -1 : write(fd, text, bytes);
    vt_status status = VT_OK;
    if (written != (ssize_t)bytes) {
        status = vt_fail(VT_ERR_IO, "%s: cannot write: %s", path,
                         written < 0 ? strerror(errno) : "no space left");
    }
    if (fd >= 0) close(fd);
    free(text);
    return status;
}

vt_status vt_runlog_sync(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return VT_OK;
    vt_status status = VT_OK;
    if (fd < 0 || (fdatasync(fd) != 0 && errno != EINVAL && errno != EROFS))
        status = vt_fail(VT_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return status;
}

// The line at *at, which moves behind it; *bytes counts its end. NULL: none, or a half-written one.
static const char *next_line(size_t *bytes, const unsigned char *data, size_t total, size_t *at)
{
    const unsigned char *line = data + *at, *end = memchr(line, '\n', total - *at);
    if (!end) return NULL;
    *bytes = (size_t)(end + 1 - line);
    *at += *bytes;
    return (const char *)line;
}

// Whether a whole line is to stay; *end is set where it and all that follows are to go.
static bool keep_line(const char *line, size_t bytes, const char *key, double limit, bool *end)
{
    vt_json *node = NULL;
    if (vt_json_parse(&node, line, bytes, "line") != VT_OK) return false;
    const vt_json *number = vt_json_get(node, key);
    *end = number && vt_json_type_of(number) == VT_JSON_NUMBER && vt_json_number(number) >= limit;
    vt_json_destroy(node);
    return !*end;
}

vt_status vt_runlog_truncate(const char *path, const char *key, double limit)
{
    if (!vt_file_exists(path)) return VT_OK;
    unsigned char *data;
    size_t bytes, length, at = 0, kept = 0;
    VT_TRY(vt_file_read(&data, &bytes, path, (size_t)1 << 30));
    bool end = false;
    for (const char *line; !end && (line = next_line(&length, data, bytes, &at));)
        if (keep_line(line, length, key, limit, &end)) {
            memmove(data + kept, line, length);
            kept += length;
        }
    vt_status status = kept < bytes ? vt_file_write(path, data, kept) : VT_OK;
    free(data);
    return status;
}

// The line's object, or NULL if it is damaged.
static vt_json *parse_line(const char *text, size_t bytes, const char *number)
{
    vt_json *node = NULL;
    if (vt_json_parse(&node, text, bytes, "line") != VT_OK) return NULL;
    if (vt_json_type_of(node) == VT_JSON_OBJECT && isfinite(vt_json_number_at(node, number)))
        return node;
    vt_json_destroy(node);
    return NULL;
}

static vt_status take_line(vt_lines *out, int *capacity, vt_json *line)
{
    if (out->n == *capacity) {
        const int more = *capacity ? 2 * *capacity : 64;
        vt_json **grown = realloc(out->lines, (size_t)more * sizeof *grown);
        if (!grown) vt_json_destroy(line);
        VT_REQUIRE(grown, VT_ERR_MEMORY, "out of memory");
        out->lines = grown;
        *capacity = more;
    }
    out->lines[out->n++] = line;
    return VT_OK;
}

vt_status vt_lines_read(vt_lines *out, const char *path, const char *number)
{
    *out = (vt_lines){0};
    if (!vt_file_exists(path)) return VT_OK;
    unsigned char *data;
    size_t bytes, length, at = 0;
    VT_TRY(vt_file_read(&data, &bytes, path, MOST_BYTES));
    out->found = true;
    vt_status status = VT_OK;
    int capacity = 0;
    long long row = 1;
    for (const char *text; status == VT_OK && (text = next_line(&length, data, bytes, &at));
         row++) {
        vt_json *line = parse_line(text, length, number);
        if (line)
            status = take_line(out, &capacity, line);
        else if (out->damaged++ == 0)
            out->first_damaged = row;
    }
    free(data);
    if (status != VT_OK) vt_lines_free(out);
    return status;
}

void vt_lines_free(vt_lines *lines)
{
    for (int i = 0; i < lines->n; i++) vt_json_destroy(lines->lines[i]);
    free(lines->lines);
    *lines = (vt_lines){0};
}
