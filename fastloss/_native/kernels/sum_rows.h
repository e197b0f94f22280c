/* How rows are walked by the operations of sum_terms.h: narrow rows with rows as lanes, wide ones in chunks along the
 * classes; those that lie in columns are sum_columns.h's. */
#ifndef FASTLOSS_SUM_ROWS_H
#define FASTLOSS_SUM_ROWS_H

#include "sum_exact.h"

/* --- narrow rows --- */

FL_INLINE sum_constants narrow_constants(const sum_rows *s, int lane)
{
    return (sum_constants){v_load(s->offset + lane), v_load(s->offset_low + lane), v_set(s->shrink),
                           v_load(s->factor + lane), v_load(s->rescale + lane),    v_load(s->total + lane),
                           v_load(s->total_low + lane)};
}

/* Where the rows of the next group lie: they are fetched as the classes are walked (see narrow_exps). */
typedef struct {
    const T *x, *t;
} narrow_ahead;

/* The classes of WIDTH rows: their sums, without the term of the label if the operation has one. */
FL_INLINE void add_narrow_classes(int op, const T *x, const T *t, fl_size n_classes, vf label, const sum_constants *k,
                                  const narrow_ahead *ahead, vf sum[N_SUMS], vf error[N_SUMS])
{
    for (fl_size c = 0; c < n_classes; c++, x += LANES, t += is_margin(op) ? 0 : LANES) {
        v_prefetch(ahead->x + c * WIDTH);
        if (op == FL_PROBABILITY_CROSS_ENTROPY)
            v_prefetch(ahead->t + c * WIDTH);
        sum_parts p = sum_terms(op, v_load(x), is_margin(op) ? v_set(0) : v_load(t), k);
        for (int i = 0; i < n_sums(op); i++) {
            if (is_margin(op))
                p.term[i] = v_where_eq(label, v_set((T)c), v_set(0), p.term[i]);
            v_two_sum(&sum[i], &error[i], p.term[i]);
        }
    }
}

/* The same of the operations that sum_exact.h adds up. */
static void narrow_exact_sums(const fl_rows_job *job, fl_size row, const T *x, const T *t, row_group *g, sum_rows *s)
{
    const T *ahead = rows_ahead(&job->input, (row + g->lanes) * job->n_classes, x);
    for (int lane = 0; lane < g->lanes; lane += WIDTH, ahead += WIDTH * job->n_classes) {
        const fl_size first = tile_lanes(job->n_classes, lane);
        fl_sum sums[WIDTH];
        exact_sums_of_rows(job->op, x + first, t + first, job->n_classes, ahead, sums);
        for (int i = 0; i < WIDTH; i++)
            finish_sums(job, lane + i, (const fl_sum[N_SUMS]){sums[i]}, g, s);
    }
}

static void narrow_sums(const fl_rows_job *job, fl_size row, const T *x, const T *t, row_group *g, sum_rows *s)
{
    const fl_size next = (row + g->lanes) * job->n_classes;
    narrow_ahead ahead = {rows_ahead(&job->input, next, x), rows_ahead(&job->target, next, x)};
    for (int lane = 0; lane < g->lanes; lane += WIDTH) {
        const sum_constants k = narrow_constants(s, lane);
        const fl_size first = tile_lanes(job->n_classes, lane);
        vf sum[N_SUMS], error[N_SUMS];
        T labels[WIDTH], sums[N_SUMS][WIDTH], errors[N_SUMS][WIDTH];
        for (int i = 0; i < WIDTH; i++)
            labels[i] = (T)g->label[lane + i];
        for (int i = 0; i < N_SUMS; i++)
            sum[i] = error[i] = v_set(0);
        FOR_EACH_OP_WITH_TERMS(job->op, add_narrow_classes, x + first, t + first, job->n_classes, v_load(labels), &k,
                               &ahead, sum, error)
        ahead.x += WIDTH * job->n_classes;
        ahead.t += WIDTH * job->n_classes;
        for (int i = 0; i < N_SUMS; i++) {
            v_store(sums[i], sum[i]);
            v_store(errors[i], error[i]);
        }
        for (int i = 0; i < WIDTH; i++) {
            fl_sum of_row[N_SUMS];
            for (int j = 0; j < N_SUMS; j++)
                of_row[j] = (fl_sum){sums[j][i], errors[j][i]};
            finish_sums(job, lane + i, of_row, g, s);
        }
    }
}

/* From the classes of WIDTH rows to their gradient, in place, and Hessian. Meanwhile memory is fetched: what will be
 * written; but if there is a target, that of the next group. (With as much in the loop over sums as there is to read,
 * and the results here, 400000x10 took a fifth longer.) */
FL_INLINE void narrow_slopes(int op, T *x, const T *t, T *hess, fl_size n_classes, const sum_constants *k,
                             const T *fetched)
{
    for (fl_size at = 0; at < n_classes * LANES; at += LANES, fetched += WIDTH) {
        vf x_c = v_load(x + at);
        if (is_margin(op))
            v_prefetch_to_write(fetched);
        else
            v_prefetch(fetched);
        if (is_margin(op) && hess)
            v_store(hess + at, sum_curvature(op, x_c, k));
        const vf p = op == FL_LOG_SOFTMAX_GRAD ? v_exp_of_log(x_c) : v_set(0);
        v_store(x + at, sum_slope(op, x_c, p, is_margin(op) ? v_set(0) : v_load(t + at), k));
    }
}

static int has_curvatures(const fl_rows_job *job) { return is_margin(job->op) && job->hess.data; }

static void narrow_sum_group(const fl_rows_job *job, fl_size row, int n, row_group *g, sum_rows *s,
                             fl_rows_partial *partial)
{
    const int op = job->op, with_hess = has_curvatures(job);
    const fl_size n_classes = job->n_classes;
    FL_ALIGNED T x[TILE], t[TILE], hess[TILE];
    load_tile(&job->input, row, n, n_classes, g, x);
    if (!is_margin(op)) {
        const T *result = rows_ahead(&job->grad, row * n_classes, x);
        for (fl_size i = 0; i < g->lanes * n_classes; i += LANES)
            v_prefetch_to_write(result + i);
        load_tile(&job->target, row, n, n_classes, g, t);
    } else {
        for (int l = 0; l < g->lanes; l++)
            g->label_logit[l] = g->label[l] >= 0 ? x[tile_entry(n_classes, l, g->label[l])] : 0;
        margin_constants(job, g, s);
    }
    if (is_exact(op))
        narrow_exact_sums(job, row, x, t, g, s);
    else
        narrow_sums(job, row, x, t, g, s);
    if (op == FL_PROBABILITY_CROSS_ENTROPY)
        note_no_probabilities(job, row, 0, n, s, partial);
    if (op == FL_PROBABILITY_CROSS_ENTROPY || !job->grad.data)
        return;
    const T *fetched = is_margin(op) ? rows_ahead(&job->grad, row * n_classes, x)
                                     : rows_ahead(&job->target, (row + g->lanes) * n_classes, x);
    for (int lane = 0; lane < g->lanes; lane += WIDTH, fetched += WIDTH * n_classes) {
        const sum_constants k = narrow_constants(s, lane);
        const fl_size first = tile_lanes(n_classes, lane);
        T *curvatures = with_hess ? hess + first : NULL;
        FOR_EACH_OP_WITH_GRADIENT(op, narrow_slopes, x + first, t + first, curvatures, n_classes, &k, fetched)
    }
    for (int l = 0; l < g->lanes; l++)
        if (is_margin(op) && g->label[l] >= 0) {
            const fl_size label = tile_entry(n_classes, l, g->label[l]);
            x[label] = margin_label_gradient(job, g, s, l);
            if (with_hess)
                hess[label] = margin_label_hessian(job, g, s, l);
        }
    store_tile(job, &job->grad, row, n, g, x, NULL, NULL, NULL);
    if (with_hess)
        store_tile(job, &job->hess, row, n, g, hess, NULL, NULL, NULL);
}

/* --- wide rows --- */

FL_INLINE sum_constants wide_constants(const sum_rows *s, int l)
{
    return (sum_constants){v_set(s->offset[l]), v_set(s->offset_low[l]), v_set(s->shrink),
                           v_set(s->factor[l]), v_set(s->rescale[l]),    v_set(s->total[l]),   v_set(s->total_low[l])};
}

/* 0 beyond n and at `skip`. */
static FL_OUTLINE void clear_uncounted(T part[STRIP], fl_size n, fl_size skip)
{
    for (int i = 0; i < STRIP; i++)
        part[i] = i < n && i != skip ? part[i] : 0;
}

/* The terms of n <= STRIP elements, 0 beyond them and at `skip`. */
FL_INLINE void sum_part(int op, const T *x, const T *t, fl_size n, fl_size skip, const sum_constants *k,
                        vf terms[N_SUMS][4 * UNIT])
{
    T part[N_SUMS][STRIP];
    FL_LANEWISE
    for (fl_size i = 0; i < n; i += WIDTH) {
        const vf t_i = is_margin(op) ? v_set(0) : v_load_up_to(t + i, n - i, v_set(0));
        sum_parts p = sum_terms(op, v_load_up_to(x + i, n - i, v_set(0)), t_i, k);
        for (int j = 0; j < N_SUMS; j++)
            v_store(part[j] + i, p.term[j]);
    }
    for (int j = 0; j < n_sums(op); j++) {
        clear_uncounted(part[j], n, skip);
        for (int i = 0; i < 4 * UNIT; i++)
            terms[j][i] = v_load(part[j] + i * WIDTH);
    }
}

FL_INLINE void sum_strips(int op, const T *x, const T *t, fl_size n, fl_size skip, const sum_constants *k,
                          lane_sums sums[N_SUMS])
{
    for (fl_size i = 0; i < n; i += STRIP) {
        vf terms[N_SUMS][4 * UNIT];
        int whole = i + STRIP <= n, skipping = skip >= i && skip < i + STRIP;
        if (whole && !skipping)
            STRIP_LOOP
            for (int j = 0; j < 4 * UNIT; j++) {
                fl_size at = i + j * WIDTH;
                if (j % UNIT == 0)
                    fetch_sum_row(op, x + at, t ? t + at : x + at);
                sum_parts p = sum_terms(op, v_load(x + at), t ? v_load(t + at) : v_set(0), k);
                terms[0][j] = p.term[0];
                terms[1][j] = p.term[1];
                terms[2][j] = p.term[2];
            }
        else
            sum_part(op, x + i, t ? t + i : NULL, whole ? STRIP : n - i, skipping ? skip - i : -1, k, terms);
        for (int j = 0; j < n_sums(op); j++)
            add_strip(&sums[j], terms[j]);
    }
}

/* One row; its chunks of input and target. */
typedef struct {
    const fl_rows_job *job;
    const T *x, *t; /* all of their memory, or NULL */
    T *grad;
    fl_size start;
    FL_ALIGNED T x_chunk[CHUNK], t_chunk[CHUNK];
} sum_row;

static const T *input_chunk(sum_row *r, fl_size c, fl_size n)
{
    return chunk_of(&r->job->input, r->x, r->start + c, n, r->x_chunk);
}

static const T *target_chunk(sum_row *r, fl_size c, fl_size n)
{
    return is_margin(r->job->op) ? NULL : chunk_of(&r->job->target, r->t, r->start + c, n, r->t_chunk);
}

/* The sums of a row on its way through its chunks. */
typedef struct {
    lane_sums sums[N_SUMS];
    fl_sum totals[N_SUMS];
    product_sums products; /* in the place of both, where these are added up in double */
} sum_state;

static const sum_state NO_SUM_STATE;

/* Of n classes from c on, which lie at x and t. */
static FL_OUTLINE void sum_chunk(const fl_rows_job *job, const row_group *g, const sum_rows *s, int l, fl_size c,
                                 fl_size n, const T *x, const T *t, sum_state *state)
{
    const int op = job->op;
    if (adds_in_double(op)) {
        add_products_of_chunk(x, t, n, &state->products);
        if (c + n == job->n_classes)
            state->totals[0] = total_of_products(&state->products);
        return;
    }
    if (is_exact(op)) {
        add_exact_chunk(op, x, t, n, &state->sums[0]);
        if ((c + n) % FOLD == 0 || c + n == job->n_classes)
            fold_exactly(&state->totals[0], &state->sums[0]);
        return;
    }
    const sum_constants k = wide_constants(s, l);
    const fl_size skip = is_margin(op) ? (fl_size)g->label[l] - c : -1;
    FOR_EACH_OP_WITH_TERMS(op, sum_strips, x, t, n, skip, &k, state->sums)
    for (int i = 0; i < N_SUMS && ((c + n) % FOLD == 0 || c + n == job->n_classes); i++)
        fold(&state->totals[i], &state->sums[i]);
}

static void wide_sums(sum_row *r, int l, row_group *g, sum_rows *s)
{
    const fl_size n_classes = r->job->n_classes;
    sum_state state = NO_SUM_STATE;
    for (fl_size c = 0; c < n_classes; c += CHUNK) {
        const fl_size n = n_classes - c < CHUNK ? n_classes - c : CHUNK;
        sum_chunk(r->job, g, s, l, c, n, input_chunk(r, c, n), target_chunk(r, c, n), &state);
    }
    finish_sums(r->job, l, state.totals, g, s);
}

FL_INLINE void slopes_of_chunk(int op, const T *x, const T *t, fl_size n, const sum_constants *k, T *slopes,
                               T *curvatures)
{
    const vf zero = v_set(0);
    FL_ALIGNED T p[CHUNK]; /* in a loop of their own, as the stages of a long formula (formulas.h) */
    for (fl_size i = 0; i < n && op == FL_LOG_SOFTMAX_GRAD; i += WIDTH)
        v_store(p + i, v_exp_of_log(v_load_up_to(x + i, n - i, zero)));
    for (fl_size i = 0; i < n; i += WIDTH) {
        const vf x_i = v_load_up_to(x + i, n - i, zero), p_i = op == FL_LOG_SOFTMAX_GRAD ? v_load(p + i) : zero;
        if (i % LANES == 0)
            v_prefetch_on_to_write(slopes + i, 4096);
        const vf t_i = is_margin(op) ? zero : v_load_up_to(t + i, n - i, zero);
        v_store_up_to(slopes + i, n - i, sum_slope(op, x_i, p_i, t_i, k));
        if (is_margin(op) && curvatures)
            v_store(curvatures + i, sum_curvature(op, x_i, k));
    }
}

/* Gradient and Hessian (or NULL) of n classes from c on; x may be the gradient. `curvatures` is written up to the end
 * of a vector. */
static FL_OUTLINE void differentiate_chunk(const fl_rows_job *job, const row_group *g, const sum_rows *s, int l,
                                           fl_size c, fl_size n, const T *x, const T *t, T *slopes, T *curvatures)
{
    const sum_constants k = wide_constants(s, l);
    const fl_size label = (fl_size)g->label[l] - c;
    FOR_EACH_OP_WITH_GRADIENT(job->op, slopes_of_chunk, x, t, n, &k, slopes, curvatures)
    if (!is_margin(job->op) || label < 0 || label >= n)
        return;
    slopes[label] = margin_label_gradient(job, g, s, l);
    if (curvatures)
        curvatures[label] = margin_label_hessian(job, g, s, l);
}

static void wide_slopes(sum_row *r, const row_group *g, const sum_rows *s, int l)
{
    const fl_rows_job *job = r->job;
    const int with_hess = has_curvatures(job);
    for (fl_size c = 0; c < job->n_classes; c += CHUNK) {
        FL_ALIGNED T slope_chunk[CHUNK], curvatures[CHUNK];
        T *slopes = r->grad ? r->grad + r->start + c : slope_chunk;
        const fl_size n = job->n_classes - c < CHUNK ? job->n_classes - c : CHUNK;
        const T *x = input_chunk(r, c, n), *t = target_chunk(r, c, n);
        differentiate_chunk(job, g, s, l, c, n, x, t, slopes, with_hess ? curvatures : NULL);
        if (!r->grad)
            view_write(&job->grad, r->start + c, n, slopes);
        if (with_hess)
            view_write(&job->hess, r->start + c, n, curvatures);
    }
}

static void wide_labels(const fl_rows_job *job, fl_size row, int n, row_group *g, sum_rows *s)
{
    for (int l = 0; l < n; l++)
        if (g->label[l] >= 0)
            g->label_logit[l] = view_at(&job->input, (row + l) * job->n_classes + g->label[l]);
    if (is_margin(job->op))
        margin_constants(job, g, s);
}

/* Rows [first, last) of a group. */
static void wide_sum_rows(const fl_rows_job *job, fl_size row, int first, int last, row_group *g, sum_rows *s,
                          fl_rows_partial *partial)
{
    sum_row r;
    r.job = job;
    r.x = view_direct(&job->input);
    r.t = job->target.data ? view_direct(&job->target) : NULL;
    r.grad = job->grad.data ? view_direct(&job->grad) : NULL;
    for (int l = first; l < last; l++) {
        r.start = (row + l) * job->n_classes;
        if (g->label[l] == SKIPPED) {
            zero_row(&job->grad, r.start, job->n_classes);
            zero_row(&job->hess, r.start, job->n_classes);
            continue;
        }
        wide_sums(&r, l, g, s);
        if (job->op == FL_PROBABILITY_CROSS_ENTROPY)
            note_no_probabilities(job, row, l, l + 1, s, partial);
        else if (job->grad.data)
            wide_slopes(&r, g, s, l);
    }
}

#endif
