// Loss, accuracy, learning rate and throughput over a run, or over several.
#include "sections.h"

#include "vitrain/report/html.h"
#include "vitrain/report/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The curve of one number of one run.
typedef struct curve {
    const char *key, *name; // in the log; in the legend of a single run
    bool dashed;
    int colour;
} curve;

enum { MOST_CURVES = 3 };

typedef struct chart {
    const char *id, *title, *x_label, *x_key;
    curve curves[MOST_CURVES]; // ended by key NULL
    bool steps;                // from steps.jsonl, which may be missing, else log.jsonl
    bool percent, from_zero;
    int digits;
    double x_add; // to x: epochs are counted from 1
    const char *note;
} chart;

static const chart charts[] = {
    {.id = "chart-loss",
     .title = "Loss",
     .x_label = "epoch",
     .x_key = "epoch",
     .x_add = 1,
     .digits = 4,
     .curves = {{"train_loss", "training, mixed labels", true, 0}, {"test_loss", "test", false, 1}},
     .note = "The training loss is against mixed and smoothed labels, the test loss against plain "
             "ones."},
    {.id = "chart-accuracy",
     .title = "Accuracy on the test data, %",
     .x_label = "epoch",
     .x_key = "epoch",
     .x_add = 1,
     .digits = 2,
     .percent = true,
     .curves = {{"test_acc1", "top-1", false, 0},
                {"test_acc5", "top-5", true, 2},
                {"test_ema_acc1", "top-1, averaged weights", false, 3}}},
    {.id = "chart-lr",
     .title = "Learning rate",
     .x_label = "optimizer step",
     .x_key = "step",
     .digits = 6,
     .steps = true,
     .curves = {{"lr", "learning rate", false, 0}}},
    {.id = "chart-throughput",
     .title = "Throughput, images/s",
     .x_label = "epoch",
     .x_key = "epoch",
     .x_add = 1,
     .digits = 1,
     .from_zero = true,
     .curves = {{"images_per_s", "training", false, 0}}},
};

// In place of the steps' where a run has too few of them to make a line.
static const chart rate_by_epoch = {.id = "chart-lr",
                                    .title = "Learning rate",
                                    .x_label = "epoch",
                                    .x_key = "epoch",
                                    .x_add = 1,
                                    .digits = 6,
                                    .curves = {{"train_lr", "learning rate", false, 0}},
                                    .note = "That of each epoch's last step."};

// What a chart's series are kept in.
typedef struct drawing {
    vt_series *series; // (most)
    double **numbers;  // (most) malloc'd, a series' x and y
    char (*names)[128];
    int n;
} drawing;

// Takes the next series from a log; false if there is not one number in it. VT_ERR_MEMORY.
static vt_status take_series(drawing *d, bool *taken, const vt_lines *lines, const chart *c,
                             const char *key)
{
    const int n = lines->n;
    double *numbers = malloc((2 * (size_t)n + 1) * sizeof *numbers);
    VT_REQUIRE(numbers, VT_ERR_MEMORY, "out of memory");
    *taken = false;
    for (int i = 0; i < n; i++) {
        numbers[i] = vt_json_number_at(lines->lines[i], c->x_key) + c->x_add;
        numbers[n + i] = vt_json_number_at(lines->lines[i], key);
        *taken = *taken || isfinite(numbers[n + i]);
    }
    if (!*taken) {
        free(numbers);
        return VT_OK;
    }
    d->numbers[d->n] = numbers;
    d->series[d->n] = (vt_series){.x = numbers, .y = numbers + n, .n = n, .name = d->names[d->n]};
    d->n++;
    return VT_OK;
}

// Of a single run every curve has a colour, of several each run.
static vt_status add_curves(drawing *d, const vt_report *r, const chart *c, int k)
{
    const vt_record *run = &r->runs[k];
    const bool several_curves = c->curves[1].key != NULL;
    for (int i = 0; i < MOST_CURVES && c->curves[i].key; i++) {
        const curve *line = &c->curves[i];
        bool taken = false;
        VT_TRY(take_series(d, &taken, c->steps ? &run->steps : &run->log, c, line->key));
        if (!taken) continue;
        vt_series *s = &d->series[d->n - 1];
        snprintf(d->names[d->n - 1], sizeof *d->names, "%s%s%s", r->n > 1 ? run->name : "",
                 r->n > 1 && several_curves ? ", " : "",
                 r->n == 1 || several_curves ? line->name : "");
        s->colour = r->n == 1 ? line->colour : k;
        s->dashed = line->dashed;
    }
    return VT_OK;
}

static vt_status draw(const vt_report *r, const chart *c)
{
    const size_t most = (size_t)r->n * MOST_CURVES;
    drawing d = {.series = calloc(most, sizeof *d.series),
                 .numbers = calloc(most, sizeof *d.numbers),
                 .names = calloc(most, sizeof *d.names)};
    vt_status status = VT_OK;
    if (!d.series || !d.numbers || !d.names) status = vt_fail(VT_ERR_MEMORY, "out of memory");
    for (int k = 0; k < r->n && status == VT_OK; k++) status = add_curves(&d, r, c, k);
    const vt_plot plot = {.id = c->id,
                          .title = c->title,
                          .x_label = c->x_label,
                          .series = d.series,
                          .n_series = d.n,
                          .whole_x = true,
                          .percent = c->percent,
                          .from_zero = c->from_zero,
                          .digits = c->digits,
                          .note = c->note};
    if (status == VT_OK) vt_plot_write(r->page, &plot);
    for (int i = 0; i < d.n; i++) free(d.numbers[i]);
    free(d.series);
    free(d.numbers);
    free(d.names);
    return status;
}

// Whether every run that has done an epoch has steps enough for a line.
static bool has_steps(const vt_report *r)
{
    for (int k = 0; k < r->n; k++)
        if (r->runs[k].steps.n < 2 && r->runs[k].log.n > 0) return false;
    return true;
}

// ---- the numbers themselves ----

static const char *const columns[][2] = {
    {"epoch", "epoch"},          {"train_loss", "training loss"}, {"test_loss", "test loss"},
    {"test_acc1", "top-1 %"},    {"test_acc5", "top-5 %"},        {"train_lr", "rate"},
    {"images_per_s", "images/s"}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void write_table(FILE *page, const vt_record *run)
{
    fputs("<details><summary>Numbers by epoch", page);
    fputs(": ", page);
    vt_html_text(page, run->name);
    fputs("</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"table\"><table><thead><tr>",
          page);
    for (int i = 0; i < COLUMNS; i++) fprintf(page, "<th class=\"num\">%s</th>", columns[i][1]);
    fputs("</tr></thead><tbody>\n", page);
    for (int k = 0; k < run->log.n; k++) {
        fputs("<tr>", page);
        for (int i = 0; i < COLUMNS; i++) {
            const double value = vt_json_number_at(run->log.lines[k], columns[i][0]) + (i == 0);
            if (isfinite(value))
                fprintf(page, "<td class=\"num\">%.*g</td>", i == 0 ? 9 : 5, value);
            else
                fputs("<td class=\"num\">\xe2\x80\x93</td>", page);
        }
        fputs("</tr>\n", page);
    }
    fputs("</tbody></table></div></details>\n", page);
}

vt_status vt_section_curves(const vt_report *r)
{
    vt_section_begin(r->page, "curves", "Training");
    fputs("<div class=\"charts\">\n", r->page);
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) {
        const chart *c = &charts[i];
        VT_TRY(draw(r, c->steps && !has_steps(r) ? &rate_by_epoch : c));
    }
    fputs("</div>\n", r->page);
    for (int k = 0; k < r->n; k++) {
        if (r->runs[k].log.n == 0)
            vt_page_missing(r->page, "%s: no epoch is done yet.", r->runs[k].name);
        else
            write_table(r->page, &r->runs[k]);
    }
    vt_section_end(r->page);
    return VT_OK;
}
