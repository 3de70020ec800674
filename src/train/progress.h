// How a run shows where it stands: a bar that rewrites itself on a terminal, a line a minute
// elsewhere.
#ifndef VITRAIN_TRAIN_PROGRESS_H
#define VITRAIN_TRAIN_PROGRESS_H

#include <stdint.h>

typedef struct vt_meter {
    double started_s, shown_s;
    int64_t done_at_start; // micro-batches
    double evaluation_s;   // spent in evaluations since the start
    int64_t evaluations;
} vt_meter;

typedef struct vt_meter_reading {
    int64_t epoch, epochs;  // epoch from 0
    int64_t batch, batches; // of the epoch
    int64_t images;         // in a micro-batch
    double loss, lr;
} vt_meter_reading;

vt_meter vt_meter_start(int64_t done_batches);
// Images a second since the start, evaluations left out.
double vt_meter_rate(const vt_meter *meter, const vt_meter_reading *now);
void vt_meter_show(vt_meter *meter, const vt_meter_reading *now);

#endif
