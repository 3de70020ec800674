// A page, section by section; see the header.
#include "vitrain/report/report.h"

#include "sections.h"
#include "vitrain/io/file.h"
#include "vitrain/report/html.h"

#include <stdlib.h>

static vt_status write_page(const vt_report *r)
{
    static vt_status (*const sections[])(const vt_report *) = {
        vt_section_summary,   vt_section_curves, vt_section_shares, vt_section_mixed,
        vt_section_confusion, vt_section_worst,  vt_section_config, vt_section_notes,
    };
    char title[512];
    if (r->n == 1)
        snprintf(title, sizeof title, "%s", r->runs[0].name);
    else
        snprintf(title, sizeof title, "%d runs", r->n);
    vt_page_begin(r->page, title);
    fputs("<h1>", r->page);
    vt_html_text(r->page, title);
    fputs("</h1>\n", r->page);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) VT_TRY(sections[i](r));
    vt_page_end(r->page);
    return VT_OK;
}

static vt_status write_file(const char *path, vt_report *r)
{
    vt_atomic_file file;
    VT_TRY(vt_atomic_begin(&file, path));
    r->page = file.stream;
    vt_status status = write_page(r);
    if (status == VT_OK) return vt_atomic_commit(&file);
    vt_atomic_abandon(&file);
    return status;
}

static bool is_experiment(const char *folder)
{
    char *path = vt_path_join(folder, "experiment.json");
    const bool found = path && vt_file_exists(path);
    free(path);
    return found;
}

static vt_status write_experiment(const char *path, const char *folder)
{
    vt_experiment_view e;
    vt_atomic_file file;
    VT_TRY(vt_experiment_view_read(&e, folder));
    vt_status status = vt_atomic_begin(&file, path);
    if (status == VT_OK) {
        status = vt_experiment_page(file.stream, &e);
        if (status == VT_OK)
            status = vt_atomic_commit(&file);
        else
            vt_atomic_abandon(&file);
    }
    vt_experiment_view_free(&e);
    return status;
}

vt_status vt_report_write(const char *path, const char *const *folders, int n,
                          const vt_report_options *options)
{
    if (n == 1 && is_experiment(folders[0])) return write_experiment(path, folders[0]);
    vt_report report = {.options = options, .n = n};
    report.runs = calloc((size_t)n, sizeof *report.runs);
    VT_REQUIRE(report.runs, VT_ERR_MEMORY, "out of memory");
    vt_status status = VT_OK;
    for (int k = 0; k < n && status == VT_OK; k++)
        status = vt_record_read(&report.runs[k], folders[k]);
    vt_material material = {0};
    if (status == VT_OK && n == 1) {
        report.material = &material;
        status = vt_material_open(&material, &report.runs[0], options);
    }
    if (status == VT_OK) status = write_file(path, &report);
    vt_material_close(&material);
    for (int k = 0; k < n; k++) vt_record_free(&report.runs[k]);
    free(report.runs);
    return status;
}
