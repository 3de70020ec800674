// See the header.
#include "material.h"

#include "vitrain/base/log.h"
#include "vitrain/io/file.h"
#include "vitrain/io/weights.h"

#include <stdio.h>
#include <stdlib.h>

// Lets an error become a reason, unless it is one of the program.
static vt_status reason(char *why, vt_status status)
{
    if (status == VT_ERR_MEMORY || status == VT_INTERRUPTED) return status;
    if (status != VT_OK) snprintf(why, VT_REASON_BYTES, "%s", vt_error_message());
    return VT_OK;
}

static vt_status in_folder(char **path, const vt_record *run, const char *name)
{
    *path = vt_path_join(run->folder, name);
    VT_REQUIRE(*path, VT_ERR_MEMORY, "out of memory");
    return VT_OK;
}

static vt_status load_config(vt_material *m, const vt_record *run)
{
    char *path;
    VT_TRY(in_folder(&path, run, "config.json"));
    vt_status status = vt_config_load(&m->config, path, NULL, 0);
    free(path);
    VT_TRY(status);
    VT_REQUIRE(m->config.classes_given && m->config.model.name[0], VT_ERR_CONFIG,
               "config.json does not tell the number of classes");
    return VT_OK;
}

// Labels that the data does not name are numbers.
static vt_status name_classes(vt_material *m)
{
    const int K = m->config.model.num_classes;
    vt_classes named = {0};
    if (vt_labels_read(&named, &m->config.data) == VT_OK && named.count == K) {
        m->classes = named;
        return VT_OK;
    }
    vt_classes_free(&named);
    return vt_classes_number(&m->classes, K);
}

static vt_status open_data(vt_material *m)
{
    const vt_data_config *data = &m->config.data;
    vt_classes names = {0};
    VT_REQUIRE(data->val, VT_ERR_CONFIG, "the run has no validation data (data.val)");
    VT_TRY(vt_labels_read(&names, data));
    vt_status status = vt_source_open(&m->val, data->val, data->format, &names);
    vt_classes_free(&names);
    VT_TRY(status);
    if (m->val->classes.count <= m->config.model.num_classes) return VT_OK;
    const int count = m->val->classes.count;
    vt_source_close(m->val);
    m->val = NULL;
    return vt_fail(VT_ERR_DATA, "%s: expected at most the model's %d classes, got %d", data->val,
                   m->config.model.num_classes, count);
}

static vt_status open_model(vt_material *m, const vt_record *run)
{
    char *path;
    vt_st_file *file = NULL;
    VT_TRY(in_folder(&path, run, "model.safetensors"));
    vt_status status = vt_weights_open(&file, path);
    free(path);
    VT_TRY(status);
    VT_TRY_OR_FAIL(status, vt_model_create(&m->model, &m->config.model));
    m->weights = vt_alloc(m->model->params.slab_count, sizeof *m->weights);
    VT_TRY_OR_FAIL(status, m->weights ? VT_OK : VT_ERR_MEMORY);
    status = vt_params_load(&m->model->params, m->weights, file, "");
fail:
    vt_st_close(file);
    if (status != VT_OK) {
        vt_model_destroy(m->model);
        m->model = NULL;
    }
    return status;
}

static vt_status evaluate(vt_material *m, const vt_report_options *options)
{
    vt_eval_result result;
    VT_REQUIRE(options->evaluate, VT_ERR_DATA,
               "the run has left no predictions; `vitrain report` without --no-eval makes them");
    VT_REQUIRE(m->model, VT_ERR_DATA, "the run has left no predictions, and %s", m->no_model);
    VT_REQUIRE(m->val, VT_ERR_DATA, "the run has left no predictions, and %s", m->no_data);
    vt_log(VT_LOG_INFO, "evaluating %lld images of %s", (long long)m->val->count, m->val->path);
    vt_predictions_place(&m->said, &m->arena, m->val->count);
    VT_TRY(vt_arena_reserve(&m->arena));
    vt_predictions_place(&m->said, &m->arena, m->val->count);
    return vt_evaluate_source(m->model, m->weights, &m->config, m->val, VT_REAL, &m->said,
                              options->interrupted, &result);
}

static vt_status find_predictions(vt_material *m, const vt_record *run,
                                  const vt_report_options *options)
{
    char *path;
    VT_REQUIRE(m->config.data.val, VT_ERR_DATA, "the run has no validation data (data.val)");
    VT_TRY(in_folder(&path, run, VT_PREDICTIONS_NAME));
    vt_status status = vt_file_exists(path) ? vt_predictions_read(&m->said, &m->arena, path,
                                                                  m->config.model.num_classes)
                                            : evaluate(m, options);
    free(path);
    if (status != VT_OK) m->said.n = 0;
    return status;
}

vt_status vt_material_open(vt_material *m, const vt_record *run, const vt_report_options *options)
{
    *m = (vt_material){0};
    if (load_config(m, run) != VT_OK) {
        VT_TRY(reason(m->no_data, VT_ERR_CONFIG));
        VT_TRY(reason(m->no_model, VT_ERR_CONFIG));
        return reason(m->not_said, VT_ERR_CONFIG);
    }
    VT_TRY(name_classes(m));
    VT_TRY(reason(m->no_data, open_data(m)));
    VT_TRY(reason(m->no_model, open_model(m, run)));
    return reason(m->not_said, find_predictions(m, run, options));
}

void vt_material_close(vt_material *m)
{
    vt_source_close(m->val);
    vt_model_destroy(m->model);
    free(m->weights);
    vt_classes_free(&m->classes);
    vt_config_free(&m->config);
    vt_arena_release(&m->arena);
    *m = (vt_material){0};
}
