// Marks of axes; see plot.h.
#include "vitrain/report/plot.h"

#include <math.h>

// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
static double round_step(double rough)
{
    const double power = pow(10, floor(log10(rough)));
    const double times[] = {1, 2, 5, 10};
    for (int i = 0; i < 3; i++)
        if (times[i] * power >= rough * (1 - 1e-9)) return times[i] * power;
    return 10 * power;
}

vt_ticks vt_ticks_for(double low, double high, int most, bool whole)
{
    if (!isfinite(low) || !isfinite(high) || fabs(low) > 1e306 || fabs(high) > 1e306)
        low = 0, high = 1;
    if (!(high - low > 1e-9 * fmax(fabs(low), fabs(high)))) {
        const double around = low == 0 ? 1 : 0.1 * fabs(low);
        high = low + around;
        low = low == 0 ? 0 : low - around;
    }
    double step = round_step((high - low) / most);
    if (whole && step < 1) step = 1;
    vt_ticks t = {.step = step};
    for (int tries = 0; tries < 4; tries++) { // outward rounding may take a step too many
        t.first = floor(low / t.step + 1e-9) * t.step;
        t.count = (int)lrint(ceil((high - t.first) / t.step - 1e-9)) + 1;
        if (t.count < 2) t.count = 2;
        if (t.count <= most + 1) break;
        t.step = round_step(t.step * 1.5);
    }
    const double exponent = floor(log10(t.step) + 1e-9);
    t.decimals = exponent < 0 ? (int)-exponent : 0;
    return t;
}
