// The commands, one file each, and what they share.
#ifndef VITRAIN_CLI_COMMANDS_H
#define VITRAIN_CLI_COMMANDS_H

#include "args.h"
#include "vitrain/io/json.h"
#include "vitrain/train/trainer.h"

#include <signal.h>
#include <sys/types.h>

extern const vt_command vt_cmd_train, vt_cmd_eval, vt_cmd_probe, vt_cmd_predict, vt_cmd_attend,
    vt_cmd_report, vt_cmd_info, vt_cmd_bench, vt_cmd_preprocess, vt_cmd_pack, vt_cmd_convert,
    vt_cmd_experiment;

// What a command works on: a model and its weights.
typedef struct vt_subject {
    vt_config config; // without --config: defaults around the shape that the file tells
    vt_model *model;
    vt_real *weights; // a slab; NULL if there is no weights file
    vt_elem type;     // --precision; fp32 where none is given
    // The number of classes is the weights' word alone: neither configuration nor metadata.
    bool classes_of_head;
    vt_classes classes; // the labels' names, as the weights file tells them; count 0: it does not
} vt_subject;

// Takes the configuration from --config and --set and the weights from a file (NULL: none), and
// sets the number of threads. Without a configuration --set is over the model in the file's
// metadata; with one that leaves model.num_classes open, the number of classes is that of the
// metadata, or else of the weights' head, or without weights of the data. VT_ERR_USAGE if neither
// tells the shape: names the presets that have the file's tensors. VT_ERR_CONFIG where the metadata
// tells another model, in what the tensors' shapes do not show. After an error there is nothing to
// free.
vt_status vt_subject_load(vt_subject *subject, const vt_args *args, const char *weights_path);
// The same from a file that is open already, and stays so; NULL: none.
vt_status vt_subject_load_from(vt_subject *subject, const vt_args *args, const vt_st_file *file);
void vt_subject_free(vt_subject *subject); // takes a zeroed one

// From now on SIGINT, SIGTERM and, unless it is ignored, SIGHUP set what is returned to nonzero;
// after a SIGINT, which is acknowledged, another one ends the program.
const volatile sig_atomic_t *vt_catch_signals(void);

// Starts this program again with other words, its stdin empty, its stdout and stderr appended to
// the file `messages`, which starts anew. It is in a process group of its own, so that a terminal's
// SIGINT does not reach it, and gets SIGTERM should this process end before it. Its OpenMP threads
// sleep while they wait, unless OMP_WAIT_POLICY says otherwise. arguments: ended by NULL, without
// the program's name.
vt_status vt_spawn(pid_t *child, const char *const *arguments, const char *messages);
// The same, waited for; its stdout is left in *out, malloc'd. VT_ERR_IO with its last message if it
// fails.
vt_status vt_spawn_and_read(char **out, const char *const *arguments);

// A duration for people: "90 s", "3.5 min", "12 h". Returns text.
const char *vt_duration(char text[24], double seconds);

// Writes a run's or an experiment's page into its folder, as far as that is done without running a
// model over data. What is done is done whether or not there can be a page: an error becomes a
// warning.
void vt_leave_report(const char *folder);

// A name from outside (of a file, a class, a tensor) on stdout, control characters as '?', so that
// it stays within its line.
void vt_print_name(const char *name);

// Prints a tree as one line of JSON on stdout, and destroys it. It is UTF-8 whatever file names are
// in: what is none is U+FFFD (a file's JSON keeps such bytes, lest a path lead nowhere).
// VT_ERR_MEMORY.
vt_status vt_answer_json(vt_json *answer);

// A memory plan as a line on stdout and as a member of an answer.
void vt_print_memory(const vt_memory_plan *plan);
void vt_json_memory(vt_json *answer, const vt_memory_plan *plan);

#endif
