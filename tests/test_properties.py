"""Arguments drawn at random, every option at once, against the oracle."""

import numpy as np
import pytest
import reference
from checks import ULP, assert_same_bits, assert_ulp

import fastloss as fl

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

# Derandomised, so that a run that passed passes again; the interesting sizes are listed, not hoped for.
settings = hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)


@st.composite
def calls(draw):
    """(input, target, options) with any dtype, rank, axis, target kind and options."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lead = draw(st.sampled_from([(), (1,), (2,), (5,), (19,), (2, 3), (3, 1, 2), (0,)]))
    classes = draw(st.sampled_from([1, 2, 3, 7, 8, 10, 16, 33, 64, 65, 90]))
    axis = draw(st.integers(-len(lead) - 1, len(lead))) if lead else 0
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = rng.normal(0, draw(st.sampled_from([0.01, 1, 8])), (*lead, classes))
    rows += draw(st.sampled_from([0, 0, -50.0, 3000.0]))
    input = np.moveaxis(rows.astype(dtype), -1, axis)
    options = {"axis": axis, "reduction": draw(st.sampled_from(["mean", "sum", "none", "batchmean"]))}
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.0, 0.1, 0.9, 1.0]))
    if draw(st.booleans()):
        options["weight"] = rng.choice([0, 0.3, 1, 7], classes).astype(dtype)
    if draw(st.booleans()):
        options["sample_weight"] = rng.choice([0, 0.3, 1, 7], lead).astype(dtype)
    if options["reduction"] == "mean" and draw(st.booleans()):
        options["normalizer"] = 3.7
    upstream = lead if options["reduction"] == "none" else ()
    options["grad_output"] = rng.choice([-3.0, 0.3, 1.0], upstream).astype(dtype)
    if draw(st.booleans()):
        return input, np.moveaxis(rng.dirichlet(np.ones(classes), lead).astype(dtype), -1, axis), options
    options["ignore_index"] = draw(st.sampled_from([-100, 0, classes - 1, classes]))
    target = rng.integers(0, classes, lead)
    return input, np.where(rng.random(lead) < 0.2, options["ignore_index"], target), options


@settings
@hypothesis.given(calls())
def test_cross_entropy_is_the_oracle(call):
    input, target, options = call
    truth = reference.cross_entropy(input, target, **options)
    if options["reduction"] == "mean" and "normalizer" not in options:
        hypothesis.assume(not reference.MP.isnan(truth.value))  # total weight 0 has tests of its own
    value, grad = fl.cross_entropy.value_and_grad(input, target, **options)
    # The options that are not exact in float32 are rounded to it: half an ULP each for weight sums and scale factors
    # is within the promise, which is about the result and not about the steps.
    assert_ulp(value, truth.value, input.dtype, ULP, what="value")
    assert_ulp(grad, truth.grad, input.dtype, ULP, truth.scale, "gradient")
    copy = input.copy(order="K")
    assert_same_bits(fl.cross_entropy.value_and_grad(copy, target, out=copy, **options), (value, grad), "in place")
