/* Rows are handled GROUP at a time: this file holds what such a group carries from its labels to its losses. How the
 * classes of a row are walked is narrow_rows.h's and wide_rows.h's business.
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
    /* Four vectors of AVX-512, eight of AVX2 in every loop: the steps of a group wait for each other, for its divisions
     * and logarithm. (With half as many, 2 to 10 classes took a tenth more.) */
    GROUP = 4 * LANES,
    NO_LABEL = -1, /* a row without a label: probability targets, transforms */
    SKIPPED = -2,  /* ignored, of weight 0, or padding: not read, loss 0, gradient 0 */
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
    int64_t top[GROUP]; /* the class that `others` leaves out, or -1 when several share the maximum */
    double others[GROUP];
    double distance[GROUP]; /* maximum - label_logit, */
    T label_exp[GROUP];     /* and exp of its negative */
    double total[GROUP];    /* what the target puts on the whole row: own and base */
    double base_top[GROUP], base_others[GROUP]; /* base at the maximum; its sum over the other classes */
    double base_distance[GROUP];                /* sum of base_c (maximum - x_c) */
    /* of the focal loss, whose `own` is made from the statistics (focal_rows.h): */
    double loss_weight[GROUP]; /* what the loss takes for `own`, which the gradient has */
    double curvature[GROUP], label_gradient[GROUP], label_hessian[GROUP];
    /* of sum_rows.h: */
    double value[GROUP];
    int lanes; /* that hold its rows: whole vectors, less than GROUP where rows end */
    int some_skipped;
    int plain; /* own, factor and scale are those of rows that all count, without weights */
} row_group;

/* Labels as rows know them; returns how many are to be skipped. */
FL_INLINE fl_size canonical_labels(const fl_rows_job *job, fl_size row, fl_size n, int64_t *labels)
{
    const fl_view *view = &job->labels;
    const uint64_t n_classes = (uint64_t)job->n_classes, ignore = job->ignore_bits;
    const int has_ignore = job->has_ignore;
    fl_size skipped = 0;
    if (view->kind == FL_I64 && !view->swapped && view->ndim == 1 && view->strides[0] == (fl_size)sizeof(int64_t))
        memcpy(labels, view->data + row * (fl_size)sizeof(int64_t), (size_t)n * sizeof(int64_t)); /* the everyday case */
    else
        view_read_labels(view, row, n, labels);
    FL_READ_ONCE(labels);
    FL_LANEWISE
    for (fl_size i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)labels[i];
        int64_t checked = bits < n_classes ? labels[i] : INVALID;
        labels[i] = has_ignore && bits == ignore ? SKIPPED : checked;
        skipped += labels[i] == SKIPPED;
    }
    return skipped;
}

static double class_weight(const fl_rows_job *job, int64_t label)
{
    double weight = 1;
    const T *direct = job->weight.data ? view_direct(&job->weight) : NULL;
    if (direct)
        return direct[label];
    if (job->weight.data)
        view_read_numbers(&job->weight, label, 1, &weight);
    return weight;
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

/* The first pass, over labels and sample weights only: so the normaliser is known before a gradient is written, and
 * nothing is written if a label is wrong. */
static void check_rows(const fl_rows_job *job, fl_size block, fl_rows_partial *partial)
{
    fl_size first, last;
    block_bounds(job, block, &first, &last);
    *partial = (fl_rows_partial){.bad_label = -1, .bad_sample_weight = -1};
    const int weighted = job->weight.data || job->sample_weight.data;
    int64_t labels[CHUNK];
    double factors[CHUNK];
    for (fl_size row = first; row < last; row += CHUNK) {
        fl_size n = last - row < CHUNK ? last - row : CHUNK, counted = 0, invalid = 0;
        if (job->labels.data)
            canonical_labels(job, row, n, labels);
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
        if (!weighted || partial->bad_label >= 0)
            continue;
        for (fl_size i = 0; i < n; i++)
            factors[i] = 1;
        if (job->sample_weight.data)
            view_read_numbers(&job->sample_weight, row, n, factors);
        for (fl_size i = 0; i < n; i++) {
            if (!(factors[i] >= 0) && partial->bad_sample_weight < 0)
                partial->bad_sample_weight = row + i;
            if (labels[i] != SKIPPED)
                fl_add(&partial->weight, factors[i] * (labels[i] >= 0 ? class_weight(job, labels[i]) : 1));
        }
    }
}

static fl_size group_labels(const fl_rows_job *job, fl_size row, int n, int64_t *labels)
{
    fl_size skipped = GROUP - n;
    for (int l = 0; l < GROUP; l++)
        labels[l] = l < n ? NO_LABEL : SKIPPED;
    if (job->labels.data)
        skipped += n == GROUP ? canonical_labels(job, row, GROUP, labels) /* a constant: the loop becomes vectors */
                              : canonical_labels(job, row, n, labels);
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++) { /* changed by another thread since they were checked */
        skipped += labels[l] == INVALID;
        labels[l] = labels[l] == INVALID ? SKIPPED : labels[l];
    }
    return skipped;
}

/* The labels of a group, and what its rows weigh. A group without weights and ignored rows leaves the weights of
 * another such as they are: most calls have no other. */
static void load_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const int weighted = job->weight.data || job->sample_weight.data || job->grad_output.data;
    double factor[GROUP], upstream[GROUP];
    fl_size skipped = group_labels(job, row, n, g->label);
    if (weighted)
        for (int l = 0; l < GROUP; l++)
            factor[l] = upstream[l] = 1;
    if (job->grad_output.data)
        view_read_numbers(&job->grad_output, row, n, upstream);
    if (job->sample_weight.data) {
        view_read_numbers(&job->sample_weight, row, n, factor);
        for (int l = 0; l < GROUP; l++) {
            skipped += factor[l] == 0;
            g->label[l] = factor[l] == 0 ? SKIPPED : g->label[l];
        }
    }
    g->some_skipped = skipped != 0;
    if (g->plain && !g->some_skipped)
        return;
    g->plain = !weighted && !g->some_skipped && job->op < FL_SOFTMAX_FOCAL; /* whose kernels write there too */
    FL_LANEWISE
    for (int l = 0; l < g->lanes; l++) {
        g->own[l] = g->label[l] >= 0 ? (1 - job->smoothing) * class_weight(job, g->label[l]) : 0;
        if (g->label[l] >= 0 && g->own[l] == 0 && !has_base(job)) { /* a class of weight 0 */
            g->label[l] = SKIPPED;
            g->some_skipped = 1;
        }
        int live = g->label[l] != SKIPPED;
        g->factor[l] = !live ? 0 : weighted ? factor[l] : 1;
        g->scale[l] = !live ? 0 : weighted ? job->scale * factor[l] * upstream[l] : job->scale;
        g->total[l] = g->own[l];
        g->maximum[l] = g->label_logit[l] = g->label_exp[l] = 0;
        g->top[l] = -1;
        g->others[l] = g->distance[l] = g->base_top[l] = g->base_others[l] = g->base_distance[l] = 0;
    }
}

/* The gradient at the label where the target puts nothing elsewhere, from ratio = scale total / (1 + others): all
 * terms are positive, whether the label is the maximum or not. */
FL_INLINE double label_slope(const row_group *g, int l, double ratio)
{
    return -ratio * (g->others[l] + (1 - (double)g->label_exp[l]));
}

/* The exact gradient and Hessian of one class; used where the loops' `total p - t` is not: at the label, whose own
 * weight they leave out, and at the maximum. `e` is exp(x - maximum), `base` the class's share of the base. */
static double class_gradient(const row_group *g, int l, int64_t c, double e, double base)
{
    double total = g->total[l], sum = 1 + g->others[l];
    int is_label = c == g->label[l];
    if (c == g->top[l] && g->others[l] < 1) {
        double elsewhere = g->base_others[l] + (is_label ? 0 : g->own[l]);
        return g->scale[l] * (elsewhere - total * (g->others[l] / sum));
    }
    return g->scale[l] * (total * (e / sum) - (base + (is_label ? g->own[l] : 0)));
}

static double class_hessian_at_top(const row_group *g, int l)
{
    double sum = 1 + g->others[l];
    return g->scale[l] * g->total[l] * (g->others[l] / sum) / sum;
}

static void group_logs(const row_group *g, T *logs)
{
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++)
        logs[l] = (T)g->others[l];
    for (int l = 0; l < GROUP; l += WIDTH)
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
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++) /* 0 * inf counts 0, here and below */
            loss[l] = g->own[l] == 0 ? 0 : g->factor[l] * -g->own[l] * (double)g->label_logit[l];
    else if (job->op >= FL_MULTI_MARGIN)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            loss[l] = g->factor[l] * g->value[l];
    else {
        group_logs(g, logs);
        if (job->op == FL_LOGSUMEXP)
            FL_LANEWISE
            for (int l = 0; l < GROUP; l++)
                loss[l] = (double)g->maximum[l] + (double)logs[l];
        else
            FL_LANEWISE
            for (int l = 0; l < GROUP; l++) {
                double own = g->own[l] == 0 ? 0 : g->own[l] * g->distance[l]; /* NaN of another row, or 0 * inf */
                loss[l] = g->factor[l] * (own + g->base_distance[l] + g->total[l] * (double)logs[l]);
            }
    }
}

/* The losses of a group: into `value`, and added lane by lane to `sums`. */
static void finish_group(const fl_rows_job *job, fl_size row, int n, const row_group *g, lane_totals *sums)
{
    T value[GROUP];
    double loss[GROUP];
    group_losses(job, g, loss);
    if (g->some_skipped)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            loss[l] = g->label[l] == SKIPPED ? 0 : loss[l];
    for (int i = 0; i < GROUP / LANES; i++)
        FL_LANEWISE
        for (int l = 0; l < LANES; l++)
            add_to_lane(&sums[i], l, loss[i * LANES + l]);
    if (!job->value.data)
        return;
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++)
        value[l] = (T)loss[l];
    view_write(&job->value, row, n, value);
}

#endif
