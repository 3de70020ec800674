// torchvision's adjust_hue on PIL images: Pillow's convert("HSV"), the byte of the hue moved round
// the circle, and back. Both ways are Convert.c's, a mixture of float and double arithmetic that
// has to be kept: hue, saturation and value are bytes in between, so that even a shift by nothing
// changes colours.
#include "vitrain/data/augment_ops.h"

enum { SECTORS = 6 };

typedef struct hsv {
    unsigned char hue, saturation, value;
} hsv;

static unsigned char clip8(int v)
{
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static hsv hsv_of(const unsigned char *rgb)
{
    const unsigned char r = rgb[0], g = rgb[1], b = rgb[2];
    const unsigned char more = r > g ? r : g, most = more > b ? more : b;
    const unsigned char less = r < g ? r : g, least = less < b ? less : b;
    if (least == most) return (hsv){.value = most};
    const float range = (float)(most - least), saturation = range / (float)most;
    const float from_r = (float)(most - r) / range, from_g = (float)(most - g) / range,
                from_b = (float)(most - b) / range;
    float hue; // in sectors, from red
    if (r == most)
        hue = from_b - from_g;
    else if (g == most)
        hue = (float)(2.0 + (double)from_r - (double)from_b);
    else
        hue = (float)(4.0 + (double)from_g - (double)from_r);
    double turns = (double)hue / SECTORS + 1.0; // from 5/6 to 11/6
    turns = turns >= 1 ? turns - 1 : turns;
    return (hsv){.hue = clip8((int)((double)(float)turns * 255.0)),
                 .saturation = clip8((int)((double)saturation * 255.0)),
                 .value = most};
}

// v >= 0.
static unsigned char nearest(double v)
{
    return clip8((int)(v + 0.5));
}

static void put_rgb(unsigned char *rgb, hsv c)
{
    if (c.saturation == 0) {
        rgb[0] = rgb[1] = rgb[2] = c.value;
        return;
    }
    const int sector = (int)((double)c.hue * SECTORS / 255.0);
    const float within = (float)((double)c.hue * SECTORS / 255.0 - (double)sector);
    const double v = c.value, s = (double)(float)(c.saturation / 255.0), f = (double)within;
    const unsigned char p = nearest(v * (1.0 - s));
    const unsigned char q = nearest(v * (1.0 - s * f));
    const unsigned char t = nearest(v * (1.0 - s * (1.0 - f)));
    const unsigned char by_sector[SECTORS][3] = {{c.value, t, p}, {q, c.value, p}, {p, c.value, t},
                                                 {p, q, c.value}, {t, p, c.value}, {c.value, p, q}};
    for (int i = 0; i < 3; i++) rgb[i] = by_sector[sector % SECTORS][i];
}

void vt_image_shift_hue(vt_image *image, double turn)
{
    if (image->channels == 1) return;                             // a grey picture has no hue
    const unsigned char shift = (unsigned char)(int)(turn * 255); // cut off, negative ones wrap
    unsigned char *p = image->pixels;
    for (size_t n = (size_t)image->width * (size_t)image->height; n > 0; n--, p += 3) {
        hsv c = hsv_of(p);
        c.hue = (unsigned char)(c.hue + shift);
        put_rgb(p, c);
    }
}
