// Inside of the experiment: what reading a definition needs besides the experiment itself.
#ifndef VITRAIN_TRAIN_EXPERIMENT_READER_H
#define VITRAIN_TRAIN_EXPERIMENT_READER_H

#include "vitrain/train/experiment.h"

typedef struct vt_reader {
    vt_experiment *e;
    const char *path;              // as given, for messages
    char *folder;                  // that holds the definition
    const vt_json *root;           // the definition
    vt_config_layer base;          // a file's content, or what the definition holds
    vt_json *common;               // the set of all arms
    char *base_path, *base_folder; // where it is from
    vt_config_layer *overrides;    // (n_overrides) --set
    int n_overrides;
} vt_reader;

vt_status vt_reader_out_of_memory(const vt_reader *r);
// Records "file: where: expected ..., got ...".
vt_status vt_reader_refuse(const vt_reader *r, const char *where, const char *expected,
                           const vt_json *got);

// Whether a text can stand in a line: something to see, and no control characters.
bool vt_reader_is_line(const char *text);

// Adds the arms that `arms` and `grid` define to r->e, whose room for arms is there.
vt_status vt_reader_arms(const vt_reader *r, const vt_json *arms);
vt_status vt_reader_grid(const vt_reader *r, const vt_json *grid);

// Puts the keys of `set` over those of `all`; not what the experiment sets itself.
vt_status vt_reader_set(const vt_reader *r, vt_json *all, const char *where, const vt_json *set);
// Whether an object has no other keys than these (ended by NULL).
vt_status vt_reader_only_keys(const vt_reader *r, const vt_json *object, const char *where,
                              const char *const *keys);

#endif
