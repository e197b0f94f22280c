/* Losses of a prediction x and a target y, most of them of the difference d = x - y. */
#ifndef FASTLOSS_FORMULAS_REGRESSION_H
#define FASTLOSS_FORMULAS_REGRESSION_H

#include "formulas.h"

/* x - y == d + this, exactly; 0 where d is infinite or NaN. */
FL_INLINE vf v_difference_error(vf x, vf y, vf d)
{
    vf part = d - x, error = (x - (d - part)) - (y + part);
    return v_where_lt(v_abs(d), v_set((T)INFINITY), error, v_set(0));
}

/* |d| - limit; its sign is that of the exact difference's: where it is small, d's rounding error counts. */
FL_INLINE vf v_beyond(vf x, vf y, vf d, vf limit)
{
    vf error = v_difference_error(x, y, d);
    return (v_abs(d) - limit) + v_where_lt(d, v_set(0), -error, error);
}

/* A number that does not depend on d, but NaN if d is. */
FL_INLINE vf v_unless_nan(vf d, vf number) { return v_where_eq(d, d, number, d); }

FL_INLINE terms mse_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf d = x - y;
    return terms_of_input(d * d, d + d, v_set(2));
}

FL_INLINE terms l1_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf d = x - y;
    return terms_of_input(v_abs(d), v_sign(d), v_set(0));
}

FL_INLINE terms smooth_l1_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, a = v_abs(d), beta = p[0];
    /* a (a / beta): the square alone would overflow, or vanish, where the quotient does not. */
    vf quotient = d / beta, inner = v_set((T)0.5) * a * v_abs(quotient), outer = a - v_set((T)0.5) * beta;
    vf value = v_where_lt(a, beta, inner, outer);
    vf slope = v_where_lt(a, beta, quotient, v_sign(d));
    vf curvature = v_where_lt(v_beyond(x, y, d, beta), v_set(0), v_set(1) / beta, v_set(0));
    return terms_of_input(value, slope, curvature);
}

FL_INLINE terms huber_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, a = v_abs(d), delta = p[0];
    vf value = v_where_lt(delta, a, delta * (a - v_set((T)0.5) * delta), v_set((T)0.5) * d * d);
    vf slope = v_where_lt(delta, a, v_signed_as(delta, d), d);
    return terms_of_input(value, slope, v_where_lt(v_set(0), v_beyond(x, y, d, delta), v_set(0), v_set(1)));
}

/* log cosh d, tanh d, 1 / cosh^2 d */
FL_INLINE terms log_cosh_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    static const T c[] = PICK(LOGCOSH_C_F32, LOGCOSH_C_F64);
    const T far = PICK(40, 350), four_exp_minus_8 = PICK(0x1.5fc21p-10f, 0x1.5fc21041027adp-10);
    vf d = x - y, a = v_abs(d), error = v_difference_error(x, y, d), square = d * d;
    /* e = exp(-2 |d|), with the rounding error of d, which the second derivative would show. Far out it is e^8 times
     * that, because 4 e is still a normal number when e no longer is; there the value does not see it anyway. */
    vf shift = v_where_lt(v_set(far), a, v_set(8), v_set(0));
    vf e = v_exp_nonpositive_and(shift - (a + a), v_where_lt(d, v_set(0), error + error, v_set(-2) * error));
    e = v_carried(st, 1, e);
    vf series = v_polynomial(c, PICK(LOGCOSH_C_F32_DEGREE, LOGCOSH_C_F64_DEGREE), square);
    vf small = v_fma(square * square, series, v_set((T)0.5) * square);
    /* |d| - log 2 + log(1 + e): the difference is exact where it cancels */
    vf large = (a - v_set(PICK(LN2_HI_F32, LN2_HI_F64))) +
               (v_log1p_unit(e) - v_set(PICK(LN2_LO_F32, LN2_LO_F64)));
    vf slope = v_carried(st, 1, v_tanh(d)), curvature = v_set(4) * e / v_fma(e, v_set(2) + e, v_set(1));
    curvature = v_where_lt(v_set(far), a, e * v_set(four_exp_minus_8), curvature);
    curvature = v_where_lt(a, v_set((T)0.5), v_set(1) - slope * slope, curvature);
    return terms_of_input(v_where_lt(a, v_set((T)0.75), small, large), slope, curvature);
}

/* The quantile and 1 - quantile are parameters of their own: near 1, the latter would be lost in rounding. */
FL_INLINE terms pinball_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, below = p[0], above = p[1];
    vf value = v_where_lt(d, v_set(0), -below * d, above * d);
    vf slope = v_where_lt(d, v_set(0), -below, v_where_eq(d, v_set(0), v_set(0), above));
    return terms_of_input(value, v_unless_nan(d, slope), v_set(0));
}

/* w d^2, where w is 1 - expectile above the target and the expectile elsewhere */
FL_INLINE terms expectile_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, weight = v_where_lt(v_set(0), d, p[1], p[0]), slope = weight * d;
    return terms_of_input(slope * d, slope + slope, weight + weight);
}

/* What (k / root)^3 has to be multiplied by, less 1, to make up for the rounding errors of its parts: of c = k / root,
 * of root = sqrt(s), of s = 1 + ratio^2, and of the ratio, which is off by `lost` relative to itself. k is 1 if the
 * ratio is `inner`, else the ratio. */
FL_INLINE vf v_cube_correction(vf k, vf c, vf root, vf s, vf ratio, vf lost, vf inner)
{
    vf one = v_set(1), quotient = c * root, square = root * root, ratio_square = ratio * ratio;
    vf c_lost = ((k - quotient) - v_product_error(c, root, quotient)) / k;
    vf root_lost = (s - square) - v_product_error(root, root, square);
    vf s_lost = (ratio_square - (s - one)) + v_product_error(ratio, ratio, ratio_square);
    lost = lost * v_where_eq(inner, one, -ratio_square, one);
    vf correction = v_set(3) * (c_lost + (lost - v_set((T)0.5) * (root_lost + s_lost)) / s);
    return v_where_lt(v_abs(correction), v_set(PICK(0x1p-20f, 0x1p-49)), correction, v_set(0)); /* or not a number */
}

/* delta^2 (sqrt(1 + z^2) - 1) with z = d / delta. All is in terms of the ratio of the smaller of |d| and delta to the
 * larger, so that no square overflows; and sqrt(..) - 1 is z^2 / (sqrt(..) + 1), which does not cancel near 0. */
FL_INLINE terms pseudo_huber_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, a = v_abs(d), delta = p[0], one = v_set(1);
    vf smaller = v_where_lt(a, delta, a, delta), larger = v_where_lt(a, delta, delta, a);
    vf ratio = smaller / larger, s = v_fma(ratio, ratio, one), root = v_sqrt(s);
    vf k = v_where_lt(a, delta, one, ratio); /* delta / larger */
    vf error = v_difference_error(x, y, d), slope = smaller / root;
    error = v_where_lt(d, v_set(0), -error, error);
    vf value = smaller / (root + k) * a; /* with an error of d twice, which its derivative tells */
    value = v_where_lt(value, v_set((T)INFINITY), v_fma(slope, error, value), value);

    /* The second derivative is (k / root)^3, and would triple all their rounding errors. */
    vf product = ratio * larger, c = k / root, cube = c * c * c;
    vf lost = (smaller - product) - v_product_error(ratio, larger, product);
    lost = (lost + v_where_lt(a, delta, error, -ratio * error)) / smaller;
    vf correction = v_cube_correction(k, c, root, s, ratio, lost, v_where_lt(a, delta, one, v_set(0)));
    return terms_of_input(value, v_where_lt(d, v_set(0), -slope, slope), v_fma(cube, correction, cube));
}

/* |d| - epsilon where that is positive, else 0. */
FL_INLINE vf v_excess(vf x, vf y, vf d, vf epsilon)
{
    vf excess = v_beyond(x, y, d, epsilon);
    return v_where_lt(excess, v_set(0), v_set(0), excess);
}

FL_INLINE terms epsilon_insensitive_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, excess = v_excess(x, y, d, p[0]);
    vf slope = v_where_eq(excess, v_set(0), v_set(0), v_sign(d));
    return terms_of_input(excess, slope, v_set(0));
}

FL_INLINE terms squared_epsilon_insensitive_terms(vf x, vf y, const vf *p)
{
    vf d = x - y, excess = v_excess(x, y, d, p[0]), half = v_where_lt(d, v_set(0), -excess, excess);
    vf curvature = v_where_eq(excess, v_set(0), v_set(0), v_set(2));
    return terms_of_input(excess * excess, half + half, curvature);
}

/* log(1 + x) - log(1 + y), for x, y > -1.
 *
 * Their difference would cancel. Let m be the smaller of x and y, q = |x - y| / (1 + m): then it is log(1 + q), up to
 * the sign. The rounding errors of |x - y|, of 1 + m and of the division go into the logarithm's small term. */
FL_INLINE vf v_log1p_difference(vf x, vf y)
{
    const T huge = PICK(0x1p100f, 0x1p900), rescale = PICK(0x1p-64f, 0x1p-512), steps = PICK(64, 512);
    vf d = x - y, a = v_abs(d), m = v_where_lt(x, y, x, y), w = m + v_set(1), k, f;
    vf error = v_difference_error(x, y, d), w_error = v_difference_error(m, v_set(-1), w);
    /* For |x - y| above `huge` and m near -1 the quotient would overflow. */
    vf scale = v_where_lt(a, v_set(huge), v_set(1), v_where_lt(w, v_set(1), v_set(rescale), v_set(1)));
    vf shift = v_where_lt(a, v_set(huge), v_set(0), v_where_lt(w, v_set(1), v_set(steps), v_set(0)));
    a = a * scale;
    vf q = a / w, product = q * w;
    vf lost = (a - product) - v_product_error(q, w, product);
    lost = ((lost + scale * v_where_lt(d, v_set(0), -error, error)) - q * w_error) / w;
    lost = v_where_lt(v_abs(lost), q, lost, v_set(0)); /* or not a number: the splitting of a huge number overflows */
    vf u = q + v_set(1);
    lost = lost + v_where_lt(q, v_set(1), q - (u - v_set(1)), v_set(1) - (u - q));
    v_split_logarithm(u, &k, &f);
    vf result = v_where_lt(q, v_set((T)INFINITY), v_join_logarithm(k + shift, f, lost / u), q);
    return v_where_lt(d, v_set(0), -result, result);
}

FL_INLINE terms msle_terms(vf x, vf y, const vf *p, stages *st)
{
    (void)p;
    vf difference = v_carried(st, 1, v_log1p_difference(x, y)), w = v_set(1) + x;
    vf slope = (difference + difference) / w, curvature = (v_set(1) - difference) * v_set(2) / w;
    curvature = v_fma(curvature, v_set(-2) * v_difference_error(x, v_set(-1), w) / w, curvature) / w;
    vf limit = v_unless_nan(difference, v_set(0)), infinity = v_set((T)INFINITY);
    slope = v_where_lt(w, infinity, slope, limit);
    curvature = v_where_lt(w, infinity, curvature, limit);
    return terms_of_input(difference * difference, slope, curvature);
}

#endif
