// Arithmetic peak: as many independent chains of multiply-adds as hide the latency, every operand
// in a register, no memory touched. Vectors are the compiler's own (GCC, Clang), so the kernel is
// plain C for any processor. Memory: the triad a = b + s c (McCalpin, STREAM) on arrays that no
// cache holds.
#include "vitrain/base/peak.h"

#include "vitrain/base/amx.h"
#include "vitrain/base/arena.h"
#include "vitrain/base/real.h"
#include "vitrain/base/threads.h"
#include "vitrain/base/vector.h"

#include <stdlib.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

// Latency 4 to 6 on 2 to 4 units, with registers left for two operands.
enum { CHAINS = VT_VECTOR_REGISTERS == 32 ? 16 : 12, LANES = VT_VECTOR_BYTES / sizeof(vt_real) };
typedef vt_real vector __attribute__((vector_size(VT_VECTOR_BYTES)));

enum { TRIALS = 10, TRIALS_TO_GROW = 4 };
static const double TRIAL_S = 0.04; // long against starting the threads
static const long MOST_ROUNDS = 1L << 40;

// Runs chains of products for `rounds`; the value depends on all of them, so that none is left out.
typedef float chains_fn(long rounds);

static float multiply_add(long rounds)
{
    volatile vt_real half = (vt_real)0.5; // not known to the compiler
    const vector x = (vector){0} + half, y = x + half;
    vector sum[CHAINS], all = {0};
    for (int c = 0; c < CHAINS; c++) sum[c] = (vector){0} + (vt_real)c;
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * x + y; // tends to 2
    }
    for (int c = 0; c < CHAINS; c++) all += sum[c];
    return (float)all[0];
}

#ifdef __AVX512BF16__
static float bf16_dot(long rounds)
{
    volatile float small = 0x1p-40f; // keeps the sums finite
    const __m512 wide = _mm512_set1_ps(small);
    const __m512bh x = _mm512_cvtne2ps_pbh(wide, wide);
    __m512 sum[CHAINS], all = _mm512_setzero_ps();
    for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_set1_ps((float)c);
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_dpbf16_ps(sum[c], x, x);
    }
    for (int c = 0; c < CHAINS; c++) all = _mm512_add_ps(all, sum[c]);
    return _mm512_cvtss_f32(all);
}
#endif

#ifdef VT_AMX_BUILT
enum { AMX_SUMS = 6, AMX_FLOPS = 2 * VT_AMX_ROWS * 16 * 2 * VT_AMX_PAIRS };

static float amx_products(long rounds)
{
    vt_amx_begin(VT_AMX_ROWS); // of zeros
    for (long r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    vt_amx_end();
    return 0;
}
#endif

static double seconds_of(void *self, long rounds)
{
    chains_fn *const *chains = self;
    double start = vt_now_s();
#pragma omp parallel
    {
        volatile float sink = (*chains)(rounds);
        (void)sink;
    }
    return vt_now_s() - start;
}

static double best_of(int trials, vt_trial_fn *trial, void *self, long rounds)
{
    double best = trial(self, rounds);
    for (int i = 1; i < trials; i++) {
        const double s = trial(self, rounds);
        if (s < best) best = s;
    }
    return best;
}

double vt_best_trial(vt_trial_fn *trial, void *self, long *rounds)
{
    *rounds = 1000;
    while (*rounds < MOST_ROUNDS && best_of(TRIALS_TO_GROW, trial, self, *rounds) < TRIAL_S)
        *rounds *= 2;
    return best_of(TRIALS, trial, self, *rounds);
}

// flops: of one thread's round.
static double best_gflops(chains_fn *chains, double flops)
{
    long rounds;
    const double best = vt_best_trial(seconds_of, &chains, &rounds);
    return 1e-9 * flops * (double)rounds * vt_threads() / best;
}

double vt_peak_gflops(void)
{
    return best_gflops(multiply_add, 2.0 * CHAINS * LANES);
}

double vt_peak_bf16_gflops(void)
{
#ifdef VT_AMX_BUILT
    if (vt_amx()) return best_gflops(amx_products, AMX_SUMS * AMX_FLOPS);
#endif
#ifdef __AVX512BF16__
    return best_gflops(bf16_dot, 2.0 * CHAINS * 32);
#else
    return 0;
#endif
}

vt_status vt_peak_memory(double *gb_per_s)
{
    const size_t bytes = (size_t)64 << 20, n = bytes / sizeof(float);
    float *a = vt_alloc(3 * n, sizeof *a), *b = a + n, *c = b + n;
    if (!a) return VT_ERR_MEMORY;
    double best = 0;
    for (int i = 0; i < TRIALS; i++) { // the first one also brings the pages in
        double start = vt_now_s();
#pragma omp parallel for simd schedule(static)
        for (size_t j = 0; j < n; j++) a[j] = b[j] + 0.5f * c[j];
        double rate = 1e-9 * 3 * (double)bytes / (vt_now_s() - start);
        if (rate > best) best = rate;
        b[i] = a[n - 1]; // the next trial depends on this one
    }
    free(a);
    *gb_per_s = best;
    return VT_OK;
}
