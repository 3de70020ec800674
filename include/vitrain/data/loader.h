// Batches, decoded and augmented ahead by worker threads. What a batch holds is a function of
// (source, config, seed, epoch, index of the batch): neither the number of workers nor where in the
// epoch one begins changes it.
#ifndef VITRAIN_DATA_LOADER_H
#define VITRAIN_DATA_LOADER_H

#include "vitrain/data/augment.h"
#include "vitrain/data/source.h"

typedef struct vt_loader_config {
    vt_augment_config augment;
    int batch_size;
    int workers;   // 0: the samples are made in the thread that asks
    bool training; // shuffled, augmented, last partial batch dropped; else in order, whole
    // Training: how often a sample is repeated, each time augmented anew; 0 or 1: once. Repeated
    // augmentation is DeiT's (samplers.py, RASampler) on one rank: each entry of the shuffled order
    // stands there `copies` times in a row, and of that the epoch takes as many as the source has
    // samples, rounded down to a multiple of 256 (not rounded where that would be 0). So it sees
    // about one in `copies` of them.
    int copies;
    uint64_t seed;
    int64_t max_pixels; // larger pictures count as unreadable
    double max_bad;     // share of an epoch's samples that may be unreadable
} vt_loader_config;

typedef struct vt_batch {
    int count;              // samples, at least 1
    int64_t index;          // of the batch in the epoch
    vt_real *images;        // (count, channels, height, width); the caller may write into it
    const int32_t *labels;  // (count)
    const int64_t *indices; // (count) which samples of the source they are
} vt_batch;

typedef struct vt_loader vt_loader;

// The source must outlive the loader. VT_ERR_MEMORY, VT_ERR_DATA (a training epoch smaller than a
// batch, no sample at all, or more than 2^32 - 1 of them).
vt_status vt_loader_create(vt_loader **out, const vt_source *source,
                           const vt_loader_config *config);
void vt_loader_destroy(vt_loader *loader); // takes NULL; stops the workers

int64_t vt_loader_batches(const vt_loader *loader); // batches an epoch
// Training: how many different samples the first `batches` batches of an epoch are made of.
int64_t vt_loader_distinct(const vt_loader *loader, int64_t batches);
// Memory of the prefetched batches. Besides it a worker has the picture that it works on: as large
// as max_pixels allows, but no more than 64 MiB is kept for the next one.
size_t vt_loader_bytes(const vt_loader *loader);

// Begins (or begins anew) at batch `first` of an epoch. Evaluation ignores `epoch`.
void vt_loader_start(vt_loader *loader, uint32_t epoch, int64_t first);

// The next batch, valid until the next call or start; *out = NULL after the last one. An unreadable
// sample is replaced by another one (training: drawn at random; evaluation: left out of the batch),
// with one warning for each of the first ten; how many more there are is said at the epoch's end.
// VT_ERR_DATA once more than max_bad of the epoch's samples were
// unreadable, or where one could not be replaced in 16 tries. Errors of workers arrive here with
// their message.
vt_status vt_loader_next(vt_loader *loader, const vt_batch **out);

int64_t vt_loader_bad(const vt_loader *loader);   // samples replaced or left out since start
double vt_loader_wait_s(const vt_loader *loader); // time vt_loader_next has waited since start

#endif
