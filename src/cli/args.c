// Options as --name VALUE, --name=VALUE or --flag, anywhere among the operands; "--" ends them.
#include "args.h"

#include "vitrain/base/text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum vt_option_kind { VT_OPTION_FLAG, VT_OPTION_VALUE, VT_OPTION_SET } vt_option_kind;

typedef struct vt_option {
    const char *name;
    vt_option_kind kind;
    size_t field; // in vt_args
    const char *value, *help;
} vt_option;

#define VT_FIELD(name) offsetof(vt_args, name)
static const vt_option options[] = {
    {"config", VT_OPTION_VALUE, VT_FIELD(config), "FILE", "the configuration"},
    {"checkpoint", VT_OPTION_VALUE, VT_FIELD(checkpoint), "FILE",
     "weights: model.safetensors, last.safetensors or timm's"},
    {"input", VT_OPTION_VALUE, VT_FIELD(input), "FILE", "tensors to compute with"},
    {"output", VT_OPTION_VALUE, VT_FIELD(output), "PATH", "where the answer goes"},
    {"classes", VT_OPTION_VALUE, VT_FIELD(classes), "FILE", "class names, line number = label"},
    {"batch", VT_OPTION_VALUE, VT_FIELD(batch), "N", "images of a step: train.batch_size"},
    {"precision", VT_OPTION_VALUE, VT_FIELD(precision), "P", "fp32 or bf16"},
    {"rule", VT_OPTION_VALUE, VT_FIELD(rule), "RULE", "area, tl-align or transmix: label.rule"},
    {"recompute", VT_OPTION_VALUE, VT_FIELD(recompute), "R", "train.recompute"},
    {"steps", VT_OPTION_VALUE, VT_FIELD(steps), "N", "steps to measure (five seconds' worth)"},
    {"train", VT_OPTION_FLAG, VT_FIELD(train), "", "as for training, not as for evaluation"},
    {"seed", VT_OPTION_VALUE, VT_FIELD(seed), "S", "of training's random numbers (train.seed)"},
    {"epoch", VT_OPTION_VALUE, VT_FIELD(epoch), "E", "of training, from 0 on (0)"},
    {"index", VT_OPTION_VALUE, VT_FIELD(index), "I", "place in that epoch, from 0 on (0)"},
    {"decoded", VT_OPTION_VALUE, VT_FIELD(decoded), "SIDE",
     "pixels instead of files, the shorter side resized to SIDE px"},
    {"check", VT_OPTION_FLAG, VT_FIELD(check), "", "write nothing: name what is damaged in a pack"},
    {"dtype", VT_OPTION_VALUE, VT_FIELD(dtype), "T", "f32, f16 or bf16, of floating tensors"},
    {"shard-size", VT_OPTION_VALUE, VT_FIELD(shard_size), "BYTES",
     "most bytes of a file; also 500MB, 5GB"},
    {"jobs", VT_OPTION_VALUE, VT_FIELD(jobs), "P", "runs at a time; they share the processors (1)"},
    {"table", VT_OPTION_FLAG, VT_FIELD(table), "", "train nothing: the table of what is there"},
    {"set", VT_OPTION_SET, 0, "KEY=VALUE", "override a configuration key; may be repeated"},
    {"dry-run", VT_OPTION_FLAG, VT_FIELD(dry_run), "",
     "what it would be: configuration or plan, memory, time, first batch; train nothing"},
    {"no-eval", VT_OPTION_FLAG, VT_FIELD(no_eval), "", "run no model over data.val"},
    {"json", VT_OPTION_FLAG, VT_FIELD(json), "", "answer in JSON"},
    {"quiet", VT_OPTION_FLAG, VT_FIELD(quiet), "", "only warnings and errors on stderr"},
    {"help", VT_OPTION_FLAG, VT_FIELD(help), "", "this text"},
};
enum { VT_OPTIONS = sizeof options / sizeof *options };

// Whether `word`, of `length` letters, is one of the words in `list`.
static bool listed(const char *list, const char *word, size_t length)
{
    for (const char *at = list; *at;) {
        const size_t n = strcspn(at, " ");
        if (n == length && memcmp(at, word, n) == 0) return true;
        at += n + strspn(at + n, " ");
    }
    return false;
}

static bool takes(const vt_command *command, const vt_option *option)
{
    return strcmp(option->name, "help") == 0 ||
           listed(command->takes, option->name, strlen(option->name));
}

static vt_status find(const vt_option **out, const vt_command *command, const char *name,
                      size_t length)
{
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    const char *known[VT_OPTIONS] = {NULL};
    for (int i = 0; i < VT_OPTIONS; i++) {
        if (!takes(command, &options[i])) continue;
        *out = &options[i];
        if (strcmp(options[i].name, word) == 0) return VT_OK;
        known[i] = options[i].name;
    }
    const char *nearest = vt_nearest_name(word, known, VT_OPTIONS);
    return vt_fail(VT_ERR_USAGE, "%s has no option --%s%s%s (see vitrain %s --help)", command->name,
                   word, nearest ? "; the nearest is --" : "", nearest ? nearest : "",
                   command->name);
}

// Reads the option at argv[*i], and its value behind it if it has one.
static vt_status read_option(vt_args *args, const vt_command *command, int argc, char *const *argv,
                             int *i)
{
    const char *name = argv[*i] + 2, *value = strchr(name, '=');
    const vt_option *option = NULL;
    VT_TRY(find(&option, command, name, value ? (size_t)(value - name) : strlen(name)));
    void *field = (char *)args + option->field;
    if (option->kind == VT_OPTION_FLAG) {
        VT_REQUIRE(!value, VT_ERR_USAGE, "--%s takes no value, got \"%s\"", option->name,
                   value + 1);
        *(bool *)field = true;
        return VT_OK;
    }
    if (value)
        value++;
    else if (*i + 1 < argc)
        value = argv[++*i];
    VT_REQUIRE(value && *value, VT_ERR_USAGE, "--%s needs a value: --%s %s", option->name,
               option->name, option->value);
    if (option->kind == VT_OPTION_SET) {
        args->sets[args->n_sets++] = value;
        return VT_OK;
    }
    VT_REQUIRE(!*(const char **)field, VT_ERR_USAGE, "--%s is given twice", option->name);
    *(const char **)field = value;
    return VT_OK;
}

static vt_status check_complete(const vt_args *args, const vt_command *command)
{
    for (int i = 0; i < VT_OPTIONS; i++)
        VT_REQUIRE(!listed(command->needs, options[i].name, strlen(options[i].name)) ||
                       *(const char *const *)((const char *)args + options[i].field),
                   VT_ERR_USAGE, "%s needs --%s %s (see vitrain %s --help)", command->name,
                   options[i].name, options[i].value, command->name);
    VT_REQUIRE(args->n_operands >= command->min_operands, VT_ERR_USAGE,
               "%s needs %s (see vitrain %s --help)", command->name, command->operands,
               command->name);
    VT_REQUIRE(args->n_operands <= command->max_operands, VT_ERR_USAGE,
               "%s does not know what to do with \"%s\" (see vitrain %s --help)", command->name,
               args->operands[command->max_operands], command->name);
    return VT_OK;
}

vt_status vt_args_parse(vt_args *args, const vt_command *command, int argc, char *const *argv)
{
    *args = (vt_args){0};
    args->sets = calloc((size_t)argc + 1, sizeof *args->sets);
    args->operands = calloc((size_t)argc + 1, sizeof *args->operands);
    VT_REQUIRE(args->sets && args->operands, VT_ERR_MEMORY, "out of memory");
    bool options_ended = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            args->operands[args->n_operands++] = word;
            continue;
        }
        if (strcmp(word, "-h") == 0) {
            args->help = true;
            return VT_OK;
        }
        VT_REQUIRE(word[1] == '-', VT_ERR_USAGE, "options are written --name, got \"%s\"", word);
        if (word[2] == '\0')
            options_ended = true;
        else
            VT_TRY(read_option(args, command, argc, argv, &i));
        if (args->help) return VT_OK;
    }
    return check_complete(args, command);
}

vt_status vt_args_number(uint64_t *out, const char *option, const char *text, uint64_t least,
                         uint64_t most)
{
    if (!text) return VT_OK;
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    const bool digits = *text && text[strspn(text, "0123456789")] == '\0';
    VT_REQUIRE(digits && errno == 0 && value >= least && value <= most, VT_ERR_USAGE,
               "--%s: expected a whole number from %llu to %llu, got \"%s\"", option,
               (unsigned long long)least, (unsigned long long)most, text);
    *out = value;
    return VT_OK;
}

void vt_args_free(vt_args *args)
{
    free(args->sets);
    free(args->operands);
    *args = (vt_args){0};
}

void vt_args_help(const vt_command *command)
{
    printf("usage: vitrain %s", command->name);
    for (int i = 0; i < VT_OPTIONS; i++)
        if (listed(command->needs, options[i].name, strlen(options[i].name)))
            printf(" --%s %s", options[i].name, options[i].value);
    printf("%s%s [OPTION...]\n\n%s\n\n", *command->operands ? " " : "", command->operands,
           command->summary);
    for (int i = 0; i < VT_OPTIONS; i++) {
        if (!takes(command, &options[i])) continue;
        char left[40];
        snprintf(left, sizeof left, "--%s %s", options[i].name, options[i].value);
        printf("  %-20s  %s\n", left, options[i].help);
    }
    if (command->help) command->help();
}
