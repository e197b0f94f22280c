"""float16, bfloat16, integer and bool inputs.

Half-width inputs are computed in float32 and rounded once, so a result is off by half a unit of its own dtype, plus
the 4 ULP of float32, which are 4 * 2**-13 units of float16 and 4 * 2**-16 of bfloat16.
"""

import losses
import numpy as np
import pytest
import reference
from checks import ULP, assert_same_bits, assert_ulp

import fastloss as fl

HALF_ULP = {"float16": 0.5 + 4 * 2.0**-13, "bfloat16": 0.5 + 4 * 2.0**-16}
SHAPES = [(9, 7), (20, 10), (3, 5, 4), (18, 130), (3, 260), (11,)]
every_loss = pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def test_the_table_of_formats():
    """The oracle's own numbers about the dtypes."""
    for name, (precision, smallest, _, overflow) in reference.FORMATS.items():
        if name != "bfloat16":
            info = np.finfo(name)
            assert (info.nmant + 1, info.maxexp) == (precision, overflow)
            assert float(info.smallest_subnormal) == 2.0**smallest


@every_loss
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_half_width_inputs(loss, half, shape):
    """Value: that dtype under "none", a float with float32's accuracy otherwise. Gradient: the input's dtype."""
    for case in losses.cases(loss, half, shape):
        truth = loss.oracle(case.input, case.target, **case.options)
        value, grad = loss.function().value_and_grad(case.input, case.target, **case.options)
        assert grad.dtype == half
        assert_ulp(grad, truth.grad, half, HALF_ULP[half.name], truth.scale, f"{case.name} gradient")
        if case.options.get("reduction") == "none":
            assert value.dtype == half
            assert_ulp(value, truth.value, half, HALF_ULP[half.name], what=f"{case.name} value")
        else:
            assert type(value) is float
            assert_ulp(value, truth.value, np.float32, ULP, what=f"{case.name} value")


def test_half_width_hessian(half):
    """p and 1 - p carry 4 float32 ULP each; the product is rounded once."""
    input, target = losses.sample_logits(np.random.default_rng(0), half, (20, 10))
    truth = reference.cross_entropy(input, target)
    grad, hess = fl.cross_entropy.grad_and_hess(input, target)
    assert grad.dtype == hess.dtype == half
    assert_ulp(hess, truth.hess, half, 2 * HALF_ULP[half.name] - 0.5)


def test_half_width_gradient_of_confident_rows(half):
    """Small gradients survive as subnormal float16 numbers, where a computation in float16 has none."""
    input = np.array([[9, 0, 0], [12, 1, 0], [16, 0, 0.5]], half)
    truth = reference.cross_entropy(input, np.zeros(3, int), reduction="none")
    value, grad = fl.cross_entropy.value_and_grad(input, np.zeros(3, int), reduction="none")
    assert (grad != 0).all()
    assert_ulp(grad, truth.grad, half, HALF_ULP[half.name])
    assert_ulp(value, truth.value, half, HALF_ULP[half.name])


def test_70000_float16_rows():
    """PyTorch returns 0.0 from 65,520 rows on, because its count of rows overflows float16."""
    input = np.tile(np.array([[0.5, 1.5, -1.0, 0.25]], np.float16), (70_000, 1))
    truth = reference.cross_entropy(input[:1], np.array([2]))
    value, grad = fl.cross_entropy.value_and_grad(input, np.full(70_000, 2))
    assert_ulp(value, truth.value, np.float32, ULP)
    assert_ulp(grad[0], truth.grad[0] / 70_000, np.float16, HALF_ULP["float16"])
    assert (grad == grad[0]).all()
    assert fl.cross_entropy(input, np.full(70_000, 2), reduction="sum") > 65_520


def test_float16_loss_beyond_float16():
    """inf where the result's dtype ends; the mean is a float and has no such end."""
    input = np.array([[6e4, -6e4]], np.float16)
    assert fl.cross_entropy(input, [1], reduction="none")[0] == np.inf
    assert fl.cross_entropy(input, [1]) == 2 * float(np.float16(6e4))


def test_half_width_special_values(half):
    input = np.array([[0, -np.inf], [np.nan, 0], [np.inf, 0], [-np.inf, -np.inf], [1, 1]], half)
    value, grad = fl.cross_entropy.value_and_grad(input, [1, 0, 0, 0, 0], reduction="none")
    np.testing.assert_array_equal(np.isnan(value.astype(float)), [False, True, True, True, False])
    np.testing.assert_array_equal(np.isnan(grad.astype(float)).all(axis=1), [False, True, True, True, False])
    assert value[0] == np.inf
    np.testing.assert_array_equal(grad[0].astype(float), [1, -1])


def test_half_width_targets_and_weights_beside_another_input(half):
    """Any real dtype, each in its own."""
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (20, 10))
    soft = losses.soft_targets(np.random.default_rng(1), np.float32, (20, 10))
    weight = losses.weights(np.random.default_rng(2), np.float32, 10)
    for y in (target, soft):
        expected = fl.cross_entropy.value_and_grad(input, y, weight=weight, sample_weight=np.ones(20, np.float32))
        got = fl.cross_entropy.value_and_grad(input, y if y is target else y.astype(half), weight=weight.astype(half),
                                              sample_weight=np.ones(20, half))
        assert_same_bits(got, expected)


@every_loss
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64,
                                   ">i4", bool], ids=str)
def test_integer_and_bool_inputs_compute_in_float64(loss, dtype):
    rng = np.random.default_rng(0)
    input = rng.integers(0, 2 if dtype is bool else 9, (20, 10)).astype(dtype)
    target = rng.integers(0, 10, 20)
    for reduction in ("mean", "none"):
        value, grad = loss.function().value_and_grad(input, target, reduction=reduction)
        expected = loss.function().value_and_grad(input.astype(float), target, reduction=reduction)
        assert_same_bits((value, grad), expected)
        assert grad.dtype == np.float64
    out = np.empty((20, 10))
    assert loss.function().grad(input, target, out=out) is out


def test_transforms_of_half_width_and_integers(half):
    input, _ = losses.sample_logits(np.random.default_rng(0), half, (9, 13))
    for name in ("softmax", "log_softmax", "logsumexp"):
        function = getattr(fl, name)
        got = function(input)
        assert got.dtype == half
        assert_ulp(got, getattr(reference, name)(input), half, HALF_ULP[half.name], what=name)
        whole = np.arange(12).reshape(3, 4)
        assert_same_bits(function(whole), function(whole.astype(float)))
