// Lines over time, with bands; see plot.h.
#include "plot_frame.h"

#include "vitrain/report/html.h"

#include <math.h>

enum { HEIGHT = 236, LEFT = 48, COLOURS = 8, MOST_POINTS = 480, MOST_TIPS = 90 };

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

static vt_frame frame_of(const vt_plot *plot, const double x[2], const double y[2])
{
    vt_frame f = {.left = LEFT,
                  .right = VT_PLOT_WIDTH - VT_PLOT_RIGHT,
                  .top = VT_PLOT_TOP,
                  .bottom = HEIGHT - VT_PLOT_BOTTOM};
    f.x = x[0] < x[1] ? vt_ticks_for(x[0], x[1], 6, plot->whole_x)
                      : (vt_ticks){.first = x[0], .step = 1, .count = 1};
    f.y = vt_ticks_for(plot->from_zero ? fmin(0, y[0]) : y[0], y[1], 5, false);
    while (plot->percent && f.y.count > 2 && vt_tick(&f.y, f.y.count - 1) > 100) f.y.count--;
    f.x_low = x[0];
    f.x_high = x[1];
    return f;
}

// One of every `stride` points, and the last.
static int stride_for(int n, int most)
{
    return n <= most ? 1 : (n + most - 1) / most;
}

static void write_band(FILE *page, const vt_frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_POINTS);
    if (!s->low) return;
    fprintf(page, "<path class=\"band s%d\" d=\"", s->colour % COLOURS);
    char move = 'M';
    for (int i = 0; i < s->n; i += stride) {
        if (!has_band(s, i)) continue;
        fprintf(page, "%c%.1f %.1f", move, vt_frame_x(f, s->x[i]), vt_frame_y(f, s->high[i]));
        move = 'L';
    }
    for (int i = (s->n - 1) / stride * stride; i >= 0; i -= stride)
        if (has_band(s, i))
            fprintf(page, "L%.1f %.1f", vt_frame_x(f, s->x[i]), vt_frame_y(f, s->low[i]));
    fputs(move == 'L' ? "Z\"/>" : "\"/>", page);
}

static void write_line(FILE *page, const vt_frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_POINTS);
    bool drawing = false;
    fprintf(page, "<path class=\"line s%d%s\" d=\"", s->colour % COLOURS,
            s->dashed ? " dashed" : "");
    for (int i = 0; i < s->n; i = i + stride < s->n || i == s->n - 1 ? i + stride : s->n - 1) {
        const bool there = isfinite(s->y[i]) && isfinite(s->x[i]);
        if (there)
            fprintf(page, "%c%.1f %.1f", drawing ? 'L' : 'M', vt_frame_x(f, s->x[i]),
                    vt_frame_y(f, s->y[i]));
        drawing = there;
    }
    fputs("\"/>", page);
}

static void write_tips(FILE *page, const vt_plot *plot, const vt_frame *f, const vt_series *s)
{
    const int stride = stride_for(s->n, MOST_TIPS);
    const double radius = s->n <= 30 ? 2.5 : 0.01; // points where they can be told apart
    for (int i = s->n - 1; i >= 0; i -= stride) {
        if (!isfinite(s->y[i]) || !isfinite(s->x[i])) continue;
        const double x = vt_frame_x(f, s->x[i]), y = vt_frame_y(f, s->y[i]);
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

void vt_plot_write(FILE *page, const vt_plot *plot)
{
    double x[2], y[2];
    vt_figure_begin(page, plot->id, plot->title);
    if (!ranges(plot, x, y)) {
        fputs("<p class=\"missing\">No numbers to draw.</p></figure>\n", page);
        return;
    }
    const vt_frame f = frame_of(plot, x, y);
    write_legend(page, plot);
    fprintf(page, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", VT_PLOT_WIDTH, HEIGHT);
    write_spoken(page, plot);
    fputs("\">", page);
    vt_frame_axes(page, &f, plot->x_label);
    for (int k = 0; k < plot->n_series; k++) write_band(page, &f, &plot->series[k]);
    for (int k = 0; k < plot->n_series; k++) write_line(page, &f, &plot->series[k]);
    for (int k = 0; k < plot->n_series; k++) write_tips(page, plot, &f, &plot->series[k]);
    fputs("</svg>", page);
    vt_figure_end(page, plot->note);
}
