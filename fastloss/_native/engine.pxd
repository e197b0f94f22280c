# What softmax.pyx and pointwise.pyx share: the C types, the chosen kernels, and views of NumPy arrays.

from libc.stdint cimport uint64_t

cdef extern from "kernels/types.h" nogil:
    enum:
        FL_MAX_DIMS
    enum fl_kind:
        FL_BOOL, FL_I8, FL_U8, FL_I16, FL_U16, FL_I32, FL_U32, FL_I64, FL_U64
        FL_F16, FL_BF16, FL_F32, FL_F64
    enum fl_rows_op:
        FL_CROSS_ENTROPY, FL_NLL, FL_SOFTMAX, FL_LOG_SOFTMAX, FL_LOGSUMEXP
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
    ctypedef struct fl_rows_job:
        int op
        Py_ssize_t n_rows, n_classes, block_rows, n_blocks
        fl_view input, labels, target, weight, sample_weight, grad_output, value, grad, hess
        int has_ignore
        uint64_t ignore_bits
        double smoothing
        double scale
        int want_sum
    ctypedef struct fl_rows_partial:
        fl_sum loss
        fl_sum weight
        Py_ssize_t bad_label
        Py_ssize_t bad_sample_weight
    ctypedef void (*fl_rows_kernel)(const fl_rows_job *job, Py_ssize_t block, fl_rows_partial *partial) noexcept
    ctypedef struct fl_kernels:
        const char *isa
        fl_rows_kernel check_rows
        fl_rows_kernel run_rows
        Py_ssize_t (*first_negative)(const fl_view *view, Py_ssize_t n) noexcept

# The kernels of a working kind: FL_F32 or FL_F64.
cdef const fl_kernels *kernels_of(int kind) noexcept

# The kind of an array's elements, or -1 if no kernel reads them.
cdef int kind_of(array) except -2

# Describes `array`, a NumPy array of a readable kind, with dimension `last` moved to the end (-1: as it is).
cdef int fill_view(fl_view *view, array, int last) except -1
