// Small models in stages (Swin) for tests.
#ifndef VITRAIN_TESTS_STAGED_H
#define VITRAIN_TESTS_STAGED_H

#include "rig.h"

enum { VT_STAGED_B = 3, VT_STAGED_K = 5 };

// A map of h x w patches of 4 px, `stages` stages of two blocks.
vt_model_config vt_staged_shape(int h, int w, int stages, int window);
// With two threads, random images and weights, and labels.
vt_rig *vt_staged_rig(const vt_model_config *config, const char *rule);

#endif
