/* Rows of more than NARROW classes: the lanes run along the classes.
 *
 * A row of contiguous memory of type T is walked as a whole: maximum, exponentials (left in the gradient's memory)
 * and their sum, gradient; it is read from memory once and stays in the cache. So is one of float16 where the processor
 * converts it and nothing but these loops needs it, with the exponentials on the stack, or computed again for the
 * gradient where it is too long for that. Any other row is brought to the stack first, or, if too long, walked in chunks
 * of scratch. All add up in the same order.
 *
 * Short rows are mostly waiting: for the lanes of the maximum and of the sum to be brought together, for a division, and
 * after branches that no processor foresees. So the loop that finds the maximum also notes in which strip it is, nothing
 * branches on that, and what can be done for the whole group is not done for each row. */
#ifndef FASTLOSS_WIDE_ROWS_H
#define FASTLOSS_WIDE_ROWS_H

#include "narrow_rows.h"

/* Four units are added pairwise before they enter a compensated sum: long runs of equal terms would otherwise drift by
 * a quarter ULP a term. */
enum { STRIP = 4 * LANES };

/* What fits on the stack: a row, or several short ones, that cannot be used where they lie. 16 kB. */
enum { STAGE = 16384 / (int)sizeof(T) };

/* The largest entry of each lane, NaN being passed over, and minus the number of the first strip that has it. */
typedef struct {
    vf maximum[UNIT], strip[UNIT];
} lane_maxima;

FL_INLINE void add_strip_maximum(lane_maxima *m, const vf largest[UNIT], fl_size number)
{
    FL_UNROLL
    for (int k = 0; k < UNIT; k++) {
        m->strip[k] = v_where_lt(m->maximum[k], largest[k], v_set(-(T)number), m->strip[k]);
        m->maximum[k] = v_max(largest[k], m->maximum[k]);
    }
}

/* Classes [i, i + n), up to a vector of them, of a row of float16 or of type T. `halves` is a constant in every loop. */
FL_INLINE vf v_load_classes(const void *x, int halves, fl_size i, fl_size n, vf rest)
{
    return halves ? v_load_halves((const char *)x + 2 * i, n, rest) : v_load_up_to((const T *)x + i, n, rest);
}

FL_INLINE void v_store_classes(void *to, int halves, fl_size i, fl_size n, vf v)
{
    if (halves)
        v_store_halves((char *)to + 2 * i, n, v);
    else
        v_store_up_to((T *)to + i, n, v);
}

/* Where they lie. */
FL_INLINE const void *classes_at(const void *x, int halves, fl_size i)
{
    return (const char *)x + i * (halves ? 2 : (fl_size)sizeof(T));
}

/* The largest of n entries; *strip is the first that has it. */
FL_INLINE T find_maximum(const void *x, int halves, fl_size n, fl_size *strip)
{
    const vf least = v_set((T)-INFINITY);
    lane_maxima m;
    vf largest[UNIT];
    fl_size i = 0;
    for (int k = 0; k < UNIT; k++) {
        m.maximum[k] = least;
        m.strip[k] = v_set(0);
    }
    for (; i + STRIP <= n; i += STRIP) {
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            largest[k % UNIT] = v_max(v_load_classes(x, halves, i + k * WIDTH, WIDTH, least),
                                      k < UNIT ? least : largest[k % UNIT]);
        add_strip_maximum(&m, largest, i / STRIP);
    }
    if (i < n) {
        for (int k = 0; k < UNIT; k++)
            largest[k] = least;
        for (fl_size at = i; at < n; at += WIDTH)
            largest[0] = v_max(v_load_classes(x, halves, at, n - at, least), largest[0]);
        add_strip_maximum(&m, largest, i / STRIP);
    }
    vf maximum = m.maximum[0], first = least;
    for (int k = 1; k < UNIT; k++)
        maximum = v_max(m.maximum[k], maximum);
    const T result = v_largest_lane(maximum);
    for (int k = 0; k < UNIT; k++)
        first = v_max(v_where_eq(m.maximum[k], v_set(result), m.strip[k], least), first);
    *strip = (fl_size)-v_largest_lane(first);
    return result;
}

/* The first of n entries that equals the maximum, which none exceeds, or -1. */
static fl_size find_equal(const T *x, fl_size n, T maximum)
{
    enum { STEP = 4 * WIDTH };
    fl_size i = 0;
    for (; i + STEP <= n; i += STEP) {
        vf largest = v_set((T)-INFINITY);
        FL_UNROLL
        for (int k = 0; k < STEP; k += WIDTH)
            largest = v_max(v_load(x + i + k), largest);
        if (v_find(largest, v_set(maximum)) >= 0)
            break;
    }
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

/* After so many classes the lanes' sums go home to double: over a row of millions their errors would grow until they round
 * themselves. A multiple of every chunk. */
enum { FOLD = 65536 };

FL_INLINE void fold(fl_sum *total, lane_sums *lanes)
{
    const fl_sum sum = sum_lanes(lanes->sum, lanes->error);
    fl_add(total, sum.hi);
    total->lo += sum.lo;
    *lanes = NO_SUMS;
}

/* The strip in which a row's maximum lies. What is added up over the row leaves one maximum out; with this copy, which
 * has none, in the place of the strip, no other strip need compare, and no branch depend on where it is. */
typedef struct {
    FL_ALIGNED T x[STRIP], ones[STRIP]; /* the classes as they lie in the row, but -inf for the maximum and beyond the
                                         * row; 1 for the maximum */
    int ties;                           /* how many have the maximum, if that is a number */
} top_strip;

/* The rows of a job, and one of them on its way through the passes. */
typedef struct {
    /* input, exponentials or gradient of a chunk of classes, if they do not lie in memory of type T */
    FL_ALIGNED T stage[STAGE];
    T target_chunk[CHUNK], weight_chunk[CHUNK], hess_chunk[CHUNK];
    const fl_rows_job *job;
    const T *input, *target, *weight; /* all of their memory, or NULL */
    T *all_grad, *all_hess;
    char *input_halves, *grad_halves; /* the same of float16, where it is converted on the way */
    int keep; /* the exponentials, in the gradient's memory */
    int stage_input, stage_grad; /* they lie in `stage`, which begins with row `staged` of the group */
    int staged;
    fl_size step;  /* classes a chunk */
    fl_size next;  /* how far ahead to fetch input */
    const char *ahead; /* what to fetch while a chunk is added up */
    fl_size ahead_step; /* bytes a class */
    char *results; /* the memory of the gradient, to be fetched too before it is written */
    fl_size results_step; /* bytes a class; 0 if there is none, or it is not contiguous */
    int lane;
    fl_size start; /* of the row in the flat views */
    const T *x;    /* its memory, or NULL */
    const char *x_halves;
    T *grad, *hess;
    maximum_split split;
    vf maximum;
    top_strip top;
} wide_row;

/* Where the processor does not convert float16, the compiler is to know that these are NULL. */
FL_INLINE const char *x_halves(const wide_row *r) { return FL_CONVERTS_HALVES ? r->x_halves : NULL; }
FL_INLINE char *grad_halves(const wide_row *r) { return FL_CONVERTS_HALVES ? r->grad_halves : NULL; }

/* n elements of a view, where they lie if they may be read there. */
static const T *chunk_of(const fl_view *view, const T *direct, fl_size start, fl_size n, T *scratch)
{
    if (direct)
        return direct + start;
    view_read(view, start, n, scratch);
    return scratch;
}

static const T *row_chunk(wide_row *r, fl_size c, fl_size n)
{
    return r->x ? r->x + c : chunk_of(&r->job->input, NULL, r->start + c, n, r->stage);
}

/* What the target spreads over the classes of a chunk: weight (kept target + uniform), of which weight and target
 * may be missing. */
typedef struct {
    const T *target, *weight;
    vf kept, uniform;
} row_base;

static row_base base_chunk(wide_row *r, fl_size c, fl_size n)
{
    const fl_rows_job *job = r->job;
    row_base base = {NULL, NULL, v_set((T)(1 - job->smoothing)), v_set((T)(job->smoothing / (double)job->n_classes))};
    if (job->target.data)
        base.target = chunk_of(&job->target, r->target, r->start + c, n, r->target_chunk);
    if (job->weight.data)
        base.weight = chunk_of(&job->weight, r->weight, c, n, r->weight_chunk);
    return base;
}

/* Of classes [i, i + n) of the chunk; 0 in the lanes from n on. */
FL_INLINE vf v_base(const row_base *base, fl_size i, fl_size n)
{
    vf b = base->uniform;
    if (base->target)
        b = v_load_up_to(base->target + i, n, v_set(0)) * base->kept + b;
    if (base->weight)
        b = v_load_up_to(base->weight + i, n, v_set(0)) * b;
    return v_first_lanes(b, n, v_set(0));
}

static T base_at(const row_base *base, fl_size i)
{
    T lanes[WIDTH];
    v_store(lanes, v_base(base, i, 1));
    return lanes[0];
}

/* What is added up over a row. */
typedef struct {
    lane_sums exp; /* of all classes but one maximum or, if the target spreads something, all maxima; then also */
    lane_sums base, distance;      /* base of all classes but the maxima; base (maximum - x) of all, */
    vf ties[UNIT], base_top[UNIT]; /* how many maxima there are, and their bases */
} row_sums;

static const row_sums NO_ROW_SUMS;

/* What a loop over classes needs of its row, in variables of the loop: what lies in wide_row might have been written to
 * through a pointer to results, and would be read again for every vector. */
typedef struct {
    maximum_split split;
    vf maximum;
    const char *ahead, *results; /* what to fetch with the first strip */
    fl_size ahead_step, results_step; /* bytes a class */
} row_constants;

/* Adds what the target spreads over a strip, and takes its maxima out of the exponentials. */
FL_INLINE void add_base(row_sums *s, vf maximum, const row_base *base, const vf x[4 * UNIT], fl_size i, fl_size n,
                        vf e[4 * UNIT])
{
    vf b[4 * UNIT], distance[4 * UNIT];
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++) {
        const fl_size left = n - k * WIDTH;
        b[k] = distance[k] = v_set(0);
        if (left <= 0)
            continue;
        b[k] = v_base(base, i + k * WIDTH, left);
        distance[k] = v_where_eq(b[k], v_set(0), v_set(0), b[k] * (maximum - x[k])); /* 0 * inf counts 0 */
        s->base_top[k % UNIT] = s->base_top[k % UNIT] + v_where_eq(x[k], maximum, b[k], v_set(0));
        b[k] = v_where_eq(x[k], maximum, v_set(0), b[k]);
        e[k] = v_where_eq(x[k], maximum, v_set(0), e[k]);
        s->ties[k % UNIT] = v_where_eq(x[k], maximum, s->ties[k % UNIT] + v_set(1), s->ties[k % UNIT]);
    }
    add_strip(&s->base, b);
    add_strip(&s->distance, distance);
}

/* Adds the classes [i, i + n) of a chunk, `together` vectors at a time; n is the constant STRIP for all strips but the
 * last. They lie at x, and their exponentials go to `to`. */
FL_INLINE void add_classes(lane_sums *exp, row_sums *s, const row_constants *r, const row_base *base, int together,
                           const void *x, int halves, fl_size i, fl_size n, T *to)
{
    vf logits[4 * UNIT], e[4 * UNIT];
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++) {
        const fl_size left = n - k * WIDTH;
        e[k] = v_set(0);
        logits[k] = v_set((T)-INFINITY);
        if (left <= 0)
            continue;
        if (k % UNIT == 0) { /* constant offsets cost no instruction: where classes are narrower than T, some in vain */
            v_prefetch(r->ahead + i * r->ahead_step + k * VECTOR_BYTES);
            v_prefetch_to_write(r->results + i * r->results_step + k * VECTOR_BYTES);
        }
        logits[k] = v_load_classes(x, halves, k * WIDTH, left, logits[k]);
    }
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k += together)
        if (n > k * WIDTH)
            v_exps_below(logits + k, together, r->split, e + k);
    FL_UNROLL
    for (int k = 0; k < 4 * UNIT; k++)
        if (n > k * WIDTH)
            v_store_up_to(to + k * WIDTH, n - k * WIDTH, e[k]);
    if (base)
        add_base(s, r->maximum, base, logits, i, n, e);
    add_strip(exp, e);
}

/* n classes of a chunk. `top` is the first class of the strip of the maximum, if it lies in the chunk. */
FL_INLINE void add_stretch(row_sums *s, const wide_row *r, const row_base *base, const void *x, int halves, fl_size n,
                           fl_size top, T *to)
{
    const row_constants row = {r->split, r->maximum, r->ahead, r->results, r->ahead_step, r->results_step};
    const void *const top_x = r->top.x;
    T nowhere[STRIP];
    const fl_size step = to ? 1 : 0;
    lane_sums exp = s->exp;
    fl_size i = 0;
    to = to ? to : nowhere;
    for (; i + STRIP <= n; i += STRIP)
        add_classes(&exp, s, &row, base, MOST_EXPS, i == top && !base ? top_x : classes_at(x, halves, i), halves, i, STRIP,
                    to + i * step);
    if (i < n)
        add_classes(&exp, s, &row, base, 1, i == top && !base ? top_x : classes_at(x, halves, i), halves, i, n - i,
                    to + i * step);
    s->exp = exp;
}

/* By themselves, because their registers do not suffice for more. */
static FL_OUTLINE void add_plain_stretch(row_sums *s, const wide_row *r, const T *x, fl_size n, fl_size top, T *to)
{
    add_stretch(s, r, NULL, x, 0, n, top, to);
}

static FL_OUTLINE void add_stretch_of_halves(row_sums *s, const wide_row *r, const char *x, fl_size n, fl_size top, T *to)
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

/* How many classes are searched together for a maximum: strips are numbered in T. */
enum { PIECE = 1 << 20 };

static fl_size piece_of(const wide_row *r) { return r->step < PIECE ? r->step : PIECE; }

/* The largest class, and the first of the strip in which it lies. */
static T row_maximum(wide_row *r, int64_t *start)
{
    const fl_size n_classes = r->job->n_classes, piece = piece_of(r);
    T maximum = (T)-INFINITY;
    *start = 0;
    for (fl_size c = 0; c < n_classes; c += piece) {
        fl_size n = n_classes - c < piece ? n_classes - c : piece, strip;
        const T largest = x_halves(r) ? find_maximum(x_halves(r) + 2 * c, 1, n, &strip)
                                      : find_maximum(row_chunk(r, c, n), 0, n, &strip);
        *start = largest > maximum ? c + strip * STRIP : *start;
        maximum = largest > maximum ? largest : maximum;
    }
    return maximum;
}

/* The first class from `first` on that is the maximum, or -1. */
static fl_size next_top(wide_row *r, T maximum, fl_size first)
{
    const fl_size n_classes = r->job->n_classes, piece = piece_of(r);
    for (fl_size c = first / piece * piece; c < n_classes; c += piece) {
        fl_size n = n_classes - c < piece ? n_classes - c : piece, skip = first > c ? first - c : 0;
        fl_size top = find_equal(row_chunk(r, c, n) + skip, n - skip, maximum);
        if (top >= 0)
            return c + skip + top;
    }
    return -1;
}

/* Its n classes, which begin at x. */
FL_INLINE void copy_strip(top_strip *top, const void *x, int halves, fl_size n, vf maximum)
{
    const vf least = v_set((T)-INFINITY);
    top->ties = 0;
    FL_UNROLL
    for (fl_size k = 0; k < STRIP; k += WIDTH) {
        const vf v = n > k ? v_load_classes(x, halves, k, n - k, least) : least;
        v_store_classes(top->x, halves, k, WIDTH, v_where_eq(v, maximum, least, v));
        v_store(top->ones + k, v_where_eq(v, maximum, v_set(1), v_set(0)));
        top->ties += v_count_eq(v, maximum);
    }
}

/* Before the exponentials, which may overwrite it. */
static void copy_top_strip(wide_row *r, vf maximum, fl_size start)
{
    const fl_size left = r->job->n_classes - start, n = left < STRIP ? left : STRIP;
    if (x_halves(r))
        copy_strip(&r->top, x_halves(r) + 2 * start, 1, n, maximum);
    else
        copy_strip(&r->top, row_chunk(r, start, n), 0, n, maximum);
}

/* The exponentials of the maxima, into a chunk of n. */
static void mend_top_strip(const top_strip *top, fl_size n, T *to)
{
    n = n < STRIP ? n : STRIP;
    for (fl_size k = 0; k < n; k += WIDTH)
        v_store_up_to(to + k, n - k, v_load_up_to(to + k, n - k, v_set(0)) + v_load(top->ones + k));
}

/* The sums of a row, into its lane of the group. */
static void store_statistics(const wide_row *r, const row_sums *s, row_totals *totals, row_group *g)
{
    const int l = r->lane, with_base = has_base(r->job);
    if (r->job->n_classes <= FOLD) {
        totals->exp = sum_lanes(s->exp.sum, s->exp.error);
        if (with_base) {
            totals->base = sum_lanes(s->base.sum, s->base.error);
            totals->distance = sum_lanes(s->distance.sum, s->distance.error);
            totals->ties = plain_sum(s->ties);
            totals->base_top = plain_sum(s->base_top);
        }
    }
    /* All maxima but one are among the others: those that are not in the sum add 1 each. */
    const double ties = with_base ? totals->ties : r->top.ties;
    g->distance[l] = (double)g->maximum[l] - (double)g->label_logit[l];
    g->others[l] = totals->exp.hi + (totals->exp.lo + (ties - 1));
    g->others[l] += (double)(g->maximum[l] - g->maximum[l]); /* a row whose maximum is infinite is NaN */
    if (with_base) {
        g->base_top[l] = totals->base_top;
        g->base_others[l] = fl_total(totals->base);
        g->base_distance[l] = fl_total(totals->distance);
        g->total[l] = g->own[l] + (g->base_top[l] + g->base_others[l]);
    }
}

static void wide_statistics(wide_row *r, row_group *g)
{
    const fl_rows_job *job = r->job;
    const fl_size n_classes = job->n_classes, strip = (fl_size)g->top[r->lane];
    const int with_base = has_base(job);
    const fl_size step = r->step < FOLD ? r->step : FOLD;
    const T maximum = g->maximum[r->lane];
    row_sums s;
    row_totals totals = {{0, 0}, {0, 0}, {0, 0}, 0, 0};
    r->maximum = v_set(maximum);
    r->split = v_split_maximum(r->maximum);
    s.exp = NO_SUMS;
    if (with_base)
        s = NO_ROW_SUMS;
    else
        copy_top_strip(r, r->maximum, strip);
    g->top[r->lane] = -1;
    if (with_base || job->hess.data || job->op == FL_SOFTMAX_FOCAL) {
        const fl_size top = next_top(r, maximum, strip);
        g->top[r->lane] = next_top(r, maximum, top + 1) < 0 ? top : -1;
    }
    for (fl_size c = 0; c < n_classes; c += step) {
        fl_size n = n_classes - c < step ? n_classes - c : step;
        const T *x = x_halves(r) ? NULL : row_chunk(r, c, n);
        T *to = r->keep ? r->grad + c : NULL;
        r->ahead = job->input.data + (r->start + c + r->next) * r->ahead_step;
        /* `keep` writes it in this pass, from `stage` it is written in the next. So far ahead, because its lines are read
         * before they are written: with 256 classes 4096x1000 took an eighth more. */
        r->results = job->grad.data + (r->start + c + (r->all_grad ? 1024 : 0)) * r->results_step;
        if (with_base) {
            row_base base = base_chunk(r, c, n);
            add_stretch(&s, r, &base, x, 0, n, -1, to);
        } else {
            if (x_halves(r))
                add_stretch_of_halves(&s, r, x_halves(r) + 2 * c, n, strip - c, to);
            else
                add_plain_stretch(&s, r, x, n, strip - c, to);
            if (to && strip >= c && strip < c + n)
                mend_top_strip(&r->top, n - (strip - c), to + (strip - c));
        }
        if (n_classes > FOLD && (c + n) % FOLD == 0)
            fold_sums(&s, with_base, &totals);
    }
    if (n_classes > FOLD)
        fold_sums(&s, with_base, &totals);
    store_statistics(r, &s, &totals, g);
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

/* From exponentials, if they are `kept`, else from the classes themselves to gradient and Hessian. */
FL_INLINE void wide_derivatives(const wide_row *r, int kept, int focal, const row_base *base, const T *x, fl_size n,
                                const row_factors *f, void *grad, int grad_halves, T *hess)
{
    const int l = r->lane;
    const vf exp_factor = v_set(f->exp_factor[l]), base_factor = v_set(base ? f->base_factor[l] : 0);
    const vf inverse_sum = v_set(hess ? f->inverse_sum[l] : 0), hess_factor = v_set(hess ? f->hess_factor[l] : 0);
    const vf curvature = v_set(hess && focal ? f->curvature[l] : 0);
    for (fl_size i = 0; i < n; i += WIDTH) {
        const fl_size left = n - i;
        vf e = v_load_up_to(x + i, left, v_set(0));
        if (!kept) {
            e = v_exp_below(e, r->split);
            if (i % LANES == 0)
                v_prefetch_to_write(r->results + i * r->results_step);
        }
        vf p = e * inverse_sum, slope = e * exp_factor;
        vf bend = focal ? p * (hess_factor * (v_set(1) - p) + curvature * p) : hess_factor * p * (v_set(1) - p);
        if (base) /* at once: the rounding of a product would be one too many where the terms are large */
            slope = v_fma(e, exp_factor, -(base_factor * v_base(base, i, left)));
        v_store_classes(grad, grad_halves, i, left, slope);
        if (hess)
            v_store_up_to(hess + i, left, bend);
    }
}

/* The gradient alone of float16 whose exponentials have not been kept. */
static FL_OUTLINE void derivatives_of_halves(const wide_row *r, const char *x, fl_size n, const row_factors *f, char *grad)
{
    const vf exp_factor = v_set(f->exp_factor[r->lane]);
    const maximum_split split = r->split;
    fl_size i = 0;
    for (; i + STRIP <= n; i += STRIP) {
        vf e[4 * UNIT];
        v_prefetch_to_write(r->results + i * r->results_step);
        v_prefetch_to_write(r->results + i * r->results_step + 64);
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            e[k] = v_load_halves(x + 2 * (i + k * WIDTH), WIDTH, exp_factor);
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k += MOST_EXPS)
            v_exps_below(e + k, MOST_EXPS, split, e + k);
        FL_UNROLL
        for (int k = 0; k < 4 * UNIT; k++)
            v_store_halves(grad + 2 * (i + k * WIDTH), WIDTH, e[k] * exp_factor);
    }
    for (; i < n; i += WIDTH) {
        const vf e = v_load_halves(x + 2 * i, n - i, v_set(0));
        v_store_halves(grad + 2 * i, n - i, v_exp_below(e, split) * exp_factor);
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
            grad[top] = (T)class_gradient(g, l, g->top[l], 1, base_at(base, top));
        if (hess)
            hess[top] = (T)class_hessian_at_top(g, l);
    }
    if (g->label[l] < 0 || label < 0 || label >= n)
        return;
    grad[label] = (T)(base ? class_gradient(g, l, g->label[l], g->label_exp[l], base_at(base, label))
                           : label_slope(g, l, f->ratio[l]));
}

static void wide_gradient(wide_row *r, const row_group *g, const row_factors *f)
{
    const fl_rows_job *job = r->job;
    const fl_size n_classes = job->n_classes;
    const int kept = r->keep;
    r->split = v_split_maximum(v_set(g->maximum[r->lane]));
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        T *grad = r->grad ? r->grad + c : r->stage, *hess = NULL;
        char *halves = grad_halves(r) ? grad_halves(r) + 2 * (r->start + c) : NULL;
        r->results = job->grad.data + (r->start + c) * r->results_step;
        const T *x = kept ? grad : x_halves(r) ? NULL : row_chunk(r, c, n);
        row_base base_terms, *base = NULL;
        if (job->hess.data)
            hess = r->hess ? r->hess + c : r->hess_chunk;
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
        if (!r->grad && !halves)
            view_write(&job->grad, r->start + c, n, grad);
        if (hess && !r->hess)
            view_write(&job->hess, r->start + c, n, hess);
    }
    if (grad_halves(r) && g->label[r->lane] >= 0) {
        const uint16_t slope = f16_of_value((T)label_slope(g, r->lane, f->ratio[r->lane]));
        memcpy(grad_halves(r) + 2 * (r->start + g->label[r->lane]), &slope, sizeof slope);
    }
}

static void wide_log_softmax(wide_row *r, const row_group *g, T log)
{
    const fl_size n_classes = r->job->n_classes;
    const T maximum = g->maximum[r->lane];
    for (fl_size c = 0; c < n_classes; c += r->step) {
        fl_size n = n_classes - c < r->step ? n_classes - c : r->step;
        const T *x = row_chunk(r, c, n);
        T *y = r->grad ? r->grad + c : r->stage;
        for (fl_size i = 0; i < n; i++)
            y[i] = (x[i] - maximum) - log;
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
    r.input_halves = walks && (!job->grad.data || r.all_grad || r.grad_halves) ? view_halves(&job->input) : NULL;
    const int base_lies = (!job->target.data || r.target) && (!job->weight.data || r.weight);
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
    r.results_step = job->grad.data && job->grad.ndim == 1 ? job->grad.strides[0] : 0;
    r.keep = has_grad && job->op != FL_LOG_SOFTMAX && job->op != FL_LOGSUMEXP;
    return r;
}

/* How far apart rows lie in `stage`: each begins a line, for vectors across two lines cost twice as much. */
static fl_size staged_length(const fl_rows_job *job) { return (job->n_classes + LANES - 1) / LANES * LANES; }

static T *staged_row(wide_row *r, int l) { return r->stage + (l - r->staged) * staged_length(r->job); }

static void select_row(wide_row *r, fl_size row, int l)
{
    r->lane = l;
    r->start = (row + l) * r->job->n_classes;
    T *stage = staged_row(r, l);
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
            g->maximum[l] = row_maximum(r, &g->top[l]);
    }
    for (int l = first; l < last; l++)
        if (g->label[l] != SKIPPED) {
            select_row(r, row, l);
            wide_statistics(r, g);
            if (job->op == FL_LOGSUMEXP && g->maximum[l] - g->maximum[l] != 0)
                infinite_logsumexp(r, g);
        }
    for (int l = first; l < last; l += WIDTH) {
        const maximum_split split = v_split_maximum(v_load_up_to(g->maximum + l, last - l, v_set(0)));
        const vf label_logit = v_load_up_to(g->label_logit + l, last - l, v_set(0));
        v_store_up_to(g->label_exp + l, last - l, v_exp_below(label_logit, split));
    }
}

static void derivatives_of_rows(wide_row *r, fl_size row, int first, int last, row_group *g)
{
    const fl_rows_job *job = r->job;
    T logs[GROUP];
    row_factors factors;
    if (job->op == FL_LOG_SOFTMAX)
        group_logs(g, logs);
    else
        load_factors(job, g, &factors);
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

/* Several short rows pass through each step together: while the sums of one wait for the lanes to be brought
 * together, the next can begin (a third of the time of 100 classes). They stay in the first cache. */
static FL_OUTLINE void wide_group(const fl_rows_job *job, fl_size row, int n, row_group *g)
{
    wide_row r = open_rows(job);
    const int together = job->n_classes > STAGE ? 1 : (int)(STAGE / staged_length(job));
    r.next = r.step == job->n_classes ? together * job->n_classes : r.step;
    for (int first = 0; first < n; first += together) {
        const int last = n - first < together ? n : first + together;
        r.staged = first;
        statistics_of_rows(&r, row, first, last, g);
        if (job->op == FL_SOFTMAX_FOCAL)
            focal_factors(job, g, first, last);
        if (job->grad.data)
            derivatives_of_rows(&r, row, first, last, g);
    }
}

#endif
