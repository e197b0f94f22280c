"""Infinities, NaN and huge logits: the rows of SEMANTICS.md's cross_entropy about them, in narrow and wide rows.

Each case is padded with classes that have no probability, to reach every row kernel with the same expected numbers.
"""

import losses
import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

NAN, INF = np.nan, np.inf

WIDTHS = (2, 3, 10, 64, 65, 145, 300)
ROWS = (1, 2, 17, 40)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
widths = pytest.mark.parametrize("width", WIDTHS)


def padded(values, width, rows, dtype):
    """`values` as the first logits of one row amid others; the padding is so low that it has no probability."""
    input = np.full((rows, width), -1e6, dtype)
    input[:, :2] = [0.25, 1.0]
    input[rows // 2, :len(values)] = values
    return input


def assert_close(got, expected):
    """Within the promised 4 ULP; zeros, infinities and NaN exactly."""
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(got.dtype).eps, atol=0)


def call(values, label, width, dtype, rows, **options):
    """(loss, gradient, Hessian) of that row; the other rows must be what they are without it."""
    input = padded(values, width, rows, dtype)
    target = np.zeros(rows, int)
    target[rows // 2] = label
    loss, grad = fl.cross_entropy.value_and_grad(input, target, reduction="none", **options)
    again, hess = fl.cross_entropy.grad_and_hess(input, target, reduction="none", **options)
    assert_same_bits(again, grad)
    usual = fl.cross_entropy.value_and_grad(padded([0.25, 1.0], width, rows, dtype), np.zeros(rows, int),
                                            reduction="none", **options)
    others = np.arange(rows) != rows // 2
    assert_same_bits((loss[others], grad[others]), (usual[0][others], usual[1][others]))
    return loss[rows // 2], grad[rows // 2], hess[rows // 2]


@both_dtypes
@widths
@pytest.mark.parametrize("rows", ROWS)
def test_minus_infinity_on_another_class_has_probability_0(width, rows, dtype):
    loss, grad, hess = call([0.0, -INF], 0, width, dtype, rows)
    assert loss == 0
    assert grad[1] == 0
    assert hess[1] == 0
    assert np.isfinite(grad).all()


@both_dtypes
@widths
@pytest.mark.parametrize("rows", ROWS)
def test_minus_infinity_on_the_true_class(width, rows, dtype):
    """loss inf, gradient finite: as far from the label as a row can be."""
    loss, grad, hess = call([3.0, -INF], 1, width, dtype, rows)
    assert loss == INF
    assert_close(grad, [1, -1] + [0] * (width - 2))
    np.testing.assert_array_equal(hess, np.zeros(width))


@pytest.mark.parametrize("values", [[-INF, -INF], [INF, 0.0], [0.0, INF], [INF, INF], [INF, -INF], [NAN, 0.0],
                                    [0.0, NAN], [NAN, INF], [-INF, NAN]], ids=str)
@both_dtypes
@widths
@pytest.mark.parametrize("rows", ROWS)
def test_rows_without_a_softmax_are_nan(values, width, rows, dtype):
    """All -inf, any +inf, any NaN."""
    if values == [-INF, -INF]:
        values = [-INF] * width
    for label in (0, 1):
        loss, grad, hess = call(values, label, width, dtype, rows)
        assert np.isnan(loss)
        assert np.isnan(grad).all()
        assert np.isnan(hess).all()


@pytest.mark.parametrize("position", [0, 1, 7, 15, 16, 31, 32, 62, 63])
@pytest.mark.parametrize("value", [NAN, INF])
@both_dtypes
def test_a_nan_or_infinity_is_found_in_every_column(position, value, dtype):
    for width in (64, 67, 130, 330):
        input = np.zeros((5, width), dtype)
        input[3, position] = value
        input[1, width - 1 - position] = value
        loss = fl.cross_entropy(input, np.full(5, 9), reduction="none")
        np.testing.assert_array_equal(np.isnan(loss), [False, True, False, True, False])


@both_dtypes
@widths
def test_a_single_infinite_row_makes_the_reduced_value_infinite(width, dtype):
    input = padded([0.0, -INF], width, 5, dtype)
    for reduction in ("sum", "mean", "batchmean"):
        assert fl.cross_entropy(input, [1] * 5, reduction=reduction) == INF


@both_dtypes
@widths
def test_minus_infinity_times_a_zero_target_probability_counts_0(width, dtype):
    """PyTorch: nan."""
    input = padded([0.0, -INF], width, 3, dtype)
    input[:, 2:] = -INF
    target = np.zeros((3, width), dtype)
    target[:, 0] = 1
    loss, grad = fl.cross_entropy.value_and_grad(input, target, reduction="none")
    assert loss[1] == 0
    np.testing.assert_array_equal(grad[1], np.zeros(width))


@both_dtypes
@widths
def test_minus_infinity_times_a_smoothed_target_probability_is_infinite(width, dtype):
    """The smoothed target of every class is positive, so a class that cannot happen costs everything."""
    for target in (np.zeros(3, int), np.eye(width, dtype=dtype)[[0, 0, 0]]):
        loss, grad = fl.cross_entropy.value_and_grad(padded([0.0, -INF], width, 3, dtype), target, reduction="none",
                                                     label_smoothing=0.5)
        assert loss[1] == INF
        assert np.isfinite(grad).all()


@both_dtypes
@widths
def test_minus_infinity_times_a_class_weight_of_0_counts_0(width, dtype):
    """Smoothing puts w_c e / C on class c: nothing, where the class weighs nothing."""
    weight = np.ones(width, dtype)
    weight[1] = 0
    loss, grad, _ = call([0.0, -INF], 0, width, dtype, 3, weight=weight, label_smoothing=0.5)
    assert np.isfinite(loss)
    assert grad[1] == 0


@widths
@pytest.mark.parametrize("rows", ROWS)
def test_huge_logits_of_opposite_sign(width, rows):
    """[1e38, -1e38] works in float32."""
    loss, grad, _ = call([1e38, -1e38], 1, width, np.float32, rows)
    assert_close(loss, np.float32(1e38) * 2)
    assert_close(grad, [1, -1] + [0] * (width - 2))
    loss, grad, _ = call([1e38, -1e38], 0, width, np.float32, rows)
    assert loss == 0
    np.testing.assert_array_equal(grad, np.zeros(width))


@pytest.mark.parametrize(("dtype", "huge"), [(np.float32, 3e38), (np.float64, 1.7e308)])
@widths
@pytest.mark.parametrize("rows", ROWS)
def test_logits_whose_difference_overflows(dtype, huge, width, rows):
    """inf loss with finite gradient."""
    loss, grad, hess = call([huge, -huge], 1, width, dtype, rows)
    assert loss == INF
    assert_close(grad, [1, -1] + [0] * (width - 2))
    assert np.isfinite(hess).all()
    loss, grad, _ = call([huge, -huge], 0, width, dtype, rows)
    assert loss == 0
    np.testing.assert_array_equal(grad, np.zeros(width))


@both_dtypes
def test_the_lowest_finite_logits_are_ordinary(dtype):
    """A kernel that starts its maximum at a finite number would lose a row of lower ones."""
    for width in WIDTHS:
        input = np.full((3, width), np.finfo(dtype).min, dtype)
        loss, grad = fl.cross_entropy.value_and_grad(input, [1, 1, 1], reduction="none")
        assert_close(loss, np.full(3, np.log(width)))
        assert_close(grad[:, 0], np.full(3, 1 / width))


@both_dtypes
def test_one_class_has_no_choice(dtype):
    input = np.array([[3.0], [-1e30], [NAN], [-INF], [INF]], dtype)
    loss, grad = fl.cross_entropy.value_and_grad(input, [0] * 5, reduction="none")
    np.testing.assert_array_equal(loss, [0, 0, NAN, NAN, NAN])
    np.testing.assert_array_equal(grad, [[0], [0], [NAN], [NAN], [NAN]])


@both_dtypes
def test_equal_logits_share_equally(dtype):
    loss, grad = fl.cross_entropy.value_and_grad(np.zeros((1, 4), dtype), [2], reduction="none")
    assert_close(grad, [[0.25, 0.25, -0.75, 0.25]])
    assert_close(loss, [np.log(4)])


def test_subnormal_logits_are_not_flushed_for_others():
    """Nothing global is changed: the process still has subnormal numbers after a call, in every thread that called."""
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (4096, 64))
    fl.cross_entropy.value_and_grad(input, target, n_threads=2)
    tiny = np.array([np.finfo(np.float32).smallest_subnormal])
    assert (tiny * np.float32(1) != 0).all()
    assert np.float64(5e-324) * 1.0 != 0


# --- nll_loss ---------------------------------------------------------------------------------------------------------


@both_dtypes
def test_nll_loss_reads_the_true_class_only(dtype):
    input = np.full((4, 3), NAN, dtype)
    target = np.array([0, 2, 1, 2])
    input[np.arange(4), target] = [-0.5, -1.5, -2.0, -INF]
    loss, grad = fl.nll_loss.value_and_grad(input, target, reduction="none")
    np.testing.assert_array_equal(loss, [0.5, 1.5, 2.0, INF])
    np.testing.assert_array_equal(grad, -np.eye(3)[target])


@both_dtypes
def test_nll_loss_of_a_nan_is_nan(dtype):
    input = np.array([[-1.0, NAN], [-1.0, -2.0]], dtype)
    np.testing.assert_array_equal(fl.nll_loss(input, [1, 1], reduction="none"), [NAN, 2])
    assert np.isnan(fl.nll_loss(input, [1, 1]))


@both_dtypes
def test_nll_loss_does_not_check_that_input_is_a_log_probability(dtype):
    input = np.array([[5.0, -7.5]], dtype)
    assert fl.nll_loss(input, [0]) == -5.0
    assert fl.nll_loss(input, [1]) == 7.5


def test_nll_loss_has_a_hessian_of_0():
    input, target = losses.sample_log_probabilities(np.random.default_rng(0), np.float32, (5, 4))
    grad, hess = fl.nll_loss.grad_and_hess(input, target)
    np.testing.assert_array_equal(hess, np.zeros((5, 4)))
    assert_same_bits(grad, fl.nll_loss.grad(input, target))


def test_nll_of_log_softmax_is_cross_entropy():
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (6, 5))
    direct = fl.cross_entropy(input, target, reduction="none")
    np.testing.assert_allclose(fl.nll_loss(fl.log_softmax(input, axis=1), target, reduction="none"), direct, rtol=2e-15)
