/* Functions of one argument. */
#ifndef FASTLOSS_FORMULAS_TRANSFORMS_H
#define FASTLOSS_FORMULAS_TRANSFORMS_H

#include "formulas_binary.h"

FL_INLINE terms sigmoid_terms(vf x, vf y, const vf *p)
{
    (void)y, (void)p;
    logistic s = v_logistic(x, NULL);
    return terms_of_input(s.up, s.slope, s.slope * (s.down - s.up));
}

FL_INLINE terms log_sigmoid_terms(vf x, vf y, const vf *p)
{
    (void)y, (void)p;
    logistic s = v_logistic(x, NULL);
    return terms_of_input(-s.soft_down, s.down, -s.slope);
}

/* How surprising an event of probability x is. */
FL_INLINE terms information_terms(vf x, vf y, const vf *p)
{
    (void)y, (void)p;
    return terms_of_input(v_set(0) - v_log(x), v_set(-1) / x, v_set(1) / (x * x));
}

/* The elementary functions themselves, for the tools that measure them: value only. */
#define FL_ELEMENTARY(name, expression)                                     \
    FL_INLINE terms name##_terms(vf x, vf y, const vf *p)                   \
    {                                                                       \
        (void)y, (void)p;                                                   \
        return terms_of_input(expression, v_set(0), v_set(0));              \
    }
FL_ELEMENTARY(exp, v_exp(x, v_set(0)))
FL_ELEMENTARY(log, v_log(x))
FL_ELEMENTARY(log1p, v_log1p(x))
FL_ELEMENTARY(expm1_nonpositive, v_expm1_nonpositive(x))
FL_ELEMENTARY(tanh, v_tanh(x))
FL_ELEMENTARY(softplus, v_logistic(x, NULL).soft_up)

#endif
