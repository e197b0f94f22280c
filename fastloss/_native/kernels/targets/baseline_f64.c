/* The kernels for baseline, working in double. */
#define FL_DOUBLE 1
#include "../kernels.h"
