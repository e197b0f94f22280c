"""Assertions the tests share: same bits, and units in the last place."""

import math
import struct

import numpy as np
import reference

# The library's promise for every value and gradient (DESIGN: accuracy in the tails).
ULP = 4
# T p (1 - p) is a product of two numbers that each may carry the promised 4 ULP.
HESS_ULP = 8


def bits(result):
    """The bytes of a result (float, array, or a tuple of them), with what makes two results different: type, shape.

    All NaN are alike: where two meet, whose sign and payload the result has depends on the order in which the compiler
    put the operands.
    """
    if isinstance(result, tuple):
        return tuple(bits(part) for part in result)
    if type(result) is float:
        return ("float", struct.pack("<d", math.nan if math.isnan(result) else result))
    result = np.asarray(result)
    return (result.dtype.name, result.shape, _plain(result).tobytes())


def _plain(array):
    """Contiguous, in the native byte order (a matter of layout, not of the numbers), with one NaN."""
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    is_number = native == native  # numpy.isnan does not know all types
    return native if is_number.all() else np.where(is_number, native, native.dtype.type("nan"))


def assert_same_bits(got, expected, what=""):
    """Fail unless both results are the same, bit for bit."""
    if bits(got) == bits(expected):
        return
    parts = zip(got, expected) if isinstance(got, tuple) else [(got, expected)]
    for number, (mine, other) in enumerate(parts):
        if bits(mine) != bits(other):
            mine, other = np.asarray(mine), np.asarray(other)
            assert mine.dtype == other.dtype and mine.shape == other.shape, (
                f"{what}: result {number} is {mine.dtype}{mine.shape}, expected {other.dtype}{other.shape}")
            mine, other = np.atleast_1d(mine), np.atleast_1d(other)
            wrong = _different(mine, other)
            assert len(wrong), f"{what}: result {number} is a {type(got).__name__}, expected {type(expected).__name__}"
            first = tuple(int(i) for i in wrong[0])
            raise AssertionError(f"{what}: result {number} differs in {len(wrong)} of {mine.size} elements, first at "
                                 f"{first}: {mine[first]!r}, expected {other[first]!r}")
    raise AssertionError(f"{what}: {got!r}, expected {expected!r}")


def _different(mine, other):
    """Positions whose bytes differ."""
    unit = f"u{mine.dtype.itemsize}"
    return np.argwhere(_plain(mine).view(unit) != _plain(other).view(unit))


def assert_ulp(got, exact, dtype, bound=ULP, scale=None, what=""):
    """Fail if an element is further than `bound` units in the last place of `dtype` from the exact number."""
    errors = reference.ulp_errors(got, exact, dtype, scale)
    if errors.size == 0:
        return
    worst = np.unravel_index(np.argmax(errors), errors.shape)
    if not errors[worst] <= bound:
        nearest = float(np.asarray(exact, object)[worst])
        raise AssertionError(
            f"{what}: {errors[worst]:.2f} ULP at {tuple(int(i) for i in worst)}: got {np.asarray(got)[worst]!r}, "
            f"exact {nearest!r} ({np.count_nonzero(~(errors <= bound))} of {errors.size} beyond {bound} ULP)")


def assert_derivatives(loss, oracle, input, target, options, bound=ULP, what=""):
    """Value, gradient and Hessian of all four ways to call, against the oracle."""
    dtype = np.asarray(input).dtype
    truth = oracle(input, target, **options)
    plain = {key: option for key, option in options.items() if key != "grad_output"}
    value, grad = loss.value_and_grad(input, target, **options)
    assert_ulp(value, truth.value, dtype, bound, what=f"{what} value")
    assert_ulp(grad, truth.grad, dtype, bound, truth.scale, what=f"{what} gradient")
    # The other ways to call are the same computation, so the same bits.
    assert_same_bits(loss(input, target, **plain), value, f"{what} value alone")
    assert_same_bits(loss.grad(input, target, **options), grad, f"{what} gradient alone")
    again, hess = loss.grad_and_hess(input, target, **options)
    assert_same_bits(again, grad, f"{what} gradient beside the Hessian")
    assert_ulp(hess, truth.hess, dtype, max(bound, HESS_ULP), what=f"{what} Hessian")
