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

#endif
