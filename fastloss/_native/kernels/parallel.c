#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "parallel.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

/* How many calls compute now. (Not stdatomic.h: MSVC has it only as an experiment.) */
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static volatile long calls;
static int add_to_calls(int n) { return (int)_InterlockedExchangeAdd(&calls, n); }
#else
static int calls;
static int add_to_calls(int n) { return __atomic_fetch_add(&calls, n, __ATOMIC_RELAXED); }
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

int fl_call_begins(int n_threads)
{
    const int others = add_to_calls(1);
    if (child_is_serial)
        return 1;
    if (n_threads > 0)
        return n_threads;
    return -n_threads / (others + 1) > 1 ? -n_threads / (others + 1) : 1;
}

void fl_call_ends(void) { add_to_calls(-1); }

#if defined(_OPENMP) && defined(__linux__)
/* Linux may put a thread that wakes up behind the one that woke it, although another processor is idle: it did so in 19
 * of 20 regions that came after a pause, and saw it a millisecond later. So the first thread lets it run if it does not
 * come at once, and it leaves. Its affinity is as before when it computes: bound for good, it could not make room for
 * others. (After 30 ms of idleness 4096x1000 then takes two threads 0.8 of the time of one, and not 1.1.) */
static void leave(int home)
{
    cpu_set_t all, others;
    if (home < 0 || sched_getcpu() != home || sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    others = all;
    CPU_CLR(home, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
}

static void wait_for_others(const fl_region *region)
{
    enum { PATIENCE = 2000 }; /* a few microseconds; threads that are awake take less than one */
    const int others = omp_get_num_threads() - 1;
    for (int i = 0; i < PATIENCE; i++)
        if (__atomic_load_n(&region->arrived, __ATOMIC_RELAXED) == others)
            return;
    sched_yield();
}

static int this_processor(void) { return sched_getcpu(); }
static void arrive(fl_region *region)
{
    __atomic_fetch_add(&region->arrived, 1, __ATOMIC_RELAXED);
    leave(region->home);
}
#else
static int this_processor(void) { return -1; }
static void wait_for_others(const fl_region *region) { (void)region; }
static void arrive(fl_region *region) { (void)region; }
#endif

fl_region fl_region_begins(void)
{
    fl_region region;
    region.home = this_processor();
    region.arrived = 0;
    fegetenv(&region.mode);
    return region;
}

#ifdef _OPENMP
/* OpenMP's threads have the floating-point mode of whoever made them, which may have been another caller in another mode
 * (JAX calls back with subnormal numbers taken for 0): within a region they have that of its own. */
#ifdef _MSC_VER
static __declspec(thread) fenv_t own_mode;
#else
static _Thread_local fenv_t own_mode;
#endif

void fl_thread_begins(fl_region *region)
{
    if (omp_get_thread_num() == 0) {
        wait_for_others(region);
        return;
    }
    arrive(region);
    fegetenv(&own_mode);
    fesetenv(&region->mode);
}

void fl_thread_ends(void)
{
    if (omp_get_thread_num() > 0)
        fesetenv(&own_mode);
}
#else
void fl_thread_begins(fl_region *region)
{
    wait_for_others(region);
    arrive(region);
}

void fl_thread_ends(void) {}
#endif
