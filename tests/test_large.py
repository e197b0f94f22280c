"""More than 2^31 elements, rows, classes and bytes: sums, positions in errors, labels and the last elements written.

Run by hand with FASTLOSS_TEST_LARGE=1: it takes minutes, and up to 9 GB of memory. Most inputs are one number with
stride 0, which needs none; where an element's place matters, arrays of one or two bytes an element are real.
"""

import math
import os

import numpy as np
import pytest

import fastloss as fl

pytestmark = pytest.mark.skipif("FASTLOSS_TEST_LARGE" not in os.environ, reason="set FASTLOSS_TEST_LARGE=1: 9 GB")

MANY = 2**31 + 37
half = np.float16


def repeated(value, *shape):
    return np.broadcast_to(half(value), shape)


# --- elementwise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(MANY,), (65_536, 32_770), (3, 7, 2**27)], ids=str)
def test_sum_of_elements(shape):
    size = math.prod(shape)
    assert size > 2**31
    assert fl.mse_loss(repeated(0.5, *shape), repeated(2, *shape), reduction="sum") == 2.25 * size
    assert fl.l1_loss(repeated(0.5, *shape), repeated(2, *shape)) == 1.5


def test_last_elements_of_sum_and_mean():
    """Only what lies beyond 2^31 differs from the rest."""
    target = np.zeros(MANY, np.int8)
    target[2**31:] = 3
    assert fl.mse_loss(repeated(0, MANY), target, reduction="sum") == 37 * 9
    weight = repeated(0.5, MANY)
    assert fl.huber_loss(repeated(0, MANY), target, sample_weight=weight) == pytest.approx(37 * 2.5 / MANY, rel=1e-15)


def test_position_of_a_bad_element():
    target = np.zeros(MANY, np.int8)
    target[MANY - 2] = 2
    with pytest.raises(ValueError, match=str(MANY - 2)):
        fl.binary_cross_entropy_with_logits(repeated(0, MANY), target)


def test_gradient_of_elements_in_place():
    """Read and written beyond 2^32 bytes; the input is its own output."""
    array = np.zeros(MANY, half)
    array[[0, 2**30, 2**31 - 1, 2**31, MANY - 1]] = [1, 2, 3, 4, 5]
    assert fl.mse_loss.grad(array, repeated(0, MANY), out=array, reduction="sum") is array
    assert array[[0, 2**30, 2**31 - 1, 2**31, MANY - 1]].tolist() == [2, 4, 6, 8, 10]
    assert np.count_nonzero(array) == 5


def test_reversed_elements():
    array = np.zeros(MANY, half)
    array[0], array[-1] = 1, 2
    target = np.zeros(MANY, np.int8)
    target[-1] = 1  # meets array[0]
    assert fl.mse_loss(array[::-1], target, reduction="sum") == 4


# --- rows -------------------------------------------------------------------------------------------------------------


def test_many_rows():
    """Labels of one byte, and one beyond 2^31 that is wrong."""
    input, target = repeated(0, MANY, 2), np.zeros(MANY, np.int8)
    one = fl.cross_entropy(input[:1], target[:1])
    assert fl.cross_entropy(input, target, reduction="sum") == pytest.approx(MANY * one, rel=1e-12)
    assert fl.multi_margin_loss(input, target) == 0.5
    target[2**31:] = 1
    assert fl.cross_entropy(input, target, ignore_index=0, reduction="sum") == pytest.approx(37 * one, rel=1e-12)
    target[MANY - 3] = 2
    with pytest.raises(IndexError, match=rf"target\[{MANY - 3}\] = 2 is out of range for 2 classes"):
        fl.cross_entropy(input, target)


def test_gradient_of_many_rows():
    """2^30 rows of two classes: 2^31 elements and more."""
    rows = 2**30 + 21
    target = np.zeros(rows, np.int8)
    target[-1] = 1
    out = np.empty((rows, 2), half)
    fl.cross_entropy.grad(repeated(0, rows, 2), target, reduction="sum", out=out)
    assert (out[:-1, 0] == -0.5).all() and (out[:-1, 1] == 0.5).all()
    assert out[-1].tolist() == [0.5, -0.5]


def test_losses_of_every_row():
    rows = 2**31 + 5
    target = np.zeros(rows, np.int8)
    target[-1] = 1
    input = np.broadcast_to(np.array([0, 1], half), (rows, 2))
    losses = fl.cross_entropy(input, target, reduction="none")
    first, last = fl.cross_entropy(input[:2], np.array([0, 1]), reduction="none")
    assert losses.dtype == half and first != last and losses[-1] == last and (losses[:-1] == first).all()


# --- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, MANY), (2, 2**30 + 19)], ids=str)
def test_many_classes(shape):
    """All logits 0: the loss of a row is the log of the number of its classes, whatever the label."""
    label = shape[1] - 1
    loss = fl.cross_entropy(repeated(0, *shape), np.full(shape[0], label), reduction="sum")
    assert loss == pytest.approx(shape[0] * math.log(shape[1]), rel=1e-6)
    with pytest.raises(IndexError, match=rf"target\[{shape[0] - 1}\] = {label + 1} is out of range"):
        fl.cross_entropy(repeated(0, *shape), np.arange(label + 2 - shape[0], label + 2))


def test_a_label_beyond_2_to_the_31():
    """Its logit is the only one that is not 0, so a label cut to 32 bits would give another loss (24) and gradient."""
    label, rest = MANY - 2, (MANY - 1) * math.exp(-24)
    input = np.zeros((1, MANY), half)
    input[0, label] = 24
    out = np.empty_like(input)
    loss, grad = fl.cross_entropy.value_and_grad(input, np.array([label]), out=out)
    assert grad is out
    assert loss == pytest.approx(math.log1p(rest), rel=1e-6)
    assert grad[0, label] == pytest.approx(-rest / (1 + rest), rel=1e-3)
    assert np.count_nonzero(grad) == 1  # the others are 3e-11, less than float16 has
    p = fl.softmax(input, out=input)
    assert p[0, label] == pytest.approx(1 / (1 + rest), rel=1e-3) and np.count_nonzero(p) == 1
