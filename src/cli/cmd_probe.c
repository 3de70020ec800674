// vitrain probe: one forward and backward pass on given tensors, so that anything outside can be
// held against it. Everything stochastic is off.
//
// In:  images (B,channels,height,width) F32, final network input; labels, partner (B) I64;
//      mask (B,N) F32, the share of the PARTNER in each patch; lam (B) F32, the share of the
//      sample's own label over the image.
// Out: logits (B,K), of distilled models the mean of both heads; share (B), the own label's final
//      share under label.rule; target (B,K), smoothed; loss (1), the batch's mean; attn.LAYER
//      (B,T,T), of windowed models (B x windows,T,T), head means; grad.NAME of every parameter.
#include "commands.h"

#include "vitrain/base/bytes.h"
#include "vitrain/model/recorder.h"
#include "vitrain/train/step.h"

#include <stdio.h>

// What is computed with and on.
typedef struct vt_probe {
    int B;
    vt_elem type;
    vt_step step;
    vt_recorder recorder;
    vt_real *images; // (B, channels, height, width)
    int32_t *labels; // (B)
    vt_real *grads;  // a slab
    vt_st_entry *entries;
    char (*names)[VT_ENTRY_NAME_BYTES];
    char (*layer_names)[32];
} vt_probe;

static int entry_count(const vt_model *model)
{
    return 4 + model->config.depth + model->params.count;
}

static vt_status place(vt_probe *probe, vt_arena *arena, vt_model *model)
{
    const vt_model_config *c = &model->config;
    const size_t B = (size_t)probe->B;
    vt_recorder_place(&probe->recorder, arena, model, probe->B, false, NULL);
    probe->images = VT_ARENA_TAKE(
        arena, vt_real, B * (size_t)c->in_chans * (size_t)c->image_height * (size_t)c->image_width);
    probe->labels = VT_ARENA_TAKE(arena, int32_t, B);
    probe->grads = VT_ARENA_TAKE(arena, vt_real, model->params.slab_count);
    probe->entries = VT_ARENA_TAKE(arena, vt_st_entry, (size_t)entry_count(model));
    probe->names = vt_arena_take(arena, (size_t)model->params.count, sizeof *probe->names);
    probe->layer_names =
        vt_arena_take(arena, (size_t)model->config.depth, sizeof *probe->layer_names);
    return vt_step_place(&probe->step, arena, probe->type, VT_RECOMPUTE_GELU);
}

// Integers (B) of the file, each 0 .. below-1.
static vt_status read_indices(int32_t *out, const vt_st_file *file, const char *name, int B,
                              int below)
{
    int64_t shape[] = {B};
    const vt_st_tensor *tensor;
    VT_TRY(vt_st_get(file, name, VT_I64, 1, shape, &tensor));
    for (int i = 0; i < B; i++) {
        const int64_t value = (int64_t)vt_le64(tensor->data + 8 * i);
        VT_REQUIRE(value >= 0 && value < below, VT_ERR_FORMAT,
                   "%s: %s[%d]: expected 0 to %d, got %lld", vt_st_path(file), name, i, below - 1,
                   (long long)value);
        out[i] = (int32_t)value;
    }
    return VT_OK;
}

// Numbers of the file, each within [low, high].
static vt_status read_reals(vt_real *out, const vt_st_file *file, const char *name, int ndim,
                            const int64_t *shape, double low, double high)
{
    VT_TRY(vt_st_get_real(file, name, ndim, shape, out));
    const size_t count = vt_st_find(file, name)->count;
    for (size_t i = 0; i < count; i++)
        VT_REQUIRE(out[i] >= low && out[i] <= high, VT_ERR_FORMAT,
                   "%s: %s: expected numbers from %g to %g, element %zu is %g", vt_st_path(file),
                   name, low, high, i, (double)out[i]);
    return VT_OK;
}

static vt_status read_inputs(vt_probe *probe, const vt_st_file *file, const vt_model_config *c)
{
    const int B = probe->B, N = probe->step.layout.grid_h * probe->step.layout.grid_w;
    vt_mix_plan *plan = &probe->step.plan;
    const int64_t images[] = {B, c->in_chans, c->image_height, c->image_width}, shares[] = {B, N};
    VT_TRY(read_reals(probe->images, file, "images", 4, images, -1e30, 1e30));
    VT_TRY(read_indices(probe->labels, file, "labels", B, c->num_classes));
    VT_TRY(read_indices(plan->partner, file, "partner", B, B));
    VT_TRY(read_reals(plan->share, file, "mask", 2, shares, 0, 1));
    VT_TRY(read_reals(plan->lambda, file, "lam", 1, shares, 0, 1));
    for (size_t i = 0; i < (size_t)B * (size_t)N; i++) plan->share[i] = 1 - plan->share[i];
    plan->B = B;
    plan->N = N;
    plan->mixed = true;
    return VT_OK;
}

static void add(vt_st_entry **next, const char *name, const vt_real *data, int ndim, int d0, int d1,
                int d2)
{
    *(*next)++ = (vt_st_entry){
        .name = name, .dtype = VT_F32, .ndim = ndim, .shape = {d0, d1, d2}, .data = data};
}

static vt_status write_outputs(vt_probe *probe, const vt_model *model, vt_real loss,
                               const char *path)
{
    const vt_step *step = &probe->step;
    const int B = probe->B, K = model->config.num_classes;
    vt_st_entry *next = probe->entries;
    if (step->logits_dist) vt_model_join_heads(step->logits, step->logits_dist, B, K);
    add(&next, "logits", step->logits, 2, B, K, 0);
    add(&next, "share", step->share, 1, B, 0, 0);
    add(&next, "target", step->target, 2, B, K, 0);
    add(&next, "loss", &loss, 1, 1, 0, 0);
    for (int i = 0; i < model->config.depth; i++) {
        snprintf(probe->layer_names[i], sizeof *probe->layer_names, "attn.%d", i);
        const vt_attn_shape *s = &probe->recorder.shapes[i];
        add(&next, probe->layer_names[i], probe->recorder.maps[i], 3, B * s->windows, s->T, s->T);
    }
    vt_params_entries(&model->params, probe->grads, "grad.", next, probe->names);
    return vt_st_write(path, probe->entries, (size_t)entry_count(model), NULL, 0);
}

static vt_status probe_file(vt_subject *subject, const vt_st_file *file, const char *output)
{
    const vt_config *config = &subject->config;
    const vt_model_config *c = &config->model;
    int64_t shape[] = {-1, c->in_chans, c->image_height, c->image_width};
    const vt_st_tensor *images;
    VT_TRY(vt_st_get(file, "images", VT_F32, 4, shape, &images));
    VT_REQUIRE(shape[0] >= 1 && shape[0] <= 1 << 16, VT_ERR_SHAPE,
               "%s: images: expected 1 to 65536 of them, got %lld", vt_st_path(file),
               (long long)shape[0]);

    vt_probe probe = {.B = (int)shape[0], .type = subject->type};
    vt_arena arena = {0};
    VT_TRY(vt_step_init(&probe.step, subject->model, NULL, config->smoothing, config->label_rule,
                        &config->loss, probe.B));
    vt_status status = VT_OK;
    VT_TRY_OR_FAIL(status, place(&probe, &arena, subject->model));
    VT_TRY_OR_FAIL(status, vt_arena_reserve(&arena));
    VT_TRY_OR_FAIL(status, place(&probe, &arena, subject->model));
    VT_TRY_OR_FAIL(status, read_inputs(&probe, file, c));
    const vt_attn_hook hook = vt_recorder_hook(&probe.recorder);
    const double loss = vt_step_compute(&probe.step, subject->weights, probe.grads, probe.images,
                                        probe.labels, probe.B, &hook, 1, false, (vt_step_key){0});
    status = write_outputs(&probe, subject->model, (vt_real)loss, output);
fail:
    vt_arena_release(&arena);
    return status;
}

static vt_status run(const vt_args *args)
{
    vt_subject subject = {0};
    vt_st_file *file = NULL;
    vt_status status = vt_subject_load(&subject, args, args->checkpoint);
    if (status == VT_OK) status = vt_st_open(&file, args->input);
    if (status == VT_OK) status = probe_file(&subject, file, args->output);
    vt_st_close(file);
    vt_subject_free(&subject);
    return status;
}

const vt_command vt_cmd_probe = {
    .name = "probe",
    .operands = "",
    .summary = "one forward and backward pass on given tensors: logits, shares, maps, gradients",
    .takes = "config checkpoint input output precision set quiet",
    .needs = "config checkpoint input output",
    .run = run,
};
