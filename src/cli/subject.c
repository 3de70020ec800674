// What commands share: a model and its weights from a configuration, a weights file or both;
// answers.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/base/threads.h"
#include "vitrain/io/file.h"
#include "vitrain/io/weights.h"
#include "vitrain/train/checkpoint.h"
#include "vitrain/train/data_record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGENET_CLASSES = 1000 };

// What a weights file says about itself.
typedef struct vt_told {
    bool shape; // whether it says anything
    vt_model_config model;
    const char *input; // vt_config_input_text; NULL: nothing
} vt_told;

static vt_status read_metadata(vt_told *told, const vt_st_file *file)
{
    *told = (vt_told){0};
    const char *text = file ? vt_st_metadata(file, VT_MODEL_METADATA) : NULL;
    if (!text) return VT_OK;
    told->shape = true;
    told->input = vt_st_metadata(file, VT_INPUT_METADATA);
    return vt_model_config_parse(&told->model, text, vt_st_path(file));
}

// A model as --set gives it, under its family's name; malloc'd, NULL when out of memory.
static char *model_set(const vt_model_config *model)
{
    vt_config told = {.model = *model};
    strcpy(told.model.name, model->family);
    vt_json *all = vt_config_json(&told);
    char *json = all ? vt_json_text(vt_json_get(all, "model"), false) : NULL, *set = NULL;
    if (json && asprintf(&set, "model=%s", json) < 0) set = NULL;
    vt_json_destroy(all);
    free(json);
    return set;
}

// --set over `model` and over what the file tells of its pictures.
static vt_status load_over(vt_config *config, const vt_args *args, const char *model,
                           const char *told_input)
{
    char *input = NULL;
    const char **sets = malloc(((size_t)args->n_sets + 2) * sizeof *sets);
    vt_status status = VT_OK;
    int n = 0;
    if (sets && model && asprintf(&input, "data=%s", told_input ? told_input : "{}") >= 0) {
        sets[n++] = input;
        sets[n++] = model;
        for (int i = 0; i < args->n_sets; i++) sets[n++] = args->sets[i];
        status = vt_config_load(config, NULL, sets, n);
        free(input);
    } else {
        status = vt_fail(VT_ERR_MEMORY, "out of memory");
    }
    free(sets);
    return status;
}

// --config and --set. Without --config, --set is over what the file tells of its pictures and,
// unless it names a model, of its own.
static vt_status load_config(vt_config *config, const vt_args *args, const vt_told *told,
                             const vt_st_file *file)
{
    char channels[32];
    if (args->config || !told->shape)
        return vt_config_load(config, args->config, args->sets, args->n_sets);
    vt_status status = vt_model_config_check(&told->model);
    if (status != VT_OK) return vt_fail_within(status, vt_st_path(file));
    snprintf(channels, sizeof channels, "model.in_chans=%d", told->model.in_chans);
    VT_TRY(load_over(config, args, channels, told->input));
    if (config->model.name[0]) return VT_OK;
    vt_config_free(config);
    char *model = model_set(&told->model);
    status = load_over(config, args, model, told->input);
    free(model);
    if (status == VT_OK) strcpy(config->model.name, told->model.name);
    return status;
}

// The number of classes where the configuration leaves it open and no weights tell it. `assume`: if
// the data is not at hand, as many as ImageNet has.
static vt_status count_classes(vt_config *config, bool assume)
{
    const vt_data_config *data = &config->data;
    const char *const paths[] = {data->class_map, data->train, data->val};
    bool at_hand = false;
    for (int i = 0; i < 3; i++) at_hand = at_hand || (paths[i] && vt_file_exists(paths[i]));
    if (!at_hand && assume) {
        config->model.num_classes = IMAGENET_CLASSES;
        vt_log(VT_LOG_INFO, "model.num_classes: open, and the data is not at hand; %d assumed",
               IMAGENET_CLASSES);
        return VT_OK;
    }
    vt_classes classes;
    VT_TRY(vt_labels_read(&classes, data));
    config->model.num_classes = classes.count;
    vt_classes_free(&classes);
    return VT_OK;
}

// How many classes the head of a file's model has; 0: it has none that is known here.
static int classes_of_head(const vt_st_file *file)
{
    static const char *const names[] = {"head.fc.weight",
                                        "head.weight"}; // timm's since 0.9, and before
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const vt_st_tensor *head = vt_st_find(file, names[i]);
        if (head && head->ndim == 2 && head->shape[0] >= 1 && head->shape[0] <= INT_MAX)
            return (int)head->shape[0];
    }
    return 0;
}

static bool is_for(const vt_st_file *file, const vt_model_preset *preset)
{
    char name[96], classes[48];
    const char *const sets[] = {name, classes};
    snprintf(name, sizeof name, "model.name=%s", preset->name);
    snprintf(classes, sizeof classes, "model.num_classes=%d", classes_of_head(file));
    vt_config config;
    vt_model *model = NULL;
    if (vt_config_load(&config, NULL, sets, 2) != VT_OK) return false;
    const bool is =
        vt_model_create(&model, &config.model) == VT_OK && vt_params_fit(&model->params, file);
    vt_model_destroy(model);
    vt_config_free(&config);
    return is;
}

// Names the presets that have the file's tensors: of some (DeiT's and ViT's) the shapes are the
// same.
static vt_status refuse_nameless(const vt_st_file *file)
{
    char fitting[512] = "";
    for (const vt_model_preset *p = vt_model_presets; p->name; p++) {
        const size_t used = strlen(fitting);
        if (is_for(file, p))
            snprintf(fitting + used, sizeof fitting - used, "%s%s", used ? " or " : "", p->name);
    }
    return vt_fail(VT_ERR_USAGE,
                   "%s does not say what model it is for: give --config or --set model.name=%s%s",
                   vt_st_path(file), *fitting ? fitting : "NAME",
                   *fitting ? ", which has these tensors" : " (no preset has these tensors)");
}

static vt_status configure(vt_subject *subject, const vt_args *args, const vt_told *told,
                           const vt_st_file *file)
{
    vt_config *config = &subject->config;
    VT_TRY(load_config(config, args, told, file));
    const bool open = !config->classes_given || config->classes_assumed;
    const int of_head = file && !told->shape ? classes_of_head(file) : 0;
    if (!config->model.name[0]) {
        VT_REQUIRE(file, VT_ERR_CONFIG,
                   "model.name: missing; give --config FILE or --set model.name=NAME, such as %s",
                   vt_model_presets[0].name);
        return refuse_nameless(file);
    }
    if (open && told->shape) {
        config->model.num_classes = told->model.num_classes;
    } else if (open && of_head > 0) {
        config->model.num_classes = of_head;
        subject->classes_of_head = true;
    } else if (!config->classes_given) {
        return count_classes(config, file == NULL);
    }
    return VT_OK;
}

static vt_status load_weights(vt_subject *subject, const vt_st_file *file)
{
    const vt_params *params = &subject->model->params;
    subject->weights = vt_alloc(params->slab_count, sizeof(vt_real));
    if (!subject->weights) return VT_ERR_MEMORY;
    return vt_params_load(params, subject->weights, file, "");
}

// Whether the model is the one that the weights were trained as, in what their shapes do not show.
// A model that attends in windows may see pictures of another size.
static vt_status check_trained(const vt_subject *subject, const vt_told *told)
{
    static const char *const keys[] = {"num_heads", "pool", "image_size"};
    const int n_keys = vt_model_attends_globally(subject->model) ? 3 : 2;
    const vt_config trained = {.model = told->model};
    vt_json *now = vt_config_json(&subject->config), *then = vt_config_json(&trained);
    vt_status status = now && then ? VT_OK : vt_fail(VT_ERR_MEMORY, "out of memory");
    for (int i = 0; status == VT_OK && i < n_keys; i++) {
        char *a = vt_json_text(vt_json_get(vt_json_get(now, "model"), keys[i]), false);
        char *b = vt_json_text(vt_json_get(vt_json_get(then, "model"), keys[i]), false);
        if (!a || !b)
            status = vt_fail(VT_ERR_MEMORY, "out of memory");
        else if (strcmp(a, b) != 0)
            status =
                vt_fail(VT_ERR_CONFIG,
                        "model.%s: the configuration says %s, the weights were trained with %s",
                        keys[i], a, b);
        free(a);
        free(b);
    }
    vt_json_destroy(now);
    vt_json_destroy(then);
    return status;
}

static vt_status read_precision(vt_elem *type, const char *name)
{
    vt_config wish = {0};
    if (!name) return VT_OK;
    VT_REQUIRE(!strcmp(name, "fp32") || !strcmp(name, "bf16"), VT_ERR_USAGE,
               "--precision: expected fp32 or bf16, got \"%s\"", name);
    wish.train.precision = !strcmp(name, "bf16") ? VT_PRECISION_BF16 : VT_PRECISION_FP32;
    VT_TRY(vt_precision_settle(&wish));
    *type = vt_precision_type(wish.train.precision);
    return VT_OK;
}

vt_status vt_subject_load_from(vt_subject *subject, const vt_args *args, const vt_st_file *file)
{
    *subject = (vt_subject){0};
    vt_told told;
    vt_status status = VT_OK;
    VT_TRY(read_precision(&subject->type, args->precision));
    VT_TRY(read_metadata(&told, file));
    VT_TRY_OR_FAIL(status, configure(subject, args, &told, file));
    vt_threads_set(subject->config.train.threads);
    VT_TRY_OR_FAIL(status, vt_model_create(&subject->model, &subject->config.model));
    if (file) VT_TRY_OR_FAIL(status, load_weights(subject, file));
    if (told.shape) VT_TRY_OR_FAIL(status, check_trained(subject, &told));
    if (file) VT_TRY_OR_FAIL(status, vt_data_record_classes(&subject->classes, file));
    return VT_OK;
fail:
    vt_subject_free(subject);
    return status;
}

vt_status vt_subject_load(vt_subject *subject, const vt_args *args, const char *weights_path)
{
    vt_st_file *file = NULL;
    if (weights_path) VT_TRY(vt_weights_open(&file, weights_path));
    vt_status status = vt_subject_load_from(subject, args, file);
    vt_st_close(file);
    return status;
}

void vt_subject_free(vt_subject *subject)
{
    free(subject->weights);
    vt_classes_free(&subject->classes);
    vt_model_destroy(subject->model);
    vt_config_free(&subject->config);
    *subject = (vt_subject){0};
}

vt_status vt_answer_json(vt_json *answer)
{
    char *text = vt_json_text_utf8(answer);
    vt_json_destroy(answer);
    VT_REQUIRE(text, VT_ERR_MEMORY, "out of memory");
    puts(text);
    free(text);
    return VT_OK;
}

void vt_print_name(const char *name)
{
    for (const char *c = name; *c; c++) putchar((unsigned char)*c < ' ' || *c == '\x7F' ? '?' : *c);
}

static size_t total(const vt_memory_plan *plan)
{
    return plan->parameters + plan->activations + plan->batches;
}

void vt_print_memory(const vt_memory_plan *plan)
{
    const double mib = 1 << 20;
    printf("memory      %.1f MiB to train: parameters, gradients, moments %.1f, activations %.1f",
           (double)total(plan) / mib, (double)plan->parameters / mib,
           (double)plan->activations / mib);
    if (plan->batches > 0) printf(", batches %.1f", (double)plan->batches / mib);
    putchar('\n');
}

void vt_json_memory(vt_json *answer, const vt_memory_plan *plan)
{
    vt_json *bytes = vt_json_add_object(answer, "memory_bytes");
    vt_json_add_number(bytes, "parameters", (double)plan->parameters);
    vt_json_add_number(bytes, "activations", (double)plan->activations);
    vt_json_add_number(bytes, "batches", (double)plan->batches);
    vt_json_add_number(bytes, "total", (double)total(plan));
}
