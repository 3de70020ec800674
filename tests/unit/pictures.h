// Pictures that tests make up.
#ifndef VITRAIN_TESTS_PICTURES_H
#define VITRAIN_TESTS_PICTURES_H

#include "vitrain/io/image.h"

// Noise given by a formula; scripts/golden_resample.py makes the same. The caller frees it.
vt_image picture(int channels, int width, int height);
// Slopes with steps and some grain, each channel in a range of its own; made by
// scripts/golden_augment.py too. The caller frees it.
vt_image scene(int channels, int width, int height);

uint32_t picture_crc(const vt_image *image); // CRC-32 of the pixels

#endif
