"""The sanitizers of tools/sanitize.sh see what they should: a suite that passes under a blind one proves nothing."""

import os
import pathlib

import pytest

from fastloss._native import engine

BUILD = os.environ.get("FASTLOSS_BUILD")
in_build = {kind: pytest.mark.skipif(kind != BUILD, reason=f"runs in `bash tools/sanitize.sh {kind}`")
            for kind in ("asan", "tsan")}

BEYOND = """
import numpy as np, fastloss as fl
short = np.zeros(1000, np.float32)
fl.mse_loss(np.lib.stride_tricks.as_strided(short, (1001,)), np.zeros(1001, np.float32))
"""

RACE = """
import concurrent.futures, threading, numpy as np, fastloss as fl
input, out = np.ones(400_001, np.float32), np.empty(400_001, np.float32)
barrier = threading.Barrier(4)


def caller(_):
    for _ in range(5):
        barrier.wait(60)
        fl.mse_loss.grad(input, input, out=out)  # all of them write to the same array


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(caller, range(4)))
"""


@in_build["asan"]
def test_a_read_beyond_the_array(run_python_unchecked):
    """Strides that lie: the one way for Python to make a kernel read what it must not."""
    done = run_python_unchecked(BEYOND)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr and "fastloss/_native/kernels" in done.stderr, done.stderr


@in_build["tsan"]
def test_a_data_race(run_python_unchecked):
    done = run_python_unchecked(RACE)
    assert done.returncode != 0
    assert "data race" in done.stderr and "fastloss/_native/kernels" in done.stderr, done.stderr


@pytest.mark.skipif(BUILD not in ("asan", "ubsan"), reason="runs in `bash tools/sanitize.sh ubsan` (or asan)")
def test_undefined_behaviour_is_instrumented():
    """Python cannot make the kernels overflow; that the checks are there must do."""
    assert b"__ubsan_handle_add_overflow" in pathlib.Path(engine.__file__).read_bytes()
