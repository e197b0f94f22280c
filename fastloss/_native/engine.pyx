"""The kernels this process uses, and NumPy arrays as the kernels see them."""

import os

from .. import _check

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF

from .engine cimport *

cdef extern from "kernels/dispatch.h" nogil:
    int fl_compiled_isa(int i, const fl_kernels **f32, const fl_kernels **f64, int *runs)
    void fl_choose_fetching()

cdef extern from "kernels/parallel.h" nogil:
    int fl_parallel_init()
    int fl_parallel_limit()
    void fl_run_blocks(fl_task *task, void *work, Py_ssize_t n_blocks, int n_threads)

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, cnp.dtype descr, int subok)
    object PyArray_View(cnp.ndarray array, void *dtype, void *type)
    enum:
        NPY_HALF
        NPY_USERDEF

cnp.import_array()

cdef const fl_kernels *active_f32 = NULL
cdef const fl_kernels *active_f64 = NULL


def compiled_isas():
    """Names of the instruction sets compiled, best first, each with whether this machine runs it."""
    cdef const fl_kernels *f32
    cdef const fl_kernels *f64
    cdef int i = 0, runs
    found = {}
    while fl_compiled_isa(i, &f32, &f64, &runs):
        found[f32.isa.decode()] = bool(runs)
        i += 1
    return found


def select_isa(str wanted):
    """Use the instruction set `wanted`, or the best one if it is empty."""
    global active_f32, active_f64
    cdef const fl_kernels *f32
    cdef const fl_kernels *f64
    cdef int i = 0, runs
    # "baseline" is what the architecture guarantees, whatever it is called there (neon on arm64).
    isas = compiled_isas()
    if wanted == "baseline":
        *_, wanted = isas
    if wanted and wanted not in isas:
        raise ImportError(f"FASTLOSS_ISA={wanted!r} is not one of the instruction sets of this build: "
                          + ", ".join(isas))
    if wanted and not isas[wanted]:
        raise ImportError(f"FASTLOSS_ISA={wanted!r}: this machine does not have it; it has "
                          + ", ".join(name for name, runs_here in isas.items() if runs_here))
    while fl_compiled_isa(i, &f32, &f64, &runs):
        if runs and wanted in ("", f32.isa.decode()):
            active_f32, active_f64 = f32, f64
            return
        i += 1


def isa():
    """The name of the instruction set in use: "avx512", "avx2", "neon" or "baseline".

    It is chosen once, when fastloss is imported: the best that the machine has, or the one that the environment
    variable ``FASTLOSS_ISA`` names.

    Returns
    -------
    str

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.isa() in ("avx512", "avx2", "neon", "baseline")
    True
    """
    return active_f32.isa.decode()


def parallel_limit():
    """Threads that OpenMP would use now, at most the processors this thread may run on."""
    return fl_parallel_limit()


cdef extern from *:
    """
    #ifdef _OPENMP
    enum { fl_openmp = _OPENMP };
    #else
    enum { fl_openmp = 0 };
    #endif
    #if defined(__clang__)
    static const char fl_compiler[] = "clang " __clang_version__;
    #elif defined(__GNUC__)
    static const char fl_compiler[] = "gcc " __VERSION__;
    #elif defined(_MSC_VER)
    #define FL_TEXT(x) #x
    #define FL_TEXT_OF(x) FL_TEXT(x)
    static const char fl_compiler[] = "MSVC " FL_TEXT_OF(_MSC_VER);
    #else
    static const char fl_compiler[] = "unknown";
    #endif
    """
    const int fl_openmp
    const char *fl_compiler
    # from setup.py
    const char *FASTLOSS_KIND
    const char *FASTLOSS_FLAGS
    const char *FASTLOSS_NUMPY
    const char *FASTLOSS_CYTHON


def build_info():
    """Compiler, kind of build, flags, versions of NumPy and Cython, the date of the OpenMP standard (0: without)."""
    return (fl_compiler.decode(), FASTLOSS_KIND.decode(), FASTLOSS_FLAGS.decode(), FASTLOSS_NUMPY.decode(),
            FASTLOSS_CYTHON.decode(), fl_openmp)


select_isa(os.environ.get("FASTLOSS_ISA", ""))
fl_choose_fetching()
if fl_parallel_init():
    raise ImportError("fastloss could not register its fork handler (pthread_atfork failed)")


cdef const fl_kernels *kernels_of(int kind) noexcept:
    return active_f32 if kind == FL_F32 else active_f64


cdef int integer_kind(int size, bint signed) noexcept:
    if size == 1:
        return FL_I8 if signed else FL_U8
    if size == 2:
        return FL_I16 if signed else FL_U16
    if size == 4:
        return FL_I32 if signed else FL_U32
    return FL_I64 if signed else FL_U64


cdef int kind_of(array) except -2:
    cdef int number = cnp.PyArray_TYPE(<cnp.ndarray>array)
    if number == cnp.NPY_FLOAT:
        return FL_F32
    if number == cnp.NPY_DOUBLE:
        return FL_F64
    if number == NPY_HALF:
        return FL_F16
    if number == cnp.NPY_BOOL:
        return FL_BOOL
    if number > cnp.NPY_BOOL and number <= cnp.NPY_ULONGLONG:
        # The integer types alternate, signed first; what size a C type has is the platform's affair.
        return integer_kind(cnp.PyArray_ITEMSIZE(<cnp.ndarray>array), (number - cnp.NPY_BYTE) % 2 == 0)
    if number >= NPY_USERDEF and array.dtype.name == "bfloat16":
        return FL_BF16
    return -1


@cython.boundscheck(False)
cdef int fill_view(fl_view *view, array_object, int last) except -1:
    cdef cnp.ndarray array = <cnp.ndarray>array_object
    cdef int ndim = cnp.PyArray_NDIM(array), i, d
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(array)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(array)
    view.data = <char *>cnp.PyArray_DATA(array)
    view.kind = kind_of(array)
    view.swapped = cnp.PyArray_ISBYTESWAPPED(array)
    view.ndim = 0
    for i in range(ndim):
        d = i
        if last >= 0:
            d = last if i == ndim - 1 else (i if i < last else i + 1)
        if shape[d] != 1:
            add_dimension(view, shape[d], strides[d])
    return 0


cdef void add_dimension(fl_view *view, Py_ssize_t size, Py_ssize_t stride) noexcept:
    cdef int top = view.ndim
    if top > 0 and view.strides[top - 1] == size * stride:
        view.shape[top - 1] *= size
        view.strides[top - 1] = stride
    else:
        view.shape[top] = size
        view.strides[top] = stride
        view.ndim += 1


# What a call asks for, added up.
VALUE = FL_VALUE
GRAD = FL_GRAD
HESS = FL_HESS

cdef dict REDUCTIONS = {"mean": MEAN, "sum": SUM, "none": NONE, "batchmean": BATCHMEAN}


cdef int reduction_of(reduction) except -1:
    # A subclass of str may have any __hash__: what counts are its letters.
    if isinstance(reduction, str) and type(reduction) is not str:
        reduction = str.__str__(reduction)
    code = REDUCTIONS.get(reduction) if type(reduction) is str else None
    if code is None:
        raise ValueError(f"reduction must be 'mean', 'sum', 'none' or 'batchmean', got {_check.shown(reduction)}")
    return code


cdef object readable(str name, array):
    """The argument as an array of numbers. A view, because what is read of other arguments may run code of the caller's
    (``__float__``, ``__array__``), and whoever changes dtype or shape of an array in place there would move its end."""
    if cnp.PyArray_CheckExact(array) and kind_of(array) >= 0:
        return PyArray_View(array, NULL, NULL)
    return _check.real_array(name, array)


cdef bint shaped_like(cnp.ndarray array, cnp.ndarray other, int left_out) noexcept:
    cdef int d, from_other, ndim = cnp.PyArray_NDIM(array)
    if ndim != cnp.PyArray_NDIM(other) - (left_out >= 0):
        return False
    for d in range(ndim):
        from_other = d + 1 if 0 <= left_out <= d else d
        if cnp.PyArray_DIMS(array)[d] != cnp.PyArray_DIMS(other)[from_other]:
            return False
    return True


cdef object new_like(array, dtype):
    Py_INCREF(dtype)  # NumPy takes over a reference
    return PyArray_NewLikeArray(array, cnp.NPY_KEEPORDER, dtype, 0)


cdef bint is_native_float(cnp.ndarray array) noexcept:
    cdef int number = cnp.PyArray_TYPE(array)
    return number == cnp.NPY_FLOAT or number == cnp.NPY_DOUBLE or number == NPY_HALF


cdef void extent_of(cnp.ndarray array, char **low, char **high) noexcept:
    """The addresses between which an array lies."""
    cdef int d
    cdef cnp.npy_intp reach
    low[0] = high[0] = <char *>cnp.PyArray_DATA(array)
    for d in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIMS(array)[d] - 1) * cnp.PyArray_STRIDES(array)[d]
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach
    high[0] += cnp.PyArray_ITEMSIZE(array)


cdef bint plainly_fits(out, cnp.ndarray input, tuple others):
    cdef char *low
    cdef char *high
    cdef char *other_low
    cdef char *other_high
    if not cnp.PyArray_CheckExact(out) or not cnp.PyArray_ISCARRAY(<cnp.ndarray>out):
        return False
    if cnp.PyArray_TYPE(<cnp.ndarray>out) != cnp.PyArray_TYPE(input) or not is_native_float(input):
        return False
    if not shaped_like(<cnp.ndarray>out, input, -1):
        return False
    extent_of(out, &low, &high)
    extent_of(input, &other_low, &other_high)
    if low < other_high and other_low < high and not (low == other_low and cnp.PyArray_ISCARRAY_RO(input)):
        return False
    for other in others:
        if other is not None:
            extent_of(other, &other_low, &other_high)
            if low < other_high and other_low < high:
                return False
    return True


cdef tuple take_outputs(int want, out, input, dtype, tuple others):
    cdef bint pair = want & FL_HESS
    if not want & (FL_GRAD | FL_HESS):
        return None, None, None
    if out is None:
        return new_like(input, dtype), new_like(input, dtype) if pair else None, None
    if not pair and plainly_fits(out, input, others):
        return out, None, out
    if pair:
        if type(out) is tuple and len(out) == 2:
            grad, hess = out
            if plainly_fits(grad, input, others) and plainly_fits(hess, input, others + (input, grad)):
                return grad, hess, out
        out = _check.pair_of(out)
    grad, hess = _check.outputs(out, pair, input, dtype, others)
    return grad, hess, out


cdef double fraction(str name, value) except? -1:
    cdef double number
    if type(value) is float:
        number = value
        if 0 <= number <= 1:
            return number
    return _check.fraction(name, value)


cdef int axis_of(axis, int ndim, str name) except -1:
    cdef int number
    if type(axis) is int and -ndim <= axis < ndim:
        number = axis
        return number + ndim if number < 0 else number
    return _check.axis(axis, ndim, name)


cdef bint ignorable(ignore_index, int kind, uint64_t *bits) except -1:
    cdef long long small
    cdef int width
    if kind == FL_I64 and type(ignore_index) is int and -1000 <= ignore_index <= 1000:
        small = ignore_index
        bits[0] = <uint64_t>small
        return True
    ignore_index = _check.integer("ignore_index", ignore_index)
    bits[0] = ignore_index & 0xFFFFFFFFFFFFFFFF
    if kind == FL_BOOL:
        return 0 <= ignore_index <= 1
    if kind > FL_U64:
        return False
    width = 8 << (kind - FL_I8) // 2
    if (kind - FL_I8) % 2:
        return 0 <= ignore_index < 1 << <object>width
    return -(1 << <object>(width - 1)) <= ignore_index < 1 << <object>(width - 1)


cdef double normalizer_of(normalizer, int reduction) except? -1:
    return 0 if normalizer is None else _check.normalizer(normalizer, reduction == MEAN)


cdef object result_dtype(array, int kind):
    if kind == FL_F32:
        return cnp.PyArray_DescrFromType(cnp.NPY_FLOAT)
    if kind == FL_F16 or kind == FL_BF16:
        return array.dtype.newbyteorder("=")
    return cnp.PyArray_DescrFromType(cnp.NPY_DOUBLE)


cdef enum:
    # Below this many blocks a parallel region costs more than it saves.
    PARALLEL_BLOCKS = 4

cdef object current_threads = None  # set by _threads, which needs this module


def set_thread_source(source):
    """`source()` is the number of threads of a call that names none."""
    global current_threads
    current_threads = source


cdef int threads_for(Py_ssize_t n_blocks, n_threads) except 0:
    if n_threads is not None:
        n_threads = _check.thread_count(n_threads)
    if n_blocks < PARALLEL_BLOCKS:
        return 1
    return -min(current_threads(), n_blocks) if n_threads is None else min(n_threads, n_blocks)


cdef void run_blocks(fl_task *task, void *work, Py_ssize_t n_blocks, int n_threads) noexcept nogil:
    fl_run_blocks(task, work, n_blocks, n_threads)


cdef double denominator(int reduction, double total_weight, double normalizer, Py_ssize_t batch, weight,
                        sample_weight) except? -1:
    cdef double divisor = 1
    if reduction == MEAN:
        divisor = total_weight if normalizer == 0 else normalizer
    elif reduction == BATCHMEAN:
        divisor = batch
    if divisor != 0 and (divisor - divisor != 0 or 1 / divisor - 1 / divisor != 0):
        error = _check.denominator_error(divisor, (weight, sample_weight))
        if error is not None:
            raise error
    return divisor


cdef object results(int want, value, grad, hess, out):
    if want == FL_VALUE:
        return value
    if want & FL_HESS:
        return (grad, hess) if out is None else out
    if out is not None:
        grad = out
    return grad if want == FL_GRAD else (value, grad)
