/* What the AVX-512 kernels use of <immintrin.h>, in plain loops: so that their bits can be compared with AVX2's on a
 * machine without AVX-512 (tools/equal_bits.py --emulate). Forced into each file before anything else. */
#ifndef FASTLOSS_AVX512_EMULATED_H
#define FASTLOSS_AVX512_EMULATED_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define FL_EMULATED_FEATURES "avx2,fma,f16c"
#define __builtin_cpu_supports(feature) 1

typedef float emulated_ps __attribute__((vector_size(64), may_alias));
typedef double emulated_pd __attribute__((vector_size(64), may_alias));
typedef double emulated_unaligned __attribute__((vector_size(64), may_alias, aligned(8)));
typedef long long emulated_si __attribute__((vector_size(64), may_alias));

#define EMULATED static inline __attribute__((always_inline, unused))

/* One function for each type: ps has 16 floats, pd 8 doubles. `i` runs over the lanes of the result r. */
#define EMULATE(ps, lanes, type, name, parameters, expression)     \
    EMULATED emulated_##ps emulated_##name##_##ps parameters       \
    {                                                              \
        emulated_##ps r;                                           \
        for (int i = 0; i < lanes; i++)                            \
            r[i] = expression;                                     \
        return r;                                                  \
    }
#define EMULATE_BOTH(ps, lanes, type, fma_of, sqrt_of)                                                                 \
    typedef const type *pointer_##ps;                                                                                  \
    EMULATE(ps, lanes, type, set1, (type x), x)                                                                        \
    EMULATE(ps, lanes, type, fmadd, (emulated_##ps a, emulated_##ps b, emulated_##ps c), fma_of(a[i], b[i], c[i]))     \
    EMULATE(ps, lanes, type, max, (emulated_##ps a, emulated_##ps b), a[i] > b[i] ? a[i] : b[i])                       \
    EMULATE(ps, lanes, type, sqrt, (emulated_##ps a), sqrt_of(a[i]))                                                   \
    EMULATE(ps, lanes, type, mask_blend, (unsigned m, emulated_##ps a, emulated_##ps b), m >> i & 1 ? b[i] : a[i])     \
    EMULATE(ps, lanes, type, maskz_mov, (unsigned m, emulated_##ps a), m >> i & 1 ? a[i] : 0)                          \
    EMULATE(ps, lanes, type, mask_loadu, (emulated_##ps rest, unsigned m, const void *p),                              \
            m >> i & 1 ? ((pointer_##ps)p)[i] : rest[i])                                                               \
    EMULATED unsigned emulated_cmp_##ps(emulated_##ps a, emulated_##ps b, int how)                                     \
    {                                                                                                                  \
        unsigned m = 0;                                                                                                \
        for (int i = 0; i < lanes; i++)                                                                                \
            m |= (unsigned)(how == _CMP_LT_OQ ? a[i] < b[i] : how == _CMP_NLT_UQ ? !(a[i] < b[i]) : a[i] == b[i]) << i;\
        return m;                                                                                                      \
    }                                                                                                                  \
    EMULATED void emulated_mask_storeu_##ps(void *p, unsigned m, emulated_##ps a)                                      \
    {                                                                                                                  \
        for (int i = 0; i < lanes; i++)                                                                                \
            if (m >> i & 1)                                                                                            \
                ((type *)p)[i] = a[i];                                                                                 \
    }                                                                                                                  \
    EMULATED type emulated_reduce_max_##ps(emulated_##ps a)                                                            \
    {                                                                                                                  \
        type largest = a[0];                                                                                           \
        for (int i = 1; i < lanes; i++)                                                                                \
            largest = largest > a[i] ? largest : a[i];                                                                 \
        return largest;                                                                                                \
    }
EMULATE_BOTH(ps, 16, float, fmaf, sqrtf)
EMULATE_BOTH(pd, 8, double, fma, sqrt)

EMULATE(ps, 16, float, broadcast_f32x4, (__m128 x), x[i % 4])
EMULATE(pd, 8, double, broadcast_f64x2, (__m128d x), x[i % 2])
EMULATE(ps, 16, float, mask_broadcast_f32x4, (emulated_ps rest, unsigned m, __m128 x), m >> i & 1 ? x[i % 4] : rest[i])
EMULATE(pd, 8, double, mask_broadcast_f64x2, (emulated_pd rest, unsigned m, __m128d x), m >> i & 1 ? x[i % 2] : rest[i])

EMULATE(pd, 8, double, cvtps, (__m256 x), x[i])

/* Within each 128 bits. */
EMULATE(ps, 16, float, unpacklo, (emulated_ps a, emulated_ps b), (i % 2 ? b : a)[i / 4 * 4 + i % 4 / 2])
EMULATE(ps, 16, float, unpackhi, (emulated_ps a, emulated_ps b), (i % 2 ? b : a)[i / 4 * 4 + 2 + i % 4 / 2])
EMULATE(pd, 8, double, unpacklo, (emulated_pd a, emulated_pd b), (i % 2 ? b : a)[i / 2 * 2])
EMULATE(pd, 8, double, unpackhi, (emulated_pd a, emulated_pd b), (i % 2 ? b : a)[i / 2 * 2 + 1])

EMULATED emulated_ps emulated_permutex2var_ps(emulated_ps a, emulated_si index, emulated_ps b)
{
    int lanes[16];
    emulated_ps r;
    memcpy(lanes, &index, sizeof lanes);
    for (int i = 0; i < 16; i++)
        r[i] = lanes[i] & 16 ? b[lanes[i] & 15] : a[lanes[i] & 15];
    return r;
}

EMULATED emulated_ps emulated_cvtph_ps(__m256i halves)
{
    emulated_ps r;
    __m256 parts[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
    memcpy(&r, parts, sizeof r);
    return r;
}

EMULATED __m256i emulated_maskz_loadu_epi16(unsigned m, const void *p)
{
    uint16_t r[16] = {0};
    for (int i = 0; i < 16; i++)
        if (m >> i & 1)
            memcpy(r + i, (const uint16_t *)p + i, 2);
    return _mm256_loadu_si256((const __m256i *)r);
}

EMULATED void emulated_mask_storeu_epi16(void *p, unsigned m, __m256i x)
{
    uint16_t r[16];
    _mm256_storeu_si256((__m256i *)r, x);
    for (int i = 0; i < 16; i++)
        if (m >> i & 1)
            memcpy((uint16_t *)p + i, r + i, 2);
}

#define emulated_cvtps_ph(x, how)                                                                                  \
    __extension__({                                                                                                \
        emulated_ps whole_ = x;                                                                                    \
        __m256 parts_[2];                                                                                          \
        memcpy(parts_, &whole_, sizeof parts_);                                                                    \
        _mm256_set_m128i(_mm256_cvtps_ph(parts_[1], how), _mm256_cvtps_ph(parts_[0], how));                        \
    })
#define emulated_part(kind, x, q)                                                            \
    __extension__({                                                                          \
        kind part_;                                                                          \
        __typeof__(x) whole_ = x;                                                            \
        memcpy(&part_, (const char *)&whole_ + (int)sizeof part_ * (q), sizeof part_);       \
        part_;                                                                               \
    })

#define __m512 emulated_ps
#define __m512d emulated_pd
#define __m512i emulated_si
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_set1_pd emulated_set1_pd
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_fmadd_pd emulated_fmadd_pd
#define _mm512_max_ps emulated_max_ps
#define _mm512_max_pd emulated_max_pd
#define _mm512_sqrt_ps emulated_sqrt_ps
#define _mm512_sqrt_pd emulated_sqrt_pd
#define _mm512_mask_blend_ps emulated_mask_blend_ps
#define _mm512_mask_blend_pd emulated_mask_blend_pd
#define _mm512_maskz_mov_ps emulated_maskz_mov_ps
#define _mm512_maskz_mov_pd emulated_maskz_mov_pd
#define _mm512_mask_loadu_ps emulated_mask_loadu_ps
#define _mm512_mask_loadu_pd emulated_mask_loadu_pd
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps
#define _mm512_mask_storeu_pd emulated_mask_storeu_pd
#define _mm512_reduce_max_ps emulated_reduce_max_ps
#define _mm512_reduce_max_pd emulated_reduce_max_pd
#undef _mm512_cmp_ps_mask
#undef _mm512_cmp_pd_mask
#define _mm512_cmp_ps_mask emulated_cmp_ps
#define _mm512_cmp_pd_mask emulated_cmp_pd
#define _mm512_broadcast_f32x4 emulated_broadcast_f32x4_ps
#define _mm512_broadcast_f64x2 emulated_broadcast_f64x2_pd
#define _mm512_mask_broadcast_f32x4 emulated_mask_broadcast_f32x4_ps
#define _mm512_mask_broadcast_f64x2 emulated_mask_broadcast_f64x2_pd
#undef _mm512_extractf32x4_ps
#undef _mm512_extractf32x8_ps
#undef _mm512_extractf64x2_pd
#define _mm512_extractf32x4_ps(x, q) emulated_part(__m128, x, q)
#define _mm512_extractf32x8_ps(x, q) emulated_part(__m256, x, q)
#define _mm512_cvtps_pd emulated_cvtps_pd
#define _mm512_storeu_pd(p, x) (*(emulated_unaligned *)(p) = (x))
#define _mm512_extractf64x2_pd(x, q) emulated_part(__m128d, x, q)
#define _mm512_unpacklo_ps emulated_unpacklo_ps
#define _mm512_unpackhi_ps emulated_unpackhi_ps
#define _mm512_unpacklo_pd emulated_unpacklo_pd
#define _mm512_unpackhi_pd emulated_unpackhi_pd
#define _mm512_castps_pd(x) ((emulated_pd)(x))
#define _mm512_castpd_ps(x) ((emulated_ps)(x))
#define _mm512_permutex2var_ps emulated_permutex2var_ps
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm256_maskz_loadu_epi16 emulated_maskz_loadu_epi16
#define _mm256_mask_storeu_epi16 emulated_mask_storeu_epi16
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph emulated_cvtps_ph
#define _mm512_stream_ps(p, x) *(emulated_ps *)(p) = (x)
#define _mm512_stream_pd(p, x) *(emulated_pd *)(p) = (x)

#endif
