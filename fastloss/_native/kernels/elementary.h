/* exp and log on lanes, each with its domain and error bound.
 *
 * Not the C library's: its results differ between systems and versions, and it is not inlined into the loops. The
 * coefficients come from tools/minimax.py; the bounds were measured by tools/exhaustive.py (docs/exhaustive.md).
 * (Named elementary.h because a header called math.h would hide the system's.) */
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

/* The terms of n <= 5 coefficients. */
FL_INLINE vf v_polynomial_block(const T *c, int n, vf x, vf x2)
{
    vf low = n > 1 ? v_fma(v_set(c[1]), x, v_set(c[0])) : v_set(c[0]);
    vf high = n > 3 ? v_fma(v_set(c[3]), x, v_set(c[2])) : v_set(n > 2 ? c[2] : 0);
    if (n > 4)
        high = v_fma(v_set(c[4]), x2, high);
    return n > 2 ? v_fma(high, x2, low) : low;
}

/* How many exponentials are computed side by side, each step for all of them: a processor looks ahead some two
 * hundred operations, a few of these formulas, of which each waits for itself. So two take less time than one after
 * the other (4 % of 2048 classes with AVX-512), and without fma, where a formula has half as many steps again, four
 * (a tenth of 512x32000); more do not fit into the registers. */
#if FL_SCALAR
enum { MOST_EXPS = 1 };
#elif FL_SSE2
enum { MOST_EXPS = 4 };
#else
enum { MOST_EXPS = 2 };
#endif

#define SIDE_BY_SIDE(i, n) FL_UNROLL for (int i = 0; i < n; i++)

/* The vectors of a strip, which on the baseline are 16: written out one after the other they were a hundredth of the
 * wheel and took a twentieth longer. */
#if FL_AVX512 || FL_AVX2
#define STRIP_LOOP FL_UNROLL
#else
#define STRIP_LOOP FL_LANEWISE
#endif

/* The first term of the last block of four, which has up to five. */
FL_INLINE int last_block(int degree) { return degree % 4 == 0 && degree > 0 ? degree - 4 : degree - degree % 4; }

/* The same polynomial in blocks of four terms, which need not wait for each other (Estrin's rule); x2 is x x. A
 * loop body of a hundred operations is longer than what the processor looks ahead: then its time is that of its
 * longest chain, and Horner's rule was a sixth of it. */
FL_INLINE vf v_polynomial_blocks(const T *c, int degree, vf x, vf x2)
{
    const int last = last_block(degree);
    vf x4 = x2 * x2, p = v_polynomial_block(c + last, degree + 1 - last, x, x2);
    FL_UNROLL
    for (int block = last - 4; block >= 0; block -= 4)
        p = v_fma(p, x4, v_polynomial_block(c + block, 4, x, x2));
    return p;
}

/* Adding 1.5 * 2^(mantissa bits) rounds to an integer and leaves it in the low bits; with the exponent's bias added, a
 * shift of those bits makes the power of two. (rintf without SSE4.1 would call libm.) */
#define ROUND_MAGIC PICK(0x1.8p23f, 0x1.8p52)
#define EXPONENT_MAGIC PICK(0x1.8p23f + 127, 0x1.8p52 + 1023)
enum { MANTISSA_BITS = PICK(23, 52) };

/* (1 + s) power, power being one of 2: rounded once either way. Without fma the sum comes first, because s power may be
 * subnormal, which another library may have told the processor to take for 0. */
FL_INLINE vf v_one_plus_times(vf s, vf power)
{
#if FL_HAS_FMA
    return v_fma(s, power, power);
#else
    return (s + v_set(1)) * power;
#endif
}

/* 2^k exp(r) of reduced arguments r, `biased` being k + EXPONENT_MAGIC. A multiplication by 2^k, not an addition to the
 * exponent: the latter turns some NaNs into numbers. */
FL_INLINE void v_exps_of_reduced(const vf *biased, const vf *r, int n, vf *e)
{
    static const T q[] = PICK(EXP_Q_F32, EXP_Q_F64);
    const int degree = PICK(EXP_Q_F32_DEGREE, EXP_Q_F64_DEGREE), last = last_block(degree);
    vf r2[MOST_EXPS], r4[MOST_EXPS], p[MOST_EXPS];
    SIDE_BY_SIDE(i, n) r2[i] = r[i] * r[i];
    /* v_polynomial_blocks of each: as a function of n vectors gcc 12 left more of them in memory (a twelfth of the
     * baseline's float64) */
    SIDE_BY_SIDE(i, n) r4[i] = r2[i] * r2[i];
    SIDE_BY_SIDE(i, n) p[i] = v_polynomial_block(q + last, degree + 1 - last, r[i], r2[i]);
    FL_UNROLL
    for (int block = last - 4; block >= 0; block -= 4)
        SIDE_BY_SIDE(i, n) p[i] = v_fma(p[i], r4[i], v_polynomial_block(q + block, 4, r[i], r2[i]));
    SIDE_BY_SIDE(i, n) p[i] = v_fma(r2[i], p[i], r[i]);
    SIDE_BY_SIDE(i, n)
    {
        const vf power = v_from_bits(v_bits(biased[i]) << MANTISSA_BITS);
        e[i] = v_one_plus_times(p[i], power);
    }
}

/* Without what is below the smallest normal number. */
FL_INLINE vf v_zero_unless_normal(vf d, vf e)
{
    const T smallest = PICK(-0x1.5d58ap+6f, -0x1.6232bdd7abcd2p+9); /* its logarithm, rounded up */
    return v_zero_where_lt(d, v_set(smallest), e);
}

/* exp(d), 0 below the smallest normal number. d <= 0.1 or so; -inf gives 0, NaN gives NaN. At most 1.1 ULP. */
FL_INLINE vf v_exp_nonpositive(vf d)
{
    vf biased = v_fma(d, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC));
    vf k = biased - v_set(EXPONENT_MAGIC), e;
    vf r = v_fma(k, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), d);
    r = v_fma(k, v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), r);
    v_exps_of_reduced(&biased, &r, 1, &e);
    return v_zero_unless_normal(d, e);
}

/* The reduced arguments of exp(d + tail), |tail| tiny, of n <= MOST_EXPS pairs. */
FL_INLINE void v_reduce(const vf *d, const vf *tail, int n, vf *biased, vf *r)
{
    vf k[MOST_EXPS], low[MOST_EXPS];
    SIDE_BY_SIDE(i, n) biased[i] = v_fma(d[i], v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC));
    SIDE_BY_SIDE(i, n) k[i] = biased[i] - v_set(EXPONENT_MAGIC);
    SIDE_BY_SIDE(i, n) r[i] = v_fma(k[i], v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), d[i]);
    SIDE_BY_SIDE(i, n) low[i] = v_fma(k[i], v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), tail[i]);
    SIDE_BY_SIDE(i, n) r[i] = r[i] + low[i];
}

/* exp(d + tail); the rest as before. */
FL_INLINE vf v_exp_nonpositive_and(vf d, vf tail)
{
    vf biased, r, e;
    v_reduce(&d, &tail, 1, &biased, &r);
    v_exps_of_reduced(&biased, &r, 1, &e);
    return v_zero_unless_normal(d, e);
}

/* 1, -1, or 0 for 0; NaN stays NaN. */
FL_INLINE vf v_sign(vf x)
{
    return v_where_lt(v_set(0), v_abs(x), v_signed_as(v_set(1), x), x + v_set(0)); /* of -0, too, it is 0 */
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

/* exp(x - maximum), x <= maximum, of n <= MOST_EXPS vectors; exactly 1 at the maximum. At most 1.1 ULP. */
FL_INLINE void v_exps_below(const vf *x, int n, maximum_split m, vf *e)
{
    vf biased[MOST_EXPS], r[MOST_EXPS], d[MOST_EXPS], tail[MOST_EXPS];
    SIDE_BY_SIDE(i, n) d[i] = x[i] - m.grid;
    SIDE_BY_SIDE(i, n) tail[i] = (x[i] - (d[i] + m.grid)) - m.rest;
    v_reduce(d, tail, n, biased, r);
    v_exps_of_reduced(biased, r, n, e);
    SIDE_BY_SIDE(i, n) e[i] = v_zero_unless_normal(d[i], e[i]);
}

FL_INLINE vf v_exp_below(vf x, maximum_split m)
{
    v_exps_below(&x, 1, m, &x);
    return x;
}

/* The same for long rows, relative not to the maximum but to a power of two near exp(maximum): a fourth fewer
 * operations, because what is subtracted from x is only its own multiple of log 2, exactly. What the maximum lacks to
 * that power is found once a row, to twice the precision (see v_exp_unit). */
typedef struct {
    vf offset; /* of all x: 0, or the maximum, if that is so far from 0 that the difference is exact wherever it counts,
                * and k of v_exps_scaled might have too many bits for k LN2_HI */
    vf magic;  /* EXPONENT_MAGIC less the logarithm of that power to base 2 */
    vf lowest; /* less counts as this, whose exponential is 0 */
} exp_scale;

FL_INLINE exp_scale v_exp_scale(vf maximum)
{
    const T least = PICK(-88, -709), most = PICK(160, 1230);
    exp_scale s;
    s.offset = v_where_lt(maximum, v_set(least), maximum, v_where_lt(v_set(most), maximum, maximum, v_set(0)));
    vf power = v_fma(maximum - s.offset, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(ROUND_MAGIC)) - v_set(ROUND_MAGIC);
    s.magic = v_set(EXPONENT_MAGIC) - power;
    s.lowest = (power - v_set(PICK(127, 1023))) * v_set(PICK(LN2_HI_F32, LN2_HI_F64));
    return s;
}

/* exp(x - offset) over that power, x <= maximum, of n vectors: up to MOST_EXPS, or a multiple of that up to a strip. At
 * most 1.1 ULP; below 2^-126.5 (2^-1022.5) it is 0. All reduced arguments come first: each is the half of a chain of
 * operations, and of halves the processor has twice as many on their way (7 % of 128x32000 with AVX2). */
FL_INLINE void v_exps_scaled(const vf *x, int n, exp_scale s, vf *e)
{
    enum { MOST = 4 * LANES / WIDTH };
    const int step = n < MOST_EXPS ? n : MOST_EXPS;
    vf biased[MOST], r[MOST], y[MOST_EXPS], k[MOST_EXPS];
    STRIP_LOOP
    for (int first = 0; first < n; first += step) {
        vf *b = biased + first, *rest = r + first;
        SIDE_BY_SIDE(i, step) y[i] = v_max(s.lowest, x[first + i] - s.offset); /* a NaN stays NaN */
        SIDE_BY_SIDE(i, step) b[i] = v_fma(y[i], v_set(PICK(LOG2E_F32, LOG2E_F64)), s.magic);
        SIDE_BY_SIDE(i, step) k[i] = b[i] - s.magic;
        SIDE_BY_SIDE(i, step) rest[i] = v_fma(k[i], v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), y[i]);
        SIDE_BY_SIDE(i, step) rest[i] = v_fma(k[i], v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), rest[i]);
    }
    STRIP_LOOP
    for (int first = 0; first < n; first += step)
        v_exps_of_reduced(biased + first, r + first, step, e + first);
}

FL_INLINE vf v_exp_scaled(vf x, exp_scale s)
{
    v_exps_scaled(&x, 1, s, &x);
    return x;
}

/* exp(x + tail) for any x and tiny tail: inf from the largest number on, 0 below the smallest normal one. At most
 * 1.1 ULP. The power of two is applied in two factors where x > 0, because 2^128 (2^1024) itself is no number. */
FL_INLINE vf v_exp(vf x, vf tail)
{
    static const T q[] = PICK(EXP_Q_F32, EXP_Q_F64);
    const T smallest = PICK(-0x1.5d58ap+6f, -0x1.6232bdd7abcd2p+9);
    const T largest = PICK(0x1.62e43p+6f, 0x1.62e42fefa39efp+9); /* log of the largest number, to nearest */
    vf bounded = v_where_lt(x, v_set(smallest), v_set(smallest), x);
    bounded = v_where_lt(v_set(largest), x, v_set(largest), bounded);
    vf biased = v_fma(bounded, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC));
    vf n = biased - v_set(EXPONENT_MAGIC);
    vf r = v_fma(n, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), bounded);
    r = r + v_fma(n, v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), tail);
    vf p = v_fma(r * r, v_polynomial(q, PICK(EXP_Q_F32_DEGREE, EXP_Q_F64_DEGREE), r), r) + v_set(1);
    vf half = v_where_lt(v_set(0), x, v_set(1), v_set(0));
    vf power = v_from_bits(v_bits(biased - half) << MANTISSA_BITS);
    vf result = (p * power) * (v_set(1) + half);
    result = v_where_lt(v_set(largest), x, v_set((T)INFINITY), result);
    return v_zero_where_lt(x, v_set(smallest), result);
}

/* exp(x) - 1 for x <= 0; -0 gives -0 or 0. At most 2 ULP. */
FL_INLINE vf v_expm1_nonpositive(vf x)
{
    static const T g[] = PICK(EXPM1_G_F32, EXPM1_G_F64);
    const T lowest = PICK(-20, -40); /* the result is -1 from here on */
    vf bounded = v_where_lt(x, v_set(lowest), v_set(lowest), x);
    vf biased = v_fma(bounded, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC));
    vf n = biased - v_set(EXPONENT_MAGIC);
    vf r = v_fma(n, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), bounded);
    vf low = n * v_set(-PICK(LN2_LO_F32, LN2_LO_F64)), square;
    r = r + low;
    square = r * r;
    vf rest = v_polynomial(g, PICK(EXPM1_G_F32_DEGREE, EXPM1_G_F64_DEGREE), r);
    vf core = v_fma(square, v_fma(r, rest, v_set((T)0.5)), r);
    vf power = v_from_bits(v_bits(biased) << MANTISSA_BITS);
    return v_fma(power, core, power - v_set(1));
}

/* tanh by expm1(-2 |x|): no cancellation anywhere. At most 3 ULP. */
FL_INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), e = v_expm1_nonpositive(v_set(-2) * a), t = -e / (v_set(2) + e);
    return v_where_lt(x, v_set(0), -t, v_where_eq(x, v_set(0), x, t));
}

/* u = 2^k (1 + f), f from sqrt(1/2) - 1 to sqrt(2) - 1; u positive and normal. */
FL_INLINE void v_split_logarithm(vf u, vf *k, vf *f)
{
    const fl_bits sqrt_half = PICK(0x3f3504f3, 0x3fe6a09e667f3bcd);
    const fl_bits mantissa = PICK(0x7fffff, 0xfffffffffffff), bias = PICK(128, 1024);
    /* The bias keeps the number positive: a logical shift will do, and AVX2 has no arithmetic one for 64 bits. */
    vi shifted = v_bits(u) - sqrt_half, exponent = v_shift_right(shifted + bias * ((fl_bits)1 << MANTISSA_BITS));
    *f = v_from_bits((shifted & mantissa) + sqrt_half) - v_set(1);
    *k = v_from_bits(exponent + v_bits(v_set(ROUND_MAGIC))) - v_set(ROUND_MAGIC + (T)bias);
}

/* k log 2 + log(1 + f) + small. */
FL_INLINE vf v_join_logarithm(vf k, vf f, vf small)
{
    /* log(1 + f) = f - f^2/2 + t (f^2/2 + R), t = f / (2 + f): the leading terms have no rounding error to speak of */
    static const T c[] = PICK(LOG1P_R_F32, LOG1P_R_F64);
    vf half_square = v_set((T)0.5) * f * f;
    vf t = f / (v_set(2) + f), t2 = t * t;
    vf tail = v_polynomial(c, PICK(LOG1P_R_F32_DEGREE, LOG1P_R_F64_DEGREE), t2) * t2;
    small = v_fma(k, v_set(PICK(LN2_LO_F32, LN2_LO_F64)), small);
    vf correction = v_fma(t, half_square + tail, small);
    return v_fma(k, v_set(PICK(LN2_HI_F32, LN2_HI_F64)), f - (half_square - correction));
}

/* log(1 + s) for s >= 0; inf gives inf, NaN gives NaN. At most 1 ULP. */
FL_INLINE vf v_log1p_nonnegative(vf s)
{
    vf u = s + v_set(1), k, f;
    vf lost = v_where_lt(s, v_set(1), s - (u - v_set(1)), v_set(1) - (u - s)); /* 1 + s == u + lost */
    v_split_logarithm(u, &k, &f);
    return v_where_lt(s, v_set((T)INFINITY), v_join_logarithm(k, f, lost / u), s);
}

/* log(1 + e) for e from 0 to 1; NaN gives NaN. At most 1.4 ULP. */
FL_INLINE vf v_log1p_unit(vf e)
{
    static const T c[] = PICK(LOG1P_UNIT_F32, LOG1P_UNIT_F64);
    vf square = e * e;
    return v_fma(square, v_polynomial_blocks(c, PICK(LOG1P_UNIT_F32_DEGREE, LOG1P_UNIT_F64_DEGREE), e, square), e);
}

/* log(1 + x); -1 gives -inf, less gives NaN. At most 1 ULP. */
FL_INLINE vf v_log1p(vf x)
{
    vf u = x + v_set(1), k, f;
    vf lost = v_where_lt(x, v_set(1), x - (u - v_set(1)), v_set(1) - (u - x));
    v_split_logarithm(u, &k, &f);
    vf result = v_where_lt(x, v_set((T)INFINITY), v_join_logarithm(k, f, lost / u), x);
    result = v_where_lt(x, v_set(-1), v_set((T)NAN), result);
    return v_where_eq(x, v_set(-1), v_set((T)-INFINITY), result);
}

/* log(x), subnormal x too; 0 gives -inf, less gives NaN. At most 1 ULP. */
FL_INLINE vf v_log(vf x)
{
    const T smallest = PICK(0x1p-126f, 0x1p-1022), rescale = PICK(0x1p24f, 0x1p54);
    vf k, f;
    v_split_logarithm(v_where_lt(x, v_set(smallest), x * v_set(rescale), x), &k, &f);
    k = v_where_lt(x, v_set(smallest), k - v_set(PICK(24, 54)), k);
    vf result = v_where_lt(x, v_set((T)INFINITY), v_join_logarithm(k, f, v_set(0)), x);
    result = v_where_lt(x, v_set(0), v_set((T)NAN), result);
    return v_where_eq(x, v_set(0), v_set((T)-INFINITY), result);
}

/* a b = product + error, exactly (unless the error underflows, or, without fma, a or b is huge). */
FL_INLINE vf v_product_error(vf a, vf b, vf product)
{
#if FL_HAS_FMA
    return v_fma(a, b, -product);
#else
    const T splitter = PICK(0x1p12f + 1, 0x1p27 + 1); /* Veltkamp: halves of the mantissa, whose products are exact */
    vf a_high = a * v_set(splitter), b_high = b * v_set(splitter);
    a_high = a_high - (a_high - a);
    b_high = b_high - (b_high - b);
    vf a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
}

/* A number in two parts, hi + lo, to twice the working precision. */
typedef struct {
    vf hi, lo;
} pair;

/* exp(d) = (hi + lo) power for |d| up to the logarithm of the smallest normal number; relative error 0.02 ULP. */
FL_INLINE pair v_exp_pair(vf d, vf *power)
{
    static const T g[] = PICK(EXPM1_G_F32, EXPM1_G_F64);
    vf biased = v_fma(d, v_set(PICK(LOG2E_F32, LOG2E_F64)), v_set(EXPONENT_MAGIC)), n = biased - v_set(EXPONENT_MAGIC);
    vf r = v_fma(n, v_set(-PICK(LN2_HI_F32, LN2_HI_F64)), d), lost = v_set(0);
    v_two_sum(&r, &lost, n * v_set(-PICK(LN2_LO_F32, LN2_LO_F64)));
    /* 1 + r + r^2/2 exactly, and the rest once */
    vf square = r * r, cube = square * r, sum = r;
    vf rest = v_fma(v_set((T)0.5), v_product_error(r, r, square), v_fma(r, lost, lost));
    rest = v_fma(cube, v_polynomial(g, PICK(EXPM1_G_F32_DEGREE, EXPM1_G_F64_DEGREE), r), rest);
    v_two_sum(&sum, &rest, v_set((T)0.5) * square);
    vf one = v_set(1);
    v_two_sum(&one, &rest, sum);
    *power = v_from_bits(v_bits(biased) << MANTISSA_BITS);
    vf hi = one + rest;
    return (pair){hi, rest - (hi - one)};
}

/* What turns exponentials of v_exps_scaled into those of x - maximum. */
FL_INLINE pair v_exp_unit(vf maximum, exp_scale s)
{
    vf power; /* that of the scale */
    return v_exp_pair(s.offset - maximum, &power);
}

#endif
