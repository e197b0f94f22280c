"""Elementwise functions of arrays that all lie in another order than C's: walked as they lie, with the same results."""

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
