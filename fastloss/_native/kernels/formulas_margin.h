/* Losses of a score x and a target y of -1 or 1; most depend on the margin m = x y alone, which is exact. */
#ifndef FASTLOSS_FORMULAS_MARGIN_H
#define FASTLOSS_FORMULAS_MARGIN_H

#include "formulas_binary.h"

/* yes where x > 0, else 0; NaN where x is. */
FL_INLINE vf v_where_positive(vf x, vf yes) { return v_where_lt(v_set(0), x, yes, v_zero_unless_nan(x)); }

FL_INLINE terms hinge_terms(vf x, vf y, const vf *p)
{
    vf missing = p[0] - x * y;
    return terms_of_input(v_where_positive(missing, missing), v_where_positive(missing, -y),
                          v_zero_unless_nan(missing));
}

FL_INLINE terms squared_hinge_terms(vf x, vf y, const vf *p)
{
    vf missing = p[0] - x * y;
    return terms_of_input(v_where_positive(missing, missing * missing),
                          v_where_positive(missing, (v_set(-2) * y) * missing), v_where_positive(missing, v_set(2)));
}

FL_INLINE terms perceptron_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf wrong = -(x * y);
    return terms_of_input(v_where_positive(wrong, wrong), v_where_positive(wrong, -y), v_zero_unless_nan(wrong));
}

FL_INLINE terms exponential_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf e = v_exp(-(x * y), v_set(0));
    return terms_of_input(e, -y * e, e);
}

FL_INLINE terms logistic_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    logistic s = v_logistic(x * y, st);
    return terms_of_input(s.soft_down, -y * s.down, s.slope);
}

/* (1 - m)^2 from m = -1 to 1, 0 above, and below the tangent at -1. */
FL_INLINE terms modified_huber_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf m = x * y, missing = v_set(1) - m, lowest = v_set(-1);
    vf value = v_where_lt(m, lowest, v_set(-4) * m, v_where_positive(missing, missing * missing));
    vf slope = v_where_lt(m, lowest, v_set(-4) * y, v_where_positive(missing, (v_set(-2) * y) * missing));
    return terms_of_input(value, slope, v_where_lt(m, lowest, v_set(0), v_where_positive(missing, v_set(2))));
}

/* x for y = 1, max(0, margin - x) for y = -1. PyTorch's subgradient at the kink: -1. */
FL_INLINE terms hinge_embedding_terms(vf x, vf y, const vf *p)
{
    vf missing = p[0] - x, none = v_zero_unless_nan(missing), far = v_where_lt(missing, v_set(0), v_set(0), v_set(-1));
    vf value = v_where_eq(y, v_set(1), x, v_where_positive(missing, missing));
    vf slope = v_where_eq(y, v_set(1), v_set(1), far);
    return terms_of_input(value, slope + none, none);
}

/* 1 where x and y differ. */
FL_INLINE terms zero_one_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf none = v_zero_unless_nan(x) + v_zero_unless_nan(y);
    return terms_of_input(v_where_eq(x, y, v_set(0), v_set(1)) + none, none, none);
}

/* 1 where they differ by a tolerance or more. */
FL_INLINE terms zero_one_within_terms(vf x, vf y, const vf *p)
{
    vf distance = v_abs(y - x), none = v_zero_unless_nan(distance);
    return terms_of_input(v_where_lt(distance, p[0], v_set(0), v_set(1)) + none, none, none);
}

#endif
