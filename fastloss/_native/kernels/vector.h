/* The lanes: one native vector `vf` of the working type T, and the few operations GNU vectors lack.
 *
 * Arithmetic is written with the ordinary operators, which gcc and clang define on the intrinsic types. Only fused
 * multiply-add, comparisons with selection, and the count of equal lanes need a spelling per instruction set.
 * (Plain arrays with short loops cost up to 25 % on gcc 12; 64-byte GNU vectors on AVX2 go through memory there.)
 *
 * A "unit" is 64 bytes on every instruction set: LANES elements, UNIT native vectors. Sums are kept per lane of a unit,
 * so their order does not depend on the native width. */
#ifndef FASTLOSS_VECTOR_H
#define FASTLOSS_VECTOR_H

#include "types.h"
#include <math.h>
#include <string.h>

#if defined(__GNUC__)
#define FL_INLINE static inline __attribute__((always_inline, unused))
#define FL_READ_ONCE(p) __asm__ volatile("" : : "r"(p) : "memory") /* what was copied is not read again at its source */
#if defined(__clang__)
#define FL_OUTLINE __attribute__((noinline)) /* what is rare should not lengthen what is not, */
#else
#define FL_OUTLINE __attribute__((noinline, noclone)) /* nor be there for each value of an argument */
#endif
#define FL_UNROLL _Pragma("GCC unroll 16")
#define FL_LANEWISE _Pragma("GCC unroll 1")
#define FL_KEEP_ONE_LOOP(x) __asm__("" : "+r"(x)) /* no loop for each value of a flag, no gathers: the wheel's size */
#define FL_KEEP_CONDITIONAL __asm__ volatile("") /* gcc would ask for memory whatever the condition */
#else
#define FL_INLINE static inline
#define FL_READ_ONCE(p)
#define FL_OUTLINE
#define FL_UNROLL
#define FL_LANEWISE
#define FL_KEEP_ONE_LOOP(x)
#define FL_KEEP_CONDITIONAL
#endif

/* A function whose operations are put in order before registers are assigned, so that vectors go one operation after
 * the other, not one vector after the other: clang does that by itself, and says that it is gcc 4. */
#if defined(__GNUC__) && __GNUC__ >= 11
#define FL_ORDERED __attribute__((optimize("schedule-insns", "sched-pressure")))
#else
#define FL_ORDERED
#endif

#if FL_DOUBLE
typedef double T;
typedef uint64_t fl_bits; /* without a sign: they may wrap */
#define PICK(f32, f64) f64
#else
typedef float T;
typedef uint32_t fl_bits; /* without a sign: they may wrap */
#define PICK(f32, f64) f32
#endif

/* For arrays on the stack: a vector across two lines is read and written twice. (A third of the time of mse_loss
 * depended on where the stack happened to begin.) */
#define FL_ALIGNED _Alignas(64)

#define FL_HAS_FMA (FL_AVX512 || FL_AVX2 || FL_NEON)

#if FL_AVX512
#define VECTOR_BYTES 64
#define INTRINSIC(name) PICK(_mm512_##name##_ps, _mm512_##name##_pd)
typedef PICK(__m512, __m512d) vf;
#elif FL_AVX2
#define VECTOR_BYTES 32
#define INTRINSIC(name) PICK(_mm256_##name##_ps, _mm256_##name##_pd)
typedef PICK(__m256, __m256d) vf;
#elif FL_SSE2
#define VECTOR_BYTES 16
#define INTRINSIC(name) PICK(_mm_##name##_ps, _mm_##name##_pd)
typedef PICK(__m128, __m128d) vf;
#elif FL_NEON
#define VECTOR_BYTES 16
typedef PICK(float32x4_t, float64x2_t) vf;
#else /* one element: any compiler, any machine */
#define FL_SCALAR 1
#define VECTOR_BYTES ((int)sizeof(T))
typedef T vf;
#endif

#if FL_AVX512 || FL_AVX2 || FL_SSE2 || FL_NEON
typedef fl_bits vi __attribute__((vector_size(VECTOR_BYTES)));
FL_INLINE vi v_bits(vf x) { return (vi)x; }
FL_INLINE vf v_from_bits(vi x) { return (vf)x; }
#if FL_NEON
FL_INLINE vf v_set(T x) { return PICK(vdupq_n_f32, vdupq_n_f64)(x); }
#else
FL_INLINE vf v_set(T x) { return INTRINSIC(set1)(x); }
#endif
#else
typedef fl_bits vi;
FL_INLINE vi v_bits(vf x)
{
    vi b;
    memcpy(&b, &x, sizeof b);
    return b;
}
FL_INLINE vf v_from_bits(vi b)
{
    vf x;
    memcpy(&x, &b, sizeof x);
    return x;
}
FL_INLINE vf v_set(T x) { return x; }
#endif
FL_INLINE vi v_shift_right(vi x) { return x >> PICK(23, 52); } /* by the mantissa */

enum {
    WIDTH = VECTOR_BYTES / (int)sizeof(T), /* elements in a native vector */
    LANES = 64 / (int)sizeof(T),           /* elements in a unit */
    UNIT = LANES / WIDTH                   /* native vectors in a unit */
};

FL_INLINE vf v_load(const T *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

FL_INLINE void v_store(T *p, vf v) { memcpy(p, &v, sizeof v); }

/* Asks for the memory at p, which may lie beyond the array, to be read or written: while the exponentials of one
 * row are computed, the next can come from memory (a quarter of the time of 4096x1000). */
FL_INLINE void v_prefetch(const void *p)
{
#if defined(__GNUC__)
    __builtin_prefetch(p);
#else
    (void)p;
#endif
}

FL_INLINE void v_prefetch_to_write(const void *p)
{
#if defined(__GNUC__)
    __builtin_prefetch(p, 1);
#else
    (void)p;
#endif
}

/* The same of what lies so many bytes on, for loops that walk long arrays: what most processors fetch by themselves
 * ends with the page. See fl_fetches_ahead for those that are better left alone. */
FL_INLINE void v_prefetch_on(const void *p, fl_size bytes)
{
    if (fl_fetches_ahead)
        v_prefetch((const char *)p + bytes);
}

FL_INLINE void v_prefetch_on_to_write(const void *p, fl_size bytes)
{
    if (fl_fetches_ahead)
        v_prefetch_to_write((const char *)p + bytes);
}

/* Whether a scale is a number of type T: if it is too small or too large, what it multiplies need not be. */
FL_INLINE int fits(double scale)
{
    const double size = fabs(scale), smallest = PICK(0x1p-126, 0x1p-1022), largest = PICK(0x1.fffffep127, HUGE_VAL);
    return !(size > 0 && size < smallest) && !(size > largest && size < HUGE_VAL);
}

/* v_fma(a, b, c)              a b + c, rounded once where the machine can
 * v_max(a, b)                 a > b ? a : b, so a NaN in a is passed over
 * v_where_lt(a, b, yes, no)   a < b ? yes : no, so NaN selects `no`
 * v_where_eq(a, b, yes, no)   a == b ? yes : no
 * v_zero_where_lt(a, b, no)   a < b ? 0 : no
 * v_which_eq(a, b)            a bit for each lane in which a == b */
#if FL_AVX512
FL_INLINE vf v_fma(vf a, vf b, vf c) { return INTRINSIC(fmadd)(a, b, c); }
FL_INLINE vf v_max(vf a, vf b) { return INTRINSIC(max)(a, b); }
FL_INLINE vf v_where_lt(vf a, vf b, vf yes, vf no)
{
    return INTRINSIC(mask_blend)(PICK(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(a, b, _CMP_LT_OQ), no, yes);
}
FL_INLINE vf v_where_eq(vf a, vf b, vf yes, vf no)
{
    return INTRINSIC(mask_blend)(PICK(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(a, b, _CMP_EQ_OQ), no, yes);
}
FL_INLINE vf v_zero_where_lt(vf a, vf b, vf no) /* as the mask of what computed `no`: one operation less */
{
    return INTRINSIC(maskz_mov)(PICK(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(a, b, _CMP_NLT_UQ), no);
}
FL_INLINE unsigned v_which_eq(vf a, vf b) { return PICK(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(a, b, _CMP_EQ_OQ); }
#elif FL_AVX2
FL_INLINE vf v_fma(vf a, vf b, vf c) { return INTRINSIC(fmadd)(a, b, c); }
FL_INLINE vf v_max(vf a, vf b) { return INTRINSIC(max)(a, b); }
/* Compared by the operators: after a comparison by intrinsic gcc 12 compares the mask with 0 once more before it
 * blends (two of the 25 floating-point operations for an exponential). */
FL_INLINE vf v_where_lt(vf a, vf b, vf yes, vf no) { return INTRINSIC(blendv)(no, yes, (vf)(a < b)); }
FL_INLINE vf v_where_eq(vf a, vf b, vf yes, vf no) { return INTRINSIC(blendv)(no, yes, (vf)(a == b)); }
FL_INLINE unsigned v_which_eq(vf a, vf b) { return (unsigned)INTRINSIC(movemask)(INTRINSIC(cmp)(a, b, _CMP_EQ_OQ)); }
#elif FL_SSE2
/* No fused multiply-add: this is why the baseline's bits differ. */
FL_INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
FL_INLINE vf v_max(vf a, vf b) { return INTRINSIC(max)(a, b); }
FL_INLINE vf v_select(vf mask, vf yes, vf no)
{
    return INTRINSIC(or)(INTRINSIC(and)(mask, yes), INTRINSIC(andnot)(mask, no));
}
FL_INLINE vf v_where_lt(vf a, vf b, vf yes, vf no) { return v_select(INTRINSIC(cmplt)(a, b), yes, no); }
FL_INLINE vf v_where_eq(vf a, vf b, vf yes, vf no) { return v_select(INTRINSIC(cmpeq)(a, b), yes, no); }
FL_INLINE unsigned v_which_eq(vf a, vf b) { return (unsigned)INTRINSIC(movemask)(INTRINSIC(cmpeq)(a, b)); }
#elif FL_NEON
FL_INLINE vf v_fma(vf a, vf b, vf c) { return PICK(vfmaq_f32, vfmaq_f64)(c, a, b); }
FL_INLINE vf v_where_lt(vf a, vf b, vf yes, vf no)
{
    return PICK(vbslq_f32, vbslq_f64)(PICK(vcltq_f32, vcltq_f64)(a, b), yes, no);
}
FL_INLINE vf v_where_eq(vf a, vf b, vf yes, vf no)
{
    return PICK(vbslq_f32, vbslq_f64)(PICK(vceqq_f32, vceqq_f64)(a, b), yes, no);
}
/* Not vmaxq: it propagates NaN and orders the zeros, x86 does neither. */
FL_INLINE vf v_max(vf a, vf b) { return v_where_lt(b, a, a, b); }
FL_INLINE unsigned v_which_eq(vf a, vf b)
{
    unsigned which = 0;
    for (int i = 0; i < WIDTH; i++)
        which |= (unsigned)(a[i] == b[i]) << i;
    return which;
}
#else
FL_INLINE vf v_fma(vf a, vf b, vf c) { return a * b + c; }
FL_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
FL_INLINE vf v_where_lt(vf a, vf b, vf yes, vf no) { return a < b ? yes : no; }
FL_INLINE vf v_where_eq(vf a, vf b, vf yes, vf no) { return a == b ? yes : no; }
#endif

/* How many lanes have a == b. */
#if FL_SCALAR
FL_INLINE int v_count_eq(vf a, vf b) { return a == b; }
#else
FL_INLINE int v_count_eq(vf a, vf b) { return __builtin_popcount(v_which_eq(a, b)); }
#endif

#if !FL_AVX512
FL_INLINE vf v_zero_where_lt(vf a, vf b, vf no) { return v_where_lt(a, b, v_set(0), no); }
#endif

/* Clears the sign bit; NaN stays NaN. */
FL_INLINE vf v_abs(vf x)
{
    return v_from_bits(v_bits(x) & PICK(INT32_MAX, INT64_MAX));
}

/* `magnitude`, which is not negative, with the sign of x. */
FL_INLINE vf v_signed_as(vf magnitude, vf x)
{
    return v_from_bits(v_bits(magnitude) | (v_bits(x) & PICK(INT32_MIN, INT64_MIN)));
}

#if FL_AVX2
/* Not 0 in the first n lanes. */
FL_INLINE __m256i v_which_first(fl_size n)
{
    const __m256i lanes = PICK(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi64x(0, 1, 2, 3));
    return PICK(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes),
                _mm256_cmpgt_epi64(_mm256_set1_epi64x((int)n), lanes));
}
#endif

/* The first n < WIDTH elements; the other lanes come from `rest`. */
FL_INLINE vf v_load_part(const T *p, fl_size n, vf rest)
{
#if FL_AVX512
    return INTRINSIC(mask_loadu)(rest, (PICK(__mmask16, __mmask8))((1u << n) - 1), p);
#elif FL_AVX2
    /* not by way of the stack: a vector that is read before the numbers in it have been written waits for them */
    const __m256i wanted = v_which_first(n);
    return INTRINSIC(blendv)(rest, INTRINSIC(maskload)(p, wanted), (vf)wanted);
#else
    T lanes[WIDTH];
    v_store(lanes, rest);
    for (int i = 0; i < WIDTH && i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
#endif
}

FL_INLINE void v_store_part(T *p, fl_size n, vf v)
{
#if FL_AVX512
    INTRINSIC(mask_storeu)(p, (PICK(__mmask16, __mmask8))((1u << n) - 1), v);
#elif FL_AVX2
    /* by its halves: of a loop gcc 12 made a call of memcpy */
    __m128i low = _mm256_castsi256_si128((__m256i)v);
    if (n & (WIDTH / 2)) {
        _mm_storeu_si128((__m128i *)p, low);
        low = _mm256_extracti128_si256((__m256i)v, 1);
        p += WIDTH / 2;
    }
    if (n & (WIDTH / 4)) {
        _mm_storel_epi64((__m128i *)p, low);
        low = _mm_unpackhi_epi64(low, low);
        p += WIDTH / 4;
    }
    if (!FL_DOUBLE && n & 1)
        _mm_store_ss((float *)p, _mm_castsi128_ps(low));
#else
    T lanes[WIDTH];
    v_store(lanes, v);
    for (int i = 0; i < WIDTH && i < n; i++)
        p[i] = lanes[i];
#endif
}

/* Of n elements, as many as a vector has. */
FL_INLINE vf v_load_up_to(const T *p, fl_size n, vf rest) { return n >= WIDTH ? v_load(p) : v_load_part(p, n, rest); }

FL_INLINE void v_store_up_to(T *p, fl_size n, vf v)
{
    if (n >= WIDTH)
        v_store(p, v);
    else
        v_store_part(p, n, v);
}

FL_INLINE vf v_sqrt(vf x)
{
#if FL_AVX512 || FL_AVX2 || FL_SSE2
    return INTRINSIC(sqrt)(x);
#elif FL_NEON
    return PICK(vsqrtq_f32, vsqrtq_f64)(x);
#else
    return PICK(sqrtf, sqrt)(x);
#endif
}

/* *sum + x; the rounding error goes into *error, exactly (Knuth's TwoSum: no order of size assumed). */
FL_INLINE void v_two_sum(vf *sum, vf *error, vf x)
{
    vf s = *sum + x;
    vf part = s - *sum;
    *error = *error + ((*sum - (s - part)) + (x - part));
    *sum = s;
}

/* A compensated sum in each lane of a unit. */
typedef struct {
    vf sum[UNIT], error[UNIT];
} lane_sums;

static const lane_sums NO_SUMS;

/* The largest lane; none may be NaN. */
FL_INLINE T v_largest_lane(vf x)
{
#if FL_AVX512
    return INTRINSIC(reduce_max)(x);
#else
    T lanes[WIDTH];
    v_store(lanes, x);
    FL_UNROLL
    for (int half = WIDTH / 2; half > 0; half /= 2)
        FL_UNROLL
        for (int l = 0; l < half; l++)
            lanes[l] = lanes[l] > lanes[l + half] ? lanes[l] : lanes[l + half];
    return lanes[0];
#endif
}

/* The first n lanes of x; those of `rest` in the others. */
FL_INLINE vf v_first_lanes(vf x, fl_size n, vf rest)
{
    if (n >= WIDTH)
        return x;
#if FL_AVX512
    return INTRINSIC(mask_blend)((PICK(__mmask16, __mmask8))((1u << n) - 1), rest, x);
#elif FL_AVX2
    return INTRINSIC(blendv)(rest, x, (vf)v_which_first(n));
#else
    T lanes[WIDTH];
    v_store(lanes, x);
    return v_load_part(lanes, n, rest);
#endif
}

/* Adds the upper half of 2 * half numbers to the lower one. (`half` a constant: in a loop over halves gcc 12 went
 * through memory number by number.) */
FL_INLINE void add_halves(double *total, int half)
{
    for (int i = 0; i < half; i++)
        total[i] = total[i] + total[i + half];
}

#if FL_DOUBLE
FL_INLINE void add_halves_exactly(double *sum, double *error, int half)
{
    for (int i = 0; i < half; i++) {
        double total = sum[i] + sum[i + half], part = total - sum[i];
        error[i] = (error[i] + error[i + half]) + ((sum[i] - (total - part)) + (sum[i + half] - part));
        sum[i] = total;
    }
}
#endif

/* The lanes of two units in double, that of `error` added to that of `sum`, and the upper half of the sums to the lower
 * one. (Of the loop gcc 12 made 150 scalar instructions.) */
FL_INLINE void halve_lanes(const vf sum[UNIT], const vf error[UNIT], double total[LANES / 2])
{
#if FL_AVX512 && !FL_DOUBLE
#define IN_DOUBLE(v, half) _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, half))
    const __m512d lower = IN_DOUBLE(sum[0], 0) + IN_DOUBLE(error[0], 0);
    _mm512_storeu_pd(total, lower + (IN_DOUBLE(sum[0], 1) + IN_DOUBLE(error[0], 1)));
#undef IN_DOUBLE
#elif FL_AVX2 && !FL_DOUBLE
#define IN_DOUBLE(v, half) _mm256_cvtps_pd(_mm256_extractf128_ps(v, half))
    const __m256d low = IN_DOUBLE(sum[0], 0) + IN_DOUBLE(error[0], 0);
    const __m256d high = IN_DOUBLE(sum[0], 1) + IN_DOUBLE(error[0], 1);
    _mm256_storeu_pd(total, low + (IN_DOUBLE(sum[1], 0) + IN_DOUBLE(error[1], 0)));
    _mm256_storeu_pd(total + 4, high + (IN_DOUBLE(sum[1], 1) + IN_DOUBLE(error[1], 1)));
#undef IN_DOUBLE
#else
    T s[LANES], e[LANES];
    for (int k = 0; k < UNIT; k++) {
        v_store(s + k * WIDTH, sum[k]);
        v_store(e + k * WIDTH, error[k]);
    }
    for (int i = 0; i < LANES / 2; i++)
        total[i] = ((double)s[i] + (double)e[i]) + ((double)s[i + LANES / 2] + (double)e[i + LANES / 2]);
#endif
}

/* Adds up the lanes of a unit, pairwise and in one fixed order. */
FL_INLINE fl_sum sum_lanes(const vf sum[UNIT], const vf error[UNIT])
{
    vf finite[UNIT]; /* errors: that of an infinity is NaN */
    for (int k = 0; k < UNIT; k++)
        finite[k] = v_where_eq(sum[k] - sum[k], v_set(0), error[k], v_set(0));
#if FL_DOUBLE
    T s[LANES], e[LANES];
    for (int k = 0; k < UNIT; k++) {
        v_store(s + k * WIDTH, sum[k]);
        v_store(e + k * WIDTH, finite[k]);
    }
    add_halves_exactly(s, e, 4);
    add_halves_exactly(s, e, 2);
    add_halves_exactly(s, e, 1);
    return (fl_sum){s[0], e[0]};
#else
    double total[LANES / 2];
    halve_lanes(sum, finite, total);
    add_halves(total, 4);
    add_halves(total, 2);
    add_halves(total, 1);
    return (fl_sum){total[0], 0};
#endif
}

/* A sum in double for each lane of a unit. In float32 plain additions have 29 bits to spare. */
typedef struct {
    double hi[LANES], lo[LANES];
} lane_totals;

FL_INLINE void add_to_lane(lane_totals *totals, int lane, double x)
{
#if FL_DOUBLE
    double sum = totals->hi[lane] + x, part = sum - totals->hi[lane];
    totals->lo[lane] += (totals->hi[lane] - (sum - part)) + (x - part);
    totals->hi[lane] = sum;
#else
    totals->hi[lane] += x;
#endif
}

/* Each lane's sum is a local copy: in memory it would wait for itself at every step. */
static inline void add_chunk(lane_totals *totals, const double *terms, fl_size n)
{
    lane_totals local = *totals;
    fl_size i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            add_to_lane(&local, l, terms[i + l]);
    for (int l = 0; i < n; i++, l++)
        add_to_lane(&local, l, terms[i]);
    *totals = local;
}

static inline void add_lanes(fl_sum *total, const lane_totals *totals)
{
    for (int l = 0; l < LANES; l++) {
        fl_add(total, totals->hi[l]);
        total->lo += totals->lo[l];
    }
}

#endif
