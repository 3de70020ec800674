// vitrain info: this machine and, of a model, its size, work and memory.
#include "commands.h"

#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/weights.h"
#include "vitrain/ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The instruction sets that matter here, as Linux names them on x86 and Arm.
static const char *const features[] = {
    "sse4_2",   "avx",         "f16c",        "fma",         "avx2",     "avx512f",
    "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16",
    "asimd",    "asimdhp",     "sve",         "sve2",        "bf16",     "i8mm"};

typedef struct vt_cpu {
    char name[128], features[256];
} vt_cpu;

// The value of `key` at the head of a line of /proc/cpuinfo ("key : value"), or NULL.
static char *value_of(char *line, const char *key)
{
    if (strncmp(line, key, strlen(key)) != 0) return NULL;
    char *value = strchr(line, ':');
    return value ? value + 1 + strspn(value + 1, " ") : NULL;
}

static void add_features(vt_cpu *cpu, char *words)
{
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        for (size_t i = 0; i < sizeof features / sizeof *features; i++)
            if (strcmp(word, features[i]) == 0) {
                const size_t used = strlen(cpu->features);
                snprintf(cpu->features + used, sizeof cpu->features - used, "%s%s", used ? " " : "",
                         word);
            }
}

// Of the first processor; "unknown" and "" where the system does not tell.
static void describe_cpu(vt_cpu *cpu)
{
    *cpu = (vt_cpu){.name = "unknown"};
    FILE *stream = fopen("/proc/cpuinfo", "r");
    char *line = NULL;
    size_t capacity = 0;
    while (stream && getline(&line, &capacity, stream) > 1) { // an empty line ends a processor
        line[strcspn(line, "\n")] = '\0';
        char *value;
        if ((value = value_of(line, "model name")))
            snprintf(cpu->name, sizeof cpu->name, "%s", value);
        else if ((value = value_of(line, "flags")) || (value = value_of(line, "Features")))
            add_features(cpu, value);
    }
    free(line);
    if (stream) fclose(stream);
}

static void print_machine(const vt_cpu *cpu)
{
    printf("version     %s (%s)\n", VT_VERSION, VT_REAL_NAME);
    printf("processor   %s\n", cpu->name);
    printf("features    %s\n", cpu->features);
    printf("threads     %d\n", vt_threads());
    printf("BLAS        %s\n", vt_gemm_describe());
}

// A number, or one for each stage.
static const char *stages_text(char text[96], int number, const vt_stage_ints *stages)
{
    size_t used = (size_t)snprintf(text, 96, "%d", stages->count > 0 ? stages->at[0] : number);
    for (int i = 1; i < stages->count; i++)
        used += (size_t)snprintf(text + used, 96 - used, "-%d", stages->at[i]);
    return text;
}

static void print_model(const vt_subject *subject, const vt_memory_plan *memory)
{
    const vt_model *model = subject->model;
    const vt_model_config *c = &model->config;
    char depth[96], heads[96];
    printf("\nmodel       %s: %dx%d px, patch %d, width %d, depth %s, %s heads, %d classes\n",
           c->name, c->image_height, c->image_width, c->patch_size, c->embed_dim,
           stages_text(depth, c->depth, &c->depths), stages_text(heads, c->num_heads, &c->heads),
           c->num_classes);
    if (subject->classes.count > 0) {
        char names[256];
        printf("classes     ");
        vt_print_name(vt_classes_text(names, sizeof names, &subject->classes));
        putchar('\n');
    }
    printf("parameters  %lld\n", (long long)model->params.total);
    printf("FLOPs/image %.4g forward, %.4g forward and backward\n",
           model->ops->forward_flops(model), model->ops->train_flops(model));
    vt_print_memory(memory);
}

static void print_tensors(const vt_st_file *file)
{
    printf("\n%zu tensor%s\n", vt_st_count(file), vt_plural((int64_t)vt_st_count(file)));
    for (size_t i = 0; i < vt_st_count(file); i++) {
        const vt_st_tensor *t = vt_st_at(file, i);
        printf("  ");
        vt_print_name(t->name);
        const int length = (int)strlen(t->name), gap = length < 40 ? 40 - length : 0;
        printf("%*s %-5s", gap, "", vt_dtype_name(t->dtype));
        for (int d = 0; d < t->ndim; d++) printf("%s%lld", d ? " x " : " ", (long long)t->shape[d]);
        putchar('\n');
    }
}

static void json_tensors(vt_json *root, const vt_st_file *file)
{
    vt_json *list = vt_json_add_array(root, "tensors");
    for (size_t i = 0; i < vt_st_count(file); i++) {
        const vt_st_tensor *t = vt_st_at(file, i);
        vt_json *entry = vt_json_add_object(list, NULL);
        vt_json_add_string(entry, "name", t->name);
        vt_json_add_string(entry, "dtype", vt_dtype_name(t->dtype));
        vt_json *shape = vt_json_add_array(entry, "shape");
        for (int d = 0; d < t->ndim; d++) vt_json_add_number(shape, NULL, (double)t->shape[d]);
    }
}

static vt_json *json_machine(const vt_cpu *cpu)
{
    vt_json *root = vt_json_new_object();
    vt_json_add_string(root, "version", VT_VERSION);
    vt_json_add_string(root, "real", VT_REAL_NAME);
    vt_json_add_string(root, "processor", cpu->name);
    vt_json_add_string(root, "features", cpu->features);
    vt_json_add_number(root, "threads", vt_threads());
    vt_json_add_string(root, "blas", vt_gemm_describe());
    return root;
}

static void json_model(vt_json *root, const vt_subject *subject, const vt_memory_plan *memory)
{
    const vt_model *model = subject->model;
    vt_json_add_string(root, "model", model->config.name);
    if (subject->classes.count > 0) {
        vt_json *names = vt_json_add_array(root, "classes");
        for (int i = 0; i < subject->classes.count; i++)
            vt_json_add_string(names, NULL, subject->classes.names[i]);
    }
    vt_json_add_number(root, "n_parameters", (double)model->params.total);
    vt_json_add_number(root, "forward_flops", model->ops->forward_flops(model));
    vt_json_add_number(root, "train_flops", model->ops->train_flops(model));
    vt_json_memory(root, memory);
}

// file: of weights, or NULL
static vt_status answer(const vt_subject *subject, const vt_st_file *file, bool json)
{
    vt_memory_plan memory = {0};
    if (subject->model) VT_TRY(vt_plan_memory(&subject->config, &memory));
    vt_cpu cpu;
    describe_cpu(&cpu);
    if (json) {
        vt_json *root = json_machine(&cpu);
        if (subject->model) json_model(root, subject, &memory);
        if (file) json_tensors(root, file);
        return vt_answer_json(root);
    }
    print_machine(&cpu);
    if (subject->model) print_model(subject, &memory);
    if (file) print_tensors(file);
    return VT_OK;
}

static vt_status run(const vt_args *args)
{
    vt_subject subject = {0};
    vt_st_file *file = NULL;
    if (args->n_operands > 0) VT_TRY(vt_weights_open(&file, args->operands[0]));
    vt_threads_set(0);
    // Weights that do not say what model they are for are a list of tensors.
    const bool model =
        args->config || args->n_sets > 0 || (file && vt_st_metadata(file, VT_MODEL_METADATA));
    vt_status status = model ? vt_subject_load_from(&subject, args, file) : VT_OK;
    if (status == VT_OK) status = answer(&subject, file, args->json);
    vt_subject_free(&subject);
    vt_st_close(file);
    return status;
}

const vt_command vt_cmd_info = {
    .name = "info",
    .operands = "[WEIGHTS]",
    .summary = "this machine; of a configuration or weights the size, work, memory and tensors",
    .takes = "config set json quiet",
    .needs = "",
    .max_operands = 1,
    .run = run,
};
