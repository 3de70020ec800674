// log.jsonl and its kin: one JSON object a line, appended whole, so that a crash can cost the last line
// at most.
#ifndef VITRAIN_IO_RUNLOG_H
#define VITRAIN_IO_RUNLOG_H

#include "vitrain/base/status.h"
#include "vitrain/io/json.h"

// Appends one line.
vt_status vt_runlog_append(const char *path, const vt_json *line);

// What was appended survives a power cut. No file is not an error.
vt_status vt_runlog_sync(const char *path);

// Drops every line from the first one whose number `key` is >= limit, and any half-written line:
// what a resumed run does before it goes on from its checkpoint. No file is not an error.
vt_status vt_runlog_truncate(const char *path, const char *key, double limit);

#endif
