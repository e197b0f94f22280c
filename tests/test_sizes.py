"""Where the size of the arrays decides how they are walked: long rows, results written past the caches, large sums."""

import math

import catalogue
import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

MANY = 2**26
PAST_THE_CACHES = 2**22 + 2**14 + 77  # float32; results are from 2^21 elements on


@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=str)
def test_the_sum_over_millions_of_classes(dtype):
    """Equal terms: what a sum loses at each addition has one sign, and must itself not get lost."""
    input = np.zeros((1, MANY), dtype)
    input[0, 5] = 16
    rest = (MANY - 1) * math.exp(-16)
    loss, grad = fl.cross_entropy.value_and_grad(input, np.array([5]))
    ulp = float(np.finfo(dtype).eps) / 2
    assert loss == pytest.approx(math.log1p(rest), rel=4 * 2**-24)
    assert float(grad[0, 5]) == pytest.approx(-rest / (1 + rest), rel=4 * ulp)
    assert fl.cross_entropy(input, np.array([5]), label_smoothing=0.5) == pytest.approx(
        math.log1p(rest) + 16 * 0.5 * (1 - 1 / MANY), rel=4 * 2**-24)


def test_millions_of_equal_maxima():
    """Their number is counted lane by lane; float32 cannot count beyond 2^24."""
    loss = fl.cross_entropy(np.broadcast_to(np.float32(3), (1, 2**29 + 16)), np.array([2**29]), n_threads=1)
    assert loss == pytest.approx(math.log(2**29 + 16), rel=2**-23)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
@pytest.mark.parametrize("classes", [1000, 4096, 4097, 20011])
def test_rows_through_the_stack(classes, dtype):
    """Short rows together, one row, or a part of one: the same bits as from memory that is used where it lies."""
    rng = np.random.default_rng(classes)
    wide = np.float64 if dtype == np.float64 else np.float32
    input = rng.normal(size=(9, classes)).astype(dtype)
    labels, weight = rng.integers(0, classes, 9), rng.uniform(0.5, 2, classes).astype(wide)
    strided = np.zeros((9, 2 * classes), wide)
    strided[:, ::2] = input
    for options in ({}, {"weight": weight, "label_smoothing": 0.1}):
        loss, grad = fl.cross_entropy.value_and_grad(input.astype(wide), labels, **options)
        for other in (input, strided[:, ::2]):
            loss_of_other, grad_of_other = fl.cross_entropy.value_and_grad(other, labels, **options)
            assert loss_of_other == loss
            assert_same_bits(grad_of_other, grad.astype(other.dtype))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [70, *range(257, 324), 1000, 4095, 4096, 4097, 4160, 4170], ids=str)
def test_float16_where_it_lies(classes, weighted):
    """Converted on the way in and out, or only one of the two, in place, beside what must stay: as float32, rounded."""
    rng = np.random.default_rng(classes)
    rows = 3
    memory = np.full(rows * classes + 65, 7, np.float16)
    input = memory[33 : 33 + rows * classes].reshape(rows, classes)
    input[:] = rng.normal(size=input.shape) * 3
    input[0, 5] = input[0, 40] = input[0].max() + 1  # two maxima
    labels = np.array([5, -100, classes - 1])
    options = {"weight": rng.uniform(0.5, 2, classes).astype(np.float32)} if weighted else {}
    loss, grad = fl.cross_entropy.value_and_grad(input.astype(np.float32), labels, **options)
    probability = fl.softmax(input.astype(np.float32))
    assert_same_bits(fl.softmax(input), probability.astype(np.float16))
    assert fl.cross_entropy(input, labels, **options) == loss
    wide = np.full((rows, 2 * classes), 7, np.float16)
    wide[:, ::2] = input
    in_place = input.copy()
    for given, out in ((input, None), (input, wide[:, 1::2]), (wide[:, ::2], np.empty_like(input)),
                       (input.astype(">f2"), None), (in_place, in_place), (input, input)):
        loss_of_given, got = fl.cross_entropy.value_and_grad(given, labels, out=out, **options)
        assert loss_of_given == loss
        assert_same_bits(got, grad.astype(got.dtype))
    assert (memory[:33] == 7).all() and (memory[33 + rows * classes :] == 7).all()


LIGHT = [name for name in catalogue.BY_NAME if name in {
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "pinball_loss", "expectile_loss", "epsilon_insensitive_loss",
    "squared_epsilon_insensitive_loss", "hinge_loss", "squared_hinge_loss", "perceptron_loss"}]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
@pytest.mark.parametrize("name", LIGHT)
def test_results_past_the_caches(name, dtype):
    """Written where they can be past the caches, else not: the same bits, and nothing beside them."""
    rng = np.random.default_rng(0)
    n = PAST_THE_CACHES if dtype == np.float32 else PAST_THE_CACHES // 2
    function = getattr(fl, name)
    input, target = rng.normal(size=n).astype(dtype), np.where(rng.random(n) < 0.5, -1, 1).astype(dtype)
    loss, grad = function.value_and_grad(input, target, n_threads=2)
    parts = np.concatenate([function.grad(input[i : i + 2**20], target[i : i + 2**20], reduction="sum")
                            for i in range(0, n, 2**20)])
    assert_same_bits(function.grad(input, target, reduction="sum"), parts)
    for offset in (0, 1, 2, 4):
        memory = np.full(n + 8, 7, dtype)
        out = memory[offset : offset + n]
        again, _ = function.value_and_grad(input, target, out=out)
        assert again == loss
        assert_same_bits(out, grad)
        assert (memory[:offset] == 7).all() and (memory[offset + n :] == 7).all()
        hess = np.full(n + 8, 7, dtype)
        out[:] = 7
        function.grad_and_hess(input, target, out=(out, hess[offset : offset + n]))
        assert_same_bits(out, grad)
        assert_same_bits(hess[offset : offset + n], function.grad_and_hess(input, target)[1])
        assert (memory[:offset] == 7).all() and (hess[:offset] == 7).all() and (hess[offset + n :] == 7).all()
    values = np.concatenate([function(input[i : i + 2**20], target[i : i + 2**20], reduction="none")
                             for i in range(0, n, 2**20)])
    assert_same_bits(function(input, target, reduction="none", n_threads=2), values)
    in_place = input.copy()
    assert function.value_and_grad(in_place, target, out=in_place)[0] == loss
    assert_same_bits(in_place, grad)


@pytest.mark.parametrize("factors", ["weight", "sample_weight", "grad_output"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weighed_results_past_the_caches(factors, dtype):
    """The same bits as of arrays in the caches, and nothing beside them."""
    n, step = PAST_THE_CACHES // (2 if dtype == "float64" else 1), 2**18 + 5
    generator = np.random.default_rng(0)
    input, target, weight = (generator.random(n, dtype) for _ in range(3))
    weight[::7] = 0
    reduction = "none" if factors == "grad_output" else "sum"
    around = np.full(n + 64, 99, dtype)
    out = around[3 : 3 + n]
    fl.mse_loss.grad(input, target, reduction=reduction, out=out, **{factors: weight})
    parts = np.concatenate([fl.mse_loss.grad(input[i : i + step], target[i : i + step], reduction=reduction,
                                             **{factors: weight[i : i + step]}) for i in range(0, n, step)])
    np.testing.assert_array_equal(out, parts)
    assert (around[:3] == 99).all() and (around[3 + n :] == 99).all()


@pytest.mark.parametrize("n", [40, 1000, 50_000])
def test_a_sum_beyond_float32(n):
    """The mean of numbers near the largest is a number: their sum is made in double where float32 cannot hold it."""
    input = np.full(n, 1.5e19, np.float32)
    zero = np.zeros(n, np.float32)
    each = float(np.float32(1.5e19)) ** 2
    assert fl.mse_loss(input, zero) == pytest.approx(each, rel=1e-7)
    input[n // 2] = np.inf
    assert fl.mse_loss(input, zero) == math.inf
    input[n // 2] = np.nan
    assert math.isnan(fl.mse_loss(input, zero))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
def test_options_that_do_nothing(dtype):
    """Binary cross-entropy has a shorter formula without its options; the bits are the same."""
    rng = np.random.default_rng(0)
    input, target = (20 * rng.normal(size=5000)).astype(dtype), rng.random(5000).astype(dtype)
    input[:4], target[::7], target[::5] = [np.inf, -np.inf, np.nan, -0.0], 0, 1
    function = fl.binary_cross_entropy_with_logits
    for ones in (1.0, np.ones(5000)):
        for wrt in ("input", "target"):
            assert_same_bits(function.grad(input, target, wrt=wrt),
                             function.grad(input, target, pos_weight=ones, wrt=wrt))
        assert_same_bits(function(input, target, reduction="none"),
                         function(input, target, pos_weight=ones, reduction="none"))
        assert_same_bits(function.grad_and_hess(input, target),
                         function.grad_and_hess(input, target, pos_weight=ones))
