#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "parallel.h"
#include <fenv.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

#ifdef _OPENMP
/* How many calls compute now. (Not stdatomic.h: MSVC has it only as an experiment.) */
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static volatile long calls;
static int add_to_calls(int n) { return (int)_InterlockedExchangeAdd(&calls, n); }
#else
static int calls;
static int add_to_calls(int n) { return __atomic_fetch_add(&calls, n, __ATOMIC_RELAXED); }
#endif
#endif

/* A child of fork has one thread, but libgomp's book-keeping still lists the parent's team, and the next parallel
 * region waits for it for ever. So before a fork the forking thread's team is sent home; the parent makes a new one
 * when it next needs it. omp_pause_resource_all came with OpenMP 5 (libgomp 9): a weak reference, for older ones. */
#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>

#pragma weak omp_pause_resource_all
extern int omp_pause_resource_all(omp_pause_resource_t kind);

static int pause_failed, child_is_serial;

static void before_fork(void)
{
    pause_failed = !omp_pause_resource_all || omp_pause_resource_all(omp_pause_soft) != 0;
}

static void in_child(void)
{
    calls = 0; /* those of other threads do not go on here */
    if (pause_failed)
        child_is_serial = 1;
}

int fl_parallel_init(void)
{
    static int done;
    int error = done ? 0 : pthread_atfork(before_fork, NULL, in_child);
    done = 1;
    return error;
}
#else
enum { child_is_serial = 0 };

int fl_parallel_init(void) { return 0; }
#endif

int fl_parallel_limit(void)
{
    int threads = 1;
#ifdef _OPENMP
    if (!child_is_serial)
        threads = omp_get_max_threads() < omp_get_thread_limit() ? omp_get_max_threads() : omp_get_thread_limit();
#ifdef __linux__
    cpu_set_t set;
    if (threads > 1 && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < threads)
        threads = CPU_COUNT(&set);
#endif
#endif
    return threads > 1 ? threads : 1;
}

static void run_here(fl_task *task, void *work, fl_size n_blocks)
{
    for (fl_size block = 0; block < n_blocks; block++)
        task(work, block);
}

#ifdef _OPENMP
/* How many threads a call may use that has begun. */
static int threads_of_call(int n_threads, int others)
{
    if (child_is_serial)
        return 1;
    if (n_threads > 0)
        return n_threads;
    return -n_threads / (others + 1) > 1 ? -n_threads / (others + 1) : 1;
}

/* What the threads of a parallel region share. */
typedef struct {
    fenv_t mode;     /* how the thread that makes it rounds, and whether it takes subnormal numbers for 0 */
    fl_size n_taken; /* blocks, and those that nobody got */
    fl_size n_begun; /* threads, apart from the one that makes it */
} region;

static fl_size count(fl_size *counter)
{
#if defined(_MSC_VER) && !defined(__clang__)
#ifndef _WIN64
#error "counts in 64 bits"
#endif
    return (fl_size)_InterlockedExchangeAdd64(counter, 1);
#else
    return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
#endif
}

/* OpenMP's threads have the floating-point mode of whoever made them, which may have been another caller in another
 * mode (JAX calls back with subnormal numbers taken for 0): within a region they have that of its own. */
#ifdef _MSC_VER
static __declspec(thread) fenv_t own_mode;
#else
static _Thread_local fenv_t own_mode;
#endif

static void thread_begins(region *shared)
{
    if (omp_get_thread_num() == 0)
        return;
    count(&shared->n_begun);
    fegetenv(&own_mode);
    fesetenv(&shared->mode);
}

/* A thread that has not begun may be waiting for the caller's processor, on which the caller would wait for it. */
static void thread_ends(region *shared)
{
    if (omp_get_thread_num() > 0)
        fesetenv(&own_mode);
#ifdef __linux__
    else if (__atomic_load_n(&shared->n_begun, __ATOMIC_RELAXED) < omp_get_num_threads() - 1)
        sched_yield();
#endif
}

/* Not OpenMP's own dynamic schedule: of Cython's prange gcc made a loop before which all threads wait for each other.
 * The caller then computes nothing until the last thread has woken up, which after a pause takes Linux a millisecond
 * or more where it puts that thread on the caller's processor (19 of 20 regions on a machine with two). */
static void run_in_region(fl_task *task, void *work, fl_size n_blocks, int n_threads)
{
    region shared = {.n_taken = 0, .n_begun = 0};
    fegetenv(&shared.mode);
#pragma omp parallel num_threads(n_threads)
    {
        thread_begins(&shared);
        for (fl_size block = count(&shared.n_taken); block < n_blocks; block = count(&shared.n_taken))
            task(work, block);
        thread_ends(&shared);
    }
}

void fl_run_blocks(fl_task *task, void *work, fl_size n_blocks, int n_threads)
{
    const int threads = threads_of_call(n_threads, add_to_calls(1));
    if (threads > 1)
        run_in_region(task, work, n_blocks, threads);
    else
        run_here(task, work, n_blocks);
    add_to_calls(-1);
}
#else
void fl_run_blocks(fl_task *task, void *work, fl_size n_blocks, int n_threads)
{
    (void)n_threads;
    run_here(task, work, n_blocks);
}
#endif
