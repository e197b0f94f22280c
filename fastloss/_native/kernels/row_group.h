/* Rows are handled GROUP at a time: this file holds what such a group carries from its labels to its losses. How the
 * classes of a row are walked is the business of narrow_rows.h, wide_rows.h, wide_lanes.h and wide_columns.h.
 *
 * With t_c the weight that the target puts on class c, m the maximum and p the softmax, every loss of the family is
 *
 *     loss = sum_c t_c ((m - x_c) + log1p(others)),   others = sum of exp(x_c - m) over all classes but the maximum
 *     dloss/dx_c = total p_c - t_c,                   total  = sum_c t_c
 *
 * and t_c = base_c + [c is the label] own, where base is what smoothing or a probability target spreads over the row.
 * For a maximum of p > 1/2 the gradient is written (total - t) - total others/(1 + others): p - 1 would lose all digits
 * of a confident row. */
#ifndef FASTLOSS_ROW_GROUP_H
#define FASTLOSS_ROW_GROUP_H

#include "elementary.h"
#include "views.h"

enum {
    /* Four vectors of AVX-512, eight of AVX2 in every loop, if rows are not too long to be so many (tiles.h): the steps
     * of a group wait for each other, for its divisions and logarithm. (With half as many, 2 to 10 classes took a tenth
     * more.) */
    GROUP = 4 * LANES,
    NO_LABEL = -1, /* a row without a label: probability targets, transforms */
    SKIPPED = -2,  /* ignored, of weight 0, or padding: whatever it holds, loss 0, gradient 0 */
    INVALID = -3
};

typedef struct {
    FL_ALIGNED int64_t label[GROUP];
    double own[GROUP];    /* what the target puts on the label, smoothing taken off */
    double factor[GROUP]; /* the row's sample weight */
    double scale[GROUP];  /* of the row's gradient */
    /* found by the row kernels: */
    T maximum[GROUP];
    T label_logit[GROUP];
    int64_t top[GROUP]; /* the class that `others` leaves out; of several maxima any, or -1 */
    double others[GROUP];
    double distance[GROUP]; /* maximum - label_logit, */
    T label_exp[GROUP];     /* and exp of its negative */
    T unit[GROUP], unit_low[GROUP]; /* times the sum of both what a row has for an exponential is exp(x - maximum) */
    double total[GROUP];    /* what the target puts on the whole row: own and base; */
    double total_low[GROUP]; /* with a base also what that lacks, where T has no fewer digits */
    double base_top[GROUP], base_others[GROUP]; /* base at the maximum; its sum over the other classes */
    double base_distance[GROUP];                /* sum of base_c (maximum - x_c) */
    /* of the focal loss, whose `own` is made from the statistics (focal_rows.h): */
    double loss_weight[GROUP]; /* what the loss takes for `own`, which the gradient has */
    double curvature[GROUP], label_gradient[GROUP], label_hessian[GROUP];
    /* of sum_rows.h: */
    double value[GROUP];
    int lanes; /* that hold its rows: whole vectors, less than GROUP where rows are long or end */
    int some_skipped;
    int plain; /* own, factor and scale are those of rows that all count, without weights */
} row_group;

/* For each lane of the group, or of the units in which lanes [first, last) are: in loops of a constant length, which
 * become vectors, and by whole units, of which the lanes beyond the rows hold something, too. */
#define FOR_LANES(l, g) FOR_UNITS_OF(l, 0, (g)->lanes)
#define FOR_UNITS_OF(l, first, last)                                                        \
    for (fl_size l##_unit = (first) / LANES * LANES; l##_unit < (last); l##_unit += LANES) \
        FL_LANEWISE for (fl_size l##_lane = 0, l = l##_unit; l##_lane < LANES; l##_lane++, l++)

/* Labels as rows know them, `invalid` for those that are no class; returns how many are to be skipped. */
FL_INLINE fl_size canonical_labels(const fl_rows_job *job, fl_size row, fl_size n, int64_t invalid, int64_t *labels)
{
    const fl_view *view = &job->labels;
    const uint64_t n_classes = (uint64_t)job->n_classes, ignore = job->ignore_bits;
    const int has_ignore = job->has_ignore;
    fl_size skipped = 0;
    if (view->kind == FL_I64 && !view->swapped && view->ndim == 1 && view->strides[0] == (fl_size)sizeof(int64_t))
        /* the everyday case */
        memcpy(labels, view->data + row * (fl_size)sizeof(int64_t), (size_t)n * sizeof(int64_t));
    else
        view_read_labels(view, row, n, labels);
    FL_READ_ONCE(labels);
    FL_LANEWISE
    for (fl_size i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)labels[i];
        int64_t checked = bits < n_classes ? labels[i] : invalid;
        labels[i] = has_ignore && bits == ignore ? SKIPPED : checked;
        skipped += labels[i] == SKIPPED;
    }
    return skipped;
}

/* The class weights of n labels; 1 where there is none. */
static void class_weights(const fl_rows_job *job, const int64_t *labels, fl_size n, double *weights)
{
    const T *direct = job->weight.data ? view_direct(&job->weight) : NULL;
    if (direct)
        for (fl_size i = 0; i < n; i++) { /* always of some class: a selection, no branch */
            const double weight = direct[labels[i] >= 0 ? labels[i] : 0];
            weights[i] = labels[i] >= 0 ? weight : 1;
        }
    else
        for (fl_size i = 0; i < n; i++) {
            weights[i] = 1;
            if (job->weight.data && labels[i] >= 0)
                view_read_numbers(&job->weight, labels[i], 1, &weights[i]);
        }
}

/* Whether each lane of the group has a label. */
FL_INLINE int all_labelled(const fl_rows_job *job, const row_group *g) { return job->labels.data && !g->some_skipped; }

/* Whether the target spreads something over the row. */
FL_INLINE int has_base(const fl_rows_job *job) { return job->target.data || job->smoothing > 0; }

static void block_bounds(const fl_rows_job *job, fl_size block, fl_size *first, fl_size *last)
{
    *first = block * job->block_rows;
    *last = job->n_rows - *first < job->block_rows ? job->n_rows : *first + job->block_rows;
}

/* The first row, from `row` on, of a sample weight that is negative or NaN, or -1. */
static fl_size first_bad_factor(const double *factors, fl_size row, fl_size n)
{
    fl_size bad = 0, i = 0;
    for (fl_size k = 0; k < n; k++)
        bad += !(factors[k] >= 0);
    while (bad && factors[i] >= 0)
        i++;
    return bad ? row + i : -1;
}

/* What n rows weigh, added lane by lane: one sum after the other waited for itself. */
static void add_row_weights(const fl_rows_job *job, fl_size row, fl_size n, const int64_t *labels,
                            lane_totals *totals, fl_size *bad_sample_weight)
{
    double weights[CHUNK], factors[CHUNK];
    class_weights(job, labels, n, weights);
    if (job->sample_weight.data) {
        view_read_numbers(&job->sample_weight, row, n, factors);
        *bad_sample_weight = *bad_sample_weight < 0 ? first_bad_factor(factors, row, n) : *bad_sample_weight;
        for (fl_size i = 0; i < n; i++)
            weights[i] *= factors[i];
    }
    for (fl_size i = 0; i < n; i++)
        weights[i] = labels[i] == SKIPPED ? 0 : weights[i];
    add_chunk(totals, weights, n);
}

/* The first pass, over labels and sample weights only: so the normaliser is known before a gradient is written, and
 * nothing is written if a label is wrong. */
static void check_rows(const fl_rows_job *job, fl_size block, fl_rows_partial *partial)
{
    fl_size first, last;
    block_bounds(job, block, &first, &last);
    *partial = (fl_rows_partial){.bad_label = -1, .bad_sample_weight = -1};
    const int weighted = job->weight.data || job->sample_weight.data;
    int64_t labels[CHUNK];
    lane_totals totals = {{0}, {0}};
    for (fl_size row = first; row < last; row += CHUNK) {
        fl_size n = last - row < CHUNK ? last - row : CHUNK, counted = 0, invalid = 0;
        if (job->labels.data)
            canonical_labels(job, row, n, INVALID, labels);
        else
            for (fl_size i = 0; i < n; i++)
                labels[i] = NO_LABEL;
        for (fl_size i = 0; i < n; i++) {
            counted += labels[i] != SKIPPED;
            invalid += labels[i] == INVALID;
        }
        if (invalid && partial->bad_label < 0)
            for (fl_size i = n - 1; i >= 0; i--)
                partial->bad_label = labels[i] == INVALID ? row + i : partial->bad_label;
        if (!weighted)
            partial->weight.hi += (double)counted;
        else if (partial->bad_label < 0)
            add_row_weights(job, row, n, labels, &totals, &partial->bad_sample_weight);
    }
    if (weighted)
        add_lanes(&partial->weight, &totals);
}

/* Returns how many lanes are to be skipped: those beyond the rows, too, and what another thread has made invalid since
 * the labels were checked. */
static fl_size group_labels(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    fl_size skipped = 0;
    if (job->labels.data)
        skipped = n == GROUP ? canonical_labels(job, row, GROUP, SKIPPED, g->label) /* a constant */
                             : canonical_labels(job, row, n, SKIPPED, g->label);
    else
        FOR_LANES(l, g) g->label[l] = NO_LABEL;
    for (int l = n; l % LANES != 0; l++, skipped++)
        g->label[l] = SKIPPED;
    return skipped;
}

/* The labels of a group, and what its rows weigh. A group without weights and ignored rows leaves the weights of
 * another such as they are: most calls have no other. */
static void load_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const int weighted = job->weight.data || job->sample_weight.data || job->grad_output.data;
    double factor[GROUP], upstream[GROUP];
    fl_size skipped = group_labels(job, row, n, g);
    FOR_LANES(l, g) factor[l] = upstream[l] = 1;
    if (job->grad_output.data)
        view_read_numbers(&job->grad_output, row, n, upstream);
    if (job->sample_weight.data) {
        view_read_numbers(&job->sample_weight, row, n, factor);
        FOR_LANES(l, g)
        {
            skipped += factor[l] == 0;
            g->label[l] = factor[l] == 0 ? SKIPPED : g->label[l];
        }
    }
    g->some_skipped = skipped != 0;
    if (g->plain && !g->some_skipped)
        return;
    g->plain = !weighted && !g->some_skipped && job->op < FL_SOFTMAX_FOCAL; /* whose kernels write there too */
    const int skips_zero = !has_base(job); /* a row whose class has weight 0 */
    class_weights(job, g->label, (g->lanes + LANES - 1) / LANES * LANES, g->own);
    skipped = 0;
    FOR_LANES(l, g)
    {
        g->own[l] = g->label[l] >= 0 ? (1 - job->smoothing) * g->own[l] : 0;
        g->label[l] = g->label[l] >= 0 && g->own[l] == 0 && skips_zero ? SKIPPED : g->label[l];
        const int live = g->label[l] != SKIPPED;
        skipped += !live;
        g->factor[l] = live ? factor[l] : 0;
        g->scale[l] = live ? job->scale * factor[l] * upstream[l] : 0;
        g->total[l] = g->own[l];
        g->total_low[l] = 0;
        g->unit[l] = 1;
        g->unit_low[l] = 0;
        g->maximum[l] = g->label_logit[l] = g->label_exp[l] = 0;
        g->top[l] = -1;
        g->others[l] = g->distance[l] = g->base_top[l] = g->base_others[l] = g->base_distance[l] = 0;
    }
    g->some_skipped = skipped != 0;
}

/* What the sum of two numbers loses. */
FL_INLINE double sum_error(double a, double b, double sum)
{
    double part = sum - a;
    return (a - (sum - part)) + (b - part);
}

/* What smoothing leaves of a probability, and what it gives to each class. */
typedef struct {
    vf kept, kept_low, uniform;
} smoothed_share;

FL_INLINE smoothed_share share_of(const fl_rows_job *job)
{
    const double kept = 1 - job->smoothing, low = sum_error(1, -job->smoothing, kept);
    return (smoothed_share){v_set((T)kept), v_set((T)low), v_set((T)(job->smoothing / (double)job->n_classes))};
}

/* In float64 the rounding of 1 - smoothing would be one too many. */
FL_INLINE vf v_smoothed(const smoothed_share *s, vf target)
{
    return v_fma(target, s->kept, FL_DOUBLE ? v_fma(target, s->kept_low, s->uniform) : s->uniform);
}

/* What a class of that base adds to the loss: base (maximum - x). */
FL_INLINE vf v_distance(vf base, vf maximum, vf x)
{
    return v_where_eq(base, v_set(0), v_set(0), base * (maximum - x)); /* 0 * inf counts 0 */
}

/* From the sums of the base. */
FL_INLINE void set_total(row_group *g, fl_size l)
{
    const double base = g->base_top[l] + g->base_others[l];
    g->total[l] = g->own[l] + base;
    if (FL_DOUBLE)
        g->total_low[l] = sum_error(g->own[l], base, g->total[l]) + sum_error(g->base_top[l], g->base_others[l], base);
}

/* What `quotient` lacks to be (numerator + low) / (1 + others). In float64 each of its roundings would be one of the
 * gradient's, which has those of exp and of the base as well; in float32 it has digits to spare. */
FL_INLINE double quotient_error(const row_group *g, fl_size l, double numerator, double low, double quotient)
{
    if (!FL_DOUBLE)
        return 0;
    const double sum = 1 + g->others[l];
    const double rest = (fma(-quotient, sum, numerator) + (low - quotient * sum_error(1, g->others[l], sum))) / sum;
    return rest - rest == 0 ? rest : 0;
}

/* What `ratio` lacks to be scale total / (1 + others). */
FL_INLINE double ratio_error(const row_group *g, fl_size l, double ratio)
{
    const double scaled = g->scale[l] * g->total[l];
    const double low = FL_DOUBLE ? fma(g->scale[l], g->total[l], -scaled) + g->scale[l] * g->total_low[l] : 0;
    return quotient_error(g, l, scaled, low, ratio);
}

/* What multiplies a row's exponentials if factor + low multiplies exp(x - maximum), */
FL_INLINE double in_unit(const row_group *g, fl_size l, double factor, double low)
{
    const double unit = g->unit[l], unit_low = g->unit_low[l];
    if (!FL_DOUBLE)
        return factor * unit + factor * unit_low;
    const double product = factor * unit, rest = fma(factor, unit, -product) + (factor * unit_low + low * unit);
    return product + (rest - rest == 0 ? rest : 0);
}

/* and what that has lost by rounding. */
FL_INLINE double in_unit_error(const row_group *g, fl_size l, double factor, double low, double rounded)
{
    if (!FL_DOUBLE)
        return 0;
    const double unit = g->unit[l], rest = fma(factor, unit, -rounded) + (factor * g->unit_low[l] + low * unit);
    return rest - rest == 0 ? rest : 0;
}

/* The gradient at the label where the target puts nothing elsewhere, from ratio = scale total / (1 + others): all
 * terms are positive, whether the label is the maximum or not. */
FL_INLINE double label_slope(const row_group *g, fl_size l, double ratio)
{
    return -ratio * (g->others[l] + (1 - (double)g->label_exp[l]));
}

/* The exact gradient and Hessian of one class; used where the loops' `total p - t` is not: at the label, whose own
 * weight they leave out, and at the maximum. `e` is exp(x - maximum), `base` the class's share of the base, ratio +
 * low is scale total / (1 + others). */
FL_INLINE double class_gradient(const row_group *g, fl_size l, int64_t c, double e, double base, double ratio,
                                double low)
{
    const int is_label = c == g->label[l], from_others = c == g->top[l] && g->others[l] < 1;
    const double own_elsewhere = is_label ? 0 : g->own[l], own_here = is_label ? g->own[l] : 0;
    const double factor = from_others ? -g->others[l] : e;
    const double rest = g->scale[l] * (from_others ? g->base_others[l] + own_elsewhere : -(base + own_here));
    return FL_DOUBLE ? fma(factor, ratio, fma(factor, low, rest)) : factor * ratio + rest;
}

static double class_hessian_at_top(const row_group *g, fl_size l)
{
    double sum = 1 + g->others[l];
    return g->scale[l] * g->total[l] * (g->others[l] / sum) / sum;
}

static void group_logs(const row_group *g, T *logs)
{
    FOR_LANES(l, g) logs[l] = (T)g->others[l];
    for (int l = 0; l < g->lanes; l += WIDTH)
        v_store(logs + l, v_log1p_nonnegative(v_load(logs + l)));
}

/* Whether the gradient is the one at the top of this file. */
FL_INLINE int has_softmax_gradient(const fl_rows_job *job)
{
    return job->op == FL_CROSS_ENTROPY || job->op == FL_SOFTMAX_FOCAL;
}

static void group_losses(const fl_rows_job *job, const row_group *g, double loss[GROUP])
{
    T logs[GROUP];
    if (job->op == FL_NLL)
        FOR_LANES(l, g) /* 0 * inf counts 0, here and below */
            loss[l] = g->own[l] == 0 ? 0 : g->factor[l] * -g->own[l] * (double)g->label_logit[l];
    else if (job->op >= FL_MULTI_MARGIN)
        FOR_LANES(l, g) loss[l] = g->factor[l] * g->value[l];
    else {
        group_logs(g, logs);
        if (job->op == FL_LOGSUMEXP)
            FOR_LANES(l, g) loss[l] = (double)g->maximum[l] + (double)logs[l];
        else
            FOR_LANES(l, g)
            {
                double own = g->own[l] == 0 ? 0 : g->own[l] * g->distance[l]; /* NaN of another row, or 0 * inf */
                loss[l] = g->factor[l] * (own + g->base_distance[l] + g->total[l] * (double)logs[l]);
            }
    }
}

/* The losses of a group: into `value`, and added lane by lane to `sums`, as if the rows came `in_tile` at a time,
 * which is a power of two. */
static void finish_group(const fl_rows_job *job, fl_size row, int n, int in_tile, const row_group *g,
                         lane_totals *sums)
{
    T value[GROUP];
    double loss[GROUP];
    group_losses(job, g, loss);
    if (g->some_skipped)
        FOR_LANES(l, g) loss[l] = g->label[l] == SKIPPED ? 0 : loss[l];
    FOR_LANES(l, g) add_to_lane(&sums[(l_unit & (in_tile - 1)) / LANES], (int)l_lane, loss[l]);
    if (!job->value.data)
        return;
    FOR_LANES(l, g) value[l] = (T)loss[l];
    view_write(&job->value, row, n, value);
}

#endif
