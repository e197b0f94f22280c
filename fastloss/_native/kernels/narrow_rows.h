/* Rows of up to NARROW classes: one row per lane, so that nothing is ever added across lanes.
 *
 * A tile holds LANES rows transposed, class c of row l at tile[c * LANES + l]. With a row per vector instead, 10
 * classes would leave most lanes idle and pay a horizontal sum a row. */
#ifndef FASTLOSS_NARROW_ROWS_H
#define FASTLOSS_NARROW_ROWS_H

#include "focal_rows.h"

enum {
    NARROW = 64,
    TILE = (NARROW + LANES) * LANES /* room for whole squares at the end */
};

/* LANES rows of a rows x classes view into a tile; the lanes of skipped rows hold 0, whatever lies in memory. Whole squares
 * are read, running into the next rows: groups at the end of a block, without enough next rows, come from scratch. */
static void load_tile(const fl_view *view, fl_size row, int n, fl_size n_classes, const row_group *g, T *tile)
{
    T scratch[TILE];
    const T *rows = view_direct(view);
    if (rows && g->block_end - row >= LANES + WIDTH)
        rows += row * n_classes;
    else {
        view_read(view, row * n_classes, n * n_classes, scratch);
        memset(scratch + n * n_classes, 0, (size_t)((LANES - n) * n_classes + WIDTH) * sizeof(T));
        rows = scratch;
    }
    for (int lane = 0; lane < LANES; lane += WIDTH)
        for (fl_size c = 0; c < n_classes; c += WIDTH) {
            vf square[WIDTH];
            FL_UNROLL
            for (int i = 0; i < WIDTH; i++)
                square[i] = v_load(rows + (lane + i) * n_classes + c);
            v_transpose(square);
            FL_UNROLL
            for (int i = 0; i < WIDTH; i++)
                v_store(tile + (c + i) * LANES + lane, square[i]);
        }
    if (g->some_skipped)
        for (int l = 0; l < LANES; l++)
            if (g->label[l] == SKIPPED)
                for (fl_size c = 0; c < n_classes; c++)
                    tile[c * LANES + l] = 0;
}

/* The other way. A square that runs over the end of its row is overwritten by the next row's, so rows go upwards and the
 * squares of a row from its end to its beginning; the last row must not run over. Rows narrower than a square would run
 * over more than the next one: they are laid out in scratch. */
static void store_tile(const fl_view *view, fl_size row, int n, fl_size n_classes, const T *tile)
{
    T scratch[TILE];
    T *direct = view_direct(view);
    const int where_they_lie = direct && n == LANES && n_classes >= WIDTH;
    T *rows = where_they_lie ? direct + row * n_classes : scratch;
    for (int lane = 0; lane < LANES; lane += WIDTH)
        for (fl_size c = (n_classes - 1) / WIDTH * WIDTH; c >= 0; c -= WIDTH) {
            vf square[WIDTH];
            FL_UNROLL
            for (int i = 0; i < WIDTH; i++)
                square[i] = v_load(tile + (c + i) * LANES + lane);
            v_transpose(square);
            FL_UNROLL
            for (int i = 0; i < WIDTH - 1; i++)
                v_store(rows + (lane + i) * n_classes + c, square[i]);
            T *last = rows + (lane + WIDTH - 1) * n_classes + c, part[WIDTH];
            v_store(part, square[WIDTH - 1]);
            for (fl_size i = c; i < n_classes && i < c + WIDTH; i++)
                last[i - c] = part[i - c];
        }
    if (where_they_lie)
        return;
    if (direct)
        memcpy(direct + row * n_classes, scratch, (size_t)(n * n_classes) * sizeof(T));
    else
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
    T exp_sum[LANES], exp_error[LANES], ties[LANES], top[LANES];
    T base_sum[LANES], base_error[LANES], base_top[LANES], distance_sum[LANES], distance_error[LANES];
} tile_sums;

/* Statistics of WIDTH rows, lanes [lane, lane + WIDTH) of a tile; leaves the exponentials in the tile if `keep`. */
FL_INLINE void narrow_lanes(T *x, const T *base, fl_size n_classes, int keep, int with_top, int lane, T *maximum,
                            tile_sums *sums)
{
    narrow_state s = {.maximum = v_set((T)-INFINITY)};
    s.exp_sum = s.exp_error = s.ties = s.base_sum = s.base_error = s.base_top = v_set(0);
    s.distance_sum = s.distance_error = v_set(0);
    s.top = v_set(-1);
    for (fl_size c = 0; c < n_classes; c++)
        s.maximum = v_max(v_load(x + c * LANES), s.maximum);
    s.split = v_split_maximum(s.maximum);
    if (with_top)
        for (fl_size c = 0; c < n_classes; c++)
            s.top = v_where_eq(v_load(x + c * LANES), s.maximum, v_set((T)c), s.top);
    if (base)
        for (fl_size c = 0; c < n_classes; c++)
            narrow_base(&s, v_load(x + c * LANES), v_load(base + c * LANES));
    fl_size c = 0;
    for (; c + 4 <= n_classes; c += 4) {
        vf e0 = narrow_exp(&s, x + c * LANES, keep), e1 = narrow_exp(&s, x + (c + 1) * LANES, keep);
        vf e2 = narrow_exp(&s, x + (c + 2) * LANES, keep), e3 = narrow_exp(&s, x + (c + 3) * LANES, keep);
        v_two_sum(&s.exp_sum, &s.exp_error, (e0 + e1) + (e2 + e3));
    }
    for (; c < n_classes; c++)
        v_two_sum(&s.exp_sum, &s.exp_error, narrow_exp(&s, x + c * LANES, keep));
    v_store(maximum + lane, s.maximum);
    v_store(sums->exp_sum + lane, s.exp_sum);
    v_store(sums->exp_error + lane, s.exp_error);
    v_store(sums->ties + lane, s.ties);
    v_store(sums->top + lane, s.top);
    if (base) {
        v_store(sums->base_sum + lane, s.base_sum);
        v_store(sums->base_error + lane, s.base_error);
        v_store(sums->base_top + lane, s.base_top);
        v_store(sums->distance_sum + lane, s.distance_sum);
        v_store(sums->distance_error + lane, s.distance_error);
    }
}

/* A tile's statistics, into the group. The label is told to be the maximum by its logit where `top` was not looked for. */
static void tile_statistics(const fl_rows_job *job, T *x, const T *base, int keep, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int with_top = base || job->hess.data || job->op == FL_SOFTMAX_FOCAL;
    tile_sums sums;
    for (int lane = 0; lane < LANES; lane += WIDTH)
        if (with_top && base)
            narrow_lanes(x + lane, base + lane, n_classes, keep, 1, lane, g->maximum, &sums);
        else if (with_top)
            narrow_lanes(x + lane, NULL, n_classes, keep, 1, lane, g->maximum, &sums);
        else if (keep)
            narrow_lanes(x + lane, NULL, n_classes, 1, 0, lane, g->maximum, &sums);
        else
            narrow_lanes(x + lane, NULL, n_classes, 0, 0, lane, g->maximum, &sums);
    for (int l = 0; l < LANES; l++) {
        double tied = sums.ties[l] > 1 ? (double)sums.ties[l] - 1 : 0;
        int64_t top = with_top ? (int64_t)sums.top[l] : g->label_logit[l] == g->maximum[l] ? g->label[l] : -1;
        g->others[l] = ((double)sums.exp_sum[l] + tied) + (double)sums.exp_error[l];
        g->top[l] = sums.ties[l] == 1 ? top : -1;
    }
    if (job->op != FL_LOGSUMEXP)
        for (int l = 0; l < LANES; l++)
            g->others[l] += (double)(g->maximum[l] - g->maximum[l]); /* a row whose maximum is infinite is NaN */
    if (base)
        for (int l = 0; l < LANES; l++) {
            g->base_top[l] = sums.base_top[l];
            g->base_others[l] = fl_total((fl_sum){sums.base_sum[l], sums.base_error[l]});
            g->base_distance[l] = fl_total((fl_sum){sums.distance_sum[l], sums.distance_error[l]});
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

/* Of rows [first, last) of the group. */
FL_INLINE void load_factors(const fl_rows_job *job, const row_group *g, int first, int last, row_factors *f)
{
    const int loss = has_softmax_gradient(job);
    for (int l = first; l < last; l++) {
        double scale = loss ? g->scale[l] * group_total(g, l) : 1;
        f->exp_factor[l] = (T)(scale / (1 + g->others[l]));
        f->base_factor[l] = (T)g->scale[l];
        f->hess_factor[l] = (T)scale;
    }
    if (job->hess.data)
        for (int l = first; l < last; l++)
            f->inverse_sum[l] = (T)(1 / (1 + g->others[l]));
    if (job->op == FL_SOFTMAX_FOCAL)
        for (int l = first; l < last; l++)
            f->curvature[l] = (T)(g->scale[l] * g->curvature[l]);
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

/* The gradient at the label and at the maximum, where the loop's formula loses digits. `label_exp` is from before it. */
static void mend_tile(const row_group *g, const T *base, const T *label_exp, T *grad, T *hess)
{
    for (int l = 0; l < LANES; l++) {
        if (g->label[l] == SKIPPED)
            continue;
        if (base && g->top[l] >= 0) {
            fl_size at = g->top[l] * LANES + l;
            grad[at] = (T)class_gradient(g, l, g->top[l], 1, base[at]);
        }
        if (base && g->label[l] >= 0) {
            fl_size at = g->label[l] * LANES + l;
            grad[at] = (T)class_gradient(g, l, g->label[l], label_exp[l], base[at]);
        }
        if (hess && g->top[l] >= 0)
            hess[g->top[l] * LANES + l] = (T)class_hessian_at_top(g, l);
    }
}

/* The same for the label where there is no base: class_gradient for a whole group, without branches. `spare` is a row of
 * the tile that rows without a label may write to. */
static void mend_labels(const row_group *g, const T *label_exp, fl_size spare, T *grad)
{
    T slope[LANES];
    for (int l = 0; l < LANES; l++) {
        double sum = 1 + g->others[l];
        int at_top = g->top[l] == g->label[l] && g->others[l] < 1;
        slope[l] = (T)(g->scale[l] * (g->own[l] * ((at_top ? -g->others[l] : label_exp[l] - sum) / sum)));
    }
    for (int l = 0; l < LANES; l++)
        grad[(g->label[l] >= 0 ? g->label[l] : spare) * LANES + l] = slope[l];
}

/* What the lanes hold at the label; 0 in rows without one. */
static void gather_labels(const row_group *g, const T *tile, T *to)
{
    for (int l = 0; l < LANES; l++)
        to[l] = tile[(g->label[l] >= 0 ? g->label[l] : 0) * LANES + l];
}

/* From exponentials to gradient (in place of them) and Hessian. */
static void tile_derivatives(const fl_rows_job *job, const row_group *g, T *x, const T *base, T *hess)
{
    const fl_size n_classes = job->n_classes;
    const int focal = job->op == FL_SOFTMAX_FOCAL;
    T label_exp[LANES], *plain_hess = focal ? NULL : hess;
    row_factors factors;
    load_factors(job, g, 0, LANES, &factors);
    gather_labels(g, x, label_exp);
    if (focal && hess)
        narrow_focal_hessian(x, hess, n_classes, &factors);
    for (int lane = 0; lane < LANES; lane += WIDTH)
        narrow_derivatives(x + lane, base ? base + lane : NULL, plain_hess ? plain_hess + lane : NULL, n_classes, lane,
                           &factors);
    if (focal)
        mend_focal_tile(g, n_classes, x, hess);
    else if (job->op == FL_CROSS_ENTROPY && !base)
        mend_labels(g, label_exp, n_classes, x);
    if (job->op == FL_CROSS_ENTROPY && (base || hess))
        mend_tile(g, base, label_exp, x, hess);
}

static void narrow_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int logs_only = job->op == FL_LOG_SOFTMAX || job->op == FL_LOGSUMEXP;
    const int keep = job->grad.data && !logs_only, with_base = job->target.data || job->smoothing > 0;
    T x[TILE], base_tile[TILE], hess_tile[TILE];
    T *base = with_base ? base_tile : NULL, *hess = job->hess.data ? hess_tile : NULL;
    load_tile(&job->input, row, n, n_classes, g, x);
    if (with_base)
        load_base_tile(job, row, n, g, base);
    gather_labels(g, x, g->label_logit);
    tile_statistics(job, x, base, keep, g);
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
    } else
        tile_derivatives(job, g, x, base, hess);
    store_tile(&job->grad, row, n, n_classes, x);
    if (hess)
        store_tile(&job->hess, row, n, n_classes, hess);
}

#endif
