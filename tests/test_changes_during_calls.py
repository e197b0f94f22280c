"""Arguments that change while a call reads or computes: whatever comes back, nothing outside the arrays is touched."""

import contextlib
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastloss as fl


def changer(array):
    """An argument that gives its array another dtype, and so another shape, when it is read."""
    class Changer:
        def change(self, result):
            with warnings.catch_warnings():  # deprecated since NumPy 2.5, and possible
                warnings.simplefilter("ignore", DeprecationWarning)
                array.dtype = np.complex64 if array.dtype == np.float32 else array.dtype
            return result

        def __index__(self):
            return self.change(1)

        def __float__(self):
            return self.change(1.0)

        def __array__(self, *args, **options):
            return self.change(np.ones(array.shape[0], np.float32))

    return Changer()


@pytest.mark.parametrize("option", ["n_threads", "normalizer", "sample_weight", "weight", "grad_output", "delta"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_elementwise(option, reduction):
    input, target = np.zeros(100_000, np.float32), np.ones(100_000, np.float32)
    expected = (100_000,)
    options = {option: changer(input)}
    with contextlib.suppress(TypeError, ValueError):
        assert fl.huber_loss.grad(input, target, reduction=reduction, **options).shape == expected


@pytest.mark.parametrize("option", ["n_threads", "normalizer", "sample_weight", "label_smoothing", "grad_output"])
def test_over_classes(option):
    input, labels = np.zeros((500, 1000), np.float32), np.zeros(500, int)
    with contextlib.suppress(TypeError, ValueError):
        assert fl.cross_entropy.grad(input, labels, **{option: changer(input)}).shape == (500, 1000)


RACE = """
import threading, time
import numpy as np
import fastloss as fl

x, y = np.zeros((4_000_000 // {classes}, {classes}), np.float32), np.zeros(4_000_000 // {classes}, np.int64)
stop = False

def change():
    while not stop:
        y[:] = 2**40
        y[:] = 0

thread = threading.Thread(target=change)
thread.start()
end = time.monotonic() + 1
while time.monotonic() < end:
    for call in (fl.{name}, fl.{name}.value_and_grad):
        try:
            call(x, y, n_threads=1)
        except IndexError:
            pass
stop = True
thread.join()
print("alive")
"""


@pytest.mark.parametrize("classes", [10, 1000])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "softmax_focal_loss", "multi_margin_loss"])
def test_labels_changed_by_another_thread(run_python, name, classes):
    """A label that was right when it was checked must not be used as an index when it is not any more."""
    assert run_python(RACE.format(name=name, classes=classes)) == "alive"


CHILDREN = """
import os
import numpy as np
import fastloss as fl

x, y = np.zeros((65536, 10), np.float32), np.zeros(65536, int)
fl.cross_entropy(x, y, n_threads=2)

def within():
    with fl.num_threads(2):
        fl.cross_entropy(x, y)

def chosen():
    fl.set_num_threads(2)
    fl.cross_entropy(x, y)

for call in (lambda: fl.cross_entropy(x, y), lambda: fl.cross_entropy(x, y, n_threads=2), within, chosen):
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("all came back")
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs LD_PRELOAD and a C compiler")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="something else is loaded first")
def test_a_child_whose_threads_could_not_be_stopped(run_python, tmp_path):
    """As with a libgomp before 9, which has no omp_pause_resource_all: the child computes on one thread, whatever is
    asked for."""
    source, library = tmp_path / "refuses.c", tmp_path / "refuses.so"
    source.write_text("int omp_pause_resource_all(int kind) { (void)kind; return 1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    assert run_python(CHILDREN, env={"LD_PRELOAD": str(library)}) == "all came back"
