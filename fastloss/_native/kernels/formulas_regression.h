/* Losses of a prediction x and a target y, most of them of the difference d = x - y. */
#ifndef FASTLOSS_FORMULAS_REGRESSION_H
#define FASTLOSS_FORMULAS_REGRESSION_H

#include "formulas.h"

FL_INLINE terms mse_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf d = x - y;
    return terms_of_difference(d * d, d + d, v_set(2));
}

FL_INLINE terms l1_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf d = x - y;
    return terms_of_difference(v_abs(d), v_sign(d), v_set(0));
}

FL_INLINE terms smooth_l1_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, a = v_abs(d), beta = p[0];
    /* a (a / (2 beta)): the square alone would overflow, or vanish, where the quotient does not. */
    vf inner = a * (a / (beta + beta)), outer = a - v_set((T)0.5) * beta;
    vf value = v_where_lt(a, beta, inner, outer);
    vf slope = v_where_lt(a, beta, d / beta, v_sign(d));
    return terms_of_difference(value, slope, v_where_lt(a, beta, v_set(1) / beta, v_set(0)));
}

FL_INLINE terms huber_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, a = v_abs(d), delta = p[0];
    vf value = v_where_lt(delta, a, delta * (a - v_set((T)0.5) * delta), v_set((T)0.5) * d * d);
    vf slope = v_where_lt(delta, a, delta * v_sign(d), d);
    return terms_of_difference(value, slope, v_where_lt(delta, a, v_set(0), v_set(1)));
}

#endif
