// The page of an experiment: what its arms came to, how they differ from the baseline, and their
// curves. Everything is read from experiment.json (train/experiment.h) and the runs' logs.
#include "sections.h"

#include "vitrain/io/file.h"
#include "vitrain/report/html.h"
#include "vitrain/report/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_EPOCHS = 100000 };

// ---- reading ----

static const char *text_of(const vt_json *object, const char *key)
{
    const vt_json *node =
        object && vt_json_type_of(object) == VT_JSON_OBJECT ? vt_json_get(object, key) : NULL;
    return node && vt_json_type_of(node) == VT_JSON_STRING ? vt_json_string(node) : "";
}

static const vt_json *first_of(const vt_json *object, const char *key)
{
    const vt_json *list = vt_json_get(object, key);
    return list && vt_json_type_of(list) == VT_JSON_ARRAY ? vt_json_first(list) : NULL;
}

static const vt_json *against(const vt_json *arm)
{
    const vt_json *node = vt_json_get(arm, "against_baseline");
    return node && vt_json_type_of(node) == VT_JSON_OBJECT ? node : NULL;
}

// Runs that have a folder. Those that cannot be read are told under Notes.
static vt_status read_runs(vt_experiment_view *e, const char *folder)
{
    int n = 0;
    for (const vt_json *r = first_of(e->json, "runs"); r; r = vt_json_next(r)) n++;
    e->runs = calloc((size_t)n + 1, sizeof *e->runs);
    e->arm_of = calloc((size_t)n + 1, sizeof *e->arm_of);
    VT_REQUIRE(e->runs && e->arm_of, VT_ERR_MEMORY, "out of memory");
    for (const vt_json *r = first_of(e->json, "runs"); r; r = vt_json_next(r)) {
        const char *below = text_of(r, "path");
        char *path = vt_path_join(folder, below);
        VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
        vt_status status = VT_ERR_IO;
        if (*below && vt_is_directory(path)) status = vt_record_read(&e->runs[e->n], path);
        free(path);
        if (status == VT_ERR_MEMORY) return status;
        if (status != VT_OK) continue;
        char *name = strdup(below); // "CutMix/seed0" tells more than "seed0"
        if (name) {
            free(e->runs[e->n].name);
            e->runs[e->n].name = name;
        }
        e->arm_of[e->n++] = text_of(r, "arm");
    }
    return VT_OK;
}

vt_status vt_experiment_view_read(vt_experiment_view *e, const char *folder)
{
    *e = (vt_experiment_view){0};
    char *path = vt_path_join(folder, "experiment.json");
    VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
    vt_status status = vt_json_read(&e->json, path, (size_t)1 << 26);
    if (status == VT_OK &&
        (vt_json_type_of(e->json) != VT_JSON_OBJECT || !first_of(e->json, "arms")))
        status = vt_fail(VT_ERR_FORMAT, "%s: expected an object with \"arms\"", path);
    free(path);
    if (status == VT_OK) status = read_runs(e, folder);
    if (status != VT_OK) vt_experiment_view_free(e);
    return status;
}

void vt_experiment_view_free(vt_experiment_view *e)
{
    for (int i = 0; i < e->n; i++) vt_record_free(&e->runs[i]);
    free(e->runs);
    free(e->arm_of);
    vt_json_destroy(e->json);
    *e = (vt_experiment_view){0};
}

// ---- the table ----

static void write_cell(FILE *page, const char *format, double value)
{
    fputs("<td class=\"num\">", page);
    if (isfinite(value))
        fprintf(page, format, value);
    else
        fputs("\xe2\x80\x93", page);
    fputs("</td>", page);
}

static void write_spread(FILE *page, const vt_json *arm, const char *mean, const char *sd,
                         int digits)
{
    const double m = vt_json_number_at(arm, mean), s = vt_json_number_at(arm, sd);
    fputs("<td class=\"num\">", page);
    if (isfinite(m)) fprintf(page, "%.*f", digits, m);
    if (isfinite(m) && isfinite(s)) fprintf(page, " \xc2\xb1 %.*f", digits, s);
    if (!isfinite(m)) fputs("\xe2\x80\x93", page);
    fputs("</td>", page);
}

// What was asked comes first: a phone shows three or four columns.
static void write_arm(FILE *page, const vt_json *arm)
{
    const vt_json *a = against(arm);
    char *set = vt_json_text(vt_json_get(arm, "set"), false);
    fputs("<tr><th scope=\"row\" class=\"arm\"><span title=\"", page);
    vt_html_text(page, set ? set : "");
    fputs("\">", page);
    vt_html_text(page, text_of(arm, "name"));
    fputs("</span></th><td class=\"word\">", page);
    free(set);
    vt_html_text(page, a ? text_of(a, "verdict") : "baseline");
    fputs("</td>", page);
    if (a) write_cell(page, "%+.2f", vt_json_number_at(a, "mean"));
    fputs(a ? "<td class=\"num\">" : "<td></td><td>", page);
    if (a && isfinite(vt_json_number_at(a, "low")))
        fprintf(page, "%+.2f to %+.2f", vt_json_number_at(a, "low"), vt_json_number_at(a, "high"));
    fputs("</td>", page);
    write_spread(page, arm, "acc1_mean", "acc1_sd", 2);
    write_cell(page, "%.0f", vt_json_number_at(arm, "n"));
    write_spread(page, arm, "acc5_mean", "acc5_sd", 2);
    write_spread(page, arm, "loss_mean", "loss_sd", 4);
    if (a) {
        write_cell(page, "%.3g", vt_json_number_at(a, "p"));
        write_cell(page, "%.3g", vt_json_number_at(a, "p_holm"));
    } else {
        fputs("<td></td><td></td>", page);
    }
    fputs("</tr>\n", page);
}

static void write_table(FILE *page, const vt_json *json)
{
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"table\"><table><thead><tr><th>arm</th><th>verdict</th>"
          "<th class=\"num\">difference</th><th class=\"num\">95% interval</th>"
          "<th class=\"num\">top-1 %</th><th class=\"num\">runs</th><th class=\"num\">top-5 %</th>"
          "<th class=\"num\">test loss</th><th class=\"num\">p</th><th class=\"num\">p (Holm)</th>"
          "</tr></thead><tbody>\n",
          page);
    for (const vt_json *arm = first_of(json, "arms"); arm; arm = vt_json_next(arm))
        write_arm(page, arm);
    fputs(
        "</tbody></table></div>\n<p class=\"note\">Last epoch's accuracies, mean \xc2\xb1 standard "
        "deviation. Differences in top-1 points from the baseline with the same seeds, with "
        "Student's "
        "interval. Intervals are each arm's own; Holm's p counts how many arms there are.</p>\n",
        page);
}

// ---- differences ----

static void write_differences(FILE *page, const vt_json *json)
{
    vt_interval *rows = NULL;
    int n = 0;
    for (const vt_json *arm = first_of(json, "arms"); arm; arm = vt_json_next(arm)) n++;
    rows = calloc((size_t)n + 1, sizeof *rows);
    n = 0;
    for (const vt_json *arm = first_of(json, "arms"); rows && arm; arm = vt_json_next(arm)) {
        const vt_json *a = against(arm);
        if (!a || !isfinite(vt_json_number_at(a, "mean"))) continue;
        rows[n++] = (vt_interval){.label = text_of(arm, "name"),
                                  .middle = vt_json_number_at(a, "mean"),
                                  .low = vt_json_number_at(a, "low"),
                                  .high = vt_json_number_at(a, "high")};
    }
    if (n > 0)
        vt_intervals_write(page, "chart-differences",
                           "Difference from the baseline, top-1 points, with its 95% interval",
                           "points", rows, n);
    free(rows);
}

// ---- curves ----

typedef struct arm_curve {
    double *numbers; // x, mean, lowest, highest: (epochs) each
    int epochs;
} arm_curve;

static int epochs_of(const vt_experiment_view *e, const char *arm)
{
    double most = 0;
    for (int i = 0; i < e->n; i++) {
        const vt_lines *log = &e->runs[i].log;
        if (!strcmp(e->arm_of[i], arm) && log->n > 0)
            most = fmax(most, vt_json_number_at(log->lines[log->n - 1], "epoch") + 1);
    }
    return most < MOST_EPOCHS ? (int)most : MOST_EPOCHS;
}

// The value of an epoch; NAN if its line is not there or damaged.
static double value_at(const vt_lines *log, const char *key, int epoch)
{
    for (int i = epoch < log->n ? epoch : log->n - 1; i >= 0; i--)
        if (vt_json_number_at(log->lines[i], "epoch") == epoch)
            return vt_json_number_at(log->lines[i], key);
    return NAN;
}

// Mean over the runs that have the epoch, and the lowest and highest of them.
static void mean_at(const vt_experiment_view *e, const char *arm, const char *key, int epoch,
                    double out[3])
{
    double sum = 0;
    int n = 0;
    out[1] = INFINITY;
    out[2] = -INFINITY;
    for (int i = 0; i < e->n; i++) {
        if (strcmp(e->arm_of[i], arm) != 0) continue;
        const double value = value_at(&e->runs[i].log, key, epoch);
        if (!isfinite(value)) continue;
        sum += value;
        n++;
        out[1] = fmin(out[1], value);
        out[2] = fmax(out[2], value);
    }
    out[0] = n ? sum / n : NAN;
}

static vt_status make_curve(arm_curve *c, const vt_experiment_view *e, const char *arm,
                            const char *key)
{
    c->epochs = epochs_of(e, arm);
    c->numbers = malloc((4 * (size_t)c->epochs + 1) * sizeof *c->numbers);
    VT_REQUIRE(c->numbers, VT_ERR_MEMORY, "out of memory");
    for (int i = 0; i < c->epochs; i++) {
        double values[3];
        mean_at(e, arm, key, i, values);
        c->numbers[i] = i + 1;
        for (int k = 0; k < 3; k++) c->numbers[(k + 1) * c->epochs + i] = values[k];
    }
    return VT_OK;
}

static vt_status draw_arms(FILE *page, const vt_experiment_view *e, const char *id,
                           const char *title, const char *key, int digits)
{
    int n = 0, arms = 0;
    for (const vt_json *arm = first_of(e->json, "arms"); arm; arm = vt_json_next(arm)) arms++;
    vt_series *series = calloc((size_t)arms + 1, sizeof *series);
    arm_curve *curves = calloc((size_t)arms + 1, sizeof *curves);
    vt_status status = series && curves ? VT_OK : vt_fail(VT_ERR_MEMORY, "out of memory");
    for (const vt_json *arm = first_of(e->json, "arms"); status == VT_OK && arm;
         arm = vt_json_next(arm), n++) {
        arm_curve *c = &curves[n];
        status = make_curve(c, e, text_of(arm, "name"), key);
        series[n] = (vt_series){.name = text_of(arm, "name"),
                                .x = c->numbers,
                                .y = c->numbers + c->epochs,
                                .low = c->numbers + 2 * c->epochs,
                                .high = c->numbers + 3 * c->epochs,
                                .n = c->epochs,
                                .colour = n,
                                .dashed = n % 16 >= 8};
    }
    const vt_plot plot = {.id = id,
                          .title = title,
                          .x_label = "epoch",
                          .series = series,
                          .n_series = n,
                          .whole_x = true,
                          .digits = digits,
                          .note =
                              "Mean over seeds; the band goes from the lowest to the highest run."};
    if (status == VT_OK) vt_plot_write(page, &plot);
    for (int i = 0; curves && i < arms; i++) free(curves[i].numbers);
    free(curves);
    free(series);
    return status;
}

// ---- the page ----

static void write_states(FILE *page, const vt_json *json)
{
    int finished = 0, all = 0;
    for (const vt_json *r = first_of(json, "runs"); r; r = vt_json_next(r), all++)
        finished += !strcmp(text_of(r, "state"), "finished");
    fprintf(page, "<p class=\"lead\">%d of %d runs are finished. Baseline: ", finished, all);
    vt_html_text(page, text_of(json, "baseline"));
    fputs(".</p>\n", page);
}

static void write_failures(FILE *page, const vt_json *json)
{
    for (const vt_json *r = first_of(json, "runs"); r; r = vt_json_next(r))
        if (!strcmp(text_of(r, "state"), "failed"))
            vt_page_missing(page, "%s, seed %.0f, failed: %s", text_of(r, "arm"),
                            vt_json_number_at(r, "seed"), text_of(r, "error"));
}

// What the arms did to labels and how they are configured, each as of its first run.
static vt_status write_arms(FILE *page, const vt_experiment_view *e)
{
    vt_record *first = calloc((size_t)e->n + 1, sizeof *first); // their parts are e's
    vt_report arms = {.page = page, .runs = first};
    VT_REQUIRE(first, VT_ERR_MEMORY, "out of memory");
    for (int i = 0; i < e->n; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++) seen = seen || !strcmp(e->arm_of[k], e->arm_of[i]);
        if (!seen) first[arms.n++] = e->runs[i];
    }
    vt_status status = arms.n > 0 ? vt_section_shares(&arms) : VT_OK;
    if (status == VT_OK && arms.n > 0) status = vt_section_config(&arms);
    free(first);
    return status;
}

vt_status vt_experiment_page(FILE *page, const vt_experiment_view *e)
{
    const char *title = text_of(e->json, "title");
    const vt_report all = {.page = page, .runs = e->runs, .n = e->n};
    if (!*title) title = "Experiment";
    vt_page_begin(page, title);
    fputs("<h1>", page);
    vt_html_text(page, title);
    fputs("</h1>\n<section id=\"experiment\" aria-label=\"Results\">\n", page);
    write_states(page, e->json);
    write_table(page, e->json);
    write_differences(page, e->json);
    write_failures(page, e->json);
    vt_section_end(page);
    vt_section_begin(page, "curves", "Training");
    fputs("<div class=\"charts\">\n", page);
    VT_TRY(draw_arms(page, e, "chart-accuracy", "Top-1 on the test data, %", "test_acc1", 2));
    VT_TRY(draw_arms(page, e, "chart-test-loss", "Test loss", "test_loss", 4));
    VT_TRY(draw_arms(page, e, "chart-loss", "Training loss", "train_loss", 4));
    VT_TRY(draw_arms(page, e, "chart-lr", "Learning rate", "train_lr", 6));
    VT_TRY(draw_arms(page, e, "chart-throughput", "Throughput, images/s", "images_per_s", 1));
    fputs("</div>\n<p class=\"note\">The page in each run's folder has confusion, worst-classified "
          "images, mixed pictures and shares by layer.</p>\n",
          page);
    vt_section_end(page);
    VT_TRY(write_arms(page, e));
    VT_TRY(vt_section_notes(&all));
    vt_page_end(page);
    return VT_OK;
}
