// The frame of a chart: where data lies in a viewBox VT_PLOT_WIDTH wide (about as wide as a phone),
// axes, the figure around.
#ifndef VITRAIN_REPORT_PLOT_FRAME_H
#define VITRAIN_REPORT_PLOT_FRAME_H

#include "vitrain/report/plot.h"

enum { VT_PLOT_WIDTH = 400, VT_PLOT_RIGHT = 10, VT_PLOT_TOP = 8, VT_PLOT_BOTTOM = 38 }; // margins

typedef struct vt_frame {
    vt_ticks x, y;                   // y.count 0: no marks there
    double left, right, top, bottom; // of the drawing area
    double x_low, x_high;            // data at left and right
} vt_frame;

double vt_frame_x(const vt_frame *frame, double x);
double vt_frame_y(const vt_frame *frame, double y);
void vt_frame_axes(FILE *page, const vt_frame *frame, const char *x_label);

// A <figure>; note: NULL: none.
void vt_figure_begin(FILE *page, const char *id, const char *title);
void vt_figure_end(FILE *page, const char *note);

#endif
