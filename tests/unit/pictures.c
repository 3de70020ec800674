// See the header.
#include "pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

vt_image picture(int channels, int width, int height)
{
    vt_image image = {0};
    assert_int_equal(vt_image_reserve(&image, width, height, channels), VT_OK);
    unsigned char *p = image.pixels;
    for (uint32_t y = 0; y < (uint32_t)height; y++) {
        for (uint32_t x = 0; x < (uint32_t)width; x++) {
            for (uint32_t c = 0; c < (uint32_t)channels; c++) {
                uint32_t h = x * 73856093u ^ y * 19349663u ^ c * 83492791u;
                *p++ = (unsigned char)(h * 2654435761u >> 24);
            }
        }
    }
    return image;
}

vt_image scene(int channels, int width, int height)
{
    vt_image image = picture(channels, width, height);
    unsigned char *p = image.pixels;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < channels; c++, p++) {
                int slope = (x * (5 + c) + y * (7 - 2 * c)) / 16 % 97;
                *p = (unsigned char)(40 + 30 * c + slope + (*p >> 5));
            }
        }
    }
    return image;
}

vt_augment_config small_crops(int side)
{
    return (vt_augment_config){
        .channels = 3,
        .height = side,
        .width = side,
        .crop = VT_CROP_RRC,
        .scale = {0.08, 1},
        .ratio = {0.75, 4.0 / 3},
        .flip = 0.5,
        .crop_pct = 0.875,
        .filter = VT_FILTER_BICUBIC,
        .std = {1, 1, 1},
    };
}

uint32_t picture_crc(const vt_image *image)
{
    size_t bytes = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    return (uint32_t)crc32(0, image->pixels, (uInt)bytes);
}
