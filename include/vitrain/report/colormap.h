// A colour map for maps of attention: dark violet over red and orange to pale yellow.
#ifndef VITRAIN_REPORT_COLORMAP_H
#define VITRAIN_REPORT_COLORMAP_H

// value: 0..1, clamped; not finite counts as 0. rgb: sRGB out.
//
// Equal steps of value are equal steps of perceived lightness: the curve is drawn in OKLCh (B.
// Ottosson, "A perceptual color space for image processing", 2020), lightness from 0.13 to 0.97,
// hue from violet (295 degrees) over red to yellow (105 degrees) and chroma an arch between, so it
// reads the same in grey and for the colour-blind.
void vt_colormap(unsigned char rgb[3], double value);

#endif
