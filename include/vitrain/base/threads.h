// The OpenMP team and the clock.
#ifndef VITRAIN_BASE_THREADS_H
#define VITRAIN_BASE_THREADS_H

// Sets how many threads later parallel regions use; 0 = all processors this process may run on.
void vt_threads_set(int threads);
int vt_threads(void);      // how many they use
int vt_thread_index(void); // 0 .. vt_threads() - 1 inside a region, 0 outside

double vt_now_s(void);                      // monotonic seconds
double vt_processor_s(void);                // that the calling thread has used
unsigned long long vt_peak_rss_bytes(void); // largest resident size of this process so far

#endif
