// From a decoded picture to the network's input, in timm's order: crop and resize, flip,
// three-augment, RandAugment or colour jitter, to (channels, height, width) real numbers,
// (v / 255 - mean) / std, random erasing. Random numbers come from the rng given, so the result is
// a function of (picture, config, rng's place).
#ifndef VITRAIN_DATA_AUGMENT_H
#define VITRAIN_DATA_AUGMENT_H

#include "vitrain/base/real.h"
#include "vitrain/base/rng.h"
#include "vitrain/data/augment_erase.h"
#include "vitrain/data/augment_rand.h"
#include "vitrain/data/resample.h"

typedef enum vt_crop {
    VT_CROP_RRC,    // torchvision's RandomResizedCrop (timm's RandomResizedCropAndInterpolation)
    VT_CROP_PAD,    // resize to the input's size if needed, zero-pad, crop at a random place
    VT_CROP_NONE,   // resize to the input's size
    VT_CROP_SIMPLE, // DeiT III's simple random crop: resize until the picture just covers the
                    // input, its aspect kept, pad by reflection, crop at a random place
} vt_crop;

typedef enum vt_decode {
    VT_DECODE_EXACT, // Pillow's pixels
    VT_DECODE_FAST,  // training crops at least twice as large as the input (4, 8 times) are shrunk
                     // by 2 (4, 8) while a JPEG is decoded; the rest is left to the filter
} vt_decode;

typedef enum vt_train_filter {
    VT_TRAIN_FILTER_SAME, // as in evaluation
    VT_TRAIN_FILTER_BILINEAR,
    VT_TRAIN_FILTER_BICUBIC,
    VT_TRAIN_FILTER_RANDOM, // one of the two each time
} vt_train_filter;

typedef struct vt_augment_config {
    int channels, height, width; // of the network's input; channels 1 or 3
    // training
    vt_crop crop;
    double scale[2], ratio[2]; // rrc: area share, aspect
    int pad;                   // pad, simple: px on each side
    double flip;               // probability of a horizontal flip
    vt_decode decode;
    vt_train_filter interpolation;
    vt_rand_augment aa;
    bool three_augment; // vt_three_augment_draw, before aa or color_jitter
    // strengths of brightness, contrast, saturation and hue; nothing where there is a policy
    double color_jitter[VT_JITTERS];
    vt_erase_config erase;
    // evaluation: both sides of the input divided by crop_pct and rounded down are the frame; the
    // picture is resized, its aspect kept, to the smallest size that fills the frame, then cropped
    // in the middle. For a square input that is: resize the shorter side to floor(side / crop_pct).
    double crop_pct;
    // both
    vt_filter filter;
    double mean[3], std[3];
} vt_augment_config;

// What a sample's time goes to.
typedef enum vt_stage {
    VT_STAGE_READ,
    VT_STAGE_DECODE,
    VT_STAGE_RESIZE, // and crop
    VT_STAGE_POLICY, // what is done to the resized pixels
    VT_STAGE_NORMALISE,
    VT_STAGES
} vt_stage;
extern const char *const vt_stage_names[VT_STAGES];

// A worker's memory for the steps between, and its clock.
typedef struct vt_augment_scratch {
    vt_image decoded, region, resized, framed;
    vt_resample_scratch resample;
    vt_op_scratch ops;
    double since_s;            // when the stage at hand began
    double stage_s[VT_STAGES]; // time spent so far
} vt_augment_scratch;

void vt_augment_scratch_free(vt_augment_scratch *scratch);
void vt_stage_begin(vt_augment_scratch *scratch);
void vt_stage_end(vt_augment_scratch *scratch, vt_stage stage); // the next one begins

// Where pixels come from.
typedef struct vt_pixels {
    const char *name;        // for messages; NULL: none
    const vt_image *image;   // all of them; or NULL, and
    vt_image_reader *reader; // what decodes as many as are needed
    int64_t max_pixels;      // of a picture resized as a whole
} vt_pixels;

// out: (channels, height, width). Grey pictures are replicated where the input has 3 channels;
// colour ones become grey by Pillow's "L" formula where it has 1. VT_ERR_MEMORY, or VT_ERR_FORMAT
// for a picture too thin to be resized.
vt_status vt_augment_train(vt_real *out, const vt_image *image, const vt_augment_config *config,
                           vt_rng *rng, vt_augment_scratch *scratch);
// torchvision's Resize(int) + CenterCrop + ToTensor + Normalize, bit for bit. Errors likewise.
vt_status vt_augment_eval(vt_real *out, const vt_image *image, const vt_augment_config *config,
                          vt_augment_scratch *scratch);

// The same of pixels that may not have been decoded yet; also the errors of vt_image_decode.
vt_status vt_augment_train_from(vt_real *out, const vt_pixels *from,
                                const vt_augment_config *config, vt_rng *rng,
                                vt_augment_scratch *scratch);
vt_status vt_augment_eval_from(vt_real *out, const vt_pixels *from, const vt_augment_config *config,
                               vt_augment_scratch *scratch);

// The box that RandomResizedCrop draws: ten tries of area and log-uniform aspect, then the
// fall-back to the largest centred crop within the ratios. box: left, top, width, height in px.
void vt_random_resized_crop(int box[4], int width, int height, const double scale[2],
                            const double ratio[2], vt_rng *rng);

// Undoes the normalisation for a picture of a network input; image: RGB out.
vt_status vt_augment_picture(vt_image *image, const vt_real *input,
                             const vt_augment_config *config);

#endif
