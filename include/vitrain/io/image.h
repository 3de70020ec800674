// Pictures as bytes. image.c is the only caller of libpng and libjpeg. The content decides the
// format, not the name. Pixels are those of PIL.Image.open(f).convert("RGB"): alpha dropped,
// palettes and greys expanded, 16-bit grey clipped to 255 (Pillow's conversion of its integer
// modes), every other 16-bit sample cut to its high byte, JPEG decoded by the same library with its
// default (islow) transform, CMYK taken as Adobe's inverted one, EXIF orientation left alone. In
// one thing it reads more than Pillow: a baseline JPEG of one scan that lacks only its end marker
// is kept.
#ifndef VITRAIN_IO_IMAGE_H
#define VITRAIN_IO_IMAGE_H

#include "vitrain/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct vt_image {
    int width, height;     // px
    int channels;          // 3 (RGB; all that is decoded here), or 1 (grey)
    unsigned char *pixels; // (height, width, channels); malloc'd
    size_t capacity;       // bytes at pixels; decoding into an image reuses its memory
} vt_image;

// Decodes `bytes` bytes. VT_ERR_FORMAT (empty, truncated, corrupt, unknown format, more than
// max_pixels pixels: decided from the header before anything is allocated) or VT_ERR_MEMORY.
// `name` is what messages call the picture.
vt_status vt_image_decode(vt_image *image, const unsigned char *data, size_t bytes,
                          int64_t max_pixels, const char *name);
vt_status vt_image_read(vt_image *image, const char *path, int64_t max_pixels);
vt_status vt_image_write_png(const char *path, const vt_image *image);            // atomically
vt_status vt_image_reserve(vt_image *image, int width, int height, int channels); // sizes, grows
void vt_image_free(vt_image *image); // takes a zeroed one

#endif
