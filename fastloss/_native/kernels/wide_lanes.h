/* Wide rows that lie in columns (wide_columns.h), of type T, where nothing is spread over the classes and no Hessian
 * wanted: most images and sequences whose classes are the second axis. One row per lane, as of few classes, so that
 * nothing is transposed, and a whole group together, so that neighbouring lines of memory are read one after the other.
 * (4x1000x32x32: by way of stages three times as long, LANES rows at a time twice.) A row has a sum for each class of a
 * unit, those that wide_sums.h has in the lanes of a vector: all adds up in the same order. */
#ifndef FASTLOSS_WIDE_LANES_H
#define FASTLOSS_WIDE_LANES_H

#include "wide_rows.h"

/* Some rows of a group: LANES or a multiple of them, from `first` on. Below l is counted from that one, `lane` from the
 * first of the group. */
typedef struct {
    const fl_rows_job *job;
    char *x, *grad; /* class 0 of the first row; grad may be NULL */
    fl_size x_step, grad_step; /* bytes a class */
    int first, n;
} lane_rows;

#define FOR_ROW_VECTORS(l, r) for (int l = 0; l < (r)->n; l += WIDTH)

/* On the baseline there is less to gain, and the wheel has a limit. */
#if FL_HAS_FMA
enum { WALKS_LANES = 1 };
#else
enum { WALKS_LANES = 0 };
#endif

/* How many rows of a group, from `first` on, can be walked so. */
static FL_OUTLINE int open_lanes(const fl_rows_job *job, fl_size row, int first, int n, lane_rows *r)
{
    column_run in, out = {.first = NULL};
    if (has_base(job) || job->hess.data || job->op == FL_SOFTMAX_FOCAL)
        return 0;
    /* strips are numbered in T, as in take_maximum, and so are classes */
    if (job->n_classes > PIECE || !fl_lies_in_columns(&job->input, job->n_classes))
        return 0;
    open_columns(&job->input, row, first, n, &in);
    if (job->grad.data) {
        if (!fl_lies_in_columns(&job->grad, job->n_classes))
            return 0;
        open_columns(&job->grad, row, first, n, &out);
        if (!out.direct || out.n < in.n)
            return 0;
    }
    *r = (lane_rows){job, in.first, out.first, in.class_step, out.class_step, first, in.n / LANES * LANES};
    return in.direct ? r->n : 0;
}

FL_INLINE const T *lanes_of_class(const lane_rows *r, fl_size c) { return (const T *)(r->x + c * r->x_step); }

/* Four of them: those from c on, `step` apart, that are less than `end`, and the first in the place of others. */
FL_INLINE void four_classes(const lane_rows *r, fl_size c, fl_size step, fl_size end, const T *x[4])
{
    FL_UNROLL
    for (int i = 0; i < 4; i++)
        x[i] = lanes_of_class(r, c + i * step < end ? c + i * step : c);
}

/* Maxima, and the first strip of each. */
static FL_OUTLINE void maxima_of_lanes(const lane_rows *r, T *maximum, T *top)
{
    const fl_size n_classes = r->job->n_classes;
    const vf least = v_set((T)-INFINITY);
    FL_ALIGNED T largest[GROUP];
    const T *x[4];
    FOR_ROW_VECTORS(l, r)
    {
        v_store(maximum + l, least);
        v_store(top + l, v_set(0));
    }
    for (fl_size c = 0; c < n_classes; c += STRIP) {
        const fl_size end = n_classes - c < STRIP ? n_classes : c + STRIP;
        FOR_ROW_VECTORS(l, r) v_store(largest + l, least);
        for (fl_size k = c; k < end; k += 4) {
            four_classes(r, k, 1, end, x);
            FOR_ROW_VECTORS(l, r)
            {
                vf most = v_load(largest + l);
                FL_UNROLL
                for (int i = 0; i < 4; i++)
                    most = v_max(v_load(x[i] + l), most); /* a NaN is passed over */
                v_store(largest + l, most);
            }
        }
        FOR_ROW_VECTORS(l, r)
        {
            const vf before = v_load(maximum + l), now = v_load(largest + l);
            v_store(top + l, v_where_lt(before, now, v_set((T)(c / STRIP)), v_load(top + l)));
            v_store(maximum + l, v_max(now, before));
        }
    }
}

/* A compensated sum for each row and each class of a unit, and how many maxima it leaves out. */
typedef struct {
    FL_ALIGNED T sum[LANES][GROUP], error[LANES][GROUP], ties[GROUP];
} sums_of_rows;

FL_INLINE exp_scale scale_of_lanes(const wide_row *w, int lane)
{
    return (exp_scale){v_load(w->offset + lane), v_load(w->magic + lane), v_load(w->lowest + lane)};
}

/* A strip, from class c on. `excluded` is the maximum of the rows that have it there, else NaN. */
FL_INLINE void add_strip_of_lanes(const lane_rows *r, const wide_row *w, fl_size c, const T *excluded, sums_of_rows *s)
{
    const fl_size left = r->job->n_classes - c;
    const vf zero = v_set(0), one = v_set(1);
    const T *x[4];
    for (int j = 0; j < LANES && j < left; j++) {
        four_classes(r, c + j, LANES, c + left, x);
        FOR_ROW_VECTORS(l, r)
        {
            vf e[4], logits[4], ties = v_load(s->ties + l);
            vf sum = v_load(s->sum[j] + l), error = v_load(s->error[j] + l);
            FL_UNROLL
            for (int i = 0; i < 4; i++)
                logits[i] = j + i * LANES < left ? v_load(x[i] + l) : v_set((T)-INFINITY);
            v_exps_scaled(logits, 4, scale_of_lanes(w, r->first + l), e);
            FL_UNROLL
            for (int i = 0; i < 4; i++) {
                const vf without = v_load(excluded + l);
                ties = v_where_eq(logits[i], without, ties + one, ties);
                e[i] = j + i * LANES < left ? v_where_eq(logits[i], without, zero, e[i]) : zero;
            }
            v_two_sum(&sum, &error, (e[0] + e[1]) + (e[2] + e[3]));
            v_store(s->sum[j] + l, sum);
            v_store(s->error[j] + l, error);
            v_store(s->ties + l, ties);
        }
    }
}

/* Those of one row, as wide_sums.h has them. */
static void gather_sums(const sums_of_rows *s, int l, lane_sums *sums)
{
    FL_ALIGNED T sum[LANES], error[LANES];
    for (int j = 0; j < LANES; j++) {
        sum[j] = s->sum[j][l];
        error[j] = s->error[j][l];
    }
    for (int k = 0; k < UNIT; k++) {
        sums->sum[k] = v_load(sum + k * WIDTH);
        sums->error[k] = v_load(error + k * WIDTH);
    }
}

/* Of each row that counts: brought home to double after FOLD classes, and, after the last, into the group. */
static FL_OUTLINE void close_lanes(const lane_rows *r, wide_row *w, fl_size row, const sums_of_rows *s, int is_last,
                                   row_totals *totals, row_group *g)
{
    row_state state;
    for (int l = 0; l < r->n; l++) {
        gather_sums(s, l, &state.sums.exp);
        if (!is_last)
            fold_sums(&state.sums, 0, &totals[l]);
        else if (g->label[r->first + l] != SKIPPED) {
            select_row(w, row, r->first + l);
            state.totals = totals[l];
            state.ties = (int)s->ties[l];
            close_statistics(w, &state, g);
        }
    }
}

static FL_OUTLINE void sums_of_lanes(const lane_rows *r, wide_row *w, fl_size row, const T *top, row_group *g)
{
    const fl_size n_classes = r->job->n_classes;
    const vf none = v_set((T)NAN);
    FL_ALIGNED T excluded[GROUP];
    row_totals totals[GROUP];
    sums_of_rows s;
    memset(&s, 0, sizeof s);
    memset(totals, 0, sizeof totals);
    for (fl_size c = 0; c < n_classes; c += STRIP) {
        const vf number = v_set((T)(c / STRIP));
        FOR_ROW_VECTORS(l, r)
        {
            const vf maximum = v_load(g->maximum + r->first + l);
            v_store(excluded + l, v_where_eq(v_load(top + l), number, maximum, none));
        }
        add_strip_of_lanes(r, w, c, excluded, &s);
        if (n_classes > FOLD && (c + STRIP) % FOLD == 0) {
            close_lanes(r, w, row, &s, 0, totals, g);
            memset(s.sum, 0, sizeof s.sum);
            memset(s.error, 0, sizeof s.error);
        }
    }
    close_lanes(r, w, row, &s, 1, totals, g);
}

/* What multiplies a row's exponentials, and what takes the place of some results: of the class that is `label`, or of
 * probabilities that are `product` (mend_probabilities). */
typedef struct {
    FL_ALIGNED T factor[GROUP], label[GROUP], product[GROUP], mended[GROUP];
    FL_ALIGNED fl_bits counts[GROUP]; /* all ones; 0 for rows whose results are 0 */
} lane_factors;

static void open_factors(const lane_rows *r, const wide_row *w, const row_group *g, lane_factors *k)
{
    row_factors factors;
    load_factors(r->job, g, r->first, r->first + r->n, &factors);
    FOR_UNITS_OF(l, 0, r->n)
    {
        const fl_size lane = r->first + l;
        const T ratio = (T)factors.ratio[lane];
        k->factor[l] = factors.exp_factor[lane];
        k->label[l] = (T)g->label[lane];
        k->product[l] = ratio > (T)0.5 ? w->top_exp[lane] * factors.exp_factor[lane] : (T)NAN;
        k->mended[l] = r->job->op == FL_SOFTMAX ? ratio : (T)label_slope(g, lane, factors.ratio[lane]);
        k->counts[l] = g->label[lane] == SKIPPED ? 0 : ~(fl_bits)0;
    }
}

/* Meanwhile the line of the class four further on is fetched: an Intel Xeon waited for each in turn (4x300x4096 took
 * 2.8 times as long without, 4x1000x1024 twice; where classes are only read, slopes_of_lanes alone gains). */
FL_INLINE void store_lanes(const lane_rows *r, const lane_factors *k, fl_size c, int l, vf result)
{
    const vi counts = v_bits(v_load((const T *)(const void *)k->counts + l));
    char *to = r->grad + c * r->grad_step + l * (fl_size)sizeof(T);
    v_prefetch_to_write(to + 4 * r->grad_step);
    v_store((T *)to, v_from_bits(v_bits(result) & counts));
}

/* Gradient of the loss, or probabilities. The next four classes are fetched as well: they may have left the second
 * cache since they were added up. */
static FL_OUTLINE void slopes_of_lanes(const lane_rows *r, const wide_row *w, const T *top, const lane_factors *k)
{
    const fl_size n_classes = r->job->n_classes;
    int softmax = r->job->op == FL_SOFTMAX;
    FL_ALIGNED T product[GROUP];
    const T *x[4];
    FL_KEEP_ONE_LOOP(softmax);
    for (fl_size c = 0; c < n_classes; c += 4) {
        four_classes(r, c, 1, n_classes, x);
        if (c % STRIP == 0)
            FOR_ROW_VECTORS(l, r)
            {
                const vf number = v_set((T)(c / STRIP)), none = v_set((T)NAN);
                v_store(product + l, v_where_eq(v_load(top + l), number, v_load(k->product + l), none));
            }
        FOR_ROW_VECTORS(l, r)
        {
            vf e[4];
            const vf factor = v_load(k->factor + l), mended = v_load(k->mended + l);
            const vf at = v_load((softmax ? product : k->label) + l);
            FL_UNROLL
            for (int i = 0; i < 4; i++) {
                v_prefetch((const char *)(x[i] + l) + 4 * r->x_step);
                e[i] = v_load(x[i] + l);
            }
            v_exps_scaled(e, 4, scale_of_lanes(w, r->first + l), e);
            FL_UNROLL
            for (int i = 0; i < 4; i++) {
                vf slope = e[i] * factor, key = softmax ? slope : v_set((T)(c + i));
                if (c + i < n_classes)
                    store_lanes(r, k, c + i, l, v_where_eq(key, at, mended, slope));
            }
        }
    }
}

static FL_OUTLINE void log_softmax_of_lanes(const lane_rows *r, const row_group *g, const lane_factors *k)
{
    T logs[GROUP];
    group_logs(g, logs);
    for (fl_size c = 0; c < r->job->n_classes; c++)
        FOR_ROW_VECTORS(l, r)
        {
            const vf maximum = v_load(g->maximum + r->first + l), log = v_load(logs + r->first + l);
            store_lanes(r, k, c, l, (v_load(lanes_of_class(r, c) + l) - maximum) - log);
        }
}

static FL_OUTLINE void wide_lanes(const lane_rows *r, fl_size row, row_group *g)
{
    const fl_rows_job *job = r->job;
    const int last = r->first + r->n;
    wide_row w = open_pieces(job, STAGE); /* of which infinite_logsumexp alone brings any */
    FL_ALIGNED T top[GROUP];
    lane_factors k;
    maxima_of_lanes(r, g->maximum + r->first, top);
    for (int lane = r->first; lane < last; lane++) {
        g->maximum[lane] = g->label[lane] == SKIPPED ? 0 : g->maximum[lane];
        g->top[lane] = -1;
        if (g->label[lane] >= 0)
            g->label_logit[lane] = lanes_of_class(r, (fl_size)g->label[lane])[lane - r->first];
    }
    scale_rows(&w, r->first, last, g);
    sums_of_lanes(r, &w, row, top, g);
    label_exponentials(r->first, last, g);
    if (!job->grad.data)
        return;
    open_factors(r, &w, g, &k);
    if (job->op == FL_LOG_SOFTMAX)
        log_softmax_of_lanes(r, g, &k);
    else
        slopes_of_lanes(r, &w, top, &k);
}

#endif
