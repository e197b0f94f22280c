/* What a formula is: value, gradients and diagonal second derivatives of one loss, side by side.
 *
 * Every formula computes all it can; each loop is compiled from it with the results it does not store left out. */
#ifndef FASTLOSS_FORMULAS_H
#define FASTLOSS_FORMULAS_H

#include "elementary.h"
#include "types.h"

typedef struct {
    vf value;
    vf grad[3]; /* with respect to the input, the target, the first parameter: FL_WRT_... */
    vf hess[3];
} terms;

/* A number in two parts, hi + lo, to twice the working precision. */
typedef struct {
    vf hi, lo;
} pair;

/* A loss of the difference input - target. */
FL_INLINE terms terms_of_difference(vf value, vf slope, vf curvature)
{
    return (terms){value, {slope, -slope, v_set(0)}, {curvature, curvature, v_set(0)}};
}

/* A loss whose input alone has derivatives. */
FL_INLINE terms terms_of_input(vf value, vf slope, vf curvature)
{
    return (terms){value, {slope, v_set(0), v_set(0)}, {curvature, v_set(0), v_set(0)}};
}

#endif
