"""Bad input gets the error SEMANTICS.md names, never a crash, and nothing is written.

`fails` makes each bad call in every way a loss can be called, with buffers full of a known pattern, and checks that
the buffers and all arguments are untouched afterwards.
"""

import gc
import re
import sys

import numpy as np
import pytest
from arrays import canary
from checks import assert_same_bits, bits

import fastloss as fl

both_losses = pytest.mark.parametrize("loss", [fl.cross_entropy, fl.nll_loss], ids=["cross_entropy", "nll_loss"])

NAN, INF = np.nan, np.inf


def good(rows=20, classes=10, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, classes)).astype(dtype), rng.integers(0, classes, rows)


def fails(loss, input, target, error, *words, **options):
    """Every way to call raises `error` with all the words in its text; returns the text."""
    arguments = [a for a in (input, target, *options.values()) if isinstance(a, np.ndarray) and a.dtype != object]
    before = [bits(a) for a in arguments]
    outs = []
    value_options = {key: value for key, value in options.items() if key not in ("grad_output", "out", "wrt")}
    calls = [lambda: loss.value_and_grad(input, target, **options), lambda: loss.grad(input, target, **options)]
    if value_options == options:
        calls.append(lambda: loss(input, target, **options))
        if isinstance(input, np.ndarray) and input.dtype in (np.float32, np.float64):
            outs = [canary(input.size, input.dtype).reshape(input.shape) for _ in range(3)]
            calls.append(lambda: loss.value_and_grad(input, target, out=outs[0], **options))
            calls.append(lambda: loss.grad_and_hess(input, target, out=(outs[1], outs[2]), **options))
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        for word in words:
            assert word in str(caught.value), f"{word!r} is not in {str(caught.value)!r}"
    for argument, old in zip(arguments, before):
        assert bits(argument) == old, "an argument was modified"
    for out in outs:
        assert_same_bits(out, canary(out.size, out.dtype).reshape(out.shape), "out after an error")
    return str(caught.value)


# --- labels -----------------------------------------------------------------------------------------------------------


@both_losses
def test_label_out_of_range_has_the_promised_text(loss):
    input, target = good()
    target[17] = 12
    text = fails(loss, input, target, IndexError)
    assert text == "target[17] = 12 is out of range for 10 classes (ignore_index = -100)"


@both_losses
def test_label_out_of_range_in_k_dimensions(loss):
    input, target = np.zeros((4, 10, 6), np.float32), np.zeros((4, 6), int)
    target[3, 5] = -1
    text = fails(loss, input, target, IndexError, ignore_index=2)
    assert text == "target[3, 5] = -1 is out of range for 10 classes (ignore_index = 2)"


@both_losses
def test_label_out_of_range_of_a_single_row(loss):
    text = fails(loss, np.zeros(10, np.float32), np.array(12), IndexError)
    assert text == "target = 12 is out of range for 10 classes (ignore_index = -100)"


@both_losses
@pytest.mark.parametrize("axis", [0, -1, 3])
def test_position_is_that_of_the_target_for_any_axis(loss, axis):
    input = np.moveaxis(np.zeros((3, 4, 5, 10), np.float32), 3, axis)
    target = np.zeros((3, 4, 5), int)
    target[1, 2, 3] = 10
    text = fails(loss, input, target, IndexError, axis=axis)
    assert text == "target[1, 2, 3] = 10 is out of range for 10 classes (ignore_index = -100)"


@both_losses
@pytest.mark.parametrize("rows", [2, 20, 100_000])
@pytest.mark.parametrize("n_threads", [1, 8])
def test_the_first_bad_label_is_named(loss, rows, n_threads):
    """In C order, whichever thread finds another one first."""
    input, target = np.zeros((rows, 10), np.float32), np.zeros(rows, int)
    target[rows // 2:] = 77
    text = fails(loss, input, target, IndexError, n_threads=n_threads)
    assert text == f"target[{rows // 2}] = 77 is out of range for 10 classes (ignore_index = -100)"


@both_losses
def test_the_first_bad_label_in_c_order_of_a_fortran_target(loss):
    input = np.zeros((5, 10, 7), np.float32)
    target = np.zeros((5, 7), int, order="F")
    target[4, 0], target[1, 6] = 11, 12
    assert "target[1, 6] = 12 " in fails(loss, input, target, IndexError)


@both_losses
@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_bad_label_at_the_very_end_writes_nothing(loss, rows):
    """`fails` looks at the buffers: the labels must be checked before the first gradient is written."""
    input, target = np.zeros((rows, 10), np.float32), np.zeros(rows, np.int8)
    target[-1] = 10
    fails(loss, input, target, IndexError, f"target[{rows - 1}] = 10")


@both_losses
def test_a_bad_label_leaves_an_in_place_input_alone(loss):
    input, target = good()
    target[19] = -1
    copy = input.copy()
    with pytest.raises(IndexError):
        loss.value_and_grad(input, target, out=input)
    assert_same_bits(input, copy)


@both_losses
@pytest.mark.parametrize(("label", "dtype"), [(-1, "int8"), (-128, "int8"), (255, "uint8"), (2**63 - 1, "int64"),
                                              (-(2**63), "int64"), (2**64 - 1, "uint64"), (2**32, "int64"),
                                              (2**32 + 1, "uint64"), (-2, ">i2"), (70, ">u8")], ids=str)
def test_label_out_of_range_of_any_dtype(loss, label, dtype):
    """Nothing is truncated or reinterpreted on the way: 2**32 is not class 0."""
    target = np.zeros(3, dtype)
    target[1] = label
    fails(loss, np.zeros((3, 10), np.float32), target, IndexError, f"target[1] = {label} is out of range")


@both_losses
def test_a_bool_label_of_a_single_class_is_out_of_range(loss):
    fails(loss, np.zeros((2, 1), np.float32), np.array([False, True]), IndexError, "target[1] = ", "1 classes")


@both_losses
def test_no_class_at_all(loss):
    fails(loss, np.zeros((2, 0), np.float32), np.zeros(2, int), (IndexError, ValueError))


# --- shapes -----------------------------------------------------------------------------------------------------------


@both_losses
@pytest.mark.parametrize("shape", [(19,), (21,), (), (20, 1), (1, 20), (10, 20), (20, 10), (0,)], ids=str)
def test_target_of_another_shape(loss, shape):
    """Never broadcast; both shapes are in the text. A target of the input's shape must be floating."""
    input, _ = good()
    fails(loss, input, np.zeros(shape, int), ValueError, "target", str(shape), "(20, 10)")


@pytest.mark.parametrize("shape", [(20, 9), (10, 20), (1, 10), (10,), (20, 10, 1)], ids=str)
def test_probability_target_of_another_shape(shape):
    input, _ = good()
    fails(fl.cross_entropy, input, np.zeros(shape), ValueError, "target", str(shape), "(20, 10)")


@both_losses
def test_floating_target_of_the_index_shape(loss):
    """Class numbers as floats: almost always a mistake, so it is named and not converted."""
    input, target = good()
    fails(loss, input, target.astype(float), (TypeError, ValueError), "target")


def test_nll_loss_has_no_probability_targets():
    input, _ = good()
    fails(fl.nll_loss, input, np.zeros((20, 10), np.float32), (TypeError, ValueError), "target")


@both_losses
def test_input_without_a_class_axis(loss):
    fails(loss, np.float32(1.0) * np.ones(()), np.array(0), ValueError, "input")


@both_losses
@pytest.mark.parametrize("axis", [2, -3, 100])
def test_axis_out_of_range(loss, axis):
    input, target = good()
    fails(loss, input, target, (ValueError, IndexError), "axis", str(axis), axis=axis)


@both_losses
def test_axis_that_is_no_integer(loss):
    input, target = good()
    fails(loss, input, target, TypeError, axis=1.0)


# --- options ----------------------------------------------------------------------------------------------------------


@both_losses
@pytest.mark.parametrize("reduction", ["avg", "MEAN", "", "mean "])
def test_unknown_reduction_names_the_four(loss, reduction):
    input, target = good()
    fails(loss, input, target, ValueError, "reduction", reduction, "mean", "sum", "none", "batchmean",
          reduction=reduction)


@both_losses
@pytest.mark.parametrize("reduction", [None, 1, b"mean", ["mean"]], ids=repr)
def test_reduction_of_another_type(loss, reduction):
    input, target = good()
    fails(loss, input, target, (ValueError, TypeError), "reduction", reduction=reduction)


@pytest.mark.parametrize("smoothing", [-0.1, -1e-300, 1.0000001, 2, NAN, INF, -INF])
def test_label_smoothing_outside_0_to_1(smoothing):
    input, target = good()
    fails(fl.cross_entropy, input, target, ValueError, "label_smoothing", str(smoothing), label_smoothing=smoothing)


@both_losses
@pytest.mark.parametrize("shape", [(9,), (11,), (1,), (10, 1), (20, 10), (), (0,)], ids=str)
def test_weight_of_another_shape(loss, shape):
    input, target = good()
    fails(loss, input, target, ValueError, "weight", str(shape), "10", weight=np.ones(shape))


@both_losses
@pytest.mark.parametrize("position", [0, 4, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-1.0, -0.25, -INF, NAN])
def test_weight_negative_or_nan(loss, value, dtype, position):
    input, target = good()
    weight = np.ones(10, dtype)
    weight[position] = value
    fails(loss, input, target, ValueError, "weight", f"{value:g}", weight=weight)


@both_losses
def test_weight_of_minus_zero_is_no_error(loss):
    input, target = good()
    weight = np.ones(10)
    weight[3] = -0.0
    assert np.isfinite(loss(input, target, weight=weight))


@both_losses
@pytest.mark.parametrize("shape", [(19,), (10,), (20, 1), (20, 10), (1, 20), (0,)], ids=str)
def test_sample_weight_that_does_not_broadcast(loss, shape):
    input, target = good()
    fails(loss, input, target, ValueError, "sample_weight", str(shape), "(20,)", sample_weight=np.ones(shape))


@both_losses
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("position", [0, 13, 19])
@pytest.mark.parametrize("value", [-1.0, -INF, NAN])
def test_sample_weight_negative_or_nan(loss, value, position, reduction):
    input, target = good()
    sample_weight = np.ones(20)
    sample_weight[position] = value
    fails(loss, input, target, ValueError, "sample_weight", f"{value:g}", sample_weight=sample_weight,
          reduction=reduction)


@both_losses
@pytest.mark.parametrize("normalizer", [0, 0.0, -1, -2.5, NAN])
def test_normalizer_that_is_not_positive(loss, normalizer):
    input, target = good()
    fails(loss, input, target, ValueError, "normalizer", f"{normalizer:g}", normalizer=normalizer)


@both_losses
@pytest.mark.parametrize("reduction", ["sum", "none", "batchmean"])
def test_normalizer_of_another_reduction(loss, reduction):
    """It would be ignored silently: only "mean" has a denominator to replace."""
    input, target = good()
    fails(loss, input, target, ValueError, "normalizer", "mean", reduction=reduction, normalizer=5.0)


def test_ignore_index_with_probability_targets():
    """Use sample_weight=0, says the text."""
    input, _ = good()
    fails(fl.cross_entropy, input, np.zeros((20, 10)), ValueError, "ignore_index", "sample_weight", ignore_index=0)


@both_losses
@pytest.mark.parametrize("ignore_index", [1.5, "0", None], ids=repr)
def test_ignore_index_that_is_no_integer(loss, ignore_index):
    input, target = good()
    fails(loss, input, target, (TypeError, ValueError), "ignore_index", ignore_index=ignore_index)


@both_losses
@pytest.mark.parametrize("n_threads", [0, -1, -(2**40)])
def test_n_threads_below_1(loss, n_threads):
    """A peer aborts the process for -1."""
    input, target = good()
    fails(loss, input, target, ValueError, "n_threads", str(n_threads), n_threads=n_threads)


@both_losses
@pytest.mark.parametrize("n_threads", [1.5, "2"], ids=repr)
def test_n_threads_that_is_no_integer(loss, n_threads):
    input, target = good()
    fails(loss, input, target, TypeError, "n_threads", n_threads=n_threads)


@both_losses
@pytest.mark.parametrize("shape", [(19,), (20, 10), (20, 1), (2,)], ids=str)
def test_grad_output_of_another_shape(loss, shape):
    input, target = good()
    fails(loss, input, target, ValueError, "grad_output", str(shape), "(20,)", grad_output=np.ones(shape),
          reduction="none")


@both_losses
@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
def test_grad_output_array_for_a_reduced_value(loss, reduction):
    input, target = good()
    fails(loss, input, target, ValueError, "grad_output", grad_output=np.ones(20), reduction=reduction)


@both_losses
def test_no_gradient_with_respect_to_the_target(loss):
    input, target = good()
    with pytest.raises(ValueError, match="target"):
        loss.grad(input, target, wrt="target")


@both_losses
def test_unknown_keyword(loss):
    input, target = good()
    fails(loss, input, target, TypeError, "size_average", size_average=True)


def test_nll_loss_has_no_label_smoothing():
    input, target = good()
    fails(fl.nll_loss, input, target, TypeError, "label_smoothing", label_smoothing=0.1)


@both_losses
def test_options_are_keywords_only(loss):
    input, target = good()
    for call in (loss, loss.grad, loss.value_and_grad, loss.grad_and_hess):
        with pytest.raises(TypeError):
            call(input, target, np.ones(10))
        with pytest.raises(TypeError):
            call(input)


# --- types ------------------------------------------------------------------------------------------------------------

REJECTED = [np.complex64, np.complex128, object, "U3", "S3", "datetime64[s]", "timedelta64[s]", "V4"]
ARGUMENTS = ["input", "target", "weight", "sample_weight", "grad_output"]


def names_dtype(text, dtype):
    """A dtype has two names, "<U3" and "str96"; either will do."""
    return str(np.dtype(dtype)) in text or np.dtype(dtype).name in text


def with_argument(name, dtype):
    """Good arguments, except that one of them has another dtype."""
    input, target = good()
    arguments = {"input": input, "target": target, "weight": np.ones(10), "sample_weight": np.ones(20),
                 "grad_output": np.ones(20)}
    arguments = {key: value for key, value in arguments.items() if key in ("input", "target", name)}
    # Through zeros, not astype: nothing converts a float to a void, or sensibly to a date.
    arguments[name] = np.zeros(arguments[name].shape, dtype)
    return arguments.pop("input"), arguments.pop("target"), arguments


@both_losses
@pytest.mark.parametrize("dtype", REJECTED, ids=str)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arrays_that_are_no_real_numbers(loss, name, dtype):
    input, target, options = with_argument(name, dtype)
    text = fails(loss, input, target, TypeError, name, reduction="none", **options)
    assert names_dtype(text, dtype)


@both_losses
@pytest.mark.skipif(np.dtype(np.longdouble) == np.float64, reason="longdouble is float64 here")
def test_longdouble_input(loss):
    """Rounding it to float64 would lose what the caller asked for."""
    input, target = good()
    text = fails(loss, input.astype(np.longdouble), target, TypeError, "input")
    assert names_dtype(text, np.longdouble)


@both_losses
@pytest.mark.parametrize("name", ["input", "target"])
def test_masked_arrays(loss, name):
    """The mask would be lost: the text says what to pass instead."""
    input, target = good()
    arguments = {"input": input, "target": target}
    arguments[name] = np.ma.masked_array(arguments[name], mask=np.zeros(arguments[name].shape, bool))
    fails(loss, arguments["input"], arguments["target"], TypeError, name, "sample_weight")


X, LABELS = good()
MASKED_NUMBERS = {"masked": np.ma.masked, "0-d": np.ma.array(1.0, mask=True), "0-d, not masked": np.ma.array(1.0)}
TAKES_A_NUMBER = {
    "grad_output": lambda number: fl.mse_loss.grad(X, X, grad_output=number),
    "grad_output of rows": lambda number: fl.cross_entropy.grad(X, LABELS, grad_output=number),
    "grad_output of combine": lambda number: fl.combine([(fl.mse_loss, 1.0)]).grad(X, X, grad_output=number),
    "normalizer": lambda number: fl.mse_loss(X, X, normalizer=number),
    "margin": lambda number: fl.multi_margin_loss(X, LABELS, margin=number),
    "gamma": lambda number: fl.softmax_focal_loss(X, LABELS, gamma=number),
    "label_smoothing": lambda number: fl.cross_entropy(X, LABELS, label_smoothing=number),
    "delta": lambda number: fl.huber_loss(X, X, delta=number),
    "terms[0][1]": lambda number: fl.combine([(fl.mse_loss, number)]),
}
TAKES_AN_INTEGER = {
    "axis": lambda number: fl.softmax(X, axis=number),
    "n_threads": lambda number: fl.cross_entropy(X, LABELS, n_threads=number),
    "ignore_index": lambda number: fl.cross_entropy(X, LABELS, ignore_index=number),
    "num_classes": lambda number: fl.one_hot([0], number),
}


@pytest.mark.parametrize("number", MASKED_NUMBERS.values(), ids=MASKED_NUMBERS)
@pytest.mark.parametrize("name", TAKES_A_NUMBER)
def test_masked_numbers(name, number):
    """A number behind a mask is none; and there is no warning beside the error."""
    with pytest.raises(TypeError, match=rf"^{re.escape(name.split(' of ')[0])} is a masked array"):
        TAKES_A_NUMBER[name](number)


@pytest.mark.parametrize("name", TAKES_AN_INTEGER)
def test_masked_integers(name):
    with pytest.raises(TypeError, match=f"^{name} is a masked array"):
        TAKES_AN_INTEGER[name](np.ma.array(1, mask=True))


def test_masked_grad_output_of_combine():
    loss = fl.combine([(fl.mse_loss, 1.0), (fl.l2_penalty, 1.0)])
    with pytest.raises(TypeError, match="^grad_output is a masked array"):
        loss.grad(X, X, reduction="none", grad_output=np.ma.array(X, mask=True))


class Elsewhere:
    """An array that only DLPack can reach."""

    def __init__(self, device):
        self.device = device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **_):
        raise BufferError("it cannot be exported")


@pytest.mark.parametrize(("device", "words"), [((1, 0), "it cannot be exported"), (("x", 0), "object"), (5, "object"),
                                               ((2, 0), "device type is 2")], ids=repr)
def test_dlpack_that_fails(device, words):
    for call in (lambda array: fl.mse_loss(array, X), lambda array: fl.cross_entropy(array, LABELS)):
        with pytest.raises(TypeError, match=f"^input .*{words}"):
            call(Elsewhere(device))


@pytest.mark.parametrize("dtype", ["abc", "f4,,", {"a": 1}, 5, complex, "S1"], ids=repr)
def test_one_hot_of_no_dtype(dtype):
    with pytest.raises(TypeError, match="^dtype "):
        fl.one_hot([0], 2, dtype=dtype)


@pytest.mark.parametrize("labels", [[0], np.zeros(1, np.int8), []], ids=repr)
@pytest.mark.parametrize("num_classes", [2**62, 2**63, 2**70])
def test_one_hot_of_too_many_classes(labels, num_classes):
    with pytest.raises(ValueError, match=f"^num_classes = {num_classes} is too large"):
        fl.one_hot(labels, num_classes)


@pytest.mark.parametrize("terms", [5, None, fl.mse_loss], ids=repr)
def test_combine_of_no_sequence(terms):
    with pytest.raises(TypeError, match=r"^terms must be a sequence of pairs \(loss, factor\)"):
        fl.combine(terms)


@both_losses
def test_ragged_and_textual_lists(loss):
    fails(loss, [[1.0, 2.0], [3.0]], [0, 1], (ValueError, TypeError))
    fails(loss, [["a", "b"]], [0], TypeError, "input")
    fails(loss, [[1.0, 2.0]], ["a"], TypeError, "target")
    fails(loss, None, [0], TypeError, "input")


@both_losses
def test_no_reference_to_the_arguments_is_kept_after_an_error(loss):
    """An error path that forgets a reference leaks the caller's arrays."""
    input, target = good()
    target[3] = 99
    before = sys.getrefcount(input), sys.getrefcount(target)
    for _ in range(10):
        with pytest.raises(IndexError, match=re.escape("target[3] = 99")):
            loss.value_and_grad(input, target, out=None)
    gc.collect()
    assert (sys.getrefcount(input), sys.getrefcount(target)) == before
