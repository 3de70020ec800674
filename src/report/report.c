// A page, section by section; see the header.
#include "vitrain/report/report.h"

#include "sections.h"
#include "vitrain/io/file.h"
#include "vitrain/report/html.h"

#include <stdlib.h>
#include <string.h>

static vt_status write_runs(FILE *page, const void *what)
{
    static vt_status (*const sections[])(const vt_report *) = {
        vt_section_summary,   vt_section_curves, vt_section_shares, vt_section_mixed,
        vt_section_confusion, vt_section_worst,  vt_section_config, vt_section_notes,
    };
    vt_report report = *(const vt_report *)what;
    char title[512];
    report.page = page;
    if (report.n == 1)
        snprintf(title, sizeof title, "%s", report.runs[0].name);
    else
        snprintf(title, sizeof title, "%d runs", report.n);
    vt_page_begin(page, title);
    fputs("<h1>", page);
    vt_html_text(page, title);
    fputs("</h1>\n", page);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) VT_TRY(sections[i](&report));
    vt_page_end(page);
    return VT_OK;
}

static vt_status write_experiment(FILE *page, const void *what)
{
    return vt_experiment_page(page, what);
}

// The old page or the whole new one.
static vt_status write_file(const char *path, vt_status (*write)(FILE *page, const void *what),
                            const void *what)
{
    vt_atomic_file file;
    VT_TRY(vt_atomic_begin(&file, path));
    vt_status status = write(file.stream, what);
    if (status == VT_OK) return vt_atomic_commit(&file);
    vt_atomic_abandon(&file);
    return status;
}

// Runs of the same name (seed0, seed0) get the folder's name that holds them too.
static vt_status tell_apart(vt_record *runs, int n)
{
    bool same = false;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) same = same || strcmp(runs[i].name, runs[k].name) == 0;
    for (int i = 0; same && i < n; i++) {
        const char *at = runs[i].folder + strlen(runs[i].folder);
        for (int slashes = 0; at > runs[i].folder; at--)
            if (at[-1] == '/' && ++slashes == 2) break;
        char *name = strdup(at);
        VT_REQUIRE(name, VT_ERR_MEMORY, "out of memory");
        free(runs[i].name);
        runs[i].name = name;
    }
    return VT_OK;
}

static bool is_experiment(const char *folder)
{
    char *path = vt_path_join(folder, "experiment.json");
    const bool found = path && vt_file_exists(path);
    free(path);
    return found;
}

// One of several.
static vt_status read_run(vt_record *run, const char *folder)
{
    VT_REQUIRE(!is_experiment(folder), VT_ERR_USAGE,
               "%s: is an experiment, whose page has its runs side by side: give it alone", folder);
    return vt_record_read(run, folder);
}

static vt_status report_experiment(const char *path, const char *folder)
{
    vt_experiment_view e;
    VT_TRY(vt_experiment_view_read(&e, folder));
    vt_status status = write_file(path, write_experiment, &e);
    vt_experiment_view_free(&e);
    return status;
}

vt_status vt_report_write(const char *path, const char *const *folders, int n,
                          const vt_report_options *options)
{
    if (n == 1 && is_experiment(folders[0])) return report_experiment(path, folders[0]);
    vt_record *runs = calloc((size_t)n, sizeof *runs);
    vt_material material = {0};
    vt_report report = {.runs = runs, .n = n};
    VT_REQUIRE(runs, VT_ERR_MEMORY, "out of memory");
    vt_status status = VT_OK;
    for (int k = 0; k < n && status == VT_OK; k++) status = read_run(&runs[k], folders[k]);
    if (status == VT_OK) status = tell_apart(runs, n);
    if (status == VT_OK && n == 1) {
        report.material = &material;
        status = vt_material_open(&material, &runs[0], options);
    }
    if (status == VT_OK) status = write_file(path, write_runs, &report);
    vt_material_close(&material);
    for (int k = 0; k < n; k++) vt_record_free(&runs[k]);
    free(runs);
    return status;
}
