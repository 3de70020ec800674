// OKLCh to sRGB; see the header.
#include "vitrain/report/colormap.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

static unsigned char encoded(double linear)
{
    const double v = linear <= 0 ? 0 : linear >= 1 ? 1 : linear;
    const double s = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    return (unsigned char)lrint(255 * s);
}

// Ottosson's matrices: OKLab to cone responses, their cubes to linear sRGB.
static void oklab_to_srgb(unsigned char rgb[3], double L, double a, double b)
{
    const double l = pow(L + 0.3963377774 * a + 0.2158037573 * b, 3),
                 m = pow(L - 0.1055613458 * a - 0.0638541728 * b, 3),
                 s = pow(L - 0.0894841775 * a - 1.2914855480 * b, 3);
    rgb[0] = encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    rgb[1] = encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    rgb[2] = encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

void vt_colormap(unsigned char rgb[3], double value)
{
    const double v = !(value > 0) ? 0 : value > 1 ? 1 : value;
    const double lightness = 0.13 + 0.84 * v;
    const double hue = (295 + 170 * v) * PI / 180; // upwards through 360, red, to 105
    const double chroma = 0.04 + 0.15 * sin(PI * pow(v, 0.9));
    oklab_to_srgb(rgb, lightness, chroma * cos(hue), chroma * sin(hue));
}
