// timm's names: shapes and pixels as in timm/models/vision_transformer.py and deit.py. DeiT was
// trained with ImageNet's mean and deviation and is evaluated on a 224 crop of 256 px; the ViTs of
// "How to train your ViT?" with 0.5/0.5 and crop_pct 0.9. Swin's shapes are those of swin_transformer.py,
// ImageNet's pixels and crop_pct 0.9.
#include "vitrain/model/model.h"

#include <stddef.h>
#include <string.h>

#define IMAGENET {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, 0.875
#define HALVES {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, 0.9
#define NO_STAGES {0}, {0}, 0
#define SWIN(name, width, blocks, ...)                                                          \
    {                                                                                           \
        name, "swin", 224, 4, width, 0, 0, false, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, \
            0.9, {4, {2, 2, blocks, 2}}, {4, {__VA_ARGS__}}, 7                                  \
    }

const vt_model_preset vt_model_presets[] = {
    {"deit_tiny_patch16_224", "vit", 224, 16, 192, 12, 3, false, IMAGENET, NO_STAGES},
    {"deit_small_patch16_224", "vit", 224, 16, 384, 12, 6, false, IMAGENET, NO_STAGES},
    {"deit_base_patch16_224", "vit", 224, 16, 768, 12, 12, false, IMAGENET, NO_STAGES},
    {"deit_tiny_distilled_patch16_224", "vit", 224, 16, 192, 12, 3, true, IMAGENET, NO_STAGES},
    {"deit_small_distilled_patch16_224", "vit", 224, 16, 384, 12, 6, true, IMAGENET, NO_STAGES},
    {"deit_base_distilled_patch16_224", "vit", 224, 16, 768, 12, 12, true, IMAGENET, NO_STAGES},
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
