// Label rules: from a mix plan and, where the rule wants them, the attention maps of the forward
// pass, to the share of its own label that each sample is trained against. A rule is one file with
// a vt_label_ops and a line in label_registry.c.
//
// The share stands for the whole label vector: every label that TL-Align can produce lies between
// the two labels that were mixed, and rows of an attention map sum to 1, so one number per token
// carries what the paper (arXiv 2210.06455, section 3.3) writes as a K-vector.
#ifndef VITRAIN_LABEL_LABEL_H
#define VITRAIN_LABEL_LABEL_H

#include "vitrain/base/arena.h"
#include "vitrain/mix/mix.h"
#include "vitrain/model/model.h"

typedef struct vt_label vt_label;

typedef struct vt_label_ops {
    const char *name; // label.rule
    bool class_token; // has a meaning only where the head reads the class token
    // Memory of the rule for up to B samples; NULL if it has none.
    void (*place)(vt_label *label, vt_arena *arena, int B);
    // A new batch; NULL if there is nothing to begin.
    void (*begin)(vt_label *label);
    // Attention of one image and layer; NULL if the rule does not look.
    void (*on_attention)(void *label, const vt_attn_view *view);
    // Tokens of one image merge; NULL likewise.
    void (*on_merge)(void *label, const vt_merge_view *view);
    // share: (B) out, of the class head's target; share_dist: (B) out, of the distillation head's,
    // or NULL.
    void (*finish)(vt_label *label, vt_real *share, vt_real *share_dist);
    // The share that a token carries at this point of the forward pass; NULL if the rule carries
    // none.
    vt_real (*token_share)(const vt_label *label, int sample, int token);
} vt_label_ops;

struct vt_label {
    const vt_label_ops *ops;
    vt_token_layout layout;
    const vt_mix_plan *plan; // of the batch at hand
    vt_real *tokens;         // what the rule keeps per sample and token, if anything
};

// VT_ERR_CONFIG for an unknown rule (names the nearest one), or one that wants a class token where
// the head pools (VT_POOL_AVG).
vt_status vt_label_init(vt_label *label, const char *rule, const vt_token_layout *layout);
void vt_label_place(vt_label *label, vt_arena *arena, int B);

// Begins a batch with its plan (which must stay until vt_label_finish). Returns whether the rule
// wants attention: then *hook is to be passed to the forward pass.
bool vt_label_begin(vt_label *label, const vt_mix_plan *plan, vt_attn_hook *hook);
void vt_label_finish(vt_label *label, vt_real *share, vt_real *share_dist);

// target: (B,K) out = share y_i + (1 - share) y_partner, with smoothed one-hots (timm's
// mixup_target: off = smoothing / K, on = 1 - smoothing + off). partner: (B) indices in the batch,
// share: (B); both NULL: nothing is mixed.
void vt_label_target(vt_real *target, const int32_t *labels, const int32_t *partner,
                     const vt_real *share, double smoothing, int B, int K);

// The registry, ended by NULL.
extern const vt_label_ops *const vt_label_rules[];

#endif
