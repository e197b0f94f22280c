/* Rows of up to NARROW classes: one row per lane, so that nothing is ever added across lanes.
 *
 * A tile holds LANES rows transposed, class c of row l at tile[c * LANES + l]. With a row per vector instead, 10
 * classes would leave most lanes idle and pay a horizontal sum a row. */
#ifndef FASTLOSS_NARROW_ROWS_H
#define FASTLOSS_NARROW_ROWS_H

#include "focal_rows.h"

enum { NARROW = 64, TILE = NARROW * LANES };

/* LANES rows of a rows x classes view into a tile; the lanes of skipped rows hold 0, whatever lies in memory. */
static void load_tile(const fl_view *view, fl_size row, int n, fl_size n_classes, const row_group *g, T *tile)
{
    T scratch[TILE];
    const T *rows = view_direct(view);
    if (rows)
        rows += row * n_classes;
    else {
        view_read(view, row * n_classes, n * n_classes, scratch);
        rows = scratch;
    }
    for (int l = 0; l < LANES; l++)
        if (g->label[l] == SKIPPED)
            for (fl_size c = 0; c < n_classes; c++)
                tile[c * LANES + l] = 0;
        else
            for (fl_size c = 0; c < n_classes; c++)
                tile[c * LANES + l] = rows[l * n_classes + c];
}

static void store_tile(const fl_view *view, fl_size row, int n, fl_size n_classes, const T *tile)
{
    T scratch[TILE];
    T *direct = view_direct(view), *rows = direct ? direct + row * n_classes : scratch;
    for (int l = 0; l < n; l++)
        for (fl_size c = 0; c < n_classes; c++)
            rows[l * n_classes + c] = tile[c * LANES + l];
    if (!direct)
        view_write(view, row * n_classes, n * n_classes, scratch);
}

/* What the target spreads over each row, apart from the label's own share. */
static void load_base_tile(const fl_rows_job *job, fl_size row, int n, const row_group *g, T *base)
{
    const T uniform = (T)(job->smoothing / (double)job->n_classes);
    const fl_size n_classes = job->n_classes;
    T weight[NARROW];
    for (fl_size c = 0; c < n_classes; c++)
        weight[c] = 1;
    if (job->weight.data)
        view_read(&job->weight, 0, n_classes, weight);
    if (job->target.data) {
        load_tile(&job->target, row, n, n_classes, g, base);
        const T kept = (T)(1 - job->smoothing);
        for (fl_size c = 0; c < n_classes; c++)
            for (int l = 0; l < LANES; l++)
                base[c * LANES + l] = weight[c] * (base[c * LANES + l] * kept + uniform);
    } else
        for (fl_size c = 0; c < n_classes; c++)
            for (int l = 0; l < LANES; l++)
                base[c * LANES + l] = weight[c] * uniform;
}

/* The running sums of one native vector of rows. */
typedef struct {
    vf maximum;
    maximum_split split;
    vf exp_sum, exp_error, ties, top;
    vf base_sum, base_error, base_top, distance_sum, distance_error;
} narrow_state;

/* exp of one class; what it adds to `others`: 0 where it is the maximum. */
FL_INLINE vf narrow_exp(narrow_state *s, T *x_c, int keep)
{
    vf x = v_load(x_c), e = v_exp_below(x, s->split);
    s->ties = s->ties + v_where_eq(x, s->maximum, v_set(1), v_set(0));
    if (keep)
        v_store(x_c, e);
    return v_where_eq(x, s->maximum, v_set(0), e);
}

FL_INLINE void narrow_base(narrow_state *s, vf x, vf base, T c)
{
    vf distance = base * (s->maximum - x);
    distance = v_where_eq(base, v_set(0), v_set(0), distance); /* 0 * inf counts 0 */
    v_two_sum(&s->distance_sum, &s->distance_error, distance);
    v_two_sum(&s->base_sum, &s->base_error, v_where_eq(x, s->maximum, v_set(0), base));
    s->base_top = v_where_eq(x, s->maximum, s->base_top + base, s->base_top);
    s->top = v_where_eq(x, s->maximum, v_set(c), s->top);
}

/* Statistics of WIDTH rows, lanes [lane, lane + WIDTH) of a tile; leaves the exponentials in the tile if `keep`. */
FL_INLINE void narrow_lanes(T *x, const T *base, fl_size n_classes, int keep, int lane, row_group *g)
{
    narrow_state s = {.maximum = v_set((T)-INFINITY)};
    s.exp_sum = s.exp_error = s.ties = s.base_sum = s.base_error = s.base_top = v_set(0);
    s.distance_sum = s.distance_error = v_set(0);
    s.top = v_set(-1);
    for (fl_size c = 0; c < n_classes; c++)
        s.maximum = v_max(v_load(x + c * LANES), s.maximum);
    s.split = v_split_maximum(s.maximum);
    if (base)
        for (fl_size c = 0; c < n_classes; c++)
            narrow_base(&s, v_load(x + c * LANES), v_load(base + c * LANES), (T)c);
    else
        for (fl_size c = 0; c < n_classes; c++)
            s.top = v_where_eq(v_load(x + c * LANES), s.maximum, v_set((T)c), s.top);
    fl_size c = 0;
    for (; c + 4 <= n_classes; c += 4) {
        vf e0 = narrow_exp(&s, x + c * LANES, keep), e1 = narrow_exp(&s, x + (c + 1) * LANES, keep);
        vf e2 = narrow_exp(&s, x + (c + 2) * LANES, keep), e3 = narrow_exp(&s, x + (c + 3) * LANES, keep);
        v_two_sum(&s.exp_sum, &s.exp_error, (e0 + e1) + (e2 + e3));
    }
    for (; c < n_classes; c++)
        v_two_sum(&s.exp_sum, &s.exp_error, narrow_exp(&s, x + c * LANES, keep));

    T column[9][WIDTH];
    const vf columns[9] = {s.maximum, s.exp_sum,   s.exp_error,    s.ties,          s.top,
                           s.base_sum, s.base_error, s.distance_sum, s.distance_error};
    T base_top[WIDTH];
    v_store(base_top, s.base_top);
    for (int i = 0; i < 9; i++)
        v_store(column[i], columns[i]);
    for (int i = 0; i < WIDTH; i++) {
        int l = lane + i, tied = !(column[3][i] == 1);
        g->maximum[l] = column[0][i];
        g->others[l] = ((double)column[1][i] + (tied ? (double)column[3][i] - 1 : 0)) + (double)column[2][i];
        g->top[l] = tied ? -1 : (int64_t)column[4][i];
        g->base_top[l] = base_top[i];
        g->base_others[l] = fl_total((fl_sum){column[5][i], column[6][i]});
        g->base_distance[l] = fl_total((fl_sum){column[7][i], column[8][i]});
    }
}

/* A number a row, as the loops over classes want it. */
typedef struct {
    T exp_factor[LANES];  /* gradient = exp_factor e - base_factor base */
    T base_factor[LANES];
    T inverse_sum[LANES]; /* p = inverse_sum e */
    T hess_factor[LANES]; /* Hessian = hess_factor p (1 - p) */
    T curvature[LANES];   /*           + curvature p^2 for the focal loss */
} row_factors;

static void load_factors(const fl_rows_job *job, const row_group *g, row_factors *f)
{
    for (int l = 0; l < LANES; l++) {
        double sum = 1 + g->others[l];
        double scale = has_softmax_gradient(job) ? g->scale[l] * group_total(g, l) : 1;
        f->exp_factor[l] = (T)(scale / sum);
        f->base_factor[l] = (T)g->scale[l];
        f->inverse_sum[l] = (T)(1 / sum);
        f->hess_factor[l] = (T)scale;
        if (job->op == FL_SOFTMAX_FOCAL)
            f->curvature[l] = (T)(g->scale[l] * g->curvature[l]);
    }
}

/* From exponentials to gradient (in place) and Hessian. */
FL_INLINE void narrow_derivatives(T *x, const T *base, T *hess, fl_size n_classes, int lane, const row_factors *f)
{
    const vf exp_factor = v_load(f->exp_factor + lane), base_factor = v_load(f->base_factor + lane);
    const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
    for (fl_size c = 0; c < n_classes; c++) {
        vf e = v_load(x + c * LANES);
        if (hess) {
            vf p = e * inverse_sum;
            v_store(hess + c * LANES, hess_factor * p * (v_set(1) - p));
        }
        vf slope = e * exp_factor;
        if (base)
            slope = slope - base_factor * v_load(base + c * LANES);
        v_store(x + c * LANES, slope);
    }
}

/* The focal loss's Hessian, from the exponentials. */
static void narrow_focal_hessian(const T *x, T *hess, fl_size n_classes, const row_factors *f)
{
    for (int lane = 0; lane < LANES; lane += WIDTH) {
        const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
        const vf curvature = v_load(f->curvature + lane);
        for (fl_size c = 0; c < n_classes; c++) {
            vf p = v_load(x + c * LANES + lane) * inverse_sum;
            v_store(hess + c * LANES + lane, p * (hess_factor * (v_set(1) - p) + curvature * p));
        }
    }
}

static void mend_focal_tile(const row_group *g, fl_size n_classes, T *grad, T *hess)
{
    for (int l = 0; l < LANES; l++)
        if (g->label[l] != SKIPPED)
            mend_focal_row(g, l, 0, n_classes, LANES, grad + l, hess ? hess + l : NULL);
}

/* The gradient at the label and at the maximum, where the loop's formula loses digits. `e` comes from before it. */
static void mend_tile(const row_group *g, const T *base, const T *label_exp, T *grad, T *hess)
{
    for (int l = 0; l < LANES; l++) {
        if (g->label[l] == SKIPPED)
            continue;
        if (base && g->top[l] >= 0) {
            fl_size at = g->top[l] * LANES + l;
            grad[at] = (T)class_gradient(g, l, g->top[l], 1, base[at]);
        }
        if (g->label[l] >= 0) {
            fl_size at = g->label[l] * LANES + l;
            grad[at] = (T)class_gradient(g, l, g->label[l], label_exp[l], base ? base[at] : 0);
        }
        if (hess && g->top[l] >= 0)
            hess[g->top[l] * LANES + l] = (T)class_hessian_at_top(g, l);
    }
}

static void narrow_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int logs_only = job->op == FL_LOG_SOFTMAX || job->op == FL_LOGSUMEXP;
    const int keep = job->grad.data && !logs_only, with_base = job->target.data || job->smoothing > 0;
    T x[TILE], base_tile[TILE], hess_tile[TILE], label_exp[LANES];
    T *base = with_base ? base_tile : NULL, *hess = job->hess.data ? hess_tile : NULL;
    load_tile(&job->input, row, n, n_classes, g, x);
    if (with_base)
        load_base_tile(job, row, n, g, base);
    for (int l = 0; l < LANES; l++)
        g->label_logit[l] = g->label[l] >= 0 ? x[g->label[l] * LANES + l] : 0;
    for (int lane = 0; lane < LANES; lane += WIDTH)
        if (keep && base)
            narrow_lanes(x + lane, base + lane, n_classes, 1, lane, g);
        else if (keep)
            narrow_lanes(x + lane, NULL, n_classes, 1, lane, g);
        else
            narrow_lanes(x + lane, base ? base + lane : NULL, n_classes, 0, lane, g);
    if (job->op != FL_LOGSUMEXP)
        for (int l = 0; l < LANES; l++)
            g->others[l] += g->maximum[l] - g->maximum[l]; /* a row whose maximum is infinite is NaN */
    if (job->op == FL_SOFTMAX_FOCAL)
        focal_factors(job, g, 0, LANES);
    if (!job->grad.data)
        return;
    if (job->op == FL_LOG_SOFTMAX) {
        T logs[LANES];
        group_logs(g, logs);
        for (fl_size c = 0; c < n_classes; c++)
            for (int l = 0; l < LANES; l++)
                x[c * LANES + l] = (x[c * LANES + l] - g->maximum[l]) - logs[l];
    } else {
        row_factors factors;
        load_factors(job, g, &factors);
        for (int l = 0; l < LANES; l++)
            label_exp[l] = g->label[l] >= 0 ? x[g->label[l] * LANES + l] : 0;
        const int focal = job->op == FL_SOFTMAX_FOCAL;
        if (focal && hess)
            narrow_focal_hessian(x, hess, n_classes, &factors);
        T *plain_hess = focal ? NULL : hess;
        for (int lane = 0; lane < LANES; lane += WIDTH)
            narrow_derivatives(x + lane, base ? base + lane : NULL, plain_hess ? plain_hess + lane : NULL,
                               n_classes, lane, &factors);
        if (focal)
            mend_focal_tile(g, n_classes, x, hess);
        else if (job->op == FL_CROSS_ENTROPY)
            mend_tile(g, base, label_exp, x, hess);
    }
    store_tile(&job->grad, row, n, n_classes, x);
    if (hess)
        store_tile(&job->hess, row, n, n_classes, hess);
}

#endif
