# What softmax.pyx and pointwise.pyx share: the C types, the chosen kernels, and views of NumPy arrays.

cimport numpy as cnp
from libc.stdint cimport uint64_t

cdef extern from "kernels/parallel.h" nogil:
    ctypedef void fl_task(void *work, Py_ssize_t block) noexcept

cdef extern from "kernels/types.h" nogil:
    enum:
        FL_MAX_DIMS
    enum fl_kind:
        FL_BOOL, FL_I8, FL_U8, FL_I16, FL_U16, FL_I32, FL_U32, FL_I64, FL_U64
        FL_F16, FL_BF16, FL_F32, FL_F64
    enum fl_rows_op:
        FL_CROSS_ENTROPY, FL_NLL, FL_SOFTMAX, FL_LOG_SOFTMAX, FL_LOGSUMEXP, FL_SOFTMAX_FOCAL
        FL_MULTI_MARGIN, FL_MULTI_MARGIN_SQUARED, FL_PROBABILITY_CROSS_ENTROPY, FL_SOFTMAX_GRAD, FL_LOG_SOFTMAX_GRAD
    ctypedef struct fl_view:
        char *data
        int kind
        int swapped
        int ndim
        Py_ssize_t shape[64]
        Py_ssize_t strides[64]
    ctypedef struct fl_sum:
        double hi
        double lo
    void fl_add(fl_sum *total, double x)
    double fl_total(fl_sum sum)
    bint fl_lies_in_columns(const fl_view *view, Py_ssize_t n_classes)
    ctypedef struct fl_rows_job:
        int op
        Py_ssize_t n_rows, n_classes, block_rows, n_blocks, together
        fl_view input, labels, target, weight, sample_weight, grad_output, value, grad, hess
        int has_ignore
        uint64_t ignore_bits
        double smoothing, gamma, margin
        double scale
        int want_sum
    ctypedef struct fl_rows_partial:
        fl_sum loss
        fl_sum weight
        Py_ssize_t bad_label
        Py_ssize_t bad_sample_weight, bad_input, bad_target
    ctypedef void (*fl_rows_kernel)(const fl_rows_job *job, Py_ssize_t block, fl_rows_partial *partial) noexcept
    enum:
        FL_N_LOSSES
        FL_MAX_PARAMETERS
        FL_MAX_CHECKS
        FL_VALUE, FL_GRAD, FL_HESS
        FL_WRT_INPUT
    ctypedef struct fl_check:
        const fl_view *view
        double low, high
        int open, pair, allows_nan, always
    ctypedef struct fl_pointwise_job:
        int loss, want, wrt, n_parameters, n_checks
        Py_ssize_t size, block_size, n_blocks
        fl_view input, target
        fl_view parameters[4]
        double parameter_values[4]
        double target_scale, target_shift
        fl_view weight, sample_weight, grad_output
        int weight_counts
        fl_view value, grad, hess
        fl_check checks[8]
        double scale
    ctypedef struct fl_pointwise_partial:
        fl_sum loss
        fl_sum weight
        Py_ssize_t bad[8]
    ctypedef void (*fl_pointwise_kernel)(const fl_pointwise_job *job, Py_ssize_t block,
                                         fl_pointwise_partial *partial) noexcept
    ctypedef struct fl_kernels:
        const char *isa
        fl_rows_kernel check_rows
        fl_rows_kernel run_rows
        fl_pointwise_kernel check_pointwise
        fl_pointwise_kernel run_pointwise
        Py_ssize_t (*first_negative)(const fl_view *view, Py_ssize_t n) noexcept

cdef enum:
    # A block is the unit of summation, and of scheduling, unless rows are walked together: about 16,384 elements, some
    # ten microseconds of work, so that dynamic scheduling can even out a busy core. It depends on the shape only.
    # Beyond MAX_BLOCKS the blocks grow instead, to bound the table of partial sums.
    BLOCK_ELEMENTS = 16384
    MAX_BLOCKS = 8192

cdef enum reductions:
    MEAN, SUM, NONE, BATCHMEAN

# The reduction's code; ValueError if there is none of that name.
cdef int reduction_of(reduction) except -1

# `array` as a NumPy array that the kernels can read: a view of it, unless it is none or of another kind.
cdef object readable(str name, array)

# Whether an array has the shape of another (without dimension `left_out` of that, if it is not negative).
cdef bint shaped_like(cnp.ndarray array, cnp.ndarray other, int left_out) noexcept

# A new array of the shape and the memory order of `array`.
cdef object new_like(array, dtype)

# Whether `out` is an everyday array of the input's shape and dtype that may be written to; it may be the input, but
# must not overlap it otherwise, nor any of `others`. False may mean no more than that _check has to look closer.
cdef bint plainly_fits(out, cnp.ndarray input, tuple others)

# Where gradient and Hessian go: (grad, hess, out), new arrays or those in `out`, which is then what is returned. To be
# described by fill_view() at once: views are made of them only where they are no plain arrays. `others` are the
# remaining arguments (or None), which neither may overlap.
cdef tuple take_outputs(int want, out, input, dtype, tuple others)

# `normalizer` as a number, 0 if it is None; ValueError unless it is positive and the reduction "mean".
cdef double normalizer_of(normalizer, int reduction) except? -1

# The everyday cases of _check's functions of the same names; anything else is passed on to those.
cdef double fraction(str name, value) except? -1
cdef int axis_of(axis, int ndim, str name) except -1

# Whether labels of that kind can hold ignore_index, and its 64-bit pattern.
cdef bint ignorable(ignore_index, int kind, uint64_t *bits) except -1

# The dtype of values and gradients: the input's, in the machine's byte order.
cdef object result_dtype(array, int kind)

# Threads for a call of that many blocks; negative if it shares them with the calls that compute at the same time.
cdef int threads_for(Py_ssize_t n_blocks, n_threads) except 0

# See parallel.h, which engine alone is linked with.
cdef void run_blocks(fl_task *task, void *work, Py_ssize_t n_blocks, int n_threads) noexcept nogil

# The number that the sum of the losses is divided by; `batch` is the size of axis 0.
cdef double denominator(int reduction, double total_weight, double normalizer, Py_ssize_t batch, weight,
                        sample_weight) except? -1

# What a loss function returns: those of value, gradient and Hessian that were asked for.
cdef object results(int want, value, grad, hess, out)

# The kernels of a working kind: FL_F32 or FL_F64.
cdef const fl_kernels *kernels_of(int kind) noexcept

# The kind of an array's elements, or -1 if no kernel reads them.
cdef int kind_of(array) except -2

# Describes `array`, a NumPy array of a readable kind, with dimension `last` moved to the end (-1: as it is).
cdef int fill_view(fl_view *view, array, int last) except -1

# The next of a view's dimensions, merged with the one before if it continues that.
cdef void add_dimension(fl_view *view, Py_ssize_t size, Py_ssize_t stride) noexcept
