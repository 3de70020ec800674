// A model and its training step; see the header.
#include "numcheck.h"

#include "rig.h"

#include <stdlib.h>
#include <string.h>

static vt_status place(vt_rig *rig)
{
    const size_t slab = rig->model->params.slab_count;
    vt_real **const slabs[] = {&rig->weights, &rig->grads, &rig->other, &rig->slabs[0],
                               &rig->slabs[1]};
    for (size_t i = 0; i < sizeof slabs / sizeof *slabs; i++)
        *slabs[i] = VT_ARENA_TAKE(&rig->arena, vt_real, slab);
    rig->images = VT_ARENA_TAKE(&rig->arena, vt_real, (size_t)rig->B * rig->pixels);
    rig->labels = VT_ARENA_TAKE(&rig->arena, int32_t, rig->B);
    vt_recorder_place(&rig->recorder, &rig->arena, rig->model, rig->B, true, NULL);
    return vt_step_place(&rig->step, &rig->arena, rig->type, rig->recompute);
}

vt_rig *vt_rig_create(const vt_model_config *config, double smoothing, const char *rule, int B)
{
    return vt_rig_create_as(config, smoothing, rule, B, VT_REAL, VT_RECOMPUTE_GELU);
}

vt_rig *vt_rig_create_as(const vt_model_config *config, double smoothing, const char *rule, int B,
                         vt_elem type, vt_recompute recompute)
{
    vt_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->B = B;
    rig->type = type;
    rig->recompute = recompute;
    rig->pixels =
        (size_t)config->in_chans * (size_t)config->image_height * (size_t)config->image_width;
    VT_ASSERT_OK(vt_model_create(&rig->model, config));
    VT_ASSERT_OK(vt_step_init(&rig->step, rig->model, NULL, smoothing, rule, NULL, B));
    VT_ASSERT_OK(place(rig));
    VT_ASSERT_OK(vt_arena_reserve(&rig->arena));
    VT_ASSERT_OK(place(rig));
    vt_mix_draw(&rig->step.plan, B, NULL, &rig->step.mix_shape, NULL);
    return rig;
}

void vt_rig_destroy(vt_rig *rig)
{
    if (!rig) return;
    vt_arena_release(&rig->arena);
    vt_model_destroy(rig->model);
    free(rig);
}

double vt_rig_compute(vt_rig *rig, bool stochastic, vt_step_key key)
{
    vt_attn_hook hook = vt_recorder_hook(&rig->recorder);
    memset(rig->grads, 0, rig->model->params.slab_count * sizeof *rig->grads);
    return vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, rig->B,
                           &hook, 1, stochastic, key);
}
