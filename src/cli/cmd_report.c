// vitrain report: a page about runs.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/io/file.h"
#include "vitrain/report/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

void vt_leave_report(const char *folder)
{
    const vt_report_options options = {.evaluate = false};
    char *path = vt_path_join(folder, VT_REPORT_NAME);
    if (!path || vt_report_write(path, &folder, 1, &options) != VT_OK)
        vt_log(VT_LOG_WARN, "no report: %s", path ? vt_error_message() : "out of memory");
    free(path);
}

static vt_status answer(const char *path, bool json)
{
    if (!json) {
        vt_print_name(path);
        putchar('\n');
        return VT_OK;
    }
    vt_json *root = vt_json_new_object();
    vt_json_add_string(root, "report", path);
    return vt_answer_json(root);
}

static vt_status run(const vt_args *args)
{
    const vt_report_options options = {.evaluate = !args->no_eval,
                                       .interrupted = vt_catch_signals()};
    char *own = NULL;
    if (!args->output) { // of one run in its folder, of several here
        own = vt_path_join(args->n_operands == 1 ? args->operands[0] : ".", VT_REPORT_NAME);
        VT_REQUIRE(own, VT_ERR_MEMORY, "out of memory");
    }
    const char *path = args->output ? args->output : own;
    vt_status status = vt_report_write(path, args->operands, args->n_operands, &options);
    if (status == VT_OK) status = answer(path, args->json);
    free(own);
    return status;
}

static void help(void)
{
    puts("\nRUN is the folder of a run, or of an experiment. The page is one file that needs no "
         "network:\n"
         "report.html in the folder, or here if there are several, or --output.");
}

const vt_command vt_cmd_report = {
    .name = "report",
    .operands = "RUN...",
    .summary =
        "a page about a run, several runs or an experiment: curves, confusions, label shares",
    .takes = "output no-eval json quiet",
    .needs = "",
    .min_operands = 1,
    .max_operands = INT_MAX,
    .run = run,
    .help = help,
};
