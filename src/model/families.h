// The families, one file each.
#ifndef MODEL_FAMILIES_H
#define MODEL_FAMILIES_H

#include "vitrain/model/model.h"

extern const vt_model_ops vt_family_vit; // vit.c: ViT, DeiT, distilled DeiT

#endif
