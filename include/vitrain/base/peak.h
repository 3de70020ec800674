// What this machine can do at most, measured: the yardstick of every benchmark. All threads
// (vt_threads) work at once; each takes about half a second.
#ifndef VITRAIN_BASE_PEAK_H
#define VITRAIN_BASE_PEAK_H

#include "vitrain/base/status.h"

// GFLOP/s of multiply-adds of vt_real in registers.
double vt_peak_gflops(void);

// GFLOP/s of bf16 dot products accumulated in fp32, in registers; 0 where the processor that the
// program was built for has none, or none that is measured here (AVX512-BF16 is).
double vt_peak_bf16_gflops(void);

// GB/s between memory and the processor, reads and writes together. Takes 192 MiB while it measures.
vt_status vt_peak_memory(double *gb_per_s);

#endif
