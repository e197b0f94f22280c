/* Which kernels this process uses. */
#ifndef FASTLOSS_DISPATCH_H
#define FASTLOSS_DISPATCH_H

#include "types.h"

extern const fl_kernels fl_baseline_f32, fl_baseline_f64;
#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
#define FL_HAS_X86_TARGETS 1
extern const fl_kernels fl_avx2_f32, fl_avx2_f64, fl_avx512_f32, fl_avx512_f64;
#endif

/* The i-th instruction set that was compiled, best first; 0 when there are no more. `runs` says whether this machine
 * can execute it. */
int fl_compiled_isa(int i, const fl_kernels **f32, const fl_kernels **f64, int *runs);

/* Sets fl_fetches_ahead for this machine. */
void fl_choose_fetching(void);

#endif
