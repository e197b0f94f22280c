/* The sums of softmax_grad and log_softmax_grad, to twice the digits of T: their terms have both signs, and the results
 * are differences to them, which may cancel once more.
 *
 * In float32 they are those of double, in which a product is exact: half the operations of sums that carry their
 * errors, and no chain of three additions for each vector (1000 classes: half the time of the sum). */
#ifndef FASTLOSS_SUM_EXACT_H
#define FASTLOSS_SUM_EXACT_H

#include "sum_terms.h"

/* What the terms are products of: the x of softmax_grad, and ones, always the same, of log_softmax_grad. */
typedef struct {
    FL_ALIGNED T ones[LANES];
    const T *x;
    fl_size step; /* elements for each of the classes: 0 or 1 */
} exact_products;

FL_INLINE void open_products(int op, const T *x, exact_products *f)
{
    for (int l = 0; l < LANES; l++)
        f->ones[l] = 1;
    f->x = op == FL_SOFTMAX_GRAD ? x : f->ones;
    f->step = op == FL_SOFTMAX_GRAD;
}

#if FL_DOUBLE
/* Adds a term and what its product lacks to be exact. */
FL_INLINE void add_exactly(vf x, vf t, vf *sum, vf *error)
{
    const vf product = x * t;
    vf rounding = v_product_error(x, t, product);
#if !FL_HAS_FMA /* so it may be NaN although the product is a number; if that is none, the sum has no error anyway */
    rounding = v_finite_or_zero(rounding);
#endif
    v_two_sum(sum, error, product);
    *error = *error + rounding;
}

/* A sum in each lane of a unit. */
typedef lane_sums exact_lanes;

FL_INLINE fl_sum total_of_exact(const exact_lanes *lanes) { return sum_lanes(lanes->sum, lanes->error); }

FL_INLINE void add_exact_unit(const T *x, const T *t, exact_lanes *lanes)
{
    for (int k = 0; k < UNIT; k++)
        add_exactly(v_load(x + k * WIDTH), v_load(t + k * WIDTH), &lanes->sum[k], &lanes->error[k]);
}

/* A row a lane. */
FL_INLINE void add_exact_rows(const exact_products *f, const T *t, fl_size n_classes, const T *ahead,
                              fl_sum sums[WIDTH])
{
    vf sum = v_set(0), error = v_set(0);
    T sum_of_lane[WIDTH], error_of_lane[WIDTH];
    for (fl_size c = 0; c < n_classes; c++) {
        v_prefetch(ahead + c * WIDTH);
        add_exactly(v_load(f->x + c * LANES * f->step), v_load(t + c * LANES), &sum, &error);
    }
    v_store(sum_of_lane, sum);
    v_store(error_of_lane, error);
    for (int l = 0; l < WIDTH; l++)
        sums[l] = (fl_sum){sum_of_lane[l], error_of_lane[l]};
}
#else
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

/* Adds the products of n elements to as many sums. n is a constant. */
FL_INLINE void add_exactly(const T *x, const T *t, int n, doubles *sum)
{
    FL_UNROLL
    for (int i = 0; i < n; i += HALF)
        sum[i / HALF] = plus_product(sum[i / HALF], doubles_at(x + i), doubles_at(t + i));
}

typedef struct {
    doubles sum[LANES / HALF];
} exact_lanes;

FL_INLINE fl_sum total_of_exact(const exact_lanes *lanes)
{
    double total[LANES];
    memcpy(total, lanes, sizeof total);
    add_halves(total, 8);
    add_halves(total, 4);
    add_halves(total, 2);
    add_halves(total, 1);
    return (fl_sum){total[0], 0};
}

FL_INLINE void add_exact_unit(const T *x, const T *t, exact_lanes *lanes) { add_exactly(x, t, LANES, lanes->sum); }

FL_INLINE void add_exact_rows(const exact_products *f, const T *t, fl_size n_classes, const T *ahead,
                              fl_sum sums[WIDTH])
{
    static const exact_lanes none;
    exact_lanes sum = none;
    double sum_of_lane[WIDTH];
    for (fl_size c = 0; c < n_classes; c++) {
        v_prefetch(ahead + c * WIDTH);
        add_exactly(f->x + c * LANES * f->step, t + c * LANES, WIDTH, sum.sum);
    }
    memcpy(sum_of_lane, &sum, sizeof sum_of_lane);
    for (int l = 0; l < WIDTH; l++)
        sums[l] = (fl_sum){sum_of_lane[l], 0};
}
#endif

/* Adds n classes of a row. */
static FL_OUTLINE void add_exact_chunk(int op, const T *x, const T *t, fl_size n, exact_lanes *lanes)
{
    exact_products f;
    exact_lanes local = *lanes;
    fl_size i = 0;
    open_products(op, x, &f);
    for (; i + LANES <= n; i += LANES) {
        fetch_sum_row(op, f.x + i * f.step, t + i);
        add_exact_unit(f.x + i * f.step, t + i, &local);
    }
    if (i < n) {
        T x_rest[LANES] = {0}, t_rest[LANES] = {0};
        memcpy(x_rest, f.x + i * f.step, (size_t)(n - i) * sizeof(T));
        memcpy(t_rest, t + i, (size_t)(n - i) * sizeof(T));
        add_exact_unit(x_rest, t_rest, &local);
    }
    *lanes = local;
}

/* The sums of WIDTH rows of a tile. What lies ahead is fetched (see narrow_exps). */
static FL_OUTLINE void exact_sums_of_rows(int op, const T *x, const T *t, fl_size n_classes, const T *ahead,
                                          fl_sum sums[WIDTH])
{
    exact_products f;
    open_products(op, x, &f);
    add_exact_rows(&f, t, n_classes, ahead, sums);
}

#endif
