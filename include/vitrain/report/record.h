// What a run has left in its folder, read for a report. A run that is still going, was killed, or
// whose logs are damaged is read as far as it goes; notes say what is missing.
#ifndef VITRAIN_REPORT_RECORD_H
#define VITRAIN_REPORT_RECORD_H

#include "vitrain/io/runlog.h"

typedef struct vt_record {
    char *folder, *name; // absolute; name: for people, the folder's last part
    vt_json *config;     // config.json; NULL if it cannot be read
    vt_lines log, steps, shares;
} vt_record;

// VT_ERR_IO if it is no folder; VT_ERR_FORMAT if there is neither a configuration nor a log in it;
// VT_ERR_MEMORY.
vt_status vt_record_read(vt_record *record, const char *folder);
void vt_record_free(vt_record *record); // takes a zeroed one

// The member at a path of keys ("train.epochs"); NULL if absent.
const vt_json *vt_record_setting(const vt_record *record, const char *path);
// The same as text: of a string itself, else JSON; malloc'd, NULL if absent or out of memory.
char *vt_record_setting_text(const vt_record *record, const char *path);

#endif
