/* The focal loss of a softmax is cross-entropy with a weight of each row that depends on the row's statistics.
 *
 * With p the label's probability, q = 1 - p and n = -log p, the loss is w q^gamma n, and because the gradient of n is
 * p_c - [c is the label],
 *
 *     dloss/dx_c   = A (p_c - [c is the label])
 *     d2loss/dx_c2 = A p_c (1 - p_c) + K ([c is the label] - p_c)^2
 *
 * where, with s = p n / q, which lies between 0 and 1 (p close to 1),
 *
 *     A = w q^gamma (1 + gamma s)                                 a sum of positive terms
 *     K = w q^gamma gamma ((p / q) (2 + (gamma - 1) s) - s)       changes sign where p is small
 *
 * and at the label itself, the terms sorted,
 *
 *     dloss/dx_y   = -w q^gamma (q + gamma p n)
 *     d2loss/dx_y2 = w q^gamma ((2 gamma + 1) p q + gamma p n ((gamma + 1) p - 1)).
 *
 * So the gradient is row_group.h's, with A for the label's weight. The Hessian crosses 0 at the label where p is small
 * (n near 2 + 1/gamma), and at another class that has nearly all of the probability. */
#ifndef FASTLOSS_FOCAL_ROWS_H
#define FASTLOSS_FOCAL_ROWS_H

#include "row_group.h"

/* (q + q_low)^(gamma + gamma_low) for q from 0 to 1 and gamma > 0; 0 below the smallest normal number. The logarithm is
 * had in two parts, since its error comes out multiplied by gamma and by its own size. */
FL_INLINE vf v_power_below(vf q, vf q_low, vf gamma, vf gamma_low)
{
    static const T c[] = PICK(LOG1P_R_F32, LOG1P_R_F64);
    vf k, f;
    v_split_logarithm(q, &k, &f);
    /* as v_join_logarithm, but for the roundings, which are collected in `low` */
    vf square = f * f, half = v_set((T)0.5) * square, t = f / (v_set(2) + f), t2 = t * t;
    vf half_low = v_set((T)0.5) * v_product_error(f, f, square);
    vf tail = v_polynomial(c, PICK(LOG1P_R_F32_DEGREE, LOG1P_R_F64_DEGREE), t2) * t2;
    vf low = t * (half + tail) + (k * v_set(PICK(LN2_LO_F32, LN2_LO_F64)) + q_low / q);
    vf main = f - half;
    low = low + (((f - main) - half) - half_low);
    vf sum = k * v_set(PICK(LN2_HI_F32, LN2_HI_F64)), error = v_set(0);
    v_two_sum(&sum, &error, main);
    low = low + error;
    vf log = sum + low;
    low = low - (log - sum);

    vf product = gamma * log;
    vf product_low = v_product_error(gamma, log, product) + (gamma * low + gamma_low * log);
    vf power = v_exp_nonpositive_and(product, product_low);
    return v_where_eq(q, v_set(0), v_set(0), power);
}

/* What the lanes compute for a group. */
typedef struct {
    T logs[GROUP];      /* log of the sum of exp(x - maximum) */
    T power[GROUP];     /* q^gamma */
    double q[GROUP], p[GROUP];
} focal_lanes;

/* The label's probability p and q = 1 - p, from all but the label; returns what q lacks, because its relative error
 * comes out of the power multiplied by gamma. (If T is float, a double lacks nothing.) */
FL_INLINE double label_share(const row_group *g, int l, double label_exp, double *p, double *q)
{
    double others = g->others[l], sum = 1 + others, low = 0;
    double besides_top = others - label_exp, besides = 1 + besides_top;
    if (FL_DOUBLE)
        low = sum_error(others, -label_exp, besides_top) + sum_error(1, besides_top, besides);
    if (g->label[l] == g->top[l]) {
        besides = others;
        low = 0;
    }
    *q = besides / sum;
    low = FL_DOUBLE ? (fma(-*q, sum, besides) + (low - *q * sum_error(1, others, sum))) / sum : 0;
    *p = *q < 0.5 ? (1 - *q) - low : label_exp / sum;
    return low;
}

static void focal_powers(const fl_rows_job *job, const row_group *g, focal_lanes *f)
{
    const double bounded = job->gamma < 1e30 ? job->gamma : 1e30; /* same result, and no overflow */
    const T gamma = (T)bounded, gamma_low = (T)(bounded - (double)gamma);
    T q[GROUP], q_low[GROUP];
    group_logs(g, f->logs);
    for (int l = 0; l < g->lanes; l++)
        q_low[l] = (T)label_share(g, l, g->label_exp[l], &f->p[l], &f->q[l]);
    for (int l = 0; l < g->lanes; l++) {
        q[l] = (T)f->q[l];
        q_low[l] = (T)(f->q[l] - (double)q[l]) + q_low[l];
    }
    for (int l = 0; l < g->lanes; l += WIDTH)
        v_store(f->power + l, v_power_below(v_load(q + l), v_load(q_low + l), v_set(gamma), v_set(gamma_low)));
}

/* From the statistics of rows [first, last) of the group to their weights. */
static void focal_factors(const fl_rows_job *job, row_group *g, int first, int last)
{
    const double gamma = job->gamma;
    focal_lanes f;
    focal_powers(job, g, &f);
    for (int l = first; l < last; l++) {
        double p = f.p[l], q = f.q[l], power = (double)f.power[l];
        double nll = g->distance[l] + (double)f.logs[l];
        double p_nll = p == 0 ? 0 : p * nll; /* 0 * inf counts 0 */
        double s = q == 0 ? 1 : p_nll / q;
        double odds = q == 0 ? 0 : p / q; /* with q = 0 the power is 0, too */
        double part = p > 0.5 ? gamma - (gamma + 1) * q : (gamma + 1) * p - 1;
        double weight = g->own[l] * power;
        g->loss_weight[l] = weight;
        g->own[l] = g->total[l] = weight * (1 + gamma * s);
        g->label_gradient[l] = 0 - weight * (q + gamma * p_nll);
        g->curvature[l] = weight * gamma * (odds * (2 + (gamma - 1) * s) - s);
        g->label_hessian[l] = weight * ((2 * gamma + 1) * p * q + gamma * p_nll * part);
    }
}

/* At the maximum, if that is not the label. */
static double focal_hessian_at_top(const row_group *g, int l)
{
    double sum = 1 + g->others[l];
    return g->scale[l] * (g->own[l] * (g->others[l] / sum) + g->curvature[l] / sum) / sum;
}

/* Gradient and Hessian at the label, and the Hessian at the maximum, if they lie in classes [c, c + n); `step` elements
 * from class to class. */
static void mend_focal_row(const row_group *g, int l, fl_size c, fl_size n, fl_size step, T *grad, T *hess)
{
    const fl_size label = (fl_size)g->label[l] - c, top = (fl_size)g->top[l] - c;
    if (hess && top >= 0 && top < n)
        hess[top * step] = (T)focal_hessian_at_top(g, l);
    if (label < 0 || label >= n)
        return;
    grad[label * step] = (T)(g->scale[l] * g->label_gradient[l]);
    if (hess)
        hess[label * step] = (T)(g->scale[l] * g->label_hessian[l]);
}

#endif
