// The training loss of one head, and what a configuration says of it.
#ifndef VITRAIN_TRAIN_LOSS_H
#define VITRAIN_TRAIN_LOSS_H

#include "vitrain/base/real.h"

typedef enum vt_loss_kind {
    VT_LOSS_CROSS_ENTROPY, // softmax over the classes
    VT_LOSS_BCE,           // each class a yes-or-no of its own, the mean over all
} vt_loss_kind;

// What BCE is measured against.
typedef enum vt_bce_target {
    VT_BCE_SOFT,   // the label rule's target as it is: share y_i + (1 - share) y_partner
    VT_BCE_BINARY, // DeiT III's (engine.py): 1 for every class that the target is above 0 for
} vt_bce_target;

// What the distillation head learns (DeiT, arXiv 2012.12877, equations 2 and 3; losses.py).
typedef enum vt_distill_kind {
    VT_DISTILL_NONE, // the labels, as the class head
    VT_DISTILL_SOFT, // the teacher's softened probabilities: tau^2 / K times the divergence
    VT_DISTILL_HARD, // the teacher's best class: cross-entropy
} vt_distill_kind;

typedef struct vt_loss_config {
    vt_loss_kind kind;
    vt_bce_target target;
    vt_distill_kind distill;
    double alpha; // the distillation head's share of the loss
    double tau;   // soft: temperature
} vt_loss_config;

// losses: (B) out; dlogits: (B,K) out, weight x the gradient of the batch's mean loss; logits:
// (B,K); target: (B,K), changed where VT_BCE_BINARY asks for it. Returns the mean loss.
double vt_loss_of_head(const vt_loss_config *config, vt_real *losses, vt_real *dlogits,
                       const vt_real *logits, vt_real *target, double weight, int B, int K);

// The loss of a distillation head against a teacher's logits: (B,K). target: (B,K) scratch. The
// rest as above.
double vt_loss_of_teacher(const vt_loss_config *config, vt_real *losses, vt_real *dlogits,
                          const vt_real *logits, const vt_real *teacher, vt_real *target,
                          double weight, int B, int K);

#endif
