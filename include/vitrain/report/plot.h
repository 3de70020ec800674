// Charts as inline SVG: lines with bands, and rows of histograms. Colours are CSS classes s0 .. s7
// of the page, so that they follow its light or dark mode.
#ifndef VITRAIN_REPORT_PLOT_H
#define VITRAIN_REPORT_PLOT_H

#include <stdbool.h>
#include <stdio.h>

// Where marks of an axis stand: first, first + step ...
typedef struct vt_ticks {
    double first, step;
    int count;    // 2 .. most + 1
    int decimals; // that tell them apart
} vt_ticks;

// Marks at multiples of 1, 2 or 5 times a power of ten, at most `most` (>= 2) steps, the first not
// above `low` and the last not below `high`. A range that is empty or no number becomes one around
// it that is not. whole: steps of at least 1.
vt_ticks vt_ticks_for(double low, double high, int most, bool whole);
static inline double vt_tick(const vt_ticks *t, int i)
{
    const double value = t->first + i * t->step;
    return value < t->step * 1e-9 && value > -t->step * 1e-9 ? 0 : value;
}

typedef struct vt_series {
    const char *name;
    const double *x, *y;      // (n), x rising; a y that is not finite is a gap
    const double *low, *high; // (n) edges of a band around, or NULL
    int n, colour;            // colour: any number
    bool dashed;
} vt_series;

typedef struct vt_plot {
    const char *id, *title, *x_label;
    const vt_series *series; // (n_series)
    int n_series;
    bool from_zero;   // y begins at 0
    bool whole_x;     // x are whole numbers (epochs)
    bool percent;     // y ends at 100 at most
    int digits;       // of y in the tips, behind the point
    const char *note; // below; NULL: none
} vt_plot;

// A <figure> with caption, legend (where there is more than one series) and the SVG; a tip at each
// point. Nothing to draw: says so.
void vt_plot_write(FILE *page, const vt_plot *plot);

// A number with an interval around it; an end that is not finite is not drawn.
typedef struct vt_interval {
    const char *label;
    double middle, low, high;
} vt_interval;

// Intervals one below the other, beside a line at zero. rows: (n).
void vt_intervals_write(FILE *page, const char *id, const char *title, const char *x_label,
                        const vt_interval *rows, int n);

// One row of a ridge chart.
typedef struct vt_ridge {
    char label[32], tip[160];
    const double *counts; // (bins)
} vt_ridge;

typedef struct vt_ridges {
    const char *id, *title, *x_label, *note;
    const vt_ridge *rows; // (n)
    int n, bins;
    double low, high; // x of the first bin's left and the last bin's right edge
} vt_ridges;

// Histograms one below the other, each drawn to its own height.
void vt_ridges_write(FILE *page, const vt_ridges *ridges);

#endif
