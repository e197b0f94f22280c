/* The loops over the elements of a chunk, from each formula of losses.def one for whatever results may be wanted; and
 * which of them is a job's. */
#ifndef FASTLOSS_POINTWISE_MAPS_H
#define FASTLOSS_POINTWISE_MAPS_H

#include "formulas_binary.h"
#include "formulas_likelihood.h"
#include "formulas_margin.h"
#include "formulas_regression.h"
#include "formulas_transforms.h"
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

/* Where results go past the caches: the gradient or, if values are all that is wanted, these; and the Hessian. Those of
 * a loop which does not send them there are not used. */
typedef struct {
    line_stream first, hess;
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
 * memory would be idle: where a vector is a whole unit, unless nobody wants the sum, and with two to a unit where the
 * loop waits for memory. (It needs the formula once for each vector of the unit: for the others a wheel half as large
 * again.) */
FL_INLINE int map_adds(int cost)
{
    return (UNIT == 1 && cost != FL_TRANSFORM) || (UNIT == 2 && cost == FL_LIGHT);
}

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

FL_INLINE void store_result(T *to, vf x, int streaming, line_stream *stream)
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
    const int fetches_results = waits_for_memory(cost); /* with AVX2 a third of the time on an Intel Xeon */
    FL_UNROLL
    for (int k = 0; k < step; k++) {
        const fl_size i = start + k * WIDTH;
        if (want & FL_VALUE)
            store_result(r->value + i, t[k].value, sends && want == FL_VALUE, &streams->first);
        if (adds)
            v_two_sum(&sums->sum[k % UNIT], &sums->error[k % UNIT], t[k].value);
        if (far && k == 0 && (cost == FL_LIGHT || fetches_results)) {
            if (cost != FL_LIGHT)
                FL_KEEP_CONDITIONAL;
            fetch_ahead(x + i, step, 0);
            fetch_ahead(y + i, step, 0);
            if (fetches_results && want & FL_GRAD)
                fetch_ahead(r->grad + i, step, 1);
            if (fetches_results && want & FL_HESS)
                fetch_ahead(r->hess + i, step, 1);
        }
        if (want & FL_GRAD)
            store_result(r->grad + i, v_scaled(t[k].grad[wrt], scales.grad), sends, &streams->first);
        if (want & FL_HESS)
            store_result(r->hess + i, v_scaled(t[k].hess[wrt], scales.hess), sends, &streams->hess);
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
    result_streams local_streams = {0};
    /* The light ones do not mind where others are held up (types.h). */
    int far = CAN_STREAM && streams != NULL && (cost == FL_LIGHT || fl_fetches_ahead);
    if (cost == FL_LIGHT && far) {
        local_streams.first = resume_stream(&streams->first);
        if (want & FL_HESS)
            local_streams.hess = resume_stream(&streams->hess);
    }
    FL_UNROLL
    for (int stage = 1; stage < MOST_STAGES && cost == FL_STAGED; stage++)
        for (fl_size i = 0; i < n; i += WIDTH)
            terms_at(f, n_parameters, i, x, y, p, carried, stage);
    for (fl_size start = 0; start < n; start += step * WIDTH) {
        terms t[DEEP > (int)UNIT ? (int)DEEP : (int)UNIT];
        FL_UNROLL
        for (int k = 0; k < step; k++)
            t[k] = terms_at(f, n_parameters, start + k * WIDTH, x, y, p, carried, MOST_STAGES);
        if (CAN_STREAM) {
            FL_KEEP_ONE_LOOP(far);
        }
        take_terms(t, step, want, wrt, cost, start, x, y, factors, &results, &local, far, &local_streams);
    }
    if (cost == FL_LIGHT && far) {
        keep_stream(&streams->first, &local_streams.first);
        if (want & FL_HESS)
            keep_stream(&streams->hess, &local_streams.hess);
    }
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
#define ORDERED_FL_TRANSFORM ORDERED_FL_HEAVY
#define ORDERED_FL_LIGHT

/* Only what has stages is told of them. */
#define TERMS_LIGHT(name) ((void)s, name##_terms(x, y, p))
#define TERMS_HEAVY TERMS_LIGHT
#define TERMS_DEEP TERMS_LIGHT
#define TERMS_DEEPER TERMS_LIGHT
#define TERMS_TRANSFORM TERMS_LIGHT
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
    int cost, is_difference;
    map_kernel *value, *derivatives[3][3];
} loss_maps;

#define IS_DIFFERENCE_NOTHING 0
#define IS_DIFFERENCE_INPUT 0
#define IS_DIFFERENCE_TARGET 0
#define IS_DIFFERENCE_DIFFERENCE 1
#define IS_DIFFERENCE_PARAMETER 1
#define ROW_NOTHING(name) {NULL, NULL, NULL}
#define ROW_INPUT(name) {name##_grad, name##_both, name##_hess}
#define ROW_TARGET(name) ROW_INPUT(name), {name##_target_grad, name##_target_both, name##_target_hess}
#define ROW_DIFFERENCE(name) ROW_INPUT(name), ROW_INPUT(name)
#define ROW_PARAMETER(name) ROW_DIFFERENCE(name), {name##_parameter_grad, name##_parameter_both, name##_parameter_hess}
#define FL_LOSS(name, n_parameters, with_respect_to, cost) \
    {FL_##cost, IS_DIFFERENCE_##with_respect_to, name##_value, {ROW_##with_respect_to(name)}},
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

/* Whether the loop is that of the input, though the target was asked for. */
static int is_negative(const fl_pointwise_job *job)
{
    return job->wrt == FL_WRT_TARGET && LOSS_MAPS[job->loss].is_difference;
}

static map_scales scales_of(const fl_pointwise_job *job, double scale)
{
    const split_scale split = split_of(scale), negative = {-split.high, -split.low};
    return (map_scales){is_negative(job) ? negative : split, split};
}

#endif
