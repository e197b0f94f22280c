/* The one loop of all elementwise losses: chunks of a block are read, mapped through a formula, weighted, added up and
 * written. Contiguous memory of type T is used where it lies. */
#ifndef FASTLOSS_POINTWISE_H
#define FASTLOSS_POINTWISE_H

#include "formulas_binary.h"
#include "formulas_likelihood.h"
#include "formulas_margin.h"
#include "formulas_regression.h"
#include "formulas_transforms.h"
#include "pointwise_checks.h"
#include "stream.h"

typedef terms formula(vf x, vf y, const vf *p, stages *s);

/* A double in two numbers of type T: rounding it to float would be seen in every derivative. `low` has the sign of
 * `high` and is not 0 (but for a scale of 0), or an infinity times both would add up to NaN. */
typedef struct {
    vf high, low;
} split_scale;

/* Where the loop is for the input, gradients with respect to a target have the other sign. */
typedef struct {
    split_scale grad, hess;
} map_scales;

/* Where derivatives go past the caches; that of a loop which does not send them there is not used. */
typedef struct {
    line_stream grad, hess;
} result_streams;

typedef void map_kernel(const T *x, const T *y, const T *const *p, fl_size n, const map_scales *scales, T *value,
                        T *grad, T *hess, lane_sums *sums, result_streams *streams);

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

/* Vectors computed side by side for a value and its gradient where the formula is long: a chain of a hundred
 * operations is half of what the processor looks ahead, and it waits for each (a fifth of the time of gaussian_nll and
 * of exponential). With 16 registers it gains little, and for the other derivatives, but those that boosters ask for,
 * not its size. */
#if FL_AVX512
enum { DEEP = 4 };
#else
enum { DEEP = 1 };
#endif

/* Whether a loop adds up the values that it computes, rather than leaving them to a loop of their own, in which the
 * memory would be idle: where a vector is a whole unit, and with two to a unit where the loop waits for memory. (It
 * needs the formula once for each vector of the unit: for the others a wheel half as large again.) */
FL_INLINE int map_adds(int cost) { return UNIT == 1 || (UNIT == 2 && cost == FL_LIGHT); }

/* Vectors of a step of the loop. */
FL_INLINE int map_step(int want, int wrt, int cost)
{
    const int with_value = want == (FL_VALUE | FL_GRAD), with_hess = want == (FL_GRAD | FL_HESS);
    const int deep = (cost == FL_DEEP && with_value) || (cost == FL_DEEPER && (with_value || with_hess));
    if (deep && wrt == FL_WRT_INPUT)
        return DEEP;
    return want & FL_VALUE && map_adds(cost) ? UNIT : 1;
}

/* Whether a loop that computes much waits for memory as well, if that is far: then it fetches ahead (a seventh of
 * binary_cross_entropy_with_logits in float32). */
FL_INLINE int waits_for_memory(int cost) { return cost == FL_DEEPER || cost == FL_STAGED; }

/* Asks for what n vectors will be a page on, where the processor's own prefetching ends. */
FL_INLINE void fetch_ahead(const T *p, int n, int to_write)
{
    FL_UNROLL
    for (int i = 0; i < n * WIDTH; i += LANES) {
        const T *ahead = p + i + 4096 / sizeof(T);
        if (to_write)
            v_prefetch_to_write(ahead);
        else
            v_prefetch(ahead);
    }
}

FL_INLINE void store_derivative(T *to, vf x, int streaming, line_stream *stream)
{
    if (streaming)
        stream_vector(stream, x);
    else
        v_store(to, x);
}

/* What stages leave for each other: an array each, because of one alone the compiler would write all or nothing. */
#define EACH_CARRIED(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DEFINE_CARRIED(k) FL_ALIGNED T carried##k[SPAN];
#define NAME_CARRIED(k) carried##k,

/* One stage of a formula, for the vector that begins at i; those without stages have the last one alone. */
FL_INLINE terms terms_at(formula *f, int n_parameters, fl_size i, const T *x, const T *y, const T *const *p,
                         T *const *carried, int stage)
{
    vf parameters[FL_MAX_PARAMETERS];
    stages s = {.stage = stage};
    FL_UNROLL
    for (int k = 0; k < MOST_CARRIED; k++)
        s.memory[k] = carried[k] + i;
    for (int j = 0; j < n_parameters; j++)
        parameters[j] = v_load(p[j] + i);
    return f(v_load(x + i), v_load(y + i), parameters, &s);
}

/* Where a loop writes; what is not wanted is not used. */
typedef struct {
    T *value, *grad, *hess;
} map_results;

/* What becomes of a step's terms, of elements from `start` on. */
FL_INLINE void take_terms(const terms *t, int step, int want, int wrt, int cost, fl_size start, const T *x, const T *y,
                          map_scales scales, const map_results *r, lane_sums *sums, int far, result_streams *streams)
{
    const int adds = want & FL_VALUE && map_adds(cost), sends = cost == FL_LIGHT && far;
    const int fetches_results = waits_for_memory(cost) && DEEP > 1; /* with AVX2 for a fiftieth of the time only */
    FL_UNROLL
    for (int k = 0; k < step; k++) {
        const fl_size i = start + k * WIDTH;
        if (want & FL_VALUE)
            v_store(r->value + i, t[k].value);
        if (adds)
            v_two_sum(&sums->sum[k % UNIT], &sums->error[k % UNIT], t[k].value);
        if (far && k == 0 && (cost == FL_LIGHT || fetches_results)) {
            fetch_ahead(x + i, step, 0);
            fetch_ahead(y + i, step, 0);
            if (fetches_results && want & FL_GRAD)
                fetch_ahead(r->grad + i, step, 1);
            if (fetches_results && want & FL_HESS)
                fetch_ahead(r->hess + i, step, 1);
        }
        if (want & FL_GRAD)
            store_derivative(r->grad + i, v_scaled(t[k].grad[wrt], scales.grad), sends, &streams->grad);
        if (want & FL_HESS)
            store_derivative(r->hess + i, v_scaled(t[k].hess[wrt], scales.hess), sends, &streams->hess);
    }
}

/* n is a multiple of map_step() vectors, of a formula in stages at most SPAN elements; grad may be x. Every argument
 * up to `cost` is a constant where this is inlined. All operands of a step are loaded before its results are written,
 * which might overwrite them for all the compiler knows: otherwise it would compute one vector after the other. */
FL_INLINE void map_terms(formula *f, int n_parameters, int want, int wrt, int cost, const T *x, const T *y,
                         const T *const *p, fl_size n, const map_scales *scales, T *value, T *grad, T *hess,
                         lane_sums *sums, result_streams *streams)
{
    const map_scales factors = *scales;
    const map_results results = {value, grad, hess};
    const int step = map_step(want, wrt, cost);
    EACH_CARRIED(DEFINE_CARRIED)
    T *const carried[] = {EACH_CARRIED(NAME_CARRIED)};
    lane_sums local = *sums;
    result_streams local_streams;
    int far = streams != NULL;
    if (cost == FL_LIGHT && far)
        local_streams = *streams;
    FL_UNROLL
    for (int stage = 1; stage < MOST_STAGES && cost == FL_STAGED; stage++)
        for (fl_size i = 0; i < n; i += WIDTH)
            terms_at(f, n_parameters, i, x, y, p, carried, stage);
    for (fl_size start = 0; start < n; start += step * WIDTH) {
        terms t[DEEP > (int)UNIT ? (int)DEEP : (int)UNIT];
        FL_UNROLL
        for (int k = 0; k < step; k++)
            t[k] = terms_at(f, n_parameters, start + k * WIDTH, x, y, p, carried, MOST_STAGES);
        FL_KEEP_ONE_LOOP(far);
        take_terms(t, step, want, wrt, cost, start, x, y, factors, &results, &local, far, &local_streams);
    }
    if (cost == FL_LIGHT && far)
        *streams = local_streams;
    if (want & FL_VALUE && map_adds(cost))
        *sums = local;
}

/* What computes is put in order, with AVX2 too: a twentieth of the time, and a fifth of that of the longest formulas.
 * (Loops that wait for memory take the longer for it.) */
#if FL_AVX512 || FL_AVX2
#define ORDERED_FL_HEAVY FL_ORDERED
#else
#define ORDERED_FL_HEAVY
#endif
#define ORDERED_FL_DEEP ORDERED_FL_HEAVY
#define ORDERED_FL_DEEPER ORDERED_FL_HEAVY
#define ORDERED_FL_STAGED ORDERED_FL_HEAVY
#define ORDERED_FL_LIGHT

/* Only what has stages is told of them. */
#define TERMS_LIGHT(name) ((void)s, name##_terms(x, y, p))
#define TERMS_HEAVY TERMS_LIGHT
#define TERMS_DEEP TERMS_LIGHT
#define TERMS_DEEPER TERMS_LIGHT
#define TERMS_STAGED(name) name##_terms(x, y, p, s)
#define FL_LOSS(name, n_parameters, with_respect_to, cost) \
    FL_INLINE terms name##_formula(vf x, vf y, const vf *p, stages *s) { return TERMS_##cost(name); }
#include "losses.def"
#undef FL_LOSS

#define DEFINE_MAP(name, n_parameters, cost, suffix, want, wrt)                                                     \
    ORDERED_##cost static void name##suffix(const T *x, const T *y, const T *const *p, fl_size n,                   \
                                            const map_scales *scales, T *value, T *grad, T *hess, lane_sums *sums,  \
                                            result_streams *streams)                                                \
    {                                                                                                               \
        map_terms(name##_formula, n_parameters, want, wrt, cost, x, y, p, n, scales, value, grad, hess, sums, \
                  streams);                                                                                         \
    }
#define DEFINE_NOTHING(name, n_parameters, cost)                                                \
    DEFINE_MAP(name, n_parameters, cost, _value, FL_VALUE, FL_WRT_INPUT)
#define DEFINE_INPUT(name, n_parameters, cost)                                                  \
    DEFINE_NOTHING(name, n_parameters, cost)                                                    \
    DEFINE_MAP(name, n_parameters, cost, _grad, FL_GRAD, FL_WRT_INPUT)                          \
    DEFINE_MAP(name, n_parameters, cost, _both, FL_VALUE | FL_GRAD, FL_WRT_INPUT)               \
    DEFINE_MAP(name, n_parameters, cost, _hess, FL_GRAD | FL_HESS, FL_WRT_INPUT)
#define DEFINE_TARGET(name, n_parameters, cost)                                                 \
    DEFINE_INPUT(name, n_parameters, cost)                                                      \
    DEFINE_MAP(name, n_parameters, cost, _target_grad, FL_GRAD, FL_WRT_TARGET)                  \
    DEFINE_MAP(name, n_parameters, cost, _target_both, FL_VALUE | FL_GRAD, FL_WRT_TARGET)       \
    DEFINE_MAP(name, n_parameters, cost, _target_hess, FL_GRAD | FL_HESS, FL_WRT_TARGET)
#define DEFINE_DIFFERENCE DEFINE_INPUT
#define DEFINE_PARAMETER(name, n_parameters, cost)                                              \
    DEFINE_DIFFERENCE(name, n_parameters, cost)                                                 \
    DEFINE_MAP(name, n_parameters, cost, _parameter_grad, FL_GRAD, FL_WRT_PARAMETER)            \
    DEFINE_MAP(name, n_parameters, cost, _parameter_both, FL_VALUE | FL_GRAD, FL_WRT_PARAMETER) \
    DEFINE_MAP(name, n_parameters, cost, _parameter_hess, FL_GRAD | FL_HESS, FL_WRT_PARAMETER)

#define FL_LOSS(name, n_parameters, with_respect_to, cost) DEFINE_##with_respect_to(name, n_parameters, FL_##cost)
#include "losses.def"
#undef FL_LOSS

/* The loops of one loss: for the value alone; and for each wrt the gradient, value and gradient, gradient and
 * Hessian. */
typedef struct {
    int cost;
    map_kernel *value, *derivatives[3][3];
} loss_maps;

#define ROW_NOTHING(name) {NULL, NULL, NULL}
#define ROW_INPUT(name) {name##_grad, name##_both, name##_hess}
#define ROW_TARGET(name) ROW_INPUT(name), {name##_target_grad, name##_target_both, name##_target_hess}
#define ROW_DIFFERENCE(name) ROW_INPUT(name), ROW_INPUT(name)
#define ROW_PARAMETER(name) ROW_DIFFERENCE(name), {name##_parameter_grad, name##_parameter_both, name##_parameter_hess}
#define FL_LOSS(name, n_parameters, with_respect_to, cost) {FL_##cost, name##_value, {ROW_##with_respect_to(name)}},
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
    FL_ALIGNED T scratch[CHUNK];
    const fl_view *view;
    T *direct;
} operand;

static void open_operand(operand *o, const fl_view *view)
{
    o->view = view;
    o->direct = view->data && view->ndim > 0 ? view_direct(view) : NULL;
    if (view->data && view->ndim == 0) { /* one number: the same in every chunk */
        view_read(view, 0, 1, o->scratch);
        const vf number = v_set(o->scratch[0]);
        for (int i = 0; i < CHUNK; i += WIDTH)
            v_store(o->scratch + i, number);
    }
}

/* n elements from `start`, in scratch padded to `whole` by repeating the last: a partial chunk never reads beyond the
 * end. */
static FL_OUTLINE T *load_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    if (o->view->ndim == 0)
        return o->scratch;
    if (o->direct && n == whole)
        return o->direct + start;
    view_read(o->view, start, n, o->scratch);
    for (fl_size i = n; i < whole; i++)
        o->scratch[i] = o->scratch[n - 1];
    return o->scratch;
}

/* Where a chunk of results goes; store_chunk brings it to its place if that is scratch. */
static T *result_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    return o->direct && n == whole ? o->direct + start : o->scratch;
}

static FL_OUTLINE void store_chunk(operand *o, fl_size start, fl_size n, fl_size whole)
{
    if (!o->direct || n != whole)
        view_write(o->view, start, n, o->scratch);
}

/* As the map does it where map_adds(). */
static void add_values(lane_sums *sums, const T *value, fl_size n)
{
    lane_sums local = *sums;
    fl_size i = 0;
    for (; i + LANES <= n; i += LANES)
        FL_UNROLL
        for (int k = 0; k < UNIT; k++)
            v_two_sum(&local.sum[k], &local.error[k], v_load(value + i + k * WIDTH));
    for (int k = 0; i < n; k++, i += WIDTH)
        v_two_sum(&local.sum[k], &local.error[k], v_load_up_to(value + i, n - i, v_set(0)));
    *sums = local;
}

static int is_finite(const lane_sums *sums)
{
    T lanes[WIDTH];
    vf rest = v_set(0);
    fl_bits special = 0;
    for (int k = 0; k < UNIT; k++)
        rest = rest + (sums->sum[k] - sums->sum[k]);
    v_store(lanes, rest);
    for (int l = 0; l < WIDTH; l++)
        special |= lanes[l] != 0;
    return !special;
}

/* Float32 sums end where their numbers do, which those of the chunk need not: then they are added up in double. */
static void finish_sums_of_chunk(lane_sums *sums, const lane_sums *before, int added, const T *value, fl_size n,
                                 fl_sum *loss)
{
    if (!added) {
        *sums = *before;
        add_values(sums, value, n);
    }
    if (is_finite(sums))
        return;
    *sums = *before;
    for (fl_size i = 0; i < n; i++)
        fl_add(loss, (double)value[i]);
}

/* Whether arrays are in no cache, and a loop is written for that: a light one writes results past the caches, but not
 * over an operand, whose lines are there already (one that computes while its stores wait would lose more than it
 * gains: a tenth of binary_cross_entropy_with_logits). */
enum { FAR_BYTES = 1 << 24 };

static int is_far(const fl_pointwise_job *job, const operand *input, const operand *target)
{
    const int cost = LOSS_MAPS[job->loss].cost;
    const char *grad = job->grad.data;
    const int in_place = grad == (const char *)input->direct || grad == (const char *)target->direct;
    return CAN_STREAM && grad && job->size >= FAR_BYTES / (fl_size)sizeof(T) &&
           (waits_for_memory(cost) || (cost == FL_LIGHT && !in_place));
}

/* A block on its way through the loop. */
typedef struct {
    operand input, target, parameters[FL_MAX_PARAMETERS], value, grad, hess;
    const fl_pointwise_job *job;
    map_kernel *map;
    int maps_target, weighs, map_adds;
    fl_size multiple, most; /* the map takes so many elements, or a multiple of that, and at most so many */
    int far; /* see is_far() */
    result_streams streams;
    map_scales scales;    /* of the derivatives, 1 or -1 if something else weighs them */
    lane_sums sums;       /* of the values, if they have no weights, */
    lane_totals weighted; /* if they have, */
    fl_sum loss;          /* and of chunks that float32 cannot add up */
} block_pass;

/* Whether the loop is that of the input, though the target was asked for. */
static int is_negative(const fl_pointwise_job *job)
{
    const loss_maps *maps = &LOSS_MAPS[job->loss];
    return job->wrt == FL_WRT_TARGET && maps->derivatives[FL_WRT_TARGET][0] == maps->derivatives[FL_WRT_INPUT][0];
}

static map_scales scales_of(const fl_pointwise_job *job, double scale)
{
    const split_scale split = split_of(scale), negative = {-split.high, -split.low};
    return (map_scales){is_negative(job) ? negative : split, split};
}

static void open_pass(block_pass *b, const fl_pointwise_job *job)
{
    b->job = job;
    b->map = map_of(job);
    const int cost = LOSS_MAPS[job->loss].cost, wrt = is_negative(job) ? FL_WRT_INPUT : job->wrt;
    const int step = map_step(job->want, wrt, cost);
    b->map_adds = map_adds(cost);
    b->multiple = step > UNIT ? step * WIDTH : LANES;
    b->most = cost == FL_STAGED ? SPAN : CHUNK;
    open_operand(&b->input, &job->input);
    open_operand(&b->target, job->target.data ? &job->target : &job->input);
    open_operand(&b->value, &job->value);
    open_operand(&b->grad, &job->grad);
    open_operand(&b->hess, &job->hess);
    for (int k = 0; k < job->n_parameters; k++)
        open_operand(&b->parameters[k], &job->parameters[k]);
    b->maps_target = job->target_scale != 1 || job->target_shift != 0;
    b->weighs = job->weight.data || job->sample_weight.data || job->grad_output.data || !fits(job->scale);
    b->far = !b->weighs && is_far(job, &b->input, &b->target) && b->grad.direct && (!job->hess.data || b->hess.direct);
    b->scales = scales_of(job, b->weighs ? 1 : job->scale);
    b->sums = NO_SUMS;
    b->weighted = (lane_totals){{0}, {0}};
    b->loss = (fl_sum){0, 0};
}

static const T *target_of_chunk(block_pass *b, fl_size start, fl_size n, fl_size whole)
{
    const T *y = load_chunk(&b->target, start, n, whole);
    if (!b->maps_target)
        return y;
    for (fl_size i = 0; i < whole; i++)
        b->target.scratch[i] = y[i] * (T)b->job->target_scale + (T)b->job->target_shift;
    return b->target.scratch;
}

/* In as many pieces as the map takes: a loop in the map itself kept the compiler from leaving out what no result of a
 * formula in stages needs. */
static void map_chunk(block_pass *b, const T *x, const T *y, const T **p, fl_size n, T *value, T *grad, T *hess,
                      result_streams *streams)
{
    if (n <= b->most) {
        b->map(x, y, p, n, &b->scales, value, grad, hess, &b->sums, streams);
        return;
    }
    for (fl_size i = 0, part; i < n; i += part) {
        part = n - i < b->most ? n - i : b->most;
        b->map(x + i, y + i, p, part, &b->scales, value + i, grad + i, hess + i, &b->sums, streams);
        for (int k = 0; k < b->job->n_parameters; k++)
            p[k] += part;
    }
}

static void run_chunk(block_pass *b, fl_size start, fl_size n)
{
    const fl_pointwise_job *job = b->job;
    const fl_size whole = (n + b->multiple - 1) / b->multiple * b->multiple;
    const T *x = load_chunk(&b->input, start, n, whole), *p[FL_MAX_PARAMETERS];
    const T *y = job->target.data ? target_of_chunk(b, start, n, whole) : x;
    const lane_sums before = b->sums;
    double product[CHUNK], upstream[CHUNK];
    for (int k = 0; k < job->n_parameters; k++)
        p[k] = load_chunk(&b->parameters[k], start, n, whole);
    chunk_factors w = load_weights(&job->weight, &job->sample_weight, start, n, product), u = NO_FACTORS;
    if (job->grad_output.data)
        u = load_factors_of_chunk(&job->grad_output, start, n, upstream);
    if (any_factors(w) && any_factors(u)) {
        w = in_double(w, n, product);
        u = in_double(u, n, upstream);
    }
    T *v = result_chunk(&b->value, start, n, whole), *g = result_chunk(&b->grad, start, n, whole);
    T *h = result_chunk(&b->hess, start, n, whole);
    map_chunk(b, x, y, p, whole, v, g, h, n == whole && b->far ? &b->streams : NULL);
    if (b->weighs && job->want & FL_GRAD)
        weigh_derivatives(g, w, u, n, job->scale, x, y);
    if (b->weighs && job->want & FL_HESS)
        weigh_derivatives(h, w, u, n, job->scale, NULL, NULL);
    if (any_factors(w) && job->want & FL_VALUE) {
        const int fetched = (job->want & FL_GRAD) != 0;
        add_weighted(v, w, n, &b->weighted, fetched ? NULL : x, y);
        if (job->value.data)
            weigh_derivatives(v, w, NO_FACTORS, n, 1, NULL, NULL);
        b->sums = before;
    } else if (job->want & FL_VALUE)
        finish_sums_of_chunk(&b->sums, &before, b->map_adds && n == whole, v, n, &b->loss);
    if (job->value.data)
        store_chunk(&b->value, start, n, whole);
    if (job->want & FL_GRAD)
        store_chunk(&b->grad, start, n, whole);
    if (job->want & FL_HESS)
        store_chunk(&b->hess, start, n, whole);
}

/* What does not fill STRETCH elements is a chunk of its own, lest a whole one pass through scratch. */
static fl_size chunk_length(fl_size left)
{
    enum { STRETCH = 4 * LANES };
    return left >= CHUNK ? CHUNK : left > STRETCH ? left - left % STRETCH : left;
}

static void run_pointwise(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial)
{
    fl_size first, last;
    block_pass b;
    pointwise_bounds(job, block, &first, &last);
    open_pass(&b, job);
    const int streams = b.far && LOSS_MAPS[job->loss].cost == FL_LIGHT;
    if (streams) {
        b.streams.grad = open_stream(b.grad.direct + first);
        b.streams.hess = open_stream(b.hess.direct ? b.hess.direct + first : b.grad.direct);
    }
    for (fl_size start = first, n; start < last; start += n) {
        n = chunk_length(last - start);
        run_chunk(&b, start, n);
    }
    if (streams) {
        close_stream(&b.streams.grad);
        close_stream(&b.streams.hess);
    }
    const fl_sum total = sum_lanes(b.sums.sum, b.sums.error);
    fl_add(&b.loss, total.hi);
    b.loss.lo += total.lo;
    add_lanes(&b.loss, &b.weighted);
    partial->loss = b.loss;
}

#endif
