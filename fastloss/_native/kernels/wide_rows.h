/* Rows of more than NARROW classes: the lanes run along the classes.
 *
 * A row of contiguous memory of type T is walked as a whole: maximum, exponentials (left in the gradient's memory) and
 * their sum, gradient; it is read from memory once and stays in the cache. Any other row is walked in chunks of
 * scratch, with the exponentials computed again for the gradient. Both add up in the same order. */
#ifndef FASTLOSS_WIDE_ROWS_H
#define FASTLOSS_WIDE_ROWS_H

#include "narrow_rows.h"

/* Four units are added pairwise before they enter a compensated sum: long runs of equal terms would otherwise drift by
 * a quarter ULP a term. */
enum { STRIP = 4 * LANES };

typedef struct {
    vf sum[UNIT], error[UNIT];
} lane_sums;

static const lane_sums NO_SUMS;

/* The largest of n entries and `maximum`; NaN is passed over. The end is covered by a unit that overlaps the last one. */
static T row_maximum(const T *x, fl_size n, T maximum)
{
    vf m[4 * UNIT];
    T lanes[LANES];
    fl_size i = 0;
    for (int k = 0; k < 4 * UNIT; k++)
        m[k] = v_set(maximum);
    for (; i + STRIP <= n; i += STRIP)
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            m[k] = v_max(v_load(x + i + k * WIDTH), m[k]);
    if (n >= LANES)
        for (; i < n; i += LANES) {
            const T *unit = x + (i + LANES <= n ? i : n - LANES);
            for (int k = 0; k < UNIT; k++)
                m[k] = v_max(v_load(unit + k * WIDTH), m[k]);
        }
    for (; i < n; i++)
        maximum = x[i] > maximum ? x[i] : maximum;
    for (int k = 0; k < UNIT; k++)
        v_store(lanes + k * WIDTH, v_max(v_max(m[k], m[k + UNIT]), v_max(m[k + 2 * UNIT], m[k + 3 * UNIT])));
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] = lanes[l] > lanes[l + half] ? lanes[l] : lanes[l + half];
    return lanes[0] > maximum ? lanes[0] : maximum;
}

static fl_size find_maximum(const T *x, fl_size n, T maximum)
{
    fl_size i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        int lane = v_find(v_load(x + i), v_set(maximum));
        if (lane >= 0)
            return i + lane;
    }
    for (; i < n; i++)
        if (x[i] == maximum)
            return i;
    return -1;
}

/* Adds a strip of four units, pairwise first. */
FL_INLINE void add_strip(lane_sums *s, const vf e[4 * UNIT])
{
    for (int k = 0; k < UNIT; k++)
        v_two_sum(&s->sum[k], &s->error[k], (e[k] + e[k + UNIT]) + (e[k + 2 * UNIT] + e[k + 3 * UNIT]));
}

/* The last n < STRIP exponentials of a chunk, padded with 0; stored to `to` if given. */
FL_INLINE void exp_tail(const T *x, fl_size n, maximum_split m, T *to, vf e[4 * UNIT])
{
    for (int k = 0; k < 4 * UNIT; k++) {
        fl_size left = n - k * WIDTH;
        if (left >= WIDTH) {
            e[k] = v_exp_below(v_load(x + k * WIDTH), m);
            if (to)
                v_store(to + k * WIDTH, e[k]);
        } else if (left > 0) {
            e[k] = v_exp_below(v_load_part(x + k * WIDTH, left, v_set((T)-INFINITY)), m);
            if (to)
                v_store_part(to + k * WIDTH, left, e[k]);
        } else
            e[k] = v_set(0);
    }
}

/* Sets one element of a strip to 0. */
FL_INLINE void clear_element(vf e[4 * UNIT], fl_size at)
{
    T elements[STRIP];
    for (int k = 0; k < 4 * UNIT; k++)
        v_store(elements + k * WIDTH, e[k]);
    elements[at] = 0;
    for (int k = 0; k < 4 * UNIT; k++)
        e[k] = v_load(elements + k * WIDTH);
}

/* The exponentials of n classes: stored to `to` if given, added to `s` but for the one at `skip` (if not -1). */
FL_INLINE void exp_strips(const T *x, fl_size n, maximum_split m, T *to, fl_size skip, lane_sums *s)
{
    for (fl_size i = 0; i < n; i += STRIP) {
        vf e[4 * UNIT];
        if (i + STRIP <= n) {
            FL_UNROLL
            for (int k = 0; k < 4 * UNIT; k++) {
                e[k] = v_exp_below(v_load(x + i + k * WIDTH), m);
                if (to)
                    v_store(to + i + k * WIDTH, e[k]);
            }
        } else
            exp_tail(x + i, n - i, m, to ? to + i : NULL, e);
        if (skip >= i && skip < i + STRIP)
            clear_element(e, skip - i);
        if (s)
            add_strip(s, e);
    }
}

/* Sums of base and of base (maximum - x). The base at the maximum has been set to 0 by the caller. */
static void base_strips(const T *x, const T *base, fl_size n, T maximum, lane_sums *base_sum, lane_sums *distance_sum)
{
    for (fl_size i = 0; i < n; i += STRIP) {
        T xs[STRIP], bs[STRIP];
        vf distance[4 * UNIT], b[4 * UNIT];
        fl_size count = n - i < STRIP ? n - i : STRIP;
        for (int j = 0; j < STRIP; j++) {
            xs[j] = j < count ? x[i + j] : maximum;
            bs[j] = j < count ? base[i + j] : 0;
        }
        for (int k = 0; k < 4 * UNIT; k++) {
            b[k] = v_load(bs + k * WIDTH);
            distance[k] = b[k] * (v_set(maximum) - v_load(xs + k * WIDTH));
            distance[k] = v_where_eq(b[k], v_set(0), v_set(0), distance[k]); /* 0 * inf counts 0 */
        }
        add_strip(base_sum, b);
        add_strip(distance_sum, distance);
    }
}

/* One row on its way through the passes. */
typedef struct {
    const fl_rows_job *job;
    fl_size start; /* of the row in the flat views */
    fl_size step;  /* classes a chunk */
    const T *x;    /* the row's memory, or NULL */
    T *grad;
    T *hess;
    int lane;
    maximum_split split;
    T x_chunk[CHUNK], base_chunk[CHUNK], grad_chunk[CHUNK], hess_chunk[CHUNK];
} wide_row;

static const T *row_chunk(wide_row *r, fl_size c, fl_size n)
{
    if (r->x)
        return r->x + c;
    view_read(&r->job->input, r->start + c, n, r->x_chunk);
    return r->x_chunk;
}

static int has_base(const fl_rows_job *job) { return job->target.data || job->smoothing > 0; }

/* What the target spreads over classes [c, c + n). */
static T *base_chunk(wide_row *r, fl_size c, fl_size n)
{
    const fl_rows_job *job = r->job;
    const T uniform = (T)(job->smoothing / (double)job->n_classes), kept = (T)(1 - job->smoothing);
    T *base = r->base_chunk, weight[CHUNK];
    if (job->target.data) {
        view_read(&job->target, r->start + c, n, base);
        for (fl_size i = 0; i < n; i++)
            base[i] = base[i] * kept + uniform;
    } else
        for (fl_size i = 0; i < n; i++)
            base[i] = uniform;
    if (job->weight.data) {
        view_read(&job->weight, c, n, weight);
        for (fl_size i = 0; i < n; i++)
            base[i] = weight[i] * base[i];
    }
    return base;
}

static void wide_statistics(wide_row *r, row_group *g, int keep)
{
    const fl_size n_classes = r->job->n_classes;
    const int l = r->lane;
    lane_sums sums = NO_SUMS, base_sums = NO_SUMS, distance_sums = NO_SUMS;
    T maximum = (T)-INFINITY;
    fl_size top = -1;
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        maximum = row_maximum(row_chunk(r, c, n), n, maximum);
    }
    r->split = v_split_maximum(v_set(maximum));
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        const T *x = row_chunk(r, c, n);
        fl_size skip = top < 0 ? find_maximum(x, n, maximum) : -1;
        top = skip >= 0 ? c + skip : top;
        if (has_base(r->job)) { /* before the exponentials, which may overwrite x */
            T *base = base_chunk(r, c, n);
            if (skip >= 0) {
                g->base_top[l] = base[skip];
                base[skip] = 0;
            }
            base_strips(x, base, n, maximum, &base_sums, &distance_sums);
        }
        if (keep)
            exp_strips(x, n, r->split, r->grad + c, skip, &sums);
        else
            exp_strips(x, n, r->split, NULL, skip, &sums);
    }
    g->maximum[l] = maximum;
    g->top[l] = top;
    g->others[l] = fl_total(sum_lanes(sums.sum, sums.error));
    g->others[l] += (double)(maximum - maximum); /* a row whose maximum is infinite is NaN */
    if (has_base(r->job)) {
        g->base_others[l] = fl_total(sum_lanes(base_sums.sum, base_sums.error));
        g->base_distance[l] = fl_total(sum_lanes(distance_sums.sum, distance_sums.error));
    }
}

/* logsumexp alone has a value where the maximum is infinite: the maximum, unless there is a NaN. */
static void infinite_logsumexp(wide_row *r, row_group *g)
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

/* From the exponentials e to gradient and Hessian; `grad` may be `e`. */
FL_INLINE void wide_derivatives(const T *e, const T *base, fl_size n, const row_factors *f, int l, T *grad, T *hess)
{
    const T exp_factor = f->exp_factor[l], base_factor = f->base_factor[l];
    if (hess) {
        const T inverse_sum = f->inverse_sum[l], hess_factor = f->hess_factor[l];
        for (fl_size i = 0; i < n; i++) {
            T p = e[i] * inverse_sum;
            hess[i] = hess_factor * p * (1 - p);
        }
    }
    if (base) {
        for (fl_size i = 0; i < n; i++)
            grad[i] = e[i] * exp_factor - base_factor * base[i];
        return;
    }
    fl_size i = 0;
    for (; i + WIDTH <= n; i += WIDTH)
        v_store(grad + i, v_load(e + i) * v_set(exp_factor));
    if (i < n)
        v_store_part(grad + i, n - i, v_load_part(e + i, n - i, v_set(0)) * v_set(exp_factor));
}

/* The focal loss's Hessian, from the exponentials. */
static void wide_focal_hessian(const T *e, fl_size n, const row_factors *f, int l, T *hess)
{
    const T inverse_sum = f->inverse_sum[l], hess_factor = f->hess_factor[l], curvature = f->curvature[l];
    for (fl_size i = 0; i < n; i++) {
        T p = e[i] * inverse_sum;
        hess[i] = p * (hess_factor * (1 - p) + curvature * p);
    }
}

/* Label and maximum, if they lie in the chunk: see class_gradient. */
static void mend_chunk(const wide_row *r, const row_group *g, fl_size c, fl_size n, const T *base, T label_exp, T *grad,
                       T *hess)
{
    const int l = r->lane;
    const fl_size label = (fl_size)g->label[l] - c, top = (fl_size)g->top[l] - c;
    if (top >= 0 && top < n) {
        if (base)
            grad[top] = (T)class_gradient(g, l, g->top[l], 1, base[top]);
        if (hess)
            hess[top] = (T)class_hessian_at_top(g, l);
    }
    if (g->label[l] >= 0 && label >= 0 && label < n)
        grad[label] = (T)class_gradient(g, l, g->label[l], label_exp, base ? base[label] : 0);
}

static void wide_gradient(wide_row *r, const row_group *g, const row_factors *f, int kept)
{
    const fl_rows_job *job = r->job;
    const fl_size n_classes = job->n_classes;
    const int l = r->lane;
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        fl_size label = (fl_size)g->label[l] - c;
        T *grad = r->grad ? r->grad + c : r->grad_chunk, *hess = NULL;
        const T *base = has_base(job) ? base_chunk(r, c, n) : NULL;
        if (!kept)
            exp_strips(row_chunk(r, c, n), n, r->split, grad, -1, NULL);
        if (job->hess.data)
            hess = r->hess ? r->hess + c : r->hess_chunk;
        T label_exp = g->label[l] >= 0 && label >= 0 && label < n ? grad[label] : 0;
        const int focal = job->op == FL_SOFTMAX_FOCAL;
        if (focal && hess)
            wide_focal_hessian(grad, n, f, l, hess);
        wide_derivatives(grad, base, n, f, l, grad, focal ? NULL : hess);
        if (focal)
            mend_focal_row(g, l, c, n, 1, grad, hess);
        else if (job->op == FL_CROSS_ENTROPY)
            mend_chunk(r, g, c, n, base, label_exp, grad, hess);
        if (!r->grad)
            view_write(&job->grad, r->start + c, n, grad);
        if (hess && !r->hess)
            view_write(&job->hess, r->start + c, n, hess);
    }
}

static void wide_log_softmax(wide_row *r, const row_group *g)
{
    const fl_size n_classes = r->job->n_classes;
    const T maximum = g->maximum[r->lane];
    T logs[LANES];
    group_logs(g, logs);
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        const T *x = row_chunk(r, c, n);
        T *y = r->grad ? r->grad + c : r->grad_chunk;
        for (fl_size i = 0; i < n; i++)
            y[i] = (x[i] - maximum) - logs[r->lane];
        if (!r->grad)
            view_write(&r->job->grad, r->start + c, n, y);
    }
}

static void zero_row(const fl_view *view, fl_size start, fl_size n_classes)
{
    T zeros[CHUNK] = {0}, *direct = view->data ? view_direct(view) : NULL;
    if (direct)
        memset(direct + start, 0, (size_t)n_classes * sizeof(T));
    else if (view->data)
        for (fl_size c = 0; c < n_classes; c += CHUNK)
            view_write(view, start + c, n_classes - c < CHUNK ? n_classes - c : CHUNK, zeros);
}

static void wide_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    const T *x = view_direct(&job->input);
    T *grad = job->grad.data ? view_direct(&job->grad) : NULL, *hess = job->hess.data ? view_direct(&job->hess) : NULL;
    /* The base passes through scratch, and so does what has no memory of type T to lie in. */
    const int logs_only = job->op == FL_LOG_SOFTMAX || job->op == FL_LOGSUMEXP;
    const int whole = x && !has_base(job) && (!job->grad.data || grad) && (!job->hess.data || hess);
    const int keep = grad && !logs_only;
    for (int l = 0; l < n; l++) {
        wide_row r;
        r.job = job;
        r.lane = l;
        r.start = (row + l) * job->n_classes;
        r.step = whole ? job->n_classes : CHUNK;
        r.x = x ? x + r.start : NULL;
        r.grad = grad ? grad + r.start : NULL;
        r.hess = hess ? hess + r.start : NULL;
        if (g->label[l] == SKIPPED) {
            zero_row(&job->grad, r.start, job->n_classes);
            zero_row(&job->hess, r.start, job->n_classes);
            continue;
        }
        if (g->label[l] >= 0)
            g->label_logit[l] = view_at(&job->input, r.start + g->label[l]);
        wide_statistics(&r, g, keep);
        if (job->op == FL_LOGSUMEXP && g->maximum[l] - g->maximum[l] != 0)
            infinite_logsumexp(&r, g);
        if (job->op == FL_SOFTMAX_FOCAL)
            focal_factors(job, g, l, l + 1);
        if (!job->grad.data)
            continue;
        if (job->op == FL_LOG_SOFTMAX)
            wide_log_softmax(&r, g);
        else {
            row_factors factors;
            load_factors(job, g, l, l + 1, &factors);
            wide_gradient(&r, g, &factors, keep);
        }
    }
}

#endif
