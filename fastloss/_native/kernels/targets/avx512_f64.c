/* The kernels for avx512, working in double. */
#define FL_TARGET_AVX512 1
#define FL_DOUBLE 1
#include "../kernels.h"
