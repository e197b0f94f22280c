/* The kernels for baseline, working in float. */
#define FL_DOUBLE 0
#include "../kernels.h"
