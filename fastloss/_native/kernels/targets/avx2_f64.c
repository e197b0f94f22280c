/* The kernels for avx2, working in double. */
#define FL_TARGET_AVX2 1
#define FL_DOUBLE 1
#include "../kernels.h"
