// Random erasing (Zhong et al., arXiv 1708.04896) as timm 0.4.12 has it: on the normalised input,
// so that 0 is the mean colour and noise has the pixels' deviation.
#ifndef VITRAIN_DATA_AUGMENT_ERASE_H
#define VITRAIN_DATA_AUGMENT_ERASE_H

#include "vitrain/base/real.h"
#include "vitrain/base/rng.h"

#include <stdbool.h>

typedef enum vt_erase_mode {
    VT_ERASE_CONST, // 0
    VT_ERASE_RAND,  // a normal number for each channel of a box
    VT_ERASE_PIXEL, // a normal number for each value
} vt_erase_mode;

typedef struct vt_erase_config {
    double probability; // that anything is erased; 0 (a zeroed one): off
    vt_erase_mode mode;
    int count;                 // boxes: 1 to count of them, all as likely, sharing the area
    double area[2], aspect[2]; // share of the input's area; height / width, log-uniform
} vt_erase_config;

// Erases in place. input: (channels, height, width).
void vt_erase(vt_real *input, int channels, int height, int width, const vt_erase_config *config,
              vt_rng *rng);

// The box of one out of `count`: left, top, width, height in px. Ten tries; false if none gave one
// that is smaller than the input both ways.
bool vt_erase_box(int box[4], int height, int width, int count, const vt_erase_config *config,
                  vt_rng *rng);

#endif
