/* Results written past the caches, so that their lines need not be read first: a third of the time of mse_loss on
 * arrays that no cache holds.
 *
 * Only whole lines can be written so: a part of one costs a round trip to memory (at the end of each chunk it took
 * twice the time of ordinary stores). Arrays mostly begin in the middle of a line, but vectors must not begin
 * elsewhere than without this, or the lanes of the sums would hold other elements. So each aligned vector is put
 * together from two neighbours, and what is left at the end of a chunk is held until the next. */
#ifndef FASTLOSS_STREAM_H
#define FASTLOSS_STREAM_H

#include "vector.h"

#if FL_AVX512 || FL_AVX2
enum { CAN_STREAM = 1 };

typedef struct {
    T *to;   /* where the next vector would go */
    vf held; /* the one before, of which `gap` elements have been written */
    int gap; /* elements up to the next aligned address */
    int begun;
#if FL_AVX512
    __m512i index; /* which lanes of both make an aligned vector, in 32 bits */
#else
    __m256i index;
    __m256 from_next;
#endif
} line_stream;

FL_INLINE line_stream open_stream(T *to)
{
    line_stream s;
    s.to = to;
    s.gap = (int)((VECTOR_BYTES - (uintptr_t)to % VECTOR_BYTES) % VECTOR_BYTES / sizeof(T));
    s.held = v_set(0);
    s.begun = 0;
    int32_t lanes[VECTOR_BYTES / 4];
    for (int l = 0; l < VECTOR_BYTES / 4; l++)
        lanes[l] = l + s.gap * (int)sizeof(T) / 4;
    memcpy(&s.index, lanes, sizeof s.index);
#if FL_AVX2
    s.from_next = _mm256_castsi256_ps(_mm256_cmpgt_epi32(s.index, _mm256_set1_epi32(7)));
#endif
    return s;
}

FL_INLINE vf v_joined(const line_stream *s, vf next)
{
#if FL_AVX512
    return (vf)_mm512_permutex2var_ps((__m512)s->held, s->index, (__m512)next);
#else
    __m256 first = _mm256_permutevar8x32_ps((__m256)s->held, s->index);
    return (vf)_mm256_blendv_ps(first, _mm256_permutevar8x32_ps((__m256)next, s->index), s->from_next);
#endif
}

FL_INLINE void stream_vector(line_stream *s, vf v)
{
    if (s->begun)
        INTRINSIC(stream)(s->to - WIDTH + s->gap, v_joined(s, v));
    else
        v_store_part(s->to, s->gap, v);
    s->held = v;
    s->to += WIDTH;
    s->begun = 1;
}

/* Field by field: what is read in other pieces than it was written in waits until all has been written that went past
 * the caches before (twice the time of mse_loss with AVX2). */
FL_INLINE line_stream resume_stream(const line_stream *s)
{
    line_stream t;
    t.to = s->to;
    t.held = s->held;
    t.gap = s->gap;
    t.begun = s->begun;
    t.index = s->index;
#if FL_AVX2
    t.from_next = s->from_next;
#endif
    return t;
}

FL_INLINE void keep_stream(line_stream *s, const line_stream *t)
{
    s->to = t->to;
    s->held = t->held;
    s->begun = t->begun;
}

static void close_stream(line_stream *s)
{
    T last[WIDTH];
    v_store(last, s->held);
    if (s->begun)
        memcpy(s->to - WIDTH + s->gap, last + s->gap, (size_t)(WIDTH - s->gap) * sizeof(T));
    _mm_sfence(); /* before another thread may read */
}

#else
enum { CAN_STREAM = 0 };
typedef struct {
    T *to;
} line_stream;
FL_INLINE line_stream open_stream(T *to) { return (line_stream){to}; }
FL_INLINE void stream_vector(line_stream *s, vf v)
{
    v_store(s->to, v);
    s->to += WIDTH;
}
FL_INLINE line_stream resume_stream(const line_stream *s) { return *s; }
FL_INLINE void keep_stream(line_stream *s, const line_stream *t) { *s = *t; }
FL_INLINE void close_stream(line_stream *s) { (void)s; }
#endif

#endif
