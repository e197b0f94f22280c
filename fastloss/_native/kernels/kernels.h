/* All kernels for one instruction set and one working type. Each file in targets/ says which and includes this once;
 * everything here is static but the one table. (Files of three lines instead of one file that includes its bodies six
 * times: no name has to be mangled, they compile side by side, and a debugger shows the plain names.) */
#if defined(FL_TARGET_AVX512) || defined(FL_TARGET_AVX2)
#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
#define FL_COMPILED 1
#include <immintrin.h>
#ifdef FL_TARGET_AVX512
#define FL_AVX512 1
#define FL_ISA_NAME "avx512"
#define FL_ISA avx512
#ifdef FL_EMULATED_FEATURES /* tools/avx512_emulated.h */
#define FL_TARGET_FEATURES FL_EMULATED_FEATURES
#else
#define FL_TARGET_FEATURES "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c"
#endif
#else
#define FL_AVX2 1
#define FL_ISA_NAME "avx2"
#define FL_ISA avx2
#define FL_TARGET_FEATURES "avx2,fma,f16c"
#endif
#endif
#else
#define FL_COMPILED 1
#define FL_ISA baseline
#if defined(__GNUC__) && defined(__x86_64__)
#define FL_SSE2 1
#define FL_ISA_NAME "baseline"
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__aarch64__)
#define FL_NEON 1
#define FL_ISA_NAME "neon"
#include <arm_neon.h>
#else
#define FL_ISA_NAME "baseline"
#endif
#endif

#if FL_COMPILED
#include "dispatch.h"
#include <math.h>
#include <string.h>

#ifdef FL_TARGET_FEATURES
#define FL_PRAGMA(text) _Pragma(#text)
#define FL_PRAGMA_TEXT(text) FL_PRAGMA(text)
#ifdef __clang__
FL_PRAGMA_TEXT(clang attribute push(__attribute__((target(FL_TARGET_FEATURES))), apply_to = function))
#else
#pragma GCC push_options
FL_PRAGMA_TEXT(GCC target(FL_TARGET_FEATURES))
#endif
#endif

#include "pointwise.h"
#include "rows.h"

#ifdef FL_TARGET_FEATURES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#define FL_JOIN2(a, b, c) a##b##c
#define FL_JOIN(a, b, c) FL_JOIN2(a, b, c)
const fl_kernels FL_JOIN(fl_, FL_ISA, PICK(_f32, _f64)) = {
    .isa = FL_ISA_NAME,
    .check_rows = check_rows,
    .run_rows = run_rows,
    .check_pointwise = check_pointwise,
    .run_pointwise = run_pointwise,
    .first_negative = first_negative,
};
#else
typedef int fl_nothing_to_compile_here;
#endif
