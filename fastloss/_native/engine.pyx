"""The kernels this process uses, and NumPy arrays as the kernels see them."""

import os

cimport cython
cimport numpy as cnp

from .engine cimport *

cdef extern from "kernels/dispatch.h" nogil:
    int fl_compiled_isa(int i, const fl_kernels **f32, const fl_kernels **f64, int *runs)

cdef extern from "kernels/parallel.h" nogil:
    int fl_parallel_init()
    int fl_parallel_limit()
    int fl_openmp_version()

cdef extern from "numpy/arrayobject.h":
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


def openmp_version():
    """The _OPENMP date of the build; 0 without OpenMP."""
    return fl_openmp_version()


select_isa(os.environ.get("FASTLOSS_ISA", ""))
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
    cdef int ndim = cnp.PyArray_NDIM(array), i, d, top = 0
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(array)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(array)
    cdef Py_ssize_t size, stride
    view.data = <char *>cnp.PyArray_DATA(array)
    view.kind = kind_of(array)
    view.swapped = cnp.PyArray_ISBYTESWAPPED(array)
    for i in range(ndim):
        d = i
        if last >= 0:
            d = last if i == ndim - 1 else (i if i < last else i + 1)
        size = shape[d]
        stride = strides[d]
        if size == 1:
            continue
        if top > 0 and view.strides[top - 1] == size * stride:
            view.shape[top - 1] *= size
            view.strides[top - 1] = stride
        else:
            view.shape[top] = size
            view.strides[top] = stride
            top += 1
    view.ndim = top
    return 0
