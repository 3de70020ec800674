// The loader: the same batches whatever the number of workers, unreadable samples, errors, and
// being started anew or destroyed at any time. The sources are made up: sample i is one flat grey
// of value i, so that a batch shows which samples it holds.
#include "vitrain/data/loader.h"

#include "vitrain/base/log.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 53, MANY = 600, SIDE = 8, BATCH = 6 };

static pthread_t main_thread;

typedef struct made_up {
    bool bad[COUNT];
    vt_status status; // of bad ones
    int huge;         // one of 80 megapixels; 0: none
    atomic_int reads; // so far
} made_up;

static vt_status read_made_up(const vt_source *source, int64_t index, vt_image *image,
                              int64_t max_pixels)
{
    made_up *m = source->state;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!pthread_equal(pthread_self(), main_thread) && !sigismember(&blocked, SIGINT))
        return vt_fail(VT_ERR_MEMORY, "SIGINT would reach a worker");
    if (max_pixels != 1234) return vt_fail(VT_ERR_MEMORY, "max_pixels is not handed on");
    m->reads++;
    if (m->huge && index == m->huge) {
        VT_TRY(vt_image_reserve(image, 10000, 8000, 1));
        memset(image->pixels, 0, (size_t)10000 * 8000);
        return VT_OK;
    }
    if (index < COUNT && m->bad[index])
        return vt_fail(m->status, "%s[%d]: bad", source->path, (int)index);
    VT_TRY(vt_image_reserve(image, SIDE + (int)index % 3, SIDE, 1));
    memset(image->pixels, (int)index, (size_t)(image->width * image->height));
    image->pixels[0] = 255; // for flips to show
    return VT_OK;
}

static void describe_made_up(const vt_source *source, int64_t index, char *text, size_t capacity)
{
    snprintf(text, capacity, "%s[%d]", source->path, (int)index);
}

static void close_made_up(vt_source *source)
{
    (void)source;
}

static const vt_source_ops made_up_ops = {
    .name = "made up",
    .read = read_made_up,
    .describe = describe_made_up,
    .close = close_made_up,
};

static int32_t labels[MANY];

static vt_source made_up_source(made_up *m)
{
    for (int i = 0; i < MANY; i++) labels[i] = 100 + i;
    static char path[] = "source";
    return (vt_source){
        .ops = &made_up_ops, .path = path, .count = COUNT, .labels = labels, .state = m};
}

static vt_loader_config config_of(bool training, int workers)
{
    return (vt_loader_config){
        .augment = {.channels = 1,
                    .height = SIDE,
                    .width = SIDE,
                    .crop = VT_CROP_PAD,
                    .pad = 2,
                    .flip = 0.5,
                    .crop_pct = 1,
                    .filter = VT_FILTER_BILINEAR,
                    .mean = {0},
                    .std = {1}},
        .batch_size = BATCH,
        .workers = workers,
        .training = training,
        .seed = 11,
        .max_pixels = 1234,
        .max_bad = 0.2,
    };
}

static vt_loader *new_loader(const vt_source *source, const vt_loader_config *config)
{
    vt_loader *loader = NULL;
    if (vt_loader_create(&loader, source, config) != VT_OK) fail_msg("%s", vt_error_message());
    return loader;
}

// What an epoch holds, from batch `first` on.
typedef struct epoch {
    int count;
    int32_t labels[COUNT];
    vt_real images[COUNT][SIDE * SIDE];
    int64_t bad;
} epoch;

static epoch *read_epoch(vt_loader *loader, uint32_t number, int64_t first)
{
    epoch *e = calloc(1, sizeof *e);
    const vt_batch *batch;
    assert_non_null(e);
    vt_loader_start(loader, number, first);
    for (int64_t index = first;; index++) {
        if (vt_loader_next(loader, &batch) != VT_OK) fail_msg("%s", vt_error_message());
        if (!batch) break;
        assert_int_equal(batch->index, index);
        for (int i = 0; i < batch->count; i++, e->count++) {
            e->labels[e->count] = batch->labels[i];
            memcpy(e->images[e->count], batch->images + i * SIDE * SIDE, sizeof e->images[0]);
        }
        memset(batch->images, 0, sizeof e->images[0]); // allowed
    }
    e->bad = vt_loader_bad(loader);
    assert_int_equal(vt_loader_next(loader, &batch), VT_OK); // still at the end
    assert_null(batch);
    return e;
}

static void test_training_epoch(void **state)
{
    (void)state;
    made_up m = {0};
    vt_source source = made_up_source(&m);
    vt_loader_config config = config_of(true, 0);
    vt_loader *loader = new_loader(&source, &config);
    const vt_batch *batch;
    assert_int_equal(vt_loader_next(loader, &batch), VT_OK); // nothing before it is started
    assert_null(batch);
    assert_int_equal(vt_loader_batches(loader), COUNT / BATCH);
    assert_int_equal(vt_loader_bytes(loader), BATCH * (SIDE * SIDE * sizeof(vt_real) + 4 + 8));
    epoch *e = read_epoch(loader, 0, 0), *next = read_epoch(loader, 1, 0);
    assert_int_equal(e->count, COUNT / BATCH * BATCH);
    bool seen[COUNT] = {0};
    int in_place = 0, alike = 0;
    for (int i = 0; i < e->count; i++) {
        int index = e->labels[i] - 100;
        assert_in_range(index, 0, COUNT - 1);
        assert_false(seen[index]);
        seen[index] = true;
        in_place += index == i;
        alike += e->labels[i] == next->labels[i];
    }
    assert_true(in_place < 8 && alike < 8); // of 48; a shuffle leaves about one
    free(e);
    free(next);
    vt_loader_destroy(loader);
    vt_loader_destroy(NULL);
}

// Any number of workers and any first batch give the same bits; unreadable samples included.
static void same_whatever(bool training, int copies, const made_up *m)
{
    made_up copy = *m;
    vt_source source = made_up_source(&copy);
    vt_loader_config config = config_of(training, 0);
    config.copies = copies;
    vt_loader *loader = new_loader(&source, &config);
    epoch *expected[2] = {read_epoch(loader, 0, 0), read_epoch(loader, 3, 0)};
    vt_loader_destroy(loader);
    static const int workers[] = {1, 2, 7, 24};
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
        config.workers = workers[w];
        loader = new_loader(&source, &config);
        for (int round = 0; round < 6; round++) {
            epoch *e = read_epoch(loader, round % 2 ? 3 : 0, 0);
            assert_memory_equal(e, expected[round % 2], sizeof *e);
            free(e);
        }
        epoch *late = read_epoch(loader, 3, 5);
        int skipped = expected[1]->count - late->count;
        if (training) assert_int_equal(skipped, 5 * BATCH);
        assert_memory_equal(late->labels, expected[1]->labels + skipped,
                            (size_t)late->count * sizeof late->labels[0]);
        assert_memory_equal(late->images, expected[1]->images[skipped],
                            (size_t)late->count * sizeof late->images[0]);
        free(late);
        vt_loader_destroy(loader);
    }
    free(expected[0]);
    free(expected[1]);
}

static void test_same_whatever(void **state)
{
    (void)state;
    made_up m = {.status = VT_ERR_FORMAT};
    for (int bad = 0; bad < 2; bad++) {
        m.bad[0] = m.bad[17] = m.bad[30] = m.bad[52] = bad;
        same_whatever(true, 1, &m);
        same_whatever(true, 3, &m);
        same_whatever(false, 1, &m);
        same_whatever(false, 3, &m); // evaluation repeats nothing
    }
}

// Repeated augmentation: the order without it, each entry three times, each time with other pixels.
static void test_copies(void **state)
{
    (void)state;
    made_up m = {0};
    vt_source source = made_up_source(&m);
    vt_loader_config config = config_of(true, 2);
    vt_loader *once = new_loader(&source, &config);
    config.copies = 3;
    vt_loader *thrice = new_loader(&source, &config);
    assert_int_equal(vt_loader_batches(thrice), COUNT / BATCH); // as many samples as without
    assert_int_equal(vt_loader_distinct(once, 8), 48);
    assert_int_equal(vt_loader_distinct(thrice, 8), 16);
    assert_int_equal(vt_loader_distinct(thrice, 1), 2);
    for (uint32_t number = 0; number < 3; number++) {
        epoch *plain = read_epoch(once, number, 0), *e = read_epoch(thrice, number, 0);
        int alike = 0;
        assert_int_equal(e->count, 48);
        for (int i = 0; i < e->count; i++) {
            assert_int_equal(e->labels[i], plain->labels[i / 3]);
            if (i % 3) alike += !memcmp(e->images[i], e->images[i - 1], sizeof e->images[0]);
        }
        // 25 crops x 2 mirrorings, all but a few of which can be told apart by where the mark is
        assert_true(alike <= 8); // of 32
        free(plain);
        free(e);
    }
    vt_loader_destroy(once);
    vt_loader_destroy(thrice);
}

// An epoch's length, and that it takes all images alike: over many epochs the number of times that
// one is taken is binomial; with 600 images 5 deviations are passed by chance once in 3000 runs.
static void test_copies_of_many(void **state)
{
    (void)state;
    enum { EPOCHS = 60, BATCH_OF_MANY = 64 };
    made_up m = {0};
    vt_source source = made_up_source(&m);
    source.count = MANY;
    vt_loader_config config = config_of(true, 0);
    config.copies = 3;
    config.batch_size = BATCH_OF_MANY;
    config.augment.height = config.augment.width = 1;
    config.augment.pad = 0;
    vt_loader *loader = new_loader(&source, &config);
    assert_int_equal(vt_loader_batches(loader), 512 / BATCH_OF_MANY); // 600 / 256 x 256
    assert_int_equal(vt_loader_distinct(loader, 8), 171);             // 170 x 3 and 2
    int taken[MANY] = {0};
    for (uint32_t number = 0; number < EPOCHS; number++) {
        int32_t last = -1;
        const vt_batch *batch;
        vt_loader_start(loader, number, 0);
        for (int i = 0; vt_loader_next(loader, &batch) == VT_OK && batch;)
            for (int k = 0; k < batch->count; k++, i++) {
                assert_true((batch->labels[k] == last) == (i % 3 != 0));
                last = batch->labels[k];
                if (i % 3 == 0) taken[last - 100]++;
            }
    }
    const double p = 171.0 / MANY, mean = EPOCHS * p, deviation = sqrt(mean * (1 - p));
    int total = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(fabs(taken[i] - mean) < 5 * deviation);
        total += taken[i];
    }
    assert_int_equal(total, EPOCHS * 171);
    vt_loader_destroy(loader);
    source.count = 511;
    loader = new_loader(&source, &config);
    assert_int_equal(vt_loader_batches(loader), 256 / BATCH_OF_MANY);
    vt_loader_destroy(loader);
    source.count = 255;
    loader = new_loader(&source, &config);
    assert_int_equal(vt_loader_batches(loader), 255 / BATCH_OF_MANY);
    vt_loader_destroy(loader);
}

static void test_evaluation_leaves_out(void **state)
{
    (void)state;
    made_up m = {.status = VT_ERR_IO};
    m.bad[0] = m.bad[3] = m.bad[52] = true;
    for (int i = 12; i < 18; i++) m.bad[i] = true; // a whole batch
    vt_source source = made_up_source(&m);
    vt_loader_config config = config_of(false, 2);
    vt_loader *loader = new_loader(&source, &config);
    assert_int_equal(vt_loader_batches(loader), 9);
    vt_loader_start(loader, 0, 0);
    const vt_batch *batch;
    int index = 0, kept = 0;
    for (;;) {
        assert_int_equal(vt_loader_next(loader, &batch), VT_OK);
        if (!batch) break;
        assert_true(batch->count > 0);
        for (int i = 0; i < batch->count; i++, kept++, index++) {
            while (m.bad[index]) index++;
            assert_int_equal(batch->labels[i], 100 + index);
            assert_int_equal(batch->indices[i], index);
            // a corner that is not the marked one; widths differ, the middle does not
            assert_true(batch->images[(i + 1) * SIDE * SIDE - 1] == (vt_real)index / 255);
        }
    }
    assert_int_equal(kept, COUNT - 9);
    assert_int_equal(vt_loader_bad(loader), 9);
    vt_loader_destroy(loader);
}

static void test_replacement(void **state)
{
    (void)state;
    made_up m = {.status = VT_ERR_FORMAT}, none = {0};
    for (int i = 0; i < 8; i++) m.bad[5 * i] = true;
    vt_source source = made_up_source(&m), good = made_up_source(&none);
    vt_loader_config config = config_of(true, 2);
    vt_loader *loader = new_loader(&source, &config), *other = new_loader(&good, &config);
    epoch *e = read_epoch(loader, 0, 0), *plain = read_epoch(other, 0, 0);
    assert_int_equal(e->count, plain->count);
    int replaced = 0;
    for (int i = 0; i < e->count; i++) {
        assert_false(m.bad[e->labels[i] - 100]);
        if (m.bad[plain->labels[i] - 100])
            replaced++;
        else
            assert_int_equal(e->labels[i], plain->labels[i]); // the others stay where they are
    }
    assert_true(replaced > 0);
    assert_int_equal(e->bad, replaced);
    free(e);
    free(plain);
    vt_loader_destroy(loader);
    vt_loader_destroy(other);
}

// Reads until an error; returns how many batches came before it.
static int batches_before(vt_loader *loader, vt_status code)
{
    const vt_batch *batch;
    vt_loader_start(loader, 0, 0);
    for (int n = 0;; n++) {
        vt_status status = vt_loader_next(loader, &batch);
        if (status != VT_OK) {
            assert_int_equal(status, code);
            assert_null(batch);
            return n;
        }
        assert_non_null(batch); // an error was due
    }
}

static void test_too_many_bad(void **state)
{
    (void)state;
    made_up m = {.status = VT_ERR_FORMAT};
    for (int i = 20; i < COUNT; i += 3) m.bad[i] = true; // 11 of 53; 20 %: more than 10
    vt_source source = made_up_source(&m);
    for (int workers = 0; workers < 4; workers++) {
        vt_loader_config config = config_of(false, workers);
        vt_loader *loader = new_loader(&source, &config);
        assert_int_equal(batches_before(loader, VT_ERR_DATA), 8);
        assert_non_null(strstr(vt_error_message(), "11 of 53"));
        assert_non_null(strstr(vt_error_message(), "source[50]"));
        vt_loader_destroy(loader);
    }
}

// The reason arrives from the worker's thread; the loader can be started again after it.
static void test_errors_arrive(void **state)
{
    (void)state;
    made_up m = {.status = VT_ERR_FORMAT};
    memset(m.bad, true, sizeof m.bad);
    vt_source source = made_up_source(&m);
    for (int workers = 0; workers < 3; workers++) {
        vt_loader_config config = config_of(true, workers);
        vt_loader *loader = new_loader(&source, &config);
        m.status = VT_ERR_FORMAT;
        assert_int_equal(batches_before(loader, VT_ERR_DATA), 0);
        assert_non_null(strstr(vt_error_message(), "no readable sample"));
        assert_non_null(strstr(vt_error_message(), "source["));
        vt_loader_start(loader, 0, vt_loader_batches(loader)); // the workers are at rest
        m.status = VT_ERR_MEMORY;                              // nobody's picture is at fault
        assert_int_equal(batches_before(loader, VT_ERR_MEMORY), 0);
        assert_non_null(strstr(vt_error_message(), "bad"));
        vt_loader_destroy(loader);
    }
}

// Workers stop where the ring is full: whatever the epoch's length, no more is made than it holds.
static void test_ahead_by_the_ring_only(void **state)
{
    (void)state;
    made_up m = {0};
    vt_source source = made_up_source(&m);
    source.count = MANY;
    vt_loader_config config = config_of(true, 4);
    vt_loader *loader = new_loader(&source, &config);
    const int slots = (int)(vt_loader_bytes(loader) / (SIDE * SIDE * sizeof(vt_real) + 4)) / BATCH;
    assert_int_equal(slots, 4); // 3, and one for 8 samples of 4 workers
    const vt_batch *batch;
    vt_loader_start(loader, 0, 0);
    for (int n = 0; n < 5; n++) {
        assert_int_equal(vt_loader_next(loader, &batch), VT_OK);
        const int most = (n + slots) * BATCH;
        for (int wait = 0; wait < 2000 && m.reads < most; wait++) usleep(1000);
        usleep(20000); // time to go too far
        assert_int_equal(m.reads, most);
    }
    vt_loader_destroy(loader);
}

// A picture of 80 MB among small ones: its memory is not kept.
static void test_huge_picture(void **state)
{
    (void)state;
    made_up m = {.huge = 30};
    vt_source source = made_up_source(&m);
    for (int workers = 0; workers < 3; workers++) {
        vt_loader_config config = config_of(false, workers);
        vt_loader *loader = new_loader(&source, &config);
        struct mallinfo2 before = mallinfo2();
        epoch *e = read_epoch(loader, 0, 0);
        struct mallinfo2 after = mallinfo2();
        assert_int_equal(e->count, COUNT);
        assert_int_equal(e->bad, 0);
        assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 4000000);
        free(e);
        vt_loader_destroy(loader);
    }
}

static void test_start_and_stop_anywhere(void **state)
{
    (void)state;
    made_up m = {0};
    vt_source source = made_up_source(&m);
    for (int i = 0; i < 60; i++) {
        vt_loader_config config = config_of(i % 2, 1 + i % 4);
        vt_loader *loader = new_loader(&source, &config);
        const vt_batch *batch;
        for (int start = 0; start < i % 5; start++) {
            vt_loader_start(loader, (uint32_t)start, i % 8);
            for (int n = 0; n < i % 3; n++) {
                assert_int_equal(vt_loader_next(loader, &batch), VT_OK);
                if (i % 8 + n < vt_loader_batches(loader))
                    assert_int_equal(batch->index, i % 8 + n);
            }
        }
        vt_loader_destroy(loader);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    made_up m = {0};
    vt_source source = made_up_source(&m);
    vt_loader_config config = config_of(true, 0);
    vt_loader *loader = NULL;
    config.batch_size = COUNT + 1;
    assert_int_equal(vt_loader_create(&loader, &source, &config), VT_ERR_DATA);
    assert_non_null(strstr(vt_error_message(), "53 samples are fewer than a batch of 54"));
    config.batch_size = COUNT;
    assert_int_equal(vt_loader_create(&loader, &source, &config), VT_OK);
    vt_loader_destroy(loader);
    source.count = MANY;
    config.copies = 3;
    config.batch_size = 513; // an epoch has 512 samples
    assert_int_equal(vt_loader_create(&loader, &source, &config), VT_ERR_DATA);
    assert_non_null(strstr(vt_error_message(), "512 samples are fewer than a batch of 513"));
}

int main(void)
{
    vt_log_set_level(VT_LOG_ERROR); // no warnings of the bad samples
    main_thread = pthread_self();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_epoch),
        cmocka_unit_test(test_same_whatever),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copies_of_many),
        cmocka_unit_test(test_evaluation_leaves_out),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_too_many_bad),
        cmocka_unit_test(test_errors_arrive),
        cmocka_unit_test(test_ahead_by_the_ring_only),
        cmocka_unit_test(test_huge_picture),
        cmocka_unit_test(test_start_and_stop_anywhere),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
