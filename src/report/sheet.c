// See the header.
#include "vitrain/report/sheet.h"

#include "vitrain/report/colormap.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { GAP_PX = 8, MOST_COLUMNS = 8 };
static const double OPACITY = 0.72; // of the map's colours

// Rows as even as can be: nine panels are five and four.
static int columns_of(int panels)
{
    const int rows = (panels + MOST_COLUMNS - 1) / MOST_COLUMNS;
    return (panels + rows - 1) / rows;
}

vt_status vt_sheet_begin(vt_sheet *s, int panels, int width, int height)
{
    const int columns = columns_of(panels), rows = (panels + columns - 1) / columns;
    VT_TRY(vt_image_reserve(&s->image, columns * (width + GAP_PX) + GAP_PX,
                            rows * (height + GAP_PX) + GAP_PX, 3));
    memset(s->image.pixels, 255, (size_t)s->image.width * (size_t)s->image.height * 3);
    s->columns = columns;
    s->width = width;
    s->height = height;
    s->next = 0;
    return VT_OK;
}

void vt_sheet_add(vt_sheet *s, const vt_image *picture)
{
    assert(picture->width == s->width && picture->height == s->height && picture->channels == 3);
    const size_t left = (size_t)(GAP_PX + s->next % s->columns * (s->width + GAP_PX)),
                 top = (size_t)(GAP_PX + s->next / s->columns * (s->height + GAP_PX)),
                 row = (size_t)s->width * 3;
    for (size_t y = 0; y < (size_t)s->height; y++)
        memcpy(s->image.pixels + ((top + y) * (size_t)s->image.width + left) * 3,
               picture->pixels + y * row, row);
    s->next++;
}

void vt_sheet_free(vt_sheet *s)
{
    vt_image_free(&s->image);
}

void vt_map_overlay_free(vt_map_overlay *o)
{
    vt_image_free(&o->values);
    vt_image_free(&o->grown);
    vt_resample_free(&o->scratch);
}

// The map as bytes over the whole range.
static vt_status scale_values(vt_image *values, const vt_real *map, int grid_h, int grid_w)
{
    const int n = grid_h * grid_w;
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        low = fmin(low, (double)map[i]);
        high = fmax(high, (double)map[i]);
    }
    VT_TRY(vt_image_reserve(values, grid_w, grid_h, 1));
    for (int i = 0; i < n; i++) {
        const double v = high > low ? ((double)map[i] - low) / (high - low) : 0;
        values->pixels[i] = (unsigned char)(v > 0 ? lrint(255 * v) : 0); // 0 where not a number
    }
    return VT_OK;
}

vt_status vt_map_overlay_draw(vt_map_overlay *o, vt_image *to, const vt_image *picture,
                              const vt_real *map, int grid_h, int grid_w)
{
    const int width = picture->width, height = picture->height;
    const double whole[4] = {0, 0, grid_w, grid_h};
    VT_TRY(scale_values(&o->values, map, grid_h, grid_w));
    VT_TRY(vt_resample(&o->grown, &o->values, whole, width, height, NULL, VT_FILTER_BILINEAR,
                       &o->scratch));
    VT_TRY(vt_image_reserve(to, width, height, 3));
    unsigned char colours[256][3];
    for (int i = 0; i < 256; i++) vt_colormap(colours[i], i / 255.0);
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++) {
        const unsigned char *rgb = picture->pixels + 3 * i, *colour = colours[o->grown.pixels[i]];
        const double grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        for (int c = 0; c < 3; c++)
            to->pixels[3 * i + (size_t)c] =
                (unsigned char)lrint(OPACITY * colour[c] + (1 - OPACITY) * grey);
    }
    return VT_OK;
}

vt_status vt_enlarge(vt_image *to, const vt_image *from, int side_px)
{
    const int shorter = from->width < from->height ? from->width : from->height;
    const int times = shorter >= side_px ? 1 : (side_px + shorter - 1) / shorter;
    VT_TRY(vt_image_reserve(to, times * from->width, times * from->height, from->channels));
    const size_t channels = (size_t)from->channels;
    for (int y = 0; y < to->height; y++)
        for (int x = 0; x < to->width; x++)
            memcpy(to->pixels + ((size_t)y * (size_t)to->width + (size_t)x) * channels,
                   from->pixels +
                       ((size_t)(y / times) * (size_t)from->width + (size_t)(x / times)) * channels,
                   channels);
    return VT_OK;
}
