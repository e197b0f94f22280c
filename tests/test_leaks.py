"""Many calls leave reference counts, Python's memory and the process's memory where they were.

Every path: what is asked for, given outputs, reductions, dtypes, each family of functions, and each kind of error. A
path is warmed up first, so that caches and pools are filled; then it is called again and again. A reference lost or a
byte kept in each call shows as a multiple of their number.

The default is 300 calls a path; FASTLOSS_HOSTILE_CALLS=100000 makes that many of each.
"""

import contextlib
import ctypes
import gc
import itertools
import os
import sys
import tracemalloc

import numpy as np
import pytest

import fastloss as fl

CALLS = int(os.environ.get("FASTLOSS_HOSTILE_CALLS", 300))
WARM_UP = 50

# Objects that C code takes and gives references of, besides the arguments.
SHARED = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), np.dtype(np.int64), np.float64, np.ndarray,
          "mean", "none", "input", ()]

X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(8, 3)
HALF, DOUBLE, INTEGERS = X.astype(np.float16), X.astype(np.float64), X.astype(np.int16)
STRIDED, SWAPPED = np.zeros((8, 6), np.float32)[:, ::2], X.astype(">f4")
LABELS, BAD_LABELS = np.arange(8) % 3, np.arange(8)
SIGNS = np.where(X > 0, 1, -1)
UNIT = np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3)
OUT, HESS, SMALL = np.empty_like(X), np.empty_like(X), np.empty(3, np.float32)
ROWS, CLASSES, UPSTREAM = np.linspace(0, 1, 8), np.ones(3), np.linspace(-1, 1, 8).astype(np.float32)
BAD_ROWS, COMPLEX, MASKED = -ROWS, X.astype(complex), np.ma.masked_array(X)
CRITERION = fl.CrossEntropyLoss(weight=CLASSES)
COMBINED = fl.combine([(fl.mse_loss, 1.0), (fl.l2_penalty, 0.5)])
ARRAYS = [value for value in globals().values() if isinstance(value, np.ndarray)]

PATHS = {
    "rows value": lambda: fl.cross_entropy(X, LABELS),
    "rows none": lambda: fl.cross_entropy(X, LABELS, reduction="none"),
    "rows grad": lambda: fl.cross_entropy.grad(X, LABELS),
    "rows value_and_grad": lambda: fl.cross_entropy.value_and_grad(X, LABELS),
    "rows hess": lambda: fl.cross_entropy.grad_and_hess(X, LABELS),
    "rows out": lambda: fl.cross_entropy.value_and_grad(X, LABELS, out=OUT),
    "rows pair": lambda: fl.cross_entropy.grad_and_hess(X, LABELS, out=(OUT, HESS)),
    "rows weights": lambda: fl.cross_entropy.grad(X, LABELS, weight=CLASSES, sample_weight=ROWS, reduction="none",
                                                  grad_output=UPSTREAM, ignore_index=1),
    "rows probabilities": lambda: fl.cross_entropy.value_and_grad(X, UNIT, label_smoothing=0.1),
    "rows threads": lambda: fl.cross_entropy.value_and_grad(X, LABELS, n_threads=2),
    "rows half": lambda: fl.cross_entropy.value_and_grad(HALF, LABELS),
    "rows integers": lambda: fl.cross_entropy.value_and_grad(INTEGERS, LABELS),
    "rows strided": lambda: fl.cross_entropy.value_and_grad(STRIDED, LABELS),
    "rows list": lambda: fl.cross_entropy.value_and_grad([[1.0, 2.0]], [0]),
    "rows focal": lambda: fl.softmax_focal_loss.grad_and_hess(X, LABELS),
    "rows margin": lambda: fl.multi_margin_loss.value_and_grad(X, LABELS),
    "rows nll": lambda: fl.nll_loss.value_and_grad(X, LABELS),
    "elements value": lambda: fl.mse_loss(X, UNIT),
    "elements none": lambda: fl.mse_loss(X, UNIT, reduction="none"),
    "elements value_and_grad": lambda: fl.huber_loss.value_and_grad(X, UNIT),
    "elements hess": lambda: fl.binary_cross_entropy_with_logits.grad_and_hess(X, UNIT),
    "elements out": lambda: fl.log_cosh_loss.value_and_grad(X, UNIT, out=OUT),
    "elements checked out": lambda: fl.mse_loss.grad(SWAPPED, UNIT, out=OUT),
    "elements weights": lambda: fl.mse_loss.grad(X, UNIT, weight=UNIT, sample_weight=CLASSES, reduction="none",
                                                 grad_output=UNIT),
    "elements wrt": lambda: fl.gaussian_nll_loss.grad(X, UNIT, UNIT, wrt="var"),
    "elements parameters": lambda: fl.pinball_loss.grad(X, UNIT, quantile=(0.1, 0.5, 0.9)),
    "elements half": lambda: fl.mse_loss.value_and_grad(HALF, HALF, reduction="none"),
    "elements labels": lambda: fl.hinge_loss.value_and_grad(X, SIGNS),
    "transform softmax": lambda: fl.softmax(X),
    "transform out": lambda: fl.log_softmax(X, out=OUT),
    "transform logsumexp": lambda: fl.logsumexp(X, keepdims=True),
    "transform gradient": lambda: fl.softmax_grad(UNIT, X),
    "transform sigmoid": lambda: (fl.sigmoid(X), fl.sigmoid(0.5)),
    "information": lambda: (fl.entropy(UNIT), fl.cross_entropy_probs(UNIT, UNIT), fl.information(UNIT)),
    "one_hot": lambda: fl.one_hot(LABELS, 3),
    "criterion": lambda: CRITERION.value_and_grad(X, LABELS),
    "combine": lambda: COMBINED.value_and_grad(X, UNIT, out=OUT),
    "num_threads": lambda: fl.num_threads(2).__exit__,
    "error label": lambda: fl.cross_entropy.value_and_grad(X, BAD_LABELS, out=OUT),
    "error sample_weight": lambda: fl.cross_entropy.grad(X, LABELS, sample_weight=BAD_ROWS),
    "error weight": lambda: fl.cross_entropy.grad(X, LABELS, weight=-CLASSES),
    "error target": lambda: fl.binary_cross_entropy_with_logits.grad(X, X),
    "error labels": lambda: fl.hinge_loss(X, UNIT),
    "error shape": lambda: fl.mse_loss.value_and_grad(X, LABELS),
    "error out": lambda: fl.mse_loss.grad(X, UNIT, out=SMALL),
    "error out overlaps": lambda: fl.mse_loss.grad(X, UNIT, out=UNIT),
    "error pair": lambda: fl.cross_entropy.grad_and_hess(X, LABELS, out=(OUT, OUT)),
    "error dtype": lambda: fl.cross_entropy(COMPLEX, LABELS),
    "error masked": lambda: fl.mse_loss(MASKED, UNIT),
    "error ragged": lambda: fl.mse_loss([[1.0], [1.0, 2.0]], UNIT),
    "error reduction": lambda: fl.mse_loss(X, UNIT, reduction="avg"),
    "error option": lambda: fl.huber_loss.grad(X, UNIT, delta=-1.0),
    "error option type": lambda: fl.huber_loss.grad(X, UNIT, delta="1"),
    "error wrt": lambda: fl.log_cosh_loss.grad(X, UNIT, wrt="target"),
    "error keyword": lambda: fl.mse_loss(X, UNIT, size_average=True),
    "error probability": lambda: (fl.entropy(X)),
    "error n_threads": lambda: fl.softmax(X, n_threads=0),
    "error no derivative": lambda: fl.zero_one_loss.grad(X, UNIT),
}


@pytest.fixture(scope="module", autouse=True)
def others_are_left_alone():
    """Tests before these keep many exact numbers; each collection would go through all of them."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def references():
    return [sys.getrefcount(value) for value in (*SHARED, *ARRAYS)]


def resident():
    """Bytes of memory that this process has, where the system tells (Linux). AddressSanitizer keeps what is freed."""
    if os.environ.get("FASTLOSS_BUILD") == "asan":
        return 0
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class MallInfo(ctypes.Structure):
    """What glibc's malloc tells of itself: struct mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]


def mallinfo_of_glibc():
    """None elsewhere (and before glibc 2.33), and under a sanitizer, which has a malloc of its own."""
    if not sys.platform.startswith("linux") or os.environ.get("FASTLOSS_BUILD") in ("asan", "tsan"):
        return None
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is not None:
        function.restype = MallInfo
    return function


MALLINFO = mallinfo_of_glibc()


def allocated():
    """Bytes of malloc's that are in use, the large blocks apart that it maps one by one."""
    return MALLINFO().uordblks if MALLINFO else 0


def malloced_of(path, calls):
    """Bytes of malloc's that so many calls have kept; Python's own small objects lie elsewhere."""
    start = allocated()
    repeat(path, calls)
    gc.collect()
    return allocated() - start


def repeat(path, calls):
    for _ in range(calls):
        try:
            path()
        except (ValueError, TypeError, IndexError):
            continue


def kept_of(path, calls):
    """Bytes of Python's that so many calls have kept. (Tracing is slow, so they are few.)"""
    tracemalloc.start()
    try:
        repeat(path, 10)
        gc.collect()
        start = tracemalloc.get_traced_memory()[0]
        repeat(path, calls)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()


def grown(path, calls=CALLS):
    """(references, Python's bytes, malloc's bytes, resident bytes) that `calls` calls have left."""
    repeat(path, WARM_UP)
    gc.collect()
    before, pages = references(), [resident()]
    kept = min(kept_of(path, min(calls, 1000)) for _ in range(3))  # NumPy fills a cache of its own now and then
    malloced = []
    for _ in range(3):  # malloc's pools grow once or twice
        malloced.append(malloced_of(path, calls))
        pages.append(resident())
    growth = min(after - earlier for earlier, after in itertools.pairwise(pages))
    return max(abs(a - b) for a, b in zip(references(), before)), kept, min(malloced), growth


def judge(path):
    """What is wrong, as a text; empty if nothing is."""
    counts, kept, malloced, pages = grown(path)
    # Other code may hold a few references more than before, and pools and caches may grow once. The smallest object of
    # Python has 16 bytes, the smallest block of malloc 32.
    problems = []
    if counts > 20:
        problems.append(f"{counts} references")
    if kept > 10 * min(CALLS, 1000):
        problems.append(f"{kept} bytes of Python")
    if malloced > 16 * CALLS:
        problems.append(f"{malloced} bytes of malloc")
    if pages > 2 * 2**20 + 4 * CALLS:
        problems.append(f"{pages} bytes of the process")
    return ", ".join(problems)


@pytest.mark.parametrize("name", PATHS)
def test_nothing_is_left_behind(name):
    problems = judge(PATHS[name])
    assert not problems, f"{CALLS} calls of {name} have left {problems}"


def test_errors_are_errors():
    """A path that is named an error and is none would test nothing, and so would a result that is an error."""
    for name, path in PATHS.items():
        if name.startswith("error"):
            with pytest.raises((ValueError, TypeError, IndexError)):
                path()
        else:
            path()


KEPT = []


@pytest.mark.parametrize("leak", [lambda: KEPT.append(X), lambda: KEPT.append(object()),
                                  lambda: KEPT.append(np.dtype(np.float32))], ids=["argument", "object", "dtype"])
def test_a_leak_is_seen(leak, request):
    if "dtype" in request.node.name and sys.getrefcount(np.dtype(np.float32)) > 2**30:
        pytest.skip("the dtypes of this NumPy are immortal (2.1 on Python 3.13): no reference to one can be lost")
    try:
        assert judge(leak)
    finally:
        KEPT.clear()


@pytest.mark.skipif(MALLINFO is None, reason="needs glibc's mallinfo2")
@pytest.mark.parametrize("size", [1, 64, 4000])
def test_a_leak_in_c_is_seen(size):
    """A block a call, lost for good: far too little to show in the memory of the whole process."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    assert "bytes of malloc" in judge(lambda: malloc(size) and None)
