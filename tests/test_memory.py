"""Memory: with `out` given, a call needs next to none, whatever the size, dtype and layout of its arrays."""

import os

import pytest

# The system's own account of the most memory this process had, which can be reset (Linux).
SCRIPT = """
import pathlib
import ml_dtypes, numpy as np
import fastloss as fl


def kilobytes(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def extra(call):
    call()  # threads, and what Python keeps
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS:")
    call()
    return (kilobytes("VmHWM:") - before) / 1024


def arrays(dtype, layout):
    rows, classes = 100_000, 20  # 4 to 16 MB
    shape = {"strided": (rows, 2 * classes), "axis 0": (classes, rows)}.get(layout, (rows, classes))
    x = np.zeros(shape, dtype)
    if layout == "strided":
        x = x[:, ::2]
    elif layout == "big-endian":
        x = x.view(x.dtype.newbyteorder(">"))
    axis = 0 if layout == "axis 0" else 1
    return x, np.zeros(rows, np.int8), np.zeros(x.shape, dtype), axis


def calls(x, labels, out, axis):
    yield "cross_entropy", lambda: fl.cross_entropy.value_and_grad(x, labels, axis=axis, out=out, n_threads=2)
    yield "value alone", lambda: fl.cross_entropy(x, labels, axis=axis)
    yield "focal", lambda: fl.softmax_focal_loss.grad(x, labels, axis=axis, out=out, n_threads=2)
    yield "multi_margin", lambda: fl.multi_margin_loss.grad(x, labels, axis=axis, out=out)
    yield "softmax", lambda: fl.softmax(x, axis=axis, out=out)
    target = np.broadcast_to(np.float16(1), x.shape)
    yield "mse", lambda: fl.mse_loss.value_and_grad(x, target, out=out, n_threads=2)
    yield "bce", lambda: fl.binary_cross_entropy_with_logits.grad(x, target, sample_weight=target, out=out)


worst = 0
for dtype in DTYPES:
    for layout in ("contiguous", "strided", "big-endian", "axis 0"):
        if layout == "big-endian" and dtype is ml_dtypes.bfloat16:
            continue
        x, labels, out, axis = arrays(dtype, layout)
        assert extra(lambda: x * 1) > 3, "a temporary of the input's size would not show"
        for name, call in calls(x, labels, out, axis):
            used = extra(call)
            assert used < 1, f"{name}, {np.dtype(dtype).name}, {layout}: {used:.2f} MB"
            worst = max(worst, used)
print(worst)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's /proc/self/clear_refs")
@pytest.mark.skipif(os.environ.get("FASTLOSS_BUILD") in ("asan", "tsan"), reason="the sanitizer has memory of its own")
@pytest.mark.parametrize("dtypes", ["[np.float16, ml_dtypes.bfloat16]", "[np.float32, np.float64]"])
def test_less_than_a_megabyte(run_python, dtypes):
    # Memory goes back to the system when it is freed, so that a second temporary shows as the first did.
    env = {"MALLOC_MMAP_THRESHOLD_": "100000", "MALLOC_TRIM_THRESHOLD_": "100000"}
    assert float(run_python(SCRIPT.replace("DTYPES", dtypes), env=env)) < 1
