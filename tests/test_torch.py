"""Against PyTorch's double precision: value and gradient for every combination of options.

PyTorch has no sample_weight, normalizer or batchmean: those are written out of its "none".  Left out are the documented
differences (SEMANTICS.md): NaN in ignored rows, a total weight of 0, -inf times 0, float16 beyond 65,520 rows, targets
and labels that are errors here, label_smoothing outside [0, 1].
"""

import itertools

import losses
import numpy as np
import pytest
from checks import ULP

import fastloss as fl

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPES = [(7, 6), (4, 5, 3), (2, 3, 2, 2), (5, 70), (9,)]


def tensor(array):
    """A double tensor, or one of labels."""
    array = np.asarray(array)
    return torch.tensor(array.astype(np.int64 if array.dtype.kind in "iub" else np.float64))


def divisor(target, weight, ignore_index, sample_weight, classes):
    """What "mean" divides by."""
    if target.is_floating_point():
        return sample_weight.sum()
    counts = target != ignore_index
    weight = torch.ones(classes, dtype=torch.float64) if weight is None else weight
    return (sample_weight * counts * weight[torch.where(counts, target, 0)]).sum()


def by_torch(name, input, target, *, reduction="mean", sample_weight=None, normalizer=None, grad_output=1, weight=None,
             **options):
    """(value, gradient) in double precision by PyTorch's own autograd."""
    x, target = tensor(input).requires_grad_(), tensor(target)
    weight = None if weight is None else tensor(weight)
    function = getattr(F, name)
    if sample_weight is None and normalizer is None and reduction != "batchmean":
        value = function(x, target, weight=weight, reduction=reduction, **options)
    else:
        terms = function(x, target, weight=weight, reduction="none", **options)
        ones = torch.ones(terms.shape, dtype=torch.float64)
        sample_weight = ones if sample_weight is None else tensor(sample_weight).double() * ones
        value = terms * sample_weight
        if reduction != "none":
            value = value.sum()
        if reduction == "batchmean":
            value = value / (terms.shape[0] if terms.ndim else 1)
        elif reduction == "mean":
            classes = input.shape[1] if input.ndim > 1 else input.shape[0]
            ignore_index = options.get("ignore_index", -100)
            value = value / (normalizer or divisor(target, weight, ignore_index, sample_weight, classes))
    value.backward(tensor(grad_output).double().expand(value.shape).clone())
    return value.detach().numpy(), x.grad.numpy()


# PyTorch computes p - 1 and logsumexp - x: right to some ULP of 1, whatever small number is left. That is no matter
# here, where the meaning of every option is compared; the tails are compared with the oracle.
TORCH_EPS = 256 * np.finfo(np.float64).eps


def assert_close(got, expected, dtype, what):
    """Within 4 ULP of float32, or PyTorch's own double rounding, which is relative to the largest element."""
    relative = ULP * np.finfo(np.float32).eps if dtype == np.float32 else TORCH_EPS
    largest = np.abs(expected).max() if np.size(expected) else 0
    np.testing.assert_allclose(got, expected, rtol=relative, atol=TORCH_EPS * largest, err_msg=what)


def assert_agrees(name, input, target, options):
    """Where T p - t cancels, gradients are compared on the scale of the terms (test_cross_entropy_accuracy.py)."""
    value, grad = getattr(fl, name).value_and_grad(input, target, **options)
    expected_value, expected_grad = by_torch(name, input, target, **options)
    what = f"{name} {sorted(options)}"
    assert_close(value, expected_value, input.dtype, f"{what}: value")
    scale = losses.BY_NAME[name].oracle(input, target, **options).scale.astype(float)
    allowed = ULP * np.finfo(input.dtype).eps * scale + TORCH_EPS * scale.max()
    assert (np.abs(grad - expected_grad) <= allowed).all(), f"{what}: gradient"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)
def test_every_option_set(loss, shape, dtype):
    for case in losses.cases(loss, dtype, shape):
        assert_agrees(loss.name, case.input, case.target, case.options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
def test_every_combination(dtype, reduction, smoothing, soft):
    for shape, weighted, sampled, ignoring in itertools.product(SHAPES, *[[False, True]] * 3):
        rng = np.random.default_rng([shape[0], len(shape)])
        input, target = losses.sample_logits(rng, dtype, shape)
        classes = shape[1] if len(shape) > 1 else shape[0]
        options = {"reduction": reduction, "label_smoothing": smoothing}
        if weighted:
            options["weight"] = losses.weights(rng, dtype, classes)
        if sampled:
            options["sample_weight"] = losses.weights(rng, dtype, target.shape)
        if soft:
            target = losses.soft_targets(rng, dtype, shape)
        elif ignoring and target.size > 1:
            options["ignore_index"] = int(target.flat[0])
        assert_agrees("cross_entropy", input, target, options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_special_logits_that_are_no_documented_difference(reduction):
    """-inf on another class or on the true class, NaN, +inf: the same kind of result."""
    inf, nan = np.inf, np.nan
    input = np.array([[0, -inf, 1], [0, 1, -inf], [nan, 0, 0], [inf, 0, 0], [-inf, -inf, -inf], [1, 2, 3]])
    for row in input:
        for label in range(3):
            value, grad = fl.cross_entropy.value_and_grad(row[None], [label], reduction=reduction)
            expected, _ = by_torch("cross_entropy", row[None], np.array([label]), reduction=reduction)
            np.testing.assert_allclose(value, expected, rtol=1e-14)
            assert np.isfinite(grad).all() == np.isfinite(np.where(np.isnan(expected), nan, 0)).all()


def test_all_rows_ignored():
    value = fl.cross_entropy(np.zeros((3, 4)), [-100] * 3)
    expected, _ = by_torch("cross_entropy", np.zeros((3, 4)), np.array([-100] * 3))
    assert np.isnan(value)
    assert np.isnan(expected)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_transforms(name, axis):
    input = np.random.default_rng(0).normal(0, 4, (5, 6, 70))
    expected = getattr(torch, name)(torch.tensor(input), dim=axis).numpy()
    assert_close(getattr(fl, name)(input, axis=axis), expected, input.dtype, name)
