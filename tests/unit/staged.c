// Small Swins; see the header.
#include "staged.h"

#include "numcheck.h"
#include "vitrain/base/threads.h"

vt_model_config vt_staged_shape(int h, int w, int stages, int window)
{
    vt_model_config c = {.name = "swin",
                         .family = "swin",
                         .image_height = 4 * h,
                         .image_width = 4 * w,
                         .patch_size = 4,
                         .in_chans = 1,
                         .embed_dim = 8,
                         .window_size = window,
                         .pool = VT_POOL_AVG,
                         .mlp_ratio = 2,
                         .num_classes = VT_STAGED_K,
                         .qkv_bias = true};
    c.depths.count = c.heads.count = stages;
    for (int i = 0; i < stages; i++) c.depths.at[i] = c.heads.at[i] = 2;
    return c;
}

vt_rig *vt_staged_rig(const vt_model_config *c, const char *rule)
{
    vt_threads_set(2);
    vt_rig *rig = vt_rig_create(c, 0.1, rule, VT_STAGED_B);
    vt_fill_normal(rig->images, VT_STAGED_B * rig->pixels, 1, 1);
    vt_fill_normal(rig->weights, rig->model->params.slab_count, 0.4, 2);
    for (int i = 0; i < VT_STAGED_B; i++) rig->labels[i] = 2 * i % VT_STAGED_K;
    return rig;
}
