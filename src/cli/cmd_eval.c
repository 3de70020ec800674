// vitrain eval: accuracy and loss of weights on data.val.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/train/evaluate.h"

#include <stdio.h>

static vt_status open_source(vt_source **out, const vt_config *config)
{
    const vt_data_config *data = &config->data;
    const int K = config->model.num_classes;
    vt_classes classes;
    VT_REQUIRE(data->val, VT_ERR_CONFIG, "data.val: missing; eval needs it");
    VT_TRY(vt_labels_read(&classes, data));
    vt_status status = vt_source_open(out, data->val, data->format, &classes);
    if (status == VT_OK && classes.count > K)
        status = vt_fail(VT_ERR_CONFIG, "%s: expected at most the model's %d classes, got %d",
                         data->val, K, classes.count);
    else if (status == VT_OK && classes.count < K)
        vt_log(
            VT_LOG_WARN,
            "%s has %d classes, the model %d: labels are 0 to %d (data.class_map can tell others)",
            data->val, classes.count, K, classes.count - 1);
    vt_classes_free(&classes);
    return status;
}

static vt_status evaluate(vt_subject *subject, vt_eval_result *result)
{
    vt_source *source;
    VT_TRY(open_source(&source, &subject->config));
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
    VT_TRY(vt_subject_load(&subject, args, args->checkpoint));
    vt_status status = evaluate(&subject, &result);
    vt_subject_free(&subject);
    return status == VT_OK ? answer(&result, args->json) : status;
}

const vt_command vt_cmd_eval = {
    .name = "eval",
    .operands = "",
    .summary = "top-1 and top-5 accuracy and loss of weights on data.val",
    .takes = "config checkpoint precision set json quiet",
    .needs = "config checkpoint",
    .run = run,
};
