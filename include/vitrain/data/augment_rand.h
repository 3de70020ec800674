// RandAugment (Cubuk et al., arXiv 1909.13719) as timm 0.4.12 has it, the version behind DeiT's
// results: N operations out of 15, drawn with replacement, each applied with probability 1/2, at a
// magnitude from 0 to 10 that may be drawn from a normal distribution around M. And torchvision's
// colour jitter, which timm uses in its place where there is no policy. Both say which calls to
// make; vt_image_apply makes them.
#ifndef VITRAIN_DATA_AUGMENT_RAND_H
#define VITRAIN_DATA_AUGMENT_RAND_H

#include "vitrain/base/rng.h"
#include "vitrain/data/augment_ops.h"

#include <stdbool.h>

enum { VT_MOST_OP_CALLS = 16 };

typedef struct vt_rand_augment {
    char policy[64];    // as it was given; "" (a zeroed one): off
    int operations;     // n: how many an image, up to VT_MOST_OP_CALLS
    double magnitude;   // m: more than 10 counts as 10
    double deviation;   // mstd: of the magnitude
    double probability; // p: of each operation
    bool increasing;    // inc1: all operations grow stronger with the magnitude
    bool weighted;      // w0: some are likelier, and none comes twice
} vt_rand_augment;

// Reads timm's policy string: "rand", then sections of a key and a number in any order,
// "rand-m9-mstd0.5-inc1". Keys and defaults: m (10), n (2), mstd (0), inc1, w0, and p (0.5), which
// later versions of timm have. Stricter than timm, which skips what it does not understand and
// takes inc0 for inc1. VT_ERR_CONFIG names the section.
vt_status vt_rand_augment_parse(vt_rand_augment *out, const char *policy);

// Draws the calls for one image; returns their number. filters: which one operations that move
// pixels use, one of the two at random. calls: (VT_MOST_OP_CALLS) out.
int vt_rand_augment_draw(vt_op_call *calls, const vt_rand_augment *policy,
                         const vt_filter filters[2], vt_rng *rng);

// Those of brightness, contrast, saturation and hue whose strength is not 0, in random order; the
// first three by a factor from [max(0, 1 - strength), 1 + strength], the hue by up to `strength`
// turns either way. Returns their number. calls: (VT_MOST_OP_CALLS) out.
enum { VT_JITTERS = 4 };
int vt_color_jitter_draw(vt_op_call *calls, const double strength[VT_JITTERS], vt_rng *rng);

// DeiT III's three-augment (Touvron et al., arXiv 2204.07118, section 3.3; augment.py): one of
// grey, solarized from 128 on, or blurred with a deviation from 0.1 to 2 px, all as likely.
vt_op_call vt_three_augment_draw(vt_rng *rng);

// One of the two; draws nothing where they are the same.
vt_filter vt_filter_draw(const vt_filter filters[2], vt_rng *rng);

#endif
