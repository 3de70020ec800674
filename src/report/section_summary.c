// What a run came to, in a few numbers; several runs as a table.
#include "sections.h"

#include "vitrain/report/html.h"

#include <math.h>
#include <stdlib.h>

// One number of a run, and how it is written.
typedef struct fact {
    const char *name, *format;
    double (*of)(const vt_record *run);
} fact;

static const vt_json *last_line(const vt_record *run)
{
    return run->log.n > 0 ? run->log.lines[run->log.n - 1] : NULL;
}

static double last(const vt_record *run, const char *key)
{
    return vt_json_number_at(last_line(run), key);
}

static double acc1(const vt_record *run)
{
    return last(run, "test_acc1");
}

static double acc5(const vt_record *run)
{
    return last(run, "test_acc5");
}

static double test_loss(const vt_record *run)
{
    return last(run, "test_loss");
}

static double train_loss(const vt_record *run)
{
    return last(run, "train_loss");
}

static double best(const vt_record *run)
{
    double most = NAN;
    for (int i = 0; i < run->log.n; i++)
        most = fmax(most, vt_json_number_at(run->log.lines[i], "test_acc1"));
    return most;
}

static double parameters(const vt_record *run)
{
    return last(run, "n_parameters") / 1e6;
}

static double epochs(const vt_record *run)
{
    return last(run, "epoch") + 1;
}

static double minutes(const vt_record *run)
{
    double sum = 0;
    for (int i = 0; i < run->log.n; i++)
        sum += vt_json_number_at(run->log.lines[i], "train_s") / 60;
    return sum;
}

static double rate(const vt_record *run)
{
    return last(run, "images_per_s");
}

static const fact facts[] = {
    {"top-1, last epoch", "%.2f%%", acc1},
    {"top-1, best epoch", "%.2f%%", best},
    {"top-5", "%.2f%%", acc5},
    {"test loss", "%.4f", test_loss},
    {"training loss", "%.4f", train_loss},
    {"epochs done", "%.0f", epochs},
    {"parameters", "%.2f M", parameters},
    {"training time", "%.1f min", minutes},
    {"images / s", "%.1f", rate},
};
enum { FACTS = sizeof facts / sizeof *facts };

static void write_number(FILE *page, const fact *f, const vt_record *run)
{
    const double value = f->of(run);
    if (isfinite(value))
        fprintf(page, f->format, value);
    else
        fputs("\xe2\x80\x93", page);
}

static void write_setting(FILE *page, const vt_record *run, const char *path)
{
    char *text = vt_record_setting_text(run, path);
    vt_html_text(page, text ? text : "?");
    free(text);
}

static void write_one(const vt_report *r)
{
    FILE *page = r->page;
    const vt_record *run = &r->runs[0];
    fputs("<p class=\"lead\">", page);
    write_setting(page, run, "model.name");
    fputs(", labels by ", page);
    write_setting(page, run, "label.rule");
    fputs(", seed ", page);
    write_setting(page, run, "train.seed");
    fputs(", ", page);
    write_setting(page, run, "train.epochs");
    fputs(" epochs planned. <span class=\"mono\">", page);
    vt_html_text(page, run->folder);
    fputs("</span></p>\n<dl class=\"facts\">", page);
    for (int i = 0; i < FACTS; i++) {
        if (!isfinite(facts[i].of(run))) continue;
        fprintf(page, "<div><dt>%s</dt><dd>", facts[i].name);
        write_number(page, &facts[i], run);
        fputs("</dd></div>", page);
    }
    fputs("</dl>\n", page);
}

static void write_several(const vt_report *r)
{
    FILE *page = r->page;
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"table\"><table><thead><tr><th>run</th><th>label rule</th>",
          page);
    for (int i = 0; i < FACTS; i++) fprintf(page, "<th class=\"num\">%s</th>", facts[i].name);
    fputs("</tr></thead><tbody>\n", page);
    for (int k = 0; k < r->n; k++) {
        fputs("<tr><th scope=\"row\">", page);
        vt_html_text(page, r->runs[k].name);
        fputs("</th><td class=\"word\">", page);
        write_setting(page, &r->runs[k], "label.rule");
        fputs("</td>", page);
        for (int i = 0; i < FACTS; i++) {
            fputs("<td class=\"num\">", page);
            write_number(page, &facts[i], &r->runs[k]);
            fputs("</td>", page);
        }
        fputs("</tr>\n", page);
    }
    fputs("</tbody></table></div>\n", page);
}

vt_status vt_section_summary(const vt_report *r)
{
    fputs("<section id=\"summary\" aria-label=\"Summary\">\n", r->page);
    if (r->n == 1)
        write_one(r);
    else
        write_several(r);
    vt_section_end(r->page);
    return VT_OK;
}
