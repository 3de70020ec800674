// The learning rate.
#ifndef VITRAIN_TRAIN_SCHEDULE_H
#define VITRAIN_TRAIN_SCHEDULE_H

#include "vitrain/train/config.h"

// optim.lr x global batch / lr_base_batch (lr itself if that is null).
double vt_schedule_peak_lr(const vt_config *config);

// The rate of optimizer step `step` (0 ..) of epoch step / steps_per_epoch. With W warm-up epochs
// and E epochs: f(t) = warmup_lr + t (lr - warmup_lr) / W for t < W, else min_lr + (lr - min_lr) (1
// + cos(pi t / E)) / 2. compat exact: t = step / steps_per_epoch. compat deit: t = max(0, epoch -
// 1), the whole epoch (timm's CosineLRScheduler as DeiT's script steps it, after the epoch).
// "constant": lr after the same warm-up.
double vt_schedule_lr(const vt_config *config, int64_t step, int64_t steps_per_epoch);

#endif
