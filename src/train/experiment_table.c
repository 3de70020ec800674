// What an experiment says: numbers for programs, a table for people.
#include "vitrain/train/experiment.h"

#include "vitrain/io/file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- numbers ----

static const vt_experiment_run *finished_run(const vt_experiment *e, int arm, uint64_t seed)
{
    for (int i = 0; i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        if (run->arm == arm && run->seed == seed && run->state == VT_RUN_FINISHED) return run;
    }
    return NULL;
}

// The seeds that are finished in an arm and in the baseline, in the arm's order; differences may be
// NULL. Returns how many.
static int common_seeds(const vt_experiment *e, int arm, uint64_t *seeds, double *differences)
{
    int n = 0;
    for (int i = 0; i < e->arms[arm].n_seeds; i++) {
        const uint64_t seed = e->arms[arm].seeds[i];
        const vt_experiment_run *mine = finished_run(e, arm, seed),
                                *base = finished_run(e, e->baseline, seed);
        if (!mine || !base) continue;
        if (differences) differences[n] = mine->acc1 - base->acc1;
        seeds[n++] = seed;
    }
    return n;
}

static const char *verdict_of(const vt_paired *paired)
{
    const bool all_zero =
        paired->difference.n > 1 && paired->difference.sd == 0 && paired->difference.mean == 0;
    if (isnan(paired->low)) return all_zero ? "no difference shown" : "no verdict";
    if (paired->low > 0) return "better";
    return paired->high < 0 ? "worse" : "no difference shown";
}

static vt_arm_result result_of(const vt_experiment *e, int arm)
{
    double acc1[VT_EXPERIMENT_MAX_SEEDS], acc5[VT_EXPERIMENT_MAX_SEEDS],
        loss[VT_EXPERIMENT_MAX_SEEDS];
    uint64_t seeds[VT_EXPERIMENT_MAX_SEEDS];
    int n = 0;
    for (int i = 0; i < e->arms[arm].n_seeds; i++) {
        const vt_experiment_run *run = finished_run(e, arm, e->arms[arm].seeds[i]);
        if (!run) continue;
        acc1[n] = run->acc1;
        acc5[n] = run->acc5;
        loss[n++] = run->loss;
    }
    vt_arm_result r = {.acc1 = vt_summarize(acc1, n),
                       .acc5 = vt_summarize(acc5, n),
                       .loss = vt_summarize(loss, n)};
    n = arm == e->baseline ? 0 : common_seeds(e, arm, seeds, acc1);
    r.against = vt_compare_paired(acc1, n, VT_EXPERIMENT_CONFIDENCE);
    r.verdict = verdict_of(&r.against);
    return r;
}

void vt_experiment_results(const vt_experiment *e, vt_arm_result *results)
{
    double p[VT_EXPERIMENT_MAX_ARMS], adjusted[VT_EXPERIMENT_MAX_ARMS];
    for (int i = 0; i < e->n_arms; i++) {
        results[i] = result_of(e, i);
        p[i] = results[i].against.p;
    }
    vt_holm(adjusted, p, e->n_arms);
    for (int i = 0; i < e->n_arms; i++) results[i].p_holm = adjusted[i];
}

// ---- experiment.json ----

static void add_summary(vt_json *parent, const char *what, const vt_summary *s)
{
    char key[32];
    snprintf(key, sizeof key, "%s_mean", what);
    vt_json_add_number(parent, key, s->mean);
    snprintf(key, sizeof key, "%s_sd", what);
    vt_json_add_number(parent, key, s->sd);
}

static void add_seeds(vt_json *parent, const uint64_t *seeds, int n)
{
    vt_json *list = vt_json_add_array(parent, "seeds");
    for (int i = 0; i < n; i++) vt_json_add_number(list, NULL, (double)seeds[i]);
}

static void add_comparison(vt_json *parent, const vt_experiment *e, int arm,
                           const vt_arm_result *result)
{
    const vt_paired *a = &result->against;
    if (arm == e->baseline) {
        vt_json_add_null(parent, "against_baseline");
        return;
    }
    uint64_t seeds[VT_EXPERIMENT_MAX_SEEDS];
    const int n = common_seeds(e, arm, seeds, NULL);
    vt_json *node = vt_json_add_object(parent, "against_baseline");
    vt_json_add_number(node, "n", n);
    add_seeds(node, seeds, n);
    vt_json_add_number(node, "mean", a->difference.mean);
    vt_json_add_number(node, "sd", a->difference.sd);
    vt_json_add_number(node, "low", a->low);
    vt_json_add_number(node, "high", a->high);
    vt_json_add_number(node, "t", a->t);
    vt_json_add_number(node, "p", a->p);
    vt_json_add_number(node, "p_holm", result->p_holm);
    vt_json_add_string(node, "verdict", result->verdict);
}

static void add_arm(vt_json *list, const vt_experiment *e, int index, const vt_arm_result *result)
{
    const vt_experiment_arm *arm = &e->arms[index];
    vt_json *node = vt_json_add_object(list, NULL);
    vt_json_add_string(node, "name", arm->name);
    vt_json_add_string(node, "folder", arm->folder + strlen(e->output) + 1);
    vt_json_put_copy(node, "set", arm->set);
    add_seeds(node, arm->seeds, arm->n_seeds);
    vt_json_add_number(node, "n", result->acc1.n);
    add_summary(node, "acc1", &result->acc1);
    add_summary(node, "acc5", &result->acc5);
    add_summary(node, "loss", &result->loss);
    add_comparison(node, e, index, result);
}

static void add_run(vt_json *list, const vt_experiment *e, const vt_experiment_run *run)
{
    vt_json *node = vt_json_add_object(list, NULL);
    vt_json_add_string(node, "arm", e->arms[run->arm].name);
    vt_json_add_number(node, "seed", (double)run->seed);
    vt_json_add_string(node, "path", run->folder + strlen(e->output) + 1);
    vt_json_add_string(node, "state", vt_run_state_name(run->state));
    vt_json_add_number(node, "epoch", (double)run->epoch);
    vt_json_add_number(node, "epochs", e->arms[run->arm].config.train.epochs);
    vt_json_add_number(node, "acc1", run->acc1);
    vt_json_add_number(node, "acc5", run->acc5);
    vt_json_add_number(node, "loss", run->loss);
    vt_json_add_number(node, "seconds", run->seconds);
    if (run->error)
        vt_json_add_string(node, "error", run->error);
    else
        vt_json_add_null(node, "error");
}

static vt_json *json_of(const vt_experiment *e, const vt_arm_result *results)
{
    vt_json *root = vt_json_new_object();
    vt_json_add_number(root, "vitrain_experiment", 1);
    vt_json_add_string(root, "title", e->title);
    vt_json_add_string(root, "definition", e->path_as_given);
    vt_json_add_string(root, "output", e->output_as_given);
    vt_json_add_bool(root, "finished", vt_experiment_count(e, VT_RUN_FINISHED) == e->n_runs);
    vt_json_add_number(root, "confidence", VT_EXPERIMENT_CONFIDENCE);
    vt_json_add_string(root, "baseline", e->arms[e->baseline].name);
    vt_json *arms = vt_json_add_array(root, "arms");
    for (int i = 0; i < e->n_arms; i++) add_arm(arms, e, i, &results[i]);
    vt_json *runs = vt_json_add_array(root, "runs");
    for (int i = 0; i < e->n_runs; i++) add_run(runs, e, &e->runs[i]);
    return root;
}

vt_json *vt_experiment_json(const vt_experiment *e)
{
    vt_arm_result *results = calloc((size_t)e->n_arms, sizeof *results);
    if (!results) return NULL;
    vt_experiment_results(e, results);
    vt_json *root = json_of(e, results);
    free(results);
    return root;
}

// ---- table.md ----

enum { ARM, N, TOP1, TOP5, LOSS, DIFFERENCE, INTERVAL, PAIRS, P, P_HOLM, VERDICT, COLUMNS };
enum { CELL_BYTES = 256 }; // a name of 120 bytes, each of them escaped

typedef char cell[CELL_BYTES];
typedef cell table_row[COLUMNS];

// Whether Markdown would take text[i] for something else: the end of a cell, HTML, an entity, a
// link, other type. Inside a word an underscore is no more than that.
static bool needs_escape(const char *text, size_t i)
{
    if (text[i] == '_')
        return i == 0 || !isalnum((unsigned char)text[i - 1]) ||
               !isalnum((unsigned char)text[i + 1]);
    return strchr("\\|<&[*`~", text[i]) != NULL;
}

// A name inside a table.
static void write_name(cell text, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; name[i] && n + 3 < CELL_BYTES; i++) {
        if (needs_escape(name, i)) text[n++] = '\\';
        text[n++] = (unsigned char)name[i] < 0x20 ? ' ' : name[i];
    }
    text[n] = '\0';
}

// A text outside of it.
static void print_text(FILE *out, const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        if (needs_escape(text, i)) fputc('\\', out);
        fputc(text[i], out);
    }
}

static void write_mean(cell text, const vt_summary *s, int digits)
{
    if (s->n == 0)
        snprintf(text, CELL_BYTES, "-");
    else if (s->n == 1)
        snprintf(text, CELL_BYTES, "%.*f", digits, s->mean);
    else
        snprintf(text, CELL_BYTES, "%.*f ± %.*f", digits, s->mean, digits, s->sd);
}

static void write_p(cell text, double p)
{
    if (isnan(p))
        snprintf(text, CELL_BYTES, "-");
    else
        snprintf(text, CELL_BYTES, p < 0.001 ? "< 0.001" : "%.3f", p);
}

static void write_comparison(table_row row, const vt_arm_result *result)
{
    const vt_paired *a = &result->against;
    const int n = a->difference.n;
    const char *verdict = result->verdict;
    if (n == 0) verdict = "no seed in common yet";
    if (n == 1) verdict = "one seed in common: no interval";
    if (n > 1 && isnan(a->low) && a->difference.mean != 0)
        verdict = "no verdict: the differences do not vary";
    snprintf(row[DIFFERENCE], CELL_BYTES, n ? "%+.2f" : "-", a->difference.mean);
    snprintf(row[INTERVAL], CELL_BYTES, isnan(a->low) ? "-" : "%+.2f to %+.2f", a->low, a->high);
    snprintf(row[PAIRS], CELL_BYTES, "%d", n);
    write_p(row[P], a->p);
    write_p(row[P_HOLM], result->p_holm);
    snprintf(row[VERDICT], CELL_BYTES, "%s", verdict);
}

static void fill_rows(table_row *rows, const vt_experiment *e, const vt_arm_result *results)
{
    static const char *const titles[COLUMNS] = {"arm",  "n",          "top-1, %",     "top-5, %",
                                                "loss", "difference", "95% interval", "pairs",
                                                "p",    "p, Holm",    "verdict"};
    for (int i = 0; i < COLUMNS; i++) snprintf(rows[0][i], CELL_BYTES, "%s", titles[i]);
    for (int i = 0; i < e->n_arms; i++) {
        const vt_arm_result *r = &results[i];
        cell *row = rows[i + 1];
        write_name(row[ARM], e->arms[i].name);
        snprintf(row[N], CELL_BYTES, "%d", r->acc1.n);
        write_mean(row[TOP1], &r->acc1, 2);
        write_mean(row[TOP5], &r->acc5, 2);
        write_mean(row[LOSS], &r->loss, 4);
        if (i == e->baseline)
            snprintf(row[VERDICT], CELL_BYTES, "baseline");
        else
            write_comparison(row, r);
    }
}

// Letters, not bytes: of UTF-8 the bytes that begin one.
static int letters(const char *text)
{
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

// As Markdown, padded so that it reads as it is.
static void print_rows(FILE *out, table_row *rows, int n)
{
    int widths[COLUMNS] = {0};
    for (int i = 0; i < n; i++)
        for (int c = 0; c < COLUMNS; c++)
            if (letters(rows[i][c]) > widths[c]) widths[c] = letters(rows[i][c]);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < COLUMNS; c++)
            fprintf(out, "| %s%*s ", rows[i][c], widths[c] - letters(rows[i][c]), "");
        fputs("|\n", out);
        for (int c = 0; i == 0 && c < COLUMNS; c++) {
            fputs("|", out);
            for (int k = 0; k < widths[c] + 2; k++) fputc('-', out);
        }
        if (i == 0) fputs("|\n", out);
    }
}

static void print_missing(FILE *out, const vt_experiment *e)
{
    const int missing = e->n_runs - vt_experiment_count(e, VT_RUN_FINISHED);
    if (missing == 0) return;
    fprintf(out, "\n%d of %d runs are not finished", missing, e->n_runs);
    const int failed = vt_experiment_count(e, VT_RUN_FAILED);
    fprintf(out, failed ? ", of which failed:\n\n" : ".\n");
    for (int i = 0; i < e->n_runs; i++) {
        const vt_experiment_run *run = &e->runs[i];
        if (run->state != VT_RUN_FAILED) continue;
        fputs("- ", out);
        print_text(out, e->arms[run->arm].name);
        fprintf(out, ", seed %llu: ", (unsigned long long)run->seed);
        print_text(out, run->error ? run->error : "?");
        fputc('\n', out);
    }
}

static void print_table(FILE *out, const vt_experiment *e, const vt_arm_result *results,
                        table_row *rows)
{
    int comparisons = 0;
    for (int i = 0; i < e->n_arms; i++) comparisons += !isnan(results[i].against.p);
    fputs("# ", out);
    print_text(out, e->title);
    fputs("\n\n", out);
    fill_rows(rows, e, results);
    print_rows(out, rows, e->n_arms + 1);
    fputs("\nMean ± standard deviation over n seeds, of the last epoch. Differences of top-1 from "
          "the "
          "baseline are taken seed by seed; the interval of their mean is Student's t, and the "
          "verdict "
          "is the interval's.",
          out);
    if (comparisons > 1)
        fprintf(out,
                " Intervals, verdicts and p are not adjusted for the %d comparisons; Holm's p is.",
                comparisons);
    fputc('\n', out);
    print_missing(out, e);
}

char *vt_experiment_table(const vt_experiment *e)
{
    char *text = NULL;
    size_t bytes;
    vt_arm_result *results = calloc((size_t)e->n_arms, sizeof *results);
    table_row *rows = calloc((size_t)e->n_arms + 1, sizeof *rows);
    FILE *out = results && rows ? open_memstream(&text, &bytes) : NULL;
    bool failed = !out;
    if (out) {
        vt_experiment_results(e, results);
        print_table(out, e, results, rows);
        failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
    }
    free(results);
    free(rows);
    if (!failed) return text;
    free(text);
    return NULL;
}

// ---- files ----

// Takes the text over.
static vt_status write_text(const vt_experiment *e, const char *name, char *text)
{
    char *path = text ? vt_path_join(e->output, name) : NULL;
    vt_status status = path ? vt_file_write(path, text, strlen(text))
                            : vt_fail(VT_ERR_MEMORY, "%s: out of memory", e->output);
    free(path);
    free(text);
    return status;
}

vt_status vt_experiment_write(const vt_experiment *e)
{
    VT_TRY(vt_make_directories(e->output));
    vt_json *json = vt_experiment_json(e);
    char *text = vt_json_text(json, true);
    vt_json_destroy(json);
    VT_TRY(write_text(e, "experiment.json", text));
    return write_text(e, "table.md", vt_experiment_table(e));
}
