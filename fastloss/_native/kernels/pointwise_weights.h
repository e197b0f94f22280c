/* Weights and upstream gradients of a chunk of elements, and their sums, in double. */
#ifndef FASTLOSS_POINTWISE_WEIGHTS_H
#define FASTLOSS_POINTWISE_WEIGHTS_H

#include "views.h"

/* weight times sample_weight of a chunk, in double: float32 could neither hold nor multiply all of them. NULL if
 * there is neither. */
static const double *load_weights(const fl_view *weight, const fl_view *sample_weight, fl_size start, fl_size n,
                                  double *product)
{
    double factors[CHUNK];
    if (!weight->data && !sample_weight->data)
        return NULL;
    view_read_numbers(weight->data ? weight : sample_weight, start, n, product);
    if (weight->data && sample_weight->data) {
        view_read_numbers(sample_weight, start, n, factors);
        for (fl_size i = 0; i < n; i++)
            product[i] *= factors[i];
    }
    return product;
}

/* What there is, is a constant where this is inlined: one loop, where each step had one (with the vector check of the
 * weights a quarter of the time of mse_loss). */
FL_INLINE void weigh_each(int has_weight, int has_upstream, T *x, const double *weight, const double *upstream,
                          fl_size n, double scale)
{
    for (fl_size i = 0; i < n; i++) {
        double factor = has_weight ? scale * weight[i] : scale;
        if (has_upstream)
            factor *= upstream[i];
        x[i] = has_weight && weight[i] == 0 ? 0 : (T)((double)x[i] * factor);
    }
}

/* Derivatives times scale, weight and upstream gradient (either may be NULL), rounded once. An element of weight 0
 * counts 0 even if it is NaN. */
static void weigh_derivatives(T *x, const double *weight, const double *upstream, fl_size n, double scale)
{
    if (weight && upstream)
        weigh_each(1, 1, x, weight, upstream, n, scale);
    else if (weight)
        weigh_each(1, 0, x, weight, upstream, n, scale);
    else
        weigh_each(0, upstream != NULL, x, weight, upstream, n, scale);
}

/* The losses of a chunk, weighted: added up, and left in `value` rounded. */
static void weigh_values(T *value, const double *weight, fl_size n, lane_totals *totals)
{
    double terms[CHUNK];
    for (fl_size i = 0; i < n; i++) {
        terms[i] = weight[i] == 0 ? 0 : (double)value[i] * weight[i];
        value[i] = (T)terms[i];
    }
    add_chunk(totals, terms, n);
}

static void pointwise_bounds(const fl_pointwise_job *job, fl_size block, fl_size *first, fl_size *last)
{
    *first = block * job->block_size;
    *last = job->size - *first < job->block_size ? job->size : *first + job->block_size;
}

#endif
