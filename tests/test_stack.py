"""Threads with a small stack: musl gives them 128 kB, where glibc gives 8 MB."""

import pytest

import fastloss as fl

CALLS = """
import numpy as np, fastloss as fl
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for n, classes in ((20000, 10), (3000, 64), (2000, 100), (700, 250), (200, 1000), (8, 40000)):
        x = rng.normal(size=(n, classes)).astype(dtype)
        y, soft = rng.integers(0, classes, n), np.full_like(x, 1 / classes)
        w = np.ones(classes)
        calls = [lambda: fl.cross_entropy.grad_and_hess(x, y, weight=w, label_smoothing=0.1, n_threads=2),
                 lambda: fl.cross_entropy.grad_and_hess(x.T, y, weight=w, label_smoothing=0.1, axis=0, n_threads=2),
                 lambda: fl.cross_entropy.grad_and_hess(x.copy("F"), y, weight=w, label_smoothing=0.1, n_threads=2),
                 lambda: fl.cross_entropy.value_and_grad(x.copy("F"), y, n_threads=2),
                 lambda: fl.cross_entropy.value_and_grad(x.copy("F"), y, label_smoothing=0.1, n_threads=2),
                 lambda: fl.cross_entropy.value_and_grad(x.astype(np.float16, "F"), y, reduction="sum", n_threads=2),
                 lambda: fl.softmax_focal_loss.value_and_grad(x.copy("F"), y, n_threads=2),
                 lambda: fl.softmax(x.copy("F"), n_threads=2), lambda: fl.log_softmax(x.copy("F"), n_threads=2),
                 lambda: fl.cross_entropy.value_and_grad(x, soft, n_threads=2),
                 lambda: fl.softmax_focal_loss.grad_and_hess(x, y, n_threads=2),
                 lambda: fl.multi_margin_loss.grad_and_hess(x, y, n_threads=2),
                 lambda: fl.nll_loss.grad_and_hess(x, y, n_threads=2),
                 lambda: fl.softmax_grad(x, x, n_threads=2), lambda: fl.log_softmax_grad(x, x, n_threads=2),
                 lambda: fl.logsumexp(x, n_threads=2), lambda: fl.entropy(fl.softmax(x), n_threads=2),
                 lambda: fl.sigmoid_focal_loss.grad_and_hess(x, soft, sample_weight=soft, n_threads=2),
                 lambda: fl.sigmoid_focal_loss.value_and_grad(x.copy("F"), soft.copy("F"), sample_weight=soft.copy("F"),
                                                              n_threads=2),
                 lambda: fl.gaussian_nll_loss.grad_and_hess(x[::-1], soft, soft, sample_weight=soft, n_threads=2)]
        for call in calls:
            for _ in range(3):
                call()
print("done")
"""


ELEMENTWISE = """
import numpy as np, fastloss as fl
x, y = np.random.default_rng(0).normal(size=400_000), np.full(400_000, 0.5)
for loss in (fl.sigmoid_focal_loss, fl.binary_cross_entropy_with_logits, fl.log_cosh_loss, fl.tweedie_nll_loss):
    for method in ("value_and_grad", "grad", "grad_and_hess"):
        getattr(loss, method)(x[::-1], y, sample_weight=y, n_threads=2)
x, y = np.tile(x, 4), np.tile(y, 4)
for _ in range(3):
    fl.mse_loss.value_and_grad(x, y, sample_weight=y, n_threads=2)
print("done")
"""


# Elementwise losses are to leave room for what calls them: in a thread of Python's, its own frames.
@pytest.mark.parametrize("calls, size", [(CALLS, "128k"), (ELEMENTWISE, "88k")], ids=["all", "elementwise"])
def test_worker_threads(run_python, calls, size):
    """Those of OpenMP. (What sanitizers add to a frame, and what no optimiser takes away, is not promised.)"""
    config = fl.show_config(mode="dicts")
    if config["build"]["kind"] != "release" or not config["openmp"]["runtime"]:
        pytest.skip("not a release build with OpenMP")
    assert run_python(calls, env={"OMP_STACKSIZE": size}) == "done"


def test_python_threads(run_python):
    """The same in the thread that calls: Python's own frames lie there, too."""
    config = fl.show_config(mode="dicts")
    if config["build"]["kind"] != "release":
        pytest.skip("not a release build")
    calls = CALLS.replace("n_threads=2", "n_threads=1").replace("\n", "\n    ")
    thread = f"import threading\n\ndef run():\n    {calls}\nthreading.stack_size({128 * 1024})\n"
    thread += "thread = threading.Thread(target=run)\nthread.start()\nthread.join()"
    assert run_python("import numpy as np, fastloss as fl\n" + thread) == "done"
