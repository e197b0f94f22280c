"""Every row of SEMANTICS.md for "All losses" and "cross_entropy" (and nll_loss): one readable test each.

Errors are in test_errors.py, memory layouts in test_layouts.py, PyTorch's numbers in test_torch.py.
"""

import os
import warnings

import losses
import numpy as np
import pytest
import reference
from checks import ULP, assert_same_bits, assert_ulp

import fastloss as fl

CRITERIA = [fl.cross_entropy, fl.nll_loss]
NAMES = ["cross_entropy", "nll_loss"]
both_losses = pytest.mark.parametrize("loss", CRITERIA, ids=NAMES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

NAN, INF = np.nan, np.inf


def logits(rows=6, classes=5, dtype=np.float32, seed=0):
    input, target = losses.sample_logits(np.random.default_rng(seed), dtype, (rows, classes))
    return input, target


# --- all losses -------------------------------------------------------------------------------------------------------


@both_losses
def test_reduced_value_is_a_python_float(loss):
    input, target = logits()
    for reduction in ("mean", "sum", "batchmean"):
        assert type(loss(input, target, reduction=reduction)) is float


@both_losses
@both_dtypes
@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 3), (2, 5, 3, 2), (5,)], ids=str)
def test_none_has_the_input_shape_without_the_class_axis(loss, dtype, shape):
    input, target = losses.sample_logits(np.random.default_rng(0), dtype, shape)
    value, grad = loss.value_and_grad(input, target, reduction="none")
    assert value.shape == target.shape
    assert value.dtype == dtype
    assert grad.shape == shape
    assert grad.dtype == dtype


@both_losses
def test_mean_is_the_default_reduction(loss):
    input, target = logits()
    assert_same_bits(loss(input, target), loss(input, target, reduction="mean"))


@both_losses
def test_batchmean_divides_the_sum_by_the_size_of_axis_0(loss):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (4, 5, 3))
    assert loss(input, target, reduction="batchmean") == loss(input, target, reduction="sum") / 4


@both_losses
def test_batchmean_of_a_single_row_divides_by_1(loss):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (5,))
    assert loss(input, target, reduction="batchmean") == loss(input, target, reduction="sum")


@both_losses
@pytest.mark.parametrize("shape", [(0, 5), (2, 5, 0), (0, 5, 3)], ids=str)
def test_empty_input(loss, shape):
    """none: empty; sum: 0.0; mean: nan without a warning; the gradient is empty."""
    input = np.empty(shape, np.float32)
    target = np.empty((shape[0],) + shape[2:], np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none, grad = loss.value_and_grad(input, target, reduction="none")
        total = loss(input, target, reduction="sum")
        mean, mean_grad = loss.value_and_grad(input, target)
    assert none.shape == target.shape
    assert none.dtype == np.float32
    assert grad.shape == mean_grad.shape == shape
    assert (type(total), total) == (float, 0.0)
    assert type(mean) is float
    assert np.isnan(mean)


@both_losses
@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (4, 1), (4, 3)], ids=str)
def test_sample_weight_broadcasts_to_the_value(loss, shape):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (4, 5, 3))
    sample_weight = losses.weights(np.random.default_rng(1), np.float64, shape)
    full = np.broadcast_to(sample_weight, (4, 3)).copy()
    for reduction in ("none", "mean"):
        got = loss.value_and_grad(input, target, sample_weight=sample_weight, reduction=reduction)
        assert_same_bits(got, loss.value_and_grad(input, target, sample_weight=full, reduction=reduction))


@both_losses
def test_sample_weight_may_be_a_number(loss):
    input, target = logits()
    got = loss(input, target, sample_weight=2, reduction="sum")
    assert got == 2 * loss(input, target, reduction="sum")


@both_losses
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.uint64, bool])
def test_sample_weight_of_any_real_dtype(loss, dtype):
    input, target = logits(rows=4)
    sample_weight = np.array([1, 0, 1, 1])
    assert_same_bits(loss.value_and_grad(input, target, sample_weight=sample_weight.astype(dtype)),
                     loss.value_and_grad(input, target, sample_weight=sample_weight.astype(np.float32)))


@both_losses
def test_mean_divides_by_the_sample_weights_that_count(loss):
    """Neither an ignored row nor a row of weight 0 is in the divisor: it is a weighted mean of what is left."""
    input, target = logits(rows=4, dtype=np.float64)
    target[1] = -100
    sample_weight = np.array([2.0, 9.0, 0.0, 6.0])
    terms = loss(input, target, reduction="none")
    mean = loss(input, target, sample_weight=sample_weight)
    assert mean == pytest.approx((2 * terms[0] + 6 * terms[3]) / 8, rel=2e-15)


@both_losses
def test_normalizer_replaces_the_denominator_of_mean(loss):
    input, target = logits(dtype=np.float64)
    total, total_grad = loss.value_and_grad(input, target, reduction="sum")
    mean, grad = loss.value_and_grad(input, target, normalizer=8)
    assert mean == total / 8
    np.testing.assert_array_equal(grad, total_grad / 8)


@both_losses
def test_normalizer_makes_the_mean_of_nothing_zero(loss):
    """The denominator is given, so there is no 0 / 0."""
    input, target = logits()
    value, grad = loss.value_and_grad(input, np.full_like(target, -100), normalizer=8)
    assert value == 0.0
    assert not grad.any()


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("rows", [1, 4, 19, 40])
@pytest.mark.parametrize("classes", [2, 5, 10, 70])
def test_nan_stays_in_its_row(rows, classes, reduction):
    """nan in that row's loss and gradient, never an exception, other rows untouched."""
    input, target = logits(rows, classes)
    _, clean_grad = fl.cross_entropy.value_and_grad(input, target, reduction=reduction)
    clean = fl.cross_entropy(input, target, reduction="none")
    bad = rows // 2
    input[bad, classes - 1] = NAN
    value, grad = fl.cross_entropy.value_and_grad(input, target, reduction=reduction)
    others = np.arange(rows) != bad
    assert np.isnan(value).sum() == 1
    assert np.isnan(grad[bad]).all()
    assert_same_bits(grad[others], clean_grad[others])
    if reduction == "none":
        assert_same_bits(value[others], clean[others])


@both_losses
def test_grad_output_is_1_by_default(loss):
    input, target = logits()
    for reduction in ("mean", "none"):
        assert_same_bits(loss.grad(input, target, reduction=reduction),
                         loss.grad(input, target, reduction=reduction, grad_output=1))


@both_losses
@pytest.mark.parametrize("grad_output", [2, 2.0, np.float32(2), np.array(2.0), np.int8(2)], ids=repr)
def test_grad_output_scales_the_gradient_and_not_the_value(loss, grad_output):
    """By a power of two, so that the products are exact."""
    input, target = logits()
    for reduction in ("mean", "sum", "none"):
        value, grad = loss.value_and_grad(input, target, reduction=reduction)
        scaled_value, scaled = loss.value_and_grad(input, target, reduction=reduction, grad_output=grad_output)
        assert_same_bits(scaled_value, value)
        assert_same_bits(scaled, 2 * grad)


@both_losses
def test_grad_output_of_the_value_shape_under_none(loss):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (4, 5, 3))
    upstream = np.random.default_rng(1).choice([-2, 0.5, 0, 4], (4, 3)).astype(np.float32)
    got = loss.grad(input, target, reduction="none", grad_output=upstream)
    assert_same_bits(got + 0, loss.grad(input, target, reduction="none") * upstream[:, None] + 0)  # + 0: no sign of 0


@both_losses
def test_grad_output_scales_the_hessian_too(loss):
    input, target = logits()
    grad, hess = loss.grad_and_hess(input, target)
    scaled_grad, scaled_hess = loss.grad_and_hess(input, target, grad_output=-2)
    assert_same_bits(scaled_grad + 0, -2 * grad + 0)  # + 0: the sign of a zero is no matter
    assert_same_bits(scaled_hess + 0, -2 * hess + 0)


@both_losses
def test_out_receives_the_gradient_and_is_returned(loss):
    input, target = logits()
    expected = loss.grad(input, target)
    buffer = np.full_like(input, NAN)
    assert loss.grad(input, target, out=buffer) is buffer
    assert_same_bits(buffer, expected)
    buffer = np.full_like(input, NAN)
    assert loss.value_and_grad(input, target, out=buffer)[1] is buffer
    assert_same_bits(buffer, expected)


@both_losses
def test_out_pair_receives_gradient_and_hessian(loss):
    input, target = logits()
    expected = loss.grad_and_hess(input, target)
    pair = np.full_like(input, NAN), np.full_like(input, NAN)
    got = loss.grad_and_hess(input, target, out=pair)
    assert got[0] is pair[0]
    assert got[1] is pair[1]
    assert_same_bits(tuple(got), tuple(expected))


@both_losses
def test_all_four_ways_to_call_agree(loss):
    input, target = logits()
    value, grad = loss.value_and_grad(input, target)
    assert_same_bits(loss(input, target), value)
    assert_same_bits(loss.grad(input, target), grad)
    assert_same_bits(loss.grad_and_hess(input, target)[0], grad)


@both_losses
def test_lists_are_accepted(loss):
    input, target = [[1.0, 2.0], [1.0, 3.0]], [0, 1]
    got = loss.value_and_grad(input, target, weight=[1.0, 2.0], sample_weight=[1, 3])
    arrays = [np.array(part, float) for part in (input, [1, 2], [1, 3])]
    assert_same_bits(got, loss.value_and_grad(arrays[0], np.array(target), weight=arrays[1], sample_weight=arrays[2]))


@both_losses
def test_arguments_are_not_modified(loss):
    input, target = logits()
    arguments = {"weight": np.linspace(0.5, 2, 5), "sample_weight": np.linspace(0, 1, 6),
                 "grad_output": np.linspace(-1, 1, 6)}
    copies = {name: argument.copy() for name, argument in arguments.items()}
    input_copy, target_copy = input.copy(), target.copy()
    loss.grad_and_hess(input, target, reduction="none", **arguments)
    assert_same_bits((input, target, *arguments.values()), (input_copy, target_copy, *copies.values()))


@pytest.mark.skipif("FASTLOSS_TEST_LARGE" not in os.environ, reason="set FASTLOSS_TEST_LARGE=1: 8 GiB of address space")
def test_more_than_2_to_the_31_elements():
    rows = 2**27 + 1
    input = np.zeros((rows, 16), np.float32)
    target = np.zeros(rows, np.int8)
    input[-1, 3] = 1000
    target[-1] = 5
    expected = (rows - 1) * fl.cross_entropy(input[:1], target[:1]) + 1000
    assert fl.cross_entropy(input, target, reduction="sum") == pytest.approx(expected, rel=1e-9)
    target[-1] = 16
    with pytest.raises(IndexError, match=r"target\[134217728\] = 16 is out of range"):
        fl.cross_entropy(input, target)


# --- cross_entropy ----------------------------------------------------------------------------------------------------


@both_dtypes
def test_index_targets(dtype):
    """loss_n = -w[y] log_softmax(x)[y]; mean divides by the sum of w[y]; sum and none are not divided."""
    input, target = logits(dtype=dtype)
    weight = np.array([0.5, 2, 1, 4, 0.25], dtype)
    terms = reference.log_softmax(input)[np.arange(6), target]
    terms = [-reference.exact(weight[y]) * term for y, term in zip(target, terms)]
    assert_ulp(fl.cross_entropy(input, target, weight=weight, reduction="none"), np.array(terms, object), dtype, ULP)
    assert_ulp(fl.cross_entropy(input, target, weight=weight, reduction="sum"), sum(terms), dtype, ULP)
    assert_ulp(fl.cross_entropy(input, target, weight=weight), sum(terms) / float(weight[target].sum()), dtype, ULP)


@both_dtypes
def test_index_targets_with_smoothing(dtype):
    """(1 - e) * nll + e / C * sum_c w_c * (-logp_c), over the same divisor."""
    input, target = logits(dtype=dtype)
    weight = np.array([0.5, 2, 1, 4, 0.25], dtype)
    log_p = reference.log_softmax(input)
    w = reference.exact_array(weight)
    terms = [-w[y] * row[y] * 3 / 4 - sum(w * row) / 4 / 5 for y, row in zip(target, log_p)]
    options = {"weight": weight, "label_smoothing": 0.25}
    assert_ulp(fl.cross_entropy(input, target, reduction="none", **options), np.array(terms, object), dtype, ULP)
    assert_ulp(fl.cross_entropy(input, target, **options), sum(terms) / float(weight[target].sum()), dtype, ULP)


@both_dtypes
def test_probability_targets(dtype):
    """-sum_c w_c y_c logp_c with y smoothed; mean divides by the number of rows, not by weights."""
    input, _ = logits(dtype=dtype)
    target = losses.soft_targets(np.random.default_rng(1), dtype, input.shape)
    weight = np.array([0.5, 2, 1, 4, 0.25], dtype)
    smooth = reference.exact_array(target) * 3 / 4 + reference.ONE / 4 / 5
    terms = -(reference.log_softmax(input) * reference.exact_array(weight) * smooth).sum(axis=1)
    options = {"weight": weight, "label_smoothing": 0.25}
    assert_ulp(fl.cross_entropy(input, target, reduction="none", **options), terms, dtype, ULP)
    assert_ulp(fl.cross_entropy(input, target, **options), terms.sum() / 6, dtype, ULP)


def test_mean_of_probability_targets_counts_spatial_positions():
    input, _ = losses.sample_logits(np.random.default_rng(0), np.float64, (2, 5, 3))
    target = losses.soft_targets(np.random.default_rng(1), np.float64, input.shape)
    mean = fl.cross_entropy(input, target, reduction="sum") / 6
    assert fl.cross_entropy(input, target) == pytest.approx(mean, rel=1e-15)


def test_the_gradient_does_not_assume_that_a_row_sums_to_1():
    """T p - y with T the row's sum: 0.5 p for half a target, 0 for an empty one."""
    input = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    target = np.array([[0.5, 0.0], [0.0, 0.0], [3.0, 1.0]])
    value, grad = fl.cross_entropy.value_and_grad(input, target, reduction="none")
    np.testing.assert_allclose(grad, [[-0.25, 0.25], [0, 0], [-1, 1]], rtol=1e-15)
    assert value[1] == 0


@pytest.mark.parametrize("target_dtype", [np.float16, np.float32, np.float64])
@both_dtypes
def test_probability_targets_of_another_dtype(dtype, target_dtype):
    input, _ = logits(dtype=dtype)
    target = losses.soft_targets(np.random.default_rng(1), target_dtype, input.shape)
    truth = reference.cross_entropy(input, target)
    value, grad = fl.cross_entropy.value_and_grad(input, target)
    assert grad.dtype == dtype
    assert_ulp(value, truth.value, dtype, ULP)
    assert_ulp(grad, truth.grad, dtype, ULP, truth.scale)


def test_one_hot_target_means_the_same_as_its_label():
    input, target = logits(dtype=np.float64)
    one_hot = np.eye(5)[target]
    by_label, by_row = (fl.cross_entropy.value_and_grad(input, t) for t in (target, one_hot))
    assert by_row[0] == pytest.approx(by_label[0], rel=2e-15)
    np.testing.assert_allclose(by_row[1], by_label[1], rtol=0, atol=3e-16)


IGNORED_ROWS = [[0], [5], [2, 3], [0, 1, 2, 3, 4, 5]]


@both_losses
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("ignored", IGNORED_ROWS, ids=str)
@pytest.mark.parametrize("how", ["ignore_index", "valid class", "sample_weight"])
def test_a_row_that_does_not_count_is_never_read(loss, reduction, ignored, how):
    """NaN and infinities in it change no bit; its loss and gradient are exactly 0."""
    input, target = logits(classes=7)
    target[:] = np.minimum(target, 5)  # keeps class 6 free for the case "valid class"
    options = {"reduction": reduction}
    if how == "sample_weight":
        options["sample_weight"] = np.where(np.isin(np.arange(6), ignored), 0, 1.5)
    else:
        options["ignore_index"] = -100 if how == "ignore_index" else 6
        target[ignored] = options["ignore_index"]
    expected = loss.grad_and_hess(input, target, **options), loss(input, target, **options)
    input[ignored] = np.array([NAN, INF, -INF, NAN, -NAN, 1e38, INF])
    got = loss.grad_and_hess(input, target, **options), loss(input, target, **options)
    assert_same_bits(got, expected)
    assert not got[0][0][ignored].any()
    assert not got[0][1][ignored].any()
    if reduction == "none":
        assert not got[1][ignored].any()


def test_a_probability_row_of_sample_weight_0_is_never_read():
    input, _ = logits()
    target = losses.soft_targets(np.random.default_rng(1), np.float32, input.shape)
    sample_weight = np.array([0, 1, 2, 0, 1, 0])
    expected = fl.cross_entropy.value_and_grad(input, target, sample_weight=sample_weight)
    input[sample_weight == 0] = target[sample_weight == 0] = NAN
    assert_same_bits(fl.cross_entropy.value_and_grad(input, target, sample_weight=sample_weight), expected)
    assert not expected[1][sample_weight == 0].any()


@both_losses
def test_gradient_of_an_ignored_row_is_0_even_for_an_infinite_grad_output(loss):
    input, target = logits()
    target[2] = -100
    assert not loss.grad(input, target, grad_output=INF)[2].any()


@both_losses
@pytest.mark.parametrize(("label", "dtype"), [(-1, "int64"), (-100, "int8"), (255, "uint8"), (3, "int16"),
                                              (2**63 - 1, "int64"), (-(2**63), "int64"),
                                              (2**64 - 1, "uint64")], ids=str)
def test_ignore_index_may_be_any_integer(loss, label, dtype):
    input, target = logits()
    target[:] = np.minimum(target, 2)
    target = target.astype(dtype)
    target[1] = label
    value, grad = loss.value_and_grad(input, target, ignore_index=label)
    kept = np.arange(6) != 1
    assert_same_bits(value, loss(input[kept], target[kept]))
    assert not grad[1].any()
    assert_same_bits(loss(input, target, ignore_index=np.array(label)[()]), value)


@both_losses
@pytest.mark.parametrize(("label", "dtype", "ignore_index"), [
    (255, "uint8", -1), (-1, "int8", 255), (4, "int8", 260), (2**64 - 1, "uint64", -1), (0, "int64", 2**64),
], ids=str)
def test_ignore_index_is_compared_as_a_number(loss, label, dtype, ignore_index):
    """Not as bits of the label's dtype: -1 does not mean 255, nor 260 the class 4."""
    input = np.zeros((2, 5), np.float32)
    target = np.array([0, label], dtype)
    if 0 <= label < 5:
        assert_same_bits(loss(input, target, ignore_index=ignore_index), loss(input, target))
    else:
        with pytest.raises(IndexError, match=rf"target\[1\] = {label} is out of range"):
            loss(input, target, ignore_index=ignore_index)


@both_losses
@pytest.mark.parametrize("how", ["all ignored", "sample weights 0", "weight of the labels 0"])
def test_total_weight_0(loss, how):
    """mean is nan, and the gradient is 0 (PyTorch: NaN)."""
    input, target = logits()
    options = {}
    if how == "all ignored":
        target[:] = -100
    elif how == "sample weights 0":
        options["sample_weight"] = np.zeros(6)
    else:
        target[:] = 1
        options["weight"] = np.array([1.0, 0, 1, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, grad = loss.value_and_grad(input, target, **options)
        pair = loss.grad_and_hess(input, target, **options)
    assert type(value) is float
    assert np.isnan(value)
    for derivative in (grad, *pair):
        np.testing.assert_array_equal(derivative, np.zeros_like(input))
    assert loss(input, target, reduction="sum", **options) == 0.0
    np.testing.assert_array_equal(loss(input, target, reduction="none", **options), np.zeros(6))


def test_nan_logits_count_nothing_when_every_row_is_ignored():
    input = np.full((3, 4), NAN, np.float32)
    value, grad = fl.cross_entropy.value_and_grad(input, [-100, -100, -100], reduction="sum")
    assert value == 0.0
    assert not grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_mean_over_no_weight_is_nan(smoothing):
    """Also where smoothing leaves the losses something to divide by nothing."""
    loss, gradient = fl.cross_entropy.value_and_grad(np.array([[1.0, 2, 3]]), [0], weight=[0, 1, 1],
                                                     label_smoothing=smoothing)
    assert np.isnan(loss)
    assert not gradient.any()
