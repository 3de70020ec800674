// OpenMP's team size, the monotonic clock, the peak resident size.
#include "vitrain/base/threads.h"

#include <omp.h>
#include <sys/resource.h>
#include <time.h>

void vt_threads_set(int threads)
{
    omp_set_dynamic(0);
    omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs());
}

int vt_threads(void)
{
    return omp_get_max_threads();
}

int vt_thread_index(void)
{
    return omp_get_thread_num();
}

void vt_turns_begin(vt_turns *turns, int count)
{
    const long long me = vt_thread_index(), threads = omp_get_num_threads();
    turns[me].end = (int)(count * (me + 1) / threads);
    atomic_store(&turns[me].next, (int)(count * me / threads));
}

int vt_turns_next(vt_turns *turns)
{
    const int threads = omp_get_num_threads(), me = vt_thread_index();
    for (int i = 0; i < threads; i++) {
        vt_turns *t = &turns[(me + i) % threads];
        if (atomic_load(&t->next) >= t->end) continue;
        const int next = atomic_fetch_add(&t->next, 1);
        if (next < t->end) return next;
    }
    return -1;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double vt_now_s(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double vt_processor_s(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

unsigned long long vt_peak_rss_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (unsigned long long)usage.ru_maxrss * 1024;
}
