// Labels by area: what Mixup and CutMix were published with. The share is the plan's lambda.
#include "vitrain/label/label.h"

#include <string.h>

static void finish(vt_label *label, vt_real *share, vt_real *share_dist)
{
    size_t bytes = (size_t)label->plan->B * sizeof *share;
    memcpy(share, label->plan->lambda, bytes);
    if (share_dist) memcpy(share_dist, label->plan->lambda, bytes);
}

const vt_label_ops vt_label_area = {
    .name = "area",
    .finish = finish,
};
