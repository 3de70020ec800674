// Resizing, bit for bit as Pillow's Image.resize with its antialiased filters (8-bit fixed point,
// horizontal pass first; Pillow's libImaging/Resample.c is the definition).
#ifndef VITRAIN_DATA_RESAMPLE_H
#define VITRAIN_DATA_RESAMPLE_H

#include "vitrain/io/image.h"

typedef enum vt_filter { VT_FILTER_BILINEAR, VT_FILTER_BICUBIC } vt_filter;

// Work memory that grows to the largest picture seen and is then reused.
typedef struct vt_resample_scratch {
    void *memory;
    size_t bytes;
} vt_resample_scratch;

// Image.resize((width, height), filter, box=(left, top, right, bottom)); the box, in source px, may
// be fractional; taps reach beyond it where the source has pixels. window: left, top, width, height
// of the part of the result that is computed (the rest costs nothing); NULL: all of it. to: the
// window out, must not be `from`. Pictures of 1 or 3 channels. VT_ERR_MEMORY, or VT_ERR_FORMAT for
// a picture so thin that its rows in between would fill a gigabyte.
vt_status vt_resample(vt_image *to, const vt_image *from, const double box[4], int width,
                      int height, const int window[4], vt_filter filter,
                      vt_resample_scratch *scratch);

// The same where a part of the source is all that is at hand.
typedef struct vt_resize {
    int from_width, from_height; // of the whole source, px
    double box[4];               // left, top, right, bottom, px
    int width, height;           // of the whole result, px
    int window[4];               // of the result what is computed: left, top, width, height
    vt_filter filter;
} vt_resize;

// part: left, top, width, height of what of the source is read, px out.
void vt_resize_reach(int part[4], const vt_resize *resize);
// from: the part `part` of the source, at least what vt_resize_reach says. Errors as vt_resample.
vt_status vt_resize_part(vt_image *to, const vt_image *from, const int part[4],
                         const vt_resize *resize, vt_resample_scratch *scratch);

// The size (width, height in px, out) at which a picture just covers the frame: one side becomes
// the frame's, the other one int(frame * other / side), as torchvision's Resize(int) computes it.
// VT_ERR_FORMAT: that is beyond max_pixels, or a side beyond an int.
vt_status vt_cover_size(int size[2], int width, int height, const int frame[2], int64_t max_pixels);

void vt_resample_free(vt_resample_scratch *scratch);

#endif
