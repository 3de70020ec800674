// Inside of the configuration: the table of keys and what can be done with one of them.
#ifndef VITRAIN_TRAIN_CONFIG_TABLE_H
#define VITRAIN_TRAIN_CONFIG_TABLE_H

#include "vitrain/train/config.h"

typedef enum vt_key_kind {
    VT_KEY_MODEL,   // model.name: one of `choice`, a family or a preset
    VT_KEY_INT,     // int
    VT_KEY_INT64,   // int64_t, or uint64_t where low >= 0
    VT_KEY_REAL,    // double
    VT_KEY_BOOL,    // bool
    VT_KEY_ENUM,    // an enum: the index of its name in `choice`
    VT_KEY_TEXT,    // char *: one of `choice`
    VT_KEY_PATH,    // char *: one of `choice`, or a path, made absolute
    VT_KEY_SIZE,    // int[2] height, width: a number or both
    VT_KEY_STAGES,  // vt_stage_ints
    VT_KEY_HEADS,   // model.num_heads: a number, or model.heads for each stage
    VT_KEY_PAIR,    // double[2]
    VT_KEY_PIXEL,   // double[3]: a number per channel, NAN where none was given
    VT_KEY_JITTER,  // double[4]: a number for the first three, or a list of 3 or 4
    VT_KEY_POLICY,  // vt_rand_augment: timm's policy string
    VT_KEY_AUGMENT, // no field: the name of a set of data.augment.* values
    VT_KEY_TEXTS,   // vt_texts
} vt_key_kind;

enum {
    VT_KEY_ABOVE = 1,  // low itself is out of range
    VT_KEY_BELOW = 2,  // so is high
    VT_KEY_NULL = 4,   // null is fine: 0, or NULL
    VT_KEY_RISING = 8, // a pair's first is not above its second
    VT_KEY_APART = 16, // nor equal
    VT_KEY_CWD = 32,   // a path relative to the working directory, wherever it was given
    VT_KEY_SHAPE = 64, // begins with an int that is not 0: the preset or the configuration gives it
    VT_KEY_SETTLED = 128, // a resumed run may not change it
    VT_KEY_RESULT = 256,  // it may, but then does not arrive where it would have
    VT_KEY_FAMILY = 512,  // only where the model's family takes it
    VT_KEY_PLACE = 1024   // where data lies: settled, unless it is known to be the same
};

typedef struct vt_config_key {
    const char *path; // "optim.lr"
    vt_key_kind kind;
    size_t offset; // of the field in vt_config
    double low, high;
    unsigned flags;
    const char *(*choice)(int i); // NULL after the last
    const char *fallback;         // the default as JSON; NULL: the preset's
    const char *help;
} vt_config_key;

extern const vt_config_key vt_config_keys[]; // ended by path NULL
enum { VT_CONFIG_MAX_KEYS = 128 };

const vt_config_key *vt_config_key_find(const char *path); // NULL if unknown
// Whether the configuration's model has a use for the key.
bool vt_config_key_applies(const vt_config_key *key, const vt_config *config);

// The objects that hold keys, "" (the whole) and "data.augment" among them; ended by NULL.
extern const char *const vt_config_sections[];

// Sets of augmentation: name, and as JSON what of data.augment.* differs from the defaults. Ended
// by name NULL.
typedef struct vt_augment_preset {
    const char *name, *values;
} vt_augment_preset;
extern const vt_augment_preset vt_augment_presets[];

// Where a value was found.
typedef struct vt_config_origin {
    const char *name;   // for messages
    const char *folder; // what paths are relative to; NULL: the working directory
} vt_config_origin;

// A value into its field, checked; VT_ERR_CONFIG.
vt_status vt_config_key_read(const vt_config_key *key, vt_config *config, const vt_json *value,
                             const vt_config_origin *origin);
// A field as JSON under parent; NULL when out of memory.
vt_json *vt_config_key_write(const vt_config_key *key, const vt_config *config, vt_json *parent,
                             const char *name);
void vt_texts_free(vt_texts *texts); // takes a zeroed one
enum { VT_CONFIG_TAKES_BYTES = 1024, VT_CONFIG_MAX_TEXTS = 256 };
// What the key takes, in words: "a number > 0".
void vt_config_key_takes(const vt_config_key *key, char *text, size_t capacity);
// Records `origin: key: expected ..., got ...`.
vt_status vt_config_key_refuse(const vt_config_key *key, const vt_json *value,
                               const vt_config_origin *origin);

#endif
