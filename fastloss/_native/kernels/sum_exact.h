/* The sums of softmax_grad and log_softmax_grad, to twice the digits of T: their terms have both signs, and the results
 * are differences to them, which may cancel once more.
 *
 * In float32 products are added up in double, which holds them exactly: half the operations of sums that carry their
 * errors, and no chain of three additions for each vector (1000 classes: half the time of the sum). Not the terms of
 * log_softmax_grad, of which 1 and -1 may leave one of 1e-17. */
#ifndef FASTLOSS_SUM_EXACT_H
#define FASTLOSS_SUM_EXACT_H

#include "sum_terms.h"

/* --- in double --- */

FL_INLINE int adds_in_double(int op) { return !FL_DOUBLE && op == FL_SOFTMAX_GRAD; }

#if !FL_DOUBLE
enum { HALF = VECTOR_BYTES < 16 ? 1 : VECTOR_BYTES / 8 }; /* doubles in a vector */

/* A vector of doubles; those of the floats at p. (By intrinsics: otherwise gcc loads a whole vector of floats and takes
 * it apart.) */
#if FL_AVX512
typedef __m512d doubles;
FL_INLINE doubles doubles_at(const T *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
FL_INLINE doubles plus_product(doubles sum, doubles x, doubles t) { return _mm512_fmadd_pd(x, t, sum); }
#elif FL_AVX2
typedef __m256d doubles;
FL_INLINE doubles doubles_at(const T *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FL_INLINE doubles plus_product(doubles sum, doubles x, doubles t) { return _mm256_fmadd_pd(x, t, sum); }
#else
typedef struct {
    double at[HALF];
} doubles;
#define FOR_DOUBLES(l) for (int l = 0; l < HALF; l++)
FL_INLINE doubles doubles_at(const T *p)
{
    doubles x;
    FOR_DOUBLES(l) x.at[l] = (double)p[l];
    return x;
}
FL_INLINE doubles plus_product(doubles sum, doubles x, doubles t) /* which is exact, with and without fma */
{
    FOR_DOUBLES(l) sum.at[l] = sum.at[l] + x.at[l] * t.at[l];
    return sum;
}
#endif
#undef FOR_DOUBLES

/* Adds the products of n elements to as many sums. n is a constant. */
FL_INLINE void add_products(const T *x, const T *t, int n, doubles *sum)
{
    FL_UNROLL
    for (int i = 0; i < n; i += HALF)
        sum[i / HALF] = plus_product(sum[i / HALF], doubles_at(x + i), doubles_at(t + i));
}

/* A sum in each lane of a unit. */
typedef struct {
    doubles sum[LANES / HALF];
} product_sums;

static const product_sums NO_PRODUCTS;

/* Of n classes of a row. */
static FL_OUTLINE void add_products_of_chunk(const T *x, const T *t, fl_size n, product_sums *sums)
{
    product_sums local = *sums;
    fl_size i = 0;
    for (; i + LANES <= n; i += LANES) {
        fetch_sum_row(FL_SOFTMAX_GRAD, x + i, t + i);
        add_products(x + i, t + i, LANES, local.sum);
    }
    if (i < n) {
        T x_rest[LANES] = {0}, t_rest[LANES] = {0};
        memcpy(x_rest, x + i, (size_t)(n - i) * sizeof(T));
        memcpy(t_rest, t + i, (size_t)(n - i) * sizeof(T));
        add_products(x_rest, t_rest, LANES, local.sum);
    }
    *sums = local;
}

static fl_sum total_of_products(const product_sums *sums)
{
    double total[LANES];
    memcpy(total, sums, sizeof total);
    add_halves(total, 8);
    add_halves(total, 4);
    add_halves(total, 2);
    add_halves(total, 1);
    return (fl_sum){total[0], 0};
}

/* Of WIDTH rows of a tile. */
FL_INLINE void products_of_rows(const T *x, const T *t, fl_size n_classes, const T *ahead, fl_sum sums[WIDTH])
{
    product_sums local = NO_PRODUCTS;
    double sum_of_lane[WIDTH];
    for (fl_size c = 0; c < n_classes; c++) {
        v_prefetch(ahead + c * WIDTH);
        add_products(x + c * LANES, t + c * LANES, WIDTH, local.sum);
    }
    memcpy(sum_of_lane, &local, sizeof sum_of_lane);
    for (int l = 0; l < WIDTH; l++)
        sums[l] = (fl_sum){sum_of_lane[l], 0};
}
#else
typedef struct {
    char none;
} product_sums;

FL_INLINE void add_products_of_chunk(const T *x, const T *t, fl_size n, product_sums *sums)
{
    (void)x, (void)t, (void)n, (void)sums;
}
FL_INLINE fl_sum total_of_products(const product_sums *sums)
{
    (void)sums;
    return (fl_sum){0, 0};
}
FL_INLINE void products_of_rows(const T *x, const T *t, fl_size n_classes, const T *ahead, fl_sum sums[WIDTH])
{
    (void)x, (void)t, (void)n_classes, (void)ahead, (void)sums;
}
#endif

/* --- in T, with the errors --- */

/* Adds a term and what its product lacks to be exact. */
FL_INLINE void add_exactly(int op, vf x, vf t, vf *sum, vf *error)
{
    if (!FL_DOUBLE || op == FL_LOG_SOFTMAX_GRAD) {
        v_two_sum(sum, error, t);
        return;
    }
    const vf product = x * t;
    vf rounding = v_product_error(x, t, product);
#if !FL_HAS_FMA /* so it may be NaN although the product is a number; if that is none, the sum has no error anyway */
    rounding = v_finite_or_zero(rounding);
#endif
    v_two_sum(sum, error, product);
    *error = *error + rounding;
}

/* Of n classes of a row. */
static FL_OUTLINE void add_exact_chunk(int op, const T *x, const T *t, fl_size n, lane_sums *sums)
{
    lane_sums local = *sums;
    for (fl_size i = 0; i < n; i += LANES) {
        FL_KEEP_ONE_LOOP(op);
        fetch_sum_row(op, x + i, t + i);
        for (int k = 0; k < UNIT && i + k * WIDTH < n; k++) {
            const fl_size at = i + k * WIDTH;
            const vf x_at = FL_DOUBLE ? v_load_up_to(x + at, n - at, v_set(0)) : v_set(0);
            add_exactly(op, x_at, v_load_up_to(t + at, n - at, v_set(0)), &local.sum[k], &local.error[k]);
        }
    }
    *sums = local;
}

/* fold() without loss: in double alone, small terms that large ones have left would be lost. */
static FL_OUTLINE void fold_exactly(fl_sum *total, lane_sums *lanes)
{
    T sums[LANES], errors[LANES];
    for (int k = 0; k < UNIT; k++) {
        v_store(sums + k * WIDTH, lanes->sum[k]);
        v_store(errors + k * WIDTH, v_finite_or_zero(lanes->error[k]));
    }
    FL_LANEWISE
    for (int l = 0; l < LANES; l++) {
        fl_add(total, (double)sums[l]);
        total->lo += (double)errors[l];
    }
    *lanes = NO_SUMS;
}

/* The sums of WIDTH rows of a tile, a row a lane. What lies ahead is fetched (see narrow_exps). */
static FL_OUTLINE void exact_sums_of_rows(int op, const T *x, const T *t, fl_size n_classes, const T *ahead,
                                          fl_sum sums[WIDTH])
{
    vf sum = v_set(0), error = v_set(0);
    T sum_of_lane[WIDTH], error_of_lane[WIDTH];
    if (adds_in_double(op)) {
        products_of_rows(x, t, n_classes, ahead, sums);
        return;
    }
    for (fl_size c = 0; c < n_classes; c++) {
        FL_KEEP_ONE_LOOP(op);
        v_prefetch(ahead + c * WIDTH);
        add_exactly(op, FL_DOUBLE ? v_load(x + c * LANES) : v_set(0), v_load(t + c * LANES), &sum, &error);
    }
    v_store(sum_of_lane, sum);
    v_store(error_of_lane, error);
    for (int l = 0; l < WIDTH; l++)
        sums[l] = (fl_sum){sum_of_lane[l], error_of_lane[l]};
}

#endif
