// Carrying an experiment out.
#ifndef VITRAIN_CLI_SESSION_H
#define VITRAIN_CLI_SESSION_H

#include "vitrain/train/experiment.h"

enum { VT_MAX_JOBS = 64 };

// Runs what is not finished, `jobs` at a time. Results are written after each run. VT_OK: all have
// been tried, and e says what came of it; VT_INTERRUPTED after SIGINT or SIGTERM, the runs' states
// written; VT_ERR_IO: another session is at work in the same folder.
vt_status vt_session(vt_experiment *e, int jobs);

// Writes the results, unless a session is at work in the folder: that does so itself.
vt_status vt_session_write(const vt_experiment *e);

// The arguments that train an arm from a seed into a folder; config names the arm's configuration,
// a file in the arm's folder. Its threads are divided by jobs.
enum { VT_RUN_WORDS = 16 };
typedef struct vt_run_command {
    const char *words[VT_RUN_WORDS]; // ended by NULL; there is room for three more
    char *config, *seed, *output, *threads;
} vt_run_command;

vt_status vt_run_command_make(vt_run_command *c, const vt_experiment_arm *arm, uint64_t seed,
                              const char *folder, const char *config, int jobs);
void vt_run_command_free(vt_run_command *c);

// Writes an arm's resolved configuration, as of its first run, into the arm's folder.
vt_status vt_arm_config_write(const vt_experiment *e, int arm, const char *name);

#endif
