/* Losses of a logit or a probability and a target from 0 to 1. */
#ifndef FASTLOSS_FORMULAS_BINARY_H
#define FASTLOSS_FORMULAS_BINARY_H

#include "formulas.h"

/* sigmoid(z) and sigmoid(-z), log1p(exp(z)) and log1p(exp(-z)), each to the last bits in its own tail. */
typedef struct {
    vf up, down;           /* sigmoid(z), sigmoid(-z) */
    vf soft_up, soft_down; /* softplus(z), softplus(-z) */
} logistic;

FL_INLINE logistic v_logistic(vf z)
{
    vf a = v_abs(z), e = v_exp_nonpositive(-a, v_set(0));
    vf large = v_set(1) / (v_set(1) + e), small = e * large, log = v_log1p_nonnegative(e);
    vf positive = v_max(z, v_set(0)), negative = v_max(-z, v_set(0)); /* a NaN comes back with the log */
    return (logistic){
        .up = v_where_lt(z, v_set(0), small, large),
        .down = v_where_lt(z, v_set(0), large, small),
        .soft_up = positive + log,
        .soft_down = negative + log,
    };
}

/* a b, where 0 times infinity counts 0. */
FL_INLINE vf v_product_or_zero(vf weight, vf x) { return v_where_eq(weight, v_set(0), v_set(0), weight * x); }

/* (1 - y) softplus(z) + w y softplus(-z) */
FL_INLINE terms binary_cross_entropy_with_logits_terms(vf z, vf y, const vf *p)
{
    logistic s = v_logistic(z);
    vf other = v_set(1) - y, wy = p[0] * y;
    terms t;
    t.value = v_product_or_zero(other, s.soft_up) + v_product_or_zero(wy, s.soft_down);
    t.grad[FL_WRT_INPUT] = other * s.up - wy * s.down;
    t.hess[FL_WRT_INPUT] = (other + wy) * (s.up * s.down);
    t.grad[FL_WRT_TARGET] = p[0] * s.soft_down - s.soft_up;
    t.hess[FL_WRT_TARGET] = t.grad[FL_WRT_PARAMETER] = t.hess[FL_WRT_PARAMETER] = v_set(0);
    return t;
}

#endif
