// The rest of the base room: errors, checked sizes, arenas, threads, the log.
#include "vitrain/base/arena.h"
#include "vitrain/base/bytes.h"
#include "vitrain/base/log.h"
#include "vitrain/base/peak.h"
#include "vitrain/base/status.h"
#include "vitrain/base/threads.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// ---- status ----

static vt_status fails_if(int wrong)
{
    VT_REQUIRE(!wrong, VT_ERR_SHAPE, "tensor %s: got %d", "w", wrong);
    return VT_OK;
}

static vt_status forwards(int wrong, int *released)
{
    vt_status status = VT_OK;
    VT_TRY(fails_if(0));
    VT_TRY_OR_FAIL(status, fails_if(wrong));
fail:
    *released = 1;
    return status;
}

static void *other_thread(void *unused)
{
    (void)unused;
    const char *fresh = vt_error_message();
    bool empty = *fresh == 0;
    vt_fail(VT_ERR_IO, "of the other thread");
    return empty ? NULL : "not empty";
}

static void test_status(void **state)
{
    (void)state;
    int released = 0;
    assert_int_equal(forwards(0, &released), VT_OK);
    assert_int_equal(forwards(3, &released), VT_ERR_SHAPE);
    assert_int_equal(released, 1);
    assert_string_equal(vt_error_message(), "tensor w: got 3");
    assert_int_equal(vt_fail_within(VT_ERR_FORMAT, "file"), VT_ERR_FORMAT);
    assert_string_equal(vt_error_message(), "file: tensor w: got 3");
    vt_fail(VT_ERR_IO, "again: %s", vt_error_message()); // its own message as an argument
    assert_string_equal(vt_error_message(), "again: file: tensor w: got 3");

    pthread_t thread;
    void *wrong;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    assert_string_equal(vt_error_message(), "again: file: tensor w: got 3");

    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    vt_fail(VT_ERR_IO, "%s", longest); // cut, not overrun
    assert_in_range(strlen(vt_error_message()), 1000, sizeof longest);

    assert_string_equal(vt_status_name(VT_OK), "ok");
    assert_string_equal(vt_status_name(VT_INTERRUPTED), "interrupted");
    assert_int_equal(vt_status_exit(VT_OK), 0);
    assert_int_equal(vt_status_exit(VT_ERR_CONFIG), 2);
    assert_int_equal(vt_status_exit(VT_ERR_FORMAT), 1);
    assert_int_equal(vt_status_exit(VT_INTERRUPTED), 130);
}

// ---- sizes and bytes ----

static void test_checked_sizes(void **state)
{
    (void)state;
    size_t out = 42;
    assert_true(vt_size_mul(1 << 20, 1 << 20, &out));
    assert_int_equal(out, (size_t)1 << 40);
    assert_true(vt_size_mul(SIZE_MAX, 1, &out));
    assert_true(vt_size_mul(SIZE_MAX, 0, &out));
    assert_int_equal(out, 0);
    out = 42;
    assert_false(vt_size_mul((size_t)1 << 32, (size_t)1 << 32, &out));
    assert_false(vt_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_false(vt_size_add(SIZE_MAX, 1, &out));
    assert_int_equal(out, 42); // untouched
    assert_true(vt_size_add(SIZE_MAX - 1, 1, &out));
    assert_int_equal(out, SIZE_MAX);
    assert_true(vt_size_add(out, 0, &out)); // may alias
}

static void test_byte_order(void **state)
{
    (void)state;
    unsigned char raw[9] = {0};
    vt_put_le64(raw + 1, 0x0123456789ABCDEFu); // unaligned
    assert_int_equal(raw[1], 0xEF);
    assert_int_equal(raw[8], 0x01);
    assert_true(vt_le64(raw + 1) == 0x0123456789ABCDEFu);
    assert_int_equal(vt_be32((const unsigned char *)"\xFE\xDC\xBA\x98"), 0xFEDCBA98);
}

// ---- arena ----

typedef struct tensors {
    float *a;
    double *b;
    char *none, *c;
} tensors;

static void place(vt_arena *arena, tensors *t)
{
    t->a = VT_ARENA_TAKE(arena, float, 3);
    t->b = VT_ARENA_TAKE(arena, double, 100);
    t->none = VT_ARENA_TAKE(arena, char, 0);
    t->c = VT_ARENA_TAKE(arena, char, 65);
}

// Things that take turns lie over one another, and what comes after them behind the largest.
static void test_arena_union(void **state)
{
    (void)state;
    vt_arena arena = {0};
    char *turns[3] = {0}, *after = NULL;
    for (int bound = 0; bound < 2; bound++) {
        VT_ARENA_TAKE(&arena, char, 64);
        vt_arena_union shared = vt_arena_union_begin(&arena);
        for (int i = 0; i < 3; i++, vt_arena_union_next(&shared, &arena))
            turns[i] = VT_ARENA_TAKE(&arena, char, i == 1 ? 640 : 128);
        vt_arena_union_end(&shared, &arena);
        after = VT_ARENA_TAKE(&arena, char, 64);
        assert_int_equal(arena.used, 64 + 640 + 64);
        if (!bound) assert_int_equal(vt_arena_reserve(&arena), VT_OK);
    }
    for (int i = 0; i < 3; i++) assert_ptr_equal(turns[i], arena.base + 64);
    assert_ptr_equal(after, arena.base + 64 + 640);
    vt_arena_release(&arena);
}

static void test_arena(void **state)
{
    (void)state;
    vt_arena arena = {0};
    tensors t;
    place(&arena, &t);
    assert_null(t.a);
    assert_null(t.c);
    size_t planned = arena.used, allocations = vt_alloc_count();
    assert_int_equal(planned, 64 + 832 + 0 + 128);
    assert_int_equal(vt_arena_reserve(&arena), VT_OK);
    assert_int_equal(vt_alloc_count(), allocations + 1);
    place(&arena, &t);
    assert_int_equal(arena.used, planned);
    assert_int_equal(vt_alloc_count(), allocations + 1);
    assert_ptr_equal(t.a, arena.base);
    const void *const all[] = {t.a, t.b, t.none, t.c};
    for (int i = 0; i < 4; i++) assert_int_equal((uintptr_t)all[i] % VT_ARENA_ALIGN, 0);
    for (size_t i = 0; i < planned; i++) assert_int_equal(arena.base[i], 0);
    memset(t.a, 1, 3 * sizeof *t.a);
    memset(t.b, 2, 100 * sizeof *t.b);
    memset(t.c, 3, 65);
    assert_int_equal(((char *)t.a)[11], 1); // no overlap
    assert_int_equal(((char *)t.b)[799], 2);
    vt_arena_release(&arena);
    assert_null(arena.base);
    vt_arena_release(&arena);
    assert_int_equal(vt_arena_reserve(&arena), VT_OK); // an empty plan is one, too
    vt_arena_release(&arena);
}

static void test_sizes_that_overflow(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{SIZE_MAX / 2, 3}, {SIZE_MAX - 10, 1}, {1, SIZE_MAX}};
    for (int i = 0; i < 3; i++) {
        vt_arena arena = {0};
        vt_arena_take(&arena, 1, 1);
        assert_null(vt_arena_take(&arena, sizes[i][0], sizes[i][1]));
        assert_int_equal(vt_arena_reserve(&arena), VT_ERR_MEMORY);
        assert_non_null(strstr(vt_error_message(), "address space"));
        assert_null(vt_alloc(sizes[i][0], sizes[i][1]));
        assert_non_null(strstr(vt_error_message(), "address space"));
    }
    vt_arena arena = {0}; // each fits, their sum does not
    vt_arena_take(&arena, SIZE_MAX / 2, 1);
    vt_arena_take(&arena, SIZE_MAX / 2, 1);
    vt_arena_take(&arena, 100, 1);
    assert_int_equal(vt_arena_reserve(&arena), VT_ERR_MEMORY);
}

static void test_alloc(void **state)
{
    (void)state;
    size_t before = vt_alloc_count();
    unsigned char *p = vt_alloc(5, 13), *none = vt_alloc(0, 13);
    assert_non_null(p);
    assert_non_null(none);
    assert_int_equal((uintptr_t)p % VT_ARENA_ALIGN, 0);
    for (int i = 0; i < 65; i++) assert_int_equal(p[i], 0);
    assert_int_equal(vt_alloc_count(), before + 2);
    free(p);
    free(none);
}

// ---- threads and log ----

static void test_threads(void **state)
{
    (void)state;
    int seen[3] = {0};
    vt_threads_set(3);
    assert_int_equal(vt_threads(), 3);
#pragma omp parallel
    seen[vt_thread_index()] = 1;
    for (int i = 0; i < 3; i++) assert_int_equal(seen[i], 1);
    vt_threads_set(0);
    assert_true(vt_threads() >= 1);
    assert_int_equal(vt_thread_index(), 0);
    double start = vt_now_s();
    assert_true(vt_now_s() >= start);
}

// A machine that takes a microsecond a round, and is held up for 50 ms in the first trials of each
// number of rounds.
typedef struct disturbed {
    long rounds;
    int trial, held_up; // of these rounds: trials so far, and how many are held up
} disturbed;

static double disturbed_trial(void *self, long rounds)
{
    disturbed *d = self;
    if (rounds != d->rounds) d->trial = 0;
    d->rounds = rounds;
    return 1e-6 * (double)rounds + (d->trial++ < d->held_up ? 0.05 : 0);
}

static void test_best_trial(void **state)
{
    (void)state;
    for (int held_up = 0; held_up < 4; held_up++) {
        disturbed d = {.held_up = held_up};
        long rounds;
        const double best = vt_best_trial(disturbed_trial, &d, &rounds);
        assert_true(rounds == 64000); // the first that take 40 ms by themselves
        assert_true(best == 1e-6 * (double)rounds);
    }
}

static void test_log(void **state)
{
    (void)state;
    FILE *caught = tmpfile();
    int kept = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    vt_log(VT_LOG_ERROR, "%d", 1);
    vt_log(VT_LOG_WARN, "two");
    vt_log(VT_LOG_INFO, "three");
    vt_log(VT_LOG_INFO, "f%sr", "o\nu");
    vt_log(VT_LOG_DEBUG, "never");
    vt_log_progress("never: not a terminal");
    vt_log_progress(NULL);
    vt_log_set_level(VT_LOG_ERROR);
    vt_log(VT_LOG_WARN, "never");
    vt_log_set_level(VT_LOG_INFO);
    dup2(kept, STDERR_FILENO);
    close(kept);
    char text[200] = {0};
    rewind(caught);
    assert_true(fread(text, 1, sizeof text - 1, caught) > 0);
    fclose(caught);
    assert_string_equal(text, "error: 1\nwarning: two\nthree\nfo?ur\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),      cmocka_unit_test(test_checked_sizes),
        cmocka_unit_test(test_byte_order),  cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_union), cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_alloc),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_best_trial),  cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
