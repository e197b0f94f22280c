"""Strides, alignment, byte order, read-only and Fortran order, axes and label dtypes: the same bits as contiguous."""

import mmap
import sys

import losses
import numpy as np
import pytest
from arrays import variants
from checks import assert_same_bits

import fastloss as fl

SHAPES = [(7, 3), (20, 10), (33, 17), (5, 64), (35, 65), (18, 130), (3, 270), (2, 1100), (3, 5, 4), (2, 3, 2, 5), (11,)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_loss = pytest.mark.parametrize("loss", losses.LOSSES, ids=lambda loss: loss.name)

LABEL_DTYPES = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.intp, np.uintp,
                np.longlong, np.ulonglong, ">i2", ">i4", ">i8", ">u2", ">u4", ">u8"]


def call(loss, input, target, options):
    """Everything a loss returns."""
    function = loss.function()
    return (*function.value_and_grad(input, target, **options), *function.grad_and_hess(input, target, **options))


@every_loss
@shapes
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_input_in_every_layout(loss, shape, dtype):
    for case in losses.cases(loss, dtype, shape):
        if case.name.split()[-1] in ("mean", "weight", "none", "everything"):
            expected = call(loss, case.input, case.target, case.options)
            for name, input in variants(case.input):
                assert_same_bits(call(loss, input, case.target, case.options), expected, f"{case.name}, input {name}")


@every_loss
@shapes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_other_arguments_in_every_layout(loss, shape, dtype):
    """Target (labels and probabilities), weight, sample_weight and grad_output."""
    for case in losses.cases(loss, dtype, shape):
        expected = call(loss, case.input, case.target, case.options)
        for name, target in variants(case.target):
            assert_same_bits(call(loss, case.input, target, case.options), expected, f"{case.name}, target {name}")
        for key, option in case.options.items():
            if isinstance(option, np.ndarray):
                for name, array in variants(option):
                    got = call(loss, case.input, case.target, {**case.options, key: array})
                    assert_same_bits(got, expected, f"{case.name}, {key} {name}")


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_broadcast_input_and_arguments(loss, dtype):
    """Stride 0, which no copy has."""
    row, _ = losses.sample_logits(np.random.default_rng(0), dtype, (1, 9))
    input, target = np.broadcast_to(row, (21, 9)), np.broadcast_to(np.array([4]), (21,))
    options = {"weight": np.broadcast_to(dtype(0.75), (9,)), "sample_weight": np.broadcast_to(dtype(1.5), (21,)),
               "grad_output": np.broadcast_to(dtype(-2), (21,)), "reduction": "none"}
    copies = {key: option.copy() if key != "reduction" else option for key, option in options.items()}
    assert_same_bits(call(loss, input, target, options), call(loss, input.copy(), target.copy(), copies))
    input = np.broadcast_to(dtype(0.5), (21, 9))
    assert_same_bits(call(loss, input, target, options), call(loss, input.copy(), target.copy(), copies))


@every_loss
@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3), (2, 5, 3, 2), (3, 70, 2)], ids=str)
def test_every_axis(loss, shape):
    """The class axis may be anywhere: value and gradient are those of axis 1, moved."""
    for case in losses.cases(loss, np.float32, shape):
        expected = loss.function().value_and_grad(case.input, case.target, **case.options)
        soft = np.shape(case.target) == shape
        for axis in range(-len(shape), len(shape)):
            input = np.ascontiguousarray(np.moveaxis(case.input, 1, axis))
            target = np.ascontiguousarray(np.moveaxis(case.target, 1, axis)) if soft else case.target
            value, grad = loss.function().value_and_grad(input, target, axis=axis, **case.options)
            what = f"{case.name}, axis {axis}"
            assert grad.shape == input.shape, what
            assert_same_bits((value, np.moveaxis(grad, axis, 1)), expected, what)


IMAGES = [(2, 3, 7, 19), (2, 21, 5, 33), (3, 10, 64), (1, 64, 1, 40), (2, 150, 3, 21), (5, 4, 3), (1, 300, 20),
          (3, 515, 11)]


@every_loss
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images(loss, shape, dtype):
    """Pixels side by side, classes apart: as with the classes side by side. Lines of pixels end within vectors, and
    pixels may lie in another order, with gaps, at odd addresses, or be written over."""
    for case in losses.cases(loss, dtype, shape):
        if case.name.split()[-1] not in ("mean", "none", "everything"):
            continue
        flat = np.ascontiguousarray(np.moveaxis(case.input, 1, -1)).reshape(-1, shape[1])
        soft = np.shape(case.target) == shape
        target = np.moveaxis(case.target, 1, -1).reshape(flat.shape) if soft else case.target.reshape(-1)
        options = {key: np.reshape(option, -1) if np.shape(option) == case.input[:, 0].shape else option
                   for key, option in case.options.items()}
        expected = tuple(np.moveaxis(np.reshape(result, (shape[0], *shape[2:], -1)), -1, 1)
                         if np.size(result) == flat.size
                         else np.reshape(result, np.shape(case.input[:, 0])) if np.size(result) > 1 else result
                         for result in call(loss, flat, target, options))
        for name, input in variants(case.input):
            assert_same_bits(call(loss, input, case.target, case.options), expected, f"{case.name}, {name}")
            if input.flags.writeable and input.dtype.isnative and not np.shares_memory(input, case.input):
                value, grad = loss.function().value_and_grad(input, case.target, out=input, **case.options)
                assert grad is input
                assert_same_bits((value, grad), expected[:2], f"{case.name}, {name}, in place")


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_transforms_of_images(shape, dtype):
    x, dy = (np.random.default_rng(k).normal(size=shape).astype(dtype) for k in (0, 1))
    last, dy_last = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, dy))
    for function in (fl.softmax, fl.log_softmax):
        assert_same_bits(np.moveaxis(function(x, axis=1), 1, -1), function(last, axis=-1), function.__name__)
    assert_same_bits(fl.logsumexp(x, axis=1), fl.logsumexp(last, axis=-1))
    for function in (fl.softmax_grad, fl.log_softmax_grad):
        got = np.moveaxis(function(x, dy, axis=1), 1, -1)
        assert_same_bits(got, function(last, dy_last, axis=-1), function.__name__)


def test_float16_probabilities_in_every_layout():
    """That of a likely class is rounded once, wherever float16 is converted."""
    x = np.full((512, 300), -np.inf, np.float16)
    x[:, :9] = np.random.default_rng(0).normal(size=(512, 9)) * 3
    x[::2, 0] = 1.9208984375
    expected = fl.softmax(x.astype(np.float64)).astype(np.float16)
    for input in (x, np.asfortranarray(x), x.astype(">f2")):
        for out in (np.empty_like(x), np.empty_like(np.asfortranarray(x)), np.empty((512, 600), np.float16)[:, ::2]):
            assert_same_bits(fl.softmax(input, out=out), fl.softmax(x), "softmax")
            assert (abs(out - expected.astype(float)) <= abs(np.spacing(expected))).all()
    near = [1.9208984375, -3.341796875, -3.671875, -0.451416015625, -2.40625, -5.4921875, -2.599609375, -5.0234375,
            -1.23046875]
    x[:, :9] = near  # the probability of the first is next to a tie: 0.854248049 of 0.8540 and 0.8545
    assert fl.softmax(x)[0, 0] == fl.softmax(np.asfortranarray(x))[0, 0] == np.float16(0.854)


def test_sums_of_probability_targets_in_every_layout():
    """The strip of a row's maximum is added in its turn, however the row is divided into chunks."""
    rng = np.random.default_rng(2)
    weight = (rng.integers(0, 4, 5000) / 2).astype(np.float32)
    for _ in range(60):
        x = rng.normal(size=(3, 5000)).astype(np.float32)
        soft = rng.random((3, 5000)) ** 3
        soft = (soft / soft.sum(1, keepdims=True)).astype(np.float32)
        expected = fl.cross_entropy(x, soft, weight=weight, reduction="sum")
        for input in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
            for target in (soft, np.asfortranarray(soft), np.repeat(soft, 2, 1)[:, ::2]):
                assert fl.cross_entropy(input, target, weight=weight, reduction="sum") == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [65, 100, 129, 144, 150, 256])
def test_sums_of_images(classes, dtype):
    """More rows are walked together than of contiguous ones, but their losses are added in the same order."""
    rng = np.random.default_rng(classes)
    for pixels in (1, 17, 127, 128, 1000):
        for _ in range(10):
            x, labels = 9 * rng.normal(size=(2, classes, pixels)).astype(dtype), rng.integers(0, classes, (2, pixels))
            options = {"weight": rng.random(classes).astype(dtype), "sample_weight": rng.random((2, pixels))}
            rows = np.ascontiguousarray(np.moveaxis(x, 1, -1))
            flat = options | {"sample_weight": options["sample_weight"].reshape(-1)}
            value, grad = fl.cross_entropy.value_and_grad(x, labels, reduction="sum", **options)
            expected = fl.cross_entropy.value_and_grad(
                rows.reshape(-1, classes), labels.reshape(-1), reduction="sum", **flat)
            assert_same_bits((value, np.moveaxis(grad, 1, -1).reshape(-1, classes)), expected, f"{pixels} pixels")
            assert fl.cross_entropy(x, labels, reduction="sum", **options) == value


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [65, 144, 256])
def test_results_in_another_layout(classes, dtype):
    """Classes side by side in the input and apart in the results, or the other way."""
    rng = np.random.default_rng(classes)
    x, labels = rng.normal(size=(130, classes)).astype(dtype), rng.integers(0, classes, 130)
    calls = [fl.softmax, fl.log_softmax, *(
        lambda x, out, f=f, o=o: f(x, labels, out=out, **o)[1] for f, o in
        [(fl.cross_entropy.value_and_grad, {}), (fl.cross_entropy.value_and_grad, {"label_smoothing": 0.1}),
         (fl.nll_loss.value_and_grad, {}), (fl.softmax_focal_loss.value_and_grad, {})])]
    for function in calls:
        expected = function(x, out=np.empty_like(x))
        for input in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
            for out in (np.empty_like(x), np.empty_like(x, order="F"), np.empty((130, 2 * classes), dtype)[:, ::2]):
                function(input, out=out)
                assert_same_bits(out, expected, f"{input.strides} to {out.strides}")


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rows, classes", [(37, 17000), (5, 17000), (70, 1025), (130, 300), (16, 65536), (17, 131142)])
def test_wide_rows_in_columns(rows, classes, dtype, special):
    """Read line by line, and, where each row is a block of its own, walked together: sums included, the results are
    those of contiguous rows, whatever values meet in a line and whatever has a place in it."""
    rng = np.random.default_rng(0)
    x = (3 * rng.normal(size=(rows, classes))).astype(dtype)
    if special:
        x[1, 5], x[2, 7], x[3, :], x[0, [10, 11, 40, 140, 270, -1]] = np.inf, np.nan, -np.inf, 30
    labels, soft = rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows).astype(dtype)
    labels[4] = -100
    weight, sample_weight = rng.integers(0, 3, classes) / 2, rng.integers(0, 3, rows) / 2
    options = [{}, {"reduction": "none"}, {"weight": weight, "sample_weight": sample_weight}, {"label_smoothing": 0.1}]
    cases = [(fl.cross_entropy, labels, option) for option in options] + [(fl.cross_entropy, soft, options[2])]
    cases += [(fl.cross_entropy, soft, {"reduction": "sum"})]
    cases += [(fl.nll_loss, labels, options[2]), (fl.softmax_focal_loss, labels, {})]
    cases += [(fl.multi_margin_loss, abs(labels), {})]
    columns = np.ascontiguousarray(x.T)
    assert special or np.isfinite(fl.cross_entropy(x, soft))
    with np.errstate(all="ignore"):
        for loss, target, option in cases:
            expected = loss.value_and_grad(x, target, **option)
            transposed = np.ascontiguousarray(target.T) if target is soft else target
            for n_threads in (1, 2):
                across = columns.copy()
                value, grad = loss.value_and_grad(across, transposed, axis=0, out=across, n_threads=n_threads, **option)
                assert_same_bits((value, grad.T), expected, f"{loss.__name__} {option.keys()} {n_threads}")
            expected = loss.grad_and_hess(x, target, **option)
            got = loss.grad_and_hess(columns, transposed, axis=0, **option)
            assert_same_bits(tuple(a.T for a in got), expected, f"{loss.__name__} {option.keys()}")
        for function in (fl.softmax, fl.log_softmax, fl.logsumexp):
            assert_same_bits(function(columns, axis=0).T, function(x), function.__name__)
            if function is not fl.logsumexp:
                out = np.empty_like(x)
                function(columns, axis=0, out=out.T)
                assert_same_bits(out, function(x), f"{function.__name__} into rows")
                function(x, axis=1, out=columns.T)
                assert_same_bits(columns.T, function(x), f"{function.__name__} into columns")
                columns[:] = x.T
        for function in (fl.softmax_grad, fl.log_softmax_grad):
            for y in (columns, x.T):  # the other stays in columns
                assert_same_bits(function(y, columns[::-1], axis=0).T, function(x, x[:, ::-1]), function.__name__)
    spread = np.ascontiguousarray(soft.T)
    assert_same_bits(fl.entropy(spread, axis=0), fl.entropy(soft))
    assert_same_bits(fl.cross_entropy_probs(soft.T, spread, axis=0), fl.cross_entropy_probs(soft, soft))
    spread[20, 3:] = 2
    with pytest.raises(ValueError, match=r"\[20, 3\]"):
        fl.entropy(spread, axis=0)


@every_loss
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axis_of_a_single_row(loss, axis):
    """Its only axis. The default of 1 means it too."""
    input, target = np.array([1.0, 2.0, 0.5]), np.array(1)
    expected = loss.function().value_and_grad(input[None], target[None])
    value, grad = loss.function().value_and_grad(input, target, axis=axis)
    assert_same_bits((value, grad), (expected[0], expected[1][0]))


@every_loss
@pytest.mark.parametrize("label_dtype", LABEL_DTYPES, ids=str)
@shapes
def test_every_label_dtype(loss, label_dtype, shape):
    input, target = loss.sample(np.random.default_rng(0), np.float32, shape)
    target = np.minimum(target, 127)  # what an int8 can hold
    ignored = np.where(np.arange(target.size).reshape(target.shape) % 4 == 3, 1, target)
    for labels, options in ((target, {}), (ignored, {"ignore_index": 1})):
        got = call(loss, input, labels.astype(label_dtype), options)
        assert_same_bits(got, call(loss, input, labels, options))


@every_loss
def test_bool_labels(loss):
    """False is class 0 and True class 1, of two or of more classes."""
    for classes in (2, 5):
        input, target = loss.sample(np.random.default_rng(0), np.float32, (9, classes))
        assert_same_bits(call(loss, input, target > 0, {}), call(loss, input, (target > 0).astype(int), {}))


@every_loss
def test_result_does_not_depend_on_the_surroundings(loss):
    """A row gives the bits it gives in any other batch, whatever lane it sits in: only then can a batch be split."""
    for classes in (2, 3, 10, 17, 64, 65, 200, 300):
        input, target = loss.sample(np.random.default_rng(classes), np.float32, (41, classes))
        whole = loss.function().value_and_grad(input, target, reduction="none")
        for start, stop in ((0, 1), (0, 7), (5, 6), (3, 36), (40, 41)):
            part = loss.function().value_and_grad(input[start:stop], target[start:stop], reduction="none")
            assert_same_bits(part, (whole[0][start:stop], whole[1][start:stop]), f"{classes} classes, {start}:{stop}")


# --- memory that must not be touched ----------------------------------------------------------------------------------

GUARDED = """
import ctypes, mmap, numpy as np, fastloss as fl
from checks import assert_same_bits

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
keep = []


def guarded(array, at_end):
    "A copy of the array that begins behind, or ends before, a page that must not be touched."
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    raw = np.frombuffer(memory, np.uint8)
    keep.append((memory, raw))
    for page in (0, pages + 1):
        assert libc.mprotect(raw.ctypes.data + page * PAGE, PAGE, 0) == 0, ctypes.get_errno()
    start = (pages + 1) * PAGE - array.nbytes if at_end else PAGE
    result = raw[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


rng = np.random.default_rng(0)
for dtype in (np.float16, np.float32, np.float64):
    for rows, classes in [(1, 1), (1, 2), (3, 3), (7, 10), (17, 5), (33, 17), (2, 63), (2, 64), (3, 65), (18, 200),
                          (2, 1000), (17, 300)]:
        input = rng.normal(size=(rows, classes)).astype(dtype)
        target = rng.integers(0, classes, rows).astype(np.int8 if classes < 128 else np.int64)
        weight, sample_weight, upstream = (rng.integers(1, 9, n).astype(dtype) for n in (classes, rows, rows))
        soft = rng.integers(0, 3, (rows, classes)).astype(dtype)
        for labels in (target, soft):
            arguments = input, labels, weight, sample_weight, upstream
            results = []
            for at_end in (None, False, True):
                x, y, w, s, g = arguments if at_end is None else [guarded(a, at_end) for a in arguments]
                out = [input.copy() if at_end is None else guarded(input, at_end) for _ in range(2)]
                value, _ = fl.cross_entropy.value_and_grad(x, y, weight=w, sample_weight=s, grad_output=g,
                                                           reduction="none", label_smoothing=0.1, out=out[0])
                fl.cross_entropy.grad_and_hess(x, y, out=tuple(out))
                results.append((value, *out))
                if labels is target:
                    fl.nll_loss.value_and_grad(x, y, weight=w, sample_weight=s, out=out[0])
                for function in (fl.softmax, fl.log_softmax):
                    function(x, out=out[0])
                columns, across = (input.T.copy() if at_end is None else guarded(input.T.copy(), at_end) for _ in "ab")
                soft_columns = y if labels is target else y.T.copy() if at_end is None else guarded(y.T.copy(), at_end)
                fl.cross_entropy.value_and_grad(columns, soft_columns, axis=0, sample_weight=s, out=across)
                fl.softmax(columns, axis=0, out=across)
                fl.logsumexp(x)
            for got in results[1:]:
                assert_same_bits(got, results[0], f"{dtype.__name__} {rows} x {classes}")
print("untouched")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_no_kernel_reads_or_writes_outside_the_arrays(run_python, isa):
    """Every array ends at, or begins behind, a page whose access kills the process."""
    assert run_python(GUARDED, env={"FASTLOSS_ISA": isa}) == "untouched"


@pytest.mark.skipif(sys.platform != "linux", reason="needs memory that is only reserved")
def test_byte_strides_beyond_2_to_the_31():
    """Three rows, 3 GiB apart: offsets that a 32-bit index would wrap. Only the touched pages become real."""
    stride = 3 * 2**30
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python 3.11 has no name for it
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    try:
        memory = mmap.mmap(-1, 2 * stride + 4096, flags=flags)
    except OSError:
        pytest.skip("no 6 GiB of address space")
    input, target = losses.sample_logits(np.random.default_rng(0), np.float32, (3, 10))
    far = np.ndarray((3, 10), np.float32, memory, strides=(stride, 4))
    far[...] = input
    expected = fl.cross_entropy.value_and_grad(input, target)
    assert_same_bits(fl.cross_entropy.value_and_grad(far, target), expected)
    assert_same_bits(fl.cross_entropy.value_and_grad(far, target, out=far), expected)
