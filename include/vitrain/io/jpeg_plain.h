// The plain kind of JPEG, decoded without libjpeg: one baseline scan, Huffman-coded, 8 bits, grey
// or YCbCr with all components of the same size, no restart markers, an end marker right behind the
// scan. Most of ImageNet is of this kind. The bytes are libjpeg's (its accurate integer transform).
//
// Whatever is out of the ordinary is not judged here but refused, for libjpeg to judge: invalid
// codes, data that ends early, other markers, coefficients that no picture has.
#ifndef VITRAIN_IO_JPEG_PLAIN_H
#define VITRAIN_IO_JPEG_PLAIN_H

#include "vitrain/io/image.h"

#include <stdbool.h>

enum { VT_JPEG_MOST_COMPONENTS = 3, VT_JPEG_BLOCK = 8 }; // a block is 8 x 8 px

// As a JPEG writes it: symbols in the order of their codes, counts[l] of them have l bits.
typedef struct vt_jpeg_code {
    const uint8_t *counts;  // (17)
    const uint8_t *symbols; // (256)
} vt_jpeg_code;

typedef struct vt_jpeg_component {
    const uint16_t *quantizer; // (64) row by row
    vt_jpeg_code dc, ac;
} vt_jpeg_component;

typedef struct vt_jpeg_scan {
    int width, height; // px
    int components;    // 1: grey; 3: YCbCr
    vt_jpeg_component component[VT_JPEG_MOST_COMPONENTS];
    const unsigned char *data; // what follows the scan's header, up to the end of the file
    size_t bytes;
} vt_jpeg_scan;

// image: of the box's size, RGB; box: left, top, width, height. False: not of the plain kind (or
// out of memory), and `image` holds anything.
bool vt_jpeg_decode_plain(vt_image *image, const vt_jpeg_scan *scan, const int box[4]);

// ---- its parts ----

// out: 8 x 8 samples, rows `stride` bytes apart = the inverse transform of a block, +128, clipped.
// block: (64) row by row, each within +-VT_JPEG_MOST_COEFFICIENT. sparse: nothing but zeros outside
// the upper left 4 x 4. False: out of the range in which every implementation agrees.
enum { VT_JPEG_MOST_COEFFICIENT = 8191 };
bool vt_jpeg_inverse_dct(unsigned char *out, size_t stride, const int32_t *block, bool sparse);

// rgb: (n, 3) = samples of n pixels.
void vt_jpeg_rgb_from_ycc(unsigned char *rgb, const unsigned char *y, const unsigned char *cb,
                          const unsigned char *cr, int n);

#endif
