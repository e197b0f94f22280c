"""`combine`: a weighted sum of losses and penalties, with the four methods of a loss."""

import copy
import pickle

import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

if not hasattr(fl, "combine"):
    pytest.skip("fastloss.combine is not in this build", allow_module_level=True)

BCE, MSE = fl.binary_cross_entropy_with_logits, fl.mse_loss
REDUCTIONS = ("mean", "sum", "none", "batchmean")

reductions = pytest.mark.parametrize("reduction", REDUCTIONS)
dtypes = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def arguments(dtype=np.float64, shape=(6, 5)):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(dtype), rng.integers(0, 2, shape).astype(dtype)


def both():
    return fl.combine([(BCE, 1.0), (MSE, 0.5)])


def close(got, expected, dtype):
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=16 * np.finfo(dtype).eps,
                               atol=4 * np.finfo(dtype).eps)


@reductions
@dtypes
def test_sums_of_values_gradients_and_hessians(reduction, dtype):
    input, target = arguments(dtype)
    loss = both()
    parts = [(1.0, BCE), (0.5, MSE)]
    value = loss(input, target, reduction=reduction)
    close(value, sum(f * np.asarray(part(input, target, reduction=reduction), float) for f, part in parts), dtype)
    assert isinstance(value, np.ndarray if reduction == "none" else float)
    grads = [part.grad_and_hess(input, target, reduction=reduction) for _, part in parts]
    expected = [sum(f * g[k].astype(float) for (f, _), g in zip(parts, grads)) for k in (0, 1)]
    again, grad = loss.value_and_grad(input, target, reduction=reduction)
    assert_same_bits(again, value)
    close(grad, expected[0], dtype)
    assert_same_bits(loss.grad(input, target, reduction=reduction), grad)
    grad, hess = loss.grad_and_hess(input, target, reduction=reduction)
    close(grad, expected[0], dtype)
    close(hess, expected[1], dtype)
    assert grad.dtype == hess.dtype == dtype


@reductions
@dtypes
def test_0_dimensional_input_gives_what_the_losses_give(reduction, dtype):
    """Sums of 0-dimensional arrays are NumPy's scalars, before NumPy 2 even of another dtype."""
    input, target = dtype(1.5), dtype(0.25)
    for got, expected in ((both(), MSE), (fl.combine([(both(), 2.0)]), MSE)):
        results = [(got(input, target, reduction=reduction), expected(input, target, reduction=reduction))]
        for method in ("value_and_grad", "grad_and_hess"):
            results += zip(getattr(got, method)(input, target, reduction=reduction),
                           getattr(expected, method)(input, target, reduction=reduction))
        results.append((got.grad(input, target, reduction=reduction), expected.grad(input, target)))
        assert len(results) == 6
        for mine, other in results:
            assert (type(mine), getattr(mine, "dtype", None)) == (type(other), getattr(other, "dtype", None))


def test_gradient_is_the_derivative_of_the_value():
    input, target = arguments()
    loss = fl.combine([(BCE, 1.0), (MSE, 0.5), (fl.l2_penalty, 0.01), (fl.l1_penalty, 0.03)])
    grad, hess = loss.grad_and_hess(input, target)
    step = 1e-5
    for index in np.ndindex(input.shape):
        moved = [input.copy(), input.copy()]
        moved[0][index] -= step
        moved[1][index] += step
        below, above = (loss(x, target) for x in moved)
        assert abs((above - below) / (2 * step) - grad[index]) < 1e-8
        assert abs((above - 2 * loss(input, target) + below) / step**2 - hess[index]) < 1e-3


@reductions
def test_grad_output(reduction):
    input, target = arguments()
    plain = both().grad_and_hess(input, target, reduction=reduction)
    for got, expected in zip(both().grad_and_hess(input, target, reduction=reduction, grad_output=-2.0), plain):
        close(got, -2.0 * expected, np.float64)
    if reduction == "none":
        upstream = np.linspace(-1, 2, 30).reshape(6, 5)
        close(both().grad(input, target, reduction="none", grad_output=upstream), upstream * plain[0], np.float64)
        listed = upstream.tolist()
        close(both().grad(input, target, reduction="none", grad_output=listed), upstream * plain[0], np.float64)


def test_sample_weight_goes_to_every_term():
    input, target = arguments()
    weight = np.random.default_rng(1).integers(0, 3, input.shape).astype(float)
    expected = BCE(input, target, sample_weight=weight) + 0.5 * MSE(input, target, sample_weight=weight)
    assert abs(both()(input, target, sample_weight=weight) - expected) < 1e-14


@dtypes
def test_out(dtype):
    input, target = arguments(dtype)
    value, grad = both().value_and_grad(input, target)
    hess = both().grad_and_hess(input, target)[1]
    out = np.full_like(input, np.nan)
    got = both().value_and_grad(input, target, out=out)
    assert got[1] is out
    assert_same_bits(got, (value, grad))
    pair = np.full_like(input, np.nan), np.full_like(input, np.nan)
    got = both().grad_and_hess(input, target, out=pair)
    assert got[0] is pair[0] and got[1] is pair[1]
    assert_same_bits(tuple(got), (grad, hess))
    copied = input.copy()
    assert_same_bits(both().value_and_grad(copied, target, out=copied), (value, grad))
    assert_same_bits(copied, grad)


@pytest.mark.parametrize("out", [np.zeros((5, 6)), np.zeros((6, 5), np.float32), "out"], ids=["shape", "dtype", "text"])
def test_wrong_out(out):
    input, target = arguments()
    for call in (both().grad, both().value_and_grad):
        with pytest.raises((ValueError, TypeError), match="out"):
            call(input, target, out=out)
    with pytest.raises((ValueError, TypeError), match="out"):
        both().grad_and_hess(input, target, out=(out, np.zeros((6, 5))))


def test_an_error_of_a_term_leaves_out_alone():
    input, target = arguments()
    out = np.full_like(input, 7)
    target[2, 3] = 1.5  # mse takes it, the cross-entropy does not
    for terms in ([(BCE, 1.0), (MSE, 0.5)], [(MSE, 0.5), (BCE, 1.0)]):
        with pytest.raises(ValueError, match=r"target\[2, 3\] = 1.5"):
            fl.combine(terms).grad(input, target, out=out)
        with pytest.raises(ValueError, match=r"target\[2, 3\] = 1.5"):
            fl.combine(terms).grad(input, target, out=input)
    assert (out == 7).all()
    assert_same_bits(input, arguments()[0])


def test_criteria_and_combined_losses_are_terms():
    input, target = arguments()
    inner = fl.combine([(fl.CrossEntropyLoss(label_smoothing=0.1), 2.0), (fl.NLLLoss(), 1.0)])
    labels = np.array([0, 1, 2, 3, 4, 0])
    expected = 2 * fl.cross_entropy(input, labels, label_smoothing=0.1) + fl.nll_loss(input, labels)
    assert abs(inner(input, labels) - expected) < 1e-14
    outer = fl.combine([(both(), 3.0), (fl.l2_penalty, 0.5)])
    expected = 3 * both()(input, target) + 0.5 * (input**2).sum()
    assert abs(outer(input, target) - expected) < 1e-12
    value, grad = outer.value_and_grad(input, target)
    close(grad, 3 * both().grad(input, target) + input, np.float64)
    assert abs(value - expected) < 1e-12


# --- penalties -------------------------------------------------------------------------------------------------------


@dtypes
@reductions
def test_penalties(dtype, reduction):
    """sum |x| and sum x^2 by default; 1-D, 2-D and strided."""
    input, _ = arguments(dtype)
    x = input.astype(float)
    for penalty, value, grad, hess in ((fl.l1_penalty, np.abs(x), np.sign(x), 0 * x),
                                       (fl.l2_penalty, x**2, 2 * x, 0 * x + 2)):
        divisor = {"mean": x.size, "sum": 1, "none": 1, "batchmean": 6}[reduction]
        got = penalty(input, reduction=reduction)
        close(got, value if reduction == "none" else value.sum() / divisor, dtype)
        first, second = penalty.grad_and_hess(input, reduction=reduction)
        close(first, grad / divisor, dtype)
        close(second, hess / divisor, dtype)
        assert first.dtype == dtype
        strided = np.repeat(input, 2, axis=1)[:, ::2]
        assert_same_bits(penalty.value_and_grad(strided), penalty.value_and_grad(input))
    assert fl.l1_penalty(input) == fl.l1_penalty(input, reduction="sum")
    assert fl.l1_penalty.grad(np.zeros(3)).tolist() == [0, 0, 0]


def test_penalty_of_an_empty_array_and_of_nan():
    assert fl.l2_penalty(np.zeros(0)) == 0
    assert np.isnan(fl.l1_penalty(np.array([1.0, np.nan])))
    np.testing.assert_array_equal(fl.l2_penalty.grad(np.array([1.0, np.nan])), [2, np.nan])


def test_the_regulariser_of_the_tutorials():
    """Loss of the predictions plus lambda times the squared weights: two calls, since they are of different arrays; and
    one combined loss where the weights are the input."""
    rng = np.random.default_rng(2)
    x, w, y = rng.normal(size=(8, 3)), rng.normal(size=3), rng.integers(0, 2, 8)
    value, dz = BCE.value_and_grad(x @ w, y)
    penalty, dw = fl.l2_penalty.value_and_grad(w, grad_output=0.1)
    total = lambda w: BCE(x @ w, y) + 0.1 * fl.l2_penalty(w)  # noqa: E731
    grad = x.T @ dz + dw
    step = 1e-6
    for k in range(3):
        moved = np.eye(3)[k] * step
        assert abs((total(w + moved) - total(w - moved)) / (2 * step) - grad[k]) < 1e-8
    assert abs(value + 0.1 * penalty - total(w)) < 1e-14


# --- the object ------------------------------------------------------------------------------------------------------


def test_repr_equality_and_pickle():
    loss = fl.combine([(BCE, 1.0), (fl.CrossEntropyLoss(label_smoothing=0.1), 0.5), (fl.l1_penalty, 0.25)])
    text = repr(loss)
    for part in ("binary_cross_entropy_with_logits", "CrossEntropyLoss(label_smoothing=0.1)", "l1_penalty", "0.25"):
        assert part in text
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert other == loss
        assert repr(other) == text
    assert loss != fl.combine([(BCE, 1.0)])
    assert both() == fl.combine(((BCE, 1), (MSE, np.float64(0.5))))
    assert both() != 3


@pytest.mark.parametrize("terms", [[], [(BCE,)], [(BCE, 1.0, 2.0)], [BCE], 3, None, [(BCE, "1")], [("mse", 1.0)],
                                   [(np.square, 1.0)], [(BCE, [1.0, 2.0])], [(fl.CrossEntropyLoss, 1.0)]],
                         ids=lambda terms: repr(terms)[:40])
def test_wrong_terms(terms):
    with pytest.raises((TypeError, ValueError), match="term|unpack|iterable|loss"):
        fl.combine(terms)


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_factors_that_are_no_numbers_show(factor):
    """Refused, or visible in the result: never silently dropped."""
    try:
        loss = fl.combine([(BCE, factor)])
    except ValueError:
        return
    assert not np.isfinite(loss(*arguments()))


def test_factor_0_and_negative_factors():
    input, target = arguments()
    assert fl.combine([(BCE, 1.0), (MSE, 0.0)])(input, target) == BCE(input, target)
    close(fl.combine([(BCE, 1.0), (MSE, -0.5)]).grad(input, target),
          BCE.grad(input, target) - 0.5 * MSE.grad(input, target), np.float64)


def test_unknown_option():
    with pytest.raises(TypeError, match="pos_weight"):
        both()(*arguments(), pos_weight=2.0)  # mse has none


def test_the_terms_may_be_a_generator():
    assert fl.combine((loss, 1.0) for loss in (BCE, MSE)) == fl.combine([(BCE, 1.0), (MSE, 1.0)])


def test_keyword_arguments():
    input, target = arguments()
    expected = both().value_and_grad(input, target)
    assert_same_bits(both().value_and_grad(input=input, target=target), expected)
    loss = fl.combine([(BCE, 1.0), (fl.l2_penalty, 0.5)])
    assert_same_bits(loss.grad(input=input, target=target), loss.grad(input, target))
    assert_same_bits(loss.grad(input, target=target), loss.grad(input, target))
    out = np.empty_like(input)
    assert_same_bits(loss.grad(input=input, target=target, out=out), loss.grad(input, target))


def test_lists():
    """What one loss accepts, a sum of them accepts."""
    input, target = arguments()
    assert_same_bits(both().value_and_grad(input.tolist(), target.tolist()), both().value_and_grad(input, target))
    out = np.empty_like(input)
    assert_same_bits(both().grad(input.tolist(), target.tolist(), out=out), both().grad(input, target))


def test_float16_sums_are_rounded_once():
    """The sum of rounded gradients is not the rounded sum; a term must not vanish beside a larger one."""
    input = np.array([1.0, 2.0], np.float16)
    target = np.zeros(2, np.float16)
    loss = fl.combine([(MSE, 1.0)] + [(MSE, 2.0**-12)] * 8)
    got = loss.grad(input, target, reduction="sum").astype(float)
    exact = 2 * input.astype(float) * (1 + 8 * 2.0**-12)
    np.testing.assert_allclose(got, exact, rtol=4 * 2.0**-11)
