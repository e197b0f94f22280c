/* Weights and upstream gradients of a chunk of elements, and their sums, in double. */
#ifndef FASTLOSS_POINTWISE_WEIGHTS_H
#define FASTLOSS_POINTWISE_WEIGHTS_H

#include "views.h"

/* Factors of a chunk, as numbers in double whatever T is: float32 could neither hold nor multiply all of them. They are
 * read where they lie, if that is possible: by way of the stack, mse_loss with weights took half as long
 * again. */
typedef struct {
    const T *direct;       /* their memory, if T and they are float32; or NULL, and */
    const double *numbers; /* their memory, or what has been read; or NULL as well: there are none */
} chunk_factors;

static const chunk_factors NO_FACTORS;

FL_INLINE int any_factors(const chunk_factors *f) { return f->direct || f->numbers; }

/* What has been read: apart, because numbers in double are made of the others. */
typedef struct {
    double numbers[CHUNK];
    T singles[FL_DOUBLE ? 1 : CHUNK];
} factor_scratch;

/* Factors are handed on by their address: two pointers that a function returns are written to the stack one by one and
 * copied together, which waits for the writes. */
static void load_factors_of_chunk(const fl_view *view, fl_size start, fl_size n, factor_scratch *scratch,
                                  chunk_factors *f)
{
    const T *direct = view->ndim == 1 && !FL_DOUBLE ? view_direct(view) : NULL;
    const double *doubles = view->ndim == 1 ? view_doubles(view) : NULL;
    f->direct = NULL;
    f->numbers = NULL;
    if (direct)
        f->direct = direct + start;
    else if (doubles)
        f->numbers = doubles + start;
    else if (!FL_DOUBLE && view->kind == FL_F32) {
        view_read(view, start, n, scratch->singles);
        f->direct = scratch->singles;
    } else {
        view_read_numbers(view, start, n, scratch->numbers);
        f->numbers = scratch->numbers;
    }
}

static FL_OUTLINE void in_double(chunk_factors *f, fl_size n, factor_scratch *scratch)
{
    if (!f->direct)
        return;
    for (fl_size i = 0; i < n; i++)
        scratch->numbers[i] = f->direct[i];
    f->direct = NULL;
    f->numbers = scratch->numbers;
}

/* weight times sample_weight of a chunk; none if there is neither. */
static FL_OUTLINE void load_weights(const fl_view *weight, const fl_view *sample_weight, fl_size start, fl_size n,
                                    factor_scratch *scratch, chunk_factors *f)
{
    double factors[CHUNK];
    f->direct = NULL;
    f->numbers = NULL;
    if (!weight->data && !sample_weight->data)
        return;
    if (!weight->data || !sample_weight->data) {
        load_factors_of_chunk(weight->data ? weight : sample_weight, start, n, scratch, f);
        return;
    }
    view_read_numbers(weight, start, n, scratch->numbers);
    view_read_numbers(sample_weight, start, n, factors);
    for (fl_size i = 0; i < n; i++)
        scratch->numbers[i] *= factors[i];
    f->numbers = scratch->numbers;
}

/* What there is, is a constant where this is inlined: one loop, where each step had one. */
FL_INLINE double factor_at(const chunk_factors *f, int direct, fl_size i)
{
    return direct ? (double)f->direct[i] : f->numbers[i];
}

/* Asks for the factors, and for two operands of the chunk (NULL: there are none), a page on: the loops that compute
 * their losses do not. */
FL_INLINE void fetch_factors(int direct, const chunk_factors *f, const T *x, const T *y, fl_size i)
{
    const char *numbers = direct ? (const char *)(f->direct + i) : (const char *)(f->numbers + i);
    v_prefetch_on(numbers, 4096);
    if (!direct && !FL_DOUBLE)
        v_prefetch_on(numbers, 4096 + 64);
    if (x)
        v_prefetch_on(x + i, 4096);
    if (y)
        v_prefetch_on(y + i, 4096);
}

FL_INLINE T weighed(int direct, int has_weight, int has_upstream, T x, const chunk_factors *weight,
                    const chunk_factors *upstream, fl_size i, double scale)
{
    const double w = has_weight ? factor_at(weight, direct, i) : 1;
    double factor = has_weight ? scale * w : scale;
    if (has_upstream)
        factor *= factor_at(upstream, direct, i);
    const double product = (double)x * factor;
    return (T)(has_weight && w == 0 ? 0 : product);
}

/* What is no whole unit, of whatever there is. */
static FL_OUTLINE void weigh_rest(T *derivative, const chunk_factors *weight, const chunk_factors *upstream,
                                  fl_size i, fl_size n, double scale)
{
    FL_LANEWISE
    for (; i < n; i++)
        derivative[i] = weighed(weight->direct || upstream->direct, any_factors(weight), any_factors(upstream),
                                derivative[i], weight, upstream, i, scale);
}

FL_INLINE void weigh_each(int direct, int has_weight, int has_upstream, T *restrict derivative,
                          const chunk_factors *weight, const chunk_factors *upstream, fl_size n, double scale,
                          const T *x, const T *y)
{
    fl_size i = 0;
    for (; i + LANES <= n; i += LANES) {
        if (has_weight || has_upstream)
            fetch_factors(direct, has_weight ? weight : upstream, x, y, i);
        v_prefetch_on_to_write(derivative + i, 4096);
        for (int l = 0; l < LANES; l++)
            derivative[i + l] = weighed(direct, has_weight, has_upstream, derivative[i + l], weight, upstream, i + l,
                                        scale);
    }
    if (i < n)
        weigh_rest(derivative, weight, upstream, i, n, scale);
}

/* Derivatives times scale, weight and upstream gradient (either may be missing), rounded once. An element of weight 0
 * counts 0 even if it is NaN. Where there are both, both are numbers. x and y are fetched ahead. */
static FL_OUTLINE void weigh_derivatives(T *restrict derivative, const chunk_factors *weight,
                                         const chunk_factors *upstream, fl_size n, double scale, const T *x,
                                         const T *y)
{
    if (!FL_DOUBLE && weight->direct)
        weigh_each(1, 1, 0, derivative, weight, upstream, n, scale, x, y);
    else if (!FL_DOUBLE && upstream->direct)
        weigh_each(1, 0, 1, derivative, weight, upstream, n, scale, x, y);
    else if (weight->numbers && upstream->numbers)
        weigh_each(0, 1, 1, derivative, weight, upstream, n, scale, x, y);
    else if (weight->numbers)
        weigh_each(0, 1, 0, derivative, weight, upstream, n, scale, x, y);
    else
        weigh_each(0, 0, upstream->numbers != NULL, derivative, weight, upstream, n, scale, x, y);
}

/* Adds weighted losses; a weight of 0 makes 0 of anything. Each lane's sum is a local copy, as in add_chunk. */
FL_INLINE void add_each(int direct, const T *value, const chunk_factors *weight, fl_size n, lane_totals *totals,
                        const T *x, const T *y)
{
    lane_totals local = *totals;
    fl_size i = 0;
    for (; i + LANES <= n; i += LANES) {
        fetch_factors(direct, weight, x, y, i);
        for (int l = 0; l < LANES; l++) {
            const double w = factor_at(weight, direct, i + l), product = (double)value[i + l] * w;
            add_to_lane(&local, l, w == 0 ? 0 : product);
        }
    }
    *totals = local;
    FL_LANEWISE
    for (int l = 0; i < n; i++, l++) {
        const double w = factor_at(weight, direct, i), product = (double)value[i] * w;
        add_to_lane(totals, l, w == 0 ? 0 : product);
    }
}

/* The losses of a chunk, weighted. x and y are fetched ahead. */
static FL_OUTLINE void add_weighted(const T *value, const chunk_factors *weight, fl_size n, lane_totals *totals,
                                    const T *x, const T *y)
{
    if (!FL_DOUBLE && weight->direct)
        add_each(1, value, weight, n, totals, x, y);
    else
        add_each(0, value, weight, n, totals, x, y);
}

static void pointwise_bounds(const fl_pointwise_job *job, fl_size block, fl_size *first, fl_size *last)
{
    *first = block * job->block_size;
    *last = job->size - *first < job->block_size ? job->size : *first + job->block_size;
}

#endif
