/* What Python hands to the kernels: views of arrays, and one job for each family of losses.
 *
 * Nothing here depends on the instruction set or on the working type; the .pxd files mirror it. */
#ifndef FASTLOSS_TYPES_H
#define FASTLOSS_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t fl_size; /* Py_ssize_t without Python.h */

/* How an element lies in memory. The order is that of NumPy's promotion, the four floating kinds last:
 * only they can be written. */
enum fl_kind {
    FL_BOOL, FL_I8, FL_U8, FL_I16, FL_U16, FL_I32, FL_U32, FL_I64, FL_U64,
    FL_F16, FL_BF16, FL_F32, FL_F64
};

/* NPY_MAXDIMS of NumPy 2 is 64. */
enum { FL_MAX_DIMS = 64 };

/* An array as a flat sequence in C order. Dimensions that can be merged have been merged, so that a contiguous array
 * has one; a broadcast one has stride 0. ndim == 0 means a single element. */
typedef struct {
    char *data; /* NULL: this argument was not given */
    int kind;
    int swapped; /* the other byte order */
    int ndim;
    fl_size shape[FL_MAX_DIMS];
    fl_size strides[FL_MAX_DIMS]; /* in bytes */
} fl_view;

/* Whether the rows of a view, whose last dimension is that of the classes, lie closer together than the classes. Views
 * have no dimensions of one element: if there is but one class, the last is another. */
static inline int fl_lies_in_columns(const fl_view *view, fl_size n_classes)
{
    const int last = view->ndim - 1;
    if (last < 1 || view->shape[last] != n_classes)
        return 0;
    const fl_size row_step = view->strides[last - 1], class_step = view->strides[last];
    return (row_step < 0 ? -row_step : row_step) < (class_step < 0 ? -class_step : class_step);
}

/* Whether loops over long arrays ask for memory ahead of its turn: on all processors but those of which dispatch.c
 * knows that they do better without. Set once, before any kernel runs. */
extern int fl_fetches_ahead;

/* A sum in twice the precision of double: hi + lo. */
typedef struct {
    double hi, lo;
} fl_sum;

/* Knuth's TwoSum: what the addition to hi loses is kept in lo, whichever of the two is larger. */
static inline void fl_add(fl_sum *total, double x)
{
    double sum = total->hi + x;
    double part = sum - total->hi;
    total->lo += (total->hi - (sum - part)) + (x - part);
    total->hi = sum;
}

/* The sum in one number. Once it is infinite, lo holds NaN. */
static inline double fl_total(fl_sum sum) { return sum.hi - sum.hi == 0 ? sum.hi + sum.lo : sum.hi; }

/* From FL_MULTI_MARGIN on: the operations of sum_terms.h. */
enum fl_rows_op {
    FL_CROSS_ENTROPY, FL_NLL, FL_SOFTMAX, FL_LOG_SOFTMAX, FL_LOGSUMEXP, FL_SOFTMAX_FOCAL,
    FL_MULTI_MARGIN, FL_MULTI_MARGIN_SQUARED, FL_PROBABILITY_CROSS_ENTROPY, FL_SOFTMAX_GRAD, FL_LOG_SOFTMAX_GRAD
};

/* One call of the softmax family. The class axis is last in every view that has one; "row" is everything else. */
typedef struct {
    int op;
    fl_size n_rows, n_classes, block_rows, n_blocks;
    fl_size together; /* how many blocks a kernel walks at once, from the one it is called for on: 1, but for blocks
                       * of one row that share lines of memory, or of which one class is read */

    fl_view input;         /* rows x classes */
    fl_view labels;        /* rows, integers; or ... */
    fl_view target;        /* rows x classes, probabilities; the gradient that a transform's is computed from */
    fl_view weight;        /* classes */
    fl_view sample_weight; /* rows */
    fl_view grad_output;   /* rows */
    fl_view value;         /* rows, written */
    fl_view grad, hess;    /* rows x classes, written */

    int has_ignore;         /* the label dtype can hold ignore_index */
    uint64_t ignore_bits;   /* its 64-bit pattern, sign-extended */
    double smoothing;
    double gamma;           /* of the focal loss, positive */
    double margin;
    double scale;           /* of every gradient: upstream gradient over normaliser */
    int want_sum;           /* add the losses up in the block's partial */
} fl_rows_job;

/* What one block of rows found. */
typedef struct {
    fl_sum loss;
    fl_sum weight;            /* of the rows that count */
    fl_size bad_label;        /* first row whose label is out of range, or -1 */
    fl_size bad_sample_weight; /* first row whose sample weight is negative or NaN, or -1 */
    fl_size bad_input, bad_target; /* first element that is no probability, or -1; where that matters */
} fl_rows_partial;

typedef void (*fl_rows_kernel)(const fl_rows_job *job, fl_size block, fl_rows_partial *partial);

/* The elementwise losses, numbered in the order of losses.def. */
enum fl_loss {
#define FL_LOSS(name, n_parameters, with_respect_to, cost) FL_LOSS_##name,
#include "losses.def"
#undef FL_LOSS
    FL_N_LOSSES
};

enum { FL_MAX_PARAMETERS = 4, FL_MAX_CHECKS = FL_MAX_PARAMETERS + 4 };

/* See losses.def. */
enum { FL_LIGHT, FL_HEAVY, FL_DEEP, FL_DEEPER, FL_STAGED, FL_TRANSFORM };

/* What a call asks for, added up. */
enum { FL_VALUE = 1, FL_GRAD = 2, FL_HESS = 4 };

/* What to differentiate with respect to: the input, the target, or the first parameter. */
enum { FL_WRT_INPUT, FL_WRT_TARGET, FL_WRT_PARAMETER };

/* The domain of an argument: from low to high, low itself left out if bit 1 of `open` is set, high if bit 2; or, if
 * `pair`, just those two values. */
typedef struct {
    const fl_view *view;
    double low, high;
    int open, pair, allows_nan;
    int always; /* also where the sample weight is 0 */
} fl_check;

/* One call of an elementwise loss. All views have the input's shape, broadcast if need be; ndim 0 is one number. */
typedef struct {
    int loss, want, wrt;
    int n_parameters, n_checks;
    fl_size size, block_size, n_blocks;
    fl_view input, target; /* a transform has no target */
    fl_view parameters[FL_MAX_PARAMETERS];
    double parameter_values[FL_MAX_PARAMETERS]; /* where the views of plain numbers point */
    double target_scale, target_shift;          /* applied to the target as it is read */
    fl_view weight, sample_weight, grad_output;
    int weight_counts; /* `weight` enters the denominator of "mean" */
    fl_view value, grad, hess;
    fl_check checks[FL_MAX_CHECKS];
    double scale; /* of gradient and Hessian */
} fl_pointwise_job;

/* What one block of elements found. */
typedef struct {
    fl_sum loss; /* 0 where each element's is kept */
    fl_sum weight;
    fl_size bad[FL_MAX_CHECKS]; /* first element that fails the check, or -1 */
} fl_pointwise_partial;

typedef void (*fl_pointwise_kernel)(const fl_pointwise_job *job, fl_size block, fl_pointwise_partial *partial);

/* Everything compiled for one instruction set and one working type. */
typedef struct {
    const char *isa;
    fl_rows_kernel check_rows; /* validates labels and sample weights, sums the weights; writes nothing else */
    fl_rows_kernel run_rows;
    fl_pointwise_kernel check_pointwise; /* domains, and the sum of the weights; writes nothing else */
    fl_pointwise_kernel run_pointwise;
    fl_size (*first_negative)(const fl_view *view, fl_size n); /* first of n entries that is negative or NaN, or -1 */
} fl_kernels;

#endif
