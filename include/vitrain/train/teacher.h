// A teacher for distillation (DeiT, arXiv 2012.12877, section 4): any model that is here, with its
// weights from a file. It sees what the student sees, mixed images and all, and never changes.
#ifndef VITRAIN_TRAIN_TEACHER_H
#define VITRAIN_TRAIN_TEACHER_H

#include "vitrain/train/config.h"
#include "vitrain/train/evaluate.h"

typedef struct vt_teacher {
    vt_model *model;
    const char *path; // the configuration's
    // placed
    vt_evaluator evaluator;
    vt_real *weights; // a slab
} vt_teacher;

// The teacher that distill.* names, *out NULL if it names none. Its shape comes from distill.model,
// or from the file itself. VT_ERR_CONFIG where it cannot teach: it does not say what it is; it
// takes images of another size, number of channels or normalisation; it knows another number of
// classes. Also the errors of vt_weights_open.
vt_status vt_teacher_open(vt_teacher **out, const vt_config *config);
void vt_teacher_close(vt_teacher *teacher); // takes NULL

// Places its weights and activations, of the type if its widths allow, for up to max_batch images.
vt_status vt_teacher_place(vt_teacher *teacher, vt_arena *arena, int max_batch, vt_elem type);
// Once placed: reads the weights.
vt_status vt_teacher_load(vt_teacher *teacher);

// (B,K) logits, of two heads their mean; borrowed until the next call. images: (B, ...).
const vt_real *vt_teacher_logits(vt_teacher *teacher, const vt_real *images, int B);

#endif
