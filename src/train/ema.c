// The average. One multiplication each and one addition, each rounded by itself as PyTorch does it
// (this file is not compiled with fused multiply-add), so that the numbers are timm's to the bit.
#include "vitrain/train/ema.h"

enum { CHUNK = 16384 }; // elements

void vt_ema_update(const vt_params *params, vt_real *ema, const vt_real *weights, double decay)
{
    // 1 - decay in double: from float's 0.99996 only four digits of it would be left.
    const vt_real keep = (vt_real)decay, take = (vt_real)(1 - decay);
    const size_t count = params->slab_count, chunks = count / CHUNK + (count % CHUNK != 0);
#pragma omp parallel for schedule(static)
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        const size_t start = chunk * CHUNK, left = count - start;
        const size_t end = start + (left < CHUNK ? left : CHUNK);
#pragma omp simd
        for (size_t i = start; i < end; i++) ema[i] = ema[i] * keep + take * weights[i];
    }
}
