// Pictures as bytes. image_png.c is the only caller of libpng, image_jpeg.c that of libjpeg. The
// content decides the format, not the name. Pixels are those of PIL.Image.open(f).convert("RGB"):
// alpha dropped, palettes and greys expanded, 16-bit grey clipped to 255 (Pillow's conversion of
// its integer modes), every other 16-bit sample cut to its high byte, JPEG as the same library
// decodes it with its default (islow) transform, CMYK taken as Adobe's inverted one, EXIF
// orientation left alone. In one thing it reads more than Pillow: a JPEG that lacks only its end
// marker is kept, where it can be known that nothing else is missing (one scan, or a progressive
// one).
#ifndef VITRAIN_IO_IMAGE_H
#define VITRAIN_IO_IMAGE_H

#include "vitrain/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define VT_IMAGE_MAX_BYTES ((size_t)1 << 30) // of a file: no sane picture is larger

typedef struct vt_image {
    int width, height;     // px
    int channels;          // 3 (RGB; all that is decoded here), or 1 (grey)
    unsigned char *pixels; // (height, width, channels); malloc'd
    size_t capacity;       // bytes at pixels; decoding into an image reuses its memory
} vt_image;

// Decodes `bytes` bytes. VT_ERR_FORMAT (empty, truncated, corrupt, unknown format, more than
// max_pixels pixels or more than the bytes can hold: decided from the header before anything of
// that size is allocated) or VT_ERR_MEMORY. `name` is what messages call the picture.
vt_status vt_image_decode(vt_image *image, const unsigned char *data, size_t bytes,
                          int64_t max_pixels, const char *name);
// The same of a file, of VT_IMAGE_MAX_BYTES at most; also VT_ERR_IO.
vt_status vt_image_read(vt_image *image, const char *path, int64_t max_pixels);
// Atomically. VT_ERR_IO, VT_ERR_MEMORY.
vt_status vt_image_write_png(const char *path, const vt_image *image);
// The same file in memory; malloc'd. VT_ERR_MEMORY.
vt_status vt_image_encode_png(unsigned char **out, size_t *bytes, const vt_image *image);
// Sizes an image; its memory grows if need be, and what was in it is lost then. VT_ERR_MEMORY.
vt_status vt_image_reserve(vt_image *image, int width, int height, int channels);
void vt_image_free(vt_image *image); // takes a zeroed one

// ---- in two steps: the header, then as much of the picture as is wanted ----

// A picture whose header has been read. `data` and `name` are borrowed until it is closed.
typedef struct vt_image_reader {
    int width, height; // of the whole picture, px
    const char *name;
    const struct vt_image_codec *codec;
    void *state;
} vt_image_reader;

// Errors as vt_image_decode; after one there is nothing to close.
vt_status vt_image_open(vt_image_reader *reader, const unsigned char *data, size_t bytes,
                        int64_t max_pixels, const char *name);
void vt_image_close(vt_image_reader *reader); // takes a zeroed or closed one

// Decodes the part box (left, top, width, height), once for each opening: the same bytes as that
// part of the whole picture, and a truncated file is refused whichever part is asked for. Of a JPEG
// of one scan no row below the box is decoded, and little of what lies above and beside it.
// VT_ERR_FORMAT, VT_ERR_MEMORY.
vt_status vt_image_decode_part(vt_image_reader *reader, vt_image *image, const int box[4]);

// The same of the picture at 1/shrink of its size, ceil(width / shrink) x ceil(height / shrink) px,
// which is what `box` refers to. shrink is 1 or what vt_image_shrink returned. JPEG: libjpeg's
// scaled transform, close to the mean over shrink x shrink px.
vt_status vt_image_decode_shrunk(vt_image_reader *reader, vt_image *image, const int box[4],
                                 int shrink);
// The largest shrink the format knows that is not above `most`: 1, 2, 4 or 8 for JPEG, 1 for PNG.
int vt_image_shrink(const vt_image_reader *reader, int most);

#endif
