"""All validation that is not on the fast path, and the texts of all errors.

The native code trusts its arguments; these functions make sure that it can. Each takes the name under which the caller
knows the argument.
"""

import math
import operator
import os

import numpy as np

_INTEGER_KINDS = "biu"

# DLPack's numbers for memory that the CPU reads: its own, and what CUDA and ROCm have pinned of it.
_HOST_DEVICES = (1, 3, 11)

# Where the system refuses a thread, OpenMP ends the process. More threads than this were never faster.
MOST_THREADS = max(16, 4 * (os.cpu_count() or 1))


def shown(value):
    """What an error text shows of a value: a short ``repr``; an error text must not raise an error of its own."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python prints, or whatever the caller's class does
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."


def real_array(name, value):
    """`value` as a NumPy array of real numbers, as ``numpy.asarray`` makes it; never a copy of an array."""
    if not isinstance(value, np.ndarray):
        value = _foreign(name, value)
    masked = isinstance(value, np.ma.MaskedArray)
    if masked or (isinstance(value, (list, tuple)) and any(isinstance(part, np.ma.MaskedArray) for part in value)):
        raise TypeError(f"{name} {'is' if masked else 'has'} a masked array, whose mask would be lost; "
                        "pass its .data, and sample_weight=~mask to leave the masked entries out")
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged lists
        raise ValueError(f"{name} cannot be read as an array: {error}") from None
    except (TypeError, RuntimeError) as error:  # a tensor that autograd follows or NumPy has no dtype for
        raise TypeError(f"{name} cannot be read as an array: {error}") from None
    dtype = array.dtype
    if dtype.kind in _INTEGER_KINDS or dtype.name in ("float16", "bfloat16", "float32", "float64"):
        return array
    raise TypeError(f"{name} has dtype {dtype}; it needs real numbers: float16, bfloat16, float32, float64, "
                    "integers or bool")


def _foreign(name, value):
    """`value`, or what NumPy sees of it where asarray would lose something; not if its memory is a GPU's."""
    if hasattr(value, "__dlpack_device__"):
        return _dlpack(name, value)
    if hasattr(value, "__array__"):
        try:
            return np.asanyarray(value)  # which keeps a mask
        except (TypeError, ValueError, RuntimeError):
            return value  # what asarray says of it is told by name
    if hasattr(value, "__cuda_array_interface__"):
        raise TypeError(f"{name} is not in the CPU's memory, where fastloss computes: copy it there first")
    return value


def _dlpack(name, value):
    """`value`, or NumPy's view of it if only DLPack tells where its memory is; not if that is a GPU's."""
    try:
        device, _ = map(operator.index, value.__dlpack_device__())
    except (TypeError, ValueError, RuntimeError, BufferError):
        return value  # what asarray says of it is clearer
    if device not in _HOST_DEVICES:
        raise TypeError(f"{name} is not in the CPU's memory (its DLPack device type is {device}), where fastloss "
                        "computes: copy it there first, with .cpu() in PyTorch, .get() in CuPy, jax.device_get in JAX")
    if hasattr(value, "__array__"):
        return value
    try:
        return np.from_dlpack(value)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{name} cannot be read through DLPack: {error}") from None


def axis(value, ndim, name):
    """The class axis as a number from 0 to ndim - 1. A 1-D input has just the one."""
    value = integer("axis", value)
    if ndim == 0:
        raise ValueError(f"{name} is 0-dimensional; it needs an axis of classes")
    if ndim == 1 and value == 1:
        return 0
    if not -ndim <= value < ndim:
        raise ValueError(f"axis = {shown(value)} is out of range for {name}, which has {ndim} dimensions")
    return value % ndim


def flag(name, value):
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def _unmasked(name, value):
    """Python's conversions lose the mask of a number: float() makes it NaN, index() what is behind it."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass a number")


def integer(name, value):
    _unmasked(name, value)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None


def number(name, value):
    """A real number, or a 0-dimensional array of one, as a float."""
    _unmasked(name, value)
    kind = type(value)  # not isinstance, which believes what an object says of its class
    array = issubclass(kind, np.ndarray)
    real = not array or (not value.ndim and (value.dtype.kind in "biuf" or value.dtype.name == "bfloat16"))
    # float() would read text, and the bytes of any buffer as text; NumPy's complex numbers and times have __float__
    numeric = hasattr(kind, "__float__") or hasattr(kind, "__index__")
    if not numeric or not real or issubclass(kind, (np.complexfloating, np.timedelta64, np.datetime64)):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond the floating-point numbers") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None


def finite(name, value):
    result = number(name, value)
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}")
    return result


def fraction(name, value):
    result = number(name, value)
    if not 0 <= result <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {shown(value)}")
    return result


def normalizer(value, is_mean):
    """The number that replaces the denominator of "mean"."""
    result = number("normalizer", value)
    if not 0 < result < math.inf:
        raise ValueError(f"normalizer must be a positive number, got {shown(value)}")
    if not is_mean:
        raise ValueError("normalizer replaces the denominator of reduction='mean'; it has no meaning with another one")
    return result


def thread_count(value):
    n = integer("n_threads", value)
    if n < 1:
        raise ValueError(f"n_threads must be at least 1, got {shown(n)}")
    return min(n, MOST_THREADS)


def upstream_number(value):
    try:
        return number("grad_output", value)
    except TypeError:
        if isinstance(value, np.ma.MaskedArray):
            raise
        shape = getattr(value, "shape", None)
        got = f"an array of shape {shape}" if shape is not None else shown(value)
        raise ValueError("grad_output must be one number, since the reduced value is one; got " + got) from None


def broadcast(name, array, shape):
    if array.shape == shape:
        return array
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to the shape {shape} "
                         "of the value under reduction='none'") from None


def target_shape_error(target, input_shape, row_shape, probabilities):
    text = (f"target has shape {target.shape} and dtype {target.dtype}; for input of shape {input_shape} it needs "
            f"integer labels of shape {row_shape}")
    if probabilities:
        text += f" or floating probabilities of shape {input_shape}"
    return ValueError(text)


def position(flat, shape):
    """``[3, 5]`` for the flat index of an element; nothing for that of a 0-dimensional array."""
    return f"[{', '.join(str(int(i)) for i in np.unravel_index(flat, shape))}]" if shape else ""


def label_error(target, flat, row_shape, n_classes, ignore_index, name="target"):
    ignored = "" if ignore_index is None else f" (ignore_index = {shown(ignore_index)})"
    return IndexError(f"{name}{position(flat, row_shape)} = {int(target.flat[flat])} is out of range "
                      f"for {n_classes} classes{ignored}")


def sample_weight_error(sample_weight, flat, row_shape):
    return ValueError(f"sample_weight{position(flat, row_shape)} = {sample_weight.flat[flat]} "
                      "must not be negative or NaN")


def wrt_error(wrt, allowed):
    names = " or ".join(repr(name) for name in allowed)
    return ValueError(f"wrt must be {names} for this loss, got {shown(wrt)}")


def _overlaps_itself(array):
    """Whether two elements of `array` may share memory (exact for anything but exotic as_strided views)."""
    if array.size == 0:
        return False
    reach = array.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(array.strides, array.shape) if n > 1):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


def _share_memory(a, b):
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def plain_view(out, name):
    """The array itself, as plain NumPy sees it: a subclass may say anything of its shape, dtype and flags, and so may
    what only pretends to be an array (a proxy's ``__class__``)."""
    if isinstance(out, np.ma.MaskedArray):
        raise ValueError(f"{name} must be a NumPy array, got a masked one")
    try:
        return np.ndarray.view(out, np.ndarray)
    except TypeError:
        raise ValueError(f"{name} must be a NumPy array, got {type(out).__name__}") from None


def output(out, name, shape, dtype, others):
    """A plain view of an array that results are to be written to; it must not overlap any of `others`."""
    out = plain_view(out, name)
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}, but the result has shape {shape}")
    if out.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{name} has dtype {out.dtype}, but the result has dtype {dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if _overlaps_itself(out):
        raise ValueError(f"{name} overlaps itself: some of its elements share memory")
    for other in others:
        if other is not None and _share_memory(out, other):
            raise ValueError(f"{name} overlaps another argument in memory "
                             "(only the input itself may be given, for an in-place gradient)")
    return out


def _same_memory(a, b):
    return (a.__array_interface__["data"] == b.__array_interface__["data"] and a.shape == b.shape
            and a.strides == b.strides and a.dtype == b.dtype)


def outputs(out, pair, input, dtype, others):
    """Plain views of the arrays for gradient and Hessian. The gradient's may be the input itself."""
    if not pair:
        grad = plain_view(out, "out")
        return output(grad, "out", input.shape, dtype, others if _same_memory(grad, input) else (input, *others)), None
    grad, hess = plain_view(out[0], "out[0]"), plain_view(out[1], "out[1]")
    grad = output(grad, "out[0]", input.shape, dtype, others if _same_memory(grad, input) else (input, *others))
    return grad, output(hess, "out[1]", input.shape, dtype, (input, grad, *others))


def pair_of(out):
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise ValueError("out must be a pair of arrays, for gradient and Hessian")
    return tuple(out)


def gradient_output(out, dtype, y, dy):
    """A plain view of the array for the gradient of a transform; it may be `y` or `dy` itself."""
    out = plain_view(out, "out")
    return output(out, "out", y.shape, dtype, [array for array in (y, dy) if not _same_memory(out, array)])


def denominator_error(divisor, weights):
    """Where one over the divisor of "mean" is no number, or the weights add up to none; None if that is as it should
    be, for a weight that is infinite itself."""
    if divisor < 1:
        return ValueError(f"the denominator of reduction='mean' is {divisor}, and one over it is no floating-point "
                          "number: the normalizer or the weights are too small; give larger ones")
    if any(weight is not None and np.isinf(np.asarray(weight, np.float64)).any() for weight in weights):
        return None
    return ValueError("the weights add up to more than the largest floating-point number; give smaller ones")


# Domains of elementwise arguments: (low, high, which of them are left out: 1 low, 2 high, 3 both; just these two; NaN
# passes; what to say).
UNIT = (0.0, 1.0, 0, False, False, "must lie between 0 and 1")
OPEN_UNIT = (0.0, 1.0, 3, False, False, "must lie between 0 and 1, neither of them included")
NONNEGATIVE = (0.0, math.inf, 0, False, False, "must not be negative or NaN")
FINITE_NONNEGATIVE = (0.0, 1.7976931348623157e308, 0, False, False, "must be finite and not negative")
POSITIVE = (0.0, math.inf, 1, False, False, "must be positive")
NONNEGATIVE_OR_NAN = (0.0, math.inf, 0, False, True, "must not be negative")
POSITIVE_OR_NAN = (0.0, math.inf, 1, False, True, "must be positive")
ABOVE_MINUS_ONE = (-1.0, math.inf, 1, False, True, "must be greater than -1")
SIGNS = (-1.0, 1.0, 0, True, False, "must be -1 or 1 (for 0 and 1, or bool, pass labels='01')")
ZERO_ONE = (0.0, 1.0, 0, True, False, "must be 0 or 1 with labels='01'")


def in_domain(name, value, domain):
    """A number, checked against a domain."""
    result = number(name, value)
    if domain is not None:
        low, high, open_, pair, allows_nan, text = domain
        inside = low <= result <= high and not (open_ & 1 and result == low) and not (open_ & 2 and result == high)
        if not ((result in (low, high) if pair else inside) or (allows_nan and result != result)):
            raise ValueError(f"{name} {text}, got {result if isinstance(value, np.ndarray) else shown(value)}")
    return result


def held_in_single(name, value):
    """`value`, if float32, which it is about to become, can tell it from 0 and from infinity."""
    with np.errstate(all="ignore"):  # what overflows is an error here, and not besides a warning
        single = abs(np.float64(value).astype(np.float32))
    if math.isfinite(value) and value != 0 and not 0 < single < np.inf:
        raise ValueError(f"{name} = {shown(value)} is out of float32's range; use float64 input")
    return value


def domain_error(name, array, domain, flat, shape):
    return ValueError(f"{name}{position(flat, shape)} = {array.flat[flat]} {domain[-1]}")


def probability_error(name, array, flat, class_axis):
    """For an element that the kernels found, which count with the class axis last."""
    moved = np.moveaxis(array, class_axis, -1)
    index = list(np.unravel_index(flat, moved.shape))
    index.insert(class_axis, index.pop())
    return domain_error(name, array, UNIT, np.ravel_multi_index(index, array.shape), array.shape)
