"""Elementwise functions of arrays that lie in another order than C's: walked as they lie, or a few lines of memory at a
time, with the same results."""

import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

SHAPES = [(7, 3), (70, 33), (5, 600), (4, 1, 9), (3, 5, 40), (4, 9, 40), (40, 30, 20)]


def fortran(array):
    return np.asfortranarray(array)


def middle_last(array):
    """The dimensions in memory: first, last, middle."""
    return np.swapaxes(np.ascontiguousarray(np.swapaxes(array, -2, -1)), -2, -1)


def backwards(array):
    """Fortran order, and the last axis downwards."""
    return np.asfortranarray(array[..., ::-1])[..., ::-1]


def calls(shape, dtype):
    """(loss, arguments, options): everything that can be an array is one."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, *shape)).astype(dtype)
    p, q, positive = rng.uniform(0.1, 0.9, (3, *shape)).astype(dtype)
    per_row = rng.integers(0, 3, (shape[0], *[1] * (len(shape) - 1))).astype(dtype)
    weight = rng.integers(0, 3, shape).astype(dtype)
    yield fl.mse_loss, (x, y), {}
    yield fl.huber_loss, (x, y), {"sample_weight": per_row, "delta": 0.5}
    yield fl.l1_loss, (x, y), {"weight": weight, "reduction": "sum"}
    yield fl.binary_cross_entropy_with_logits, (x, p), {"pos_weight": np.broadcast_to(positive[..., :1], shape)}
    yield fl.gaussian_nll_loss, (x, y, positive), {"reduction": "none", "grad_output": weight}
    yield fl.kl_div, (np.log(p), q), {"reduction": "batchmean"}
    yield fl.hinge_loss, (x, (y > 0).astype(dtype)), {"labels": "01", "reduction": "none"}


def in_order(order, value):
    return order(value) if np.ndim(value) > 1 and 0 not in np.shape(value) else value


@pytest.mark.parametrize("order", [fortran, middle_last, backwards])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_as_in_c_order(order, dtype, shape):
    for loss, arguments, options in calls(shape, dtype):
        upstream = {"grad_output": options.pop("grad_output", None)}
        turned = [in_order(order, argument) for argument in arguments]
        turned_options = {key: in_order(order, option) for key, option in options.items()}
        turned_upstream = {"grad_output": in_order(order, upstream["grad_output"])}
        with np.errstate(over="ignore", invalid="ignore"):
            what = loss.__name__
            assert_same_bits(loss(*turned, **turned_options), loss(*arguments, **options), what)
            for method in ("grad", "value_and_grad", "grad_and_hess"):
                expected = getattr(loss, method)(*arguments, **options, **upstream)
                for n_threads in (1, 2):
                    got = getattr(loss, method)(*turned, **turned_options, **turned_upstream, n_threads=n_threads)
                    assert_same_bits(got, expected, f"{what}.{method}")
            expected = loss.value_and_grad(*arguments, **options, **upstream)
            out = turned[0].copy(order="K")
            got = loss.value_and_grad(*turned, out=out, **turned_options, **turned_upstream)
            assert got[1] is out
            assert_same_bits(got, expected, f"{what} into such an array")
            out = np.empty_like(arguments[0])
            assert_same_bits(loss.value_and_grad(*turned, out=out, **turned_options, **turned_upstream), expected,
                             f"{what} into C order")
            got = loss.value_and_grad(*turned, out=turned[0], **turned_options, **turned_upstream)
            assert_same_bits(got, expected, f"{what} in place")
        for function in (fl.sigmoid, fl.log_sigmoid):
            x = in_order(order, arguments[0].copy())
            assert_same_bits(function(x), function(arguments[0]), function.__name__)
            function(x, out=x)
            assert_same_bits(x, function(arguments[0]), f"{function.__name__} in place")


def swapped(array):
    return np.asfortranarray(array.astype(array.dtype.newbyteorder()))


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)
    result = np.ndarray(array.shape, array.dtype, memory[1:], order="F")
    result[...] = array
    return result


def every_other(array):
    return np.repeat(np.asfortranarray(array), 2, axis=0)[::2]


LAYOUTS = [fortran, middle_last, backwards, swapped, unaligned, every_other, np.ascontiguousarray]
# Less than a square of a vector's lanes, and not a multiple of it; no more than a line of rows; the widest that has a
# stage, and one more; blocks of 16384 elements that end within a row.
WIDE = [(9000, 2), (6001, 3), (4100, 4), (3300, 10), (40, 7), (15, 30), (17, 30), (513, 33), (400, 127), (300, 128),
        (300, 129), (3, 400, 21), (50, 19, 30), (7, 3, 20, 9)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", WIDE, ids=str)
def test_mixed_orders(shape, dtype):
    """Each argument and result in a layout of its own."""
    rng = np.random.default_rng(1)
    x, p = (rng.normal(size=shape) * 2).astype(dtype), rng.uniform(0.1, 0.9, shape).astype(dtype)
    labels, weight = rng.integers(0, 2, shape), rng.integers(0, 3, shape).astype(np.float32)
    cases = [(fl.mse_loss, (x, p), {}), (fl.mse_loss, (x, labels.astype(np.int32)), {"sample_weight": weight}),
             (fl.binary_cross_entropy_with_logits, (x, labels), {"reduction": "sum", "pos_weight": p}),
             (fl.binary_cross_entropy, (p, labels > 0), {"reduction": "none"}),
             (fl.gaussian_nll_loss, (x, labels.astype(np.uint8), p), {"reduction": "sum"})]
    for i in range(12):
        loss, arguments, options = cases[i % len(cases)]
        layouts = [LAYOUTS[k] for k in rng.integers(0, len(LAYOUTS), 8)]
        turned = [layout(argument) for layout, argument in zip(layouts, arguments, strict=False)]
        more = {key: layouts[5](value) if np.ndim(value) else value for key, value in options.items()}
        what = f"{loss.__name__} of {[layout.__name__ for layout in layouts]}"
        with np.errstate(over="ignore", invalid="ignore"):
            assert_same_bits(loss(*turned, **more, n_threads=2), loss(*arguments, **options), what)
            expected = loss.value_and_grad(*arguments, **options)
            outs = [layout(np.full(shape, np.nan, dtype)) for layout in layouts[6:]]
            assert_same_bits(loss.value_and_grad(*turned, out=outs[0], **more), expected, what)
            assert_same_bits(loss.value_and_grad(*turned, **more), expected, what)
            assert_same_bits(loss.grad_and_hess(*turned, **more, out=tuple(outs)),
                             loss.grad_and_hess(*arguments, **options), what)
            expected = loss.grad(*arguments, **options)
            in_place = layouts[0](arguments[0].copy())
            assert_same_bits(loss.grad(in_place, *turned[1:], **more, out=in_place), expected, what)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8, bool])
@pytest.mark.parametrize("shape", [(9000, 2), (2200, 8), (1700, 10), (300, 129), (60, 511), (40, 512), (3, 7000),
                                   (40, 9, 50)], ids=str)
def test_broadcast_along_one_axis(shape, dtype):
    """As weights for each row, for each column, or in the middle: the same bits as written out."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=shape).astype(np.float32), rng.uniform(size=shape).astype(np.float32)
    for axis in range(len(shape)):
        one = tuple(length if i == axis else 1 for i, length in enumerate(shape))
        values = rng.integers(0, 4, (*one[:-1], 3 * one[-1])).astype(dtype)[..., ::3]
        full = np.ascontiguousarray(np.broadcast_to(values, shape))
        for layout in (np.asarray, swapped, unaligned):
            short = layout(values)
            for z in (x, x.astype(np.float64)):
                for options in ("sample_weight",), ("weight", "sample_weight"), ("pos_weight",):
                    loss = fl.binary_cross_entropy_with_logits
                    got = loss.value_and_grad(z, y, **dict.fromkeys(options, short), reduction="sum", n_threads=2)
                    expected = loss.value_and_grad(z, y, **dict.fromkeys(options, full), reduction="sum")
                    assert_same_bits(got, expected, f"{options} of shape {one}")
            got = fl.mse_loss.value_and_grad(x, np.broadcast_to(short, shape), n_threads=2)
            assert_same_bits(got, fl.mse_loss.value_and_grad(x, full), f"target of shape {one}")


@pytest.mark.parametrize("weighted", [False, True])
def test_the_first_failure_in_c_order_is_raised(weighted):
    x, y = np.asfortranarray(np.zeros((500, 400))), np.asfortranarray(np.zeros((500, 400)))
    y[400, 3] = y[30, 300] = y[31, 1] = 2
    options = {"sample_weight": np.ones((500, 1))} if weighted else {}
    out = np.full_like(x, 7)
    for n_threads in (1, 2):
        with pytest.raises(ValueError, match=r"target\[30, 300\] = 2.0 must lie between 0 and 1"):
            fl.binary_cross_entropy_with_logits.grad(x, y, out=out, n_threads=n_threads, **options)
        assert (out == 7).all()
