// The families, and what they share: creation and the mean of two heads.
#include "vitrain/model/model.h"

#include "vitrain/base/arena.h"

#include <stdlib.h>
#include <string.h>

extern const vt_model_ops vt_family_vit, vt_family_swin;

const vt_model_ops *const vt_families[] = {&vt_family_vit, &vt_family_swin, NULL};

const vt_model_ops *vt_family_find(const char *family)
{
    for (const vt_model_ops *const *ops = vt_families; *ops; ops++)
        if (!strcmp((*ops)->family, family)) return *ops;
    return NULL;
}

bool vt_family_takes(const vt_model_ops *ops, const char *key)
{
    for (const char *const *k = ops->keys; *k; k++)
        if (!strcmp(*k, key)) return true;
    return false;
}

vt_status vt_model_create(vt_model **out, const vt_model_config *config)
{
    *out = NULL;
    const vt_model_ops *ops = vt_family_find(config->family);
    VT_TRY(vt_model_config_check(config));
    vt_model *model = vt_alloc(1, sizeof *model);
    if (!model) return VT_ERR_MEMORY;
    vt_status status = VT_OK;
    model->ops = ops;
    model->config = *config;
    for (int i = 0; i < config->depths.count; i++)
        model->config.depth = (i > 0 ? model->config.depth : 0) + config->depths.at[i];
    model->state = vt_alloc(1, ops->state_bytes);
    if (!model->state) status = VT_ERR_MEMORY;
    if (status == VT_OK) status = ops->declare(model);
    if (status != VT_OK) {
        vt_model_destroy(model);
        return status;
    }
    vt_params_number_layers(&model->params);
    *out = model;
    return VT_OK;
}

void vt_model_destroy(vt_model *model)
{
    if (!model) return;
    if (model->state) model->ops->destroy_state(model->state);
    free(model->state);
    vt_params_free(&model->params);
    free(model);
}

bool vt_model_attends_globally(const vt_model *model)
{
    vt_token_layout layout;
    model->ops->layout(model, &layout);
    for (int l = 0; l < model->config.depth; l++) {
        vt_attn_shape shape;
        model->ops->attention(model, l, &shape);
        if (shape.windows != 1 || shape.T != layout.tokens) return false;
    }
    return true;
}

void vt_model_join_heads(vt_real *logits, const vt_real *logits_dist, int B, int K)
{
    size_t n = (size_t)B * (size_t)K;
    for (size_t i = 0; i < n; i++) logits[i] = (logits[i] + logits_dist[i]) / 2;
}
