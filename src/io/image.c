// Pictures, whatever their format; see the header.
#include "vitrain/io/image.h"

#include "image_codec.h"
#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

static const vt_image_codec *const codecs[] = {&vt_image_jpeg, &vt_image_png};

// ---- memory ----

vt_status vt_image_reserve(vt_image *image, int width, int height, int channels)
{
    assert(width > 0 && height > 0 && channels > 0);
    size_t bytes;
    VT_REQUIRE(vt_size_mul((size_t)width, (size_t)height, &bytes) &&
                   vt_size_mul(bytes, (size_t)channels, &bytes),
               VT_ERR_MEMORY, "a picture of %dx%d pixels exceeds the address space", width, height);
    if (bytes > image->capacity) {
        vt_image_free(image); // nothing in it is worth a copy
        image->pixels = malloc(bytes);
        VT_REQUIRE(image->pixels, VT_ERR_MEMORY, "out of memory for a picture of %dx%d pixels",
                   width, height);
        image->capacity = bytes;
    }
    image->width = width;
    image->height = height;
    image->channels = channels;
    return VT_OK;
}

void vt_image_free(vt_image *image)
{
    free(image->pixels);
    *image = (vt_image){0};
}

// ---- reading ----

vt_status vt_image_take_size(vt_image_reader *reader, uint32_t width, uint32_t height,
                             int64_t max_pixels, size_t bytes, int pixels_per_byte)
{
    VT_REQUIRE(width <= INT_MAX && height <= INT_MAX &&
                   (uint64_t)width * height <= (uint64_t)max_pixels,
               VT_ERR_FORMAT, "%s: %ux%u pixels, expected at most %lld in all", reader->name, width,
               height, (long long)max_pixels);
    VT_REQUIRE((uint64_t)width * height / (uint64_t)pixels_per_byte <= bytes, VT_ERR_FORMAT,
               "%s: truncated: %ux%u pixels do not fit in %zu bytes", reader->name, width, height,
               bytes);
    reader->width = (int)width;
    reader->height = (int)height;
    return VT_OK;
}

vt_status vt_image_open(vt_image_reader *reader, const unsigned char *data, size_t bytes,
                        int64_t max_pixels, const char *name)
{
    *reader = (vt_image_reader){.name = name};
    VT_REQUIRE(bytes > 0, VT_ERR_FORMAT, "%s: empty file, expected a picture", name);
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs && !reader->codec; i++) {
        if (codecs[i]->recognise(data, bytes)) reader->codec = codecs[i];
    }
    VT_REQUIRE(reader->codec, VT_ERR_FORMAT, "%s: neither a PNG nor a JPEG", name);
    vt_status status = reader->codec->open(reader, data, bytes, max_pixels);
    if (status != VT_OK) vt_image_close(reader);
    return status;
}

void vt_image_close(vt_image_reader *reader)
{
    if (reader->codec) reader->codec->close(reader);
    *reader = (vt_image_reader){0};
}

int vt_image_shrink(const vt_image_reader *reader, int most)
{
    int shrink = 1;
    while (2 * shrink <= most && 2 * shrink <= reader->codec->most_shrink) shrink *= 2;
    return shrink;
}

vt_status vt_image_decode_shrunk(vt_image_reader *reader, vt_image *image, const int box[4],
                                 int shrink)
{
    assert(0 <= box[0] && 0 < box[2] && box[2] <= (reader->width - 1) / shrink + 1 - box[0]);
    assert(0 <= box[1] && 0 < box[3] && box[3] <= (reader->height - 1) / shrink + 1 - box[1]);
    VT_TRY(vt_image_reserve(image, box[2], box[3], 3));
    return reader->codec->decode(reader, image, box, shrink);
}

vt_status vt_image_decode_part(vt_image_reader *reader, vt_image *image, const int box[4])
{
    return vt_image_decode_shrunk(reader, image, box, 1);
}

vt_status vt_image_decode(vt_image *image, const unsigned char *data, size_t bytes,
                          int64_t max_pixels, const char *name)
{
    vt_image_reader reader;
    VT_TRY(vt_image_open(&reader, data, bytes, max_pixels, name));
    const int whole[4] = {0, 0, reader.width, reader.height};
    vt_status status = vt_image_decode_part(&reader, image, whole);
    vt_image_close(&reader);
    return status;
}

vt_status vt_image_read(vt_image *image, const char *path, int64_t max_pixels)
{
    unsigned char *data;
    size_t bytes;
    VT_TRY(vt_file_read(&data, &bytes, path, VT_IMAGE_MAX_BYTES));
    vt_status status = vt_image_decode(image, data, bytes, max_pixels, path);
    free(data);
    return status;
}
