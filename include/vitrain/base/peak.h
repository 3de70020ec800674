// What this machine can do at most, measured: the yardstick of every benchmark. All threads
// (vt_threads) work at once; each takes about a second.
#ifndef VITRAIN_BASE_PEAK_H
#define VITRAIN_BASE_PEAK_H

#include "vitrain/base/status.h"

// GFLOP/s of multiply-adds of vt_real in registers.
double vt_peak_gflops(void);

// GFLOP/s of bf16 products accumulated in fp32, in registers: by AMX, else AVX512-BF16; 0 where the
// processor that the program was built for has neither.
double vt_peak_bf16_gflops(void);

// What both do. A trial takes some seconds for its rounds; whatever disturbs it makes it slower,
// and a busy machine can hold up a thread for longer than a short trial takes. So the rounds are
// doubled until even the best of several trials is long, and the best of ten such is returned, in
// seconds.
typedef double vt_trial_fn(void *self, long rounds);
double vt_best_trial(vt_trial_fn *trial, void *self, long *rounds);

// GB/s between memory and the processor, reads and writes together. Takes 192 MiB while it
// measures.
vt_status vt_peak_memory(double *gb_per_s);

#endif
