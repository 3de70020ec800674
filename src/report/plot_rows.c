// Rows one below the other: histograms and intervals; see plot.h.
#include "plot_frame.h"

#include "vitrain/report/html.h"

#include <math.h>

enum { ROW_PX = 26, ROW_LEFT = 74, INTERVAL_PX = 40, INTERVAL_LEFT = 12, LABEL_BYTES = 60 };

// Room for n rows of row_px; x from low to high.
static vt_frame rows_frame(int n, int row_px, double left, double low, double high)
{
    return (vt_frame){.left = left,
                      .right = VT_PLOT_WIDTH - VT_PLOT_RIGHT,
                      .top = VT_PLOT_TOP,
                      .bottom = VT_PLOT_TOP + n * row_px,
                      .x = vt_ticks_for(low, high, 6, false),
                      .x_low = low,
                      .x_high = high};
}

static void begin_svg(FILE *page, const vt_frame *f, const char *title)
{
    fprintf(page, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"%s.", VT_PLOT_WIDTH,
            f->bottom + VT_PLOT_BOTTOM, title);
}

static void end_svg(FILE *page, const vt_frame *f)
{
    const double zero = vt_frame_x(f, 0);
    fprintf(page, "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.0f\" y2=\"%.0f\"/></svg>",
            zero, zero, f->top, f->bottom);
}

// ---- histograms ----

static void write_ridge(FILE *page, const vt_frame *f, const vt_ridges *r, int row, double base)
{
    const vt_ridge *ridge = &r->rows[row];
    const double width = (r->high - r->low) / r->bins;
    double most = 0;
    for (int b = 0; b < r->bins; b++) most = fmax(most, ridge->counts[b]);
    fprintf(page, "<g class=\"ridge\"><title>");
    vt_html_text(page, ridge->label);
    fputs(": ", page);
    vt_html_text(page, ridge->tip);
    fprintf(page, "</title><text text-anchor=\"end\" x=\"%d\" y=\"%.1f\">", ROW_LEFT - 8, base);
    vt_html_text(page, ridge->label);
    fprintf(page, "</text><path d=\"M%.1f %.1f", vt_frame_x(f, r->low), base);
    for (int b = 0; b < r->bins; b++) {
        const double y = base - (most > 0 ? ridge->counts[b] / most : 0) * (ROW_PX - 3);
        fprintf(page, "V%.1fH%.1f", y, vt_frame_x(f, r->low + (b + 1) * width));
    }
    fprintf(page, "V%.1fZ\"/></g>", base);
}

void vt_ridges_write(FILE *page, const vt_ridges *r)
{
    const vt_frame f = rows_frame(r->n, ROW_PX, ROW_LEFT, r->low, r->high);
    vt_figure_begin(page, r->id, r->title);
    begin_svg(page, &f, r->title);
    for (int i = 0; i < r->n; i++) {
        fputc(' ', page);
        vt_html_text(page, r->rows[i].label);
        fputs(": ", page);
        vt_html_text(page, r->rows[i].tip);
        fputc('.', page);
    }
    fputs("\">", page);
    vt_frame_axes(page, &f, r->x_label);
    for (int i = 0; i < r->n; i++) write_ridge(page, &f, r, i, VT_PLOT_TOP + (i + 1) * ROW_PX);
    end_svg(page, &f);
    vt_figure_end(page, r->note);
}

// ---- intervals ----

static void describe_interval(FILE *page, const vt_interval *row)
{
    vt_html_text(page, row->label);
    fprintf(page, ": %+.2f", row->middle);
    if (isfinite(row->low) && isfinite(row->high))
        fprintf(page, " (%+.2f to %+.2f)", row->low, row->high);
}

static void write_interval(FILE *page, const vt_frame *f, const vt_interval *row, double y)
{
    const bool ends = isfinite(row->low) && isfinite(row->high);
    char label[LABEL_BYTES]; // what is too long is cut; the tip has it all
    snprintf(label, sizeof label, "%s", row->label);
    fputs("<g class=\"tip s0\"><title>", page);
    describe_interval(page, row);
    fprintf(page, "</title><text x=\"%.0f\" y=\"%.1f\">", f->left, y - 12);
    vt_html_text(page, label);
    fputs("</text>", page);
    if (ends)
        fprintf(page, "<path class=\"line s0\" d=\"M%.1f %.1fH%.1f\"/>", vt_frame_x(f, row->low), y,
                vt_frame_x(f, row->high));
    fprintf(page,
            "<circle class=\"dot\" r=\"4\" cx=\"%.1f\" cy=\"%.1f\"/><circle class=\"hit\" r=\"9\" "
            "cx=\"%.1f\" cy=\"%.1f\"/></g>",
            vt_frame_x(f, row->middle), y, vt_frame_x(f, row->middle), y);
}

void vt_intervals_write(FILE *page, const char *id, const char *title, const char *x_label,
                        const vt_interval *rows, int n)
{
    double low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        low = fmin(low, fmin(rows[i].middle, isfinite(rows[i].low) ? rows[i].low : 0));
        high = fmax(high, fmax(rows[i].middle, isfinite(rows[i].high) ? rows[i].high : 0));
    }
    const vt_ticks t = vt_ticks_for(low, high, 6, false);
    const vt_frame f = rows_frame(n, INTERVAL_PX, INTERVAL_LEFT, t.first, vt_tick(&t, t.count - 1));
    vt_figure_begin(page, id, title);
    begin_svg(page, &f, title);
    for (int i = 0; i < n; i++) {
        fputc(' ', page);
        describe_interval(page, &rows[i]);
        fputc('.', page);
    }
    fputs("\">", page);
    vt_frame_axes(page, &f, x_label);
    for (int i = 0; i < n; i++)
        write_interval(page, &f, &rows[i], VT_PLOT_TOP + i * INTERVAL_PX + 28);
    end_svg(page, &f);
    vt_figure_end(page, NULL);
}
