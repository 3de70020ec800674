// vitrain predict: the most probable classes of pictures.
#include "commands.h"

#include "vitrain/base/log.h"
#include "vitrain/data/sample.h"
#include "vitrain/ops/ops.h"
#include "vitrain/train/evaluate.h"

#include <limits.h>
#include <stdio.h>

enum { VT_PREDICT_TOP = 5 };

typedef struct vt_predictor {
    vt_subject subject;
    vt_evaluator evaluator;
    vt_real *input; // (channels, height, width)
    vt_sampler sampler;
    vt_arena arena;
} vt_predictor;

static vt_status place(vt_predictor *p)
{
    const vt_model_config *c = &p->subject.model->config;
    p->input = VT_ARENA_TAKE(
        &p->arena, vt_real, (size_t)c->in_chans * (size_t)c->image_height * (size_t)c->image_width);
    return vt_evaluator_place(&p->evaluator, &p->arena, p->subject.model, 1, &p->subject.type);
}

static vt_status open_predictor(vt_predictor *p, const vt_args *args)
{
    VT_TRY(vt_subject_load(&p->subject, args, args->operands[0]));
    const int channels = p->subject.model->config.in_chans;
    VT_REQUIRE(channels == 1 || channels == 3, VT_ERR_CONFIG,
               "model.in_chans: expected 1 or 3 to read pictures, got %d", channels);
    const char *names = args->classes ? args->classes : p->subject.config.data.class_map;
    vt_classes *classes = &p->subject.classes;
    if (names) {
        vt_classes_free(classes);
        VT_TRY(vt_classes_read(classes, names));
        VT_REQUIRE(classes->count == p->subject.model->config.num_classes, VT_ERR_FORMAT,
                   "%s: expected %d classes as in the weights, got %d", names,
                   p->subject.model->config.num_classes, classes->count);
    }
    VT_TRY(place(p));
    VT_TRY(vt_arena_reserve(&p->arena));
    return place(p);
}

static void close_predictor(vt_predictor *p)
{
    vt_arena_release(&p->arena);
    vt_sampler_free(&p->sampler);
    vt_subject_free(&p->subject);
}

// Leaves the probabilities in p->evaluator.logits.
static vt_status predict(vt_predictor *p, const char *path)
{
    const vt_data_config *data = &p->subject.config.data;
    VT_TRY(vt_sample_file(p->input, &p->sampler, path, &data->augment, data->max_pixels, NULL));
    vt_evaluator_logits(&p->evaluator, p->subject.weights, p->input, 1);
    vt_softmax_rows(p->evaluator.logits, NULL, 1, p->subject.model->config.num_classes);
    return VT_OK;
}

static const char *class_name(const vt_predictor *p, int label, char number[16])
{
    const vt_classes *classes = &p->subject.classes;
    if (label < classes->count) return classes->names[label];
    snprintf(number, 16, "%d", label);
    return number;
}

// One picture's answer: lines of text or, if `all` is not NULL, a member of that array.
static void answer(const vt_predictor *p, const char *path, vt_json *all)
{
    int32_t best[VT_PREDICT_TOP];
    const int K = p->subject.model->config.num_classes;
    const int k = K < VT_PREDICT_TOP ? K : VT_PREDICT_TOP;
    char number[16];
    vt_top_k(best, k, p->evaluator.logits, K);
    vt_json *picture = NULL, *top = NULL;
    if (all) {
        picture = vt_json_add_object(all, NULL);
        vt_json_add_string(picture, "image", path);
        top = vt_json_add_array(picture, "top");
    } else {
        vt_print_name(path);
        putchar('\n');
    }
    for (int i = 0; i < k; i++) {
        const char *name = class_name(p, best[i], number);
        const double probability = (double)p->evaluator.logits[best[i]];
        if (!all) {
            printf("  %5.1f%%  ", 100 * probability);
            vt_print_name(name);
            putchar('\n');
            continue;
        }
        vt_json *one = vt_json_add_object(top, NULL);
        vt_json_add_number(one, "label", best[i]);
        vt_json_add_string(one, "class", name);
        vt_json_add_number(one, "probability", probability);
    }
}

// Of several pictures those that cannot be read are told, and the others answered.
static vt_status predict_all(vt_predictor *p, const vt_args *args, vt_json *all, int *bad)
{
    for (int i = 1; i < args->n_operands; i++) {
        const char *path = args->operands[i];
        const vt_status status = predict(p, path);
        if (status == VT_OK) {
            answer(p, path, all);
            continue;
        }
        if (args->n_operands == 2 || status == VT_ERR_MEMORY) return status;
        vt_log(VT_LOG_ERROR, "%s", vt_error_message());
        if (all) {
            vt_json *picture = vt_json_add_object(all, NULL);
            vt_json_add_string(picture, "image", path);
            vt_json_add_string(picture, "error", vt_error_message());
        }
        ++*bad;
    }
    return VT_OK;
}

static vt_status run(const vt_args *args)
{
    vt_predictor p = {0};
    int bad = 0;
    vt_json *root = args->json ? vt_json_new_object() : NULL;
    vt_json *all = root ? vt_json_add_array(root, "images") : NULL;
    vt_status status = open_predictor(&p, args);
    if (status == VT_OK) status = predict_all(&p, args, all, &bad);
    close_predictor(&p);
    if (status == VT_OK && args->json)
        status = vt_answer_json(root);
    else
        vt_json_destroy(root);
    VT_TRY(status);
    VT_REQUIRE(bad == 0, VT_ERR_DATA, "%d of %d pictures cannot be read", bad,
               args->n_operands - 1);
    return VT_OK;
}

const vt_command vt_cmd_predict = {
    .name = "predict",
    .operands = "WEIGHTS IMAGE...",
    .summary = "the five most probable classes of pictures",
    .takes = "config precision set classes json quiet",
    .needs = "",
    .min_operands = 2,
    .max_operands = INT_MAX,
    .run = run,
};
