// The parts of a report. Each writes a <section> with an id of its own, also when it has nothing to
// show: then it says why.
#ifndef VITRAIN_REPORT_SECTIONS_H
#define VITRAIN_REPORT_SECTIONS_H

#include "material.h"
#include "vitrain/report/record.h"
#include "vitrain/report/report.h"

#include <stdio.h>

typedef struct vt_report {
    FILE *page;
    const vt_record *runs; // (n)
    int n;
    const vt_material *material; // of a single run; NULL for several
} vt_report;

// An experiment's folder.
typedef struct vt_experiment_view {
    vt_json *json;       // experiment.json
    vt_record *runs;     // (n) those that have a folder
    const char **arm_of; // (n) names, the json's
    int n;
} vt_experiment_view;

vt_status vt_experiment_view_read(vt_experiment_view *e, const char *folder);
void vt_experiment_view_free(vt_experiment_view *e); // takes a zeroed one
vt_status vt_experiment_page(FILE *page, const vt_experiment_view *e);

// The page's frame; title as text.
void vt_page_begin(FILE *page, const char *title);
void vt_page_end(FILE *page);

void vt_section_begin(FILE *page, const char *id, const char *title);
void vt_section_end(FILE *page);
// A sentence in the place of something that is missing; printf.
void vt_page_missing(FILE *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

vt_status vt_section_summary(const vt_report *report);
vt_status vt_section_curves(const vt_report *report);
vt_status vt_section_shares(const vt_report *report);
vt_status vt_section_mixed(const vt_report *report);
vt_status vt_section_confusion(const vt_report *report);
vt_status vt_section_worst(const vt_report *report);
vt_status vt_section_config(const vt_report *report);
vt_status vt_section_notes(const vt_report *report);

#endif
