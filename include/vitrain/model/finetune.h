// Weights of a model of another image size or number of classes, to start from.
#ifndef VITRAIN_MODEL_FINETUNE_H
#define VITRAIN_MODEL_FINETUNE_H

#include "vitrain/model/model.h"

// Fills an initialized slab from a file. Position embeddings of another grid are interpolated (as
// timm 0.4.12's resize_pos_embed: bicubic, no antialiasing; the old grid is the one in the file's
// metadata, else square), and so are relative position biases of another window, where windows are
// square (as Swin's authors do it). Heads of another number of classes keep what they were
// initialized to. All this is said in the log. Everything else must fit: see vt_params_load.
vt_status vt_finetune_load(const vt_model *model, vt_real *slab, const vt_st_file *file);

// torch.nn.functional.interpolate(mode="bicubic", align_corners=False) of rows x columns of C
// numbers. out: (out_h,out_w,C), no alias; in: (in_h,in_w,C).
void vt_grid_resize(vt_real *out, const vt_real *in, int out_h, int out_w, int in_h, int in_w,
                    int C);

#endif
