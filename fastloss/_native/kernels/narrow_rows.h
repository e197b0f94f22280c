/* Rows of up to NARROW classes: one row per lane, so that nothing is ever added across lanes. With a row per vector
 * instead, 10 classes would leave lanes idle and pay a horizontal sum a row. */
#ifndef FASTLOSS_NARROW_ROWS_H
#define FASTLOSS_NARROW_ROWS_H

#include "focal_rows.h"
#include "tiles.h"

/* What the target spreads over each row, apart from the label's own share. */
typedef struct {
    /* Without a target one unit, which is that of every row: a larger group needs no more of it. Then also */
    FL_ALIGNED T tile[TILE];
    double others[NARROW];   /* the sum of all classes but this one */
    int has_target;
} narrow_base;

/* Added up from both ends: the difference to the sum of all might lose its digits. */
static void add_other_classes(fl_size n_classes, narrow_base *base)
{
    fl_sum before = {0, 0}, behind = {0, 0};
    for (fl_size c = 0; c < n_classes; c++) {
        base->others[c] = fl_total(before);
        fl_add(&before, (double)base->tile[c * LANES]);
    }
    for (fl_size c = n_classes - 1; c >= 0; c--) {
        base->others[c] += fl_total(behind);
        fl_add(&behind, (double)base->tile[c * LANES]);
    }
}

static void load_base(const fl_rows_job *job, fl_size row, int n, const row_group *g, narrow_base *base)
{
    const smoothed_share shares = share_of(job);
    const fl_size n_classes = job->n_classes;
    T weight[NARROW];
    base->has_target = job->target.data != NULL;
    for (fl_size c = 0; c < n_classes; c++)
        weight[c] = 1;
    if (job->weight.data)
        view_read(&job->weight, 0, n_classes, weight);
    if (base->has_target)
        load_tile(&job->target, row, n, n_classes, g, base->tile);
    T *b = base->tile;
    const T *direct = base->has_target ? view_direct(&job->target) : NULL;
    const T *ahead = direct ? direct + (row + g->lanes) * n_classes : b; /* the next group's; b: nothing to fetch */
    for (int unit = 0; unit < (base->has_target ? g->lanes : 1); unit += LANES)
        for (fl_size c = 0; c < n_classes; c++)
            for (int k = 0; k < UNIT; k++, b += WIDTH) {
                v_prefetch(ahead + (b - base->tile));
                const vf share = base->has_target ? v_smoothed(&shares, v_load(b)) : shares.uniform;
                v_store(b, v_set(weight[c]) * share);
            }
    if (!base->has_target)
        add_other_classes(n_classes, base);
}

/* Where the base of a vector of lanes begins, or NULL. */
FL_INLINE const T *base_of_lanes(const narrow_base *base, fl_size n_classes, int lane)
{
    return !base ? NULL : base->tile + (base->has_target ? tile_lanes(n_classes, lane) : lane % LANES);
}

/* A sum in each lane. Four classes are added pairwise before they enter it. */
typedef struct {
    vf sum, error;
} narrow_sum;

FL_INLINE void add_four(narrow_sum *s, const vf x[4])
{
    v_two_sum(&s->sum, &s->error, (x[0] + x[1]) + (x[2] + x[3]));
}

/* The running sums of one native vector of rows. */
typedef struct {
    vf maximum;
    maximum_split split;
    narrow_sum exp;
    vf ties;
    const T *ahead, *output; /* where the rows of the next group lie, and where this one's results go */
} narrow_state;

/* exp of n <= MOST_EXPS classes from c on; what they add to `others`: 0 where one is the maximum. Meanwhile memory is
 * fetched, as much for each class as a class has: rows of a tile are read and written in an order that the processor
 * does not foresee, and many requests at once would block (a third of the time of 32 and 64 classes). */
FL_INLINE void narrow_exps(narrow_state *s, T *x, fl_size c, int n, int keep, vf *added)
{
    vf x_c[MOST_EXPS], e[MOST_EXPS];
    SIDE_BY_SIDE(k, n)
    {
        v_prefetch(s->ahead + (c + k) * WIDTH);
        if (keep)
            v_prefetch_to_write(s->output + (c + k) * WIDTH);
        x_c[k] = v_load(x + (c + k) * LANES);
    }
    v_exps_below(x_c, n, s->split, e);
    SIDE_BY_SIDE(k, n)
    {
        s->ties = v_where_eq(x_c[k], s->maximum, s->ties + v_set(1), s->ties);
        if (keep)
            v_store(x + (c + k) * LANES, e[k]);
        added[k] = v_where_eq(x_c[k], s->maximum, v_set(0), e[k]);
    }
}

FL_INLINE vf narrow_distance(vf maximum, const T *x, const T *base, fl_size c)
{
    return v_distance(v_load(base + c * LANES), maximum, v_load(x + c * LANES));
}

/* What a tile's sums are before they are brought together: one entry a row. */
typedef struct {
    FL_ALIGNED T exp_sum[GROUP], exp_error[GROUP], ties[GROUP], top[GROUP];
    T base_sum[GROUP], base_error[GROUP], base_top[GROUP], distance_sum[GROUP], distance_error[GROUP];
} tile_sums;

/* Adds up the base of WIDTH rows: at the maxima, and elsewhere; exactly, for in float64 the gradient has no digits to
 * spare. */
static FL_OUTLINE void narrow_base_sums(const T *x, const T *base, fl_size n_classes, vf maximum, int lane,
                                        tile_sums *sums)
{
    const vf zero = v_set(0);
    narrow_sum others = {zero, zero}, top = others;
    for (fl_size c = 0; c < n_classes; c++) {
        const vf x_c = v_load(x + c * LANES), b = v_load(base + c * LANES);
        v_two_sum(&others.sum, &others.error, v_where_eq(x_c, maximum, zero, b));
        v_two_sum(&top.sum, &top.error, v_where_eq(x_c, maximum, b, zero));
    }
    v_store(sums->base_sum + lane, others.sum);
    v_store(sums->base_error + lane, others.error);
    v_store(sums->base_top + lane, top.sum + top.error);
}

/* Adds up the distances of WIDTH rows. */
static FL_OUTLINE void narrow_distances(const T *x, const T *base, fl_size n_classes, vf maximum, int lane,
                                        tile_sums *sums)
{
    narrow_sum total = {v_set(0), v_set(0)};
    vf rest = v_set(0);
    fl_size c = 0;
    for (; c + 4 <= n_classes; c += 4) {
        vf d[4];
        FL_UNROLL
        for (int k = 0; k < 4; k++)
            d[k] = narrow_distance(maximum, x, base, c + k);
        add_four(&total, d);
    }
    for (; c < n_classes; c++)
        rest = rest + narrow_distance(maximum, x, base, c);
    v_two_sum(&total.sum, &total.error, rest);
    v_store(sums->distance_sum + lane, total.sum);
    v_store(sums->distance_error + lane, total.error);
}

/* The maximum of two interleaved runs: half the waiting of one. */
FL_INLINE vf narrow_maximum(const T *x, fl_size n_classes)
{
    vf even = v_set((T)-INFINITY), odd = even;
    fl_size c = 0;
    for (; c + 2 <= n_classes; c += 2) {
        even = v_max(v_load(x + c * LANES), even);
        odd = v_max(v_load(x + (c + 1) * LANES), odd);
    }
    if (c < n_classes)
        even = v_max(v_load(x + c * LANES), even);
    return v_max(even, odd);
}

/* The last class that is the maximum, of WIDTH rows; -1 if none is. */
FL_INLINE vf narrow_top(const T *x, fl_size n_classes, vf maximum)
{
    vf top = v_set(-1);
    for (fl_size c = 0; c < n_classes; c++)
        top = v_where_eq(v_load(x + c * LANES), maximum, v_set((T)c), top);
    return top;
}

/* Statistics of WIDTH rows, lanes [lane, lane + WIDTH) of a tile; leaves the exponentials in the tile if `keep`. */
FL_INLINE void narrow_lanes(int op, T *x, fl_size n_classes, vf maximum, int keep, int with_top, int lane,
                            row_group *g, tile_sums *sums, const T *ahead, const T *output)
{
    narrow_state s = {.maximum = maximum, .ahead = ahead, .output = output};
    s.exp.sum = s.exp.error = s.ties = v_set(0);
    s.split = v_split_maximum(s.maximum);
    if (with_top)
        v_store(sums->top + lane, narrow_top(x, n_classes, s.maximum));
    fl_size c = 0;
    for (; c + 4 <= n_classes; c += 4) {
        vf e[4];
        FL_UNROLL
        for (int k = 0; k < 4; k += MOST_EXPS)
            narrow_exps(&s, x, c + k, MOST_EXPS, keep, e + k);
        add_four(&s.exp, e);
    }
    vf rest = v_set(0), e;
    for (; c < n_classes; c++) {
        narrow_exps(&s, x, c, 1, keep, &e);
        rest = rest + e;
    }
    v_two_sum(&s.exp.sum, &s.exp.error, rest);
    s.exp.error = s.exp.error + (s.ties - v_set(1)); /* all maxima but one are among the others */
    if (op != FL_LOGSUMEXP)
        s.exp.error = s.exp.error + (s.maximum - s.maximum); /* a row whose maximum is infinite is NaN */
    v_store(g->maximum + lane, s.maximum);
    v_store(g->label_exp + lane, v_exp_below(v_load(g->label_logit + lane), s.split));
    v_store(sums->exp_sum + lane, s.exp.sum);
    v_store(sums->exp_error + lane, s.exp.error);
    if (with_top)
        v_store(sums->ties + lane, s.ties);
}

/* What the sums of the base say of each row. */
static void base_statistics(const narrow_base *base, const tile_sums *sums, row_group *g)
{
    if (base->has_target)
        FOR_LANES(l, g)
        {
            g->base_top[l] = sums->base_top[l];
            g->base_others[l] = fl_total((fl_sum){sums->base_sum[l], sums->base_error[l]});
        }
    else
        for (int l = 0; l < g->lanes; l++) { /* of rows without a single maximum the sum of both alone is needed */
            const fl_size top = sums->top[l] > 0 ? (fl_size)sums->top[l] : 0;
            g->base_top[l] = base->tile[top * LANES];
            g->base_others[l] = base->others[top];
        }
    FOR_LANES(l, g)
    {
        g->base_distance[l] = fl_total((fl_sum){sums->distance_sum[l], sums->distance_error[l]});
        set_total(g, l);
    }
}

/* What is to be fetched while a group is on its way: elements from `at` on, or `nothing`, which is in the cache, where
 * they do not lie side by side. Of float16, fetched as if it were of type T, it is twice as much as needed: the next
 * group's, too. */
static const T *rows_ahead(const fl_view *view, fl_size at, const T *nothing)
{
    const T *direct = view->data ? view_direct(view) : NULL;
    const char *halves = view->data ? view_halves(view) : NULL;
    return direct ? direct + at : halves ? (const T *)(const void *)(halves + 2 * at) : nothing;
}

/* A tile's statistics, into the group. */
static void tile_statistics(const fl_rows_job *job, fl_size row, T *x, const narrow_base *base, int keep, row_group *g)
{
    const fl_size n_classes = job->n_classes;
    const int with_top = base || job->hess.data || job->op == FL_SOFTMAX_FOCAL;
    const T *ahead = rows_ahead(&job->input, (row + g->lanes) * n_classes, x);
    const T *output = keep ? rows_ahead(&job->grad, row * n_classes, x) : x;
    tile_sums sums;
    if (g->lanes % LANES)
        memset(&sums, 0, sizeof sums);
    for (int lane = 0; lane < g->lanes; lane += WIDTH, ahead += WIDTH * n_classes, output += WIDTH * n_classes) {
        T *x_lanes = x + tile_lanes(n_classes, lane);
        const T *b = base_of_lanes(base, n_classes, lane);
        const vf maximum = narrow_maximum(x_lanes, n_classes);
        if (base && base->has_target)
            narrow_base_sums(x_lanes, b, n_classes, maximum, lane, &sums);
        if (base)
            narrow_distances(x_lanes, b, n_classes, maximum, lane, &sums);
        if (with_top)
            narrow_lanes(job->op, x_lanes, n_classes, maximum, keep, 1, lane, g, &sums, ahead, output);
        else if (keep)
            narrow_lanes(job->op, x_lanes, n_classes, maximum, 1, 0, lane, g, &sums, ahead, output);
        else
            narrow_lanes(job->op, x_lanes, n_classes, maximum, 0, 0, lane, g, &sums, ahead, output);
    }
    FOR_LANES(l, g)
    {
        g->others[l] = (double)sums.exp_sum[l] + (double)sums.exp_error[l];
        g->distance[l] = (double)g->maximum[l] - (double)g->label_logit[l];
    }
    if (base)
        base_statistics(base, &sums, g);
    if (with_top)
        FOR_LANES(l, g) g->top[l] = sums.ties[l] == 1 && g->label[l] != SKIPPED ? (int64_t)sums.top[l] : -1;
}

/* A number a row, as the loops over classes want it. */
typedef struct {
    double ratio[GROUP];  /* scale total / (1 + others) */
    FL_ALIGNED T exp_factor[GROUP];  /* the same in the row's unit: gradient = exp_factor e - base_factor base */
    T base_factor[GROUP];
    double ratio_low[GROUP];  /* with a base, and of wide rows in float64: what the ratio lacks, */
    T exp_factor_low[GROUP];  /* and exp_factor */
    T inverse_sum[GROUP]; /* p = inverse_sum e */
    T hess_factor[GROUP]; /* Hessian = hess_factor p (1 - p) */
    T curvature[GROUP];   /*           + curvature p^2 for the focal loss */
} row_factors;

/* Of rows [first, last) of the group. */
static void load_factors(const fl_rows_job *job, const row_group *g, int first, int last, row_factors *f)
{
    const int loss = has_softmax_gradient(job), has_unit = job->n_classes > NARROW;
    FOR_UNITS_OF(l, first, last)
    {
        f->ratio[l] = (loss ? g->scale[l] * g->total[l] : 1) / (1 + g->others[l]);
        f->exp_factor[l] = (T)f->ratio[l];
    }
    if (has_base(job) || (FL_DOUBLE && has_unit))
        FOR_UNITS_OF(l, first, last)
        {
            f->base_factor[l] = (T)g->scale[l];
            f->ratio_low[l] = loss ? ratio_error(g, l, f->ratio[l]) : quotient_error(g, l, 1, 0, f->ratio[l]);
            f->exp_factor_low[l] = (T)f->ratio_low[l];
        }
    if (has_unit)
        FOR_UNITS_OF(l, first, last)
        {
            const double low = FL_DOUBLE ? f->ratio_low[l] : 0;
            f->exp_factor[l] = (T)in_unit(g, l, f->ratio[l], low);
            f->exp_factor_low[l] = (T)in_unit_error(g, l, f->ratio[l], low, (double)f->exp_factor[l]);
        }
    if (job->hess.data)
        FOR_UNITS_OF(l, first, last)
        {
            const double inverse = 1 / (1 + g->others[l]), low = has_unit ? quotient_error(g, l, 1, 0, inverse) : 0;
            f->inverse_sum[l] = (T)(has_unit ? in_unit(g, l, inverse, low) : inverse);
            f->hess_factor[l] = (T)(g->scale[l] * g->total[l]);
        }
    if (job->op == FL_SOFTMAX_FOCAL)
        FOR_UNITS_OF(l, first, last) f->curvature[l] = (T)(g->scale[l] * g->curvature[l]);
}

/* e exp_factor - base, the product not rounded: that would be one rounding too many where the terms are large. */
FL_INLINE vf v_base_slope(vf e, vf exp_factor, vf exp_factor_low, vf base)
{
    return v_fma(e, exp_factor, FL_DOUBLE ? v_fma(e, exp_factor_low, -base) : -base);
}

/* From exponentials to gradient (in place) and Hessian. */
FL_INLINE void narrow_derivatives(T *x, const T *base, T *hess, fl_size n_classes, int lane, const row_factors *f)
{
    const vf exp_factor = v_load(f->exp_factor + lane), base_factor = v_load(f->base_factor + lane);
    const vf low = v_load(f->exp_factor_low + lane);
    const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
    for (fl_size c = 0; c < n_classes; c++) {
        vf e = v_load(x + c * LANES);
        if (hess) {
            vf p = e * inverse_sum;
            v_store(hess + c * LANES, hess_factor * p * (v_set(1) - p));
        }
        vf slope = e * exp_factor;
        if (base)
            slope = v_base_slope(e, exp_factor, low, base_factor * v_load(base + c * LANES));
        v_store(x + c * LANES, slope);
    }
}

/* The focal loss's Hessian, from the exponentials. */
static void narrow_focal_hessian(const T *x, T *hess, fl_size n_classes, const row_group *g, const row_factors *f)
{
    for (int lane = 0; lane < g->lanes; lane += WIDTH) {
        const vf inverse_sum = v_load(f->inverse_sum + lane), hess_factor = v_load(f->hess_factor + lane);
        const vf curvature = v_load(f->curvature + lane);
        const fl_size first = tile_lanes(n_classes, lane);
        for (fl_size c = 0; c < n_classes; c++) {
            vf p = v_load(x + first + c * LANES) * inverse_sum;
            v_store(hess + first + c * LANES, p * (hess_factor * (v_set(1) - p) + curvature * p));
        }
    }
}

static void mend_focal_tile(const row_group *g, fl_size n_classes, T *grad, T *hess)
{
    for (int l = 0; l < g->lanes; l++) {
        const fl_size first = tile_lanes(n_classes, l);
        if (g->label[l] != SKIPPED)
            mend_focal_row(g, l, 0, n_classes, LANES, grad + first, hess ? hess + first : NULL);
    }
}

/* What takes the place of the loops' results where their formula loses digits. */
typedef struct {
    T top_slope[GROUP], label_slope[GROUP], top_hess[GROUP];
} mended_classes;

static void mend_classes(const fl_rows_job *job, const row_group *g, const narrow_base *base, const row_factors *f,
                         mended_classes *m)
{
    const fl_size n_classes = job->n_classes;
    T base_at_label[GROUP];
    if (base) {
        for (int l = 0; l < g->lanes; l++) /* of rows without a label: anything */
            base_at_label[l] = base_of_lanes(base, n_classes, l)[(g->label[l] >= 0 ? g->label[l] : 0) * LANES];
        FOR_LANES(l, g)
        {
            const double ratio = f->ratio[l], low = f->ratio_low[l];
            m->top_slope[l] = (T)class_gradient(g, l, g->top[l], 1, g->base_top[l], ratio, low);
            m->label_slope[l] = (T)class_gradient(g, l, g->label[l], g->label_exp[l], base_at_label[l], ratio, low);
        }
    } else
        FOR_LANES(l, g) m->label_slope[l] = (T)label_slope(g, l, f->ratio[l]);
    if (job->hess.data)
        FOR_LANES(l, g) m->top_hess[l] = (T)class_hessian_at_top(g, l);
}

/* From exponentials to gradient (in place of them) and Hessian, to where they belong. */
static FL_OUTLINE void tile_derivatives(const fl_rows_job *job, fl_size row, int n, const row_group *g, T *x, T *hess,
                                        const narrow_base *base)
{
    const fl_size n_classes = job->n_classes;
    const int focal = job->op == FL_SOFTMAX_FOCAL, mends = job->op == FL_CROSS_ENTROPY;
    row_factors factors;
    mended_classes m;
    load_factors(job, g, 0, g->lanes, &factors);
    if (mends)
        mend_classes(job, g, base, &factors, &m);
    if (focal && hess)
        narrow_focal_hessian(x, hess, n_classes, g, &factors);
    const int scales = !base && !hess && !focal; /* all there is to do: as the tile is stored */
    for (int lane = 0; lane < g->lanes && !scales; lane += WIDTH) {
        const fl_size first = tile_lanes(n_classes, lane);
        narrow_derivatives(x + first, base_of_lanes(base, n_classes, lane), hess && !focal ? hess + first : NULL,
                           n_classes, lane, &factors);
    }
    if (focal)
        mend_focal_tile(g, n_classes, x, hess);
    store_tile(job, &job->grad, row, n, g, x, scales ? factors.exp_factor : NULL, mends && base ? m.top_slope : NULL,
               mends ? m.label_slope : NULL);
    if (hess)
        store_tile(job, &job->hess, row, n, g, hess, NULL, mends ? m.top_hess : NULL, NULL);
}

static void tile_log_softmax(const fl_rows_job *job, fl_size row, int n, const row_group *g, T *x)
{
    FL_ALIGNED T logs[GROUP];
    group_logs(g, logs);
    const T *results = rows_ahead(&job->grad, row * job->n_classes, x);
    for (int lane = 0; lane < g->lanes; lane += WIDTH, results += WIDTH * job->n_classes) {
        T *x_lanes = x + tile_lanes(job->n_classes, lane);
        const vf maximum = v_load(g->maximum + lane), log = v_load(logs + lane);
        for (fl_size c = 0; c < job->n_classes; c++) {
            v_prefetch_to_write(results + c * WIDTH);
            v_store(x_lanes + c * LANES, (v_load(x_lanes + c * LANES) - maximum) - log);
        }
    }
    store_tile(job, &job->grad, row, n, g, x, NULL, NULL, NULL);
}

#if FL_AVX512 /* a fortieth of the time; with the registers of AVX2 it would cost a twentieth */
#define NARROW_ORDERED FL_ORDERED
#else
#define NARROW_ORDERED
#endif

/* A group, with x as its tile. `hess` and `base` lie beside that, or are NULL. */
NARROW_ORDERED static FL_OUTLINE void narrow_group(const fl_rows_job *job, fl_size row, int n, row_group *g, T *x,
                                                 T *hess, narrow_base *base)
{
    const fl_size n_classes = job->n_classes;
    const int logs_only = job->op == FL_LOG_SOFTMAX || job->op == FL_LOGSUMEXP;
    const int keep = job->grad.data && !logs_only;
    load_tile(&job->input, row, n, n_classes, g, x);
    if (base)
        load_base(job, row, n, g, base);
    if (all_labelled(job, g))
        for (int first = 0; first < g->lanes; first += LANES)
            FL_UNROLL
            for (int l = first; l < first + LANES; l++)
                g->label_logit[l] = x[first * n_classes + g->label[l] * LANES + (l - first)];
    else
        for (int l = 0; l < g->lanes; l++) /* of rows without a label: anything */
            g->label_logit[l] = x[tile_entry(n_classes, l, g->label[l] >= 0 ? g->label[l] : 0)];
    tile_statistics(job, row, x, base, keep, g);
    if (job->op == FL_SOFTMAX_FOCAL)
        focal_factors(job, g, 0, g->lanes);
    if (job->grad.data && job->op == FL_LOG_SOFTMAX)
        tile_log_softmax(job, row, n, g, x);
    else if (job->grad.data)
        tile_derivatives(job, row, n, g, x, hess, base);
}

/* Not inlined, like wide_rows, wide_lanes, wide_columns, sum_group and what has a tile of its own: all tiles and stages
 * would lie on the stack at once, 160 kB, where threads of musl have 128 kB in all. (The most that a call takes in a
 * thread of Python's is 116 kB, in narrow_columns.) */
static FL_OUTLINE void narrow_rows(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    FL_ALIGNED T x[TILE], hess[TILE];
    narrow_base base;
    narrow_group(job, row, n, g, x, job->hess.data ? hess : NULL, has_base(job) ? &base : NULL);
}

/* See fills_group(). */
static FL_OUTLINE void narrow_columns(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    FL_ALIGNED T x[NARROW * GROUP];
    narrow_base base;
    narrow_group(job, row, n, g, x, NULL, has_base(job) ? &base : NULL);
}

#endif
