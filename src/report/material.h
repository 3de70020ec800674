// What pictures and confusions of a run are made from: its configuration, its data, its model, and
// what it said of the validation data. Each may be missing, with a reason that the page tells.
#ifndef VITRAIN_REPORT_MATERIAL_H
#define VITRAIN_REPORT_MATERIAL_H

#include "vitrain/report/record.h"
#include "vitrain/report/report.h"
#include "vitrain/train/evaluate.h"

enum { VT_REASON_BYTES = 512 };

typedef struct vt_material {
    vt_config config;
    vt_classes classes;  // (model.num_classes) numbers where the data does not tell names
    vt_source *val;      // data.val; NULL: no_data says why
    vt_model *model;     // NULL: no_model says why
    vt_real *weights;    // model.safetensors
    vt_predictions said; // of data.val; n = 0: not_said says why
    vt_arena arena;      // theirs
    char no_data[VT_REASON_BYTES], no_model[VT_REASON_BYTES], not_said[VT_REASON_BYTES];
} vt_material;

// VT_ERR_MEMORY, VT_INTERRUPTED; nothing else is an error here. To be closed in any case.
vt_status vt_material_open(vt_material *m, const vt_record *run, const vt_report_options *options);
void vt_material_close(vt_material *m);

#endif
