// An experiment: several settings ("arms") of one configuration, each trained from several seeds,
// and what their last epochs' accuracies say about which is better.
//
// The definition is a JSON file:
//
//     {
//       "title": "...",                        optional; the table's heading
//       "base": "deit_t.json",                 a configuration: a file, or one written here
//       "set": {"train.epochs": 100},          of all arms; optional
//       "arms": {                              in the order of the table
//         "CutMix": {"set": {"label.rule": "area"}, "seeds": 5},
//         "TL-Align": {"set": {"label.rule": "tl-align"}, "seeds": 5},
//         "none": {"set": {"mix.prob": 0}}
//       },
//       "grid": {                              beside the arms or in their place: all combinations
//         "label.rule": ["area", "tl-align"],                         of a key's values,
//         "mixer": {"cutmix": {"mix.cutmix": 1}, "mixup": {...}}      or of named sets
//       },
//       "seeds": 3,                            of arms without their own: n, for 0 to n - 1, or
//                                              a list; default 3
//       "baseline": "CutMix",                  what others are compared with; default: the first
//       "output": "runs/cutmix"                default: runs/NAME after the definition's file
//     }
//
// A set holds configuration keys as --set takes them ("mix.prob": 0) or sections
// ("mix": {"prob": 0}). Values come in layers, each over the one before: the base, `set`, the
// command line's --set, the arm. Paths are relative to the file that they are written in, those of
// --set and `output` to the working directory. A grid's arms are called after their values:
// "label.rule=area mixer=cutmix". Not to be set: output, train.seed and train.resume, which the
// experiment sets.
//
// The same seed gives every arm the same initial weights (where shapes agree), order of samples,
// augmentation and, where mixers agree, boxes: the random numbers are functions of (seed, epoch,
// sample). So arms are compared in pairs, by seed. A run that was stopped and goes on arrives at
// the same bits as one that was not, with the same number of threads; the last bits of sums depend
// on that, and so on how many runs share the processors.
//
// The output folder:
//
//     .lock                       empty; held by a session at work
//     experiment.json             everything known so far (below)
//     table.md                    the table
//     report.html                 a page about it, when a session ends
//     ARM/config.json             the arm's configuration, resolved, as of its first seed; ARM is
//                                 the arm's name, with '-' in place of what no file's name may have
//     ARM/dry_run.json, first_batch.png          left by a dry run, for some arms
//     ARM/seedS/                  the run's folder, as `vitrain train` leaves it, and messages.txt:
//                                 what the last attempt at it said
//
// Nothing else is kept: what is done and what is not is seen from the runs' folders. A run goes on
// from its last.safetensors, wherever its data lies now; of a finished one config.json and
// log.jsonl are enough, the rest may be deleted.
//
// experiment.json (null where a number is not known or does not exist):
//
//     {
//       "vitrain_experiment": 1,               version of this format
//       "title": "...",
//       "definition": "E.json",                this and the next as they were given, so relative to
//       "output": "runs/cutmix",               the command's working directory if not absolute
//       "finished": false,                     whether all runs are
//       "confidence": 0.95, "baseline": "CutMix",
//       "arms": [{
//         "name": "TL-Align", "folder": "TL-Align", "set": {"label.rule": "tl-align"},
//         "seeds": [0, 1, 2, 3, 4],            planned
//         "n": 4,                              finished; the numbers are theirs
//         "acc1_mean": 61.2, "acc1_sd": 0.4, "acc5_mean": ..., "acc5_sd": ...,     percent
//         "loss_mean": ..., "loss_sd": ...,    on the validation data
//         "against_baseline": {                null for the baseline itself
//           "n": 4, "seeds": [0, 1, 2, 3],     finished in both
//           "mean": 0.8, "sd": 0.3,            of acc1 - the baseline's acc1, in points
//           "low": 0.3, "high": 1.3,           95% confidence interval of the mean (Student's t)
//           "t": 5.3, "p": 0.013,              two-sided; n - 1 degrees of freedom
//           "p_holm": 0.05,                    p adjusted for the number of comparisons (Holm)
//           "verdict": "better"                "worse", "no difference shown", or "no verdict"
//         }
//       }],
//       "runs": [{                             in the order in which they are done
//         "arm": "CutMix", "seed": 0, "path": "CutMix/seed0",       below the output folder
//         "state": "finished",                 "failed", "begun" or "not begun"
//         "epoch": 40, "epochs": 40,           done, and in all
//         "acc1": 60.4, "acc5": 93.1, "loss": 1.32,      of the last epoch, of finished runs only
//         "seconds": 412.0,                    of training, not of evaluations
//         "error": null                        why it failed, one line
//       }]
//     }
//
// Accuracies are the last epoch's: the best epoch's, chosen on the data that it is measured on,
// would favour whatever varies more. A verdict is that of the arm's own 95% interval: "better" or
// "worse" if 0 lies outside, "no verdict" with fewer than two common seeds or differences that are
// all the same (and not 0): nothing says how much they would vary.
// Intervals and verdicts are not
// adjusted for the number of comparisons, since each answers the question that was asked of that
// arm; p_holm is, for who asks whether any arm differs.
#ifndef VITRAIN_TRAIN_EXPERIMENT_H
#define VITRAIN_TRAIN_EXPERIMENT_H

#include "vitrain/train/config.h"
#include "vitrain/train/stats.h"

#define VT_EXPERIMENT_CONFIDENCE 0.95

enum { VT_EXPERIMENT_MAX_ARMS = 256, VT_EXPERIMENT_MAX_SEEDS = 1000 };

typedef struct vt_experiment_arm {
    char *name, *folder; // folder: absolute
    vt_json *set;        // all its overrides, key by key
    uint64_t *seeds;     // (n_seeds), no two the same
    int n_seeds;
    vt_config config; // resolved; seed and output are the base's
} vt_experiment_arm;

typedef enum vt_run_state {
    VT_RUN_NOT_BEGUN,
    VT_RUN_BEGUN, // there is a state to go on from
    VT_RUN_FAILED,
    VT_RUN_FINISHED,
} vt_run_state;

typedef struct vt_experiment_run {
    int arm;
    uint64_t seed;
    char *folder; // absolute
    vt_run_state state;
    int64_t epoch;           // epochs done
    double acc1, acc5, loss; // NAN unless finished
    double seconds;          // of training so far
    char *error;             // NULL unless failed
} vt_experiment_run;

typedef struct vt_experiment {
    char *path_as_given, *title;
    char *output, *output_as_given; // the same folder; output: absolute
    vt_experiment_arm *arms;        // (n_arms)
    int n_arms, baseline;
    vt_experiment_run *runs; // (n_runs) each seed in all arms before the next seed
    int n_runs;
} vt_experiment;

// Reads and checks a definition; every arm's configuration is resolved. output (a path) stands in
// for the definition's; NULL: no. overrides as vt_config_load's, over the base. VT_ERR_CONFIG names
// the arm and the key. After an error there is nothing to free.
vt_status vt_experiment_load(vt_experiment *e, const char *path, const char *output,
                             const char *const *overrides, int n_overrides);
void vt_experiment_free(vt_experiment *e); // takes a zeroed one

// Where the runs stand, by their folders. VT_ERR_CONFIG: a run there was made with another
// definition; names the arm, the seed and the key. A run whose files are damaged has failed, with
// what is wrong.
vt_status vt_experiment_look(vt_experiment *e);
vt_status vt_experiment_look_at(const vt_experiment *e, vt_experiment_run *run); // one of e's

const char *vt_run_state_name(vt_run_state state);
int vt_experiment_count(const vt_experiment *e, vt_run_state state);

// How an arm did and how that compares with the baseline.
typedef struct vt_arm_result {
    vt_summary acc1, acc5, loss; // of its finished runs
    vt_paired against;           // by acc1; n = 0 for the baseline itself
    double p_holm;
    const char *verdict;
} vt_arm_result;

// results: (n_arms) out.
void vt_experiment_results(const vt_experiment *e, vt_arm_result *results);
// experiment.json; the caller's to destroy. NULL when out of memory.
vt_json *vt_experiment_json(const vt_experiment *e);
// table.md, malloc'd; NULL when out of memory.
char *vt_experiment_table(const vt_experiment *e);
// Writes both, each atomically, and the folder if need be.
vt_status vt_experiment_write(const vt_experiment *e);

#endif
