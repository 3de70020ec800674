// timm's names: shapes and pixels as in timm/models/vision_transformer.py and deit.py. DeiT was
// trained with ImageNet's mean and deviation and is evaluated on a 224 crop of 256 px; the ViTs of
// "How to train your ViT?" with 0.5/0.5 and crop_pct 0.9. Swin's shapes are those of
// swin_transformer.py, ImageNet's pixels and crop_pct 0.9. DeiT III is evaluated on the whole of
// the shorter side, as every model of 384 px, and its LayerScale begins with 1e-4, as its authors
// trained it (models_v2.py; timm has 1e-6).
#include "vitrain/model/model.h"

#include <stddef.h>
#include <string.h>

#define IMAGENET {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, 0.875
#define HALVES {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, 0.9
#define AT_384 {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, 1.0
#define NO_STAGES {0}, {0}, 0, 0, false
#define DEIT3(size, side, width, depth, heads)                                         \
    {                                                                                  \
        "deit3_" size "_patch16_" #side, "vit", side, 16, width, depth, heads, false,  \
            {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, 1.0, {0}, {0}, 0, 1e-4, true \
    }
#define SWIN(name, width, blocks, ...)                                                          \
    {                                                                                           \
        name, "swin", 224, 4, width, 0, 0, false, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, \
            0.9, {4, {2, 2, blocks, 2}}, {4, {__VA_ARGS__}}, 7, 0, false                        \
    }

const vt_model_preset vt_model_presets[] = {
    {"deit_tiny_patch16_224", "vit", 224, 16, 192, 12, 3, false, IMAGENET, NO_STAGES},
    {"deit_small_patch16_224", "vit", 224, 16, 384, 12, 6, false, IMAGENET, NO_STAGES},
    {"deit_base_patch16_224", "vit", 224, 16, 768, 12, 12, false, IMAGENET, NO_STAGES},
    {"deit_tiny_distilled_patch16_224", "vit", 224, 16, 192, 12, 3, true, IMAGENET, NO_STAGES},
    {"deit_small_distilled_patch16_224", "vit", 224, 16, 384, 12, 6, true, IMAGENET, NO_STAGES},
    {"deit_base_distilled_patch16_224", "vit", 224, 16, 768, 12, 12, true, IMAGENET, NO_STAGES},
    {"deit_base_patch16_384", "vit", 384, 16, 768, 12, 12, false, AT_384, NO_STAGES},
    {"deit_base_distilled_patch16_384", "vit", 384, 16, 768, 12, 12, true, AT_384, NO_STAGES},
    DEIT3("small", 224, 384, 12, 6),
    DEIT3("small", 384, 384, 12, 6),
    DEIT3("medium", 224, 512, 12, 8),
    DEIT3("base", 224, 768, 12, 12),
    DEIT3("base", 384, 768, 12, 12),
    DEIT3("large", 224, 1024, 24, 16),
    DEIT3("large", 384, 1024, 24, 16),
    {"vit_tiny_patch16_224", "vit", 224, 16, 192, 12, 3, false, HALVES, NO_STAGES},
    {"vit_small_patch16_224", "vit", 224, 16, 384, 12, 6, false, HALVES, NO_STAGES},
    {"vit_base_patch16_224", "vit", 224, 16, 768, 12, 12, false, HALVES, NO_STAGES},
    {"vit_large_patch16_224", "vit", 224, 16, 1024, 24, 16, false, HALVES, NO_STAGES},
    SWIN("swin_tiny_patch4_window7_224", 96, 6, 3, 6, 12, 24),
    SWIN("swin_small_patch4_window7_224", 96, 18, 3, 6, 12, 24),
    SWIN("swin_base_patch4_window7_224", 128, 18, 4, 8, 16, 32),
    {0},
};

const vt_model_preset *vt_model_preset_find(const char *name)
{
    for (const vt_model_preset *p = vt_model_presets; p->name; p++)
        if (!strcmp(p->name, name)) return p;
    return NULL;
}

void vt_model_preset_apply(vt_model_config *c, const vt_model_preset *p)
{
    c->image_height = c->image_width = p->image_size;
    c->patch_size = p->patch_size;
    c->embed_dim = p->embed_dim;
    c->depth = p->depth;
    c->num_heads = p->heads.count > 0 ? p->heads.at[0] : p->num_heads;
    c->depths = p->depths;
    c->heads = p->heads;
    if (p->window_size > 0) c->window_size = p->window_size;
    c->distilled = p->distilled;
    c->layer_scale = p->layer_scale;
    c->no_embed_class = p->no_embed_class;
}
