// Every label rule.
#include "vitrain/label/label.h"

extern const vt_label_ops vt_label_area, vt_label_tl_align, vt_label_transmix;

const vt_label_ops *const vt_label_rules[] = {
    &vt_label_area,
    &vt_label_tl_align,
    &vt_label_transmix,
    NULL,
};
