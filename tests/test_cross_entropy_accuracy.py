"""At most 4 ULP for value and gradient, against 70 digits, on every kind of row that is promised.

Without smoothing and probability targets a gradient element is measured against itself, however small it is.  With
them, the gradient T p - t crosses zero where the two are equal: there the relative error is unbounded in the *input*
itself (moving a logit by half an ULP changes the result by any factor), so no computation can bound it, and 4 ULP of
max(|T p|, |t|) is what can be promised.  `reference.Result.scale` carries that number.
"""

import losses
import numpy as np
import pytest
import reference
from checks import ULP, assert_derivatives, assert_ulp
from families import DTYPES, check_cross_entropy, families, ordinary, wide

import fastloss as fl

FAMILIES = [(dtype, name) for dtype in DTYPES for name, *_ in families(dtype)]
IDS = [f"{np.dtype(dtype).name}-{name}" for dtype, name in FAMILIES]


def family(dtype, name):
    return next((input, target) for found, input, target in families(dtype) if found == name)


@pytest.mark.parametrize(("dtype", "name"), FAMILIES, ids=IDS)
def test_value_and_gradient_per_row(dtype, name):
    input, target = family(dtype, name)
    check_cross_entropy(input, target, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [1e-7, 0.1])
@pytest.mark.parametrize("classes", [5, 65, 145])
def test_what_a_target_spreads(classes, smoothing, dtype):
    """In float64 each rounding of weights, smoothing and their sum is one of the gradient's: it was 5.8 ULP off."""
    rng = np.random.default_rng([8, classes])
    input = (rng.normal(size=(25, classes)) * 3).round(2).astype(dtype)
    soft = (rng.random((25, classes)) * (rng.random((25, classes)) < 0.5)).astype(dtype)
    steep = (10 ** rng.uniform(-18, 18, classes)).astype(dtype)
    for target in (soft, rng.integers(0, classes, 25)):
        for weight in (None, steep, rng.choice([0, 1e-30, 1, 2], classes).astype(dtype)):
            check_cross_entropy(input, target, f"{classes} classes", label_smoothing=smoothing, weight=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["narrow 10", "medium 130", "spread 20", "gap 25 of 33", "tied 100",
                                  "leader anywhere in 16", "leader anywhere in 700"])
@pytest.mark.parametrize("options", ["weight", "smoothing", "soft", "soft and smoothing and weight"])
def test_options_on_hard_rows(dtype, name, options):
    input, target = family(dtype, name)
    rng = np.random.default_rng(7)
    arguments = {}
    if "weight" in options:
        arguments["weight"] = rng.uniform(0.1, 3, input.shape[1]).astype(dtype)
    if "smoothing" in options:
        arguments["label_smoothing"] = 0.1
    if "soft" in options:
        target = rng.dirichlet(np.ones(input.shape[1]) * 0.2, input.shape[0]).astype(dtype)
    check_cross_entropy(input, target, f"{name} {options}", **arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
@pytest.mark.parametrize("shape", [(40, 10), (9, 130)], ids=str)
def test_reductions(dtype, reduction, shape):
    """Reduced values are carried in double, so float32 data loses nothing in the sum."""
    input, target = ordinary(dtype, *shape)
    check_cross_entropy(input, target, reduction, reduction=reduction)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 6), (3, 5, 4), (5, 70), (11,)], ids=str)
@pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)
def test_every_option_set(loss, dtype, shape):
    """All four ways to call, for every row of the table."""
    for case in losses.cases(loss, dtype, shape):
        assert_derivatives(loss.function(), loss.oracle, case.input, case.target, case.options, loss.ulp, case.name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_row(dtype):
    """The loss, and the gradient of every class; 50,000 of them in float32, which drifts first."""
    input, target = wide(dtype, 50_000 if dtype == np.float32 else 20_000)
    check_cross_entropy(input, target, "wide")


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_row_with_smoothing(dtype):
    """A sum over all classes in the value too."""
    input, target = wide(dtype, 8000)
    check_cross_entropy(input, target, "wide, smoothed", label_smoothing=0.2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_row_of_equal_logits(dtype):
    """All 50,000 classes tie: loss log 50000, gradient 1/50000. Long sums of equal terms drift the most."""
    classes = 50000
    value, grad = fl.cross_entropy.value_and_grad(np.full((1, classes), 3.3, dtype), [7], reduction="none")
    share = 1 / reference.MP.mpf(classes)
    assert_ulp(value[0], reference.MP.log(classes), dtype, ULP)
    assert_ulp(grad[0, 7], share - 1, dtype, ULP)
    assert_ulp(grad[0, 0], share, dtype, ULP)
    assert np.unique(grad).size == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_of_many_rows_does_not_drift(dtype):
    """100,000 equal rows: the mean is the loss of one row, to the last place."""
    row = np.array([0.1, 1.7, -0.4, 0.9], dtype)
    input = np.broadcast_to(row, (100_000, 4)).copy()
    target = np.full(100_000, 2)
    exact = reference.cross_entropy(row, np.array(2)).value
    assert_ulp(fl.cross_entropy(input, target), exact, dtype, ULP)
    assert_ulp(fl.cross_entropy(input, target, reduction="sum"), exact * 100_000, dtype, ULP)


def test_confident_row_has_a_loss_and_a_gradient():
    """The headline: a gap of 20 in float32 gives loss and true-class gradient 2.06e-9, where others return 0."""
    input = np.array([[20, 0]], np.float32)
    value, grad = fl.cross_entropy.value_and_grad(input, [0])
    assert value == pytest.approx(2.0611536e-09, rel=1e-6)
    np.testing.assert_allclose(grad, [[-2.0611536e-09, 2.0611536e-09]], rtol=1e-6)
