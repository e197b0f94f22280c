/* The one place that knows about OpenMP's threads, fork and waiting. The loops themselves are prange in the .pyx
 * files. */
#ifndef FASTLOSS_PARALLEL_H
#define FASTLOSS_PARALLEL_H

/* Makes fork safe; call once at import. 0, or the error of pthread_atfork. */
int fl_parallel_init(void);

/* Threads OpenMP would use now (OMP_NUM_THREADS, threadpoolctl's limit), at most the processors this thread may run
 * on; 1 without OpenMP and in a forked child whose threads could not be stopped in time. */
int fl_parallel_limit(void);

#endif
