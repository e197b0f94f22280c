"""The softmax family: from checked arguments to results.

`run_loss` and `run_transform` are called by the public functions. The common case, NumPy arrays that need no
conversion, is checked here; everything rarer, and every error text, is _check.py's.
"""

from libc.stdlib cimport calloc, free

import numpy

cimport numpy as cnp

from .engine cimport *

from .. import _check

cnp.import_array()

CROSS_ENTROPY = FL_CROSS_ENTROPY
NLL = FL_NLL
SOFTMAX = FL_SOFTMAX
LOG_SOFTMAX = FL_LOG_SOFTMAX
LOGSUMEXP = FL_LOGSUMEXP
SOFTMAX_FOCAL = FL_SOFTMAX_FOCAL
MULTI_MARGIN = FL_MULTI_MARGIN
SOFTMAX_GRAD = FL_SOFTMAX_GRAD
LOG_SOFTMAX_GRAD = FL_LOG_SOFTMAX_GRAD

cdef enum:
    BLOCK_ROWS_MULTIPLE = 64  # whole groups of rows (of the larger of the two: float32)
    PARALLEL_ROWS = 65536  # fewer labels are checked before another thread has woken up
    LINE_ROWS = 16  # as many of float32 lie in a line of memory, if they lie in columns


cdef void set_blocks(fl_rows_job *job) noexcept:
    cdef Py_ssize_t rows = 1
    if job.n_classes < BLOCK_ELEMENTS:
        rows = BLOCK_ELEMENTS // max(job.n_classes, 1)
    if job.n_rows > rows * MAX_BLOCKS:
        rows = (job.n_rows - 1) // MAX_BLOCKS + 1
    if rows > 1:
        rows = (rows - 1) // BLOCK_ROWS_MULTIPLE * BLOCK_ROWS_MULTIPLE + BLOCK_ROWS_MULTIPLE
    job.block_rows = rows
    job.n_blocks = (job.n_rows - 1) // rows + 1 if job.n_rows else 0
    job.together = 1


cdef void walk_together(fl_rows_job *job, int n_threads) noexcept:
    """Blocks of one row that share lines of memory, which otherwise would be read for each of them, or of whose row
    nothing but the label's class is read. A row is still added to its own block: sums do not depend on the layout."""
    if job.n_blocks < 2 or job.block_rows > 1:
        return
    cdef Py_ssize_t share = (job.n_rows - 1) // abs(n_threads) + 1
    if fl_lies_in_columns(&job.input, job.n_classes):
        # at least a line, 8 of float64: 16 rows of 100,000 classes took seven times as long, half for each thread
        job.together = min(LINE_ROWS, max(share, LINE_ROWS // 2 if job.input.kind == FL_F64 else LINE_ROWS))
    elif job.op == FL_NLL and job.grad.data == NULL:
        job.together = min(LINE_ROWS, share)


ctypedef struct rows_call:
    fl_rows_kernel kernel
    const fl_rows_job *job
    fl_rows_partial *partials
    Py_ssize_t together


cdef void run_block(void *work, Py_ssize_t block) noexcept nogil:
    cdef rows_call *call = <rows_call *>work
    cdef Py_ssize_t first = block * call.together
    call.kernel(call.job, first, &call.partials[first])


cdef void launch(fl_rows_kernel kernel, const fl_rows_job *job, fl_rows_partial *partials, int n_threads,
                 Py_ssize_t together) noexcept:
    """`together`: how many blocks the kernel walks at once."""
    cdef rows_call call
    cdef Py_ssize_t n_calls = (job.n_blocks + together - 1) // together
    if n_calls == 1:
        kernel(job, 0, partials)
    elif n_calls:
        call.kernel, call.job, call.partials, call.together = kernel, job, partials, together
        with nogil:
            run_blocks(run_block, &call, n_calls, n_threads)


cdef tuple row_shape(input, int class_axis):
    shape = input.shape
    return shape[:class_axis] + shape[class_axis + 1:]


cdef object take_input(fl_rows_job *job, int op, str name, array, axis, int *class_axis):
    """Reads the input's shape into `job`."""
    cdef int d
    array = readable(name, array)
    class_axis[0] = axis_of(axis, cnp.PyArray_NDIM(array), name)
    job.op = op
    job.n_rows = 1
    for d in range(cnp.PyArray_NDIM(array)):
        if d == class_axis[0]:
            job.n_classes = cnp.PyArray_DIMS(array)[d]
        else:
            job.n_rows *= cnp.PyArray_DIMS(array)[d]
    set_blocks(job)
    job.labels.data = job.target.data = job.weight.data = job.sample_weight.data = NULL
    job.grad_output.data = job.value.data = job.grad.data = job.hess.data = NULL
    job.has_ignore = job.want_sum = job.ignore_bits = 0
    job.smoothing = 0
    job.scale = 1
    fill_view(&job.input, array, class_axis[0])
    return array


cdef const fl_kernels *kernels_for(const fl_view *input) noexcept:
    """Half precision is computed in float32; integers promote to float64, as in NumPy."""
    return kernels_of(FL_F32 if FL_F16 <= input.kind <= FL_F32 else FL_F64)


cdef object take_target(fl_rows_job *job, target, input, ignore_index, int class_axis, int op):
    """Labels, or probabilities where those are allowed."""
    cdef int kind
    cdef bint one_a_row, empty
    target = readable("target", target)
    kind = kind_of(target)
    one_a_row = shaped_like(target, input, class_axis)
    empty = cnp.PyArray_SIZE(target) == 0
    if kind >= FL_F16 and not (empty and one_a_row):
        if op != FL_CROSS_ENTROPY or not shaped_like(target, input, -1):
            raise _check.target_shape_error(target, input.shape, row_shape(input, class_axis), op == FL_CROSS_ENTROPY)
        if _check.integer("ignore_index", ignore_index) != -100:
            raise ValueError(f"ignore_index = {ignore_index!r} has no meaning for a target of probabilities; "
                             "give the rows to leave out sample_weight 0")
        fill_view(&job.target, target, class_axis)
        return target
    if not one_a_row:
        raise _check.target_shape_error(target, input.shape, row_shape(input, class_axis), op == FL_CROSS_ENTROPY)
    if not empty:
        fill_view(&job.labels, target, -1)
    if op != FL_MULTI_MARGIN:
        job.has_ignore = ignorable(ignore_index, kind, &job.ignore_bits)
    return target


cdef int take_parameters(fl_rows_job *job, tuple parameters) except -1:
    """gamma of the focal loss, p and margin of multi_margin_loss."""
    job.gamma = job.margin = 0
    if job.op == FL_SOFTMAX_FOCAL:
        job.gamma = _check.finite("gamma", parameters[0])
        if job.gamma < 0:
            raise ValueError(f"gamma must not be negative, got {parameters[0]!r}")
        if job.gamma == 0:
            job.op = FL_CROSS_ENTROPY
    elif job.op == FL_MULTI_MARGIN:
        power = _check.number("p", parameters[0])
        if power != 1 and power != 2:
            raise ValueError(f"p must be 1 or 2, got {parameters[0]!r}")
        if power == 2:
            job.op = FL_MULTI_MARGIN_SQUARED
        job.margin = _check.finite("margin", parameters[1])
    return 0


cdef object take_class_weight(fl_rows_job *job, const fl_kernels *kernels, weight):
    cdef Py_ssize_t bad
    if weight is None:
        return None
    weight = readable("weight", weight)
    if weight.shape != (job.n_classes,):
        raise ValueError(f"weight has shape {weight.shape}; it needs one entry for each of the {job.n_classes} classes")
    fill_view(&job.weight, weight, -1)
    bad = kernels.first_negative(&job.weight, job.n_classes)
    if bad >= 0:
        raise ValueError(f"weight[{bad}] = {weight[bad]} must not be negative or NaN")
    return weight


cdef object take_sample_weight(fl_rows_job *job, sample_weight, input, int class_axis):
    """Their values are checked with the labels."""
    if sample_weight is None:
        return None
    sample_weight = _check.broadcast("sample_weight", readable("sample_weight", sample_weight),
                                     row_shape(input, class_axis))
    if job.n_rows:
        fill_view(&job.sample_weight, sample_weight, -1)
    return sample_weight


cdef object take_upstream(fl_rows_job *job, grad_output, int reduction, input, int class_axis):
    """The upstream gradient: a number into job.scale, or an array of a number a row."""
    if grad_output is None:
        return None
    if reduction != NONE:
        job.scale = _check.upstream_number(grad_output)
        return None
    grad_output = _check.broadcast("grad_output", readable("grad_output", grad_output), row_shape(input, class_axis))
    if job.n_rows:
        fill_view(&job.grad_output, grad_output, -1)
    return grad_output


cdef int check_partials(const fl_rows_job *job, const fl_rows_partial *partials, input, int class_axis, target,
                        sample_weight, ignore_index, fl_sum *total_weight) except -1:
    """Raises what the first pass found, at its first position; adds up the weights in the order of the blocks."""
    cdef Py_ssize_t b
    total_weight.hi = total_weight.lo = 0
    for b in range(job.n_blocks):
        if partials[b].bad_label >= 0:
            raise _check.label_error(target, partials[b].bad_label, row_shape(input, class_axis), job.n_classes,
                                     ignore_index)
        if partials[b].bad_sample_weight >= 0:
            raise _check.sample_weight_error(sample_weight, partials[b].bad_sample_weight,
                                             row_shape(input, class_axis))
        fl_add(total_weight, partials[b].weight.hi)
        total_weight.lo += partials[b].weight.lo
    return 0


cdef double total_loss(const fl_rows_job *job, const fl_rows_partial *partials) noexcept:
    cdef fl_sum total
    cdef Py_ssize_t b
    total.hi = total.lo = 0
    for b in range(job.n_blocks):
        fl_add(&total, partials[b].loss.hi)
        total.lo += partials[b].loss.lo
    return fl_total(total)


cdef int set_scale(fl_rows_job *job, int reduction, double divisor) noexcept:
    """The factor of every gradient; without any weight that counts the gradient is 0, whatever the rows hold."""
    if divisor == 0 and reduction == MEAN:
        return 0
    job.scale = job.scale / divisor
    return 1


cdef int execute(fl_rows_job *job, const fl_kernels *kernels, int threads, int reduction, double normalizer,
                 input, int class_axis, target, weight, sample_weight, ignore_index, grad, hess,
                 double *value) except -1:
    """The two passes."""
    cdef char *class_weight = job.weight.data  # that of multi_margin_loss is no part of the denominator (PyTorch)
    cdef fl_sum total_weight
    cdef double divisor
    cdef Py_ssize_t batch = cnp.PyArray_DIM(input, class_axis == 0) if cnp.PyArray_NDIM(input) > 1 else 1
    cdef fl_rows_partial *partials = <fl_rows_partial *>calloc(max(job.n_blocks, 1), sizeof(fl_rows_partial))
    if partials == NULL:
        raise MemoryError
    try:
        job.weight.data = NULL if job.op >= FL_MULTI_MARGIN else class_weight
        launch(kernels.check_rows, job, partials, 1 if job.n_rows < PARALLEL_ROWS else threads, 1)
        job.weight.data = class_weight
        check_partials(job, partials, input, class_axis, target, sample_weight, ignore_index, &total_weight)
        divisor = denominator(reduction, fl_total(total_weight), normalizer, batch, weight, sample_weight)
        if not set_scale(job, reduction, divisor):
            for array in (grad, hess):
                if array is not None:
                    array.fill(0)
            value[0] = numpy.nan  # with label smoothing, the losses need not be 0 where the weights are
            return 0
        if job.want_sum or job.value.data or job.grad.data:
            walk_together(job, threads)
            launch(kernels.run_rows, job, partials, threads, job.together)
        value[0] = total_loss(job, partials) / divisor
    finally:
        free(partials)
    return 0


def run_loss(int want, out, grad_output, wrt, tuple arguments):
    """The losses of this family: any of value, gradient and Hessian (`want`, a sum of engine's constants).

    `arguments` are (op, input, target, weight, ignore_index, reduction, label_smoothing, sample_weight, axis,
    normalizer, n_threads, what only one loss has).
    """
    cdef fl_rows_job job
    cdef const fl_kernels *kernels
    cdef int op
    cdef tuple parameters
    (op, input, target, weight, ignore_index, reduction, label_smoothing, sample_weight, axis, normalizer, n_threads,
     parameters) = arguments
    cdef int class_axis, threads, how = reduction_of(reduction)
    cdef double value = 0, replaced = normalizer_of(normalizer, how)
    if type(wrt) is not str or wrt != "input":
        raise _check.wrt_error(wrt, ("input",))
    input = take_input(&job, op, "input", input, axis, &class_axis)
    if job.n_classes == 0 and job.n_rows:
        raise ValueError(f"input has shape {input.shape}: no classes on axis {axis}")
    kernels = kernels_for(&job.input)
    dtype = result_dtype(input, job.input.kind)
    job.smoothing = fraction("label_smoothing", label_smoothing)
    take_parameters(&job, parameters)
    target = take_target(&job, target, input, ignore_index, class_axis, op)
    weight = take_class_weight(&job, kernels, weight)
    sample_weight = take_sample_weight(&job, sample_weight, input, class_axis)
    grad_output = take_upstream(&job, grad_output, how, input, class_axis)
    threads = threads_for(job.n_blocks, n_threads)
    grad, hess, out = take_outputs(want, out, input, dtype, (target, weight, sample_weight, grad_output))
    if grad is not None:
        fill_view(&job.grad, grad, class_axis)
    if hess is not None:
        fill_view(&job.hess, hess, class_axis)
    values = None
    if want & FL_VALUE and how == NONE:
        values = numpy.empty(row_shape(input, class_axis), dtype)
        fill_view(&job.value, values, -1)
    job.want_sum = want & FL_VALUE and how != NONE
    execute(&job, kernels, threads, how, replaced, input, class_axis, target, weight, sample_weight, ignore_index,
            grad, hess, &value)
    return results(want, value if how != NONE else values, grad, hess, out)


def run_transform(int op, input, axis, keepdims, out, n_threads):
    """softmax, log_softmax and logsumexp."""
    cdef fl_rows_job job
    cdef int class_axis, threads
    cdef fl_rows_partial *partials
    input = take_input(&job, op, "x", input, axis, &class_axis)
    dtype = result_dtype(input, job.input.kind)
    threads = threads_for(job.n_blocks, n_threads)
    if op == FL_LOGSUMEXP:
        shape = row_shape(input, class_axis)
        if keepdims:
            shape = shape[:class_axis] + (1,) + shape[class_axis:]
        result = numpy.empty(shape, dtype) if out is None else _check.output(out, "out", shape, dtype, (input,))
        if job.n_classes == 0:
            result.fill(-numpy.inf)
            job.n_blocks = 0
        fill_view(&job.value, result, -1)
    else:
        result, _, out = take_outputs(FL_GRAD, out, input, dtype, ())
        if job.n_classes == 0:
            job.n_blocks = 0
        fill_view(&job.grad, result, class_axis)
    partials = <fl_rows_partial *>calloc(max(job.n_blocks, 1), sizeof(fl_rows_partial))
    if partials == NULL:
        raise MemoryError
    walk_together(&job, threads)
    launch(kernels_for(&job.input).run_rows, &job, partials, threads, job.together)
    free(partials)
    return result if out is None else out


def run_transform_grad(int op, y, dy, axis, out, n_threads):
    """softmax_grad and log_softmax_grad."""
    cdef fl_rows_job job
    cdef int class_axis, threads
    cdef fl_rows_partial *partials
    y = take_input(&job, op, "y", y, axis, &class_axis)
    dy = readable("dy", dy)
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}; it needs the shape {y.shape} of y")
    dtype = result_dtype(y, job.input.kind)
    threads = threads_for(job.n_blocks, n_threads)
    if out is None:
        result = new_like(y, dtype)
    elif plainly_fits(out, y, (dy,)):
        result = out
    else:
        result = _check.gradient_output(out, dtype, y, dy)
    if result.size == 0:
        return result if out is None else out
    fill_view(&job.target, dy, class_axis)
    fill_view(&job.grad, result, class_axis)
    partials = <fl_rows_partial *>calloc(job.n_blocks, sizeof(fl_rows_partial))
    if partials == NULL:
        raise MemoryError
    walk_together(&job, threads)
    launch(kernels_for(&job.input).run_rows, &job, partials, threads, job.together)
    free(partials)
    return result if out is None else out


def run_information(q_name, q, p, axis, n_threads):
    """cross_entropy_probs, and entropy, where `p` is None and stands for `q`."""
    cdef fl_rows_job job
    cdef int class_axis, threads
    cdef Py_ssize_t b, bad_q = -1, bad_p = -1
    cdef fl_rows_partial *partials
    cdef const fl_kernels *kernels
    q = take_input(&job, FL_PROBABILITY_CROSS_ENTROPY, q_name, q, axis, &class_axis)
    p = q if p is None else readable("p", p)
    if p.shape != q.shape:
        raise ValueError(f"p has shape {p.shape}; it needs the shape {q.shape} of {q_name}")
    threads = threads_for(job.n_blocks, n_threads)
    result = numpy.zeros(row_shape(q, class_axis), result_dtype(q, job.input.kind))
    if q.size:
        fill_view(&job.target, p, class_axis)
        fill_view(&job.value, result, -1)
        # Rounded to float32, a p just above 1 would pass for a probability.
        kernels = kernels_of(FL_F64) if job.target.kind == FL_F64 else kernels_for(&job.input)
        partials = <fl_rows_partial *>calloc(job.n_blocks, sizeof(fl_rows_partial))
        if partials == NULL:
            raise MemoryError
        for b in range(job.n_blocks):
            partials[b].bad_input = partials[b].bad_target = -1
        walk_together(&job, threads)
        launch(kernels.run_rows, &job, partials, threads, job.together)
        for b in range(job.n_blocks - 1, -1, -1):
            bad_q = partials[b].bad_input if partials[b].bad_input >= 0 else bad_q
            bad_p = partials[b].bad_target if partials[b].bad_target >= 0 else bad_p
        free(partials)
    if bad_q >= 0:
        raise _check.probability_error(q_name, q, bad_q, class_axis)
    if bad_p >= 0:
        raise _check.probability_error("p", p, bad_p, class_axis)
    return float(result) if result.ndim == 0 else result
