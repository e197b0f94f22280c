/* The first pass over elements, which writes nothing: domains of the arguments, and the sum of the weights. */
#ifndef FASTLOSS_POINTWISE_CHECKS_H
#define FASTLOSS_POINTWISE_CHECKS_H

#include "pointwise_weights.h"

/* Bitwise on purpose: without branches the count below becomes a handful of vector instructions an element. */
FL_INLINE int check_passes(const fl_check *check, double x)
{
    const double low = check->low, high = check->high;
    int inside = (x >= low) & (x <= high) & (!(check->open & 1) | (x != low)) & (!(check->open & 2) | (x != high));
    int one_of_two = (x == low) | (x == high);
    return (check->pair ? one_of_two : inside) | (check->allows_nan & (x != x));
}

/* The first element of a chunk that fails, or -1. */
static fl_size first_failure(const fl_check *check, const double *x, const double *sample_weight, fl_size n)
{
    const fl_check c = *check;
    fl_size failures = 0;
    for (fl_size i = 0; i < n; i++)
        failures += !check_passes(&c, x[i]);
    for (fl_size i = 0; failures && i < n; i++)
        if (!check_passes(&c, x[i]) && (c.always || !sample_weight || sample_weight[i] != 0))
            return i;
    return -1;
}

/* A check as numbers of type T see it: between two of them, which are outside themselves; or, if `pair`, one of
 * them. */
typedef struct {
    const fl_check *check;
    const T *direct; /* the memory to be checked, or NULL where it has to be read */
    const double *doubles; /* the same of doubles, if T is float32 */
    fl_size repeated;      /* how many elements have each number there */
    int exact;       /* as type T the elements are on the side of each bound that they are on themselves */
    T low, high, inside;
    int pair, allows_nan;
} direct_check;

/* Rounding moves no integer across a bound of at most 1, nor across one beyond all integers. */
FL_INLINE int is_bound_of_integers(double bound) { return fabs(bound) <= 1 || fabs(bound) > 0x1p64; }

static int reads_exactly(const fl_check *check)
{
    if (check->view->kind >= FL_F16)
        return FL_DOUBLE || check->view->kind != FL_F64;
    return is_bound_of_integers(check->low) && is_bound_of_integers(check->high);
}

static direct_check open_check(const fl_check *check)
{
    const T low = (T)check->low, high = (T)check->high;
    direct_check c = {check, NULL, NULL, 1, reads_exactly(check), low, high, low, check->pair, check->allows_nan};
    fl_view view = *check->view;
    if (view.ndim == 2 && view.strides[1] == 0) {
        view.ndim = 1;
        c.repeated = view.shape[1];
    }
    if (view.ndim == 1) {
        c.direct = view_direct(&view);
        c.doubles = view_doubles(&view);
    }
    if (check->pair)
        return c;
    if (!((double)low < check->low || (check->open & 1 && (double)low == check->low)))
        c.low = PICK(nextafterf, nextafter)(low, (T)-INFINITY);
    if (!((double)high > check->high || (check->open & 2 && (double)high == check->high)))
        c.high = PICK(nextafterf, nextafter)(high, (T)INFINITY);
    c.inside = PICK(nextafterf, nextafter)(c.low, (T)INFINITY);
    return c;
}

FL_INLINE vf v_check(const direct_check *check, vf x, vf fails)
{
    const vf low = v_set(check->low), high = v_set(check->high), yes = v_set(1);
    if (check->allows_nan)
        x = v_where_eq(x, x, x, v_set(check->inside));
    if (check->pair)
        return v_where_eq(x, low, fails, v_where_eq(x, high, fails, yes));
    return v_where_lt(low, x, v_where_lt(x, high, fails, yes), yes);
}

/* Asking for memory so many bytes ahead halves the time of arrays that no cache holds. */
enum { AHEAD = 16384 };

/* Whether all of n elements pass, at a few operations a vector: nearly all do. (In the compiler's own vectors it
 * took twice the time.) */
static int all_pass_at(const direct_check *check, const T *x, fl_size n)
{
    enum { PARTS = 4 };
    const direct_check c = *check;
    vf fails[PARTS] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    fl_size i = 0;
    for (; i + PARTS * WIDTH <= n; i += PARTS * WIDTH)
        FL_UNROLL
        for (int k = 0; k < PARTS; k++) {
            if (k % UNIT == 0)
                v_prefetch_on(x + i + k * WIDTH, AHEAD);
            fails[k] = v_check(&c, v_load(x + i + k * WIDTH), fails[k]);
        }
    for (; i < n; i += WIDTH)
        fails[0] = v_check(&c, v_load_up_to(x + i, n - i, v_set(c.inside)), fails[0]);
    return v_largest_lane(v_max(v_max(fails[0], fails[1]), v_max(fails[2], fails[3]))) == 0;
}

/* The same of doubles, if T is float32; 0, too, where it is not as simple as that. */
static FL_OUTLINE int all_doubles_pass(const fl_check *check, const double *x, fl_size n)
{
    const double below = check->open & 1 ? check->low : nextafter(check->low, -INFINITY);
    const double above = check->open & 2 ? check->high : nextafter(check->high, INFINITY);
    enum { LINE = 64 / (int)sizeof(double) };
    int64_t failures[LINE] = {check->pair || check->allows_nan};
    fl_size i = 0;
    for (; i + LINE <= n; i += LINE) {
        v_prefetch_on(x + i, AHEAD);
        for (int l = 0; l < LINE; l++)
            failures[l] |= !((x[i + l] > below) & (x[i + l] < above));
    }
    FL_LANEWISE
    for (; i < n; i++)
        failures[0] |= !((x[i] > below) & (x[i] < above));
    for (int l = 1; l < LINE; l++)
        failures[0] |= failures[l];
    return !failures[0];
}

/* The same of what may have to be read first; 0, too, where reading would round. */
static int all_pass(const direct_check *check, fl_size start, fl_size n)
{
    FL_ALIGNED T chunk[CHUNK];
    const fl_size first = start / check->repeated, count = (start + n - 1) / check->repeated - first + 1;
    if (check->direct)
        return all_pass_at(check, check->direct + first, count);
    if (!FL_DOUBLE && check->doubles)
        return all_doubles_pass(check->check, check->doubles + first, count);
    int passed = check->exact;
    for (fl_size i = 0, part; i < n && passed; i += part) {
        part = n - i < CHUNK ? n - i : CHUNK;
        view_read(check->check->view, start + i, part, chunk);
        passed = all_pass_at(check, chunk, part);
    }
    return passed;
}

/* The first element of a block that fails a check which all_pass() could not decide. */
static fl_size first_failure_of_block(const fl_pointwise_job *job, const fl_check *check, fl_size first, fl_size last)
{
    double checked[CHUNK], sample_weight[CHUNK];
    const double *s = job->sample_weight.data ? sample_weight : NULL;
    for (fl_size start = first; start < last; start += CHUNK) {
        const fl_size n = last - start < CHUNK ? last - start : CHUNK;
        if (s)
            view_read_numbers(&job->sample_weight, start, n, sample_weight);
        view_read_numbers(check->view, start, n, checked);
        const fl_size i = first_failure(check, checked, s, n);
        if (i >= 0)
            return start + i;
    }
    return -1;
}

/* add_chunk of whole units of terms of type T. (In double on the stack first, they took twice as long.) */
static void add_singles(lane_totals *totals, const T *terms, fl_size n)
{
    lane_totals local = *totals;
    for (fl_size i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++)
            add_to_lane(&local, l, (double)terms[i + l]);
    *totals = local;
}

FL_INLINE void add_weights(const fl_pointwise_job *job, const fl_view *weight, fl_size first, fl_size last,
                           lane_totals *sums)
{
    factor_scratch product;
    for (fl_size start = first; start < last; start += CHUNK) {
        const fl_size n = last - start < CHUNK ? last - start : CHUNK;
        chunk_factors w;
        load_weights(weight, &job->sample_weight, start, n, &product, &w);
        if (!FL_DOUBLE && w.direct && n % LANES == 0)
            add_singles(sums, w.direct, n);
        else {
            in_double(&w, n, &product);
            add_chunk(sums, w.numbers, n);
        }
    }
}

/* Weights are added up a part at a time, while the next one is on its way from memory: with all checks first, weights
 * of float64 that no cache holds took half as long again, and with parts of 8 kB binary_cross_entropy_with_logits a
 * quarter more. What is in the caches, as a single block mostly is, is checked at once: that takes fewer calls. */
static void check_pointwise(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial)
{
    enum { PART = 4096 / sizeof(T) };
    static const fl_view none;
    const fl_view *weight = job->weight_counts ? &job->weight : &none;
    const int weighs = weight->data || job->sample_weight.data;
    fl_size first, last;
    lane_totals sums = {{0}, {0}};
    direct_check checks[FL_MAX_CHECKS];
    int undecided[FL_MAX_CHECKS] = {0};
    pointwise_bounds(job, block, &first, &last);
    *partial = (fl_pointwise_partial){.loss = {0, 0}};
    for (int k = 0; k < job->n_checks; k++)
        checks[k] = open_check(&job->checks[k]);
    const fl_size step = weighs && job->n_blocks > 1 ? PART : last - first;
    for (fl_size start = first; start < last; start += step) {
        const fl_size n = last - start < step ? last - start : step;
        for (int k = 0; k < job->n_checks; k++)
            if (!undecided[k])
                undecided[k] = !all_pass(&checks[k], start, n);
        if (weighs)
            add_weights(job, weight, start, start + n, &sums);
    }
    for (int k = 0; k < job->n_checks; k++)
        partial->bad[k] = undecided[k] ? first_failure_of_block(job, &job->checks[k], first, last) : -1;
    if (weighs)
        add_lanes(&partial->weight, &sums);
    else
        partial->weight.hi = (double)(last - first);
}

#endif
