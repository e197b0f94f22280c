/* exp and log on lanes, each with its domain and error bound.
 *
 * Not the C library's: its results differ between systems and versions, and it is not inlined into the loops. The
 * coefficients come from tools/minimax.py; the bounds were measured by tests/test_elementary.py. (Named elementary.h
 * because a header called math.h would hide the system's.) */
#ifndef FASTLOSS_ELEMENTARY_H
#define FASTLOSS_ELEMENTARY_H

#include "coefficients.h"
#include "vector.h"

/* c[0] + c[1] x + ... by Horner's rule. */
FL_INLINE vf v_polynomial(const T *c, int degree, vf x)
{
    vf p = v_set(c[degree]);
    FL_UNROLL
    for (int i = degree - 1; i >= 0; i--)
        p = v_fma(p, x, v_set(c[i]));
    return p;
}

/* Adding 1.5 * 2^(mantissa bits) rounds to an integer and leaves it in the low bits; with the exponent's bias added, a
 * shift of those bits makes the power of two. (rintf without SSE4.1 would call libm.) */
#define ROUND_MAGIC PICK(0x1.8p23f, 0x1.8p52)
#define EXPONENT_MAGIC PICK(0x1.8p23f + 127, 0x1.8p52 + 1023)
enum { MANTISSA_BITS = PICK(23, 52) };

/* exp(d + tail), 0 below the smallest normal number. d <= 0.1 or so, |tail| tiny; -inf gives 0, NaN gives NaN.
 * At most 1 ULP. A multiplication by 2^n, not an addition to the exponent: the latter turns some NaNs into numbers. */
FL_INLINE vf v_exp_nonpositive(vf d, vf tail)
{
    static const T q[] = PICK(EXP_Q_F32, EXP_Q_F64);
    const T smallest = PICK(-0x1.5d58ap+6f, -0x1.6232bdd7abcd2p+9); /* log of the smallest normal, rounded up */
    vf biased = v_fma(d, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC));
    vf n = biased - v_set(EXPONENT_MAGIC);
    vf r = v_fma(n, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), d);
    r = r + v_fma(n, v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), tail);
    vf p = v_fma(r * r, v_polynomial(q, PICK(EXP_Q_F32_DEGREE, EXP_Q_F64_DEGREE), r), r) + v_set(1);
    vf power = v_from_bits(v_bits(biased) << MANTISSA_BITS);
    return v_where_lt(d, v_set(smallest), v_set(0), p * power);
}

/* 1, -1, or 0 for 0; NaN stays NaN. */
FL_INLINE vf v_sign(vf x)
{
    vf one = v_where_lt(x, v_set(0), v_set(-1), v_set(1));
    return v_where_eq(x, v_set(0), v_set(0), v_where_eq(x, x, one, x));
}

/* The maximum of a row, split so that exp(x - maximum) can be had to the last bit.
 *
 * x - maximum rounds, and exp turns that into up to 26 ULP. The error of a subtraction can be recovered with two more
 * operations only if the subtrahend is the larger number or lies on a coarser grid than x. So `grid` is the maximum
 * rounded to a multiple of 2^-10 (2^-30 in double), and the rest is subtracted from the error term. Beyond `limit` the
 * maximum lies on such a grid already. */
typedef struct {
    vf grid, rest;
} maximum_split;

FL_INLINE maximum_split v_split_maximum(vf maximum)
{
    const T magic = PICK(0x1.8p13f, 0x1.8p22), limit = PICK(0x1p12f, 0x1p21);
    vf rounded = (maximum + v_set(magic)) - v_set(magic);
    maximum_split m;
    m.grid = v_where_lt(v_abs(maximum), v_set(limit), rounded, maximum);
    m.rest = v_where_lt(v_abs(maximum), v_set(limit), maximum - rounded, v_set(0));
    return m;
}

/* exp(x - maximum), x <= maximum; exactly 1 at the maximum. At most 1 ULP. */
FL_INLINE vf v_exp_below(vf x, maximum_split m)
{
    vf d = x - m.grid;
    vf error = x - (d + m.grid);
    return v_exp_nonpositive(d, error - m.rest);
}

/* log(1 + s) for s >= 0; inf gives inf, NaN gives NaN. At most 1 ULP. */
FL_INLINE vf v_log1p_nonnegative(vf s)
{
    const fl_bits sqrt_half = PICK(0x3f3504f3, 0x3fe6a09e667f3bcd);
    const fl_bits mantissa = PICK(0x7fffff, 0xfffffffffffff);
    vf u = s + v_set(1);
    vf lost = v_where_lt(s, v_set(1), s - (u - v_set(1)), v_set(1) - (u - s)); /* 1 + s == u + lost */
    vi shifted = v_bits(u) - sqrt_half; /* u >= 1, so this is not negative */
    vi exponent = shifted >> MANTISSA_BITS;
    vf f = v_from_bits((shifted & mantissa) + sqrt_half) - v_set(1);
    vf k = v_from_bits(exponent + v_bits(v_set(ROUND_MAGIC))) - v_set(ROUND_MAGIC);
    vf small = v_fma(k, v_set(PICK(LN2_LO_F32, LN2_LO_F64)), lost / u);
    vf half_square = v_set((T)0.5) * f * f;
    /* log(1 + f) = f - f^2/2 + t (f^2/2 + R), t = f / (2 + f): the leading terms have no rounding error to speak of */
    static const T c[] = PICK(LOG1P_R_F32, LOG1P_R_F64);
    vf t = f / (v_set(2) + f), t2 = t * t;
    vf tail = v_polynomial(c, PICK(LOG1P_R_F32_DEGREE, LOG1P_R_F64_DEGREE), t2) * t2;
    vf correction = v_fma(t, half_square + tail, small);
    vf log_f = f - (half_square - correction);
    vf result = v_fma(k, v_set(PICK(LN2_HI_F32, LN2_HI_F64)), log_f);
    return v_where_lt(s, v_set((T)INFINITY), result, s);
}

#endif
