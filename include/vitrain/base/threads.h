// The OpenMP team and the clock.
#ifndef VITRAIN_BASE_THREADS_H
#define VITRAIN_BASE_THREADS_H

#include <stdatomic.h>

// Sets how many threads later parallel regions use; 0 = all processors this process may run on.
void vt_threads_set(int threads);
int vt_threads(void);      // how many they use
int vt_thread_index(void); // 0 .. vt_threads() - 1 inside a region, 0 outside

// A thread's part of a loop that comes again and again: each takes its own iterations first, the
// same ones every time, which its caches may still know, then those of threads that are late.
typedef struct vt_turns {
    _Alignas(64) atomic_int next;
    int end;
} vt_turns;

// turns: (vt_threads()). Every thread calls this before a barrier that the loop begins after.
void vt_turns_begin(vt_turns *turns, int count);
// The calling thread's next iteration; -1: none is left.
int vt_turns_next(vt_turns *turns);

double vt_now_s(void);                      // monotonic seconds
double vt_processor_s(void);                // that the calling thread has used
unsigned long long vt_peak_rss_bytes(void); // largest resident size of this process so far

#endif
