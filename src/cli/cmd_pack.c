// vitrain pack: a data source into one file, or with --check whether such a file is sound.
#include "commands.h"

#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/data/pack.h"

#include <stdio.h>
#include <stdlib.h>

enum { DECODED_MOST = 65536 }; // px

static vt_status answer(const vt_args *args, const vt_source *source, const vt_pack_result *result)
{
    if (!args->json) {
        vt_print_name(args->output);
        printf(": %lld sample%s of %d class%s, %.1f MB", (long long)result->count,
               vt_plural(result->count), source->classes.count,
               source->classes.count == 1 ? "" : "es", (double)result->bytes * 1e-6);
        if (result->bad) printf(", %lld of them unreadable", (long long)result->bad);
        putchar('\n');
        return VT_OK;
    }
    vt_json *root = vt_json_new_object();
    vt_json_add_string(root, "output", args->output);
    vt_json_add_number(root, "n", (double)result->count);
    vt_json_add_number(root, "classes", source->classes.count);
    vt_json_add_number(root, "unreadable", (double)result->bad);
    vt_json_add_number(root, "bytes", (double)result->bytes);
    return vt_answer_json(root);
}

static vt_status open_source(vt_source **out, const char *path, const vt_data_config *data)
{
    vt_classes listed = {0};
    if (data->class_map) VT_TRY(vt_classes_read(&listed, data->class_map));
    vt_status status = vt_source_open(out, path, data->format, listed.count ? &listed : NULL);
    vt_classes_free(&listed);
    return status;
}

static vt_status write_pack(const vt_args *args, const vt_config *config, int decoded)
{
    const vt_pack_config pack = {.decoded = decoded,
                                 .filter = config->data.augment.filter,
                                 .max_pixels = config->data.max_pixels,
                                 .max_bad = config->data.max_bad,
                                 .interrupted = vt_catch_signals()};
    vt_source *source = NULL;
    vt_pack_result result;
    VT_TRY(open_source(&source, args->operands[0], &config->data));
    vt_status status = vt_pack_write(args->output, source, &pack, &result);
    if (status == VT_OK) status = answer(args, source, &result);
    vt_source_close(source);
    return status;
}

// Names every damaged sample on stdout.
static vt_status check_pack(const char *path, bool json)
{
    vt_source *source = NULL;
    VT_TRY(vt_source_open(&source, path, "packed", NULL));
    vt_json *root = json ? vt_json_new_object() : NULL;
    vt_json *list = json ? vt_json_add_array(root, "damaged") : NULL;
    const int64_t count = source->count;
    int64_t damaged = 0;
    for (int64_t i = 0; i < count; i++) {
        if (vt_pack_check(source, i) == VT_OK) continue;
        damaged++;
        char name[2048];
        source->ops->describe(source, i, name, sizeof name);
        if (json) {
            vt_json_add_string(list, NULL, name);
        } else {
            vt_print_name(name);
            putchar('\n');
        }
    }
    vt_source_close(source);
    if (json) {
        vt_json_add_number(root, "n", (double)count);
        VT_TRY(vt_answer_json(root));
    } else if (damaged == 0) {
        vt_print_name(path);
        printf(": all %lld samples are sound\n", (long long)count);
    }
    VT_REQUIRE(damaged == 0, VT_ERR_FORMAT, "%s: %lld of %lld samples are damaged", path,
               (long long)damaged, (long long)count);
    return VT_OK;
}

static vt_status run(const vt_args *args)
{
    vt_config config;
    uint64_t decoded = 0; // the files as they are
    if (args->check) {
        VT_REQUIRE(!args->output && !args->decoded && !args->config && args->n_sets == 0,
                   VT_ERR_USAGE, "pack --check takes no other option than --json and --quiet");
        return check_pack(args->operands[0], args->json);
    }
    VT_REQUIRE(args->output, VT_ERR_USAGE, "pack needs --output FILE (see vitrain pack --help)");
    VT_TRY(vt_args_number(&decoded, "decoded", args->decoded, 1, DECODED_MOST));
    VT_TRY(vt_config_load(&config, args->config, args->sets, args->n_sets));
    vt_threads_set(config.train.threads);
    vt_status status = write_pack(args, &config, (int)decoded);
    vt_config_free(&config);
    return status;
}

static void help(void)
{
    puts("\nSOURCE is what data.train takes: a folder of class folders, an IDX file, a pack. "
         "Picture\n"
         "files go into --output as they are; with --decoded SIDE all pictures go in as pixels, "
         "their\n"
         "shorter side resized to SIDE px by data.interpolation. Give the file as data.train or\n"
         "data.val. Of the configuration data.format, data.class_map, data.interpolation,\n"
         "data.max_pixels, data.max_bad and train.threads count. With --check SOURCE is a pack: "
         "its\n"
         "damaged samples are listed, and the exit status is 1 if there are any.");
}

const vt_command vt_cmd_pack = {
    .name = "pack",
    .operands = "SOURCE",
    .summary = "all pictures of a data source into one file that is mapped into memory",
    .takes = "output decoded check config set json quiet",
    .needs = "",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
    .help = help,
};
