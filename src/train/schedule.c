// The learning rate: linear warm-up, then a cosine (SGDR, Loshchilov & Hutter, arXiv 1608.03983,
// without restarts) or nothing. The formulas are in the header; they are those of timm's
// CosineLRScheduler with t_initial = E, warmup_t = W, cycle_limit = 1: the cosine does not begin
// after the warm-up but runs under it from t = 0.
#include "vitrain/train/schedule.h"

#include <math.h>
#include <string.h>

double vt_schedule_peak_lr(const vt_config *config)
{
    double lr = config->optim.lr, base = config->optim.lr_base_batch;
    double global_batch = (double)config->train.batch_size * config->train.accumulate;
    return base > 0 ? lr * global_batch / base : lr;
}

double vt_schedule_lr(const vt_config *config, int64_t step, int64_t steps_per_epoch)
{
    const vt_schedule_config *schedule = &config->schedule;
    double lr = vt_schedule_peak_lr(config);
    double warmup = schedule->warmup_epochs, low = schedule->warmup_lr, end = schedule->min_lr;
    double t;
    if (schedule->compat == VT_SCHEDULE_DEIT) {
        int64_t epoch = step / steps_per_epoch;
        t = epoch > 0 ? (double)(epoch - 1) : 0;
    } else {
        t = (double)step / (double)steps_per_epoch;
    }
    if (t < warmup) return low + t * (lr - low) / warmup;
    if (strcmp(schedule->name, "constant") == 0) return lr;
    return end + (lr - end) * (1 + cos(M_PI * t / config->train.epochs)) / 2;
}
