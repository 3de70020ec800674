// Pictures that tests make up.
#ifndef VITRAIN_TESTS_PICTURES_H
#define VITRAIN_TESTS_PICTURES_H

#include "vitrain/data/augment.h"

// Noise given by a formula; scripts/golden_resample.py makes the same. The caller frees it.
vt_image picture(int channels, int width, int height);
// Slopes with steps and some grain, each channel in a range of its own; made by
// scripts/golden_augment.py too. The caller frees it.
vt_image scene(int channels, int width, int height);

// Random crops of side x side px, half of them flipped; pixels from 0 to 1.
vt_augment_config small_crops(int side);

uint32_t picture_crc(const vt_image *image); // CRC-32 of the pixels

#endif
