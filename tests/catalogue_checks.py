"""What the test_catalogue_*.py files and tools/accuracy.py share: calls, exact expectations, the measurement in ULP.

The library's results come from `compute`, which `store` writes to a file, so that a process restricted to another
instruction set can do the computing while this one has the exact numbers.
"""

import functools
import pickle
from typing import NamedTuple

import catalogue
import numpy as np
import pytest
from reference import ONE, ZERO, exact, exact_array, ulp_errors, zeros

DTYPES = (np.float32, np.float64)
QUANTITIES = ("value", "gradient", "Hessian")

rows = pytest.mark.parametrize("row", catalogue.ROWS, ids=lambda row: row.name)
differentiable = pytest.mark.parametrize("row", [row for row in catalogue.ROWS if row.derivatives],
                                         ids=lambda row: row.name)


def settings(row):
    """(number, options) of every set of options of a row."""
    return list(enumerate(row.settings))


# --- accuracy --------------------------------------------------------------------------------------------------------


class Worst(NamedTuple):
    """The largest error found, where, and among how many."""

    ulp: float = 0.0
    where: str = ""
    count: int = 0


def compute_one(row, number, dtype, count, seed=0):
    """{what: array} of one loss, one set of options, one dtype: value, gradients, Hessians, and sums of many."""
    setting = row.settings[number]
    function = row.function()
    arrays = row.measured(setting, dtype, count, seed)
    result = {"value": function(**arrays, **setting, reduction="none")}
    for wrt in row.wrt if row.derivatives else ():
        value, grad = function.value_and_grad(**arrays, **setting, reduction="none", wrt=wrt)
        again, hess = function.grad_and_hess(**arrays, **setting, reduction="none", wrt=wrt)
        same = value.tobytes() == result["value"].tobytes() and grad.tobytes() == again.tobytes()
        assert same, f"{row.name}: the ways to call differ"
        result["gradient", wrt], result["Hessian", wrt] = grad, hess
    many = row.irregular(setting, (20_011,), dtype)
    result["mean"] = np.float64(function(**many, **setting))
    return result


def compute(count, seed=0, progress=iter):
    """{(loss, number of the options, dtype): results, or the text of the exception}."""
    results = {}
    for row in progress([row for row in catalogue.ROWS if row.exists()]):
        for number, _ in settings(row):
            for dtype in DTYPES:
                try:
                    outcome = compute_one(row, number, dtype, count, seed)
                except Exception as error:
                    outcome = f"{type(error).__name__}: {error}"
                results[row.name, number, np.dtype(dtype).name] = outcome
    return results


def store(path, count, seed=0):
    with open(path, "wb") as file:
        pickle.dump(compute(count, seed), file)


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)


@functools.cache
def truth(name, number, dtype, count, seed=0):
    """(arrays, exact terms) of the points of `compute_one`."""
    row = catalogue.BY_NAME[name]
    arrays = row.measured(row.settings[number], dtype, count, seed)
    return arrays, catalogue.evaluate(row, arrays, row.settings[number], dtype)


def measure(row, number, dtype, count, results, seed=0):
    """{(quantity, wrt): Worst} of one entry of `compute`."""
    assert isinstance(results, dict), f"{row.name} {row.settings[number]}: {results}"
    arrays, terms = truth(row.name, number, dtype, count, seed)
    found = {("value", ""): (results["value"], terms.value, terms.value_scale)}
    for wrt in terms.slope:
        found["gradient", wrt] = results["gradient", wrt], terms.slope[wrt], terms.slope_scale[wrt]
        found["Hessian", wrt] = results["Hessian", wrt], terms.curvature[wrt], terms.curvature_scale[wrt]
    tiny = exact(np.finfo(dtype).tiny)
    vanished = np.array([rare is not None and rare < tiny for rare in terms.rare])
    return {what: worst_error(arrays, dtype, vanished, *given) for what, given in found.items()}


def worst_error(arrays, dtype, vanished, got, expected, scale):
    """Where a probability has `vanished`, a result of 0 is right."""
    promised = np.array([e is not None for e in expected]) & ~(vanished & (got == 0))
    assert promised.any()
    errors = ulp_errors(got[promised], expected[promised], dtype, scale[promised])
    at = int(np.argmax(errors))
    point = np.flatnonzero(promised)[at]
    where = ", ".join(f"{name} = {array[point]!r}" for name, array in arrays.items())
    return Worst(float(errors[at]), f"{where}: got {got[point]!r}, exact {float(expected[point])!r}", errors.size)


# --- reductions and weights ------------------------------------------------------------------------------------------


class Expected(NamedTuple):
    value: object
    value_scale: object
    grad: dict
    grad_scale: dict
    hess: dict
    hess_scale: dict


def expect(row, arrays, setting, dtype, *, reduction="mean", sample_weight=None, weight=None, normalizer=None,
           grad_output=1):
    """Value, gradients and Hessians under a reduction, from the exact terms."""
    terms = catalogue.evaluate(row, arrays, setting, dtype)
    shape = terms.value.shape
    w, s, upstream = (exact_array(np.broadcast_to(np.asarray(1 if a is None else a), shape))
                      for a in (weight, sample_weight, grad_output))
    product = w * s
    divisor = divide_by(row, reduction, w, s, normalizer)
    factor = zeros(shape) if divisor == 0 else product * upstream / divisor
    total = weighted(terms.value, product)
    size = weighted(absolute(terms.value, terms.value_scale), product)
    if reduction == "none":
        value, value_scale = total, size
    else:
        value, value_scale = (part.sum() / divisor if part.size else ZERO for part in (total, size))
    derivative = {}
    for name, main, scale in (("grad", terms.slope, terms.slope_scale),
                              ("hess", terms.curvature, terms.curvature_scale)):
        derivative[name] = {wrt: weighted(array, factor) for wrt, array in main.items()}
        derivative[f"{name}_scale"] = {wrt: weighted(absolute(main[wrt], scale[wrt]), factor) for wrt in main}
    return Expected(value, value_scale, **derivative)


def divide_by(row, reduction, w, s, normalizer):
    if reduction == "batchmean":
        return exact(s.shape[0] if s.shape else 1)
    if reduction != "mean":
        return ONE
    if normalizer is not None:
        return exact(normalizer)
    return (w * s if row.weight == "counts" else s).sum()


def weighted(terms, factor):
    """A term of weight 0 counts 0, whatever it is; what is not promised (None) stays out."""
    result = np.empty(terms.shape, object)
    result.reshape(-1)[:] = [None if t is None else ZERO if f == 0 else t * f
                             for t, f in zip(terms.ravel(), factor.ravel())]
    return result


def absolute(terms, scales):
    result = np.empty(terms.shape, object)
    result.reshape(-1)[:] = [None if t is None else abs(t) if s is None else max(abs(t), abs(s))
                             for t, s in zip(terms.ravel(), scales.ravel())]
    return result


def assert_close(got, expected, dtype, scale, bound, what):
    """Within `bound` ULP of the exact numbers, where there are any."""
    got, expected, scale = np.asarray(got), np.asarray(expected, object), np.asarray(scale, object)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    promised = np.array([e is not None for e in expected.ravel()], bool)
    errors = ulp_errors(got.ravel()[promised], expected.ravel()[promised], dtype, scale.ravel()[promised])
    if errors.size and not errors.max() <= bound:
        at = np.flatnonzero(promised)[np.argmax(errors)]
        raise AssertionError(f"{what}: {errors.max():.2f} ULP at {np.unravel_index(at, got.shape)}: got "
                             f"{got.ravel()[at]!r}, exact {float(expected.ravel()[at])!r}")


def call(row, arrays, setting, **options):
    """Everything a loss returns: value, and gradient and Hessian with respect to every argument that has them."""
    function = row.function()
    without = {name: option for name, option in options.items() if name != "grad_output"}
    results = [function(**arrays, **setting, **without)]
    for wrt in row.wrt if row.derivatives else ():
        results += function.value_and_grad(**arrays, **setting, **options, wrt=wrt)
        results += function.grad_and_hess(**arrays, **setting, **options, wrt=wrt)
    return tuple(results)
