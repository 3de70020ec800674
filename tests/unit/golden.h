// Golden files: what scripts/golden_models.py wrote into tests/golden. Everything here fails the
// test on an error.
#ifndef VITRAIN_TESTS_GOLDEN_H
#define VITRAIN_TESTS_GOLDEN_H

#include "rig.h"

#include "vitrain/io/safetensors.h"
#include "vitrain/train/optim.h"

vt_st_file *vt_golden_open(const char *name); // "vit"; close with vt_st_close

double vt_golden_number(const vt_st_file *file, const char *key);
vt_model_config vt_golden_model(const vt_st_file *file);
vt_optim_config vt_golden_optim(const vt_st_file *file, const char *kind); // "adamw" ...

// A tensor of n elements: F32 as vt_real, I64 as int32_t.
void vt_golden_reals(const vt_st_file *file, const char *name, vt_real *out, size_t n);
void vt_golden_ints(const vt_st_file *file, const char *name, int32_t *out, size_t n);

// Sets the rig's plan: `partner` from the file, the shares from mask: (B,N), share of the partner.
void vt_golden_plan(vt_rig *rig, const vt_st_file *file, const vt_real *mask);

#endif
