/* The one place that knows about OpenMP's threads, fork and waiting. The regions themselves are in the .pyx files. */
#ifndef FASTLOSS_PARALLEL_H
#define FASTLOSS_PARALLEL_H

#include "types.h"
#include <fenv.h>

/* Makes fork safe; call once at import. 0, or the error of pthread_atfork. */
int fl_parallel_init(void);

/* Threads OpenMP would use now (OMP_NUM_THREADS, threadpoolctl's limit), at most the processors this thread may run
 * on; 1 without OpenMP and in a forked child whose threads could not be stopped in time. */
int fl_parallel_limit(void);

/* A call that is about to compute asks how many of its threads it may use: all, or, given as a negative number, its share
 * of them, for calls from several threads would otherwise bring a team each. fl_call_ends when it has computed. */
int fl_call_begins(int n_threads);
void fl_call_ends(void);

/* What the threads of a parallel region share. Each begins, takes blocks until none is left, and ends. */
typedef struct {
    fenv_t mode;     /* how the thread that makes it rounds, and whether it takes subnormal numbers for 0 */
    fl_size n_taken; /* blocks, and those that nobody got */
    fl_size n_begun; /* threads, apart from the one that makes it */
} fl_region;

fl_region fl_region_begins(void);
void fl_thread_begins(fl_region *region);
fl_size fl_next_block(fl_region *region);
void fl_thread_ends(fl_region *region);

#endif
