// vitrain eval: accuracy and loss of weights on data.val.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/train/evaluate.h"

#include <stdio.h>

// Labels that count the folders of data.val say nothing to a head for other classes.
static vt_status check_classes(const vt_subject *subject, int count)
{
    const vt_data_config *data = &subject->config.data;
    const int K = subject->config.model.num_classes;
    VT_REQUIRE(count <= K, VT_ERR_CONFIG, "%s: expected at most the model's %d classes, got %d",
               data->val, K, count);
    if (count == K) return VT_OK;
    VT_REQUIRE(!subject->classes_of_head || !data->class_map, VT_ERR_CONFIG,
               "data.class_map: %s names %d classes, the weights are for %d", data->class_map,
               count, K);
    VT_REQUIRE(!subject->classes_of_head, VT_ERR_CONFIG,
               "data.val: %s has %d classes, the weights are for %d: set data.class_map to a file "
               "that says which are which, a line for each class of the weights",
               data->val, count, K);
    vt_log(VT_LOG_WARN,
           "%s has %d classes, the model %d: labels are 0 to %d (data.class_map can tell others)",
           data->val, count, K, count - 1);
    return VT_OK;
}

static vt_status open_source(vt_source **out, const vt_subject *subject)
{
    const vt_data_config *data = &subject->config.data;
    vt_classes classes;
    VT_REQUIRE(data->val, VT_ERR_CONFIG, "data.val: missing; eval needs it");
    if (subject->classes.count > 0 && !data->class_map)
        VT_TRY(vt_classes_copy(&classes, &subject->classes));
    else
        VT_TRY(vt_labels_read(&classes, data));
    vt_status status = check_classes(subject, classes.count);
    if (status == VT_OK) status = vt_source_open(out, data->val, data->format, &classes);
    vt_classes_free(&classes);
    return status;
}

static vt_status evaluate(vt_subject *subject, vt_eval_result *result)
{
    vt_source *source;
    VT_TRY(open_source(&source, subject));
    vt_evaluate_warn_absent(source, subject->config.data.class_map);
    vt_status status = vt_evaluate_source(subject->model, subject->weights, &subject->config,
                                          source, subject->type, NULL, NULL, result);
    vt_source_close(source);
    return status;
}

static vt_status answer(const vt_eval_result *result, bool json)
{
    if (!json) {
        printf("top-1 %.2f%%, top-5 %.2f%%, loss %.4f on %lld images (%.0f images/s)\n",
               result->acc1, result->acc5, result->loss, (long long)result->n,
               (double)result->n / result->seconds);
        return VT_OK;
    }
    vt_json *root = vt_json_new_object();
    vt_json_add_number(root, "acc1", result->acc1);
    vt_json_add_number(root, "acc5", result->acc5);
    vt_json_add_number(root, "loss", result->loss);
    vt_json_add_number(root, "n", (double)result->n);
    return vt_answer_json(root);
}

static vt_status run(const vt_args *args)
{
    vt_subject subject;
    vt_eval_result result = {0};
    const char *weights = args->n_operands > 0 ? args->operands[0] : args->checkpoint;
    VT_REQUIRE(weights, VT_ERR_USAGE,
               "eval needs --checkpoint FILE, or the file by itself (see vitrain eval --help)");
    VT_REQUIRE(!args->checkpoint || weights == args->checkpoint, VT_ERR_USAGE,
               "eval takes the weights of one file, got %s and --checkpoint %s", weights,
               args->checkpoint);
    VT_TRY(vt_subject_load(&subject, args, weights));
    vt_status status = evaluate(&subject, &result);
    vt_subject_free(&subject);
    return status == VT_OK ? answer(&result, args->json) : status;
}

static void help(void)
{
    puts("\nWEIGHTS may also be given as --checkpoint. Weights that `train` wrote say what model "
         "they are\n"
         "for: no --config is needed for them, data.val is (--set data.val=DIR).");
}

const vt_command vt_cmd_eval = {
    .name = "eval",
    .operands = "[WEIGHTS]",
    .summary = "top-1 and top-5 accuracy and loss of weights on data.val",
    .takes = "config checkpoint precision set json quiet",
    .needs = "",
    .max_operands = 1,
    .run = run,
    .help = help,
};
