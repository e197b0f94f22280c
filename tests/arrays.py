"""Hostile arrays: the same numbers in every memory layout that NumPy allows, and buffers that show a stray write.

The gaps of a strided layout, and the memory before and after an array, hold NaN (floats) or the largest integer: a
kernel that reads one of them by mistake gives another result instead of a plausible one.
"""

import numpy as np


def filler(dtype):
    """A value that ruins any result it enters."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.nan


def _buffer(shape, dtype):
    return np.full(shape, filler(dtype), dtype)


def embedded(array, before=3, after=5):
    """A contiguous copy inside a larger buffer, on an element boundary that is no vector boundary."""
    flat = _buffer(before + array.size + after, array.dtype)
    flat[before:before + array.size] = array.ravel()
    return flat[before:before + array.size].reshape(array.shape)


def strided(array, axis, step=2):
    """A copy whose elements along `axis` lie `step` apart."""
    shape = list(array.shape)
    shape[axis] = max(1, shape[axis] * step)
    index = [slice(None)] * array.ndim
    index[axis] = slice(0, array.shape[axis] * step, step)
    result = _buffer(shape, array.dtype)[tuple(index)]
    result[...] = array
    return result


def reversed_along(array, axis):
    """A copy that runs backwards in memory along `axis`."""
    return np.flip(np.ascontiguousarray(np.flip(array, axis)), axis)


def transposed(array):
    """A view of a transposed copy whose rows are padded: contiguous in neither order."""
    flipped = _buffer(array.T.shape[:-1] + (array.T.shape[-1] + 3,), array.dtype)
    view = flipped[..., :array.T.shape[-1]]
    view[...] = array.T
    return view.T


def misaligned(array):
    """A contiguous copy whose address is odd."""
    raw = np.full(array.nbytes + array.itemsize + 1, 0xFF, np.uint8)
    start = 1 - (raw.ctypes.data & 1)  # the first odd address
    result = raw[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    result[...] = array
    assert array.itemsize == 1 or array.size == 0 or not result.flags.aligned
    return result


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


def read_only(array):
    result = array.copy()
    result.flags.writeable = False
    return result


def _is_native_type(dtype):
    """Not bfloat16, which ml_dtypes knows in one byte order only."""
    return dtype.isbuiltin == 1


def variants(array):
    """Yield (name, array) for every layout of the same numbers."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    yield "read-only", read_only(array)
    if array.dtype.itemsize > 1:
        yield "misaligned", misaligned(array)
        if _is_native_type(array.dtype):
            yield "big-endian", big_endian(array)
            yield "misaligned big-endian", misaligned(big_endian(array))
    yield "embedded", embedded(array)
    if array.ndim == 0:
        return
    yield "Fortran", np.asfortranarray(array)
    yield "transposed", transposed(array)
    for axis in range(array.ndim):
        yield f"strided along {axis}", strided(array, axis)
        yield f"reversed along {axis}", reversed_along(array, axis)
    yield "reversed and strided", _backwards(array)
    if array.size and (array == array[:1]).all():
        yield "broadcast", np.broadcast_to(array[:1], array.shape)


def _backwards(array):
    """Every axis backwards, and gaps between the elements of the last one."""
    return np.flip(strided(np.flip(array), array.ndim - 1, 3))


def out_variants(shape, dtype):
    """Yield (name, writeable array, the whole memory it lives in as bytes) for every layout of an output."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=int))
    for name, before in (("aligned", 64 // dtype.itemsize), ("offset", 64 // dtype.itemsize + 3)):
        flat = canary(before + count + 64 // dtype.itemsize, dtype)
        yield name, flat[before:before + count].reshape(shape), flat.view(np.uint8)
    raw = canary(count * dtype.itemsize + 129, np.uint8)
    yield "misaligned", raw[65:65 + count * dtype.itemsize].view(dtype).reshape(shape), raw
    flat = canary(2 * count + 1, dtype)
    yield "strided", _every_other(flat, shape), flat.view(np.uint8)
    flat = canary(count + 16, dtype)
    view = flat[8:8 + count].reshape(shape[::-1]).T
    yield "Fortran", view, flat.view(np.uint8)
    flat = canary(count + 16, dtype)
    yield "reversed", np.flip(flat[8:8 + count].reshape(shape)), flat.view(np.uint8)


def _every_other(flat, shape):
    """A view of `shape` on every second element of `flat`."""
    step = 2 * flat.itemsize
    strides = [step * int(np.prod(shape[axis + 1:], dtype=int)) for axis in range(len(shape))]
    return np.lib.stride_tricks.as_strided(flat[1:], shape, strides)


def canary(count, dtype):
    """Memory with a known pattern, of which no byte equals the one before."""
    dtype = np.dtype(dtype)
    return (np.arange(count * dtype.itemsize) * 58 + 171).astype(np.uint8).view(dtype)


def surroundings(view, memory):
    """The bytes of `memory` that do not belong to `view`, as they should still be after a write to `view`.

    Returns a boolean mask over the bytes of `memory`.
    """
    outside = np.ones(memory.size, bool)
    start = view.ctypes.data - memory.ctypes.data if view.size else 0
    offsets = np.zeros(view.shape, np.int64) + start
    for axis in range(view.ndim):
        steps = np.arange(view.shape[axis]) * view.strides[axis]
        offsets += steps.reshape([-1 if a == axis else 1 for a in range(view.ndim)])
    for byte in range(view.itemsize):
        outside[(offsets + byte).ravel()] = False
    return outside
