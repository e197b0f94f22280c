"""Options whose values float32 cannot hold or multiply, and options of the wrong kind: found by a hostile reader."""

import numpy as np
import pytest

import fastloss as fl

SINGLE = np.array([1, 2], np.float32)
ZEROS = np.zeros(2, np.float32)


@pytest.mark.parametrize("weights", [
    {"sample_weight": [1e-46, 1e-46]},
    {"sample_weight": np.full(2, 1e30, np.float32)},
    {"sample_weight": np.full(2, 1e-30, np.float32), "weight": np.full(2, 1e-30, np.float32)},
], ids=["below float32", "large", "product below float32"])
def test_equal_weights_leave_the_mean_as_it_is(weights):
    value, grad = fl.mse_loss.value_and_grad(SINGLE, ZEROS, **weights)
    assert value == pytest.approx(2.5, rel=1e-15)
    np.testing.assert_array_equal(grad, [1, 2])


def test_weights_that_overflow_only_in_between():
    grad = fl.mse_loss.grad(SINGLE * np.float32(1e10), ZEROS, sample_weight=np.full(2, 1e-30, np.float32))
    np.testing.assert_allclose(grad, [1e10, 2e10], rtol=2**-23, atol=0)
    value = fl.mse_loss(SINGLE * np.float32(1e6), ZEROS, sample_weight=np.full(2, 1e30, np.float32))
    assert value == pytest.approx(2.5e12, rel=2**-23)


def test_row_weights_below_float32():
    logits = np.array([[1, 2], [3, 1]], np.float32)
    assert fl.cross_entropy(logits, [0, 1], sample_weight=[1e-46] * 2) == pytest.approx(
        fl.cross_entropy(logits, [0, 1]), rel=1e-15)


def test_checks_see_what_was_given_not_what_float32_makes_of_it():
    with pytest.raises(ValueError, match=r"sample_weight\[0\] = -1e-50"):
        fl.mse_loss(SINGLE, ZEROS, sample_weight=[-1e-50, 1])
    fl.pinball_loss(SINGLE, ZEROS, quantile=[1 - 1e-12] * 2)
    with pytest.raises(ValueError, match="delta = 1e-50 is out of float32's range"):
        fl.huber_loss(SINGLE, ZEROS, delta=1e-50)
    assert fl.huber_loss(SINGLE.astype(float), ZEROS, delta=1e-50) > 0


def test_combined_output_may_not_be_an_option():
    weights = np.array([1, 3], np.float32)
    with pytest.raises(ValueError, match="out"):
        fl.combine([(fl.mse_loss, 1.0)]).grad(SINGLE, ZEROS, sample_weight=weights, out=weights)
    np.testing.assert_array_equal(weights, [1, 3])


@pytest.mark.parametrize(("call", "error", "word"), [
    (lambda: fl.l2_penalty.grad(SINGLE, wrt="target"), ValueError, "wrt"),
    (lambda: fl.mse_loss.grad(SINGLE, ZEROS, wrt=SINGLE), ValueError, "wrt"),
    (lambda: fl.cross_entropy.grad(np.eye(2), [0, 1], wrt=SINGLE), ValueError, "wrt"),
    (lambda: fl.huber_loss(SINGLE, ZEROS, delta=10**400), ValueError, "delta"),
    (lambda: fl.huber_loss(SINGLE, ZEROS, delta=np.complex128(1)), TypeError, "delta"),
    (lambda: fl.huber_loss(SINGLE, ZEROS, delta=[[1, 2], [3]]), ValueError, "delta"),
    (lambda: fl.l2_penalty([[1, 2], [3]]), ValueError, "input"),
    (lambda: fl.poisson_nll_loss([1.0], [1.0], eps=-1), ValueError, "eps"),
    (lambda: fl.poisson_nll_loss([1.0], [1.0], full="no"), TypeError, "full"),
    (lambda: fl.kl_div([1.0], [1.0], log_target="False"), TypeError, "log_target"),
    (lambda: fl.sigmoid_focal_loss(SINGLE, ZEROS, gamma=np.inf), ValueError, "gamma"),
    (lambda: fl.binary_cross_entropy_with_logits(SINGLE, ZEROS, pos_weight=np.inf), ValueError, "pos_weight"),
    (lambda: fl.combine([fl.mse_loss]), TypeError, "pair"),
    (lambda: fl.combine([(fl.mse_loss, np.nan)]), ValueError, "terms"),
    (lambda: fl.combine([(fl.mse_loss, 1.0)]).grad(SINGLE, ZEROS, grad_output="a"), TypeError, "grad_output"),
], ids=range(15))
def test_nonsense_is_named(call, error, word):
    with pytest.raises(error, match=word):
        call()


def test_combined_infinities_are_no_warnings():
    """NumPy would warn of inf - inf; here it is a result like any other."""
    value, grad = fl.combine([(fl.mse_loss, 1.0), (fl.l1_loss, -1.0)]).value_and_grad([np.inf, 1.0], [0.0, 0.0])
    assert np.isnan(value) and grad[0] == np.inf and grad[1] == 0.5


def test_ragged_input_beside_a_variance():
    with pytest.raises(ValueError, match="input cannot be read"):
        fl.gaussian_nll_loss([[1.0, 2.0], [3.0]], SINGLE, SINGLE)


def test_a_single_bfloat16_number_is_a_parameter():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    number = np.array(1.5, ml_dtypes.bfloat16)
    assert fl.gaussian_nll_loss(SINGLE, ZEROS, number) == fl.gaussian_nll_loss(SINGLE, ZEROS, 1.5)
    assert fl.huber_loss(SINGLE, ZEROS, delta=number) == fl.huber_loss(SINGLE, ZEROS, delta=1.5)


@pytest.mark.parametrize("delta", [1e300, 1e-300, -1e300], ids=str)
def test_a_number_beyond_float32_is_an_error_and_no_warning(delta):
    with pytest.raises(ValueError, match="delta"):
        fl.huber_loss(SINGLE, ZEROS, delta=delta)


def test_a_factor_beyond_float32_of_a_derivative_that_is_not():
    """The upstream gradient over the denominator is no float32, what it multiplies is."""
    input, target = np.float32([-3.5e11, 1e38]), np.zeros(2, np.float32)
    small = fl.mse_loss.grad(input, target, normalizer=2.0**70, grad_output=1e-30)
    np.testing.assert_array_equal(small, (2 * input.astype(float) * (1e-30 / 2.0**70)).astype(np.float32))
    large = fl.mse_loss.grad(np.float32([1e-20]), np.float32([0]), grad_output=1e45, reduction="sum")
    np.testing.assert_array_equal(large, np.float32([2 * float(np.float32(1e-20)) * 1e45]))


@pytest.mark.parametrize("classes", [3, 70])
@pytest.mark.parametrize(("upstream", "logit"), [(1e-50, 1e32), (1e50, 1e-35)], ids=str)
def test_a_factor_beyond_float32_of_squared_margins(upstream, logit, classes):
    input = np.zeros((1, classes), np.float32)
    input[0, 1] = logit
    grad, hess = fl.multi_margin_loss.grad_and_hess(input, np.array([0]), p=2, margin=0.0, grad_output=upstream)
    excess = float(input[0, 1])
    with np.errstate(over="ignore"):
        factor = np.float32(2 * upstream / classes)
    np.testing.assert_allclose(grad[0, :2], [-2 * excess * upstream / classes, 2 * excess * upstream / classes],
                               rtol=2**-21, atol=0)  # 4 ULP at most: what every loss promises
    assert hess[0, 1] == factor and not grad[0, 2:].any()
