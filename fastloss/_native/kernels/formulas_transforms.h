/* Functions of one argument. */
#ifndef FASTLOSS_FORMULAS_TRANSFORMS_H
#define FASTLOSS_FORMULAS_TRANSFORMS_H

#include "formulas_binary.h"

FL_INLINE terms sigmoid_terms(vf x, vf y, const vf *p)
{
    (void)y, (void)p;
    logistic s = v_logistic(x);
    vf slope = s.up * s.down;
    return terms_of_input(s.up, slope, slope * (s.down - s.up));
}

FL_INLINE terms log_sigmoid_terms(vf x, vf y, const vf *p)
{
    (void)y, (void)p;
    logistic s = v_logistic(x);
    return terms_of_input(-s.soft_down, s.down, -(s.up * s.down));
}

#endif
