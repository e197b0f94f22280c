#include "dispatch.h"

int fl_compiled_isa(int i, const fl_kernels **f32, const fl_kernels **f64, int *runs)
{
    *runs = 1;
#ifdef FL_HAS_X86_TARGETS
    /* __builtin_cpu_supports asks the operating system too: a kernel that does not save the wide registers hides
     * them. */
    __builtin_cpu_init();
    if (i == 0) {
        *runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        *f32 = &fl_avx512_f32;
        *f64 = &fl_avx512_f64;
        return 1;
    }
    if (i == 1) {
        *runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        *f32 = &fl_avx2_f32;
        *f64 = &fl_avx2_f64;
        return 1;
    }
    i -= 2;
#endif
    if (i == 0) {
        *f32 = &fl_baseline_f32;
        *f64 = &fl_baseline_f64;
        return 1;
    }
    return 0;
}
