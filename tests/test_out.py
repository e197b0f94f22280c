"""`out=`: what is refused, and that nothing is written then; what is accepted, and nothing beside it is written."""

import weakref

import numpy as np
import pytest
from arrays import canary, misaligned, out_variants, surroundings
from checks import assert_same_bits

import fastloss as fl

both_losses = pytest.mark.parametrize("loss", [fl.cross_entropy, fl.nll_loss], ids=["cross_entropy", "nll_loss"])
SHAPES = [(1, 2), (7, 3), (20, 10), (33, 17), (5, 64), (3, 130), (2, 1000), (3, 5, 4), (11,)]


def arguments(shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    classes = shape[1] if len(shape) > 1 else shape[0]
    return rng.normal(size=shape).astype(dtype), rng.integers(0, classes, shape[:1] + shape[2:] if shape[1:] else ())


def refused(loss, out, *more, **options):
    """value_and_grad, grad, and grad_and_hess in either place raise, and no buffer changes."""
    input, target = arguments((20, 10))
    input, target = options.pop("input", input), options.pop("target", target)
    fine = canary(200, np.float32).reshape(20, 10)
    watched = [a for a in (out, fine, input, target, *options.values()) if isinstance(a, np.ndarray)]
    before = [a.copy() for a in watched]
    for call in (lambda: loss.value_and_grad(input, target, out=out, **options),
                 lambda: loss.grad(input, target, out=out, **options),
                 lambda: loss.grad_and_hess(input, target, out=(out, fine), **options),
                 lambda: loss.grad_and_hess(input, target, out=(fine, out), **options)):
        with pytest.raises(*more or (ValueError,), match="out"):
            call()
        for array, copy in zip(watched, before):
            assert array.tobytes() == copy.tobytes(), "something was written"


@both_losses
@pytest.mark.parametrize("shape", [(20, 9), (10, 20), (200,), (20, 10, 1), (1, 20, 10), ()], ids=str)
def test_out_of_another_shape(loss, shape):
    refused(loss, np.zeros(shape, np.float32))


@both_losses
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.complex64])
def test_out_of_another_dtype(loss, dtype):
    refused(loss, np.zeros((20, 10), dtype))


@both_losses
def test_out_that_is_read_only(loss):
    out = np.zeros((20, 10), np.float32)
    out.flags.writeable = False
    refused(loss, out)


@both_losses
@pytest.mark.parametrize("out", [[[0.0] * 10] * 20, "buffer", 3], ids=["list", "text", "number"])
def test_out_that_is_no_array(loss, out):
    refused(loss, out, (TypeError, ValueError))


@both_losses
def test_out_that_overlaps_itself(loss):
    """Every row of it is the same memory: the result could not be stored."""
    row = np.zeros((1, 10), np.float32)
    refused(loss, np.lib.stride_tricks.as_strided(row, (20, 10), (0, 4)))
    refused(loss, np.lib.stride_tricks.as_strided(np.zeros(40, np.float32), (20, 10), (4, 4)))


@both_losses
@pytest.mark.parametrize("shift", [-10, -1, 1, 7, 10, 100], ids=lambda shift: f"by {shift}")
def test_out_that_overlaps_the_input_partly(loss, shift):
    """Row n of the result would be written over row n + 1 of the input before it is read."""
    flat = np.random.default_rng(0).normal(size=500).astype(np.float32)
    refused(loss, flat[150 + shift:350 + shift].reshape(20, 10), input=flat[150:350].reshape(20, 10))


@both_losses
def test_out_that_is_the_input_in_another_order(loss):
    """The same memory, but not the same element at the same place."""
    square = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    target = np.zeros(20, int)
    for out in (square.T, square[::-1], square[:, ::-1]):
        with pytest.raises(ValueError, match="out"):
            loss.grad(square, target, out=out)
    input, _ = arguments((20, 10))
    refused(loss, input[::-1], input=input)


@both_losses
@pytest.mark.parametrize("name", ["target", "weight", "sample_weight", "grad_output"])
def test_out_that_overlaps_another_argument(loss, name):
    memory = np.zeros(1000, np.float32)
    out = memory[100:300].reshape(20, 10)
    options = {"reduction": "none"}
    if name == "target":
        options["target"] = memory[260:300].view(np.int64)
    else:
        options[name] = memory[295:305] if name == "weight" else memory[290:310]
    refused(loss, out, **options)


def test_out_that_overlaps_a_probability_target_partly():
    memory = np.zeros(1000, np.float32)
    refused(fl.cross_entropy, memory[110:310].reshape(20, 10), target=memory[100:300].reshape(20, 10))


def test_out_that_is_the_probability_target_is_never_silently_wrong():
    """An exact overlap may be refused or may work; it may not give another result."""
    input, _ = arguments((20, 10))
    target = np.random.default_rng(1).dirichlet(np.ones(10), 20).astype(np.float32)
    expected, copy = fl.cross_entropy.grad(input, target), target.copy()
    try:
        fl.cross_entropy.grad(input, target, out=target)
    except ValueError as error:
        assert "out" in str(error)
        expected = copy
    assert_same_bits(target, expected)


@both_losses
def test_the_two_outputs_of_a_pair_must_not_overlap(loss):
    input, target = arguments((20, 10))
    memory = canary(500, np.float32)
    for shift in (0, 1, 10, 190):
        pair = memory[:200].reshape(20, 10), memory[shift:shift + 200].reshape(20, 10)
        with pytest.raises(ValueError, match="out"):
            loss.grad_and_hess(input, target, out=pair)
    assert_same_bits(memory, canary(500, np.float32))


@both_losses
def test_a_pair_is_needed_for_gradient_and_hessian(loss):
    input, target = arguments((20, 10))
    buffer = canary(200, np.float32).reshape(20, 10)
    for out in (buffer, (buffer,), (buffer, buffer.copy(), buffer.copy())):
        with pytest.raises((TypeError, ValueError), match="out"):
            loss.grad_and_hess(input, target, out=out)
    for call in (loss.grad, loss.value_and_grad):
        with pytest.raises((TypeError, ValueError), match="out"):
            call(input, target, out=(buffer, buffer.copy()))
    assert_same_bits(buffer, canary(200, np.float32).reshape(20, 10))


# --- buffers that are accepted ----------------------------------------------------------------------------------------


@both_losses
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_beside_out_is_written(loss, shape, dtype):
    """Canaries before, after and between the elements; the result has the usual bits in every layout."""
    input, target = arguments(shape, dtype)
    expected = loss.grad_and_hess(input, target)
    for name, out, memory in out_variants(shape, dtype):
        outside, before = surroundings(out, memory), memory.copy()
        loss.grad(input, target, out=out)
        assert_same_bits(out, expected[0], name)
        np.testing.assert_array_equal(memory[outside], before[outside], err_msg=f"{name}: written beside out")


@both_losses
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_beside_a_pair_is_written(loss, shape):
    input, target = arguments(shape)
    expected = loss.grad_and_hess(input, target)
    for (name, grad, grad_memory), (_, hess, hess_memory) in zip(*[out_variants(shape, np.float32) for _ in range(2)]):
        before = grad_memory.copy(), hess_memory.copy()
        loss.grad_and_hess(input, target, out=(grad, hess))
        assert_same_bits((grad, hess), tuple(expected), name)
        for view, memory, old in zip((grad, hess), (grad_memory, hess_memory), before):
            outside = surroundings(view, memory)
            np.testing.assert_array_equal(memory[outside], old[outside], err_msg=f"{name}: written beside out")


@both_losses
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_place_equals_separate(loss, shape, dtype):
    input, target = arguments(shape, dtype)
    expected = loss.value_and_grad(input, target)
    copy = input.copy()
    assert_same_bits(loss.value_and_grad(copy, target, out=copy), expected)
    # another array object on the same elements is the same thing
    copy = input.copy()
    assert_same_bits(loss.value_and_grad(copy, target, out=copy[...]), expected)


@both_losses
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_place_in_a_strided_or_misaligned_input(loss, shape):
    input, target = arguments(shape)
    expected = loss.value_and_grad(input, target)
    strided = np.zeros(tuple(2 * size for size in shape), np.float32)[tuple(slice(None, None, 2) for _ in shape)]
    for place in (strided, np.asfortranarray(np.zeros_like(input)), misaligned(np.zeros_like(input))):
        place[...] = input
        assert_same_bits(loss.value_and_grad(place, target, out=place), expected)


@both_losses
def test_in_place_gradient_beside_a_hessian(loss):
    input, target = arguments((20, 10))
    expected = loss.grad_and_hess(input, target)
    hess = np.zeros_like(input)
    assert_same_bits(tuple(loss.grad_and_hess(input, target, out=(input, hess))), tuple(expected))


@both_losses
@pytest.mark.parametrize("shape", [(0, 5), (2, 5, 0)], ids=str)
def test_empty_out(loss, shape):
    input, target = arguments(shape)
    out = np.empty_like(input)
    assert loss.grad(input, target, out=out) is out


@both_losses
def test_everything_is_overwritten(loss):
    """NaN left in a buffer by an earlier call does not survive, not even in an ignored row or a zero."""
    input, target = arguments((20, 10))
    target[::2] = -100
    pair = np.full_like(input, np.nan), np.full_like(input, np.nan)
    loss.grad_and_hess(input, target, out=pair)
    assert not np.isnan(pair).any()


class Larger(np.ndarray):
    shape = property(lambda self: (20, 10))


class Writeable(np.ndarray):
    flags = property(lambda self: np.zeros(1).flags)


class Single(np.ndarray):
    dtype = property(lambda self: np.dtype(np.float32))


class Proxy:
    """Says that it is an array."""

    __class__ = property(lambda self: np.ndarray)

    def __init__(self, array):
        self._array = array

    def __getattr__(self, name):
        return getattr(self._array, name)


@pytest.mark.parametrize("liar", [
    lambda: np.zeros((2, 10), np.float32).view(Larger), lambda: np.zeros((20, 10), np.int8).view(Single),
    lambda: np.frombuffer(bytes(800), np.float32).reshape(20, 10).view(Writeable),
    lambda: Proxy(np.zeros((20, 10), np.float32)),
], ids=["shape", "dtype", "flags", "proxy"])
@both_losses
def test_what_a_subclass_says_of_itself_does_not_count(loss, liar):
    refused(loss, liar())


def test_a_weak_reference_is_no_array():
    out = np.zeros((20, 10), np.float32)
    with pytest.raises(ValueError, match="out must be a NumPy array"):
        fl.softmax(out, out=weakref.proxy(out))


@both_losses
def test_one_of_a_pair_changes_the_other_when_it_is_asked(loss):
    input, target = arguments((20, 10))
    grad = np.zeros((20, 10), np.float32)

    class Shrinks(np.ndarray):
        @property
        def dtype(self):
            grad.__setstate__((1, (1,), np.dtype(np.float32), False, bytes(4)))
            return np.dtype(np.float32)

    expected = loss.grad_and_hess(input, target)
    hess = np.zeros((20, 10), np.float32).view(Shrinks)
    assert loss.grad_and_hess(input, target, out=(grad, hess))[1] is hess
    np.testing.assert_array_equal(np.ndarray.view(hess, np.ndarray), expected[1])


@both_losses
def test_a_plain_subclass_is_filled_and_returned(loss):
    input, target = arguments((20, 10))
    out = np.zeros((20, 10), np.float32).view(type("Own", (np.ndarray,), {}))
    assert loss.grad(input, target, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), loss.grad(input, target))
