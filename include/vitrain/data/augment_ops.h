// The operations of RandAugment, of colour jitter and of three-augment on pictures of bytes, bit
// for bit as Pillow computes them (ImageOps, ImageEnhance, Image.transform, Image.rotate,
// GaussianBlur and convert("HSV") of Pillow 9.4; double and float arithmetic in its order).
// scripts/golden_augment.py writes what Pillow makes of test pictures.
#ifndef VITRAIN_DATA_AUGMENT_OPS_H
#define VITRAIN_DATA_AUGMENT_OPS_H

#include "vitrain/data/resample.h"

// First those of RandAugment, in the order of timm's list. In brackets what the argument is.
typedef enum vt_image_op {
    VT_OP_AUTO_CONTRAST,               // stretches each channel to 0..255
    VT_OP_EQUALIZE,                    // flattens each channel's histogram
    VT_OP_INVERT,                      // 255 - v
    VT_OP_ROTATE,                      // [degrees, counter-clockwise]
    VT_OP_POSTERIZE,                   // keeps [bits, 0 to 8] high bits of v
    VT_OP_SOLARIZE,                    // inverts v >= [threshold, 0 to 256]
    VT_OP_SOLARIZE_ADD,                // min(255, v + [0 to 255]) for v < 128
    VT_OP_COLOR,                       // the next four: [factor] 1 changes nothing; 0: grey
    VT_OP_CONTRAST,                    // 0: the mean luma everywhere
    VT_OP_BRIGHTNESS,                  // 0: black
    VT_OP_SHARPNESS,                   // 0: smoothed (3 x 3)
    VT_OP_SHEAR_X,                     // x + [factor] y
    VT_OP_SHEAR_Y,                     // y + [factor] x
    VT_OP_TRANSLATE_X,                 // x + [share of the width]
    VT_OP_TRANSLATE_Y,                 // y + [share of the height]
    VT_RAND_OPS,                       // RandAugment's end here
    VT_OP_GAUSSIAN_BLUR = VT_RAND_OPS, // [radius: the deviation, 0 to 100 px]
    VT_OP_HUE,                         // turns the hue [turns, -1/2 to 1/2]
    VT_IMAGE_OPS,
} vt_image_op;

extern const char *const vt_image_op_names[VT_IMAGE_OPS]; // timm's, Pillow's: "AutoContrast" ...

// One operation to be done. filter: for those that move pixels.
typedef struct vt_op_call {
    vt_image_op op;
    double argument;
    vt_filter filter;
} vt_op_call;

// Work memory that grows to the largest picture seen and is then reused.
typedef struct vt_op_scratch {
    vt_image spare, padded;
} vt_op_scratch;

// Applies a call to a picture of 1 or 3 channels, in place (its memory may change places with the
// scratch's). fill: (channels) what moved pixels leave behind. VT_ERR_MEMORY.
vt_status vt_image_apply(vt_image *image, const vt_op_call *call, const unsigned char *fill,
                         vt_op_scratch *scratch);
void vt_op_scratch_free(vt_op_scratch *scratch);

// torchvision's adjust_hue: a hue is one of 256 steps round the circle. Greys stay.
void vt_image_shift_hue(vt_image *image, double turn);

// Image.transform(AFFINE): to(x, y) = from(m0 x + m1 y + m2, m3 x + m4 y + m5) at pixels' centres,
// `fill` where that lies outside. to: out, of from's size; must not be `from`. padded: scratch.
vt_status vt_image_warp(vt_image *to, const vt_image *from, const double matrix[6],
                        vt_filter filter, const unsigned char *fill, vt_image *padded);

// ImageFilter.GaussianBlur(radius). to: out, must not be `from`, which is changed. line: scratch.
vt_status vt_image_blur(vt_image *to, vt_image *from, double radius, vt_image *line);

// Pillow's convert("L"): ITU-R 601-2 luma in 16-bit fixed point.
static inline unsigned char vt_luma(const unsigned char *rgb)
{
    return (unsigned char)((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 0x8000) >> 16);
}

#endif
