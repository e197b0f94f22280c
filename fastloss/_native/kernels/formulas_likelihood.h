/* Negative log-likelihoods of a target y under a distribution whose mean, or its logarithm, is the input x. */
#ifndef FASTLOSS_FORMULAS_LIKELIHOOD_H
#define FASTLOSS_FORMULAS_LIKELIHOOD_H

#include "formulas_regression.h"

/* m 2^n, n integral: a number whose exponent is not bounded. With it, the difference of two exponentials is finite
 * wherever the exact one is, and infinity has the right sign. */
typedef struct {
    vf m, n;
} wide;

/* Beyond these the exponents stay where they are: the results are 0 or infinite long before. */
#define WIDE_ARGUMENT ((T)1e6)
#define WIDE_MARGIN ((T)1e5)
#define WIDE_ZERO ((T)-3e6)

FL_INLINE vf v_clamp(vf x, T limit)
{
    vf low = v_where_lt(x, v_set(-limit), v_set(-limit), x);
    return v_where_lt(v_set(limit), low, v_set(limit), low);
}

/* 2^n for n from the smallest normal exponent up; 0 below. */
FL_INLINE vf v_power_of_two(vf n)
{
    vf power = v_from_bits(v_bits(n + v_set(EXPONENT_MAGIC)) << MANTISSA_BITS);
    return v_where_lt(n, v_set(PICK(-126, -1022)), v_set(0), power);
}

/* exp(x + tail), tail tiny. The polynomial is that of v_exp. */
FL_INLINE wide wide_exp(vf x, vf tail)
{
    static const T q[] = PICK(EXP_Q_F32, EXP_Q_F64);
    vf bounded = v_clamp(x, WIDE_ARGUMENT);
    vf n = v_fma(bounded, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(ROUND_MAGIC)) - v_set(ROUND_MAGIC);
    vf r = v_fma(n, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), bounded);
    r = r + v_fma(n, v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), tail);
    vf m = v_fma(r * r, v_polynomial(q, PICK(EXP_Q_F32_DEGREE, EXP_Q_F64_DEGREE), r), r) + v_set(1);
    return (wide){m, n};
}

FL_INLINE wide wide_of(vf x)
{
    const fl_bits one = PICK(0x3f800000, 0x3ff0000000000000), rest = ~((fl_bits)PICK(0xff, 0x7ff) << MANTISSA_BITS);
    const T smallest = PICK(0x1p-126f, 0x1p-1022), rescale = PICK(0x1p24f, 0x1p54), bias = PICK(127, 1023);
    vf a = v_abs(x), scaled = v_where_lt(a, v_set(smallest), x * v_set(rescale), x);
    vi exponent = v_shift_right(v_bits(v_abs(scaled)));
    wide w;
    w.m = v_from_bits((v_bits(scaled) & rest) | one);
    w.m = v_where_lt(a, v_set((T)INFINITY), v_where_eq(x, v_set(0), v_set(0), w.m), x);
    w.n = v_from_bits(exponent + v_bits(v_set(ROUND_MAGIC))) - v_set(ROUND_MAGIC + bias);
    w.n = v_where_lt(a, v_set(smallest), w.n - v_set(PICK(24, 54)), w.n);
    w.n = v_where_eq(x, v_set(0), v_set(WIDE_ZERO), w.n);
    return w;
}

FL_INLINE wide wide_product(wide a, wide b) { return (wide){a.m * b.m, a.n + b.n}; }

FL_INLINE wide wide_difference(wide a, wide b)
{
    vf n = v_max(a.n, b.n);
    return (wide){a.m * v_power_of_two(a.n - n) - b.m * v_power_of_two(b.n - n), n};
}

/* In three steps of the same direction, so that none overflows or vanishes unless the result does. */
FL_INLINE vf v_of_wide(wide w)
{
    vf n = v_clamp(w.n, PICK(300, 2400));
    vf third = v_fma(n, v_set((T)1 / 3), v_set(ROUND_MAGIC)) - v_set(ROUND_MAGIC);
    vf power = v_power_of_two(third);
    return w.m * power * power * v_power_of_two(n - (third + third));
}

/* The parts of Stirling's approximation of log y!, y > 1; 0 for other y: `factor` y + `rest`. */
typedef struct {
    vf factor, rest; /* log y - 1, log(2 pi y) / 2 */
} stirling;

FL_INLINE stirling v_stirling(vf y, int full)
{
    vf zero = v_set(0);
    if (!full)
        return (stirling){zero, zero};
    vf log = v_log(y), rest = v_fma(v_set((T)0.5), log, v_set(PICK(HALF_LOG_2PI_F32, HALF_LOG_2PI_F64)));
    return (stirling){v_where_lt(v_set(1), y, log - v_set(1), zero), v_where_lt(v_set(1), y, rest, zero)};
}

/* exp(x) - y x [+ y log y - y + log(2 pi y) / 2]. The terms with y are one product: apart, two could be infinite. */
FL_INLINE terms poisson_log_terms(vf x, vf y, int full)
{
    wide mean = wide_exp(x, v_set(0)), count = wide_of(y);
    stirling s = v_stirling(y, full);
    vf bounded = v_where_lt(v_set(WIDE_ARGUMENT), x, v_set(WIDE_ARGUMENT), x); /* exp(x) wins, even for inf */
    wide linear = wide_product(count, wide_of(bounded - s.factor));
    linear.m = v_where_eq(y, v_set(0), v_set(0), linear.m); /* 0 times infinity counts 0 */
    vf value = v_of_wide(wide_difference(mean, linear));
    return terms_of_input(value + s.rest, v_of_wide(wide_difference(mean, count)), v_of_wide(mean));
}

/* x - y log(x + epsilon) [+ y log y - y + log(2 pi y) / 2] */
FL_INLINE terms poisson_mean_terms(vf x, vf y, vf epsilon, int full)
{
    vf mean = x + epsilon, lost = v_difference_error(x, -epsilon, mean);
    /* Near 1 the logarithm, and near y the gradient, would show what the addition of epsilon has lost. */
    vf log = v_log(mean) + v_where_eq(lost, v_set(0), lost, lost / mean);
    stirling s = v_stirling(y, full);
    vf product = y * (log - s.factor);
    product = v_where_eq(y, v_set(0), v_where_eq(mean, v_set(0), v_set(0), product), product);
    vf slope = ((mean - y) + lost) / mean, curvature = y / mean / mean;
    slope = v_where_lt(mean, v_set((T)INFINITY), slope, v_set(1) - y / mean);
    slope = v_where_eq(mean, v_set(0), v_where_eq(y, v_set(0), v_set(1), slope), slope);
    curvature = v_where_eq(y, v_set(0), v_where_eq(mean, v_set(0), v_set(0), curvature), curvature);
    return terms_of_input((x - product) + s.rest, slope, curvature);
}

FL_INLINE terms poisson_nll_terms(vf x, vf y, const vf *p) { return (void)p, poisson_log_terms(x, y, 0); }
FL_INLINE terms poisson_nll_full_terms(vf x, vf y, const vf *p) { return (void)p, poisson_log_terms(x, y, 1); }
FL_INLINE terms poisson_nll_of_mean_terms(vf x, vf y, const vf *p) { return poisson_mean_terms(x, y, p[0], 0); }
FL_INLINE terms poisson_nll_of_mean_full_terms(vf x, vf y, const vf *p) { return poisson_mean_terms(x, y, p[0], 1); }

/* (log v + d^2 / v) / 2 + constant with v = max(variance, epsilon); the gradient passes the maximum unchanged. */
FL_INLINE terms gaussian_nll_terms(vf x, vf y, const vf *p)
{
    vf v = v_where_lt(p[0], p[1], p[1], p[0]), half = v_set((T)0.5), limit = v_set(16);
    vf d = x - y, r = d / v, error = v_difference_error(x, y, d), half_t = half * d * r; /* t = d^2 / v */
    /* d^2 would double d's rounding error */
    half_t = v_where_lt(half_t, v_set((T)INFINITY), v_fma(error, r, half_t), half_t);
    terms t = terms_of_input(v_fma(half, v_log(v), half_t) + p[2], r, v_set(1) / v);
    /* (1 / v - d^2 / v^2) / 2 and d^2 / v^3 - 1 / (2 v^2): by way of t, or of r where t might be infinite */
    vf slope = (half - half_t) / v, far_slope = half * r * (v_set(1) / d - r);
    vf curvature = (half_t + half_t - half) / v / v, far_curvature = (r / v) * (r - half / d);
    t.grad[FL_WRT_PARAMETER] = v_where_lt(limit, half_t, far_slope, slope);
    t.hess[FL_WRT_PARAMETER] = v_where_lt(limit, half_t, far_curvature, curvature);
    return t;
}

/* x + y exp(-x) */
FL_INLINE terms gamma_nll_terms(vf x, vf y, const vf *p)
{
    (void)p;
    vf ratio = v_of_wide(wide_product(wide_of(y), wide_exp(-x, v_set(0))));
    vf value = v_where_eq(ratio, v_set((T)INFINITY), ratio, x + ratio); /* even where x is -inf */
    return terms_of_input(value, v_set(1) - ratio, ratio);
}

/* integer - power, the power being given as p[0] + p[1]. */
FL_INLINE pair v_minus_power(T integer, const vf *p)
{
    vf sum = v_set(integer) - p[0], low = v_difference_error(v_set(integer), p[0], sum) - p[1];
    vf high = sum + low;
    return (pair){high, low - (high - sum)};
}

/* c x, and in *tail what that has lost; x is bounded, so c x is a number. */
FL_INLINE vf v_pair_times(pair c, vf x, vf *tail)
{
    vf product = c.hi * x, lost = v_product_error(c.hi, x, product) + c.lo * x;
    *tail = v_where_lt(v_abs(product), v_set(WIDE_ARGUMENT), lost, v_set(0));
    return product;
}

/* exp((2 - p) x) / (2 - p) - y exp((1 - p) x) / (1 - p), or (exp(x) - y)^2 / 2 for p = 0; p is not 1 or 2.
 *
 * The exponents are products that are rounded, and exp would make many ULP of that; so is the power, if the working
 * type is float: it is given in two parts. */
FL_INLINE terms tweedie_nll_terms(vf x, vf y, const vf *p)
{
    vf bounded = v_clamp(x, PICK(1e30f, 1e290)), tail1, tail2; /* a product with it can be split */
    pair c1 = v_minus_power(1, p), c2 = v_minus_power(2, p);
    vf a1 = v_clamp(v_pair_times(c1, bounded, &tail1), WIDE_ARGUMENT - WIDE_MARGIN);
    vf a2 = v_clamp(v_pair_times(c2, bounded, &tail2), WIDE_ARGUMENT - WIDE_MARGIN);
    a1 = v_where_eq(a1, a2, a2 - v_clamp(x, WIDE_MARGIN), a1); /* both at the bound: the larger decides the sign */
    wide count = wide_of(y), linear = wide_product(count, wide_exp(a1, tail1)), power = wide_exp(a2, tail2);
    vf value = v_of_wide(wide_difference((wide){power.m / c2.hi, power.n}, (wide){linear.m / c1.hi, linear.n}));
    vf d = v_of_wide(wide_difference(wide_exp(x, v_set(0)), count));
    value = v_where_eq(p[0], v_set(0), v_where_eq(p[1], v_set(0), v_set((T)0.5) * d * d, value), value);
    vf slope = v_of_wide(wide_difference(power, linear));
    wide power_slope = {power.m * c2.hi, power.n}, linear_slope = {linear.m * c1.hi, linear.n};
    return terms_of_input(value, slope, v_of_wide(wide_difference(power_slope, linear_slope)));
}

#endif
