// log.jsonl, steps.jsonl and shares.jsonl: one JSON object a line, appended by one write, so that a
// killed program can cost the last line at most.
#ifndef VITRAIN_IO_RUNLOG_H
#define VITRAIN_IO_RUNLOG_H

#include "vitrain/base/status.h"
#include "vitrain/io/json.h"

// Appends one line. VT_ERR_IO, VT_ERR_MEMORY.
vt_status vt_runlog_append(const char *path, const vt_json *line);

// What was appended survives a power cut. No file is not an error. VT_ERR_IO.
vt_status vt_runlog_sync(const char *path);

// Drops every line from the first one whose number `key` is >= limit, and before it those that are
// no JSON or half-written: what a resumed run does before it goes on from its checkpoint. No file
// is not an error. VT_ERR_IO, VT_ERR_MEMORY, VT_ERR_FORMAT (more than 1 GiB).
vt_status vt_runlog_truncate(const char *path, const char *key, double limit);

// The sound lines of a .jsonl file.
typedef struct vt_lines {
    vt_json **lines;         // (n) objects
    int n, damaged;          // lines that are no JSON object or lack the file's number
    long long first_damaged; // line number, from 1
    bool found;              // whether there is such a file
} vt_lines;

// number: the key that each line must have as a number ("epoch"). A last line without its end (of a
// run that is writing it) is skipped in silence. No file is not an error. VT_ERR_IO, VT_ERR_MEMORY,
// VT_ERR_FORMAT (more than 256 MiB).
vt_status vt_lines_read(vt_lines *out, const char *path, const char *number);
void vt_lines_free(vt_lines *lines); // takes a zeroed one

#endif
