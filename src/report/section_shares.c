// How far attention moved labels while the run trained: the paper's token fluctuation, measured.
#include "sections.h"

#include "vitrain/report/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 12, MOST_BINS = 1001, LINES = 3 };

// ---- what a line of shares.jsonl holds ----

static int layers_of(const vt_json *line)
{
    const vt_json *layers = vt_json_get(line, "layers");
    return layers && vt_json_type_of(layers) == VT_JSON_ARRAY ? vt_json_size(layers) : 0;
}

// NULL: the line has no such layer.
static const vt_json *layer_of(const vt_json *line, int layer)
{
    if (layer < 0 || layer >= layers_of(line)) return NULL;
    const vt_json *node = vt_json_first(vt_json_get(line, "layers"));
    for (int i = 0; i < layer; i++) node = vt_json_next(node);
    return node;
}

// counts: (bins) out; bins is that of the first row. False if the line does not hold as many.
static bool read_counts(double *counts, int bins, const vt_json *layer)
{
    const vt_json *list = layer ? vt_json_get(layer, "counts") : NULL;
    if (!list || vt_json_size(list) != bins) return false;
    for (const vt_json *v = vt_json_first(list); v; v = vt_json_next(v))
        *counts++ = vt_json_type_of(v) == VT_JSON_NUMBER ? fmax(vt_json_number(v), 0) : 0;
    return true;
}

static void describe(vt_ridge *ridge, const vt_json *layer)
{
    snprintf(ridge->tip, sizeof ridge->tip,
             "mean %+.4f, mean size %.4f, deviation %.4f, %.0f samples",
             vt_json_number_at(layer, "mean"), vt_json_number_at(layer, "mean_abs"),
             vt_json_number_at(layer, "sd"), vt_json_number_at(layer, "n"));
}

// ---- histograms ----

typedef struct histograms {
    vt_ridge rows[MOST_ROWS];
    double *counts; // (MOST_ROWS, bins)
    int n, bins;
    double width; // of a bin
} histograms;

static bool begin_histograms(histograms *h, const vt_json *line)
{
    const vt_json *first = layer_of(line, 0), *counts = first ? vt_json_get(first, "counts") : NULL;
    *h = (histograms){.bins = counts ? vt_json_size(counts) : 0,
                      .width = vt_json_number_at(line, "bin_width")};
    if (h->bins < 3 || h->bins > MOST_BINS || !(h->width > 0)) return false;
    h->counts = calloc(MOST_ROWS * (size_t)h->bins, sizeof *h->counts);
    return h->counts != NULL;
}

static void add_row(histograms *h, const vt_json *layer, const char *what, double number)
{
    double *counts = h->counts + h->n * h->bins;
    if (h->n == MOST_ROWS || !isfinite(number) || !read_counts(counts, h->bins, layer)) return;
    vt_ridge *ridge = &h->rows[h->n++];
    ridge->counts = counts;
    snprintf(ridge->label, sizeof ridge->label, "%s %.0f", what, number);
    describe(ridge, layer);
}

// The middle bins that hold all that was counted; an odd number.
static int bins_in_use(const histograms *h)
{
    int half = 5;
    for (int i = 0; i < h->n * h->bins; i++) {
        const int off = abs(i % h->bins - h->bins / 2);
        if (h->counts[i] > 0 && off > half) half = off;
    }
    return 2 * half + 1 < h->bins ? 2 * half + 1 : h->bins;
}

static void draw_histograms(FILE *page, histograms *h, const char *id, const char *title,
                            const char *note)
{
    const int bins = bins_in_use(h);
    for (int i = 0; i < h->n; i++) h->rows[i].counts += (h->bins - bins) / 2;
    const vt_ridges ridges = {.id = id,
                              .title = title,
                              .x_label = "share by TL-Align less share by area",
                              .note = note,
                              .rows = h->rows,
                              .n = h->n,
                              .bins = bins,
                              .low = -h->width * bins / 2,
                              .high = h->width * bins / 2};
    if (h->n > 0) vt_ridges_write(page, &ridges);
    free(h->counts);
}

// Every layer of the last epoch; of deep models as many as fit, the last among them.
static void draw_layers(const vt_report *r, const vt_json *line)
{
    histograms h;
    if (!begin_histograms(&h, line)) return;
    const int depth = layers_of(line), stride = (depth + MOST_ROWS - 1) / MOST_ROWS;
    for (int l = (depth - 1) % stride; l < depth; l += stride)
        add_row(&h, layer_of(line, l), "layer", l);
    draw_histograms(r->page, &h, "chart-shares-layers", "After each layer, last epoch",
                    "Each row is drawn to its own height. Point at it for its mean and spread.");
}

static void draw_epochs(const vt_report *r, const vt_lines *lines)
{
    histograms h;
    const vt_json *last = lines->lines[lines->n - 1];
    if (!begin_histograms(&h, last)) return;
    const int stride = (lines->n + MOST_ROWS - 1) / MOST_ROWS;
    for (int i = (lines->n - 1) % stride; i < lines->n; i += stride)
        add_row(&h, layer_of(lines->lines[i], layers_of(lines->lines[i]) - 1), "epoch",
                vt_json_number_at(lines->lines[i], "epoch") + 1);
    draw_histograms(r->page, &h, "chart-shares-epochs", "After the last layer, by epoch",
                    "What is left here is what the label differs by from that of the area.");
}

// ---- sizes over epochs ----

// x, y: (lines->n) out, the mean size of a layer; layer -1: the last.
static void sizes(double *x, double *y, const vt_lines *lines, int layer)
{
    for (int i = 0; i < lines->n; i++) {
        const vt_json *line = lines->lines[i];
        const int which = layer < 0 ? layers_of(line) - 1 : layer;
        x[i] = vt_json_number_at(line, "epoch") + 1;
        y[i] = vt_json_number_at(layer_of(line, which), "mean_abs");
    }
}

static const vt_plot size_plot = {.id = "chart-shares-size",
                                  .title = "Mean size of the difference, by epoch",
                                  .x_label = "epoch",
                                  .whole_x = true,
                                  .from_zero = true,
                                  .digits = 4};

static void draw_sizes(const vt_report *r, const vt_lines *lines)
{
    const int depth = layers_of(lines->lines[lines->n - 1]);
    const int wanted[LINES] = {0, depth / 2, depth - 1};
    double *numbers = malloc(2 * LINES * (size_t)lines->n * sizeof *numbers);
    char names[LINES][32];
    vt_series series[LINES];
    vt_plot plot = size_plot;
    plot.series = series;
    for (int k = 0; numbers && k < LINES; k++) {
        if (k > 0 && wanted[k] <= wanted[k - 1]) continue;
        double *x = numbers + 2 * k * lines->n, *y = x + lines->n;
        sizes(x, y, lines, wanted[k]);
        snprintf(names[k], sizeof names[k], "after layer %d", wanted[k]);
        series[plot.n_series++] =
            (vt_series){.name = names[k], .x = x, .y = y, .n = lines->n, .colour = k};
    }
    if (numbers) vt_plot_write(r->page, &plot);
    free(numbers);
}

static vt_status draw_runs(const vt_report *r)
{
    size_t total = 0;
    for (int k = 0; k < r->n; k++) total += (size_t)r->runs[k].shares.n;
    double *numbers = malloc((2 * total + 1) * sizeof *numbers), *next = numbers;
    vt_series *series = calloc((unsigned)r->n, sizeof *series);
    vt_plot plot = size_plot;
    plot.series = series;
    for (int k = 0; numbers && series && k < r->n; k++) {
        const vt_lines *lines = &r->runs[k].shares;
        if (lines->n == 0) continue;
        sizes(next, next + lines->n, lines, -1);
        series[plot.n_series++] = (vt_series){
            .name = r->runs[k].name, .x = next, .y = next + lines->n, .n = lines->n, .colour = k};
        next += 2 * lines->n;
    }
    const bool drawn = numbers && series;
    if (drawn) vt_plot_write(r->page, &plot);
    free(numbers);
    free(series);
    VT_REQUIRE(drawn, VT_ERR_MEMORY, "out of memory");
    return VT_OK;
}

// ---- the section ----

static const char *why_none(const vt_record *run)
{
    const vt_json *rule = vt_record_setting(run, "label.rule");
    if (rule && vt_json_type_of(rule) == VT_JSON_STRING && strcmp(vt_json_string(rule), "tl-align"))
        return "its labels do not move (label.rule is not tl-align)";
    if (run->shares.found) return "no line of shares.jsonl is sound";
    return "no mixed batch was counted (nothing is mixed, attention is in windows, or no epoch is "
           "done)";
}

static void write_words(const vt_report *r, const vt_lines *lines)
{
    const vt_json *line = lines->lines[lines->n - 1], *layer = layer_of(line, layers_of(line) - 1);
    if (!isfinite(vt_json_number_at(layer, "mean_abs"))) return;
    fprintf(
        r->page,
        "<p>Attention moves what a mixed picture's tokens hold, so the part of a picture that "
        "arrives at the output is not its part of the area. In the last epoch the two differed by "
        "<strong>%.3f</strong> on average (mean size; deviation %.3f, %.0f mixed samples). The "
        "label "
        "by area is wrong by that much, if the one that moves with attention is right.</p>\n",
        vt_json_number_at(layer, "mean_abs"), vt_json_number_at(layer, "sd"),
        vt_json_number_at(layer, "n"));
}

vt_status vt_section_shares(const vt_report *r)
{
    int found = 0;
    vt_status status = VT_OK;
    vt_section_begin(r->page, "shares", "How far labels moved");
    for (int k = 0; k < r->n; k++) {
        if (r->runs[k].shares.n > 0 &&
            layers_of(r->runs[k].shares.lines[r->runs[k].shares.n - 1]) > 0)
            found++;
        else
            vt_page_missing(r->page, "%s: nothing to show: %s.", r->runs[k].name,
                            why_none(&r->runs[k]));
    }
    if (found > 0) {
        const vt_lines *lines = &r->runs[0].shares;
        if (r->n == 1) write_words(r, lines);
        fputs("<div class=\"charts\">\n", r->page);
        if (r->n == 1) {
            draw_layers(r, lines->lines[lines->n - 1]);
            draw_epochs(r, lines);
            draw_sizes(r, lines);
        } else {
            status = draw_runs(r);
        }
        fputs("</div>\n", r->page);
    }
    vt_section_end(r->page);
    return status;
}
