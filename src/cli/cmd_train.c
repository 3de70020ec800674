// vitrain train: a run, or with --dry-run what it would be.
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vt_duration(char text[24], double seconds)
{
    const char *unit = seconds < 120 ? "s" : seconds < 7200 ? "min" : "h";
    const double size = seconds < 120 ? 1 : seconds < 7200 ? 60 : 3600;
    snprintf(text, 24, "%.3g %s", seconds / size, unit);
    return text;
}

static vt_status answer_dry_run(const vt_train_result *result, bool json)
{
    if (!json) {
        printf("%s\n", result->config_text);
        vt_print_memory(&result->memory);
        char total[24];
        printf("time        %.3g s an optimizer step, about %s in all\nfirst batch %s\n",
               result->step_s, vt_duration(total, result->total_s), result->picture);
        return VT_OK;
    }
    vt_json *config;
    VT_TRY(vt_json_parse(&config, result->config_text, strlen(result->config_text), "config"));
    vt_json *root = vt_json_new_object();
    vt_json_put_copy(root, "config", config);
    vt_json_destroy(config);
    vt_json_memory(root, &result->memory);
    vt_json_add_number(root, "step_s", result->step_s);
    vt_json_add_number(root, "total_s", result->total_s);
    vt_json_add_string(root, "picture", result->picture);
    return vt_answer_json(root);
}

static vt_status answer(const vt_config *config, const vt_train_result *result, bool json)
{
    const vt_eval_result *eval = &result->eval, *ema = &result->ema;
    if (json) {
        vt_json *root = vt_json_new_object();
        vt_json_add_string(root, "output", config->output);
        vt_json_add_bool(root, "was_finished", result->was_finished);
        if (!result->was_finished) vt_json_add_number(root, "train_loss", result->train_loss);
        if (eval->n > 0) {
            vt_json_add_number(root, "test_acc1", eval->acc1);
            vt_json_add_number(root, "test_acc5", eval->acc5);
            vt_json_add_number(root, "test_loss", eval->loss);
        }
        if (ema->n > 0) {
            vt_json_add_number(root, "test_ema_acc1", ema->acc1);
            vt_json_add_number(root, "test_ema_acc5", ema->acc5);
            vt_json_add_number(root, "test_ema_loss", ema->loss);
        }
        return vt_answer_json(root);
    }
    if (result->was_finished)
        printf("the run is finished: %s\n", config->output);
    else if (eval->n > 0)
        printf("top-1 %.2f%%, top-5 %.2f%%, loss %.4f, run in %s\n", eval->acc1, eval->acc5,
               eval->loss, config->output);
    else
        printf("training loss %.4f, run in %s\n", result->train_loss, config->output);
    return VT_OK;
}

static vt_status run(const vt_args *args)
{
    vt_config config = {0};
    vt_train_result result = {0};
    vt_train_options options = {.dry_run = args->dry_run};
    vt_status status = vt_config_load(&config, args->config, args->sets, args->n_sets);
    if (status == VT_OK) {
        options.interrupted = vt_catch_signals();
        status = vt_train(&config, &options, &result);
    }
    if (status == VT_OK && !args->dry_run && !result.was_finished) vt_leave_report(config.output);
    if (status == VT_OK)
        status = args->dry_run ? answer_dry_run(&result, args->json)
                               : answer(&config, &result, args->json);
    free(result.config_text);
    free(result.picture);
    vt_config_free(&config);
    return status;
}

static void help(void)
{
    char *text = vt_config_reference(false);
    if (text) printf("\nConfiguration keys (for FILE and --set):\n\n%s", text);
    free(text);
}

const vt_command vt_cmd_train = {
    .name = "train",
    .operands = "",
    .summary = "train a model; a run that was stopped goes on where it was",
    .takes = "config set dry-run json quiet",
    .needs = "config",
    .run = run,
    .help = help,
};
