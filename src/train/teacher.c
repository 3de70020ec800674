// Opening a teacher, and whether it can teach.
#include "vitrain/train/teacher.h"

#include "vitrain/io/json.h"
#include "vitrain/io/weights.h"
#include "vitrain/train/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What the teacher's pictures are like: from a preset, or from the file.
typedef struct pixels {
    bool known;
    double mean[3], std[3];
} pixels;

static void read_list(double out[3], const vt_json *list)
{
    int n = 0;
    for (const vt_json *item = list ? vt_json_first(list) : NULL; item && n < 3;
         item = vt_json_next(item))
        out[n++] = vt_json_number(item);
}

// The file's own word (vt_config_input_text).
static vt_status read_pixels(pixels *out, const vt_st_file *file)
{
    const char *text = vt_st_metadata(file, VT_INPUT_METADATA);
    vt_json *input = NULL;
    if (!text) return VT_OK;
    const vt_status status = vt_json_parse(&input, text, strlen(text), VT_INPUT_METADATA);
    if (status != VT_OK) return vt_fail_within(status, vt_st_path(file));
    if (vt_json_type_of(input) == VT_JSON_OBJECT) {
        out->known = true;
        read_list(out->mean, vt_json_get(input, "mean"));
        read_list(out->std, vt_json_get(input, "std"));
    }
    vt_json_destroy(input);
    return VT_OK;
}

static void preset_shape(vt_model_config *shape, pixels *pictures, const vt_model_preset *p,
                         const vt_model_config *student)
{
    *shape = (vt_model_config){.in_chans = student->in_chans,
                               .mlp_ratio = 4,
                               .num_classes = student->num_classes,
                               .qkv_bias = true,
                               .pool = p->depths.count > 0 ? VT_POOL_AVG : VT_POOL_TOKEN};
    vt_model_preset_apply(shape, p);
    strcpy(shape->name, p->name);
    strcpy(shape->family, p->family);
    pictures->known = true;
    memcpy(pictures->mean, p->mean, sizeof p->mean);
    memcpy(pictures->std, p->std, sizeof p->std);
}

static vt_status find_shape(vt_model_config *shape, pixels *pictures, const vt_config *config,
                            const vt_st_file *file)
{
    const char *text = vt_st_metadata(file, VT_MODEL_METADATA);
    if (config->distill_model) {
        preset_shape(shape, pictures, vt_model_preset_find(config->distill_model), &config->model);
        return VT_OK;
    }
    VT_REQUIRE(text, VT_ERR_CONFIG,
               "distill.model: %s does not say what model it is for; expected a preset's name",
               vt_st_path(file));
    VT_TRY(read_pixels(pictures, file));
    return vt_model_config_parse(shape, text, vt_st_path(file));
}

static vt_status check_shape(const vt_model_config *teacher, const vt_model_config *student)
{
    VT_REQUIRE(
        teacher->image_height == student->image_height &&
            teacher->image_width == student->image_width,
        VT_ERR_CONFIG,
        "distill.teacher: expected a model for images of %d x %d px as model.image_size, got "
        "%d x %d",
        student->image_height, student->image_width, teacher->image_height, teacher->image_width);
    const struct {
        const char *key;
        int teacher, student;
    } numbers[] = {{"in_chans", teacher->in_chans, student->in_chans},
                   {"num_classes", teacher->num_classes, student->num_classes}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        VT_REQUIRE(numbers[i].teacher == numbers[i].student, VT_ERR_CONFIG,
                   "distill.teacher: expected model.%s %d as the student's, got %d", numbers[i].key,
                   numbers[i].student, numbers[i].teacher);
    return VT_OK;
}

// Both see the same numbers, so they must mean the same.
static vt_status check_pixels(const pixels *teacher, const vt_augment_config *student)
{
    for (int c = 0; teacher->known && c < student->channels; c++)
        VT_REQUIRE(fabs(teacher->mean[c] - student->mean[c]) < 1e-6 &&
                       fabs(teacher->std[c] - student->std[c]) < 1e-6,
                   VT_ERR_CONFIG,
                   "distill.teacher: it was trained with mean %g and std %g in channel %d; set "
                   "data.mean and data.std to its, got %g and %g",
                   teacher->mean[c], teacher->std[c], c, student->mean[c], student->std[c]);
    return VT_OK;
}

static vt_status create(vt_teacher *teacher, const vt_config *config, const vt_st_file *file)
{
    vt_model_config shape = {0};
    pixels pictures = {0};
    VT_TRY(find_shape(&shape, &pictures, config, file));
    VT_TRY(check_shape(&shape, &config->model));
    VT_TRY(check_pixels(&pictures, &config->data.augment));
    return vt_model_create(&teacher->model, &shape);
}

vt_status vt_teacher_open(vt_teacher **out, const vt_config *config)
{
    vt_st_file *file = NULL;
    *out = NULL;
    if (config->loss.distill == VT_DISTILL_NONE) return VT_OK;
    vt_teacher *teacher = vt_alloc(1, sizeof *teacher);
    if (!teacher) return VT_ERR_MEMORY;
    teacher->path = config->distill_teacher;
    vt_status status = vt_weights_open(&file, teacher->path);
    if (status == VT_OK) status = create(teacher, config, file);
    vt_st_close(file);
    if (status == VT_OK)
        *out = teacher;
    else
        vt_teacher_close(teacher);
    return status;
}

void vt_teacher_close(vt_teacher *teacher)
{
    if (!teacher) return;
    vt_model_destroy(teacher->model);
    free(teacher);
}

vt_status vt_teacher_place(vt_teacher *teacher, vt_arena *arena, int max_batch, vt_elem type)
{
    const vt_elem stored = vt_model_takes_bf16(&teacher->model->config) ? type : VT_REAL;
    teacher->weights = VT_ARENA_TAKE(arena, vt_real, teacher->model->params.slab_count);
    return vt_evaluator_place(&teacher->evaluator, arena, teacher->model, max_batch, &stored);
}

vt_status vt_teacher_load(vt_teacher *teacher)
{
    vt_st_file *file = NULL;
    VT_TRY(vt_weights_open(&file, teacher->path));
    vt_status status = vt_params_load(&teacher->model->params, teacher->weights, file, "");
    vt_st_close(file);
    return status;
}

const vt_real *vt_teacher_logits(vt_teacher *teacher, const vt_real *images, int B)
{
    vt_evaluator_logits(&teacher->evaluator, teacher->weights, images, B);
    return teacher->evaluator.logits;
}
