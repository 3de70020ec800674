// A page about runs: one HTML file that needs nothing else.
#ifndef VITRAIN_REPORT_REPORT_H
#define VITRAIN_REPORT_REPORT_H

#include "vitrain/base/status.h"

#include <signal.h>
#include <stdbool.h>

#define VT_REPORT_NAME "report.html" // in a run's folder

typedef struct vt_report_options {
    // May run a model over data.val where the run has left no predictions; else the page says so.
    bool evaluate;
    // Nonzero: stops an evaluation (VT_INTERRUPTED); may be NULL.
    const volatile sig_atomic_t *interrupted;
} vt_report_options;

// Writes the page about the runs in `folders` (n), or about an experiment if there is one folder
// with an experiment.json. Whatever can be told is told; what is missing is named on the page, with
// the reason. Its threads are those of vt_threads(). VT_ERR_IO (a folder that is none, a page that
// cannot be written), VT_ERR_FORMAT (one that holds no run, or an experiment.json that is none),
// VT_ERR_MEMORY, VT_INTERRUPTED.
vt_status vt_report_write(const char *path, const char *const *folders, int n,
                          const vt_report_options *options);

#endif
