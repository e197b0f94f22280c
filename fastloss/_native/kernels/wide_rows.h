/* Rows of more than NARROW classes: the lanes run along the classes.
 *
 * A row of contiguous memory of type T is walked as a whole: maximum, exponentials (left in the gradient's memory)
 * and their sum, gradient; it is read from memory once and stays in the cache. So is one of float16 where the
 * processor converts it and nothing but these loops needs it, with the exponentials on the stack, or computed again
 * for the gradient where it is too long for that. Any other row is brought to the stack first, or, if too long, walked
 * in chunks of scratch; of rows that lie in columns, those of a line together (wide_lanes.h, wide_columns.h). All add
 * up in the same order.
 *
 * Short rows are mostly waiting: for the lanes of the maximum and of the sum to be brought together, for a division,
 * and after branches that no processor foresees. So the loop that finds the maximum also notes in which strip it is,
 * nothing branches on that, and what can be done for the whole group is not done for each row. */
#ifndef FASTLOSS_WIDE_ROWS_H
#define FASTLOSS_WIDE_ROWS_H

#include "wide_sums.h"

/* From exponentials, if they are `kept`, else from the classes themselves to gradient and Hessian. */
FL_INLINE void wide_derivatives(const wide_row *r, int kept, int focal, const row_base *base, const T *x, fl_size n,
                                const row_factors *f, void *grad, int grad_halves, T *hess)
{
    const int l = r->lane;
    const vf exp_factor = v_set(f->exp_factor[l]), base_factor = v_set(base ? f->base_factor[l] : 0);
    const vf low = v_set(base ? f->exp_factor_low[l] : 0);
    const vf inverse_sum = v_set(hess ? f->inverse_sum[l] : 0), hess_factor = v_set(hess ? f->hess_factor[l] : 0);
    const vf curvature = v_set(hess && focal ? f->curvature[l] : 0);
    for (fl_size i = 0; i < n; i += WIDTH) {
        const fl_size left = n - i;
        vf e = v_load_up_to(x + i, left, v_set(0));
        if (!kept) {
            e = v_exp_scaled(e, r->scale);
            if (i % LANES == 0)
                v_prefetch_to_write(r->results + i * r->results_step);
        }
        vf p = e * inverse_sum, slope = e * exp_factor;
        vf bend = focal ? p * (hess_factor * (v_set(1) - p) + curvature * p) : hess_factor * p * (v_set(1) - p);
        if (base)
            slope = v_base_slope(e, exp_factor, low, base_factor * v_base(base, i, left));
        v_store_classes(grad, grad_halves, i, left, slope);
        if (hess)
            v_store_up_to(hess + i, left, bend);
    }
}

/* The gradient alone of float16 whose exponentials have not been kept. */
static FL_OUTLINE void derivatives_of_halves(const wide_row *r, const char *x, fl_size n, const row_factors *f,
                                             char *grad)
{
    const vf exp_factor = v_set(f->exp_factor[r->lane]);
    const exp_scale scale = r->scale;
    fl_size i = 0;
    for (; i + STRIP <= n; i += STRIP) {
        vf e[4 * UNIT];
        v_prefetch_to_write(r->results + i * r->results_step);
        v_prefetch_to_write(r->results + i * r->results_step + 64);
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            e[k] = v_load_halves(x + 2 * (i + k * WIDTH), WIDTH, v_set(0));
        v_exps_scaled(e, 4 * UNIT, scale, e);
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            v_store_halves(grad + 2 * (i + k * WIDTH), WIDTH, e[k] * exp_factor);
    }
    for (; i < n; i += WIDTH) {
        const vf e = v_load_halves(x + 2 * i, n - i, v_set(0));
        v_store_halves(grad + 2 * i, n - i, v_exp_scaled(e, scale) * exp_factor);
    }
}

/* Label and maximum, if they lie in the chunk: see class_gradient. */
static void mend_chunk(const wide_row *r, const row_group *g, const row_factors *f, fl_size c, fl_size n,
                       const row_base *base, T *grad, T *hess)
{
    const int l = r->lane;
    const fl_size label = (fl_size)g->label[l] - c, top = (fl_size)g->top[l] - c;
    if (top >= 0 && top < n) {
        if (base)
            grad[top] = (T)class_gradient(g, l, g->top[l], 1, base_at(base, top), f->ratio[l], f->ratio_low[l]);
        if (hess)
            hess[top] = (T)class_hessian_at_top(g, l);
    }
    if (g->label[l] < 0 || label < 0 || label >= n)
        return;
    if (base)
        grad[label] = (T)class_gradient(g, l, g->label[l], g->label_exp[l], base_at(base, label), f->ratio[l],
                                        f->ratio_low[l]);
    else
        grad[label] = (T)label_slope(g, l, f->ratio[l]);
}

/* The probability of the maximum, if its strip lies in the chunk: a product of two rounded numbers might be 1.0000001,
 * or not quite 1 where a class is certain. Not of several maxima, which are to be equal wherever they are. */
static void mend_probabilities(const wide_row *r, const row_factors *f, fl_size c, fl_size n, T *p, char *halves)
{
    const T product = r->top_exp[r->lane] * f->exp_factor[r->lane], rounded_once = (T)f->ratio[r->lane];
    const fl_size start = r->top_start[r->lane] - c, end = start + STRIP < n ? start + STRIP : n;
    if (start < 0 || !(rounded_once > (T)0.5))
        return;
    for (fl_size i = start; !halves && i < end; i++)
        p[i] = p[i] == product ? rounded_once : p[i];
    if (!FL_CONVERTS_HALVES || !halves)
        return;
    uint16_t half_product, half, at; /* no other class has so much, even of float16 */
    v_store_halves((char *)&half_product, 1, v_set(product));
    v_store_halves((char *)&half, 1, v_set(rounded_once));
    for (fl_size i = start; i < end; i++) {
        memcpy(&at, halves + 2 * i, 2);
        memcpy(halves + 2 * i, at == half_product ? &half : &at, 2);
    }
}

/* Gradient and Hessian (or NULL) of n classes from c on. x is where they lie, or, if they are kept, their exponentials,
 * or NULL if they are float16. */
static FL_OUTLINE void gradient_of_chunk(wide_row *r, const row_group *g, const row_factors *f, fl_size c, fl_size n,
                                         const T *x, T *grad, T *hess)
{
    const fl_rows_job *job = r->job;
    const int kept = r->keep;
    char *halves = grad_halves(r) ? grad_halves(r) + 2 * (r->start + c) : NULL;
    row_base base_terms, *base = NULL;
    select_scale(r);
    r->results = results_from(r, r->start + c);
    if (has_base(job)) {
        base_terms = base_chunk(r, c, n);
        base = &base_terms;
    }
    if (job->op == FL_SOFTMAX_FOCAL)
        wide_derivatives(r, kept, 1, NULL, x, n, f, grad, 0, hess);
    else if (hess)
        wide_derivatives(r, kept, 0, base, x, n, f, grad, 0, hess);
    else if (base)
        wide_derivatives(r, kept, 0, base, x, n, f, grad, 0, NULL);
    else if (kept && halves)
        wide_derivatives(r, 1, 0, NULL, x, n, f, halves, 1, NULL);
    else if (kept)
        wide_derivatives(r, 1, 0, NULL, x, n, f, grad, 0, NULL);
    else if (halves)
        derivatives_of_halves(r, x_halves(r) + 2 * c, n, f, halves);
    else
        wide_derivatives(r, 0, 0, NULL, x, n, f, grad, 0, NULL);
    if (job->op == FL_SOFTMAX_FOCAL)
        mend_focal_row(g, r->lane, c, n, 1, grad, hess);
    else if (job->op == FL_CROSS_ENTROPY && !halves)
        mend_chunk(r, g, f, c, n, base, grad, hess);
    else if (job->op == FL_SOFTMAX)
        mend_probabilities(r, f, c, n, grad, halves);
}

static void wide_gradient(wide_row *r, const row_group *g, const row_factors *f)
{
    const fl_rows_job *job = r->job;
    const fl_size n_classes = job->n_classes;
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        T *grad = r->grad ? r->grad + c : r->stage, *hess = NULL;
        if (job->hess.data)
            hess = r->hess ? r->hess + c : r->hess_chunk;
        gradient_of_chunk(r, g, f, c, n, r->keep ? grad : x_halves(r) ? NULL : row_chunk(r, c, n), grad, hess);
        if (!r->grad && !grad_halves(r))
            view_write(&job->grad, r->start + c, n, grad);
        if (hess && !r->hess)
            view_write(&job->hess, r->start + c, n, hess);
    }
    if (grad_halves(r) && g->label[r->lane] >= 0) {
        const vf slope = v_set((T)label_slope(g, r->lane, f->ratio[r->lane]));
        v_store_halves(grad_halves(r) + 2 * (r->start + g->label[r->lane]), 1, slope);
    }
}

FL_INLINE void log_softmax_of_chunk(const T *x, fl_size n, T maximum, T log, T *y)
{
    for (fl_size i = 0; i < n; i++)
        y[i] = (x[i] - maximum) - log;
}

static void wide_log_softmax(wide_row *r, const row_group *g, T log)
{
    const fl_size n_classes = r->job->n_classes;
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        T *y = r->grad ? r->grad + c : r->stage;
        log_softmax_of_chunk(row_chunk(r, c, n), n, g->maximum[r->lane], log, y);
        if (!r->grad)
            view_write(&r->job->grad, r->start + c, n, y);
    }
}

static void zero_row(const fl_view *view, fl_size start, fl_size n_classes)
{
    static const T zeros[CHUNK];
    T *direct = view->data ? view_direct(view) : NULL;
    if (direct)
        memset(direct + start, 0, (size_t)n_classes * sizeof(T));
    else if (view->data)
        for (fl_size c = 0; c < n_classes; c += CHUNK)
            view_write(view, start + c, n_classes - c < CHUNK ? n_classes - c : CHUNK, zeros);
}

/* Where the arrays of a job lie, if it can be used there. What has no memory of type T to lie in passes through
 * scratch. */
static wide_row open_rows(const fl_rows_job *job)
{
    wide_row r;
    r.job = job;
    r.input = view_direct(&job->input);
    r.all_grad = job->grad.data ? view_direct(&job->grad) : NULL;
    r.all_hess = job->hess.data ? view_direct(&job->hess) : NULL;
    r.target = job->target.data ? view_direct(&job->target) : NULL;
    r.weight = job->weight.data ? view_direct(&job->weight) : NULL;
    /* Where nothing needs the classes in type T, and the gradient can be written as they are walked. */
    const int walks = FL_CONVERTS_HALVES && (job->op == FL_CROSS_ENTROPY || job->op == FL_SOFTMAX) && !has_base(job) &&
                      !job->hess.data;
    r.grad_halves = walks && job->grad.data ? view_halves(&job->grad) : NULL;
    r.input_halves = walks && (!job->grad.data || r.grad_halves) ? view_halves(&job->input) : NULL;
    const int base_lies = !has_base(job) || ((!job->target.data || r.target) && (!job->weight.data || r.weight));
    const int rest_lies = base_lies && (!job->hess.data || r.all_hess);
    const int can_stage = job->n_classes <= STAGE && rest_lies;
    r.stage_input = !r.input && !r.input_halves && can_stage;
    r.stage_grad = job->grad.data && !r.all_grad && can_stage;
    if (!r.stage_grad && !r.input_halves)
        r.grad_halves = NULL;
    const int has_x = r.input || r.input_halves || r.stage_input, has_grad = r.all_grad || r.stage_grad;
    const int whole = has_x && (!job->grad.data || has_grad || r.grad_halves) && rest_lies;
    r.step = whole ? job->n_classes : rest_lies ? STAGE : CHUNK;
    r.ahead_step = job->input.ndim == 1 ? job->input.strides[0] : 0;
    r.target_piece = NULL;
    r.keep = has_grad && job->op != FL_LOG_SOFTMAX && job->op != FL_LOGSUMEXP;
    /* Exponentials are kept one after the other, which a processor that fetches by itself sees coming. */
    const int fetches = fl_fetches_ahead || !r.keep;
    r.results_step = fetches && job->grad.data && job->grad.ndim == 1 ? job->grad.strides[0] : 0;
    return r;
}

/* The same where all of them pass through the stage, so many classes at a time. */
static wide_row open_pieces(const fl_rows_job *job, fl_size step)
{
    wide_row r = open_rows(job);
    r.keep = r.stage_input = r.stage_grad = 0;
    r.input_halves = r.grad_halves = NULL;
    r.step = r.next = step;
    return r;
}

/* How far apart rows lie in `stage`: each begins a line, for vectors across two lines cost twice as much. */
static fl_size staged_length(const fl_rows_job *job) { return (job->n_classes + LANES - 1) / LANES * LANES; }

static T *staged_row(wide_row *r, int l) { return r->stage + (l - r->staged) * staged_length(r->job); }

static void select_row(wide_row *r, fl_size row, int l)
{
    r->lane = l;
    r->start = (row + l) * r->job->n_classes;
    T *stage = r->stage_input || r->stage_grad ? staged_row(r, l) : NULL;
    r->x = r->input ? r->input + r->start : r->stage_input ? stage : NULL;
    r->x_halves = r->input_halves ? r->input_halves + 2 * r->start : NULL;
    r->grad = r->all_grad ? r->all_grad + r->start : r->stage_grad ? stage : NULL;
    r->hess = r->all_hess ? r->all_hess + r->start : NULL;
}

static T class_at(const wide_row *r, fl_size c)
{
    uint16_t half;
    if (r->x)
        return r->x[c];
    if (!x_halves(r))
        return view_at(&r->job->input, r->start + c);
    memcpy(&half, x_halves(r) + 2 * c, sizeof half);
    return value_of_f16(half);
}

static void label_exponentials(int first, int last, row_group *g)
{
    for (int l = first; l < last; l += WIDTH) {
        const maximum_split split = v_split_maximum(v_load_up_to(g->maximum + l, last - l, v_set(0)));
        const vf label_logit = v_load_up_to(g->label_logit + l, last - l, v_set(0));
        v_store_up_to(g->label_exp + l, last - l, v_exp_below(label_logit, split));
    }
}

/* Label and maximum of rows [first, last) of the group, then their sums. */
static void statistics_of_rows(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    const fl_rows_job *job = r->job;
    for (int l = first; l < last; l++) {
        select_row(r, row, l);
        if (r->stage_input && g->label[l] != SKIPPED)
            view_read(&job->input, r->start, job->n_classes, staged_row(r, l));
        if (g->label[l] >= 0)
            g->label_logit[l] = class_at(r, g->label[l]);
        if (g->label[l] != SKIPPED)
            row_maximum(r, &g->maximum[l], &g->top[l]);
    }
    scale_rows(r, first, last, g);
    for (int l = first; l < last; l++)
        if (g->label[l] != SKIPPED) {
            select_row(r, row, l);
            wide_statistics(r, g);
        }
    label_exponentials(first, last, g);
}

static void derivatives_of_rows(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    const fl_rows_job *job = r->job;
    T logs[GROUP];
    row_factors factors;
    if (job->op == FL_LOG_SOFTMAX)
        group_logs(g, logs);
    else
        load_factors(job, g, first, last, &factors);
    for (int l = first; l < last; l++) {
        select_row(r, row, l);
        if (g->label[l] == SKIPPED) {
            zero_row(&job->grad, r->start, job->n_classes);
            zero_row(&job->hess, r->start, job->n_classes);
        } else if (job->op == FL_LOG_SOFTMAX)
            wide_log_softmax(r, g, logs[l]);
        else
            wide_gradient(r, g, &factors);
        if (r->stage_grad && !grad_halves(r) && g->label[l] != SKIPPED)
            view_write(&job->grad, r->start, job->n_classes, r->grad);
    }
}

/* Of more logits than these, which with their gradient no cache holds, a processor that fetches by itself (types.h)
 * does so best where few rows pass through each step: 16384x1000 took an eighth less time; in the cache 1024x1000 an
 * eighth more. */
enum { FAR_LOGITS = FAR_BYTES / (2 * (int)sizeof(T)) };

/* Several short rows pass through each step together: while the sums of one wait for the lanes to be brought together,
 * the next can begin. They stay in the first cache. */
static FL_OUTLINE void wide_rows(const fl_rows_job *job, fl_size row, int from, int to, row_group *g)
{
    wide_row r = open_rows(job);
    /* With half as much again the costs of each step are shared by more rows (1 to 5 %), with twice as much some did
     * not stay in the cache (3162 classes: 3 % more). */
    fl_size room = r.stage_input || r.stage_grad ? STAGE : STAGE * 3 / 2;
    if (!fl_fetches_ahead && r.input && r.all_grad && job->n_rows * job->n_classes > FAR_LOGITS)
        room = STAGE / 4;
    const int together = job->n_classes > room ? 1 : (int)(room / staged_length(job));
    r.next = r.step == job->n_classes ? together * job->n_classes : r.step;
    for (int first = from; first < to; first += together) {
        const int last = to - first < together ? to : first + together;
        r.staged = first;
        statistics_of_rows(&r, row, first, last, g);
        if (job->op == FL_SOFTMAX_FOCAL)
            focal_factors(job, g, first, last);
        if (job->grad.data)
            derivatives_of_rows(&r, row, first, last, g);
    }
}

#endif
