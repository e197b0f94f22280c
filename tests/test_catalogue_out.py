"""`out=` of every elementwise loss: fresh, in place, a pair, wrong ones, and nothing written beside it."""

import catalogue_checks as checks
import numpy as np
import pytest
from arrays import canary, misaligned, out_variants, surroundings
from catalogue_checks import differentiable
from checks import assert_same_bits

SHAPE = (9, 7)


@pytest.fixture(autouse=True)
def _in_this_build(request):
    if not request.node.callspec.params["row"].exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")


def given(row, dtype=np.float32, shape=SHAPE):
    return row.everyday(row.settings[0], shape, dtype), row.settings[0]


@differentiable
@pytest.mark.parametrize("dtype", ["float16", *map(np.dtype, checks.DTYPES)], ids=str)
def test_results_are_written_where_they_should_be(row, dtype):
    """In every layout of the output, for each argument that has derivatives; canaries stay."""
    arrays, setting = given(row, dtype)
    function = row.function()
    for wrt in row.wrt:
        expected = function.grad_and_hess(**arrays, **setting, wrt=wrt)
        value = function(**arrays, **setting)
        outputs = zip(out_variants(SHAPE, dtype), out_variants(SHAPE, dtype))
        for (name, grad, grad_memory), (_, hess, hess_memory) in outputs:
            before = [memory.copy() for memory in (grad_memory, hess_memory)]
            assert function.grad(**arrays, **setting, wrt=wrt, out=grad) is grad
            assert_same_bits(grad, expected[0], f"{name}: grad")
            grad.fill(np.nan)
            got = function.value_and_grad(**arrays, **setting, wrt=wrt, out=grad)
            assert got[1] is grad
            assert_same_bits(got, (value, expected[0]), f"{name}: value_and_grad")
            grad.fill(np.nan)
            got = function.grad_and_hess(**arrays, **setting, wrt=wrt, out=(grad, hess))
            assert got[0] is grad and got[1] is hess
            assert_same_bits(tuple(got), expected, f"{name}: grad_and_hess")
            for view, memory, old in zip((grad, hess), (grad_memory, hess_memory), before):
                outside = surroundings(view, memory)
                np.testing.assert_array_equal(memory[outside], old[outside], err_msg=f"{name}: written beside out")


@differentiable
@pytest.mark.parametrize("dtype", checks.DTYPES, ids=str)
def test_every_length(row, dtype):
    """Value and gradient are computed several vectors at a time, in steps that an array of any length may not fill."""
    lengths = [*range(1, 201), *range(505, 720, 3), 1030]
    arrays, setting = given(row, dtype, (max(lengths),))
    function = row.function()
    for n in lengths:
        first = {name: array[:n] for name, array in arrays.items()}
        memory = canary(n + 128, dtype)
        before = memory.copy()
        value, _ = function.value_and_grad(**first, **setting, out=memory[64 : 64 + n])
        assert value == function(**first, **setting)
        assert_same_bits(memory[64 : 64 + n], function.grad(**first, **setting), f"{n} elements")
        memory[64 : 64 + n] = before[64 : 64 + n]
        np.testing.assert_array_equal(memory, before, err_msg=f"{n} elements: written beside out")


@differentiable
@pytest.mark.parametrize("shape", [(1,), (9, 7), (300,), (5000,), ()], ids=str)
def test_in_place(row, shape):
    """The gradient in the input's own memory: contiguous, strided, misaligned, and beside a Hessian."""
    arrays, setting = given(row, np.float32, shape)
    function = row.function()
    expected = function.value_and_grad(**arrays, **setting)
    _, hess = function.grad_and_hess(**arrays, **setting)
    places = [np.empty(shape, np.float32), misaligned(np.empty(shape, np.float32))]
    if shape:
        places.append(np.empty(tuple(2 * n for n in shape), np.float32)[tuple(slice(None, None, 2) for _ in shape)])
    for place in places:
        place[...] = arrays["input"]
        rest = {name: a for name, a in arrays.items() if name != "input"}
        assert_same_bits(function.value_and_grad(place, **rest, **setting, out=place), expected)
        place[...] = arrays["input"]
        second = np.empty(shape, np.float32)
        got = function.grad_and_hess(place, **rest, **setting, out=(place, second))
        assert_same_bits(tuple(got), (expected[1], hess))


@differentiable
def test_in_place_where_an_error_is_found(row):
    """The domain is checked before anything is written: the input is whole after the error."""
    for setting in row.settings:
        for name, domain in row.arguments(setting).items():
            for bad in domain.bad[:1]:
                arrays = row.everyday(setting, (40_000,))
                arrays[name][39_999] = bad
                copies = {key: a.copy() for key, a in arrays.items()}
                with pytest.raises(ValueError, match=name):
                    row.function().grad(**arrays, **setting, out=arrays["input"], n_threads=2)
                for key, copy in copies.items():
                    assert_same_bits(arrays[key], copy, key)


@differentiable
def test_refused(row):
    """Each with nothing written anywhere."""
    arrays, setting = given(row)
    fine = canary(63, np.float32).reshape(SHAPE)
    frozen = np.zeros(SHAPE, np.float32)
    frozen.flags.writeable = False
    flat = np.zeros(200, np.float32)
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(7, np.float32), SHAPE, (0, 4))
    refused = [np.zeros((7, 9), np.float32), np.zeros(63, np.float32), np.zeros(SHAPE), np.zeros(SHAPE, np.float16),
               np.zeros(SHAPE, np.int32), frozen, overlapping, [[0.0] * 7] * 9, "out", arrays["target"],
               np.ma.zeros(SHAPE, np.float32), arrays["input"][::-1]]
    refused += [arrays[name] for name in arrays if name not in ("input", "target")]
    shifted = flat[3:66].reshape(SHAPE)
    shifted[...] = arrays["input"]
    partly = {**arrays, "input": shifted}
    cases = [(arrays, out) for out in refused] + [(partly, flat[4:67].reshape(SHAPE))]
    function = row.function()
    for call, out in cases:
        watched = [*call.values(), fine, *([out] if isinstance(out, np.ndarray) else [])]
        before = [a.copy() for a in watched]
        attempts = (lambda: function.grad(**call, **setting, out=out),
                    lambda: function.value_and_grad(**call, **setting, out=out),
                    lambda: function.grad_and_hess(**call, **setting, out=(out, fine)),
                    lambda: function.grad_and_hess(**call, **setting, out=(fine, out)))
        for attempt in attempts:
            with pytest.raises((ValueError, TypeError), match="out"):
                attempt()
            for array, copy in zip(watched, before):
                assert array.tobytes() == copy.tobytes(), "something was written"


@differentiable
def test_pairs(row):
    arrays, setting = given(row)
    buffer = canary(63, np.float32).reshape(SHAPE)
    for out in (buffer, (buffer,), (buffer, buffer.copy(), buffer.copy()), (buffer, buffer), (buffer, arrays["input"])):
        with pytest.raises((ValueError, TypeError), match="out"):
            row.function().grad_and_hess(**arrays, **setting, out=out)
    with pytest.raises((ValueError, TypeError), match="out"):
        row.function().grad(**arrays, **setting, out=(buffer, buffer.copy()))
    assert_same_bits(buffer, canary(63, np.float32).reshape(SHAPE))


@differentiable
@pytest.mark.parametrize("name", ["sample_weight", "weight", "grad_output"])
def test_out_must_not_overlap_other_arguments(row, name):
    if name == "weight" and row.weight is None:
        pytest.skip("has no weight")
    arrays, setting = given(row)
    memory = np.ones(200, np.float32)
    for start in (0, 40, 62):
        with pytest.raises(ValueError, match="out"):
            row.function().grad(**arrays, **setting, reduction="none", out=memory[:63].reshape(SHAPE),
                                **{name: memory[start:start + 63].reshape(SHAPE)})
    assert (memory == 1).all()
