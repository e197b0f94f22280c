/* float16: one element's bits, and vectors by the processor's own conversion where it has one. */
#ifndef FASTLOSS_HALVES_H
#define FASTLOSS_HALVES_H

#include "vector.h"

FL_INLINE float float_from_bits(uint32_t b)
{
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

FL_INLINE uint32_t bits_of_float(float f)
{
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

FL_INLINE float float_of_f16(uint16_t b)
{
    uint32_t magnitude = b & 0x7fffu, sign = (uint32_t)(b & 0x8000u) << 16;
    /* Subnormals by conversion from integer: as float bits they would be subnormal too, and another library may have
     * told the processor to take those for 0. */
    uint32_t subnormal = bits_of_float((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t normal = (magnitude << 13) + ((127u - 15u) << 23);
    uint32_t special = (magnitude << 13) | 0x7f800000u;
    uint32_t finite = magnitude < 0x400u ? subnormal : normal;
    return float_from_bits((magnitude < 0x7c00u ? finite : special) | sign);
}

FL_INLINE T value_of_f16(uint16_t b) { return (T)float_of_f16(b); }

/* A value to one element's bits, rounded to nearest, ties to even. */
FL_INLINE uint16_t f16_of_value(T value)
{
    float f = (float)value;
    uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - ((127u - 15u) << 23)) >> 13;
    /* Below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits. */
    uint32_t subnormal = bits_of_float(float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    uint32_t bounded = magnitude < 0x47800000u ? finite : 0x7c00u;
    return (uint16_t)(sign | (magnitude > 0x7f800000u ? 0x7e00u : bounded));
}

/* An instruction instead of a dozen (whatever has AVX2 has it). It keeps subnormals, whatever another library has told
 * the processor. */
#if !FL_DOUBLE && (FL_AVX512 || FL_AVX2)
#define FL_CONVERTS_HALVES 1
#else
#define FL_CONVERTS_HALVES 0
#endif

#if FL_CONVERTS_HALVES
#if FL_AVX512
typedef __m256i half_vector;
#define v_from_halves(halves) _mm512_cvtph_ps(halves)
#define v_to_halves(x) _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)

/* The first n < WIDTH; 0 in the other lanes. */
FL_INLINE half_vector load_some_halves(const char *p, fl_size n)
{
    return _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
}

FL_INLINE void store_some_halves(char *p, fl_size n, half_vector halves)
{
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), halves);
}
#else
typedef __m128i half_vector;
#define v_from_halves(halves) _mm256_cvtph_ps(halves)
#define v_to_halves(x) _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)

/* By four, two and one: a copy of a variable length is a call, too, and takes longer. */
static FL_OUTLINE half_vector load_some_halves(const char *p, fl_size n)
{
    uint64_t four = 0, rest = 0;
    if (n & 1) {
        uint16_t one;
        memcpy(&one, p + 2 * (n - 1), sizeof one);
        rest = one;
    }
    if (n & 2) {
        uint32_t two;
        memcpy(&two, p + 2 * (n & 4), sizeof two);
        rest = rest << 32 | two;
    }
    if (n & 4)
        memcpy(&four, p, sizeof four);
    return n & 4 ? _mm_set_epi64x((int64_t)rest, (int64_t)four) : _mm_set_epi64x(0, (int64_t)rest);
}

static FL_OUTLINE void store_some_halves(char *p, fl_size n, half_vector halves)
{
    if (n & 4) {
        _mm_storel_epi64((__m128i *)p, halves);
        halves = _mm_unpackhi_epi64(halves, halves);
        p += 8;
    }
    if (n & 2) {
        const int32_t two = _mm_cvtsi128_si32(halves);
        memcpy(p, &two, sizeof two);
        halves = _mm_srli_epi64(halves, 32);
        p += 4;
    }
    if (n & 1) {
        const int16_t one = (int16_t)_mm_cvtsi128_si32(halves);
        memcpy(p, &one, sizeof one);
    }
}
#endif

/* Of n elements, as many as a vector has; the other lanes come from `rest`. */
FL_INLINE vf v_load_halves(const char *p, fl_size n, vf rest)
{
    half_vector halves;
    if (n < WIDTH)
        return v_first_lanes(v_from_halves(load_some_halves(p, n)), n, rest);
    memcpy(&halves, p, sizeof halves);
    return v_from_halves(halves);
}

FL_INLINE void v_store_halves(char *p, fl_size n, vf x)
{
    const half_vector halves = v_to_halves(x);
    if (n < WIDTH)
        store_some_halves(p, n, halves);
    else
        memcpy(p, &halves, sizeof halves);
}

static void halves_to_floats(const char *halves, fl_size n, T *to)
{
    fl_size i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(to + i, v_load_halves(halves + 2 * i, WIDTH, v_set(0)));
    if (i < n)
        v_store_part(to + i, n - i, v_load_halves(halves + 2 * i, n - i, v_set(0)));
}

static void floats_to_halves(const T *from, fl_size n, char *halves)
{
    fl_size i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store_halves(halves + 2 * i, WIDTH, v_load(from + i));
    if (i < n)
        v_store_halves(halves + 2 * i, n - i, v_load_part(from + i, n - i, v_set(0)));
}
#else /* never called: see x_halves in wide_row.h */
FL_INLINE vf v_load_halves(const char *p, fl_size n, vf rest) { return (void)p, (void)n, rest; }
FL_INLINE void v_store_halves(char *p, fl_size n, vf x) { (void)p, (void)n, (void)x; }
#endif

/* Elements [i, i + n), up to a vector of them, of float16 or of type T; which of the two is a constant in all loops. */
FL_INLINE vf v_load_classes(const void *x, int halves, fl_size i, fl_size n, vf rest)
{
    return halves ? v_load_halves((const char *)x + 2 * i, n, rest) : v_load_up_to((const T *)x + i, n, rest);
}

FL_INLINE void v_store_classes(void *to, int halves, fl_size i, fl_size n, vf v)
{
    if (halves)
        v_store_halves((char *)to + 2 * i, n, v);
    else
        v_store_up_to((T *)to + i, n, v);
}

#endif
