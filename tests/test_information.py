"""entropy, cross_entropy_probs, information, softmax_grad, log_softmax_grad, one_hot: against exact numbers."""

import numpy as np
import pytest
from arrays import canary, out_variants, surroundings, variants
from checks import assert_same_bits, assert_ulp
from families import DTYPES
from reference import MP, ZERO, exact, exact_array

import fastloss as fl

NAN, INF = np.nan, np.inf
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
CLASSES = (1, 2, 3, 7, 10, 16, 17, 33, 64, 65, 130, 600)


# --- exact ------------------------------------------------------------------------------------------------------------


def exact_cross_entropy(q, p):
    """-sum p log q of every row; a term with p = 0 is 0, whatever q is."""
    rows = zip(exact_array(q), exact_array(p))
    return np.array([sum((-b * MP.log(a) if a else MP.inf for a, b in zip(*row) if b), ZERO) for row in rows], object)


def exact_softmax_grad(y, dy):
    """(result, scale): the sum and the difference are carried in twice the working precision u, so the bracket may be
    off by C u^2 max |dy|, which is 4 ULP of a scale of C u max |dy|."""
    unit = exact(np.finfo(y.dtype).eps)
    result, scale = np.empty(y.shape, object), np.empty(y.shape, object)
    for n, (row, upstream) in enumerate(zip(exact_array(y), exact_array(dy))):
        inner = sum((a * b for a, b in zip(row, upstream)), ZERO)
        largest = max(abs(b) for b in upstream)
        result[n] = [a * (b - inner) for a, b in zip(row, upstream)]
        scale[n] = [abs(a) * len(row) * unit * largest for a in row]
    return result, scale


def exact_log_softmax_grad(y, dy):
    """(result, scale): the larger of the two terms that are subtracted, which are others for a likely class."""
    result, scale = np.empty(y.shape, object), np.empty(y.shape, object)
    for n, (row, upstream) in enumerate(zip(exact_array(y), exact_array(dy))):
        total = sum(upstream, ZERO)
        # With 70 digits nothing is lost by the plain form, not even at exp(y) = 1 - 1e-40.
        result[n] = [b - MP.exp(a) * total for a, b in zip(row, upstream)]
        terms = [(b - total, MP.expm1(a) * total) if a > -0.6 else (b, MP.exp(a) * total)
                 for a, b in zip(row, upstream)]
        scale[n] = [max(abs(one), abs(two)) for one, two in terms]
    return result, scale


def probabilities(dtype, classes, rows=5, seed=0):
    """Dirichlet rows, most of them of a few likely classes; the last sums to anything, with zeros, ones, tiny ones."""
    rng = np.random.default_rng([seed, classes])
    p = rng.dirichlet(np.full(classes, 0.3), rows)
    p[-1] = rng.choice([0, 1, 1e-30, 0.3, 1 - 2.0**-24, 2.0**-126], classes)
    return p.astype(dtype)


# --- entropy and cross_entropy_probs ----------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("classes", CLASSES)
def test_entropy_and_cross_entropy_of_probabilities(dtype, classes):
    p, q = probabilities(dtype, classes), probabilities(dtype, classes, seed=1)
    q[:-1] = np.maximum(q[:-1], np.finfo(dtype).tiny)  # finite but for the last row
    assert_ulp(fl.entropy(p), exact_cross_entropy(p, p), dtype, what="entropy")
    assert_ulp(fl.cross_entropy_probs(q, p), exact_cross_entropy(q, p), dtype, what="cross_entropy_probs")
    assert_same_bits(fl.cross_entropy_probs(p, p), fl.entropy(p), "the case of q equal to p")


@both_dtypes
def test_entropy_of_a_nearly_certain_event(dtype):
    """-log(1 - u) has one digit less than nothing when 1 is rounded away."""
    p = np.array([[1 - np.finfo(dtype).epsneg, np.finfo(dtype).epsneg], [1, 1e-30]], dtype)
    assert_ulp(fl.entropy(p), exact_cross_entropy(p, p), dtype)


@both_dtypes
def test_information_of_subnormal_probabilities(dtype):
    """They are numbers as others: their logarithm is about -100 or -740, and not infinite."""
    p = np.array([np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny / 8], dtype)
    assert_ulp(fl.information(p), [-MP.log(exact(a)) for a in p], dtype, 2)
    q = np.stack([p, np.ones(2, dtype)], axis=1)
    assert_ulp(fl.cross_entropy_probs(q, np.ones_like(q)), [-MP.log(exact(a)) for a in p], dtype)


@both_dtypes
def test_long_sums_do_not_drift(dtype):
    """50,000 equal terms."""
    p = np.full((1, 50_000), 0.1, dtype)
    assert_ulp(fl.entropy(p), [-50_000 * exact(p[0, 0]) * MP.log(exact(p[0, 0]))], dtype)


@pytest.mark.parametrize("classes", [2, 70])
def test_probabilities_of_0_and_1(classes):
    """0 log 0 is 0; only q = 0 is infinite; a certain event has no entropy, and no minus before its 0."""
    p, q = np.zeros((3, classes)), np.zeros((3, classes))
    p[:, 0], q[0, 0], q[1, 1], q[2, :2] = 1, 1, 1, 0.5
    assert_same_bits(fl.cross_entropy_probs(q, p)[:2], np.array([0.0, INF]))
    assert fl.cross_entropy_probs(q, p)[2] == pytest.approx(np.log(2), rel=1e-15)
    assert_same_bits(fl.entropy(p), np.zeros(3))
    assert_same_bits(fl.entropy(np.zeros((3, classes))), np.zeros(3))


@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 4), (2, 70, 3)], ids=str)
def test_axes(shape):
    p = np.random.default_rng(0).random(shape).astype(np.float32)
    q = np.random.default_rng(1).random(shape).astype(np.float32)
    for axis in range(-len(shape), len(shape)):
        moved_p, moved_q = (np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in (p, q))
        assert_same_bits(fl.entropy(p, axis=axis), fl.entropy(moved_p))
        assert_same_bits(fl.cross_entropy_probs(q, p, axis=axis), fl.cross_entropy_probs(moved_q, moved_p))
        for function in (fl.softmax_grad, fl.log_softmax_grad):
            got = function(p, q, axis=axis)
            assert_same_bits(np.moveaxis(got, axis, -1), function(moved_p, moved_q), f"axis {axis}")


def test_result_types():
    """A float for one dimension; the dtype of the first argument; float64 for integers; empty ones."""
    assert type(fl.entropy([0.5, 0.5])) is float
    assert type(fl.cross_entropy_probs([0.5, 0.5], [1, 0])) is float
    assert type(fl.information(0.5)) is float
    for dtype in (np.float16, np.float32, np.float64):
        p = np.full((3, 4), 0.25, dtype)
        ones = np.ones((3, 4))
        assert fl.entropy(p).dtype == fl.information(p).dtype == fl.cross_entropy_probs(p, ones).dtype == dtype
        assert fl.softmax_grad(p, ones).dtype == fl.log_softmax_grad(p, ones).dtype == dtype
    assert fl.entropy(np.eye(3, dtype=int)).dtype == np.float64
    assert_same_bits(fl.entropy(np.empty((0, 3), np.float32)), np.empty(0, np.float32))
    assert_same_bits(fl.entropy(np.empty((2, 0))), np.zeros(2))


@pytest.mark.parametrize("shape", [(9, 7), (3, 5, 4), (3, 70)], ids=str)
@pytest.mark.parametrize("function", [fl.entropy, fl.information])
def test_float16_is_float32_rounded_once(function, shape):
    p = np.random.default_rng(0).random(shape).astype(np.float16)
    assert_same_bits(function(p), function(p.astype(np.float32)).astype(np.float16))


BAD = [(-1e-30, "-1e-30"), (1.0000001, "1.0000001"), (NAN, "nan"), (INF, "inf"), (-INF, "-inf")]


@pytest.mark.parametrize(("value", "text"), BAD, ids=[text for _, text in BAD])
@pytest.mark.parametrize("shape", [(20, 7), (2000, 7), (20, 70)], ids=str)
def test_a_probability_outside_0_to_1(shape, value, text):
    """The first one is named, with its position along any axis and for any number of threads."""
    good = np.full(shape, 0.5)
    bad = good.copy()
    bad[17, 3], bad[18, 2] = value, -7
    for n_threads in (1, 3):
        for axis in (-1, 0):
            turned = bad if axis else bad.T.copy()
            place = "[17, 3]" if axis else "[3, 17]"
            options = {"axis": axis, "n_threads": n_threads}
            for name, call in (("p", lambda: fl.entropy(turned, **options)),
                               ("q", lambda: fl.cross_entropy_probs(turned, np.full_like(turned, 0.5), **options)),
                               ("p", lambda: fl.cross_entropy_probs(np.full_like(turned, 0.5), turned, **options))):
                with pytest.raises(ValueError, match="must lie between 0 and 1") as caught:
                    call()
                assert str(caught.value).startswith(f"{name}{place} = {text} "), str(caught.value)
    with pytest.raises(ValueError, match="must lie between 0 and 1") as caught:
        fl.information(bad, out=good)
    assert str(caught.value).startswith(f"p[17, 3] = {text} ")
    assert (good == 0.5).all(), "written in spite of the error"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(20, 7), (20, 70)], ids=str)
def test_a_probability_is_checked_as_it_is_given(shape, dtype):
    """Rounded to the dtype of q it would be 1, or 0."""
    for value in (1 + 1e-12, -1e-60):
        p = np.full(shape, 0.5)
        p[17, 3] = value
        with pytest.raises(ValueError, match="must lie between 0 and 1") as caught:
            fl.cross_entropy_probs(np.full(shape, 0.5, dtype), p)
        assert str(caught.value).startswith(f"p[17, 3] = {value} ")


def test_other_errors():
    p = np.full((3, 4), 0.25)
    for function in (fl.cross_entropy_probs, fl.softmax_grad, fl.log_softmax_grad):
        with pytest.raises(ValueError, match=r"\(3, 3\)"):
            function(p, p[:, :3])
        with pytest.raises(ValueError, match="axis"):
            function(p, p, axis=2)
        with pytest.raises(TypeError, match="masked"):
            function(p, np.ma.masked_array(p))
        with pytest.raises(TypeError, match="complex"):
            function(p.astype(complex), p)
    for function in (fl.entropy, fl.information):
        with pytest.raises(TypeError, match="masked"):
            function(np.ma.masked_array(p))
        with pytest.raises(TypeError, match="complex"):
            function(p.astype(complex))
    with pytest.raises(ValueError, match="axis"):
        fl.entropy(p, axis=2)
    with pytest.raises(ValueError, match="dimension"):
        fl.entropy(0.5)


# --- information ------------------------------------------------------------------------------------------------------


@both_dtypes
def test_information_within_2_ulp(dtype):
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.random(600), 10.0 ** rng.uniform(-37, 0, 600), 1 - 2.0 ** rng.uniform(-24, -1, 600)])
    p = np.concatenate([p.astype(dtype), np.array([1, np.finfo(dtype).tiny, 1 - np.finfo(dtype).epsneg], dtype)])
    assert_ulp(fl.information(p), [-MP.log(exact(a)) for a in p], dtype, 2)
    assert_same_bits(fl.information(np.array([0, 1], dtype)), np.array([INF, 0], dtype))


# --- gradients of the softmax -----------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 16, 17, 64, 65, 200])
@pytest.mark.parametrize("spread", [1, 12])
def test_gradients_of_the_softmax(dtype, classes, spread):
    """With an upstream gradient of everyday size, one that is nearly constant (the bracket cancels), and a label's."""
    rng = np.random.default_rng([2, classes])
    x = rng.normal(0, spread, (3, classes)).astype(dtype)
    y, log_y = fl.softmax(x), fl.log_softmax(x)
    label = np.zeros((3, classes))
    label[np.arange(3), rng.integers(0, classes, 3)] = -1
    for name, dy in (("any", rng.normal(size=x.shape)), ("nearly constant", 1 + 1e-4 * rng.normal(size=x.shape)),
                     ("label", label)):
        dy = dy.astype(dtype)
        truth, scale = exact_softmax_grad(y, dy)
        assert_ulp(fl.softmax_grad(y, dy), truth, dtype, scale=scale, what=f"softmax_grad, {name}")
        truth, scale = exact_log_softmax_grad(log_y, dy)
        assert_ulp(fl.log_softmax_grad(log_y, dy), truth, dtype, scale=scale, what=f"log_softmax_grad, {name}")


@both_dtypes
@pytest.mark.parametrize("classes", [2, 40, 100])
@pytest.mark.parametrize("gap", [17, 40])
def test_gradients_of_a_confident_row(dtype, classes, gap):
    """The gradient of -log_softmax(x)[0] at the likely class is -(1 - p), and not 0."""
    x = np.zeros((1, classes), dtype)
    x[0, 0] = gap
    label = np.zeros_like(x)
    label[0, 0] = -1
    log_y = fl.log_softmax(x)
    got = fl.log_softmax_grad(log_y, label)
    truth, scale = exact_log_softmax_grad(log_y, label)
    assert_ulp(got, truth, dtype, scale=scale)
    assert got[0, 0] == pytest.approx(-(classes - 1) * np.exp(-gap), rel=1e-5)


@both_dtypes
@pytest.mark.parametrize("classes", [2, 17, 256, 300, 5000, 70_000])
@pytest.mark.parametrize("small", [1e-10, 1e-14, 1e-17])
def test_small_terms_that_large_ones_leave(dtype, classes, small):
    """The gradient of a class that is certain is minus the sum of what the others' upstream gradients are: next to
    nothing beside its own."""
    y, dy = np.full(classes, -60, dtype), np.zeros(classes, dtype)
    y[0], dy[0], dy[-1] = 0, -1, small
    assert_ulp(fl.log_softmax_grad(y, dy)[:1], exact_array(-dy[-1:]), dtype)


@pytest.mark.parametrize("function", [fl.softmax_grad, fl.log_softmax_grad])
@pytest.mark.parametrize("shape", [(9, 7), (3, 5, 4), (3, 130), (11,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients_in_every_layout(function, shape, dtype):
    rng = np.random.default_rng(3)
    y, dy = rng.random(shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    expected = function(y, dy)
    for name, array in variants(y):
        assert_same_bits(function(array, dy), expected, f"y {name}")
    for name, array in variants(dy):
        assert_same_bits(function(y, array), expected, f"dy {name}")
    for place in (0, 1):
        arguments = [y.copy(), dy.copy()]
        assert function(*arguments, out=arguments[place]) is arguments[place]
        assert_same_bits(arguments[place], expected, f"out is argument {place}")
        assert_same_bits(arguments[1 - place], (dy, y)[place], "the other argument")
    check_out(lambda out: function(y, dy, out=out), expected)


def check_out(call, expected):
    """Every layout of `out` gets the result, and nothing beside it is written."""
    for layout, out, memory in out_variants(expected.shape, expected.dtype):
        outside, before = surroundings(out, memory), memory.copy()
        assert call(out) is out
        assert_same_bits(out, expected, f"out {layout}")
        assert (memory[outside] == before[outside]).all(), f"{layout}: a stray write"
    for bad in (np.empty((2, 2), expected.dtype), np.empty(expected.shape, np.int64)):
        kept = canary(bad.size, bad.dtype).reshape(bad.shape)
        bad[...] = kept
        with pytest.raises(ValueError, match="out"):
            call(bad)
        assert_same_bits(bad, kept)


@pytest.mark.parametrize("shape", [(9, 7), (3, 5, 4), (3, 130), (11,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_information_quantities_in_every_layout(shape, dtype):
    p, q = (np.random.default_rng(seed).random(shape).astype(dtype) for seed in (4, 5))
    entropy, cross, information = fl.entropy(p), fl.cross_entropy_probs(q, p), fl.information(p)
    for name, array in variants(p):
        assert_same_bits(fl.entropy(array), entropy, name)
        assert_same_bits(fl.information(array), information, name)
        assert_same_bits(fl.cross_entropy_probs(q, array), cross, f"p {name}")
    for name, array in variants(q):
        assert_same_bits(fl.cross_entropy_probs(array, p), cross, f"q {name}")
    mine = p.copy()
    assert fl.information(mine, out=mine) is mine
    assert_same_bits(mine, information, "in place")
    check_out(lambda out: fl.information(p, out=out), information)


@pytest.mark.parametrize("shape", [(30_000, 5), (2000, 70), (2, 100_000)], ids=str)
def test_any_number_of_threads(shape):
    rng = np.random.default_rng(6)
    p, q = (rng.random(shape, np.float32) for _ in range(2))

    def all_of_them(n_threads):
        return (fl.entropy(p, n_threads=n_threads), fl.cross_entropy_probs(q, p, n_threads=n_threads),
                fl.information(p, n_threads=n_threads), fl.softmax_grad(p, q, n_threads=n_threads),
                fl.log_softmax_grad(p, q, n_threads=n_threads))

    expected = all_of_them(1)
    for count in (2, 3, 8):
        assert_same_bits(all_of_them(count), expected, f"{count} threads")


def digests():
    """What the instruction sets are compared by."""
    from digest import digest

    for dtype in (np.float16, *DTYPES):
        for classes in CLASSES:
            p, q = probabilities(dtype, classes, 9), probabilities(dtype, classes, 9, seed=1)
            dy = np.random.default_rng(classes).normal(size=p.shape).astype(dtype)
            yield digest((fl.entropy(p), fl.cross_entropy_probs(q, p), fl.information(p), fl.softmax_grad(p, dy),
                          fl.log_softmax_grad(fl.log_softmax(dy), dy)))


def test_same_bits_with_avx2_and_avx512(isas, run_python):
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("this machine has not got both")
    code = "import test_information; print(*test_information.digests())"
    first, second = (run_python(code, env={"FASTLOSS_ISA": name}).split() for name in ("avx2", "avx512"))
    assert len(first) == 3 * len(CLASSES)
    assert first == second


# --- one_hot ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_dtype", [np.int8, np.uint8, np.int32, np.uint64, ">i4", bool], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_one_hot(label_dtype, dtype):
    for shape in ((), (5,), (3, 4)):
        labels = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3).astype(label_dtype)
        expected = np.eye(3, dtype=dtype)[labels.astype(int)]
        assert_same_bits(fl.one_hot(labels, 3, dtype=dtype), expected)
        for name, array in variants(labels):
            assert_same_bits(fl.one_hot(array, 3, dtype=dtype), expected, name)
        for axis in range(-len(shape) - 1, len(shape) + 1):
            got = fl.one_hot(labels, 3, dtype=dtype, axis=axis)
            assert_same_bits(got, np.moveaxis(expected, -1, axis), f"axis {axis}")


def test_one_hot_defaults_and_use():
    assert fl.one_hot([2, 0], 3).dtype == np.float64
    assert fl.one_hot([], 3).shape == (0, 3)
    input, labels = np.random.default_rng(0).normal(size=(4, 5, 3)), np.arange(12).reshape(4, 3) % 5
    soft = fl.cross_entropy(input, fl.one_hot(labels, 5, axis=1))
    assert soft == pytest.approx(fl.cross_entropy(input, labels), rel=1e-14)


def test_one_hot_errors():
    labels = np.zeros((4, 5), int)
    labels[2, 3], labels[3, 0] = 9, -1
    with pytest.raises(IndexError) as caught:
        fl.one_hot(labels, 9)
    assert str(caught.value) == "labels[2, 3] = 9 is out of range for 9 classes"
    with pytest.raises(IndexError, match=r"labels\[0\] = -1 "):
        fl.one_hot([-1], 9)
    for count in (0, -1):
        with pytest.raises(ValueError, match="num_classes"):
            fl.one_hot([0], count)
    for axis in (2, -3):
        with pytest.raises(ValueError, match="axis"):
            fl.one_hot([0], 3, axis=axis)
    with pytest.raises(TypeError, match="num_classes"):
        fl.one_hot([0], 2.5)
    with pytest.raises(TypeError, match="float64"):
        fl.one_hot([0.0], 3)
    with pytest.raises(TypeError, match="masked"):
        fl.one_hot(np.ma.masked_array([0]), 3)
    for dtype in (complex, str, object):
        with pytest.raises(TypeError, match="dtype"):
            fl.one_hot([0], 3, dtype=dtype)
