/* Losses of a logit or a probability and a target from 0 to 1. */
#ifndef FASTLOSS_FORMULAS_BINARY_H
#define FASTLOSS_FORMULAS_BINARY_H

#include "formulas.h"

/* sigmoid(z) and sigmoid(-z), log1p(exp(z)) and log1p(exp(-z)), each to the last bits in its own tail. */
typedef struct {
    vf up, down;           /* sigmoid(z), sigmoid(-z) */
    vf soft_up, soft_down; /* softplus(z), softplus(-z): max(z, 0) and max(-z, 0), each plus ... */
    vf log;                /* log1p(exp(-|z|)) */
    vf slope;              /* sigmoid(z) sigmoid(-z) */
    vf exp, large;         /* exp(-|z|), sigmoid(|z|) */
} logistic;

/* From e = exp(-|z|), 1 / (1 + e), e / (1 + e), log1p(e) and the slope. */
FL_INLINE logistic v_logistic_of(vf z, vf e, vf large, vf small, vf log, vf slope)
{
    vf positive = v_max(z, v_set(0)), negative = v_max(-z, v_set(0)); /* a NaN comes back with the log */
    return (logistic){
        .up = v_where_lt(z, v_set(0), small, large),
        .down = v_where_lt(z, v_set(0), large, small),
        .soft_up = positive + log,
        .soft_down = negative + log,
        .log = log,
        .slope = slope,
        .exp = e,
        .large = large,
    };
}

FL_INLINE logistic v_logistic(vf z, stages *st)
{
    vf e = v_carried(st, 1, v_exp_nonpositive(-v_abs(z))), sum = v_set(1) + e, large = v_set(1) / sum;
    /* e / (1 + e)^2 by its own quotient: the product of the two would carry all their roundings */
    vf lost = e - (sum - v_set(1)), slope = e / v_fma(sum, sum, (sum + sum) * lost);
    return v_logistic_of(z, e, large, e * large, v_log1p_unit(e), slope);
}

/* What a term counts whose weight is 0: 0, even if the term is infinite; but a NaN of the input x shows. */
FL_INLINE vf v_zero_unless_nan(vf x) { return v_where_eq(x, x, v_set(0), x); }

/* weight x, where 0 times infinity counts 0. */
FL_INLINE vf v_product_or_zero(vf weight, vf x)
{
    return v_where_eq(weight, v_set(0), v_zero_unless_nan(x), weight * x);
}

/* other softplus(z) + wt softplus(-z): the weights of both answers. `w` is the weight of a positive target, `kept` what
 * smoothing leaves of it. */
FL_INLINE terms cross_entropy_of_logit(vf z, vf other, vf wt, vf w, vf kept, stages *st)
{
    vf minus_wt = -wt;
    logistic s = v_logistic(z, st);
    /* What multiplies z apart from the logarithm that both softplus have, and what the gradient, other sigmoid(z) -
     * wt sigmoid(-z), has of 1 / (1 + e) and of e / (1 + e). 0 * inf counts 0, and a NaN is in the logarithm, too. */
    vf far = v_where_lt(z, v_set(0), minus_wt, other), near = v_where_lt(z, v_set(0), other, minus_wt);
    terms t;
    t.value = v_fma(other + wt, s.log, v_where_eq(far, v_set(0), v_set(0), far * z));
    t.grad[FL_WRT_INPUT] = s.large * v_fma(near, s.exp, far);
    t.hess[FL_WRT_INPUT] = (other + wt) * s.slope;
    /* w softplus(-z) - softplus(z) with the common logarithm taken out: exactly -z for w = 1 */
    vf linear = v_product_or_zero(w, v_max(-z, v_set(0))) - v_max(z, v_set(0));
    t.grad[FL_WRT_TARGET] = kept * v_fma(w - v_set(1), s.log, linear);
    t.hess[FL_WRT_TARGET] = t.grad[FL_WRT_PARAMETER] = t.hess[FL_WRT_PARAMETER] = v_set(0);
    return t;
}

/* (1 - t) softplus(z) + w t softplus(-z), t = (1 - s) y + s / 2.
 * Smoothing s comes as a parameter, not as a map of the target, because 1 - t would cancel: (1 - s) (1 - y) + s / 2
 * does not. */
FL_INLINE terms binary_cross_entropy_with_logits_terms(vf z, vf y, const vf *p, stages *st)
{
    vf w = p[0], kept = v_set(1) - p[1], spread = v_set((T)0.5) * p[1];
    return cross_entropy_of_logit(z, v_fma(kept, v_set(1) - y, spread), w * v_fma(kept, y, spread), w, kept, st);
}

/* Without the options: the same bits in a tenth less time. */
FL_INLINE terms binary_cross_entropy_with_logits_plain_terms(vf z, vf y, const vf *p, stages *st)
{
    (void)p;
    return cross_entropy_of_logit(z, v_set(1) - y, y, v_set(1), v_set(1), st);
}

/* -y log p - (1 - y) log(1 - p), the logarithms clamped at -100. */
FL_INLINE terms binary_cross_entropy_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    const vf lowest = v_set(-100), smallest = v_set((T)1e-12);
    vf other = v_set(1) - x, log_this = v_carried(st, 1, v_log(x)), log_other = v_carried(st, 1, v_log1p(-x));
    vf this_or = v_where_lt(log_this, lowest, lowest, log_this);
    vf other_or = v_where_lt(log_other, lowest, lowest, log_other);
    vf variance = x * other, both = v_where_lt(variance, smallest, smallest, variance);
    terms t;
    t.value = v_set(0) - (y * this_or + (v_set(1) - y) * other_or);
    t.grad[FL_WRT_INPUT] = (x - y) / both;
    /* the derivative of that quotient */
    vf curvature = y / (x * x) + (v_set(1) - y) / (other * other);
    t.hess[FL_WRT_INPUT] = v_where_lt(variance, smallest, v_set(1) / smallest, curvature);
    /* log((1 - x) / x): near its zero as log1p, whose argument's numerator is exact */
    vf near = v_log1p((v_set(1) - (x + x)) / x);
    vf inner = v_where_lt(x, v_set((T)0.75), near, log_other - log_this);
    t.grad[FL_WRT_TARGET] = v_where_lt(x, v_set((T)0.25), log_other - log_this, inner);
    t.hess[FL_WRT_TARGET] = t.grad[FL_WRT_PARAMETER] = t.hess[FL_WRT_PARAMETER] = v_set(0);
    return t;
}

/* The power q^gamma of the focal loss multiplies the relative error of q by gamma, that of log q by gamma log q: so
 * both are pairs. */

/* log(x.hi + x.lo), x.hi normal: log(x.hi) and Newton's correction x exp(-log(x.hi)) - 1. */
FL_INLINE pair v_log_pair(pair x, vf log)
{
    vf power;
    pair inverse = v_exp_pair(-log, &power);
    vf hi = x.hi * power, product = hi * inverse.hi, error = v_product_error(hi, inverse.hi, product);
    return (pair){log, (product - v_set(1)) + (error + v_fma(hi, inverse.lo, (x.lo * power) * inverse.hi))};
}

/* (a.hi + a.lo) / (b.hi + b.lo), given 1 / b.hi. */
FL_INLINE pair v_quotient_pair(pair a, pair b, vf inverse)
{
    vf hi = a.hi * inverse, product = hi * b.hi;
    vf rest = ((a.hi - product) - v_product_error(hi, b.hi, product)) + (a.lo - hi * b.lo);
    return (pair){hi, rest * inverse};
}

FL_INLINE pair v_product_pair(pair a, pair b)
{
    vf hi = a.hi * b.hi;
    return (pair){hi, v_product_error(a.hi, b.hi, hi) + (a.hi * b.lo + a.lo * b.hi)};
}

FL_INLINE pair v_carried_pair(stages *st, int stage, pair x)
{
    vf hi = v_carried(st, stage, x.hi); /* one after the other, in each stage: they are numbered in this order */
    return (pair){hi, v_carried(st, stage, x.lo)};
}

FL_INLINE pair v_sum_pair(pair a, pair b)
{
    pair sum = {a.hi, a.lo + b.lo};
    v_two_sum(&sum.hi, &sum.lo, b.hi);
    return sum;
}

/* x^gamma, where 0 counts as the smallest normal number. */
FL_INLINE vf v_power(pair x, vf gamma, stages *st)
{
    const vf smallest = v_set(PICK(0x1p-126f, 0x1p-1022));
    x.lo = v_where_lt(x.hi, smallest, v_set(0), x.lo);
    x.hi = v_where_lt(x.hi, smallest, smallest, x.hi);
    x = v_carried_pair(st, 2, x);
    pair log = v_log_pair(x, v_carried(st, 2, v_log(x.hi)));
    vf hi = gamma * log.hi, lo = v_fma(gamma, log.lo, v_product_error(gamma, log.hi, hi));
    vf exponent = hi + lo;
    vf tail = v_carried(st, 3, lo - (exponent - hi));
    exponent = v_carried(st, 3, exponent);
    return v_exp(exponent, tail);
}

/* a C q^gamma: C = (1 - y) softplus(z) + y softplus(-z), the cross-entropy; q = (1 - y) sigmoid(z) + y sigmoid(-z), the
 * probability of being wrong; a = a_1 y + a_0 (1 - y). Parameters: a_1, a_0, gamma.
 * With w = q'/q = (1 - 2 y) sigmoid(z) sigmoid(-z) / q, the derivative is a q^gamma (C' + gamma C w). For y of 0 or 1,
 * C' and w have one sign: no cancellation. */
FL_INLINE terms sigmoid_focal_terms(vf z, vf y, const vf *p, stages *st)
{
    vf gamma = p[2], power, no = v_set(1) - y;
    pair yes_pair = {y, v_set(0)}, no_pair = {no, (v_set(1) - no) - y};
    vf share = p[1] * no, lost = v_fma(p[1], no_pair.lo, v_product_error(p[1], no, share));
    vf alpha = v_fma(p[0], y, share) + lost;
    /* e = exp(-|z|), from the smallest normal number on */
    const T limit = PICK(-0x1.5d58ap+6f, -0x1.6232bdd7abcd2p+9);
    vf a = -v_abs(z), bounded = v_where_lt(a, v_set(limit), v_set(limit), a);
    pair e = v_exp_pair(bounded, &power);
    power = v_where_lt(a, v_set(limit), v_set(0), power);
    e = (pair){e.hi * power, e.lo * power};
    pair one = {v_set(1), v_set(0)}, denominator = v_sum_pair(one, e);
    vf inverse = v_set(1) / denominator.hi;
    pair large = v_quotient_pair(one, denominator, inverse);
    e = v_carried_pair(st, 1, e);
    large = v_carried_pair(st, 1, large);
    inverse = v_carried(st, 1, inverse);
    pair small = v_product_pair(e, large);
    denominator = v_sum_pair(one, e);
    vf log = v_carried(st, 3, v_log1p_nonnegative(e.hi) + e.lo * inverse);
    vf likely = large.hi + large.lo, unlikely = small.hi + small.lo;
    logistic s = v_logistic_of(z, e.hi, likely, unlikely, log, likely * unlikely);
    /* q = (A + B e) / (1 + e): A is the target's share of the likelier wrong answer */
    pair more = {v_where_lt(z, v_set(0), yes_pair.hi, no_pair.hi), v_where_lt(z, v_set(0), yes_pair.lo, no_pair.lo)};
    pair less = {v_where_lt(z, v_set(0), no_pair.hi, yes_pair.hi), v_where_lt(z, v_set(0), no_pair.lo, yes_pair.lo)};
    pair numerator = v_sum_pair(more, v_product_pair(less, e));
    vf wrong = v_power(v_quotient_pair(numerator, denominator, inverse), gamma, st);
    /* w by its own quotient e / ((1 + e) (A + B e)), because q may have underflown; 0 / 0 counts 0, as q^gamma does */
    pair ratio = v_product_pair(v_quotient_pair(e, numerator, v_set(1) / numerator.hi), large);
    vf w = v_carried(st, 2, (v_set(1) - (y + y)) * (ratio.hi + ratio.lo)); /* no - y would cancel */
    w = v_where_eq(e.hi, v_set(0), v_zero_unless_nan(z), w);
    vf far = v_product_or_zero(no, v_max(z, v_set(0))) + v_product_or_zero(y, v_max(-z, v_set(0)));
    vf entropy = far + s.log, moved = v_product_or_zero(w, entropy), slope = v_fma(no, s.up, -(y * s.down));
    vf turn = v_fma(gamma - v_set(1), w, s.down - s.up);
    vf curvature = v_fma(gamma, v_fma(moved, turn, v_set(2) * slope * w), s.slope);
    return terms_of_input(alpha * v_product_or_zero(wrong, entropy),
                          alpha * v_product_or_zero(wrong, v_fma(gamma, moved, slope)),
                          alpha * v_product_or_zero(wrong, curvature));
}

/* y (log y - x): divergence of the probability y from the log-probability x. */
FL_INLINE terms kl_div_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    const vf infinite = v_set((T)-INFINITY);
    vf difference = v_carried(st, 1, v_log(y)) - x;
    /* for y = 0 the limit, -inf; and 0 if x agrees that there is nothing */
    vf slope = v_where_eq(y, v_set(0), v_where_eq(x, infinite, v_set(0), difference), difference + v_set(1));
    terms t;
    t.value = v_where_eq(y, v_set(0), v_zero_unless_nan(x), y * difference);
    t.grad[FL_WRT_INPUT] = v_where_eq(x, x, v_set(0) - y, x);
    t.hess[FL_WRT_INPUT] = v_zero_unless_nan(x);
    t.grad[FL_WRT_TARGET] = slope;
    t.hess[FL_WRT_TARGET] = v_where_eq(x, x, v_set(1) / y, x);
    t.grad[FL_WRT_PARAMETER] = t.hess[FL_WRT_PARAMETER] = v_set(0);
    return t;
}

/* exp(y) (y - x): the same from the log-probability y. */
FL_INLINE terms kl_div_log_target_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    vf q = v_carried(st, 1, v_exp(y, v_set(0))), difference = y - x, none = v_zero_unless_nan(x);
    terms t;
    t.value = v_where_eq(q, v_set(0), none, q * difference);
    t.grad[FL_WRT_INPUT] = v_where_eq(x, x, v_set(0) - q, x);
    t.hess[FL_WRT_INPUT] = none;
    t.grad[FL_WRT_TARGET] = v_where_eq(q, v_set(0), none, q * (difference + v_set(1)));
    t.hess[FL_WRT_TARGET] = v_where_eq(q, v_set(0), none, q * (difference + v_set(2)));
    t.grad[FL_WRT_PARAMETER] = t.hess[FL_WRT_PARAMETER] = v_set(0);
    return t;
}

#endif
