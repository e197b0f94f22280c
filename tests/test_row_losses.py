"""softmax_focal_loss and multi_margin_loss: accuracy, meaning, layouts, threads, instruction sets, errors.

What they share with cross_entropy (labels, weights, reductions) is checked here against an oracle of their own; the
kernels are others, so none of it follows from the tests of cross_entropy.
"""

import json

import losses
import numpy as np
import pytest
import row_losses
from arrays import canary, out_variants, surroundings, variants
from checks import assert_same_bits, assert_ulp, bits
from conftest import run_ok
from families import DTYPES
from row_losses import FOCAL, MULTI_MARGIN

import fastloss as fl

NAN, INF = np.nan, np.inf
ROWS = [FOCAL, MULTI_MARGIN]
both = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
SHAPES = [(7, 3), (33, 17), (5, 64), (35, 65), (18, 130), (2, 270), (3, 5, 4), (11,)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
SETTINGS = [(row, setting) for row in ROWS for setting in row.settings]
every_setting = pytest.mark.parametrize(("row", "setting"), SETTINGS,
                                        ids=[f"{row.name}-{setting}" for row, setting in SETTINGS])


def call(row, input, target, options):
    """Everything a loss returns."""
    function = row.function()
    return (*function.value_and_grad(input, target, **options), *function.grad_and_hess(input, target, **options))


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_baseline(isas, tmp_path_factory):
    """What a process without AVX computes: it has no fused multiply-add, so it may give other bits."""
    if "baseline" not in isas:
        return {}
    path = str(tmp_path_factory.mktemp("rows") / "baseline")
    run_ok(f"import row_losses; row_losses.store({path!r})", env={"FASTLOSS_ISA": "baseline"})
    return row_losses.load(path)


@every_setting
@both_dtypes
def test_every_kind_of_row(row, setting, dtype, by_baseline):
    """Value, gradient and Hessian within the bound that the docstring states, here and without AVX."""
    beyond = []
    for name, input, target in row.rows(dtype, setting):
        truth = row_losses.Truth(row, input, target, setting)
        mine = row_losses.results(row, input, target, **setting)
        beyond += [f"{name}: {text}" for text in truth.beyond(mine)]
        other = by_baseline.get((row.name, row.settings.index(setting), np.dtype(dtype).name, name), mine)
        if bits(other) != bits(mine):  # else it has been measured
            beyond += [f"{name}, baseline: {text}" for text in truth.beyond(other)]
    assert not beyond, "\n".join(beyond)


@both
@both_dtypes
@pytest.mark.parametrize("shape", [(7, 6), (3, 5, 4), (4, 70), (11,)], ids=str)
def test_every_option(row, dtype, shape):
    """Weights, ignore_index, sample_weight, reductions, normalizer, grad_output; all four ways to call."""
    for name, input, target, options in row_losses.cases(row, dtype, shape):
        truth = row.oracle(input, target, **options)
        value_bound, grad_bound, hess_bound = row.bounds(options)
        value, grad = row.function().value_and_grad(input, target, **options)
        again, hess = row.function().grad_and_hess(input, target, **options)
        assert_ulp(value, truth.value, dtype, value_bound, what=f"{name} value")
        assert_ulp(grad, truth.grad, dtype, grad_bound, what=f"{name} gradient")
        assert_ulp(hess, truth.hess, dtype, hess_bound, truth.scale, f"{name} Hessian")
        plain = {key: option for key, option in options.items() if key != "grad_output"}
        assert_same_bits(row.function()(input, target, **plain), value, f"{name} value alone")
        assert_same_bits(row.function().grad(input, target, **options), grad, f"{name} gradient alone")
        assert_same_bits(again, grad, f"{name} gradient beside the Hessian")


def test_a_confident_row_has_a_loss_and_a_gradient():
    """q^2 q for a gap of 20 in float32: 1 - p is 0 for everyone who subtracts."""
    value, grad = fl.softmax_focal_loss.value_and_grad(np.array([[20, 0]], np.float32), [0])
    assert value == pytest.approx(np.exp(-60), rel=1e-6)
    np.testing.assert_allclose(grad, [[-3 * np.exp(-60), 3 * np.exp(-60)]], rtol=1e-6)


def test_a_small_excess_has_all_its_digits():
    """2^-60 above a margin of 1: lost when `margin - x` is rounded before the other score is added."""
    value = fl.multi_margin_loss(np.array([[1 + 2.0**-52, 2.0**-51]]), [0])
    assert value == 2.0**-53


@both_dtypes
def test_mean_of_many_rows_does_not_drift(dtype):
    row = np.array([0.1, 1.7, -0.4, 0.9], dtype)
    input, target = np.tile(row, (30_000, 1)), np.full(30_000, 2)
    for each in ROWS:
        exact = each.oracle(row, np.array(2)).value
        assert_ulp(each.function()(input, target), exact, dtype, what=each.name)
        assert_ulp(each.function()(input, target, reduction="sum"), exact * 30_000, dtype, what=each.name)


# --- meaning ----------------------------------------------------------------------------------------------------------


@shapes
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gamma_0_is_cross_entropy_bit_for_bit(dtype, shape):
    rng = np.random.default_rng([0, *shape])
    input, target = losses.sample_logits(rng, dtype, shape)
    for name, labels, options in losses.label_options(rng, dtype, shape, target):
        got = call(FOCAL, input, labels, {**options, "gamma": 0})
        assert_same_bits(got, call(row_losses.BY_NAME["cross_entropy"], input, labels, options), name)


@both_dtypes
def test_gamma_0_is_cross_entropy_on_hard_rows(dtype):
    for name, input, target in row_losses.softmax_rows(dtype):
        expected = row_losses.results(row_losses.BY_NAME["cross_entropy"], input, target)
        assert_same_bits(row_losses.results(FOCAL, input, target, gamma=0.0), expected, name)


def test_default_options():
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (9, 5))
    assert fl.softmax_focal_loss(input, target) == fl.softmax_focal_loss(input, target, gamma=2.0, ignore_index=-100)
    assert fl.multi_margin_loss(input, target) == fl.multi_margin_loss(input, target, p=1, margin=1.0)


@pytest.mark.parametrize("shape", [(7, 6), (5, 70), (9,)], ids=str)
def test_multi_margin_against_torch(shape):
    """Every option that both have, in double precision."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng([1, *shape])
    input, target = losses.sample_logits(rng, np.float64, shape)
    class_weight = losses.weights(rng, np.float64, shape[-1])
    for p in (1, 2):
        for margin in (1.0, 0.3):
            for weight in (None, class_weight):
                for reduction in ("mean", "sum", "none"):
                    x = torch.tensor(input, requires_grad=True)
                    expected = torch.nn.functional.multi_margin_loss(
                        x, torch.tensor(target), p=p, margin=margin, reduction=reduction,
                        weight=None if weight is None else torch.tensor(weight))
                    expected.sum().backward()
                    value, grad = fl.multi_margin_loss.value_and_grad(input, target, p=p, margin=margin, weight=weight,
                                                                      reduction=reduction)
                    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-13)
                    np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-13, atol=1e-15)


@both_dtypes
@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_at_the_kink(dtype, p):
    """A class exactly at the margin counts 0, with gradient and Hessian 0; one ULP above it counts."""
    for classes in (3, 70):
        input = np.full((2, classes), -5, dtype)
        input[:, 0], input[:, 1] = 2, 1
        input[1, 1] = np.nextafter(dtype(1), dtype(2))
        options = {"p": p, "reduction": "none"}
        value, grad = fl.multi_margin_loss.value_and_grad(input, [0, 0], **options)
        _, hess = fl.multi_margin_loss.grad_and_hess(input, [0, 0], **options)
        assert value[0] == 0
        assert not grad[0].any()
        assert not hess[0].any()
        assert value[1] > 0
        assert grad[1, 1] > 0
        assert (hess[1, 1] > 0) == (p == 2)


@both
def test_rows_that_do_not_count_are_never_read(row):
    """Sample weight 0, an ignored label, and for multi_margin_loss a class weight of 0: NaN in there stays in there."""
    for classes in (5, 70):
        clean, target = losses.sample_logits(np.random.default_rng(0), np.float32, (9, classes))
        target[3] = 1
        dirty = clean.copy()
        dirty[3] = NAN
        ways = [{"sample_weight": np.where(np.arange(9) == 3, 0, 1)}]
        if row is FOCAL:
            ways.append({"ignore_index": 1})
        else:
            ways.append({"weight": np.where(np.arange(classes) == 1, 0, 1)})
        for options in ways:
            dirty[target == 1] = NAN if "sample_weight" not in options else dirty[target == 1]
            results = call(row, dirty, target, options)
            assert_same_bits(results, call(row, np.nan_to_num(dirty), target, options), f"{classes} {options}")
            assert all(np.isfinite(part).all() for part in results)
            assert not results[1][3].any()


@both
@pytest.mark.parametrize("classes", [3, 70])
def test_nothing_counts(row, classes):
    """"mean" is NaN without a warning, the gradient 0."""
    input, target = losses.sample_logits(np.random.default_rng(0), np.float64, (4, classes))
    value, grad, *derivatives = call(row, input, target, {"sample_weight": 0})
    assert np.isnan(value)
    assert not any(part.any() for part in (grad, *derivatives))


@both
@pytest.mark.parametrize("shape", [(0, 3), (0, 70)], ids=str)
def test_empty(row, shape):
    input, target = np.empty(shape, np.float32), np.empty(0, int)
    value, grad = row.function().value_and_grad(input, target)
    assert np.isnan(value)
    assert grad.shape == shape
    assert row.function()(input, target, reduction="sum") == 0
    assert row.function()(input, target, reduction="none").shape == (0,)


# --- special values ---------------------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("classes", [4, 70])
def test_focal_special_values(dtype, gamma, classes):
    """-inf has probability 0; +inf, NaN, or nothing but -inf make the row NaN, and no other."""
    input = np.zeros((6, classes), dtype)
    input[0, 1] = -INF             # another class
    input[1, 0] = -INF             # the label
    input[2, 1:] = -INF            # all others: the label is certain
    input[3, 1], input[4, 0], input[5] = INF, NAN, -INF
    options = {"gamma": gamma, "reduction": "none"}
    value, grad, _, hess = call(FOCAL, input, np.zeros(6, int), options)
    truth = FOCAL.oracle(input, np.zeros(6, int), **options)
    _, bound, hess_bound = FOCAL.bounds(options)
    assert_ulp(value, truth.value, dtype, bound)
    assert_ulp(grad, truth.grad, dtype, bound)
    assert_ulp(hess, truth.hess, dtype, hess_bound, truth.scale)
    assert value[1] == INF
    assert value[2] == 0
    assert np.isfinite(value[[0, 2]]).all()
    assert np.isfinite(grad[:3]).all()
    assert np.isnan(value[3:]).all()
    assert np.isnan(grad[3:]).all()


@both_dtypes
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("classes", [4, 70])
def test_multi_margin_nan(dtype, p, classes):
    """A NaN spoils the value, the label's gradient and its own class's; the other classes keep theirs."""
    input = np.zeros((3, classes), dtype)
    clean = input.copy()
    input[0, 2] = NAN
    value, grad = fl.multi_margin_loss.value_and_grad(input, [0, 0, 1], p=p, reduction="none")
    expected_value, expected = fl.multi_margin_loss.value_and_grad(clean, [0, 0, 1], p=p, reduction="none")
    assert np.isnan(value[0])
    assert np.isnan(grad[0, [0, 2]]).all()
    others = np.ones((3, classes), bool)
    others[0, [0, 2]] = False
    assert_same_bits(grad[others], expected[others])
    assert_same_bits(value[1:], expected_value[1:])


# --- dtypes, layouts, threads, instruction sets -----------------------------------------------------------------------


@both
@shapes
def test_float16_is_float32_rounded_once(row, shape):
    for name, input, target, options in row_losses.cases(row, np.float16, shape):
        got = call(row, input, target, options)
        wide = call(row, input.astype(np.float32), target, options)
        with np.errstate(over="ignore", under="ignore"):
            expected = tuple(part if type(part) is float else part.astype(np.float16) for part in wide)
        assert_same_bits(got, expected, name)


@both
@shapes
@both_dtypes
def test_every_layout(row, shape, dtype):
    """Input, target, weight, sample_weight and grad_output: strided, Fortran, reversed, misaligned, big-endian."""
    for name, input, target, options in row_losses.cases(row, dtype, shape):
        if name.split()[-1] not in ("mean", "none", "grad_output", "2", "0"):
            continue
        expected = call(row, input, target, options)
        for layout, array in variants(input):
            assert_same_bits(call(row, array, target, options), expected, f"{name}, input {layout}")
        for layout, array in variants(target):
            assert_same_bits(call(row, input, array, options), expected, f"{name}, target {layout}")
        for key, option in options.items():
            for layout, array in variants(option) if isinstance(option, np.ndarray) else ():
                got = call(row, input, target, {**options, key: array})
                assert_same_bits(got, expected, f"{name}, {key} {layout}")


@both
@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 70, 3)], ids=str)
def test_every_axis(row, shape):
    for name, input, target, options in row_losses.cases(row, np.float32, shape):
        expected = row.function().value_and_grad(input, target, **options)
        for axis in range(-3, 3):
            moved = np.ascontiguousarray(np.moveaxis(input, 1, axis))
            value, grad = row.function().value_and_grad(moved, target, axis=axis, **options)
            assert_same_bits((value, np.moveaxis(grad, axis, 1)), expected, f"{name}, axis {axis}")


@both
def test_a_row_has_the_same_bits_in_any_batch(row):
    for classes in (2, 3, 10, 17, 64, 65, 200, 300):
        input, target = losses.sample_logits(np.random.default_rng(classes), np.float32, (41, classes))
        whole = row_losses.results(row, input, target)
        for start, stop in ((0, 1), (5, 6), (3, 36), (40, 41)):
            part = row_losses.results(row, input[start:stop], target[start:stop])
            assert_same_bits(part, tuple(each[start:stop] for each in whole), f"{classes} classes, {start}:{stop}")


@every_setting
@pytest.mark.parametrize("shape", [(30_000, 5), (3000, 70), (200, 10, 20)], ids=str)
def test_any_number_of_threads(row, setting, shape):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, shape)
    weight = losses.weights(np.random.default_rng(1), np.float32, shape[1])
    expected = call(row, input, target, {**setting, "weight": weight, "n_threads": 1})
    for count in (2, 3, 8):
        got = call(row, input, target, {**setting, "weight": weight, "n_threads": count})
        assert_same_bits(got, expected, f"{count} threads")


def test_same_bits_with_avx2_and_avx512(isas, run_python):
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("this machine has not got both")
    code = "import json, row_losses; print(json.dumps(row_losses.digests()))"
    first, second = (json.loads(run_python(code, env={"FASTLOSS_ISA": name})) for name in ("avx2", "avx512"))
    assert len(first) > 500
    assert first.keys() == second.keys()
    different = [what for what in first if first[what] != second[what]]
    assert not different, f"{len(different)} of {len(first)} differ: {different[:5]}"


# --- out --------------------------------------------------------------------------------------------------------------


@both
@shapes
@both_dtypes
def test_out_in_place_and_in_every_layout(row, shape, dtype):
    for name, input, target, options in row_losses.cases(row, dtype, shape):
        value, grad, _, hess = call(row, input, target, options)
        mine = input.copy()
        again, out = row.function().value_and_grad(mine, target, out=mine, **options)
        assert out is mine
        assert_same_bits((again, out), (value, grad), f"{name}, in place")
        mine, second = input.copy(), np.empty_like(input)
        row.function().grad_and_hess(mine, target, out=(mine, second), **options)
        assert_same_bits((mine, second), (grad, hess), f"{name}, in place with a Hessian")
    for layout, out, memory in out_variants(shape, dtype):
        outside, before = surroundings(out, memory), memory.copy()
        assert row.function().grad(input, target, out=out, **options) is out
        assert_same_bits(out, grad, f"{name}, out {layout}")
        assert (memory[outside] == before[outside]).all(), f"{layout}: a stray write"


# --- errors -----------------------------------------------------------------------------------------------------------


def fails(row, input, target, error, **options):
    """The text of the error that every way to call raises, after which nothing has been written."""
    before = input.copy()
    outs = [canary(input.size, input.dtype).reshape(input.shape) for _ in range(2)]
    function = row.function()
    calls = [lambda: function(input, target, **options), lambda: function.grad(input, target, out=input, **options),
             lambda: function.value_and_grad(input, target, out=outs[0], **options),
             lambda: function.grad_and_hess(input, target, out=tuple(outs), **options)]
    for each in calls:
        with pytest.raises(error) as caught:
            each()
    assert_same_bits(input, before, "the input after an error")
    for out in outs:
        assert_same_bits(out, canary(out.size, out.dtype).reshape(out.shape), "out after an error")
    return str(caught.value)


@both
@pytest.mark.parametrize(("rows", "classes"), [(20, 10), (5000, 10), (20, 70)])
def test_label_out_of_range(row, rows, classes):
    """Position and value of the first one, for any number of threads. multi_margin_loss ignores no label."""
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (rows, classes))
    target[17], target[18] = classes + 2, -1
    ending = " (ignore_index = -100)" if row is FOCAL else ""
    for n_threads in (1, 2, 8):
        text = fails(row, input, target, IndexError, n_threads=n_threads)
        assert text == f"target[17] = {classes + 2} is out of range for {classes} classes{ending}"
    target[17] = -100
    text = fails(row, input, target, IndexError)
    assert text.startswith("target[17] = -100 " if row is MULTI_MARGIN else "target[18] = -1 ")


@pytest.mark.parametrize(("options", "word"), [
    ({"gamma": -1}, "gamma"), ({"gamma": NAN}, "gamma"), ({"gamma": INF}, "gamma"), ({"reduction": "avg"}, "batchmean"),
    ({"weight": np.full(10, -1.0)}, "weight"), ({"normalizer": 0}, "normalizer"),
    ({"sample_weight": NAN}, "sample_weight"),
], ids=str)
def test_focal_options_that_are_errors(options, word):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (20, 10))
    assert word in fails(FOCAL, input, target, ValueError, **options)


@pytest.mark.parametrize(("options", "word"), [
    ({"p": 3}, "p"), ({"p": 0}, "p"), ({"p": 1.5}, "p"), ({"margin": NAN}, "margin"), ({"margin": INF}, "margin"),
    ({"weight": np.full(9, 1.0)}, "weight"), ({"normalizer": -1}, "normalizer"), ({"reduction": "avg"}, "batchmean"),
], ids=str)
def test_multi_margin_options_that_are_errors(options, word):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (20, 10))
    assert word in fails(MULTI_MARGIN, input, target, ValueError, **options)


@both
def test_arguments_that_are_errors(row):
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (20, 10))
    assert "(4, 5)" in fails(row, input, target.reshape(4, 5), ValueError)
    fails(row, input, target[:-1], ValueError)
    fails(row, input, input, (TypeError, ValueError))  # probabilities are no labels
    assert "masked" in fails(row, input, np.ma.masked_array(target), TypeError)
    with pytest.raises(ValueError, match="target"):
        row.function().grad(input, target, wrt="target")
    with pytest.raises(TypeError, match="label_smoothing"):
        row.function()(input, target, label_smoothing=0.1)


def test_multi_margin_has_no_ignore_index():
    with pytest.raises(TypeError, match="ignore_index"):
        fl.multi_margin_loss([[1.0, 2.0]], [0], ignore_index=0)


@pytest.mark.parametrize("n_classes", [5, 100])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "softmax_focal_loss", "multi_margin_loss"])
def test_a_class_of_weight_0_counts_nothing_in_any_row(name, n_classes):
    """Rows are computed in groups: the last of a group no less than the first."""
    function = getattr(fl, name)
    generator = np.random.default_rng(7)
    x, y = generator.standard_normal((70, n_classes)).astype(np.float32), generator.integers(0, n_classes, 70)
    options = {"weight": np.where(np.arange(n_classes) == y[40], 0, 1.5).astype(np.float32), "reduction": "none"}
    loss = function(x, y, **options)
    derivatives = function.grad_and_hess(x, y, **options)
    left_out = options["weight"][y] == 0
    assert left_out[40]
    for result in (loss, *derivatives):
        assert not result[left_out].any()
    x[left_out] = NAN  # is not even looked at
    assert_same_bits(function(x, y, **options), loss)
    assert_same_bits(function.grad_and_hess(x, y, **options), derivatives)


@both_dtypes
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("classes", [3, 70])
def test_multi_margin_without_excess_is_0_however_large_the_factor(classes, p, dtype):
    """weight times grad_output overflows: classes beyond the margin have derivatives of 0, not 0 * inf."""
    huge = 1e30 if dtype is np.float32 else 1e300
    input = np.full((2, classes), -5, dtype)
    input[:, 0] = 2
    input[1, 1] = 3
    gradient, hessian = fl.multi_margin_loss.grad_and_hess(input, [0, 0], p=p, weight=np.full(classes, huge, dtype),
                                                           grad_output=huge, reduction="sum")
    expected = np.zeros_like(input)
    expected[1, :2] = [-np.inf, np.inf]
    np.testing.assert_array_equal(gradient, expected)
    np.testing.assert_array_equal(hessian, np.abs(expected) if p == 2 else np.zeros_like(input))


@both_dtypes
@pytest.mark.parametrize("classes", [3, 70])
def test_multi_margin_whose_doubled_sum_overflows(classes, dtype):
    """The mean over the classes brings the gradient of the label back among the numbers."""
    largest = float(np.finfo(dtype).max)
    input = np.zeros((1, classes), dtype)
    input[0, 1] = 0.6 * largest
    gradient = fl.multi_margin_loss.grad(input, [0], p=2)
    expected = -2 * (float(input[0, 1]) / classes)
    assert gradient[0, 0] == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps))
    assert gradient[0, 1] == pytest.approx(-expected, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("classes", [3, 70])
def test_multi_margin_whose_excess_overflows_times_0(classes):
    input = np.zeros((1, classes), np.float32)
    input[0, :2] = -3e38, 3e38
    gradient = fl.multi_margin_loss.grad(input, [0], p=2, grad_output=0.0)
    np.testing.assert_array_equal(gradient, np.zeros_like(input))
