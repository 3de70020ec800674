// The resolved configuration; of several runs first the keys in which they differ. And what is
// wrong with the runs' files.
#include "sections.h"

#include "vitrain/report/html.h"

#include <stdlib.h>
#include <string.h>

typedef struct table {
    const vt_report *report;
    bool differing; // keys that differ alone
    int walked;     // runs whose keys are in it
    int rows;
} table;

static void write_row(table *t, const char *path, char *const *values)
{
    FILE *page = t->report->page;
    fputs("<tr><th scope=\"row\" class=\"mono\">", page);
    vt_html_text(page, path);
    fputs("</th>", page);
    for (int k = 0; k < (t->differing ? t->report->n : 1); k++) {
        fputs("<td class=\"mono\">", page);
        vt_html_text(page, values[k] ? values[k] : "\xe2\x80\x93");
        fputs("</td>", page);
    }
    fputs("</tr>\n", page);
    t->rows++;
}

static vt_status write_value(table *t, const char *path)
{
    const vt_report *r = t->report;
    char **values = calloc((size_t)r->n, sizeof *values);
    VT_REQUIRE(values, VT_ERR_MEMORY, "out of memory");
    bool differ = false, seen = false;
    for (int k = 0; k < r->n; k++) {
        values[k] = vt_record_setting_text(&r->runs[k], path);
        const char *a = values[0] ? values[0] : "", *b = values[k] ? values[k] : "";
        differ = differ || strcmp(a, b) != 0;
        seen = seen || (k < t->walked && values[k]);
    }
    // Every run has an output of its own; that says nothing.
    if (!t->differing || (differ && !seen && strcmp(path, "output") != 0))
        write_row(t, path, values);
    for (int k = 0; k < r->n; k++) free(values[k]);
    free(values);
    return VT_OK;
}

// The members of `node`, at `path`.
static vt_status walk(table *t, const vt_json *node, const char *path)
{
    for (const vt_json *m = vt_json_first(node); m; m = vt_json_next(m)) {
        char inner[512];
        const int n =
            snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", vt_json_key(m));
        if (n < 0 || n >= (int)sizeof inner) continue;
        if (vt_json_type_of(m) == VT_JSON_OBJECT)
            VT_TRY(walk(t, m, inner));
        else
            VT_TRY(write_value(t, inner));
    }
    return VT_OK;
}

// of: the run whose settings they are; NULL: those in which runs differ, which may not all have
// them.
static vt_status write_settings(const vt_report *r, const vt_record *of)
{
    FILE *page = r->page;
    const vt_report one = {.page = page, .runs = of, .n = 1};
    table t = {.report = of ? &one : r, .differing = !of};
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"table\"><table><thead><tr><th>key</th>",
          page);
    for (int k = 0; k < t.report->n; k++) {
        fputs("<th>", page);
        vt_html_text(page, of ? "value" : r->runs[k].name);
        fputs("</th>", page);
    }
    fputs("</tr></thead><tbody>\n", page);
    for (; t.walked < t.report->n; t.walked++)
        if (t.report->runs[t.walked].config) VT_TRY(walk(&t, t.report->runs[t.walked].config, ""));
    fputs("</tbody></table></div>\n", page);
    if (t.rows == 0) fputs("<p>They do not differ.</p>\n", page);
    return VT_OK;
}

vt_status vt_section_config(const vt_report *r)
{
    FILE *page = r->page;
    vt_section_begin(page, "config", "Configuration");
    if (r->n > 1) {
        fputs("<h3>Where the runs differ</h3>\n", page);
        VT_TRY(write_settings(r, NULL));
    }
    for (int k = 0; k < r->n; k++) {
        const vt_record *run = &r->runs[k];
        if (!run->config) {
            vt_page_missing(page, "%s: config.json is missing or damaged.", run->name);
            continue;
        }
        fputs("<details><summary>All settings", page);
        if (r->n > 1) {
            fputs(" of ", page);
            vt_html_text(page, run->name);
        }
        fputs("</summary>\n", page);
        VT_TRY(write_settings(r, run));
        fputs("</details>\n", page);
    }
    vt_section_end(page);
    return VT_OK;
}

// ---- notes ----

static int note_damage(FILE *page, const vt_record *run, const vt_lines *lines, const char *name)
{
    if (!lines->damaged) return 0;
    vt_page_missing(page, "%s: %s: %d damaged line%s left out, the first is line %lld.", run->name,
                    name, lines->damaged, lines->damaged == 1 ? "" : "s", lines->first_damaged);
    return 1;
}

vt_status vt_section_notes(const vt_report *r)
{
    int notes = 0;
    vt_section_begin(r->page, "notes", "Notes");
    for (int k = 0; k < r->n; k++) {
        const vt_record *run = &r->runs[k];
        notes += note_damage(r->page, run, &run->log, "log.jsonl");
        notes += note_damage(r->page, run, &run->steps, "steps.jsonl");
        notes += note_damage(r->page, run, &run->shares, "shares.jsonl");
        const double planned =
            vt_json_type_of(vt_record_setting(run, "train.epochs")) == VT_JSON_NUMBER
                ? vt_json_number(vt_record_setting(run, "train.epochs"))
                : 0;
        if (run->log.n > 0 && run->log.n + run->log.damaged < planned) {
            vt_page_missing(r->page, "%s: %d of %.0f epochs are done.", run->name, run->log.n,
                            planned);
            notes++;
        }
    }
    if (!notes) fputs("<p>All files of the run were read without complaint.</p>\n", r->page);
    vt_section_end(r->page);
    return VT_OK;
}
