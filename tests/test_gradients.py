"""Gradient and Hessian against central differences of the *value*, for every combination of options.

The differences are taken of the oracle's value in 70 digits, with a step of 1e-20: exact to about 40 digits for the
first derivative and 28 for the second.  They know nothing of the formulas of the derivatives, so they check the oracle
as well as the library.
"""

import itertools

import losses
import numpy as np
import pytest
import reference
from checks import HESS_ULP, ULP, assert_ulp

import fastloss as fl

STEP = reference.MP.mpf(10) ** -20


def total(loss, input, target, options):
    """The scalar whose derivative the gradient is: the value, weighted by grad_output."""
    plain = {key: option for key, option in options.items() if key != "grad_output"}
    value = loss.oracle(input, target, **plain).value
    upstream = reference.exact_array(options.get("grad_output", 1))
    return np.sum(np.asarray(value, object) * upstream)


def differences(loss, input, target, options):
    """First and second central differences with respect to every element of the input."""
    first, second = reference.zeros(input.shape), reference.zeros(input.shape)
    middle = reference.exact_array(input)
    here = total(loss, middle, target, options)
    for index in np.ndindex(input.shape):
        moved = [middle.copy(), middle.copy()]
        moved[0][index] -= STEP
        moved[1][index] += STEP
        below, above = (total(loss, values, target, options) for values in moved)
        first[index] = (above - below) / (2 * STEP)
        second[index] = (above - 2 * here + below) / STEP**2
    return first, second


def assert_matches_differences(loss, input, target, options, what):
    dtype = input.dtype
    truth = loss.oracle(input, target, **options)
    first, second = differences(loss, input, target, options)
    for got, expected in ((truth.grad, first), (truth.hess, second)):
        assert all(abs(g - e) <= 1e-25 * max(1, abs(e)) for g, e in zip(got.ravel(), expected.ravel())), (
            f"{what}: the oracle's derivative is wrong")
    grad, hess = loss.function().grad_and_hess(input, target, **options)
    assert_ulp(grad, snapped(first), dtype, ULP, truth.scale, f"{what} gradient")
    assert_ulp(hess, snapped(second), dtype, HESS_ULP, what=f"{what} Hessian")


def snapped(derivative):
    """Differences are exact to 25 digits, so what is smaller than that is a zero."""
    result = derivative.copy()
    result.reshape(-1)[:] = [reference.ZERO if abs(d) < 1e-25 else d for d in derivative.ravel()]
    return result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["index", "soft"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean", "normalizer"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_option_combinations(dtype, kind, reduction, smoothing):
    """Every subset of weight, sample_weight, ignore_index and grad_output, under each of the above."""
    rng = np.random.default_rng(0)
    input, target = losses.sample_logits(rng, dtype, (3, 4))
    choices = {"weight": losses.weights(rng, dtype, 4), "sample_weight": np.array([0.5, 0, 3], dtype),
               "grad_output": np.array([2.0, -1.0, -0.25], dtype) if reduction == "none" else -2.5}
    target[1:] = [2, 3]
    if kind == "soft":
        target = losses.soft_targets(rng, dtype, (3, 4))
    else:
        choices["ignore_index"] = int(target[2])
    common = {"reduction": reduction} if reduction != "normalizer" else {"normalizer": 7.25}
    common["label_smoothing"] = smoothing
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            options = {**common, **{name: choices[name] for name in names}}
            assert_matches_differences(losses.CROSS_ENTROPY, input, target, options, str(names))


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (3,)], ids=str)
@pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)
def test_every_row_of_the_table(loss, shape):
    for case in losses.cases(loss, np.float64, shape):
        assert_matches_differences(loss, case.input, case.target, case.options, case.name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hessian_of_confident_rows(dtype):
    """p (1 - p) is tiny at both ends, and 1 - p must not be computed by subtracting."""
    gap = np.array([1, 5, 10, 17, 25, 40])
    input = np.zeros((gap.size, 3), dtype)
    input[:, 0] = gap
    truth = reference.cross_entropy(input, np.zeros(gap.size, int), reduction="sum")
    _, hess = fl.cross_entropy.grad_and_hess(input, np.zeros(gap.size, int), reduction="sum")
    assert_ulp(hess, truth.hess, dtype, HESS_ULP)


@pytest.mark.parametrize("classes", [5, 16, 100])
def test_hessian_of_wide_and_narrow_rows(classes):
    for case in losses.cases(losses.CROSS_ENTROPY, np.float32, (9, classes)):
        truth = reference.cross_entropy(case.input, case.target, **case.options)
        _, hess = fl.cross_entropy.grad_and_hess(case.input, case.target, **case.options)
        assert_ulp(hess, truth.hess, np.float32, HESS_ULP, what=case.name)


def test_a_descent_step_lowers_the_loss():
    """The sign of the gradient, the way a user would notice it."""
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (50, 10))
    value, grad = fl.cross_entropy.value_and_grad(input, target)
    assert fl.cross_entropy(input - 0.1 * grad, target) < value < fl.cross_entropy(input + 0.1 * grad, target)
