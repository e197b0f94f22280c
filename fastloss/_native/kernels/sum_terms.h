/* Operations that add something up over the classes of a row, and then make each result from its class and the
 * sums:
 *
 *     multi_margin_loss                x and the row's label
 *     entropy, cross_entropy_probs     x and t, both probabilities; value only
 *     softmax_grad, log_softmax_grad   x the transform's result, t the gradient that comes back to it
 *
 * This file holds the formulas (sum_terms and sum_slope); sum_exact.h adds up the terms of the last two. How a row is
 * walked, in sum_rows.h and sum_columns.h, is the same for all. */
#ifndef FASTLOSS_SUM_TERMS_H
#define FASTLOSS_SUM_TERMS_H

#include "wide_columns.h"

enum { N_SUMS = 3 };

/* What the formulas of a row need besides its classes; a number a row. */
typedef struct {
    FL_ALIGNED T offset[GROUP], offset_low[GROUP]; /* margin - x at the label */
    T shrink;                           /* a power of two close to 1 / classes: no sum overflows before its mean */
    T factor[GROUP], rescale[GROUP];    /* the gradient's factor is their product */
    T total[GROUP], total_low[GROUP];   /* the first sum, in twice the precision */
    double sums[GROUP][N_SUMS];
} sum_rows;

typedef struct {
    vf offset, offset_low, shrink, factor, rescale, total, total_low;
} sum_constants;

/* The terms of each sum. */
typedef struct {
    vf term[N_SUMS];
} sum_parts;

/* How many of the sums an operation has. */
FL_INLINE int n_sums(int op)
{
    return op == FL_MULTI_MARGIN_SQUARED ? 3 : op == FL_MULTI_MARGIN || op == FL_PROBABILITY_CROSS_ENTROPY ? 2 : 1;
}

/* Whether the terms have both signs, and the results are differences to their sum: it is to have twice the digits of T,
 * and sum_exact.h adds it up. */
FL_INLINE int is_exact(int op) { return op == FL_SOFTMAX_GRAD || op == FL_LOG_SOFTMAX_GRAD; }

FL_INLINE int is_margin(int op) { return op == FL_MULTI_MARGIN || op == FL_MULTI_MARGIN_SQUARED; }

/* x where it is finite, else 0: the rounding error of an infinite sum or product is NaN, and has no meaning. */
FL_INLINE vf v_finite_or_zero(vf x) { return v_where_eq(x - x, v_set(0), x, v_set(0)); }

/* margin - x_y + x, rounded once, so that a small excess has all its digits. */
FL_INLINE vf v_margin_excess(vf x, const sum_constants *k)
{
    vf sum = k->offset, error = k->offset_low;
    v_two_sum(&sum, &error, x);
    return sum + v_finite_or_zero(error);
}

FL_INLINE vf v_positive_part(vf x) { return v_where_lt(x, v_set(0), v_set(0), x); }

/* `yes` where x > 0, 0 elsewhere, also where `yes` is infinite; NaN stays NaN. */
FL_INLINE vf v_if_positive(vf x, vf yes) { return v_where_lt(v_set(0), x, yes, v_where_eq(x, x, v_set(0), x)); }

/* 0 for a probability, 1 for anything else. */
FL_INLINE vf v_no_probability(vf x)
{
    vf at_most_1 = v_where_lt(v_set(1), x, v_set(1), v_where_eq(x, x, v_set(0), v_set(1)));
    return v_where_lt(x, v_set(0), v_set(1), at_most_1);
}

FL_INLINE sum_parts sum_terms(int op, vf x, vf t, const sum_constants *k)
{
    sum_parts s;
    s.term[1] = s.term[2] = v_set(0);
    if (is_margin(op)) {
        vf excess = v_margin_excess(x, k), positive = v_positive_part(excess), shrunk = positive * k->shrink;
        s.term[0] = (op == FL_MULTI_MARGIN ? v_set(1) : positive) * shrunk;
        s.term[1] = v_if_positive(excess, v_set(1));
        s.term[2] = shrunk;
    } else {
        s.term[0] = v_where_eq(t, v_set(0), v_set(0), -(t * v_log(x))); /* 0 * inf counts 0 */
        s.term[1] = v_no_probability(x) + v_no_probability(t);
    }
    return s;
}

/* y - (total + total_low) to nearly twice the precision: what rounding leaves out goes to *low. */
FL_INLINE vf v_minus_total(vf y, const sum_constants *k, vf *low)
{
    vf difference = y, error = v_set(0);
    v_two_sum(&difference, &error, -k->total);
    *low = v_finite_or_zero(error - k->total_low);
    return difference;
}

/* exp of a logarithm of a probability: what is above 0 after all needs more operations. */
FL_INLINE vf v_exp_of_log(vf x)
{
    const vf p = v_exp_nonpositive(x);
    if (v_count_eq(v_where_lt(v_set(0), x, v_set(1), v_set(0)), v_set(1)) == 0)
        return p;
    return v_where_lt(v_set(0), x, v_exp(x, v_set(0)), p);
}

/* t - p total, p = exp(x). The error of p outweighs all roundings here where the terms cancel. Not so for the likely
 * class, for which t is close to the total when the gradient comes from a label: there it is written (t - total) -
 * (exp(x) - 1) total. */
FL_INLINE vf v_log_softmax_slope(vf x, vf p, vf t, const sum_constants *k)
{
    const vf unlikely = v_fma(-p, k->total, t) - v_finite_or_zero(p * k->total_low);
    const vf within = v_where_lt(x, v_set((T)-0.6), v_set(0), v_where_lt(v_set(0), x, v_set(0), v_set(1)));
    if (v_count_eq(within, v_set(1)) == 0) /* most vectors of more than a few classes */
        return unlikely;
    vf low, rest = v_minus_total(t, k, &low);
    vf likely = (rest + low) - v_expm1_nonpositive(x) * k->total;
    return v_where_eq(within, v_set(0), unlikely, likely);
}

/* `p` is exp(x) if the operation needs that. */
FL_INLINE vf sum_slope(int op, vf x, vf p, vf t, const sum_constants *k)
{
    if (is_margin(op)) {
        vf excess = v_margin_excess(x, k), slope = op == FL_MULTI_MARGIN ? v_set(1) : excess;
        slope = v_where_eq(k->factor, v_set(0), v_set(0), k->factor * slope * k->rescale); /* 0 inf counts 0 */
        return v_if_positive(excess, slope);
    }
    if (op == FL_LOG_SOFTMAX_GRAD)
        return v_log_softmax_slope(x, p, t, k);
    /* The first difference is exact where it cancels (t and the total within a factor of two). */
    return x * ((t - k->total) - k->total_low);
}

FL_INLINE vf sum_curvature(int op, vf x, const sum_constants *k)
{
    if (op == FL_MULTI_MARGIN)
        return v_set(0);
    return v_if_positive(v_margin_excess(x, k), k->factor * k->rescale);
}

/* Before the sums: what a row's label gives. */
static void margin_constants(const fl_rows_job *job, const row_group *g, sum_rows *s)
{
    const T margin = (T)job->margin, margin_low = (T)(job->margin - (double)margin);
    const double slope = job->op == FL_MULTI_MARGIN ? 1 : 2;
    double shrink = 1;
    while (shrink * (double)job->n_classes > 1)
        shrink /= 2;
    s->shrink = (T)shrink;
    for (int l = 0; l < g->lanes; l += WIDTH) {
        vf sum = v_set(margin), error = v_set(margin_low);
        v_two_sum(&sum, &error, -v_load(g->label_logit + l));
        v_store(s->offset + l, sum);
        v_store(s->offset_low + l, v_finite_or_zero(error));
    }
    for (int l = 0; l < g->lanes; l++) {
        /* one that is no number of type T in two parts: what it multiplies may bring it back */
        const double factor = slope * g->scale[l] * g->own[l] / (double)job->n_classes;
        const double rescale = fits(factor) ? 1 : fabs(factor) < 1 ? 0x1p-100 : 0x1p100;
        s->factor[l] = (T)(factor / rescale);
        s->rescale[l] = (T)rescale;
    }
}

/* After them. */
static void finish_sums(const fl_rows_job *job, int l, const fl_sum sums[N_SUMS], row_group *g, sum_rows *s)
{
    double total = fl_total(sums[0]);
    for (int i = 0; i < N_SUMS; i++)
        s->sums[l][i] = fl_total(sums[i]);
    s->total[l] = (T)total;
    s->total_low[l] = s->total[l] - s->total[l] == 0 ? (T)((sums[0].hi - (double)s->total[l]) + sums[0].lo) : 0;
    g->value[l] = total;
    if (is_margin(job->op))
        g->value[l] = g->own[l] * (total / ((double)s->shrink * (double)job->n_classes));
}

/* A sum or a scale of 0 counts 0, also where the other is infinite. The sum comes last: multiplied by 2 it might
 * overflow. */
static T margin_label_gradient(const fl_rows_job *job, const row_group *g, const sum_rows *s, int l)
{
    const int squared = job->op != FL_MULTI_MARGIN;
    const double sum = s->sums[l][squared ? 2 : 1], slope = squared ? 2 / (double)s->shrink : 1;
    const double factor = g->scale[l] * g->own[l] * (slope / (double)job->n_classes);
    return sum == 0 || factor == 0 ? 0 : (T)(0 - factor * sum);
}

static T margin_label_hessian(const fl_rows_job *job, const row_group *g, const sum_rows *s, int l)
{
    if (job->op == FL_MULTI_MARGIN || s->sums[l][1] == 0)
        return 0;
    return (T)(2 * g->scale[l] * g->own[l] * (s->sums[l][1] / (double)job->n_classes));
}

/* The first of n elements that is no probability, or -1. */
static fl_size find_no_probability(const fl_view *view, fl_size start, fl_size n)
{
    for (fl_size i = start; i < start + n; i++) {
        T x = view_at(view, i);
        if (!(x >= 0 && x <= 1))
            return i;
    }
    return -1;
}

/* Of rows [first, last) of a group. */
static void note_no_probabilities(const fl_rows_job *job, fl_size row, int first, int last, const sum_rows *s,
                                  fl_rows_partial *partial)
{
    for (int l = first; l < last; l++) {
        const fl_size start = (row + l) * job->n_classes;
        if (s->sums[l][1] == 0)
            continue;
        if (partial->bad_input < 0)
            partial->bad_input = find_no_probability(&job->input, start, job->n_classes);
        if (partial->bad_target < 0)
            partial->bad_target = find_no_probability(&job->target, start, job->n_classes);
    }
}

FL_INLINE void fetch_sum_row(int op, const T *x, const T *t)
{
    v_prefetch_on(x, 4096);
    if (!is_margin(op))
        v_prefetch_on(t, 4096);
}

/* The loops over classes, compiled once for each operation that has a gradient, or sums of sum_terms(). What surrounds
 * them is not: it was half of their code. */
#define CASES_OF_MARGINS(loop, ...)                 \
    case FL_MULTI_MARGIN:                           \
        loop(FL_MULTI_MARGIN, __VA_ARGS__);         \
        break;                                      \
    case FL_MULTI_MARGIN_SQUARED:                   \
        loop(FL_MULTI_MARGIN_SQUARED, __VA_ARGS__); \
        break;
#define FOR_EACH_OP_WITH_GRADIENT(op, loop, ...) \
    switch (op) {                                \
        CASES_OF_MARGINS(loop, __VA_ARGS__)      \
    case FL_SOFTMAX_GRAD:                        \
        loop(FL_SOFTMAX_GRAD, __VA_ARGS__);      \
        break;                                   \
    default:                                     \
        loop(FL_LOG_SOFTMAX_GRAD, __VA_ARGS__);  \
    }
#define FOR_EACH_OP_WITH_TERMS(op, loop, ...)            \
    switch (op) {                                        \
        CASES_OF_MARGINS(loop, __VA_ARGS__)              \
    default:                                             \
        loop(FL_PROBABILITY_CROSS_ENTROPY, __VA_ARGS__); \
    }

#endif
