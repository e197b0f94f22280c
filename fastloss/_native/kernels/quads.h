/* Squares of QUAD x QUAD elements, one in each 128-bit lane of a vector, and their transposition. */
#ifndef FASTLOSS_QUADS_H
#define FASTLOSS_QUADS_H

#include "vector.h"

enum { QUAD = WIDTH == 1 ? 1 : 16 / (int)sizeof(T) };

/* QUAD elements from p, from p + step, ..., one stretch a 128-bit lane. */
FL_INLINE vf v_load_quads(const T *p, fl_size step)
{
#if FL_AVX512
#define QUAD_AT(q) PICK(_mm_loadu_ps, _mm_loadu_pd)(p + (q) * step)
#define WITH_QUAD(v, q) \
    PICK(_mm512_mask_broadcast_f32x4, _mm512_mask_broadcast_f64x2)(v, PICK(0xf << 4 * (q), 3 << 2 * (q)), QUAD_AT(q))
    vf v = PICK(_mm512_broadcast_f32x4, _mm512_broadcast_f64x2)(QUAD_AT(0));
    v = WITH_QUAD(v, 1);
    v = WITH_QUAD(v, 2);
    return WITH_QUAD(v, 3);
#undef QUAD_AT
#undef WITH_QUAD
#elif FL_AVX2
    vf low = PICK(_mm256_castps128_ps256, _mm256_castpd128_pd256)(PICK(_mm_loadu_ps, _mm_loadu_pd)(p));
    return INTRINSIC(insertf128)(low, PICK(_mm_loadu_ps, _mm_loadu_pd)(p + step), 1);
#else
    (void)step; /* one lane */
    return v_load(p);
#endif
}

/* The other way. */
FL_INLINE void v_store_quads(T *p, fl_size step, vf v)
{
#if FL_AVX512
#define STORE_QUAD(q) \
    PICK(_mm_storeu_ps, _mm_storeu_pd)(p + (q) * step, PICK(_mm512_extractf32x4_ps, _mm512_extractf64x2_pd)(v, q))
    STORE_QUAD(0);
    STORE_QUAD(1);
    STORE_QUAD(2);
    STORE_QUAD(3);
#undef STORE_QUAD
#elif FL_AVX2
    PICK(_mm_storeu_ps, _mm_storeu_pd)(p, PICK(_mm256_castps256_ps128, _mm256_castpd256_pd128)(v));
    PICK(_mm_storeu_ps, _mm_storeu_pd)(p + step, INTRINSIC(extractf128)(v, 1));
#else
    (void)step;
    v_store(p, v);
#endif
}

/* Transposes the QUAD x QUAD square in each 128-bit lane. */
FL_INLINE void v_transpose_quads(vf r[QUAD])
{
#if FL_NEON && FL_DOUBLE
    vf a = r[0], b = r[1];
    r[0] = vtrn1q_f64(a, b);
    r[1] = vtrn2q_f64(a, b);
#elif FL_NEON
#define TRANSPOSE_PAIRS(name, a, b) \
    vreinterpretq_f32_f64(name(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)))
    vf ab_even = vtrn1q_f32(r[0], r[1]), ab_odd = vtrn2q_f32(r[0], r[1]);
    vf cd_even = vtrn1q_f32(r[2], r[3]), cd_odd = vtrn2q_f32(r[2], r[3]);
    r[0] = TRANSPOSE_PAIRS(vtrn1q_f64, ab_even, cd_even);
    r[1] = TRANSPOSE_PAIRS(vtrn1q_f64, ab_odd, cd_odd);
    r[2] = TRANSPOSE_PAIRS(vtrn2q_f64, ab_even, cd_even);
    r[3] = TRANSPOSE_PAIRS(vtrn2q_f64, ab_odd, cd_odd);
#undef TRANSPOSE_PAIRS
#elif (FL_AVX512 || FL_AVX2 || FL_SSE2) && FL_DOUBLE
    vf a = r[0], b = r[1];
    r[0] = INTRINSIC(unpacklo)(a, b);
    r[1] = INTRINSIC(unpackhi)(a, b);
#elif FL_AVX512 || FL_AVX2 || FL_SSE2
#if FL_AVX512
#define UNPACK_PAIRS(half, a, b) _mm512_castpd_ps(_mm512_unpack##half##_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
#elif FL_AVX2
#define UNPACK_PAIRS(half, a, b) _mm256_castpd_ps(_mm256_unpack##half##_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)))
#else
#define UNPACK_PAIRS(half, a, b) _mm_castpd_ps(_mm_unpack##half##_pd(_mm_castps_pd(a), _mm_castps_pd(b)))
#endif
    vf ab_low = INTRINSIC(unpacklo)(r[0], r[1]), ab_high = INTRINSIC(unpackhi)(r[0], r[1]);
    vf cd_low = INTRINSIC(unpacklo)(r[2], r[3]), cd_high = INTRINSIC(unpackhi)(r[2], r[3]);
    r[0] = UNPACK_PAIRS(lo, ab_low, cd_low);
    r[1] = UNPACK_PAIRS(hi, ab_low, cd_low);
    r[2] = UNPACK_PAIRS(lo, ab_high, cd_high);
    r[3] = UNPACK_PAIRS(hi, ab_high, cd_high);
#undef UNPACK_PAIRS
#else
    (void)r; /* one element */
#endif
}

#endif
