// The program: finds the command, runs it, reports the error, exits. The only place that exits and
// that turns a vt_status into an exit status.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/ops/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static const vt_command *const commands[] = {&vt_cmd_train,  &vt_cmd_experiment, &vt_cmd_eval,
                                             &vt_cmd_report, &vt_cmd_predict,    &vt_cmd_attend,
                                             &vt_cmd_info,   &vt_cmd_bench,      &vt_cmd_preprocess,
                                             &vt_cmd_probe,  &vt_cmd_pack,       &vt_cmd_convert};
enum { VT_COMMANDS = sizeof commands / sizeof *commands };

static void help(void)
{
    puts("vitrain trains Vision Transformers on CPUs, with token-label alignment.\n\n"
         "usage: vitrain --config FILE [OPTION...]     (short for vitrain train)\n"
         "       vitrain COMMAND [OPTION...]\n");
    for (int i = 0; i < VT_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts(
        "\nvitrain COMMAND --help tells a command's options, as vitrain help COMMAND does; vitrain "
        "--version\nthe version.");
}

static vt_status find(const vt_command **out, const char *word)
{
    const char *names[VT_COMMANDS];
    for (int i = 0; i < VT_COMMANDS; i++) {
        names[i] = commands[i]->name;
        *out = commands[i];
        if (strcmp(word, names[i]) == 0) return VT_OK;
    }
    const char *nearest = vt_nearest_name(word, names, VT_COMMANDS);
    return vt_fail(VT_ERR_USAGE, "there is no command %s%s%s (see vitrain --help)", word,
                   nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static vt_status run(const vt_command *command, int argc, char *const *argv)
{
    vt_args args;
    vt_status status = vt_args_parse(&args, command, argc, argv);
    if (status == VT_OK && args.help) {
        vt_args_help(command);
    } else if (status == VT_OK) {
        if (args.quiet) vt_log_set_level(VT_LOG_WARN);
        vt_gemm_setup();
        status = command->run(&args);
    }
    vt_args_free(&args);
    return status;
}

// vitrain help, or vitrain help COMMAND.
static vt_status answer_help(int argc, char *const *argv)
{
    const vt_command *command;
    VT_REQUIRE(argc <= 3, VT_ERR_USAGE, "help does not know what to do with \"%s\"", argv[3]);
    if (argc == 2) {
        help();
        return VT_OK;
    }
    VT_TRY(find(&command, argv[2]));
    vt_args_help(command);
    return VT_OK;
}

static vt_status dispatch(int argc, char *const *argv)
{
    VT_REQUIRE(argc > 1, VT_ERR_USAGE, "nothing to do (see vitrain --help)");
    const vt_command *command;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return answer_help(argc, argv);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
        puts("vitrain " VT_VERSION);
        return VT_OK;
    }
    if (argv[1][0] == '-') return run(&vt_cmd_train, argc - 1, argv + 1);
    VT_TRY(find(&command, argv[1]));
    return run(command, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    // An experiment's runs are started through /proc/self/exe, and would be called "exe" by ps.
    prctl(PR_SET_NAME, "vitrain");
    vt_status status = dispatch(argc, argv);
    if (fflush(stdout) != 0 && status == VT_OK)
        status = vt_fail(VT_ERR_IO, "standard output: %s", strerror(errno));
    vt_log_progress(NULL);
    if (status != VT_OK) fprintf(stderr, "vitrain: %s\n", vt_error_message());
    exit(vt_status_exit(status));
}
