/* Rows of more than NARROW classes, the first half: what is added up over a row. wide_rows.h is the second, and says
 * how both walk. */
#ifndef FASTLOSS_WIDE_SUMS_H
#define FASTLOSS_WIDE_SUMS_H

#include "wide_row.h"

/* Adds a strip of four units, pairwise first. */
FL_INLINE void add_strip(lane_sums *s, const vf e[4 * UNIT])
{
    for (int k = 0; k < UNIT; k++)
        v_two_sum(&s->sum[k], &s->error[k], (e[k] + e[k + UNIT]) + (e[k + 2 * UNIT] + e[k + 3 * UNIT]));
}

/* After so many classes the lanes' sums go home to double: over a row of millions their errors would grow until they
 * round themselves. A multiple of every chunk. */
enum { FOLD = 65536 };

FL_INLINE void fold(fl_sum *total, lane_sums *lanes)
{
    const fl_sum sum = sum_lanes(lanes->sum, lanes->error);
    fl_add(total, sum.hi);
    total->lo += sum.lo;
    *lanes = NO_SUMS;
}

/* What is added up over a row. */
typedef struct {
    lane_sums exp; /* of all classes but the maxima of the first one's strip; if the target spreads something, also */
    lane_sums base, distance;      /* base of the same classes; base (maximum - x) of all, */
    vf ties[UNIT], base_top[UNIT]; /* how many maxima have been left out, those of the last strip too; their bases */
} row_sums;

static const row_sums NO_ROW_SUMS;

/* What a loop over classes needs of its row, in variables of the loop: what lies in wide_row might have been written to
 * through a pointer to results, and would be read again for every vector. */
typedef struct {
    exp_scale scale;
    vf maximum;
    const char *ahead, *results; /* what to fetch with the first strip */
    fl_size next; /* how far ahead to fetch the target */
    fl_size ahead_step, results_step; /* bytes a class */
} row_constants;

/* In float64 exactly: the gradient has no digits to spare. */
FL_INLINE void add_base_strip(lane_sums *s, const vf b[4 * UNIT])
{
    if (!FL_DOUBLE)
        add_strip(s, b);
    else
        STRIP_LOOP
        for (int k = 0; k < 4 * UNIT; k++)
            v_two_sum(&s->sum[k % UNIT], &s->error[k % UNIT], b[k]);
}

/* Takes the maxima of one vector of a strip out of its exponentials and of the base; `k` is its number in its unit. */
FL_INLINE void take_maxima(row_sums *s, int k, vf maximum, vf x, vf *base, vf *e)
{
    const vf zero = v_set(0);
    s->base_top[k] = s->base_top[k] + v_where_eq(x, maximum, *base, zero);
    *base = v_where_eq(x, maximum, zero, *base);
    *e = v_where_eq(x, maximum, zero, *e);
    s->ties[k] = v_where_eq(x, maximum, s->ties[k] + v_set(1), s->ties[k]);
}

/* Adds a strip, classes from i on of a chunk. They lie at x, and their exponentials go to `to`. */
FL_INLINE void add_classes(lane_sums *exp, row_sums *s, const row_constants *r, const row_base *base, const void *x,
                           int halves, fl_size i, T *to)
{
    vf logits[4 * UNIT], e[4 * UNIT], b[4 * UNIT], distance[4 * UNIT];
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++) {
        if (k % UNIT == 0) { /* constant offsets cost no instruction: where classes are narrower than T, some in vain */
            v_prefetch(r->ahead + i * r->ahead_step + k * VECTOR_BYTES);
            v_prefetch_to_write(r->results + i * r->results_step + k * VECTOR_BYTES);
            if (base && base->target)
                v_prefetch(base->target + i + r->next + k * WIDTH);
        }
        logits[k] = v_load_classes(x, halves, k * WIDTH, WIDTH, v_set(0));
    }
    v_exps_scaled(logits, 4 * UNIT, r->scale, e);
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++)
        v_store(to + k * WIDTH, e[k]);
    if (base) {
        STRIP_LOOP
        for (int k = 0; k < 4 * UNIT; k++) {
            b[k] = v_base(base, i + k * WIDTH, WIDTH);
            distance[k] = v_distance(b[k], r->maximum, logits[k]);
        }
        add_base_strip(&s->base, b);
        add_strip(&s->distance, distance);
    }
    add_strip(exp, e);
}

/* The vectors of the last strip one after the other; with AVX-512 they are four. (16 vectors of 16 bytes, written out
 * with all that becomes of each, were a fifteenth of the wheel.) */
#if FL_AVX512
#define REST_LOOP FL_UNROLL
#else
#define REST_LOOP FL_LANEWISE
#endif

/* The same of n <= STRIP classes: those that are left, and, if the target spreads something, those among which the
 * maximum is. */
FL_INLINE void add_rest(lane_sums *exp, row_sums *s, const row_constants *r, const row_base *base, const void *x,
                        int halves, fl_size i, fl_size n, T *to)
{
    const vf zero = v_set(0);
    vf e[4 * UNIT], b[4 * UNIT], distance[4 * UNIT];
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++)
        e[k] = b[k] = distance[k] = zero;
    REST_LOOP
    for (int k = 0; k < 4 * UNIT; k++) {
        const fl_size left = n - k * WIDTH;
        if (left <= 0)
            break;
        const vf logits = v_load_classes(x, halves, k * WIDTH, left, v_set((T)-INFINITY));
        e[k] = v_exp_scaled(logits, r->scale);
        v_store_up_to(to + k * WIDTH, left, e[k]);
        if (base) {
            b[k] = v_base(base, i + k * WIDTH, left);
            distance[k] = v_distance(b[k], r->maximum, logits);
            take_maxima(s, k % UNIT, r->maximum, logits, b + k, e + k);
        }
    }
    if (base) {
        add_base_strip(&s->base, b);
        add_strip(&s->distance, distance);
    }
    add_strip(exp, e);
}

/* n classes of a chunk. `top` is the first class of the strip of the maximum, if it lies in the chunk: its copy without
 * the maxima is added in its place, or, with a base, the strip itself, class by class. */
FL_INLINE void add_stretch(row_sums *s, const wide_row *r, const row_base *base, const void *x, int halves, fl_size n,
                           fl_size top, T *to)
{
    const row_constants row = {r->scale, r->maximum, r->ahead, r->results, r->next, r->ahead_step, r->results_step};
    const void *const top_x = r->top.x;
    T nowhere[STRIP], *place = to ? to : nowhere;
    const fl_size step = to ? 1 : 0, whole = n - n % STRIP;
    lane_sums exp = s->exp;
    for (fl_size i = 0; i < whole; i += STRIP)
        if (base && i == top)
            add_rest(&exp, s, &row, base, classes_at(x, halves, i), halves, i, STRIP, place + i * step);
        else
            add_classes(&exp, s, &row, base, i == top ? top_x : classes_at(x, halves, i), halves, i, place + i * step);
    if (whole < n)
        add_rest(&exp, s, &row, base, whole == top && !base ? top_x : classes_at(x, halves, whole), halves, whole,
                 n - whole, place + whole * step);
    s->exp = exp;
}

/* By themselves, because their registers do not suffice for more. */
static FL_OUTLINE void add_plain_stretch(row_sums *s, const wide_row *r, const T *x, fl_size n, fl_size top, T *to)
{
    add_stretch(s, r, NULL, x, 0, n, top, to);
}

static FL_OUTLINE void add_stretch_of_halves(row_sums *s, const wide_row *r, const char *x, fl_size n, fl_size top,
                                             T *to)
{
    add_stretch(s, r, NULL, x, 1, n, top, to);
}

/* Of numbers whose sum need not be compensated. */
FL_INLINE double plain_sum(const vf x[UNIT]) { return sum_lanes(x, NO_SUMS.error).hi; }

/* What has been folded of a row. */
typedef struct {
    fl_sum exp, base, distance;
    double ties, base_top;
} row_totals;

static FL_OUTLINE void fold_sums(row_sums *s, int with_base, row_totals *totals)
{
    fold(&totals->exp, &s->exp);
    if (!with_base)
        return;
    fold(&totals->base, &s->base);
    fold(&totals->distance, &s->distance);
    totals->ties += plain_sum(s->ties);
    totals->base_top += plain_sum(s->base_top);
    for (int k = 0; k < UNIT; k++)
        s->ties[k] = s->base_top[k] = v_set(0);
}

/* The first of n classes that is the maximum; -1 if none is (NaN). */
static fl_size first_top(const T *x, fl_size n, T maximum)
{
    fl_size c = 0;
    while (c < n && x[c] != maximum)
        c++;
    return c < n ? c : -1;
}

/* Its n classes, which begin at x. */
FL_INLINE void copy_strip(top_strip *top, const void *x, int halves, fl_size n, vf maximum, vf exp)
{
    const vf least = v_set((T)-INFINITY);
    top->ties = 0;
    REST_LOOP
    for (fl_size k = 0; k < STRIP; k += WIDTH) {
        const vf v = n > k ? v_load_classes(x, halves, k, n - k, least) : least;
        v_store_classes(top->x, halves, k, WIDTH, v_where_eq(v, maximum, least, v));
        v_store(top->exps + k, v_where_eq(v, maximum, exp, v_set(0)));
        top->ties += v_count_eq(v, maximum);
    }
}

/* The exponentials of the maxima, into a chunk of n. */
static void mend_top_strip(const top_strip *top, fl_size n, T *to)
{
    n = n < STRIP ? n : STRIP;
    for (fl_size k = 0; k < n; k += WIDTH)
        v_store_up_to(to + k, n - k, v_load_up_to(to + k, n - k, v_set(0)) + v_load(top->exps + k));
}

/* A row on its way through its chunks. */
typedef struct {
    row_sums sums;
    row_totals totals;
    int ties; /* as in top_strip */
} row_state;

/* Before the first. */
static FL_OUTLINE void open_statistics(wide_row *r, row_group *g, row_state *s)
{
    s->sums.exp = NO_SUMS;
    if (has_base(r->job))
        s->sums = NO_ROW_SUMS;
    s->totals = (row_totals){{0, 0}, {0, 0}, {0, 0}, 0, 0};
    r->top_start[r->lane] = (fl_size)g->top[r->lane];
    g->top[r->lane] = -1;
}

/* The strip of the maximum, before its exponentials, which may overwrite it: n classes, the first of them `top`. */
FL_INLINE void open_top_strip(wide_row *r, row_group *g, row_state *s, fl_size top, const T *x, fl_size n)
{
    const fl_rows_job *job = r->job;
    const vf exp = v_set(r->top_exp[r->lane]);
    n = n < STRIP ? n : STRIP;
    if (has_base(job) || job->hess.data || job->op == FL_SOFTMAX_FOCAL) {
        const fl_size first = first_top(x, n, g->maximum[r->lane]);
        g->top[r->lane] = first < 0 ? -1 : top + first;
    }
    if (has_base(job))
        return;
    if (x_halves(r))
        copy_strip(&r->top, x_halves(r) + 2 * top, 1, n, r->maximum, exp);
    else
        copy_strip(&r->top, x, 0, n, r->maximum, exp);
    s->ties = r->top.ties;
}

/* Adds n classes from c on to the sums of a row. They lie at x, or are float16; `to` is NULL, or where their
 * exponentials are kept. */
static FL_OUTLINE void add_chunk_of_row(wide_row *r, row_group *g, row_state *s, fl_size c, fl_size n, const T *x,
                                        T *to)
{
    const fl_rows_job *job = r->job;
    const int with_base = has_base(job);
    const fl_size top = r->top_start[r->lane] - c; /* in the chunk, if it is there */
    const int has_top = top >= 0 && top < n;
    r->maximum = v_set(g->maximum[r->lane]);
    select_scale(r);
    if (has_top)
        open_top_strip(r, g, s, c + top, x ? x + top : NULL, n - top);
    r->ahead = job->input.data + (r->start + c + r->next) * r->ahead_step;
    /* `keep` writes it in this pass, from `stage` it is written in the next. So far ahead, because its lines are
     * read before they are written: with 256 classes 4096x1000 took an eighth more. */
    r->results = results_from(r, r->start + c + (r->all_grad ? 1024 : 0));
    if (with_base) {
        row_base base = base_chunk(r, c, n);
        add_stretch(&s->sums, r, &base, x, 0, n, top, to);
    } else {
        if (x_halves(r))
            add_stretch_of_halves(&s->sums, r, x_halves(r) + 2 * c, n, top, to);
        else
            add_plain_stretch(&s->sums, r, x, n, top, to);
        if (to && has_top)
            mend_top_strip(&r->top, n - top, to + top);
    }
    if (job->n_classes > FOLD && (c + n) % FOLD == 0)
        fold_sums(&s->sums, with_base, &s->totals);
}

/* logsumexp alone has a value where the maximum is infinite: the maximum, unless there is a NaN. */
static FL_OUTLINE void infinite_logsumexp(wide_row *r, row_group *g)
{
    const fl_size n_classes = r->job->n_classes;
    double others = 0;
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        const T *x = row_chunk(r, c, n);
        for (fl_size i = 0; i < n; i++)
            others = x[i] == x[i] ? others : (double)x[i];
    }
    g->others[r->lane] = others;
}

/* After the last: the sums of a row, into its lane of the group. */
static void close_statistics(wide_row *r, row_state *s, row_group *g)
{
    const int l = r->lane, with_base = has_base(r->job);
    row_totals *totals = &s->totals;
    if (r->job->n_classes > FOLD)
        fold_sums(&s->sums, with_base, totals);
    else {
        totals->exp = sum_lanes(s->sums.exp.sum, s->sums.exp.error);
        if (with_base) {
            totals->base = sum_lanes(s->sums.base.sum, s->sums.base.error);
            totals->distance = sum_lanes(s->sums.distance.sum, s->sums.distance.error);
            totals->ties = plain_sum(s->sums.ties);
            totals->base_top = plain_sum(s->sums.base_top);
        }
    }
    /* All maxima but one are among the others: those that are not in the sum add 1 each. */
    const double ties = with_base ? totals->ties : s->ties;
    g->distance[l] = (double)g->maximum[l] - (double)g->label_logit[l];
    const double unit = g->unit[l], exps = totals->exp.hi * unit;
    const double lost = FL_DOUBLE ? fma(totals->exp.hi, unit, -exps) : 0;
    g->others[l] = exps + ((lost + (totals->exp.hi * g->unit_low[l] + totals->exp.lo * unit)) + (ties - 1));
    g->others[l] += (double)(g->maximum[l] - g->maximum[l]); /* a row whose maximum is infinite is NaN */
    if (with_base) {
        g->base_top[l] = totals->base_top;
        g->base_others[l] = fl_total(totals->base);
        g->base_distance[l] = fl_total(totals->distance);
        set_total(g, l);
    }
    if (r->job->op == FL_LOGSUMEXP && g->maximum[l] - g->maximum[l] != 0)
        infinite_logsumexp(r, g);
}

static void wide_statistics(wide_row *r, row_group *g)
{
    const fl_size n_classes = r->job->n_classes, step = r->step < FOLD ? r->step : FOLD;
    row_state s;
    open_statistics(r, g, &s);
    for (fl_size c = 0; c < n_classes; c += step) {
        fl_size n = n_classes - c < step ? n_classes - c : step;
        add_chunk_of_row(r, g, &s, c, n, x_halves(r) ? NULL : row_chunk(r, c, n), r->keep ? r->grad + c : NULL);
    }
    close_statistics(r, &s, g);
}

#endif
