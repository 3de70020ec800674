// The command line's words: one table of options (args.c), of which each command takes some.
#ifndef VITRAIN_CLI_ARGS_H
#define VITRAIN_CLI_ARGS_H

#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct vt_args {
    const char *config, *checkpoint, *input, *output, *classes; // NULL: not given
    const char *batch, *precision, *rule, *recompute, *steps;   // likewise
    const char *seed, *epoch, *index, *decoded;                 // likewise
    const char *dtype, *shard_size, *jobs;                      // likewise
    bool train, check, table, dry_run, no_eval, json, quiet, help;
    const char **sets;     // (n_sets) overrides, "key=value"
    const char **operands; // (n_operands) what is not an option
    int n_sets, n_operands;
} vt_args;

typedef struct vt_command {
    const char *name;
    const char *operands; // as --help writes them; "" if it takes none
    const char *summary;  // one line
    const char *takes;    // its options, separated by blanks
    const char *needs;    // those of them that must be given
    int min_operands, max_operands;
    vt_status (*run)(const vt_args *args);
    void (*help)(void); // prints more below the options; NULL: nothing
} vt_command;

// Reads the words behind the command; every string is argv's. VT_ERR_USAGE for an unknown option
// (names the nearest one), a missing or superfluous value. --help ends the reading.
vt_status vt_args_parse(vt_args *args, const vt_command *command, int argc, char *const *argv);
void vt_args_free(vt_args *args); // takes a zeroed one

// The value of an option that takes a whole number: digits and nothing else. text NULL, not given:
// leaves *out. VT_ERR_USAGE.
vt_status vt_args_number(uint64_t *out, const char *option, const char *text, uint64_t least,
                         uint64_t most);

// The command's synopsis and options, on stdout.
void vt_args_help(const vt_command *command);

#endif
