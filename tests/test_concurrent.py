"""Several Python threads in every kernel at once, on shared inputs, writing next to each other.

Right numbers are a weak test of this. It is made for `bash tools/sanitize.sh tsan`, where ThreadSanitizer also sees a
read beyond a caller's own part, and anything that two callers would share in a kernel.
"""

import concurrent.futures
import threading

import catalogue
import losses
import numpy as np
import pytest
from checks import assert_same_bits

import fastloss as fl

CALLERS = 4
ROWS = [(row, number) for row in catalogue.ROWS for number in range(len(row.settings))]
# Narrow, wide and very wide rows. All large enough to give up the GIL, and to be at work for longer than another thread
# needs to start: ThreadSanitizer takes callers that came one after the other for ordered by the GIL.
SHAPES = [(12_501, 7), (601, 130), (101, 1001)]
dtypes = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def check(call, shape, dtype):
    """`call(out)` from all callers at once, each with its part of one array; the parts touch at odd places."""
    expected = np.empty(shape, dtype)
    call(expected)
    size = expected.size
    shared = np.full(CALLERS * size + 1, np.nan, dtype)
    barrier = threading.Barrier(CALLERS)

    def caller(n):
        part = shared[1 + n * size:][:size].reshape(shape)
        for _ in range(3):
            barrier.wait(60)
            call(part)

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
        for future in [pool.submit(caller, n) for n in range(CALLERS)]:
            future.result(timeout=100)
    assert np.isnan(shared[0])
    for n in range(CALLERS):
        assert_same_bits(shared[1 + n * size:][:size].reshape(shape), expected, f"caller {n}")


@dtypes
@pytest.mark.parametrize("row, number", ROWS, ids=[f"{row.name}-{number}" for row, number in ROWS])
def test_elementwise(row, number, dtype):
    """With a sample weight, so that the checking pass runs too."""
    setting = row.settings[number]
    arrays = row.everyday(setting, (100_001,), dtype)
    sample_weight = np.linspace(0, 1, 100_001).astype(dtype)
    function = row.function()

    def call(out):
        if row.derivatives:
            function.grad_and_hess(**arrays, **setting, sample_weight=sample_weight, out=(out, np.empty_like(out)))
        else:
            out[...] = function(**arrays, **setting, sample_weight=sample_weight, reduction="none")

    check(call, (100_001,), dtype)


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "softmax_focal_loss", "multi_margin_loss"])
def test_losses_of_rows(name, shape, dtype):
    input, target = losses.sample_logits(np.random.default_rng(0), dtype, shape)
    weight = np.linspace(0.5, 1, shape[1]).astype(dtype)

    def call(out):
        getattr(fl, name).value_and_grad(input, target, weight=weight, out=out)

    check(call, shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_probability_targets(shape, dtype):
    input, _ = losses.sample_logits(np.random.default_rng(0), dtype, shape)
    target = fl.softmax(input[::-1])
    check(lambda out: fl.cross_entropy.value_and_grad(input, target, label_smoothing=0.1, out=out), shape, dtype)


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_grad", "log_softmax_grad"])
def test_transforms_of_rows(name, shape, dtype):
    arguments = [losses.sample_logits(np.random.default_rng(seed), dtype, shape)[0] for seed in (0, 1)]
    arguments = arguments if name.endswith("grad") else arguments[:1]
    check(lambda out: getattr(fl, name)(*arguments, out=out), shape, dtype)


@dtypes
@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "information"])
def test_transforms_of_elements(name, dtype):
    argument = np.linspace(0, 1, 100_001).astype(dtype)
    check(lambda out: getattr(fl, name)(argument, out=out), (100_001,), dtype)
