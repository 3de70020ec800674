// The commands, one file each, and what they share.
#ifndef VITRAIN_CLI_COMMANDS_H
#define VITRAIN_CLI_COMMANDS_H

#include "args.h"
#include "vitrain/io/json.h"
#include "vitrain/train/trainer.h"

#include <signal.h>

extern const vt_command vt_cmd_train, vt_cmd_eval, vt_cmd_probe, vt_cmd_predict, vt_cmd_attend,
    vt_cmd_report, vt_cmd_info, vt_cmd_bench, vt_cmd_preprocess, vt_cmd_pack, vt_cmd_convert;

// What a command works on: a model and its weights.
typedef struct vt_subject {
    vt_config config; // without --config: defaults around the shape that the file tells
    vt_model *model;
    vt_real *weights; // a slab; NULL if there is no weights file
    vt_elem type;     // --precision; fp32 where none is given
} vt_subject;

// Takes the configuration from --config and --set and the weights from a file (NULL: none), and
// sets the number of threads. Without a configuration the model's shape is the one in the file's
// metadata; with one that leaves model.num_classes open, the number of classes is, or else the
// data's. VT_ERR_USAGE if neither tells the shape. After an error there is nothing to free.
vt_status vt_subject_load(vt_subject *subject, const vt_args *args, const char *weights_path);
void vt_subject_free(vt_subject *subject); // takes a zeroed one

// The names of the labels: those of data.class_map, else of data.train where that is at hand, else
// of data.val. VT_ERR_CONFIG if there is none.
vt_status vt_labels_read(vt_classes *classes, const vt_data_config *data);

// From now on SIGINT and SIGTERM set what is returned to nonzero; a second one ends the program.
const volatile sig_atomic_t *vt_catch_signals(void);

// Prints a tree as one line of JSON on stdout, and destroys it. VT_ERR_MEMORY.
vt_status vt_answer_json(vt_json *answer);

// A memory plan as a line on stdout and as a member of an answer.
void vt_print_memory(const vt_memory_plan *plan);
void vt_json_memory(vt_json *answer, const vt_memory_plan *plan);

#endif
