// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011). A number is a pure function of (seed, stream, epoch, sample, draw), so
// neither the number of threads nor the order of work changes anything, and there is no state to
// save.
#ifndef VITRAIN_BASE_RNG_H
#define VITRAIN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

// What a number is used for. Values are part of the run's identity: they stay, and those from
// VT_STREAM_DROPOUT on are all taken, by the sites of dropout.
typedef enum vt_stream {
    VT_STREAM_INIT,      // sample = tensor's index
    VT_STREAM_ORDER,     // the epoch's permutation
    VT_STREAM_AUGMENT,   // sample = position in the epoch
    VT_STREAM_REPLACE,   // substitutes for unreadable samples; sample = position in the epoch
    VT_STREAM_MIX,       // sample = micro-batch in the epoch
    VT_STREAM_DROP_PATH, // epoch = micro-step of the run, sample = index in the batch
    VT_STREAM_SYNTHETIC, // made-up images for measurements and tests
    VT_STREAM_DROPOUT,   // plus the dropout's site; epoch = micro-step, sample = index in the batch
} vt_stream;

// A place in the stream; copies go their own way. Small, lives on the stack.
typedef struct vt_rng {
    uint64_t seed;
    uint32_t stream, epoch, sample;
    uint32_t draw;     // next block
    uint32_t block[4]; // the block being used
    int left;          // numbers left in it
} vt_rng;

vt_rng vt_rng_at(uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample);

// The raw function: four numbers for one counter.
void vt_philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample,
               uint32_t draw);

uint32_t vt_rng_u32(vt_rng *rng);
double vt_rng_uniform(vt_rng *rng);                              // [0, 1), 53 bits
double vt_rng_range(vt_rng *rng, double low, double high);       // [low, high)
uint32_t vt_rng_below(vt_rng *rng, uint32_t n);                  // 0 .. n-1, unbiased; n > 0
double vt_rng_normal(vt_rng *rng);                               // mean 0, deviation 1
double vt_rng_gamma(vt_rng *rng, double shape);                  // scale 1; shape > 0
double vt_rng_beta(vt_rng *rng, double a, double b);             // a, b > 0; as numpy.random.beta
void vt_rng_permutation(vt_rng *rng, uint32_t n, uint32_t *out); // (n) out: 0 .. n-1 shuffled

// Many at once, in float: (n) out, each mean 0, deviation 1, at most 6.7 from 0. Begins at the next
// block and takes whole chunks of them; the first numbers do not depend on how many are asked for.
void vt_rng_normals(vt_rng *rng, float *out, size_t n);

#endif
