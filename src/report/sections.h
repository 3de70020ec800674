// The parts of a report. Each writes a <section> with an id of its own, also when it has nothing to show:
// then it says why.
#ifndef VITRAIN_REPORT_SECTIONS_H
#define VITRAIN_REPORT_SECTIONS_H

#include "vitrain/report/record.h"
#include "vitrain/report/report.h"

#include <stdio.h>

typedef struct vt_report {
    FILE *page;
    vt_record *runs; // (n)
    int n;
    const vt_report_options *options;
} vt_report;

// The page's frame; title as text.
void vt_page_begin(FILE *page, const char *title);
void vt_page_end(FILE *page);

void vt_section_begin(FILE *page, const char *id, const char *title);
void vt_section_end(FILE *page);
// A sentence in the place of something that is missing; printf.
void vt_page_missing(FILE *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

vt_status vt_section_summary(const vt_report *report);
vt_status vt_section_curves(const vt_report *report);
vt_status vt_section_config(const vt_report *report);
vt_status vt_section_notes(const vt_report *report);

#endif
