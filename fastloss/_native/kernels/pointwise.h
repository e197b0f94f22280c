/* The one loop of all elementwise losses: chunks of a block are read, mapped through a formula, weighted, added up and
 * written. Contiguous memory of type T is used where it lies. */
#ifndef FASTLOSS_POINTWISE_H
#define FASTLOSS_POINTWISE_H

#include "formulas_binary.h"
#include "formulas_likelihood.h"
#include "formulas_margin.h"
#include "formulas_regression.h"
#include "formulas_transforms.h"
#include "views.h"

typedef void map_kernel(const T *x, const T *y, const T *const *p, fl_size n, double scale, T *value, T *grad, T *hess,
                        lane_totals *sums);
typedef terms formula(vf x, vf y, const vf *p);

/* A double in two numbers of type T: rounding it to float would be seen in every derivative. `low` has the sign of `high`
 * and is not 0 (but for a scale of 0), or an infinity times both would add up to NaN. */
typedef struct {
    vf high, low;
} split_scale;

static split_scale split_of(double scale)
{
    const double magnitude = fabs(scale);
    T high = (T)magnitude;
    if ((double)high > magnitude && high < (T)INFINITY)
        high = PICK(nextafterf, nextafter)(high, 0);
    const double rest = magnitude - (double)high;
    const T low = rest > 0 ? (T)rest : high * (T)0x1p-60;
    return (split_scale){v_set(scale < 0 ? -high : high), v_set(scale < 0 ? -low : low)};
}

FL_INLINE vf v_scaled(vf x, split_scale scale)
{
#if FL_DOUBLE
    return x * scale.high;
#else
    return v_fma(x, scale.high, x * scale.low);
#endif
}

/* Where a vector is a whole unit, its values are added up in the loop that computes them: in a loop of their own the memory
 * would be idle. (Smaller vectors would need the formula once for each part of the unit: a wheel half as large again.) */
enum { MAP_ADDS = UNIT == 1 };

/* n is a multiple of LANES; grad may be x. Every argument up to wrt is a constant where this is inlined. */
FL_INLINE void map_terms(formula *f, int n_parameters, int want, int wrt, const T *x, const T *y, const T *const *p,
                         fl_size n, double scale, T *value, T *grad, T *hess, lane_totals *sums)
{
    const split_scale factor = split_of(scale);
    vector_totals totals = v_load_totals(sums);
    for (fl_size i = 0; i < n; i += WIDTH) {
        vf parameters[FL_MAX_PARAMETERS];
        for (int k = 0; k < n_parameters; k++)
            parameters[k] = v_load(p[k] + i);
        terms t = f(v_load(x + i), v_load(y + i), parameters);
        if (want & FL_VALUE) {
            v_store(value + i, t.value);
            if (MAP_ADDS)
                v_add_to_totals(&totals, t.value);
        }
        if (want & FL_GRAD)
            v_store(grad + i, v_scaled(t.grad[wrt], factor));
        if (want & FL_HESS)
            v_store(hess + i, v_scaled(t.hess[wrt], factor));
    }
    if (MAP_ADDS)
        v_store_totals(sums, totals);
}

#define DEFINE_MAP(name, n_parameters, suffix, want, wrt)                                                          \
    static void name##suffix(const T *x, const T *y, const T *const *p, fl_size n, double scale, T *value, T *grad, \
                             T *hess, lane_totals *sums)                                                           \
    {                                                                                                              \
        map_terms(name##_terms, n_parameters, want, wrt, x, y, p, n, scale, value, grad, hess, sums);              \
    }
#define DEFINE_INPUT(name, n_parameters)                                                  \
    DEFINE_MAP(name, n_parameters, _value, FL_VALUE, FL_WRT_INPUT)                        \
    DEFINE_MAP(name, n_parameters, _grad, FL_GRAD, FL_WRT_INPUT)                          \
    DEFINE_MAP(name, n_parameters, _both, FL_VALUE | FL_GRAD, FL_WRT_INPUT)               \
    DEFINE_MAP(name, n_parameters, _hess, FL_GRAD | FL_HESS, FL_WRT_INPUT)
#define DEFINE_TARGET(name, n_parameters)                                                 \
    DEFINE_INPUT(name, n_parameters)                                                      \
    DEFINE_MAP(name, n_parameters, _target_grad, FL_GRAD, FL_WRT_TARGET)                  \
    DEFINE_MAP(name, n_parameters, _target_both, FL_VALUE | FL_GRAD, FL_WRT_TARGET)       \
    DEFINE_MAP(name, n_parameters, _target_hess, FL_GRAD | FL_HESS, FL_WRT_TARGET)
#define DEFINE_PARAMETER(name, n_parameters)                                              \
    DEFINE_TARGET(name, n_parameters)                                                     \
    DEFINE_MAP(name, n_parameters, _parameter_grad, FL_GRAD, FL_WRT_PARAMETER)            \
    DEFINE_MAP(name, n_parameters, _parameter_both, FL_VALUE | FL_GRAD, FL_WRT_PARAMETER) \
    DEFINE_MAP(name, n_parameters, _parameter_hess, FL_GRAD | FL_HESS, FL_WRT_PARAMETER)

#define FL_LOSS(name, n_parameters, with_respect_to) DEFINE_##with_respect_to(name, n_parameters)
#include "losses.def"
#undef FL_LOSS

/* The loops of one loss: for the value alone; and for each wrt the gradient, value and gradient, gradient and Hessian. */
typedef struct {
    map_kernel *value, *derivatives[3][3];
} loss_maps;

#define ROW_INPUT(name) {name##_grad, name##_both, name##_hess}
#define ROW_TARGET(name) ROW_INPUT(name), {name##_target_grad, name##_target_both, name##_target_hess}
#define ROW_PARAMETER(name) ROW_TARGET(name), {name##_parameter_grad, name##_parameter_both, name##_parameter_hess}
#define FL_LOSS(name, n_parameters, with_respect_to) {name##_value, {ROW_##with_respect_to(name)}},
static const loss_maps LOSS_MAPS[] = {
#include "losses.def"
};
#undef FL_LOSS

static map_kernel *map_of(const fl_pointwise_job *job)
{
    const loss_maps *maps = &LOSS_MAPS[job->loss];
    switch (job->want) {
    case FL_VALUE:
        return maps->value;
    case FL_GRAD:
        return maps->derivatives[job->wrt][0];
    case FL_VALUE | FL_GRAD:
        return maps->derivatives[job->wrt][1];
    default:
        return maps->derivatives[job->wrt][2];
    }
}

/* One operand of a block: its memory, or scratch that its chunks are read into. */
typedef struct {
    const fl_view *view;
    T *direct;
    T scratch[CHUNK];
} operand;

static void open_operand(operand *o, const fl_view *view)
{
    o->view = view;
    o->direct = view->data && view->ndim > 0 ? view_direct(view) : NULL;
    if (view->data && view->ndim == 0) /* one number: the same in every chunk */
        view_read(view, 0, CHUNK, o->scratch);
}

/* n elements from `start`, padded to whole units by repeating the last: a partial chunk never reads beyond the end. */
static T *load_chunk(operand *o, fl_size start, fl_size n)
{
    if (o->view->ndim == 0)
        return o->scratch;
    if (o->direct && n % LANES == 0)
        return o->direct + start;
    view_read(o->view, start, n, o->scratch);
    for (fl_size i = n; i % LANES; i++)
        o->scratch[i] = o->scratch[n - 1];
    return o->scratch;
}

/* Where a chunk of results goes; store_chunk brings it to its place if that is scratch. */
static T *result_chunk(operand *o, fl_size start, fl_size n)
{
    return o->direct && n % LANES == 0 ? o->direct + start : o->scratch;
}

static void store_chunk(operand *o, fl_size start, fl_size n)
{
    if (!o->direct || n % LANES)
        view_write(o->view, start, n, o->scratch);
}

/* Each lane's sum is a local copy: in memory it would wait for itself at every step. */
#define DEFINE_ADD(name, number)                                          \
    static void name(lane_totals *totals, const number *terms, fl_size n) \
    {                                                                     \
        lane_totals local = *totals;                                      \
        fl_size i = 0;                                                    \
        for (; i + LANES <= n; i += LANES)                                \
            for (int l = 0; l < LANES; l++)                               \
                add_to_lane(&local, l, (double)terms[i + l]);             \
        for (int l = 0; i < n; i++, l++)                                  \
            add_to_lane(&local, l, (double)terms[i]);                     \
        *totals = local;                                                  \
    }
DEFINE_ADD(add_chunk, double)
DEFINE_ADD(add_values, T)

/* weight times sample_weight of a chunk, in double: float32 could neither hold nor multiply all of them. NULL if there is
 * neither. */
static const double *load_weights(const fl_view *weight, const fl_view *sample_weight, fl_size start, fl_size n,
                                  double *product)
{
    double factors[CHUNK];
    if (!weight->data && !sample_weight->data)
        return NULL;
    view_read_numbers(weight->data ? weight : sample_weight, start, n, product);
    if (weight->data && sample_weight->data) {
        view_read_numbers(sample_weight, start, n, factors);
        for (fl_size i = 0; i < n; i++)
            product[i] *= factors[i];
    }
    return product;
}

/* Derivatives times scale, weight and upstream gradient (either may be NULL), rounded once. An element of weight 0 counts
 * 0 even if it is NaN. */
static void weigh_derivatives(T *x, const double *weight, const double *upstream, fl_size n, double scale)
{
    double factor[CHUNK];
    for (fl_size i = 0; i < n; i++)
        factor[i] = weight ? scale * weight[i] : scale;
    if (upstream)
        for (fl_size i = 0; i < n; i++)
            factor[i] *= upstream[i];
    for (fl_size i = 0; i < n; i++)
        x[i] = weight && weight[i] == 0 ? 0 : (T)((double)x[i] * factor[i]);
}

/* The losses of a chunk, weighted: added up, and left in `value` rounded. */
static void weigh_values(T *value, const double *weight, fl_size n, lane_totals *sums)
{
    double terms[CHUNK];
    for (fl_size i = 0; i < n; i++) {
        terms[i] = weight[i] == 0 ? 0 : (double)value[i] * weight[i];
        value[i] = (T)terms[i];
    }
    add_chunk(sums, terms, n);
}

static void pointwise_bounds(const fl_pointwise_job *job, fl_size block, fl_size *first, fl_size *last)
{
    *first = block * job->block_size;
    *last = job->size - *first < job->block_size ? job->size : *first + job->block_size;
}

static void run_pointwise(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial)
{
    fl_size first, last;
    pointwise_bounds(job, block, &first, &last);
    map_kernel *map = map_of(job);
    operand input, target, parameters[FL_MAX_PARAMETERS], value, grad, hess;
    const T *p[FL_MAX_PARAMETERS];
    double product[CHUNK], upstream[CHUNK];
    lane_totals sums = {{0}, {0}}, unused = {{0}, {0}};
    open_operand(&input, &job->input);
    open_operand(&target, job->target.data ? &job->target : &job->input);
    open_operand(&value, &job->value);
    open_operand(&grad, &job->grad);
    open_operand(&hess, &job->hess);
    for (int k = 0; k < job->n_parameters; k++)
        open_operand(&parameters[k], &job->parameters[k]);
    const int mapped = job->target_scale != 1 || job->target_shift != 0;
    for (fl_size start = first; start < last; start += CHUNK) {
        fl_size n = last - start < CHUNK ? last - start : CHUNK, whole = (n + LANES - 1) / LANES * LANES;
        const T *x = load_chunk(&input, start, n), *y = x;
        if (job->target.data)
            y = load_chunk(&target, start, n);
        if (mapped) {
            for (fl_size i = 0; i < whole; i++)
                target.scratch[i] = y[i] * (T)job->target_scale + (T)job->target_shift;
            y = target.scratch;
        }
        for (int k = 0; k < job->n_parameters; k++)
            p[k] = load_chunk(&parameters[k], start, n);
        const double *w = load_weights(&job->weight, &job->sample_weight, start, n, product), *u = NULL;
        if (job->grad_output.data) {
            view_read_numbers(&job->grad_output, start, n, upstream);
            u = upstream;
        }
        T *v = result_chunk(&value, start, n), *g = result_chunk(&grad, start, n), *h = result_chunk(&hess, start, n);
        const int plain = MAP_ADDS && !w && n == whole;
        map(x, y, p, whole, w || u ? 1 : job->scale, v, g, h, plain ? &sums : &unused);
        if ((w || u) && job->want & FL_GRAD)
            weigh_derivatives(g, w, u, n, job->scale);
        if ((w || u) && job->want & FL_HESS)
            weigh_derivatives(h, w, u, n, job->scale);
        if (w && job->want & FL_VALUE)
            weigh_values(v, w, n, &sums);
        else if (!plain && job->want & FL_VALUE)
            add_values(&sums, v, n);
        if (job->value.data)
            store_chunk(&value, start, n);
        if (job->want & FL_GRAD)
            store_chunk(&grad, start, n);
        if (job->want & FL_HESS)
            store_chunk(&hess, start, n);
    }
    add_lanes(&partial->loss, &sums);
}

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

/* A check as numbers of type T see it: between two of them, themselves included. */
typedef struct {
    const T *direct; /* the memory to be checked, or NULL where it has to be read */
    T low, high;
    int pair, allows_nan;
} direct_check;

static direct_check open_check(const fl_check *check)
{
    direct_check c = {NULL, (T)check->low, (T)check->high, check->pair, check->allows_nan};
    if (check->view.ndim == 1)
        c.direct = view_direct(&check->view);
    if ((double)c.low < check->low || (check->open & 1 && (double)c.low == check->low))
        c.low = PICK(nextafterf, nextafter)(c.low, (T)INFINITY);
    if ((double)c.high > check->high || (check->open & 2 && (double)c.high == check->high))
        c.high = PICK(nextafterf, nextafter)(c.high, (T)-INFINITY);
    return c;
}

/* Whether all of a chunk pass, at a few operations a vector: nearly all chunks do. */
static int all_pass(const direct_check *check, fl_size start, fl_size n)
{
    const T *x = check->direct + start;
    const T low = check->low, high = check->high;
    fl_bits failures = 0;
    if (check->pair)
        for (fl_size i = 0; i < n; i++)
            failures |= !((x[i] == low) | (x[i] == high));
    else if (check->allows_nan)
        for (fl_size i = 0; i < n; i++)
            failures |= (x[i] < low) | (x[i] > high);
    else
        for (fl_size i = 0; i < n; i++)
            failures |= !((x[i] >= low) & (x[i] <= high));
    return !failures;
}

static void check_pointwise(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial)
{
    static const fl_view none;
    const fl_view *weight = job->weight_counts ? &job->weight : &none;
    fl_size first, last;
    double checked[CHUNK], sample_weight[CHUNK], product[CHUNK];
    lane_totals sums = {{0}, {0}};
    direct_check direct[FL_MAX_CHECKS];
    pointwise_bounds(job, block, &first, &last);
    *partial = (fl_pointwise_partial){.loss = {0, 0}};
    for (int k = 0; k < job->n_checks; k++) {
        partial->bad[k] = -1;
        direct[k] = open_check(&job->checks[k]);
    }
    for (fl_size start = first; start < last; start += CHUNK) {
        fl_size n = last - start < CHUNK ? last - start : CHUNK;
        const double *s = job->sample_weight.data ? sample_weight : NULL;
        if (s)
            view_read_numbers(&job->sample_weight, start, n, sample_weight);
        for (int k = 0; k < job->n_checks; k++)
            if (partial->bad[k] < 0 && !(direct[k].direct && all_pass(&direct[k], start, n))) {
                view_read_numbers(&job->checks[k].view, start, n, checked);
                fl_size i = first_failure(&job->checks[k], checked, s, n);
                partial->bad[k] = i < 0 ? -1 : start + i;
            }
        const double *w = load_weights(weight, &job->sample_weight, start, n, product);
        if (w)
            add_chunk(&sums, w, n);
        else
            partial->weight.hi += (double)n;
    }
    add_lanes(&partial->weight, &sums);
}

#endif
