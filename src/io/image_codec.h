// Inside of the reading of pictures: what a format is. A member is one file and a line in image.c.
#ifndef VITRAIN_IO_IMAGE_CODEC_H
#define VITRAIN_IO_IMAGE_CODEC_H

#include "vitrain/io/image.h"

#include <stdbool.h>

typedef struct vt_image_codec {
    bool (*recognise)(const unsigned char *data, size_t bytes);
    // Reads the header: width and height, at most max_pixels of them, and `state`, which close()
    // releases also after an error.
    vt_status (*open)(vt_image_reader *reader, const unsigned char *data, size_t bytes,
                      int64_t max_pixels);
    // See vt_image_decode_part; `image` is of the box's size.
    vt_status (*decode)(vt_image_reader *reader, vt_image *image, const int box[4], int shrink);
    void (*close)(vt_image_reader *reader);
    int most_shrink; // 1: none
} vt_image_codec;

extern const vt_image_codec vt_image_jpeg, vt_image_png;

// Takes over a header's size; VT_ERR_FORMAT if that is too many pixels, or more than a file of
// `bytes` bytes can hold at pixels_per_byte.
vt_status vt_image_take_size(vt_image_reader *reader, uint32_t width, uint32_t height,
                             int64_t max_pixels, size_t bytes, int pixels_per_byte);

static inline unsigned char *vt_image_row(const vt_image *image, int y)
{
    return image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels;
}

#endif
