/* The one loop of all elementwise losses: chunks of a block are read, mapped through a formula, weighted, added up and
 * written. Contiguous memory of type T is used where it lies. */
#ifndef FASTLOSS_POINTWISE_H
#define FASTLOSS_POINTWISE_H

#include "pointwise_checks.h"
#include "pointwise_maps.h"
#include "pointwise_operands.h"

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
 * over the input, whose lines are there already (one that computes while its stores wait would lose more than it
 * gains: a tenth of binary_cross_entropy_with_logits). With a cache of 32 MB, mse_loss takes half the time that way if
 * its three arrays have 13 MB each; if they have 6, hardly less, and its gradient would have to be read again from
 * memory. */
enum { FAR_BYTES = 3 << 23 };

static int is_far(const fl_pointwise_job *job, const operand *input, const operand *result)
{
    const int cost = LOSS_MAPS[job->loss].cost, n_arrays = job->want & FL_HESS ? 4 : 3;
    return CAN_STREAM && result->direct && job->size >= FAR_BYTES / (n_arrays * (fl_size)sizeof(T)) &&
           (waits_for_memory(cost) || (cost == FL_LIGHT && result->direct != input->direct));
}

/* Whether gradients that are far are weighed on the stack and sent past the caches from there: a twelfth of the time of
 * mse_loss with weights, an eighth in float64, a sixth of its gradient alone. (With half as wide vectors the sum of its
 * values takes longer than the memory.) */
static int sends_weighed(const fl_pointwise_job *job)
{
    const int sum_is_slower = UNIT > 1 && !FL_DOUBLE && job->want & FL_VALUE;
    return LOSS_MAPS[job->loss].cost == FL_LIGHT && job->want & FL_GRAD && !(job->want & FL_HESS) &&
           !sum_is_slower;
}

/* A block on its way through the loop. */
typedef struct {
    operand input, target, parameters[FL_MAX_PARAMETERS], value, grad, hess;
    const fl_pointwise_job *job;
    map_kernel *map;
    int maps_target, weighs, map_adds;
    fl_size multiple, most; /* the map takes so many elements, or a multiple of that, and at most so many */
    int far, far_weighed; /* see is_far() and sends_weighed() */
    int staged; /* some of the operands lie in columns */
    result_streams streams;
    map_scales scales;    /* of the derivatives, 1 or -1 if something else weighs them */
    lane_sums sums;       /* of the values, if they have no weights, */
    lane_totals weighted; /* if they have, */
    fl_sum loss;          /* and of chunks that float32 cannot add up */
} block_pass;

static int has_weights(const fl_pointwise_job *job) { return job->weight.data || job->sample_weight.data; }

static const operand *first_result(const block_pass *b)
{
    return b->job->want == FL_VALUE ? &b->value : &b->grad;
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
    open_operand(&b->input, &job->input, 1);
    open_operand(&b->target, job->target.data ? &job->target : &job->input, job->target.data != NULL);
    open_operand(&b->value, &job->value, job->value.data != NULL);
    open_operand(&b->grad, &job->grad, job->want & FL_GRAD);
    open_operand(&b->hess, &job->hess, job->want & FL_HESS);
    for (int k = 0; k < job->n_parameters; k++)
        open_operand(&b->parameters[k], &job->parameters[k], 1);
    b->maps_target = job->target_scale != 1 || job->target_shift != 0;
    b->weighs = has_weights(job) || job->grad_output.data || !fits(job->scale);
    b->staged = b->input.wants_stage | b->target.wants_stage | b->grad.wants_stage | b->value.wants_stage |
                b->hess.wants_stage;
    const int far = is_far(job, &b->input, first_result(b));
    b->far = far && !b->weighs && (!(job->want & FL_HESS) || b->hess.direct);
    b->far_weighed = far && b->weighs && sends_weighed(job);
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

/* Weights and upstream gradients times the results of a chunk; values with weights are added up here. Apart from
 * run_chunk, lest the others wait: what load_weights returns is read back from the stack, and not before all that has
 * been written past the caches is gone (twice the time of mse_loss with AVX2). */
static FL_OUTLINE void weigh_chunk(block_pass *b, fl_size start, fl_size n, const T *x, const T *y, T *value, T *grad,
                                   T *hess)
{
    const fl_pointwise_job *job = b->job;
    factor_scratch product, upstream;
    chunk_factors w, u = NO_FACTORS;
    /* Each operand is fetched ahead by one of the loops; by none for values alone of float64, which took a tenth
     * longer with it. */
    const int adds = job->want & FL_VALUE && !job->value.data, fetches_both = !FL_DOUBLE && !(job->want & FL_GRAD);
    load_weights(&job->weight, &job->sample_weight, start, n, &product, &w);
    if (job->grad_output.data)
        load_factors_of_chunk(&job->grad_output, start, n, &upstream, &u);
    if (any_factors(&w) && any_factors(&u)) {
        in_double(&w, n, &product);
        in_double(&u, n, &upstream);
    }
    if (job->want & FL_GRAD)
        weigh_derivatives(grad, &w, &u, n, job->scale, adds ? NULL : x, y);
    if (job->want & FL_HESS)
        weigh_derivatives(hess, &w, &u, n, job->scale, NULL, NULL);
    if (any_factors(&w) && job->value.data)
        weigh_derivatives(value, &w, &NO_FACTORS, n, 1, fetches_both ? x : NULL, fetches_both ? y : NULL);
    else if (any_factors(&w) && adds)
        add_weighted(value, &w, n, &b->weighted, x, job->want & FL_GRAD ? NULL : y);
}

/* A chunk of the gradient, which lies in its scratch, past the caches. */
static FL_OUTLINE void send_chunk(block_pass *b, fl_size n)
{
    line_stream s = resume_stream(&b->streams.first);
    for (fl_size i = 0; i < n; i += WIDTH)
        stream_vector(&s, v_load(b->grad.scratch + i));
    keep_stream(&b->streams.first, &s);
}

static void run_chunk(block_pass *b, fl_size start, fl_size n)
{
    const fl_pointwise_job *job = b->job;
    const fl_size whole = (n + b->multiple - 1) / b->multiple * b->multiple;
    const T *x = load_chunk(&b->input, start, n, whole), *p[FL_MAX_PARAMETERS];
    const T *y = job->target.data ? target_of_chunk(b, start, n, whole) : x;
    const lane_sums before = b->sums;
    for (int k = 0; k < job->n_parameters; k++)
        p[k] = load_chunk(&b->parameters[k], start, n, whole);
    const int sends = b->far_weighed && n == whole;
    T *v = result_chunk(&b->value, start, n, whole);
    T *g = sends ? b->grad.scratch : result_chunk(&b->grad, start, n, whole);
    T *h = result_chunk(&b->hess, start, n, whole);
    map_chunk(b, x, y, p, whole, v, g, h, n == whole && b->far ? &b->streams : NULL);
    if (b->weighs)
        weigh_chunk(b, start, n, x, y, v, g, h);
    if (has_weights(job))
        b->sums = before;
    else if (job->want & FL_VALUE && !job->value.data)
        finish_sums_of_chunk(&b->sums, &before, b->map_adds && n == whole, v, n, &b->loss);
    if (job->value.data)
        store_chunk(&b->value, start, n, whole);
    if (sends)
        send_chunk(b, n);
    else if (job->want & FL_GRAD)
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

static FL_OUTLINE void run_chunks(block_pass *b, fl_size first, fl_size last)
{
    const int streams = (b->far && LOSS_MAPS[b->job->loss].cost == FL_LIGHT) || b->far_weighed;
    if (streams) {
        b->streams.first = open_stream(first_result(b)->direct + first);
        b->streams.hess = open_stream(b->job->want & FL_HESS ? b->hess.direct + first : first_result(b)->direct);
    }
    for (fl_size start = first, n; start < last; start += n) {
        n = chunk_length(last - start);
        run_chunk(b, start, n);
    }
    if (streams) {
        close_stream(&b->streams.first);
        close_stream(&b->streams.hess);
    }
}

/* A function of its own, because few calls need so much of the stack. */
static FL_OUTLINE void run_chunks_staged(block_pass *b, fl_size first, fl_size last)
{
    FL_ALIGNED T stages[N_STAGES][ROW_STAGE];
    operand *const operands[] = {&b->input, &b->target, &b->grad, &b->value, &b->hess};
    int n = 0;
    for (int k = 0; k < 5 && n < N_STAGES; k++)
        if (operands[k]->wants_stage)
            open_stage(operands[k], stages[n++], first, last);
    run_chunks(b, first, last);
}

static void run_pointwise(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial)
{
    fl_size first, last;
    block_pass b;
    pointwise_bounds(job, block, &first, &last);
    open_pass(&b, job);
    if (b.staged)
        run_chunks_staged(&b, first, last);
    else
        run_chunks(&b, first, last);
    partial->loss = (fl_sum){0, 0};
    if (job->value.data) /* values that are kept are not added up, though some loops do it */
        return;
    const fl_sum total = sum_lanes(b.sums.sum, b.sums.error);
    fl_add(&b.loss, total.hi);
    b.loss.lo += total.lo;
    add_lanes(&b.loss, &b.weighted);
    partial->loss = b.loss;
}

#endif
