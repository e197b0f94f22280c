"""softmax, log_softmax and logsumexp: accuracy, axes, out, special values, errors."""

import numpy as np
import pytest
import reference
from arrays import misaligned, out_variants, surroundings, variants
from checks import ULP, assert_same_bits, assert_ulp
from families import DTYPES, families, small_families, wide

import fastloss as fl

NAMES = ["softmax", "log_softmax", "logsumexp"]
ELEMENTWISE = [fl.softmax, fl.log_softmax]
ALL = [*ELEMENTWISE, fl.logsumexp]
every = pytest.mark.parametrize("function", ALL, ids=NAMES)
elementwise = pytest.mark.parametrize("function", ELEMENTWISE, ids=NAMES[:2])
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
NAN, INF = np.nan, np.inf


def logsumexp_scale(input):
    """max(|max|, log of the sum): the two terms of logsumexp.

    Where they cancel the result crosses zero, and its relative error is unbounded in the input itself.
    """
    exact = reference.exact_array(input)
    top = exact.max(axis=-1)
    return np.maximum(abs(top), abs(reference.logsumexp(input) - top))


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, *_ in families(np.float32)])
def test_float32_within_4_ulp(name):
    check(next(input for found, input, _ in families(np.float32) if found == name))


@pytest.mark.parametrize("name", [name for name, *_ in small_families(np.float64)])
def test_float64_within_4_ulp(name):
    check(next(input for found, input, _ in small_families(np.float64) if found == name))


def check(input):
    assert_ulp(fl.softmax(input), reference.softmax(input), input.dtype, ULP, what="softmax")
    assert_ulp(fl.log_softmax(input), reference.log_softmax(input), input.dtype, ULP, what="log_softmax")
    assert_ulp(fl.logsumexp(input), reference.logsumexp(input), input.dtype, ULP, logsumexp_scale(input), "logsumexp")


@both_dtypes
def test_wide_row(dtype):
    input, _ = wide(dtype, 8000)
    check(input)


@both_dtypes
def test_log_softmax_of_a_certain_class_is_not_0(dtype):
    """-exp(-25): lost by every formula that adds 1 first."""
    input = np.array([[25.0, 0.0]], dtype)
    assert_ulp(fl.log_softmax(input), reference.log_softmax(input), dtype, ULP)
    assert fl.log_softmax(input)[0, 0] < 0


# --- shapes and axes --------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 4), (2, 3, 4, 5), (4, 80, 3)], ids=str)
def test_every_axis(function, shape):
    input = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for axis in range(-len(shape), len(shape)):
        expected = function(np.ascontiguousarray(np.moveaxis(input, axis, -1)))
        got = function(input, axis=axis)
        assert_same_bits(got if function is fl.logsumexp else np.moveaxis(got, axis, -1), expected, f"axis {axis}")


@every
def test_the_default_axis_is_the_last(function):
    input = np.random.default_rng(0).normal(size=(3, 5, 4))
    assert_same_bits(function(input), function(input, axis=-1))


@both_dtypes
def test_logsumexp_shapes(dtype):
    input = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(dtype)
    assert fl.logsumexp(input).shape == (3, 5)
    assert fl.logsumexp(input, axis=1).shape == (3, 4)
    assert_same_bits(fl.logsumexp(input, axis=1, keepdims=True), fl.logsumexp(input, axis=1)[:, None])
    assert fl.logsumexp(input).dtype == dtype


def test_logsumexp_of_one_dimension_is_a_python_float():
    value = fl.logsumexp(np.array([0.0, 0.0]))
    assert type(value) is float
    assert value == pytest.approx(np.log(2), rel=1e-15)
    assert np.shape(fl.logsumexp(np.array([0.0, 0.0]), keepdims=True)) == (1,)


@elementwise
def test_one_dimension(function):
    input = np.array([3.0, 1.0, -3.0])
    assert_same_bits(function(input), function(input[None])[0])


@every
@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)], ids=str)
def test_empty(function, shape):
    got = function(np.empty(shape, np.float32))
    assert got.shape == (shape[:-1] if function is fl.logsumexp else shape)
    assert got.dtype == np.float32


@elementwise
def test_no_classes(function):
    assert function(np.empty((3, 0), np.float32)).shape == (3, 0)


@every
def test_lists(function):
    assert_same_bits(function([[1.0, 2.0], [3, 4]]), function(np.array([[1.0, 2.0], [3, 4]])))


# --- memory -----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 10), (3, 70), (3, 5, 4), (11,)], ids=str)
def test_every_layout(function, shape, dtype):
    input = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for axis in range(len(shape)):
        expected = function(input, axis=axis)
        for name, variant in variants(input):
            assert_same_bits(function(variant, axis=axis), expected, f"{name}, axis {axis}")


@every
@both_dtypes
@pytest.mark.parametrize("shape", [(1, 2), (20, 10), (3, 70), (3, 5, 4)], ids=str)
def test_out_and_nothing_beside_it_is_written(function, shape, dtype):
    input = np.random.default_rng(0).normal(size=shape).astype(dtype)
    expected = function(input)
    for name, out, memory in out_variants(expected.shape, dtype):
        outside, before = surroundings(out, memory), memory.copy()
        assert function(input, out=out) is out
        assert_same_bits(out, expected, name)
        np.testing.assert_array_equal(memory[outside], before[outside], err_msg=f"{name}: written beside out")


@elementwise
@pytest.mark.parametrize("shape", [(20, 10), (3, 70), (11,)], ids=str)
def test_in_place(function, shape):
    input = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = function(input)
    for place in (input.copy(), np.asfortranarray(input), misaligned(input)):
        function(place, out=place)
        assert_same_bits(place, expected)


@every
def test_input_is_not_modified(function):
    input = np.random.default_rng(0).normal(size=(20, 10))
    copy = input.copy()
    function(input)
    assert_same_bits(input, copy)


@every
def test_out_that_is_refused(function):
    input = np.random.default_rng(0).normal(size=(20, 10)).astype(np.float32)
    shape = (20,) if function is fl.logsumexp else (20, 10)
    read_only = np.zeros(shape, np.float32)
    read_only.flags.writeable = False
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0,) * len(shape))
    memory = np.zeros(500, np.float32)
    source = memory[:200].reshape(20, 10)
    source[...] = input
    partial = memory[5:5 + int(np.prod(shape))].reshape(shape)
    for given, out in ((input, np.zeros((*shape, 1), np.float32)), (input, np.zeros(shape)), (input, read_only),
                       (input, overlapping), (source, partial)):
        before = given.copy(), out.copy()
        with pytest.raises(ValueError, match="out"):
            function(given, out=out)
        assert_same_bits((given, np.ascontiguousarray(out)), before, "after an error")


# --- special values ---------------------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("width", [3, 17, 65, 300])
def test_special_rows(width, dtype):
    """-inf has probability 0; a row with NaN or +inf, or of nothing but -inf, has no softmax."""
    input = np.full((6, width), -INF, dtype)
    input[0, :2] = 1
    input[1, 1] = INF
    input[2, 0] = NAN
    input[3, -1] = 5
    input[5, :2] = [3e38, -3e38]
    p, log_p, total = (function(input) for function in ALL)
    for bad in (1, 2, 4):
        assert np.isnan(p[bad]).all()
        assert np.isnan(log_p[bad]).all()
    halves = np.array([0.5, 0.5] + [0] * (width - 2), dtype)
    if width < 300:
        np.testing.assert_array_equal(p[0], halves)
    else:  # exponential and factor of a wide row are both rounded where the maximum has no more than half
        np.testing.assert_array_max_ulp(p[0], halves)
    assert p[0, 0] == p[0, 1]
    np.testing.assert_array_equal(p[[3, 5]], np.eye(width)[[width - 1, 0]])
    np.testing.assert_array_equal(log_p[[3, 5], [width - 1, 0]], [0, 0])
    np.testing.assert_array_equal(log_p[0, 2:], [-INF] * (width - 2))
    np.testing.assert_array_equal(log_p[3, :-1], [-INF] * (width - 1))
    np.testing.assert_allclose(total[[0, 3]], [1 + np.log(2), 5], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(total[[1, 2, 4]], [INF, NAN, -INF])


@both_dtypes
def test_probabilities_sum_to_1(dtype):
    input = np.random.default_rng(0).normal(0, 5, (50, 37)).astype(dtype)
    np.testing.assert_allclose(fl.softmax(input).sum(axis=1, dtype=float), 1, rtol=8 * np.finfo(dtype).eps)


@both_dtypes
@pytest.mark.parametrize("width", [3, 65, 300, 5000])
def test_a_certain_class_has_probability_1(width, dtype):
    """More than 1 would be refused where probabilities are asked for (binary_cross_entropy, say)."""
    maxima = np.random.default_rng(0).uniform(-200, 200, 500).astype(dtype)
    input = np.full((len(maxima), width), -INF, dtype)
    input[np.arange(len(maxima)), np.arange(len(maxima)) % width] = maxima
    p = fl.softmax(input)
    np.testing.assert_array_equal(p.max(axis=1), 1)


@both_dtypes
@pytest.mark.parametrize("width", [3, 65, 300, 5000])
def test_equal_maxima_have_equal_probabilities(width, dtype):
    generator = np.random.default_rng(0)
    input = generator.normal(size=(200, width)).astype(dtype)
    input[:, [0, -1]] = input.max(axis=1, keepdims=True) + generator.uniform(0, 20, (200, 1)).astype(dtype)
    p = fl.softmax(input)
    np.testing.assert_array_equal(p[:, 0], p[:, -1])


@both_dtypes
@pytest.mark.parametrize("width", [2, 100, 1000])
def test_log_softmax_grad_of_what_is_no_log_probability(width, dtype):
    """Above the largest exponent exp is infinite, and so is the gradient."""
    y = np.full((2, width), -5, dtype)
    dy = np.zeros((2, width), dtype)
    y[:, 0], dy[:, 0] = [1e3, INF], 1
    gradient = fl.log_softmax_grad(y, dy)
    np.testing.assert_array_equal(gradient[:, 0], -INF)
    np.testing.assert_allclose(gradient[:, 1:], -np.exp(-5), rtol=1e-5)


# --- errors -----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"], ids=str)
def test_arrays_that_are_no_real_numbers(function, dtype):
    with pytest.raises(TypeError, match="x.*(complex128|object|U3|str96|datetime64)"):
        function(np.zeros((2, 3), dtype))


@every
def test_masked_arrays_and_scalars(function):
    with pytest.raises(TypeError, match="mask"):
        function(np.ma.masked_array([1.0, 2.0], mask=[True, False]))
    with pytest.raises(ValueError, match="x"):
        function(np.float64(1.0))


@every
@pytest.mark.parametrize("axis", [2, -3])
def test_axis_out_of_range(function, axis):
    with pytest.raises((ValueError, IndexError), match=f"axis.*{axis}"):
        function(np.zeros((2, 3)), axis=axis)


@every
def test_options_are_keywords_only(function):
    with pytest.raises(TypeError):
        function(np.zeros((2, 3)), 0)
    with pytest.raises(TypeError):
        function(np.zeros((2, 3)), dim=0)


@pytest.mark.parametrize("keepdims", [np.ones(3), "no", 1, None], ids=repr)
def test_keepdims_that_is_no_bool(keepdims):
    with pytest.raises(TypeError, match="^keepdims must be True or False"):
        fl.logsumexp(np.zeros(3), keepdims=keepdims)
