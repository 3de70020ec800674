// Measurements of training against the machine's peak, and of a data worker. Only vt_bench_loader
// reads data: the others' images are synthetic, config->model.num_classes must be known to them,
// and they settle config->train.precision.
#ifndef VITRAIN_TRAIN_BENCH_H
#define VITRAIN_TRAIN_BENCH_H

#include "vitrain/data/sample.h"
#include "vitrain/train/config.h"
#include "vitrain/train/step.h"

enum { VT_BENCH_OPTIMIZER = VT_PHASES, VT_BENCH_PHASES }; // phases of vt_step, then the update
extern const char *const vt_bench_phases[VT_BENCH_PHASES];

// The peak that products in train.precision are held against, GFLOP/s.
double vt_bench_peak(const vt_config *config);

typedef struct vt_spread {
    double low, median, high;
} vt_spread;
vt_spread vt_spread_of(double *values, int n); // values: (n), sorted on return

typedef struct vt_bench_step_result {
    int steps;                         // measured, after the warm-up
    vt_spread step_ms;                 // one micro-batch and the optimizer's update
    double phases_ms[VT_BENCH_PHASES]; // medians
    double images_per_s;               // of the median step
    double gflops;                     // GFLOP/s of products really executed; NAN with train.freeze
    double nominal_gflops;             // GFLOP/s by vt_model_ops.train_flops; likewise
    double peak_gflops;                // of this machine in train.precision, the same minute
    unsigned long long peak_rss_bytes; // of the process
} vt_bench_step_result;

// Training steps as the configuration has them, with stochastic depth if it says so. steps: how
// many to measure, at most VT_BENCH_MOST; 0: five seconds' worth, at least five.
enum { VT_BENCH_MOST = 10000 };
vt_status vt_bench_step(vt_config *config, int steps, vt_bench_step_result *result);

// Forward passes for evaluation: likewise. Its phases are all "forward", its executed operations
// the nominal ones.
vt_status vt_bench_eval(vt_config *config, int steps, vt_bench_step_result *result);

typedef struct vt_bench_gemm_row {
    vt_product_info product;
    double gflops;      // all threads; 0: it is BLAS's
    double blas_gflops; // what BLAS makes of the same product in vt_real, packing included
    double share;       // of the step's executed operations
} vt_bench_gemm_row;

// Each product of a step alone, every thread on operands of its own as in the engine.
// rows: (VT_PRODUCTS_MAX) out.
vt_status vt_bench_gemm(vt_config *config, vt_bench_gemm_row *rows, int *count,
                        double *peak_gflops);

// How fast one worker makes samples: training ones of data.train, or evaluation ones of data.val
// (without it, of data.train).
typedef struct vt_bench_loader_result {
    int64_t samples, bad;       // measured; of these unreadable
    double images_per_s;        // of one worker, all stages
    double images_per_cpu_s;    // of processor time, which others on the machine do not shorten
    double stage_ms[VT_STAGES]; // of a readable sample, the mean
} vt_bench_loader_result;

// One sample after the other, in a fixed random order: once through the data, again until five
// seconds have passed, but no longer than thirty. A first pass of at most two seconds warms up.
// VT_ERR_CONFIG without data, VT_ERR_DATA if no sample is readable, and the errors of
// vt_source_open.
vt_status vt_bench_loader(const vt_config *config, bool training, vt_bench_loader_result *result);

#endif
