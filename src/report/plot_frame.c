// See the header.
#include "plot_frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double vt_frame_x(const vt_frame *f, double x)
{
    const double range = f->x_high - f->x_low;
    return f->left + (range > 0 ? (x - f->x_low) / range : 0.5) * (f->right - f->left);
}

double vt_frame_y(const vt_frame *f, double y)
{
    const double high = vt_tick(&f->y, f->y.count - 1);
    return f->bottom - (y - f->y.first) / (high - f->y.first) * (f->bottom - f->top);
}

// A mark's text; very large and very small ones as powers of ten, such as 4.6e-4: there is room for
// six figures.
static void write_mark(FILE *page, const vt_ticks *t, int i)
{
    const double value = vt_tick(t, i), size = fabs(value);
    if (size < 1e6 && (value == 0 || t->decimals <= 4 || size >= 0.1)) {
        fprintf(page, "%.*f", value == 0 && t->decimals > 4 ? 0 : t->decimals, value);
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%.2e", value);
    char *exponent = strchr(text, 'e'), *end = exponent;
    while (end[-1] == '0') end--;
    if (end[-1] == '.') end--;
    fprintf(page, "%.*se%d", (int)(end - text), text, atoi(exponent + 1));
}

void vt_frame_axes(FILE *page, const vt_frame *f, const char *x_label)
{
    fputs("<g class=\"axis\">", page);
    for (int i = 0; i < f->y.count; i++) {
        const double y = vt_frame_y(f, vt_tick(&f->y, i));
        fprintf(page, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                f->left, f->right, y, y);
        fprintf(page, "<text text-anchor=\"end\" x=\"%.0f\" y=\"%.1f\">", f->left - 6, y + 4);
        write_mark(page, &f->y, i);
        fputs("</text>", page);
    }
    for (int i = 0; i < f->x.count; i++) {
        const double value = vt_tick(&f->x, i), x = vt_frame_x(f, value);
        if (x < f->left - 0.5 || x > f->right + 0.5) continue;
        fprintf(page, "<text text-anchor=\"middle\" x=\"%.1f\" y=\"%.0f\">", x, f->bottom + 16);
        write_mark(page, &f->x, i);
        fputs("</text>", page);
    }
    fprintf(page, "<text text-anchor=\"middle\" x=\"%.0f\" y=\"%.0f\">%s</text></g>",
            (f->left + f->right) / 2, f->bottom + 33, x_label);
}

void vt_figure_begin(FILE *page, const char *id, const char *title)
{
    fprintf(page, "<figure class=\"chart\" id=\"%s\"><figcaption>%s</figcaption>", id, title);
}

void vt_figure_end(FILE *page, const char *note)
{
    if (note) fprintf(page, "<p class=\"note\">%s</p>", note);
    fputs("</figure>\n", page);
}
