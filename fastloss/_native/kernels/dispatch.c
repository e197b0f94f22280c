#include "dispatch.h"
#ifdef FL_HAS_X86_TARGETS
#include <cpuid.h>
#endif

int fl_fetches_ahead = 1;

/* AMD's Zen 4 fetches by itself what several streams will need, and has more buffers for that than for what it is asked
 * for: with requests the gradient and Hessian of binary_cross_entropy_with_logits (10 million) took half as long again
 * as without, and so did softmax_grad of 4096x1000. The requests come from Zen 5 and an Intel Xeon, which gain by
 * them. */
static int is_zen4(void)
{
#ifdef FL_HAS_X86_TARGETS
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || c != signature_AMD_ecx || d != signature_AMD_edx)
        return 0;
    __builtin_cpu_init();
    return __get_cpuid(1, &a, &b, &c, &d) && (a >> 8 & 0xf) + (a >> 20 & 0xff) == 0x19 && /* Zen 3 has no AVX-512 */
           __builtin_cpu_supports("avx512f");
#else
    return 0;
#endif
}

void fl_choose_fetching(void) { fl_fetches_ahead = !is_zen4(); }

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
