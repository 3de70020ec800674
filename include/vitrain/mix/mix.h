// Mixing of samples within a batch. A plan says, for each sample, which partner it is mixed with,
// how much of it is left, and how much of it is left in each patch; applying it changes pixels.
// Labels are none of this room's business (label/label.h).
//
// Meaning and names are those of timm's Mixup (timm/data/mixup.py, 0.4.12): alphas, prob,
// switch_prob, mode, cutmix_minmax, correct_lam; the partner is the reversed batch. In a batch of
// odd size the middle sample has no partner and stays as it is.
#ifndef VITRAIN_MIX_MIX_H
#define VITRAIN_MIX_MIX_H

#include "vitrain/base/arena.h"
#include "vitrain/base/real.h"
#include "vitrain/base/rng.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum vt_mix_mode { VT_MIX_BATCH, VT_MIX_PAIR, VT_MIX_ELEM } vt_mix_mode;
typedef enum vt_mix_grid { VT_MIX_PIXEL, VT_MIX_TOKEN } vt_mix_grid;
typedef enum vt_mix_box { VT_BOX_EXACT, VT_BOX_OFFICIAL } vt_mix_box;

typedef struct vt_mix_config {
    double cutmix, mixup; // Beta(alpha, alpha); 0: off
    bool has_minmax;      // cutmix_minmax given: sides are drawn as shares of the image, alpha is 1
    double cutmix_minmax[2];
    double prob;        // of mixing at all: per batch, pair or element
    double switch_prob; // of CutMix where both are on
    vt_mix_mode mode;
    vt_mix_grid grid; // where CutMix's box lies: on pixels or on whole patches
    vt_mix_box box;   // exact (length round(g sqrt(1 - lam))) or official (timm's)
    bool correct_lam; // lambda from the clipped box instead of the drawn one
} vt_mix_config;

// The pictures and how the model cuts them into patches.
typedef struct vt_mix_shape {
    int channels, height, width; // px
    int patch;                   // px; divides both sides
} vt_mix_shape;

typedef struct vt_mixer vt_mixer; // a way of mixing: one file each, listed in mixer_registry.c

// How one sample is mixed.
typedef struct vt_mix_cut {
    const vt_mixer *mixer; // NULL: unmixed
    double lambda;         // share of the sample itself, by area (before correction: as drawn)
    int y0, y1, x0, x1;    // CutMix: the box that the partner fills, px, end exclusive
} vt_mix_cut;

struct vt_mixer {
    const char *name;
    // Its Beta parameter under a config; 0: not in use.
    double (*alpha)(const vt_mix_config *config);
    bool cuts; // chosen with switch_prob against the one that does not
    // Fills a cut whose lambda was drawn from Beta(alpha, alpha); may correct lambda.
    void (*draw)(vt_mix_cut *cut, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng);
    // out = a mixed with b; all (channels, height, width); out may be a.
    void (*apply)(vt_real *out, const vt_real *a, const vt_real *b, const vt_mix_cut *cut,
                  const vt_mix_shape *shape);
    // share: (N) out, the share of the sample itself in each patch, row-major.
    void (*share)(vt_real *share, const vt_mix_cut *cut, const vt_mix_shape *shape);
};

typedef struct vt_mix_plan {
    int B, N;         // samples in use, patches
    bool mixed;       // false: no sample is mixed, the rest still holds (lambda 1, share 1)
    int32_t *partner; // (B); itself if unmixed
    vt_real *lambda;  // (B) share of the sample's own label by area
    vt_real *share;   // (B,N) share of the sample's own label in each patch
    vt_mix_cut *cuts; // (B)
} vt_mix_plan;

// Places a plan for up to B samples.
void vt_mix_plan_place(vt_mix_plan *plan, vt_arena *arena, int B, int N);

// Draws the plan of one micro-batch of B samples. config NULL: nothing is mixed.
void vt_mix_draw(vt_mix_plan *plan, int B, const vt_mix_config *config, const vt_mix_shape *shape,
                 vt_rng *rng);

// Mixes images: (B, channels, height, width) in place. scratch: (channels, height, width) a thread.
void vt_mix_apply(vt_real *images, const vt_mix_plan *plan, const vt_mix_shape *shape,
                  vt_real *scratch);

// The registry, ended by NULL.
extern const vt_mixer *const vt_mixers[];

#endif
