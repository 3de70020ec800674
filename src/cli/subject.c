// What commands share: a model and its weights from a configuration, a weights file or both; answers.
#include "commands.h"

#include "vitrain/base/threads.h"

#include <stdio.h>
#include <stdlib.h>

// Completes the model's shape from the file's metadata.
static vt_status complete_shape(vt_config *config, bool given, const vt_st_file *file)
{
    if (given && config->classes_given) return VT_OK;
    const char *text = vt_st_metadata(file, VT_MODEL_METADATA);
    vt_model_config told;
    if (text) VT_TRY(vt_model_config_parse(&told, text, vt_st_path(file)));
    if (given && text)
        config->model.num_classes = told.num_classes;
    else if (text)
        config->model = told;
    VT_REQUIRE(given || text, VT_ERR_USAGE, "%s does not say what model it is for: give --config",
               vt_st_path(file));
    return VT_OK;
}

static vt_status load_weights(vt_subject *subject, const vt_st_file *file)
{
    const vt_params *params = &subject->model->params;
    subject->weights = vt_alloc(params->slab_count, sizeof(vt_real));
    if (!subject->weights) return VT_ERR_MEMORY;
    return vt_params_load(params, subject->weights, file, "");
}

vt_status vt_subject_load(vt_subject *subject, const vt_args *args, const char *weights_path)
{
    *subject = (vt_subject){0};
    const bool given = args->config || args->n_sets > 0;
    vt_st_file *file = NULL;
    vt_status status = VT_OK;
    if (given)
        VT_TRY_OR_FAIL(status,
                       vt_config_load(&subject->config, args->config, args->sets, args->n_sets));
    vt_threads_set(subject->config.train.threads);
    if (weights_path) {
        VT_TRY_OR_FAIL(status, vt_st_open(&file, weights_path));
        VT_TRY_OR_FAIL(status, complete_shape(&subject->config, given, file));
    }
    VT_TRY_OR_FAIL(status, vt_model_create(&subject->model, &subject->config.model));
    if (file) VT_TRY_OR_FAIL(status, load_weights(subject, file));
    vt_st_close(file);
    return VT_OK;
fail:
    vt_st_close(file);
    vt_subject_free(subject);
    return status;
}

void vt_subject_free(vt_subject *subject)
{
    free(subject->weights);
    vt_model_destroy(subject->model);
    vt_config_free(&subject->config);
    *subject = (vt_subject){0};
}

vt_status vt_answer_json(vt_json *answer)
{
    char *text = vt_json_text(answer, false);
    vt_json_destroy(answer);
    VT_REQUIRE(text, VT_ERR_MEMORY, "out of memory");
    puts(text);
    free(text);
    return VT_OK;
}

static size_t total(const vt_memory_plan *plan)
{
    return plan->parameters + plan->activations + plan->batches;
}

void vt_print_memory(const vt_memory_plan *plan)
{
    const double mib = 1 << 20;
    printf("memory      %.1f MiB to train: parameters, gradients, moments %.1f, activations %.1f, "
           "batches %.1f\n",
           (double)total(plan) / mib, (double)plan->parameters / mib,
           (double)plan->activations / mib, (double)plan->batches / mib);
}

void vt_json_memory(vt_json *answer, const vt_memory_plan *plan)
{
    vt_json *bytes = vt_json_add_object(answer, "memory_bytes");
    vt_json_add_number(bytes, "parameters", (double)plan->parameters);
    vt_json_add_number(bytes, "activations", (double)plan->activations);
    vt_json_add_number(bytes, "batches", (double)plan->batches);
    vt_json_add_number(bytes, "total", (double)total(plan));
}
