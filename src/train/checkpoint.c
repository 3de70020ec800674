// A run's state and a run's weights as safetensors files. What is not a tensor is in the metadata:
//
//     vitrain            the version of this layout, "1" (in a checkpoint, not in a weights file)
//     vitrain.model      the model's shape (VT_MODEL_METADATA)
//     vitrain.input      what its pictures are like (VT_INPUT_METADATA)
//     vitrain.data       what they were trained on (VT_DATA_METADATA); if told
//     vitrain.config     the resolved configuration
//     vitrain.progress   vt_progress as JSON
//     vitrain.shares     how far labels moved in this epoch (vt_fluctuation_text); if counted
#include "vitrain/train/checkpoint.h"

#include "vitrain/io/json.h"
#include "vitrain/train/data_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_KEY "vitrain"
#define VERSION "1"
#define CONFIG_KEY "vitrain.config"
#define PROGRESS_KEY "vitrain.progress"
#define SHARES_KEY "vitrain.shares"

// ---- progress ----

// The members of vt_progress: one list for both ways.
typedef struct member {
    const char *name;
    int64_t *whole; // one of the two is set
    double *real;
    double least;
    bool later; // states of older versions are without: 0
} member;

enum { MEMBERS = 8 };

static void list_members(member out[MEMBERS], vt_progress *p)
{
    const member members[MEMBERS] = {
        {"epoch", &p->epoch, NULL, 0, false},
        {"batch", &p->batch, NULL, 0, false},
        {"step", &p->step, NULL, 0, false},
        {"loss_sum", NULL, &p->loss_sum, -INFINITY, false},
        {"bad", &p->bad, NULL, 0, false},
        {"train_s", NULL, &p->train_s, 0, true},
        {"best_acc1", NULL, &p->best_acc1, -1, false},
        {"best_epoch", &p->best_epoch, NULL, -1, false},
    };
    memcpy(out, members, sizeof members);
}

static char *progress_text(vt_progress progress)
{
    member members[MEMBERS];
    list_members(members, &progress);
    vt_json *root = vt_json_new_object();
    for (int i = 0; i < MEMBERS; i++) {
        const member *m = &members[i];
        vt_json_add_number(root, m->name, m->whole ? (double)*m->whole : *m->real);
    }
    char *text = vt_json_text(root, false);
    vt_json_destroy(root);
    return text;
}

static vt_status read_member(const member *m, const vt_json *root, const char *path)
{
    const vt_json *node = vt_json_get(root, m->name);
    bool fine = node && vt_json_type_of(node) == VT_JSON_NUMBER;
    double value = fine ? vt_json_number(node) : m->later && !node ? 0 : NAN;
    fine = value >= m->least && (!m->whole || (value == floor(value) && value < 0x1p53));
    VT_REQUIRE(fine, VT_ERR_FORMAT, "%s: metadata %s: no valid \"%s\"", path, PROGRESS_KEY,
               m->name);
    if (m->whole) *m->whole = (int64_t)value;
    if (m->real) *m->real = value;
    return VT_OK;
}

static vt_status read_progress(vt_progress *out, const vt_st_file *file)
{
    const char *text = vt_st_metadata(file, PROGRESS_KEY);
    VT_REQUIRE(text, VT_ERR_FORMAT, "%s: metadata lacks %s", vt_st_path(file), PROGRESS_KEY);
    vt_json *root = NULL;
    vt_progress progress;
    member members[MEMBERS];
    list_members(members, &progress);
    vt_status status = vt_json_parse(&root, text, strlen(text), PROGRESS_KEY);
    if (status != VT_OK) return vt_fail_within(status, vt_st_path(file));
    for (int i = 0; i < MEMBERS && status == VT_OK; i++)
        status = read_member(&members[i], root, vt_st_path(file));
    vt_json_destroy(root);
    if (status == VT_OK) *out = progress;
    return status;
}

// ---- tensors ----

enum { PREFIX_BYTES = VT_ENTRY_NAME_BYTES - VT_PARAM_NAME_BYTES, MAX_SETS = 4 };

// A slab and what stands before its tensors' names in a file.
typedef struct tensor_set {
    vt_real *slab;
    char prefix[PREFIX_BYTES];
} tensor_set;

// All that a state holds: one list for both ways. Returns how many.
static int list_sets(tensor_set sets[MAX_SETS], const vt_state *state, const vt_optim_ops *optim)
{
    int n = 0;
    sets[n++] = (tensor_set){state->weights, ""};
    for (int i = 0; i < optim->n_slabs; i++, n++) {
        sets[n].slab = state->slabs[i];
        snprintf(sets[n].prefix, PREFIX_BYTES, "optim.%s.", optim->slab_names[i]);
    }
    if (state->ema) sets[n++] = (tensor_set){state->ema, "ema."};
    return n;
}

// Whether every tensor of the table is there, in its shape, before anything is read.
static vt_status check_tensors(const vt_params *params, const vt_st_file *file, const char *prefix)
{
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        const vt_st_tensor *tensor;
        char name[VT_ENTRY_NAME_BYTES];
        int64_t shape[VT_ST_MAX_DIMS];
        snprintf(name, sizeof name, "%s%s", prefix, row->name);
        memcpy(shape, row->shape, sizeof row->shape);
        VT_TRY(vt_st_get(file, name, VT_F32, row->ndim, shape, &tensor));
    }
    return VT_OK;
}

static vt_status write_tensors(const char *path, const vt_params *params, const tensor_set *sets,
                               int n_sets, const vt_st_meta *metadata, size_t n_metadata)
{
    size_t rows = (size_t)params->count, all = rows * (size_t)n_sets;
    vt_st_entry *entries = calloc(all, sizeof *entries);
    char(*names)[VT_ENTRY_NAME_BYTES] = calloc(all, sizeof *names);
    vt_status status = VT_OK;
    if (entries && names) {
        for (size_t set = 0; set < (size_t)n_sets; set++)
            vt_params_entries(params, sets[set].slab, sets[set].prefix, entries + set * rows,
                              names + set * rows);
        status = vt_st_write(path, entries, all, metadata, n_metadata);
    } else {
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory for the list of tensors", path);
    }
    free(entries);
    free(names);
    return status;
}

// ---- files ----

vt_status vt_checkpoint_save(const char *path, const vt_model *model, const vt_optim_ops *optim,
                             const vt_state *state, const char *config_text,
                             const vt_weights_notes *notes)
{
    char *shape = vt_model_config_text(&model->config);
    char *progress = progress_text(state->progress);
    char *shares = state->shares ? vt_fluctuation_text(state->shares) : NULL;
    const vt_st_meta metadata[] = {
        {VERSION_KEY, VERSION},    {VT_MODEL_METADATA, shape}, {VT_INPUT_METADATA, notes->input},
        {CONFIG_KEY, config_text}, {PROGRESS_KEY, progress},   {VT_DATA_METADATA, notes->data},
        {SHARES_KEY, shares}};
    tensor_set sets[MAX_SETS];
    const int n = list_sets(sets, state, optim);
    vt_status status = shape && progress && (shares || !state->shares)
                           ? write_tensors(path, &model->params, sets, n, metadata, 7)
                           : vt_fail(VT_ERR_MEMORY, "%s: out of memory for the metadata", path);
    free(shape);
    free(progress);
    free(shares);
    return status;
}

vt_status vt_weights_save(const char *path, const vt_model *model, const vt_real *weights,
                          const vt_weights_notes *notes)
{
    char *shape = vt_model_config_text(&model->config);
    VT_REQUIRE(shape, VT_ERR_MEMORY, "%s: out of memory for the metadata", path);
    const vt_st_meta metadata[] = {{"format", "pt"},
                                   {VT_MODEL_METADATA, shape},
                                   {VT_INPUT_METADATA, notes->input},
                                   {VT_DATA_METADATA, notes->data}};
    const tensor_set set = {(vt_real *)weights, ""}; // is read only
    vt_status status = write_tensors(path, &model->params, &set, 1, metadata, 4);
    free(shape);
    return status;
}

static vt_status check_version(const vt_st_file *file)
{
    const char *version = vt_st_metadata(file, VERSION_KEY);
    VT_REQUIRE(version, VT_ERR_FORMAT, "%s: not a checkpoint of a run (metadata lacks %s)",
               vt_st_path(file), VERSION_KEY);
    VT_REQUIRE(strcmp(version, VERSION) == 0, VT_ERR_FORMAT,
               "%s: expected a checkpoint of version %s, got %.20s", vt_st_path(file), VERSION,
               version);
    return VT_OK;
}

static vt_status copy_metadata(char **out, const vt_st_file *file, const char *key)
{
    const char *text = vt_st_metadata(file, key);
    *out = text ? strdup(text) : NULL;
    VT_REQUIRE(*out || !text, VT_ERR_MEMORY, "%s: out of memory for the metadata",
               vt_st_path(file));
    return VT_OK;
}

static vt_status read_config(char **config_text, char **data, const vt_st_file *file)
{
    VT_TRY(check_version(file));
    VT_TRY(copy_metadata(config_text, file, CONFIG_KEY));
    VT_REQUIRE(*config_text, VT_ERR_FORMAT, "%s: metadata lacks %s", vt_st_path(file), CONFIG_KEY);
    return data ? copy_metadata(data, file, VT_DATA_METADATA) : VT_OK;
}

vt_status vt_checkpoint_config(const char *path, char **config_text, char **data)
{
    vt_st_file *file = NULL;
    *config_text = NULL;
    VT_TRY(vt_st_open(&file, path));
    vt_status status = read_config(config_text, data, file);
    if (status != VT_OK) {
        free(*config_text);
        *config_text = NULL;
    }
    vt_st_close(file);
    return status;
}

vt_status vt_checkpoint_progress(const char *path, vt_progress *progress)
{
    vt_st_file *file = NULL;
    VT_TRY(vt_st_open(&file, path));
    vt_status status = check_version(file);
    if (status == VT_OK) status = read_progress(progress, file);
    vt_st_close(file);
    return status;
}

// A state without them is of a run that counted none; its epoch then has those of its rest.
static vt_status load_shares(vt_fluctuation *shares, const vt_st_file *file)
{
    const char *text = vt_st_metadata(file, SHARES_KEY);
    const vt_status status = text ? vt_fluctuation_restore(shares, text, SHARES_KEY) : VT_OK;
    return status == VT_OK ? VT_OK : vt_fail_within(status, vt_st_path(file));
}

static vt_status load(const vt_st_file *file, const vt_model *model, const vt_optim_ops *optim,
                      vt_state *state)
{
    const vt_params *params = &model->params;
    vt_progress progress;
    tensor_set sets[MAX_SETS];
    const int n = list_sets(sets, state, optim);
    VT_TRY(check_version(file));
    VT_TRY(read_progress(&progress, file));
    for (int i = 0; i < n; i++) VT_TRY(check_tensors(params, file, sets[i].prefix));
    if (state->shares) VT_TRY(load_shares(state->shares, file));
    for (int i = 0; i < n; i++) VT_TRY(vt_params_load(params, sets[i].slab, file, sets[i].prefix));
    state->progress = progress;
    return VT_OK;
}

vt_status vt_checkpoint_load(const char *path, const vt_model *model, const vt_optim_ops *optim,
                             vt_state *state)
{
    vt_st_file *file = NULL;
    VT_TRY(vt_st_open(&file, path));
    vt_status status = load(file, model, optim, state);
    vt_st_close(file);
    return status;
}
