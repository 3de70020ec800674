// Charts; see the header. Coordinates are those of a viewBox 400 wide, which is about as wide as a phone.
#include "vitrain/report/plot.h"

#include "vitrain/report/html.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 400, HEIGHT = 236, LEFT = 48, RIGHT = 10, TOP = 8, BOTTOM = 38, COLOURS = 8 };
enum { MOST_POINTS = 480, MOST_TIPS = 90, RIDGE_PX = 26, RIDGE_LEFT = 74 };

typedef struct frame {
    vt_ticks x, y;
    double left, right, top, bottom; // of the drawing area
    double x_low, x_high;            // data at left and right
} frame;

static double at_x(const frame *f, double x)
{
    const double range = f->x_high - f->x_low;
    return f->left + (range > 0 ? (x - f->x_low) / range : 0.5) * (f->right - f->left);
}

static double at_y(const frame *f, double y)
{
    const double high = vt_tick(&f->y, f->y.count - 1);
    return f->bottom - (y - f->y.first) / (high - f->y.first) * (f->bottom - f->top);
}

// A mark's text; very large and very small ones as powers of ten.
static void write_mark(FILE *page, const vt_ticks *t, int i)
{
    const double value = vt_tick(t, i);
    if (value != 0 && (t->decimals > 4 || fabs(value) >= 1e6))
        fprintf(page, "%.3g", value);
    else
        fprintf(page, "%.*f", t->decimals, value);
}

// ---- lines ----

static bool has_band(const vt_series *s, int i)
{
    return s->low && isfinite(s->low[i]) && isfinite(s->high[i]);
}

// Whether there is anything; the ranges of all series.
static bool ranges(const vt_plot *plot, double x[2], double y[2])
{
    x[0] = y[0] = INFINITY;
    x[1] = y[1] = -INFINITY;
    for (int k = 0; k < plot->n_series; k++) {
        const vt_series *s = &plot->series[k];
        for (int i = 0; i < s->n; i++) {
            if (!isfinite(s->y[i]) || !isfinite(s->x[i])) continue;
            x[0] = fmin(x[0], s->x[i]);
            x[1] = fmax(x[1], s->x[i]);
            y[0] = fmin(y[0], has_band(s, i) ? s->low[i] : s->y[i]);
            y[1] = fmax(y[1], has_band(s, i) ? s->high[i] : s->y[i]);
        }
    }
    return x[0] <= x[1];
}

static frame frame_of(const vt_plot *plot, const double x[2], const double y[2])
{
    frame f = {.left = LEFT, .right = WIDTH - RIGHT, .top = TOP, .bottom = HEIGHT - BOTTOM};
    f.x = vt_ticks_for(x[0], x[1], 6, plot->whole_x);
    f.y = vt_ticks_for(plot->from_zero ? fmin(0, y[0]) : y[0], y[1], 5, false);
    while (plot->percent && f.y.count > 2 && vt_tick(&f.y, f.y.count - 1) > 100) f.y.count--;
    f.x_low = x[0];
    f.x_high = x[1];
    return f;
}

static void write_axes(FILE *page, const frame *f, const char *x_label)
{
    fputs("<g class=\"axis\">", page);
    for (int i = 0; i < f->y.count; i++) {
        const double y = at_y(f, vt_tick(&f->y, i));
        fprintf(page, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                f->left, f->right, y, y);
        fprintf(page, "<text text-anchor=\"end\" x=\"%.0f\" y=\"%.1f\">", f->left - 6, y + 4);
        write_mark(page, &f->y, i);
        fputs("</text>", page);
    }
    for (int i = 0; i < f->x.count; i++) {
        const double value = vt_tick(&f->x, i), x = at_x(f, value);
        if (x < f->left - 0.5 || x > f->right + 0.5) continue;
        fprintf(page, "<text text-anchor=\"middle\" x=\"%.1f\" y=\"%.0f\">", x, f->bottom + 16);
        write_mark(page, &f->x, i);
        fputs("</text>", page);
    }
    fprintf(page, "<text text-anchor=\"middle\" x=\"%.0f\" y=\"%.0f\">%s</text></g>",
            (f->left + f->right) / 2, f->bottom + 33, x_label);
}

// One of every `stride` points, and the last.
static int stride_for(int n, int most)
{
    return n <= most ? 1 : (n + most - 1) / most;
}

static void write_band(FILE *page, const frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_POINTS);
    if (!s->low) return;
    fprintf(page, "<path class=\"band s%d\" d=\"", s->colour % COLOURS);
    char move = 'M';
    for (int i = 0; i < s->n; i += stride, move = 'L')
        if (has_band(s, i))
            fprintf(page, "%c%.1f %.1f", move, at_x(f, s->x[i]), at_y(f, s->high[i]));
    for (int i = (s->n - 1) / stride * stride; i >= 0; i -= stride)
        if (has_band(s, i)) fprintf(page, "L%.1f %.1f", at_x(f, s->x[i]), at_y(f, s->low[i]));
    fputs(move == 'L' ? "Z\"/>" : "\"/>", page);
}

static void write_line(FILE *page, const frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_POINTS);
    bool drawing = false;
    fprintf(page, "<path class=\"line s%d%s\" d=\"", s->colour % COLOURS,
            s->dashed ? " dashed" : "");
    for (int i = 0; i < s->n; i = i + stride < s->n || i == s->n - 1 ? i + stride : s->n - 1) {
        const bool there = isfinite(s->y[i]) && isfinite(s->x[i]);
        if (there)
            fprintf(page, "%c%.1f %.1f", drawing ? 'L' : 'M', at_x(f, s->x[i]), at_y(f, s->y[i]));
        drawing = there;
    }
    fputs("\"/>", page);
}

static void write_tips(FILE *page, const vt_plot *plot, const frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_TIPS);
    const double radius = s->n <= 30 ? 2.5 : 0.01; // points where they can be told apart
    for (int i = s->n - 1; i >= 0; i -= stride) {
        if (!isfinite(s->y[i]) || !isfinite(s->x[i])) continue;
        const double x = at_x(f, s->x[i]), y = at_y(f, s->y[i]);
        fprintf(page, "<g class=\"tip s%d\"><title>", s->colour % COLOURS);
        vt_html_text(page, s->name);
        fprintf(page, ", %s %.*f: %.*f", plot->x_label, plot->whole_x ? 0 : 2, s->x[i],
                plot->digits, s->y[i]);
        if (has_band(s, i))
            fprintf(page, " (%.*f to %.*f)", plot->digits, s->low[i], plot->digits, s->high[i]);
        fprintf(page,
                "</title><circle class=\"dot\" r=\"%.2f\" cx=\"%.1f\" cy=\"%.1f\"/><circle "
                "class=\"hit\" r=\"7\" cx=\"%.1f\" cy=\"%.1f\"/></g>",
                radius, x, y, x, y);
    }
}

static void write_legend(FILE *page, const vt_plot *plot)
{
    if (plot->n_series < 2) return;
    fputs("<ul class=\"legend\">", page);
    for (int k = 0; k < plot->n_series; k++) {
        const vt_series *s = &plot->series[k];
        fprintf(
            page,
            "<li><svg width=\"22\" height=\"10\" aria-hidden=\"true\"><path class=\"line s%d%s\" "
            "d=\"M1 5H21\"/></svg> ",
            s->colour % COLOURS, s->dashed ? " dashed" : "");
        vt_html_text(page, s->name);
        fputs("</li>", page);
    }
    fputs("</ul>", page);
}

// What the picture says, for those who do not see it: where each series begins and ends.
static void write_spoken(FILE *page, const vt_plot *plot)
{
    fprintf(page, "%s by %s.", plot->title, plot->x_label);
    for (int k = 0; k < plot->n_series && k < 12; k++) {
        const vt_series *s = &plot->series[k];
        int first = 0, last = s->n - 1;
        while (first < s->n && !isfinite(s->y[first])) first++;
        while (last > first && !isfinite(s->y[last])) last--;
        if (first >= s->n) continue;
        fputc(' ', page);
        vt_html_text(page, s->name);
        fprintf(page, ": from %.*f to %.*f.", plot->digits, s->y[first], plot->digits, s->y[last]);
    }
}

static void begin_figure(FILE *page, const char *id, const char *title)
{
    fprintf(page, "<figure class=\"chart\" id=\"%s\"><figcaption>%s</figcaption>", id, title);
}

static void end_figure(FILE *page, const char *note)
{
    if (note) fprintf(page, "<p class=\"note\">%s</p>", note);
    fputs("</figure>\n", page);
}

void vt_plot_write(FILE *page, const vt_plot *plot)
{
    double x[2], y[2];
    begin_figure(page, plot->id, plot->title);
    if (!ranges(plot, x, y)) {
        fputs("<p class=\"missing\">No numbers to draw.</p></figure>\n", page);
        return;
    }
    const frame f = frame_of(plot, x, y);
    write_legend(page, plot);
    fprintf(page, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    write_spoken(page, plot);
    fputs("\">", page);
    write_axes(page, &f, plot->x_label);
    for (int k = 0; k < plot->n_series; k++) write_band(page, &f, &plot->series[k]);
    for (int k = 0; k < plot->n_series; k++) write_line(page, &f, &plot->series[k]);
    for (int k = 0; k < plot->n_series; k++) write_tips(page, plot, &f, &plot->series[k]);
    fputs("</svg>", page);
    end_figure(page, plot->note);
}

// ---- histograms ----

static void write_ridge(FILE *page, const frame *f, const vt_ridges *r, int row, double base)
{
    const vt_ridge *ridge = &r->rows[row];
    const double width = (r->high - r->low) / r->bins;
    double most = 0;
    for (int b = 0; b < r->bins; b++) most = fmax(most, ridge->counts[b]);
    fprintf(page, "<g class=\"ridge\"><title>");
    vt_html_text(page, ridge->label);
    fputs(": ", page);
    vt_html_text(page, ridge->tip);
    fprintf(page, "</title><text text-anchor=\"end\" x=\"%d\" y=\"%.1f\">", RIDGE_LEFT - 8, base);
    vt_html_text(page, ridge->label);
    fprintf(page, "</text><path d=\"M%.1f %.1f", at_x(f, r->low), base);
    for (int b = 0; b < r->bins; b++) {
        const double y = base - (most > 0 ? ridge->counts[b] / most : 0) * (RIDGE_PX - 3);
        fprintf(page, "V%.1fH%.1f", y, at_x(f, r->low + (b + 1) * width));
    }
    fprintf(page, "V%.1fZ\"/></g>", base);
}

void vt_ridges_write(FILE *page, const vt_ridges *r)
{
    const int height = TOP + r->n * RIDGE_PX + BOTTOM;
    frame f = {.left = RIDGE_LEFT, .right = WIDTH - RIGHT, .top = TOP, .bottom = height - BOTTOM};
    f.x = vt_ticks_for(r->low, r->high, 6, false);
    f.x_low = r->low;
    f.x_high = r->high;
    begin_figure(page, r->id, r->title);
    fprintf(page, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s.", WIDTH, height,
            r->title);
    for (int i = 0; i < r->n; i++) {
        fputc(' ', page);
        vt_html_text(page, r->rows[i].label);
        fputs(": ", page);
        vt_html_text(page, r->rows[i].tip);
        fputc('.', page);
    }
    fputs("\">", page);
    write_axes(page, &f, r->x_label);
    for (int i = 0; i < r->n; i++) write_ridge(page, &f, r, i, TOP + (i + 1) * RIDGE_PX);
    const double zero = at_x(&f, 0);
    fprintf(page, "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.0f\"/></svg>",
            zero, zero, TOP, f.bottom);
    end_figure(page, r->note);
}
