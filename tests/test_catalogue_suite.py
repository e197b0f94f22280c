"""What holds for every elementwise loss: reductions, weights, dtypes, layouts, threads, odd shapes, bad input, classes.

One row of catalogue.py after another goes through every test.  Expected numbers are sums of the exact terms.
"""

import copy
import inspect
import math
import pickle

import catalogue
import catalogue_checks as checks
import numpy as np
import pytest
from arrays import variants
from catalogue_checks import assert_close, call, differentiable, expect, rows
from checks import assert_same_bits

SHAPE = (5, 7)
# The promised 4, and what the factor of a mean, a weight and an upstream gradient add, each rounded once.
ULP = 6
REDUCTIONS = ("mean", "sum", "none", "batchmean")
FLOATS = ("float16", "bfloat16", "float32", "float64")

reductions = pytest.mark.parametrize("reduction", REDUCTIONS)


@pytest.fixture(autouse=True)
def _in_this_build(request):
    row = request.node.callspec.params["row"] if hasattr(request.node, "callspec") else None
    if row is not None and not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")


def float_type(name):
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def working(dtype):
    """The precision that sums of results of this dtype are measured in: that of the computation."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def some_weights(shape, seed=1, zeros=True):
    """Exact in every dtype; every third or so is 0."""
    rng = np.random.default_rng(seed)
    result = rng.integers(1, 17, shape) / 8
    return np.where(rng.random(shape) < 0.3, 0, result) if zeros else result


def compare(row, arrays, setting, dtype, **options):
    """All results of one call against the exact ones."""
    expected = expect(row, arrays, setting, working(dtype), **options)
    function = row.function()
    upstream = {"grad_output": options.pop("grad_output")} if "grad_output" in options else {}
    what = f"{row.name} {setting} {list(options)}"
    value = function(**arrays, **setting, **options)
    reduced = options.get("reduction", "mean") != "none"
    assert isinstance(value, float if reduced else np.ndarray)
    assert reduced or value.dtype == dtype
    assert_close(value, expected.value, working(dtype) if reduced else dtype, expected.value_scale, ULP, what)
    for wrt in row.wrt if row.derivatives else ():
        grad, hess = function.grad_and_hess(**arrays, **setting, **options, **upstream, wrt=wrt)
        assert grad.dtype == hess.dtype == dtype
        assert_close(grad, expected.grad[wrt], dtype, expected.grad_scale[wrt], ULP, f"{what}: gradient of {wrt}")
        assert_close(hess, expected.hess[wrt], dtype, expected.hess_scale[wrt], ULP, f"{what}: Hessian of {wrt}")


# --- reductions, weights, upstream gradients -------------------------------------------------------------------------


@rows
@reductions
@pytest.mark.parametrize("dtype", FLOATS)
def test_reduction(row, reduction, dtype):
    dtype = float_type(dtype)
    for setting in row.settings:
        compare(row, row.everyday(setting, SHAPE, dtype), setting, dtype, reduction=reduction)


@rows
def test_mean_is_the_default(row):
    setting = row.settings[0]
    arrays = row.everyday(setting, SHAPE)
    assert_same_bits(call(row, arrays, setting), call(row, arrays, setting, reduction="mean"))


@rows
@reductions
@pytest.mark.parametrize("dtype", FLOATS)
def test_sample_weight(row, reduction, dtype):
    """ "mean" divides by the sum of the weights; an element of weight 0 counts 0, whatever it holds."""
    dtype = float_type(dtype)
    for setting in row.settings[:2]:
        arrays = row.everyday(setting, SHAPE, dtype)
        weight = some_weights(SHAPE).astype(dtype)
        compare(row, arrays, setting, dtype, reduction=reduction, sample_weight=weight)
        compare(row, arrays, setting, dtype, reduction=reduction, sample_weight=weight[:, :1])  # per row
        nothing = {name: np.where(weight == 0, np.array(np.nan, dtype), a) for name, a in arrays.items()}
        options = {"reduction": reduction, "sample_weight": weight}
        assert_same_bits(call(row, nothing, setting, **options), call(row, arrays, setting, **options), row.name)


@rows
def test_values_outside_the_domain_do_not_matter_where_the_sample_weight_is_0(row):
    for setting in row.settings:
        arrays = row.everyday(setting, SHAPE)
        weight = some_weights(SHAPE)
        assert (weight == 0).any()
        for name, domain in row.arguments(setting).items():
            for bad in domain.bad:
                odd = {**arrays, name: np.where(weight == 0, bad, arrays[name])}
                assert_same_bits(call(row, odd, setting, sample_weight=weight),
                                 call(row, arrays, setting, sample_weight=weight), f"{name} = {bad}")


@rows
def test_all_sample_weights_0(row):
    setting = row.settings[0]
    arrays = row.everyday(setting, SHAPE)
    options = {"sample_weight": np.zeros(SHAPE)}
    assert math.isnan(row.function()(**arrays, **setting, **options))
    assert row.function()(**arrays, **setting, **options, reduction="sum") == 0
    for wrt in row.wrt if row.derivatives else ():
        for result in row.function().grad_and_hess(**arrays, **setting, **options, wrt=wrt):
            assert not result.any()


@rows
@reductions
def test_weight(row, reduction):
    """PyTorch's: "mean" divides by the sum of the weights for mse and l1, by the number of elements for the others."""
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    weight = some_weights(SHAPE)
    if row.weight is None:
        with pytest.raises(TypeError, match="weight"):
            row.function()(**arrays, **setting, weight=weight, reduction=reduction)
        return
    compare(row, arrays, setting, np.dtype(np.float64), reduction=reduction, weight=weight)
    compare(row, arrays, setting, np.dtype(np.float64), reduction=reduction, weight=weight[0])
    compare(row, arrays, setting, np.dtype(np.float64), reduction=reduction, weight=weight,
            sample_weight=some_weights(SHAPE, 2))


@rows
@pytest.mark.parametrize("name", ["sample_weight", "weight"])
def test_bad_weights(row, name):
    if name == "weight" and row.weight is None:
        pytest.skip("has no weight")
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    for bad in (-0.5, np.nan, -np.inf):
        weight = np.ones(SHAPE)
        weight[2, 3] = bad
        with pytest.raises(ValueError, match=rf"{name}\[2, 3\] = {bad}"):
            row.function()(**arrays, **setting, **{name: weight})
    with pytest.raises(ValueError, match=name):
        row.function()(**arrays, **setting, **{name: np.ones(6)})
    with pytest.raises(TypeError, match=name):
        row.function()(**arrays, **setting, **{name: np.ones(SHAPE, complex)})


@rows
def test_normalizer(row):
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    compare(row, arrays, setting, np.dtype(np.float64), normalizer=12.5)
    compare(row, arrays, setting, np.dtype(np.float64), normalizer=3, sample_weight=some_weights(SHAPE))
    for bad in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="normalizer"):
            row.function()(**arrays, **setting, normalizer=bad)
    with pytest.raises(ValueError, match="normalizer"):
        row.function()(**arrays, **setting, normalizer=2.0, reduction="sum")


@differentiable
@reductions
def test_grad_output(row, reduction):
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    compare(row, arrays, setting, np.dtype(np.float64), reduction=reduction, grad_output=-2.5)
    upstream = np.random.default_rng(0).choice([-2.0, -0.5, 0.0, 1.5], SHAPE)
    if reduction == "none":
        compare(row, arrays, setting, np.dtype(np.float64), reduction="none", grad_output=upstream)
        compare(row, arrays, setting, np.dtype(np.float64), reduction="none", grad_output=upstream,
                sample_weight=some_weights(SHAPE))
        upstream = np.ones(6)
    with pytest.raises(ValueError, match="grad_output"):
        row.function().grad(**arrays, **setting, reduction=reduction, grad_output=upstream)


@rows
def test_unknown_reduction(row):
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    with pytest.raises(ValueError, match="'mean', 'sum', 'none'.*'batchmean'"):
        row.function()(**arrays, **setting, reduction="avg")


@rows
def test_options_that_are_arrays(row):
    """One value per column: the results of each column are those of the number."""
    if not row.arrays:
        pytest.skip("has no such option")
    for name, (low, high) in row.arrays.items():
        arrays = row.everyday(row.settings[0], (6, 2))
        rest = {key: option for key, option in row.settings[0].items() if key != name}
        got = call(row, arrays, {**rest, name: np.array([low, high])}, reduction="none")
        for column, number in enumerate((low, high)):
            part = {key: np.ascontiguousarray(a[:, column]) for key, a in arrays.items()}
            expected = call(row, part, {**rest, name: number}, reduction="none")
            assert_same_bits(tuple(result[:, column] for result in got), expected, f"{name} = {number}")


# --- dtypes and layouts ----------------------------------------------------------------------------------------------


@rows
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "int64", "uint64"])
def test_integers_are_float64(row, dtype):
    for setting in row.settings:
        arrays = row.everyday(setting, SHAPE, integers=True)
        info = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for name in arrays:
            whole = (arrays[name] == np.rint(arrays[name])).all()
            if whole and arrays[name].min() >= info[0] and arrays[name].max() <= info[1]:
                got = call(row, {**arrays, name: arrays[name].astype(dtype)}, setting, reduction="none")
                assert_same_bits(got, call(row, arrays, setting, reduction="none"), f"{name} as {dtype}")


@rows
def test_float64_target_with_float32_input(row):
    """Computed in float64, given in the input's dtype: a target is not rounded before it is subtracted."""
    for setting in row.settings[:3]:
        arrays = row.irregular(setting, SHAPE)
        arrays = {name: a if name == "target" else a.astype(np.float32) for name, a in arrays.items()}
        precise = call(row, {name: a.astype(float) for name, a in arrays.items()}, setting, reduction="none")
        for got, expected in zip(call(row, arrays, setting, reduction="none"), precise):
            assert got.dtype == np.float32
            assert_same_bits(got, expected.astype(np.float32), f"{setting}")


@rows
def test_lists_and_numbers(row):
    setting = row.settings[0]
    arrays = row.everyday(setting, SHAPE)
    assert_same_bits(call(row, {name: a.tolist() for name, a in arrays.items()}, setting), call(row, arrays, setting))
    number = {name: a[0, 0] for name, a in arrays.items()}
    assert row.function()(**number, **setting) == row.function()(**{n: a[:1, :1] for n, a in arrays.items()}, **setting)
    zero_dimensional = call(row, {name: np.array(v) for name, v in number.items()}, setting, reduction="none")
    assert all(result.shape == () for result in zero_dimensional)


@rows
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_empty(row, reduction, recwarn):
    setting = row.settings[0]
    for shape in ((0,), (0, 3), (3, 0)):
        arrays = {name: np.zeros(shape, np.float32) for name in row.arguments(setting)}
        value, *rest = call(row, arrays, setting, reduction=reduction)
        if reduction == "none":
            assert value.shape == shape
        elif reduction == "sum" or shape[0]:
            assert value == 0 or (reduction == "mean" and math.isnan(value))
        else:
            assert math.isnan(value)
        assert all(np.shape(result) in (shape, ()) for result in rest)
    assert not recwarn.list


@rows
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_layout_gives_the_same_bits(row, dtype):
    """Strided, reversed, transposed, misaligned, big-endian, read-only: of every argument in turn."""
    setting = row.settings[0]
    arrays = row.everyday(setting, SHAPE, np.dtype(dtype))
    arrays["sample_weight"] = some_weights(SHAPE).astype(dtype)
    extra = {"grad_output": some_weights(SHAPE, 3).astype(dtype)} if row.derivatives else {}
    if row.weight:
        extra["weight"] = some_weights(SHAPE, 2).astype(dtype)
    before = {name: a.copy() for name, a in {**arrays, **extra}.items()}
    expected = call(row, arrays, setting, reduction="none", **extra)
    for argument, array in {**arrays, **extra}.items():
        for name, other in variants(array):
            changed = {**extra, argument: other} if argument in extra else extra
            got = call(row, {**arrays, **({argument: other} if argument in arrays else {})}, setting,
                       reduction="none", **changed)
            assert_same_bits(got, expected, f"{argument} {name}")
    for name, array in {**arrays, **extra}.items():
        assert_same_bits(array, before[name], f"{name} was changed")


@rows
def test_an_element_does_not_depend_on_its_neighbours(row):
    """Whatever lane and block it sits in."""
    setting = row.settings[0]
    arrays = row.irregular(setting, (16_384 + 300,), np.float32)
    whole = call(row, arrays, setting, reduction="none")
    for start, stop in ((0, 1), (1, 40), (16_380, 16_390), (16_384 + 299, 16_384 + 300)):
        part = call(row, {name: a[start:stop] for name, a in arrays.items()}, setting, reduction="none")
        assert_same_bits(part, tuple(result[start:stop] for result in whole), f"{start}:{stop}")


@rows
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(row, dtype):
    setting = row.settings[0]
    arrays = row.irregular(setting, (200_000,), np.dtype(dtype))
    # of very different sizes, so that the order of the additions would show
    weight = (2.0 ** np.random.default_rng(7).uniform(-60, 60, 200_000)).astype(dtype)
    expected = call(row, arrays, setting, n_threads=1, sample_weight=weight)
    for n_threads in (2, 3, 8):
        assert_same_bits(call(row, arrays, setting, n_threads=n_threads, sample_weight=weight), expected,
                         f"{n_threads} threads")


# --- not a number, infinite, out of the domain -----------------------------------------------------------------------


@rows
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_stays_in_its_element(row, dtype):
    for setting in row.settings:
        for name, domain in row.arguments(setting).items():
            if domain.nan != "passes":
                continue
            arrays = row.everyday(setting, (67,), np.dtype(dtype))
            expected = call(row, arrays, setting, reduction="none")
            arrays[name][[3, 40]] = np.nan
            for got, clean in zip(call(row, arrays, setting, reduction="none"), expected):
                assert_same_bits(np.delete(got, [3, 40]), np.delete(clean, [3, 40]), f"{name} {setting}")
            function = row.function()
            assert np.isnan(function(**arrays, **setting, reduction="none")[[3, 40]]).all(), f"value, {name}"
            for wrt in row.wrt if row.derivatives else ():
                grad = function.grad(**arrays, **setting, reduction="none", wrt=wrt)
                assert np.isnan(grad[[3, 40]]).all(), f"NaN in {name}: gradient of {wrt} {setting}"
            assert math.isnan(function(**arrays, **setting))


@rows
def test_values_outside_the_domain(row):
    """The error names argument, position and value; nothing has been written."""
    for setting in row.settings:
        for name, domain in row.arguments(setting).items():
            for bad in (*domain.bad, *([np.nan] if domain.nan == "refused" else [])):
                refused(row, setting, name, bad)


def refused(row, setting, name, bad):
    arrays = row.everyday(setting, SHAPE)
    arrays[name][3, 4] = bad
    arrays[name][4, 0] = bad  # the first one is named
    out = np.full((2, *SHAPE), 7.0)
    calls = [lambda: row.function()(**arrays, **setting)]
    if row.derivatives:
        calls += [lambda: row.function().value_and_grad(**arrays, **setting, out=out[0]),
                  lambda: row.function().grad_and_hess(**arrays, **setting, out=tuple(out), n_threads=2)]
    for attempt in calls:
        with pytest.raises(ValueError) as caught:
            attempt()
        assert f"{name}[3, 4] = {bad}" in str(caught.value), f"{row.name} {setting}: {caught.value}"
    assert (out == 7).all(), "written in spite of the error"


@rows
def test_refused_options(row):
    arrays = row.everyday(row.settings[0], SHAPE)
    for options in row.bad:
        for name, number in options.items():
            with pytest.raises(ValueError, match=name):
                row.function()(**arrays, **{**row.settings[0], name: number})
            if row.arrays and name in row.arrays:
                per_column = np.full(SHAPE[1], row.arrays[name][0])
                per_column[2] = number
                with pytest.raises(ValueError, match=rf"{name}\[0, 2\] = {number}"):
                    row.function()(**arrays, **{**row.settings[0], name: per_column})
            with pytest.raises(TypeError, match=name):
                row.function()(**arrays, **{**row.settings[0], name: "1"})


@rows
def test_arguments_that_do_not_fit(row):
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    for shape in ((7,), (5, 1), (5, 7, 1), (7, 5), ()):
        with pytest.raises(ValueError, match=r"target.*\(5, 7\)"):
            row.function()(**{**arrays, "target": np.ones(shape)}, **setting)
    for name in arrays:
        for bad in (arrays[name] + 0j, np.full(SHAPE, "1"), np.full(SHAPE, None), np.ones(SHAPE, "M8[s]")):
            with pytest.raises(TypeError, match=name):
                row.function()(**{**arrays, name: bad}, **setting)
        with pytest.raises(TypeError, match=f"{name}.*mask"):
            row.function()(**{**arrays, name: np.ma.masked_array(arrays[name])}, **setting)


@differentiable
def test_wrt(row):
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    others = {"input", "target", "var", "weight", ""} - set(row.wrt)
    for wrt in others:
        with pytest.raises(ValueError, match="wrt"):
            row.function().grad(**arrays, **setting, wrt=wrt)
    assert_same_bits(row.function().grad(**arrays, **setting, wrt="input"), row.function().grad(**arrays, **setting))


@rows
def test_a_loss_without_derivatives_says_why(row):
    if row.derivatives:
        pytest.skip("has derivatives")
    arrays = row.everyday(row.settings[0], SHAPE)
    for method in ("grad", "value_and_grad", "grad_and_hess"):
        with pytest.raises(TypeError, match="deriv|gradient|constant"):
            getattr(row.function(), method)(**arrays)


# --- classes and documentation ---------------------------------------------------------------------------------------


@rows
def test_class(row):
    """Same results as the function, equal by options, readable, picklable."""
    cls = row.criterion_class()
    for setting in row.settings:
        arrays = row.everyday(setting, SHAPE)
        options = {**setting, "reduction": "sum"}
        criterion = cls(**options)
        assert criterion == cls(**options)
        assert criterion != cls(**{**options, "reduction": "none"})
        assert criterion != object()
        for name, number in options.items():
            assert f"{name}={number!r}" in repr(criterion)
        assert repr(criterion).startswith(f"{row.criterion}(")
        assert eval(repr(criterion), {row.criterion: cls}) == criterion
        for other in (criterion, copy.deepcopy(criterion), *(pickle.loads(pickle.dumps(criterion, p)) for p in (2, 5))):
            assert other == criterion and repr(other) == repr(criterion)
            assert_same_bits(other(**arrays), row.function()(**arrays, **options))
            for method in ("value_and_grad", "grad", "grad_and_hess") if row.derivatives else ():
                assert_same_bits(getattr(other, method)(**arrays), getattr(row.function(), method)(**arrays, **options))
    with pytest.raises(TypeError, match="size_average"):
        cls(size_average=True)


@rows
def test_function(row):
    function = row.function()
    assert pickle.loads(pickle.dumps(function)) is function
    assert row.name in repr(function)
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:2] == ["input", "target"]
    assert parameters["reduction"].default == "mean"
    for name in ("reduction", "sample_weight", "normalizer", "n_threads"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert set().union(*row.settings) | set(row.arrays or {}) <= set(parameters)
    assert ("weight" in parameters) == (row.weight is not None)


@rows
def test_documentation(row):
    """Every parameter, the errors, the formula and an example; test_doctests.py runs it."""
    for thing, example in ((row.function(), row.name), (row.criterion_class(), row.criterion)):
        text = inspect.getdoc(thing)
        assert ">>> " in text and f"fl.{example}" in text, f"{example} has no example of itself"
        assert "Error" in text
    text = inspect.getdoc(row.function())
    for name in inspect.signature(row.function()).parameters:
        assert name in text, f"{row.name} does not describe {name}"
    for part in (".. math::", "Parameters\n", "Returns\n", "Raises\n", "Examples\n"):
        assert part in text, f"{row.name} has no {part.strip()}"
    assert not row.cancels or "Notes\n" in text


@rows
def test_positional_arguments(row):
    """Input and target may be given by position; what else is an array follows them."""
    setting, arrays = row.settings[0], row.everyday(row.settings[0], SHAPE)
    rest = {name: a for name, a in arrays.items() if name not in ("input", "target")}
    got = row.function()(arrays["input"], arrays["target"], **rest, **setting)
    assert_same_bits(got, row.function()(**arrays, **setting))


def test_catalogue_is_not_empty():
    """Guards the parametrisation itself."""
    assert len(catalogue.ROWS) >= 27
    assert len(catalogue.BY_NAME) == len(catalogue.ROWS)
    assert {row.name for row in checks.differentiable.args[1]} == set(catalogue.BY_NAME) - {"zero_one_loss"}
