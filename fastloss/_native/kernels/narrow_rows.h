/* Rows of up to NARROW classes: one row per lane, so that nothing is ever added across lanes. With a row per vector
 * instead, 10 classes would leave lanes idle and pay a horizontal sum a row. */
#ifndef FASTLOSS_NARROW_ROWS_H
#define FASTLOSS_NARROW_ROWS_H

#include "focal_rows.h"
#include "tiles.h"

/* What the target spreads over each row, apart from the label's own share. */
static void load_base_tile(const fl_rows_job *job, fl_size row, int n, const row_group *g, T *base)
{
    const T uniform = (T)(job->smoothing / (double)job->n_classes), kept = (T)(1 - job->smoothing);
    const fl_size n_classes = job->n_classes;
    T weight[NARROW];
    for (fl_size c = 0; c < n_classes; c++)
        weight[c] = 1;
    if (job->weight.data)
        view_read(&job->weight, 0, n_classes, weight);
    if (job->target.data)
        load_tile(&job->target, row, n, n_classes, g, base);
    for (fl_size c = 0; c < n_classes; c++)
        for (T *b = base + c * GROUP; b < base + c * GROUP + g->lanes; b += WIDTH) {
            vf share = v_set(uniform);
            if (job->target.data)
                share = v_load(b) * v_set(kept) + share;
            v_store(b, v_set(weight[c]) * share);
        }
}

/* The running sums of one native vector of rows. */
typedef struct {
    vf maximum;
    maximum_split split;
    vf exp_sum, exp_error, ties, top;
    vf base_sum, base_error, base_top, distance_sum, distance_error;
    const T *ahead, *output; /* where the rows of the next group lie, and where this one's results go */
} narrow_state;

/* exp of class c; what it adds to `others`: 0 where it is the maximum. Meanwhile memory is fetched, as much for
 * each class as a class has: rows of a tile are read and written in an order that the processor does not foresee,
 * and many requests at once would block (a third of the time of 32 and 64 classes). */
FL_INLINE vf narrow_exp(narrow_state *s, T *x_c, fl_size c, int keep)
{
    v_prefetch(s->ahead + c * WIDTH);
    if (keep)
        v_prefetch_to_write(s->output + c * WIDTH);
    vf x = v_load(x_c), e = v_exp_below(x, s->split);
    s->ties = v_where_eq(x, s->maximum, s->ties + v_set(1), s->ties);
    if (keep)
        v_store(x_c, e);
    return v_where_eq(x, s->maximum, v_set(0), e);
}

FL_INLINE void narrow_base(narrow_state *s, vf x, vf base)
{
    vf distance = base * (s->maximum - x);
    distance = v_where_eq(base, v_set(0), v_set(0), distance); /* 0 * inf counts 0 */
    v_two_sum(&s->distance_sum, &s->distance_error, distance);
    v_two_sum(&s->base_sum, &s->base_error, v_where_eq(x, s->maximum, v_set(0), base));
    s->base_top = v_where_eq(x, s->maximum, s->base_top + base, s->base_top);
}

/* What a tile's sums are before they are brought together: one entry a row. */
typedef struct {
    FL_ALIGNED T exp_sum[GROUP], exp_error[GROUP], ties[GROUP], top[GROUP];
    T base_sum[GROUP], base_error[GROUP], base_top[GROUP], distance_sum[GROUP], distance_error[GROUP];
} tile_sums;

/* The maximum of two interleaved runs: half the waiting of one. */
FL_INLINE vf narrow_maximum(const T *x, fl_size n_classes)
{
    vf even = v_set((T)-INFINITY), odd = even;
    fl_size c = 0;
    for (; c + 2 <= n_classes; c += 2) {
        even = v_max(v_load(x + c * GROUP), even);
        odd = v_max(v_load(x + (c + 1) * GROUP), odd);
    }
    if (c < n_classes)
        even = v_max(v_load(x + c * GROUP), even);
    return v_max(even, odd);
}

/* Statistics of WIDTH rows, lanes [lane, lane + WIDTH) of a tile; leaves the exponentials in the tile if `keep`. */
FL_INLINE void narrow_lanes(int op, T *x, const T *base, fl_size n_classes, int keep, int with_top, int lane,
                            row_group *g, tile_sums *sums, const T *ahead, const T *output)
{
    narrow_state s = {.maximum = narrow_maximum(x, n_classes), .ahead = ahead, .output = output};
    s.exp_sum = s.exp_error = s.ties = s.base_sum = s.base_error = s.base_top = v_set(0);
    s.distance_sum = s.distance_error = v_set(0);
    s.top = v_set(-1);
    s.split = v_split_maximum(s.maximum);
    if (with_top)
        for (fl_size c = 0; c < n_classes; c++)
            s.top = v_where_eq(v_load(x + c * GROUP), s.maximum, v_set((T)c), s.top);
    if (base)
        for (fl_size c = 0; c < n_classes; c++)
            narrow_base(&s, v_load(x + c * GROUP), v_load(base + c * GROUP));
    fl_size c = 0;
    for (; c + 4 <= n_classes; c += 4) {
        vf e0 = narrow_exp(&s, x + c * GROUP, c, keep), e1 = narrow_exp(&s, x + (c + 1) * GROUP, c + 1, keep);
        vf e2 = narrow_exp(&s, x + (c + 2) * GROUP, c + 2, keep), e3 = narrow_exp(&s, x + (c + 3) * GROUP, c + 3, keep);
        v_two_sum(&s.exp_sum, &s.exp_error, (e0 + e1) + (e2 + e3));
    }
    vf rest = v_set(0);
    for (; c < n_classes; c++)
        rest = rest + narrow_exp(&s, x + c * GROUP, c, keep);
    v_two_sum(&s.exp_sum, &s.exp_error, rest);
    s.exp_error = s.exp_error + (s.ties - v_set(1)); /* all maxima but one are among the others */
    if (op != FL_LOGSUMEXP)
        s.exp_error = s.exp_error + (s.maximum - s.maximum); /* a row whose maximum is infinite is NaN */
    v_store(g->maximum + lane, s.maximum);
    v_store(g->label_exp + lane, v_exp_below(v_load(g->label_logit + lane), s.split));
    v_store(sums->exp_sum + lane, s.exp_sum);
    v_store(sums->exp_error + lane, s.exp_error);
    if (with_top) {
        v_store(sums->ties + lane, s.ties);
        v_store(sums->top + lane, s.top);
    }
    if (base) {
        v_store(sums->base_sum + lane, s.base_sum);
        v_store(sums->base_error + lane, s.base_error);
        v_store(sums->base_top + lane, s.base_top);
        v_store(sums->distance_sum + lane, s.distance_sum);
        v_store(sums->distance_error + lane, s.distance_error);
    }
}

/* A tile's statistics, into the group. */
static void tile_statistics(const fl_rows_job *job, fl_size row, T *x, const T *base, int keep, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int with_top = base || job->hess.data || job->op == FL_SOFTMAX_FOCAL;
    const T *ahead = view_direct(&job->input), *output = keep ? view_direct(&job->grad) : NULL;
    tile_sums sums;
    if (g->lanes < GROUP)
        memset(&sums, 0, sizeof sums);
    ahead = ahead ? ahead + (row + GROUP) * n_classes : x; /* x: nothing to fetch */
    output = output ? output + row * n_classes : x;
    for (int lane = 0; lane < g->lanes; lane += WIDTH, ahead += WIDTH * n_classes, output += WIDTH * n_classes)
        if (base)
            narrow_lanes(job->op, x + lane, base + lane, n_classes, keep, 1, lane, g, &sums, ahead, output);
        else if (with_top)
            narrow_lanes(job->op, x + lane, NULL, n_classes, keep, 1, lane, g, &sums, ahead, output);
        else if (keep)
            narrow_lanes(job->op, x + lane, NULL, n_classes, 1, 0, lane, g, &sums, ahead, output);
        else
            narrow_lanes(job->op, x + lane, NULL, n_classes, 0, 0, lane, g, &sums, ahead, output);
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++)
        g->others[l] = (double)sums.exp_sum[l] + (double)sums.exp_error[l];
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++)
        g->distance[l] = (double)g->maximum[l] - (double)g->label_logit[l];
    if (with_top)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            g->top[l] = sums.ties[l] == 1 ? (int64_t)sums.top[l] : -1;
    if (base)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++) {
            g->base_top[l] = sums.base_top[l];
            g->base_others[l] = fl_total((fl_sum){sums.base_sum[l], sums.base_error[l]});
            g->base_distance[l] = fl_total((fl_sum){sums.distance_sum[l], sums.distance_error[l]});
            g->total[l] = g->own[l] + (g->base_top[l] + g->base_others[l]);
        }
}

/* A number a row, as the loops over classes want it. */
typedef struct {
    double ratio[GROUP];  /* scale total / (1 + others) */
    FL_ALIGNED T exp_factor[GROUP];  /* the same: gradient = exp_factor e - base_factor base */
    T base_factor[GROUP];
    T inverse_sum[GROUP]; /* p = inverse_sum e */
    T hess_factor[GROUP]; /* Hessian = hess_factor p (1 - p) */
    T curvature[GROUP];   /*           + curvature p^2 for the focal loss */
} row_factors;

static void load_factors(const fl_rows_job *job, const row_group *g, row_factors *f)
{
    const int loss = has_softmax_gradient(job);
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++) {
        f->ratio[l] = (loss ? g->scale[l] * g->total[l] : 1) / (1 + g->others[l]);
        f->exp_factor[l] = (T)f->ratio[l];
    }
    if (has_base(job))
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            f->base_factor[l] = (T)g->scale[l];
    if (job->hess.data)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++) {
            f->inverse_sum[l] = (T)(1 / (1 + g->others[l]));
            f->hess_factor[l] = (T)(g->scale[l] * g->total[l]);
        }
    if (job->op == FL_SOFTMAX_FOCAL)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            f->curvature[l] = (T)(g->scale[l] * g->curvature[l]);
}

/* From exponentials to gradient (in place) and Hessian. */
FL_INLINE void narrow_derivatives(T *x, const T *base, T *hess, fl_size n_classes, int lane, const row_factors *f)
{
    const vf exp_factor = v_load(f->exp_factor + lane), base_factor = v_load(f->base_factor + lane);
    const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
    for (fl_size c = 0; c < n_classes; c++) {
        vf e = v_load(x + c * GROUP);
        if (hess) {
            vf p = e * inverse_sum;
            v_store(hess + c * GROUP, hess_factor * p * (v_set(1) - p));
        }
        vf slope = e * exp_factor;
        if (base) /* as in wide_derivatives */
            slope = v_fma(e, exp_factor, -(base_factor * v_load(base + c * GROUP)));
        v_store(x + c * GROUP, slope);
    }
}

/* The focal loss's Hessian, from the exponentials. */
static void narrow_focal_hessian(const T *x, T *hess, fl_size n_classes, const row_group *g, const row_factors *f)
{
    for (int lane = 0; lane < g->lanes; lane += WIDTH) {
        const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
        const vf curvature = v_load(f->curvature + lane);
        for (fl_size c = 0; c < n_classes; c++) {
            vf p = v_load(x + c * GROUP + lane) * inverse_sum;
            v_store(hess + c * GROUP + lane, p * (hess_factor * (v_set(1) - p) + curvature * p));
        }
    }
}

static void mend_focal_tile(const row_group *g, fl_size n_classes, T *grad, T *hess)
{
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++)
        if (g->label[l] != SKIPPED)
            mend_focal_row(g, l, 0, n_classes, GROUP, grad + l, hess ? hess + l : NULL);
}

/* The gradient at the label and at the maximum, where the loop's formula loses digits. */
static void mend_tile(const row_group *g, const T *base, T *grad, T *hess)
{
    FL_LANEWISE
    for (int l = 0; l < GROUP; l++) {
        if (g->label[l] == SKIPPED)
            continue;
        if (base && g->top[l] >= 0) {
            fl_size at = g->top[l] * GROUP + l;
            grad[at] = (T)class_gradient(g, l, g->top[l], 1, base[at]);
        }
        if (base && g->label[l] >= 0) {
            fl_size at = g->label[l] * GROUP + l;
            grad[at] = (T)class_gradient(g, l, g->label[l], g->label_exp[l], base[at]);
        }
        if (hess && g->top[l] >= 0)
            hess[g->top[l] * GROUP + l] = (T)class_hessian_at_top(g, l);
    }
}

/* From exponentials to gradient (in place of them) and Hessian, to where they belong. */
static FL_OUTLINE void tile_derivatives(const fl_rows_job *job, fl_size row, int n, const row_group *g, T *x,
                                        const T *base)
{
    const fl_size n_classes = job->n_classes;
    const int focal = job->op == FL_SOFTMAX_FOCAL, from_label = job->op == FL_CROSS_ENTROPY && !base;
    FL_ALIGNED T slope[GROUP], hess_tile[TILE], *hess = job->hess.data ? hess_tile : NULL;
    T *plain_hess = focal ? NULL : hess;
    row_factors factors;
    load_factors(job, g, &factors);
    if (focal && hess)
        narrow_focal_hessian(x, hess, n_classes, g, &factors);
    for (int lane = 0; lane < g->lanes; lane += WIDTH)
        narrow_derivatives(x + lane, base ? base + lane : NULL, plain_hess ? plain_hess + lane : NULL, n_classes, lane,
                           &factors);
    if (focal)
        mend_focal_tile(g, n_classes, x, hess);
    else if (job->op == FL_CROSS_ENTROPY && (base || hess))
        mend_tile(g, base, x, hess);
    if (from_label)
        FL_LANEWISE
        for (int l = 0; l < GROUP; l++)
            slope[l] = (T)label_slope(g, l, factors.ratio[l]);
    store_tile(job, &job->grad, row, n, g, x, from_label ? slope : NULL);
    if (hess)
        store_tile(job, &job->hess, row, n, g, hess, NULL);
}

/* Not inlined, like wide_group, sum_group and what has a tile of its own: all tiles and stages would lie on the stack at
 * once, 160 kB, where threads of musl have 128 kB in all. */
static FL_OUTLINE void narrow_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int logs_only = job->op == FL_LOG_SOFTMAX || job->op == FL_LOGSUMEXP;
    const int keep = job->grad.data && !logs_only;
    FL_ALIGNED T x[TILE], base_tile[TILE];
    T *base = has_base(job) ? base_tile : NULL;
    load_tile(&job->input, row, n, n_classes, g, x);
    if (base)
        load_base_tile(job, row, n, g, base);
    if (all_labelled(job, g))
        FL_UNROLL
        for (int l = 0; l < GROUP; l++)
            g->label_logit[l] = x[g->label[l] * GROUP + l];
    else
        for (int l = 0; l < g->lanes; l++) /* of rows without a label: anything */
            g->label_logit[l] = x[(g->label[l] >= 0 ? g->label[l] : 0) * GROUP + l];
    tile_statistics(job, row, x, base, keep, g);
    if (job->op == FL_SOFTMAX_FOCAL)
        focal_factors(job, g, 0, GROUP);
    if (!job->grad.data)
        return;
    if (job->op == FL_LOG_SOFTMAX) {
        T logs[GROUP];
        group_logs(g, logs);
        for (fl_size c = 0; c < n_classes; c++)
            FL_LANEWISE
            for (int l = 0; l < GROUP; l++)
                x[c * GROUP + l] = (x[c * GROUP + l] - g->maximum[l]) - logs[l];
        store_tile(job, &job->grad, row, n, g, x, NULL);
    } else
        tile_derivatives(job, row, n, g, x, base);
}

#endif
