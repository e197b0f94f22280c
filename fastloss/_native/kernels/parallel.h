/* The one place that knows about OpenMP's threads, fork and waiting. */
#ifndef FASTLOSS_PARALLEL_H
#define FASTLOSS_PARALLEL_H

#include "types.h"

/* Makes fork safe; call once at import. 0, or the error of pthread_atfork. */
int fl_parallel_init(void);

/* Threads OpenMP would use now (OMP_NUM_THREADS, threadpoolctl's limit), at most the processors this thread may run
 * on; 1 without OpenMP and in a forked child whose threads could not be stopped in time. */
int fl_parallel_limit(void);

/* Does one block of the work. */
typedef void fl_task(void *work, fl_size block);

/* Does all blocks, each once, on n_threads threads; given as a negative number, on its share of them, for calls from
 * several threads at once would otherwise bring a team each. */
void fl_run_blocks(fl_task *task, void *work, fl_size n_blocks, int n_threads);

#endif
