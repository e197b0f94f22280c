/* The kernels for avx512, working in float. */
#define FL_TARGET_AVX512 1
#define FL_DOUBLE 0
#include "../kernels.h"
