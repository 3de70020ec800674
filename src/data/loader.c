// Prefetch: worker threads fill a ring of batches sample by sample, in order. Position p of an
// epoch (sample p % batch_size of batch p / batch_size) is claimed under the lock and made without
// it; the caller holds one batch of the ring while the others are being filled.
//
// What position p holds depends on (source, config, seed, epoch, p) alone: its sample is entry p /
// copies of the epoch's permutation (VT_STREAM_ORDER), its augmentation draws from
// (VT_STREAM_AUGMENT, p), and if the sample is unreadable its substitutes are drawn from
// (VT_STREAM_REPLACE, p). Unreadable samples are counted, and errors reported, batch by batch as
// the caller takes them, so that these too are independent of the number of workers.
#include "vitrain/data/loader.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/base/threads.h"
#include "vitrain/data/sample.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 16, TEXT_BYTES = 2048, KEPT_BYTES = 1 << 26, MOST_WARNINGS = 10 };

// A batch of the ring. Guarded by the lock until it is complete.
typedef struct slot {
    vt_batch batch;
    int32_t *labels;   // (batch_size); -1: left out
    int64_t *indices;  // (batch_size)
    int done;          // samples that have been worked on
    int bad;           // of these unreadable
    int last_bad;      // the last one's place in the batch
    int64_t bad_index; // and in the source
    vt_status status;  // of the first place that could not be filled
    int failed;        // which place
    char message[TEXT_BYTES];
} slot;

// What one thread needs to make samples.
typedef struct worker {
    vt_loader *loader;
    pthread_t thread;
    vt_sampler sampler;
} worker;

struct vt_loader {
    const vt_source *source;
    vt_loader_config config;
    int64_t samples, batches; // of an epoch
    size_t sample_size;       // numbers in a sample's input
    uint32_t epoch;
    uint32_t *order; // (source->count) training only
    int slots;
    slot *ring; // (slots)
    vt_real *images;
    int32_t *labels;
    int64_t *indices;
    int64_t bad;
    double wait_s;

    pthread_mutex_t lock;
    pthread_cond_t work, ready, idle; // something to claim; a batch complete; nobody busy
    bool *warned;                     // (source->count) guarded
    int warnings;                     // how many were given, guarded
    int64_t untold;                   // unreadable samples since that had none, guarded
    int64_t claimed;                  // next position, guarded
    int64_t taken;                    // next batch for the caller, guarded
    int64_t released;                 // batches whose slots are free again, guarded
    int busy;                         // threads that make a sample, guarded
    bool stop;                        // guarded

    worker *workers; // (max(1, config.workers)); the only one is the caller's without threads
    int threads;     // running
};

// ---- one sample ----

static vt_status make_sample(vt_loader *loader, worker *w, int64_t position, int64_t index,
                             vt_real *out)
{
    const vt_loader_config *config = &loader->config;
    vt_rng rng = vt_sample_rng(config->seed, loader->epoch, (uint32_t)position);
    return vt_sample(out, &w->sampler, loader->source, index, &config->augment, config->max_pixels,
                     config->training ? &rng : NULL);
}

// Buffers grow to the largest picture met. What a huge one needed is given back, lest every worker
// ends with that much.
static void trim(worker *w)
{
    if (vt_sampler_bytes(&w->sampler) > KEPT_BYTES) vt_sampler_free(&w->sampler);
}

// The message at hand names an unreadable sample; one warning each, however often it is met, for
// the first few. The others are counted.
static void warn_once(vt_loader *loader, int64_t index)
{
    pthread_mutex_lock(&loader->lock);
    const bool first = !loader->warned[index], shown = first && loader->warnings < MOST_WARNINGS;
    loader->warned[index] = true;
    loader->warnings += shown;
    loader->untold += first && !shown;
    pthread_mutex_unlock(&loader->lock);
    if (!shown) return;
    vt_log(VT_LOG_WARN, "%s (%s)", vt_error_message(),
           loader->config.training ? "another sample takes its place" : "left out");
}

// At an epoch's end; with the lock held, or alone.
static void tell_untold(vt_loader *loader)
{
    if (loader->untold > 0)
        vt_log(VT_LOG_WARN, "%s: %lld more unreadable sample%s (%s)", loader->source->path,
               (long long)loader->untold, vt_plural(loader->untold),
               loader->config.training ? "others take their places" : "left out");
    loader->untold = 0;
}

typedef struct outcome {
    vt_status status; // VT_OK also for a sample that is left out
    int32_t label;    // -1: none, or left out
    int64_t index;    // of the sample in the source
    int64_t bad;      // the sample that was meant to be here and is unreadable; -1: none
} outcome;

static outcome fill_position(vt_loader *loader, worker *w, int64_t position, vt_real *out)
{
    const vt_loader_config *config = &loader->config;
    const vt_source *source = loader->source;
    vt_rng rng = vt_rng_at(config->seed, VT_STREAM_REPLACE, loader->epoch, (uint32_t)position);
    int64_t index = config->training ? loader->order[position / config->copies] : position;
    outcome result = {.label = -1, .bad = -1};
    for (int i = 0; i < TRIES; i++) {
        result.status = make_sample(loader, w, position, index, out);
        trim(w);
        if (result.status == VT_OK) result.label = source->labels[index];
        result.index = index;
        if (result.status == VT_OK || result.status == VT_ERR_MEMORY) return result;
        warn_once(loader, index);
        if (i == 0) result.bad = index;
        if (!config->training) {
            result.status = VT_OK;
            return result;
        }
        index = vt_rng_below(&rng, (uint32_t)source->count);
    }
    result.status = vt_fail(VT_ERR_DATA, "no readable sample in %d tries; the last one: %s", TRIES,
                            vt_error_message());
    return result;
}

// ---- the ring; all of these with the lock held ----

static bool complete(const slot *s, int64_t batch)
{
    return s->batch.index == batch && s->done == s->batch.count;
}

static bool can_claim(const vt_loader *loader)
{
    int64_t batch = loader->claimed / loader->config.batch_size;
    return loader->claimed < loader->samples && batch < loader->released + loader->slots;
}

// Takes the next position; makes it without the lock.
static void work_once(vt_loader *loader, worker *w)
{
    int size = loader->config.batch_size;
    int64_t position = loader->claimed++, batch = position / size;
    int i = (int)(position % size);
    slot *s = &loader->ring[batch % loader->slots];
    if (i == 0) {
        int64_t left = loader->samples - batch * size;
        s->batch.index = batch;
        s->batch.count = (int)(left < size ? left : size);
        s->done = s->bad = s->last_bad = 0;
        s->status = VT_OK;
    }
    loader->busy++;
    pthread_mutex_unlock(&loader->lock);
    outcome result =
        fill_position(loader, w, position, s->batch.images + (size_t)i * loader->sample_size);
    pthread_mutex_lock(&loader->lock);
    s->labels[i] = result.label;
    s->indices[i] = result.index;
    if (result.bad >= 0) s->bad++;
    if (result.bad >= 0 && i >= s->last_bad) {
        s->last_bad = i;
        s->bad_index = result.bad;
    }
    if (result.status != VT_OK && (s->status == VT_OK || i < s->failed)) {
        s->status = result.status;
        s->failed = i;
        snprintf(s->message, sizeof s->message, "%s", vt_error_message());
    }
    if (++s->done == s->batch.count) pthread_cond_signal(&loader->ready);
    if (--loader->busy == 0) pthread_cond_signal(&loader->idle);
}

static void *worker_main(void *argument)
{
    worker *w = argument;
    vt_loader *loader = w->loader;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        if (can_claim(loader))
            work_once(loader, w);
        else
            pthread_cond_wait(&loader->work, &loader->lock);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

// Nobody works, nothing is to be claimed.
static void quiesce(vt_loader *loader)
{
    loader->claimed = loader->samples;
    loader->taken = loader->released = loader->batches;
    while (loader->busy > 0) pthread_cond_wait(&loader->idle, &loader->lock);
}

// ---- life ----

static vt_status allocate(vt_loader *loader)
{
    size_t size = (size_t)loader->config.batch_size, slots = (size_t)loader->slots, numbers;
    size_t count = (size_t)loader->source->count, threads = (size_t)loader->config.workers;
    VT_REQUIRE(vt_size_mul(loader->sample_size, size * slots, &numbers), VT_ERR_MEMORY,
               "batches of %zu samples exceed the address space", size);
    loader->images = vt_alloc(numbers, sizeof *loader->images);
    loader->labels = vt_alloc(size * slots, sizeof *loader->labels);
    loader->indices = vt_alloc(size * slots, sizeof *loader->indices);
    loader->ring = vt_alloc(slots, sizeof *loader->ring);
    loader->warned = vt_alloc(count, sizeof *loader->warned);
    loader->workers = vt_alloc(threads ? threads : 1, sizeof *loader->workers);
    if (loader->config.training) loader->order = vt_alloc(count, sizeof *loader->order);
    if (!loader->images || !loader->labels || !loader->indices || !loader->ring ||
        !loader->warned || !loader->workers || (loader->config.training && !loader->order))
        return VT_ERR_MEMORY;
    for (size_t i = 0; i < slots; i++) {
        slot *s = &loader->ring[i];
        s->labels = loader->labels + i * size;
        s->indices = loader->indices + i * size;
        s->batch = (vt_batch){.index = -1, .labels = s->labels, .indices = s->indices};
        s->batch.images = loader->images + i * size * loader->sample_size;
    }
    loader->workers[0].loader = loader;
    return VT_OK;
}

// With all signals blocked, so that the main thread gets them.
static vt_status start_workers(vt_loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (!error && loader->threads < loader->config.workers) {
        worker *w = &loader->workers[loader->threads];
        w->loader = loader;
        error = pthread_create(&w->thread, NULL, worker_main, w);
        if (!error) loader->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    VT_REQUIRE(!error, VT_ERR_MEMORY, "cannot start a data worker: %s", strerror(error));
    return VT_OK;
}

// How many an epoch would hold if there were no batches.
static int64_t epoch_samples(const vt_source *source, const vt_loader_config *config)
{
    enum { DEIT_MULTIPLE = 256 };
    const int64_t count = source->count, whole = count / DEIT_MULTIPLE * DEIT_MULTIPLE;
    return config->training && config->copies > 1 && whole > 0 ? whole : count;
}

static vt_status check_source(const vt_source *source, const vt_loader_config *config)
{
    const int64_t samples = epoch_samples(source, config);
    VT_REQUIRE(source->count <= UINT32_MAX, VT_ERR_DATA, "%s: %lld samples are more than 2^32 - 1",
               source->path, (long long)source->count);
    VT_REQUIRE(
        samples >= (config->training ? config->batch_size : 1), VT_ERR_DATA,
        "%s: %lld samples are fewer than a batch of %d; set train.batch_size to %lld or less",
        source->path, (long long)samples, config->batch_size, (long long)samples);
    return VT_OK;
}

vt_status vt_loader_create(vt_loader **out, const vt_source *source, const vt_loader_config *config)
{
    assert(config->batch_size > 0 && config->workers >= 0 && config->copies >= 0);
    VT_TRY(check_source(source, config));
    vt_loader *loader = vt_alloc(1, sizeof *loader);
    if (!loader) return VT_ERR_MEMORY;
    loader->source = source;
    loader->config = *config;
    if (config->copies == 0) loader->config.copies = 1;
    const vt_augment_config *augment = &config->augment;
    loader->sample_size =
        (size_t)augment->channels * (size_t)augment->height * (size_t)augment->width;
    int64_t size = config->batch_size, count = epoch_samples(source, config);
    loader->batches = config->training ? count / size : (count + size - 1) / size;
    loader->samples = config->training ? loader->batches * size : count;
    // One that the caller holds, and ahead of it two, or two samples for every worker.
    loader->slots = config->workers > 0 ? 3 + 2 * config->workers / config->batch_size : 1;
    loader->claimed = loader->samples; // nothing before vt_loader_start
    loader->taken = loader->released = loader->batches;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);
    pthread_cond_init(&loader->idle, NULL);
    vt_status status = allocate(loader);
    if (status == VT_OK) status = start_workers(loader);
    if (status == VT_OK)
        *out = loader;
    else
        vt_loader_destroy(loader);
    return status;
}

void vt_loader_destroy(vt_loader *loader)
{
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->threads; i++) pthread_join(loader->workers[i].thread, NULL);
    tell_untold(loader);
    for (int i = 0; loader->workers && (i == 0 || i < loader->threads); i++)
        vt_sampler_free(&loader->workers[i].sampler);
    pthread_cond_destroy(&loader->idle);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->lock);
    free(loader->order);
    free(loader->workers);
    free(loader->warned);
    free(loader->ring);
    free(loader->labels);
    free(loader->indices);
    free(loader->images);
    free(loader);
}

// ---- the caller's side ----

int64_t vt_loader_batches(const vt_loader *loader)
{
    return loader->batches;
}

int64_t vt_loader_distinct(const vt_loader *loader, int64_t batches)
{
    const int64_t copies = loader->config.copies;
    return (batches * loader->config.batch_size + copies - 1) / copies;
}

size_t vt_loader_bytes(const vt_loader *loader)
{
    size_t samples = (size_t)loader->slots * (size_t)loader->config.batch_size;
    return samples * (loader->sample_size * sizeof(vt_real) + sizeof(int32_t) + sizeof(int64_t));
}

int64_t vt_loader_bad(const vt_loader *loader)
{
    return loader->bad;
}

double vt_loader_wait_s(const vt_loader *loader)
{
    return loader->wait_s;
}

void vt_loader_start(vt_loader *loader, uint32_t epoch, int64_t first)
{
    assert(0 <= first && first <= loader->batches);
    pthread_mutex_lock(&loader->lock);
    quiesce(loader);
    tell_untold(loader); // of an epoch that was not read to its end
    loader->epoch = epoch;
    loader->bad = 0;
    loader->wait_s = 0;
    if (loader->order) {
        vt_rng rng = vt_rng_at(loader->config.seed, VT_STREAM_ORDER, epoch, 0);
        vt_rng_permutation(&rng, (uint32_t)loader->source->count, loader->order);
    }
    for (int i = 0; i < loader->slots; i++) loader->ring[i].batch.index = -1;
    loader->claimed = first * loader->config.batch_size;
    loader->taken = loader->released = first;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
}

// Batch `taken`, complete; with the lock held.
static slot *wait_for_batch(vt_loader *loader)
{
    double start = vt_now_s();
    slot *s = &loader->ring[loader->taken % loader->slots];
    while (!complete(s, loader->taken)) {
        if (loader->threads == 0)
            work_once(loader, &loader->workers[0]);
        else
            pthread_cond_wait(&loader->ready, &loader->lock);
    }
    loader->wait_s += vt_now_s() - start;
    return s;
}

// Closes the gaps of samples that were left out.
static void compact(slot *s, size_t sample_size)
{
    int kept = 0;
    for (int i = 0; i < s->batch.count; i++) {
        if (s->labels[i] < 0) continue;
        if (kept < i) {
            memcpy(s->batch.images + (size_t)kept * sample_size,
                   s->batch.images + (size_t)i * sample_size, sample_size * sizeof(vt_real));
            s->labels[kept] = s->labels[i];
            s->indices[kept] = s->indices[i];
        }
        kept++;
    }
    s->batch.count = s->done = kept;
}

static vt_status check_batch(vt_loader *loader, const slot *s)
{
    if (s->status != VT_OK) return vt_fail(s->status, "%s", s->message);
    double most = loader->config.max_bad * (double)loader->samples;
    if (s->bad == 0 || (double)(loader->bad + s->bad) <= most) return VT_OK;
    char name[TEXT_BYTES / 2];
    loader->source->ops->describe(loader->source, s->bad_index, name, sizeof name);
    return vt_fail(VT_ERR_DATA,
                   "%s: %lld of %lld samples are unreadable, more than the share of %g that "
                   "data.max_bad allows; the last one: %s",
                   loader->source->path, (long long)(loader->bad + s->bad),
                   (long long)loader->samples, loader->config.max_bad, name);
}

vt_status vt_loader_next(vt_loader *loader, const vt_batch **out)
{
    *out = NULL;
    vt_status status = VT_OK;
    pthread_mutex_lock(&loader->lock);
    while (status == VT_OK && !*out && loader->taken < loader->batches) {
        loader->released = loader->taken;
        pthread_cond_broadcast(&loader->work);
        slot *s = wait_for_batch(loader);
        status = check_batch(loader, s);
        if (status != VT_OK) break;
        loader->bad += s->bad;
        compact(s, loader->sample_size);
        loader->taken++;
        if (s->batch.count > 0) *out = &s->batch; // else all of it was left out
    }
    if (status == VT_OK && loader->taken == loader->batches) tell_untold(loader);
    pthread_mutex_unlock(&loader->lock);
    return status;
}
