/* The kernels for avx2, working in float. */
#define FL_TARGET_AVX2 1
#define FL_DOUBLE 0
#include "../kernels.h"
