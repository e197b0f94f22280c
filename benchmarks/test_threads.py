"""fastloss with one thread, two, and all; hot, after a pause, beside a busy process, and called from many threads."""

import subprocess
import sys
import time

import pytest

import fastloss as fl

from . import cases, timing, worker
from .runner import thread_counts
from .suites import each_case

CASE = next(case for case in cases.all_cases() if case.group == "conditions")
each_count = pytest.mark.parametrize("n_threads", thread_counts())


@each_case("threads")
@each_count
def test_threads(run, case, n_threads):
    run(case, "fastloss", n_threads=n_threads)


@pytest.mark.parametrize("n_threads", (1, 2))
def test_after_a_pause(benchmark, data_of, n_threads):
    call = cases.fastloss_call(CASE, data_of(CASE), n_threads=n_threads)
    benchmark.group = "conditions: after a pause"
    benchmark.pedantic(call, setup=lambda: time.sleep(timing.PAUSE), rounds=10)


@pytest.mark.parametrize("n_threads", (1, 2))
def test_with_one_core_busy(benchmark, data_of, n_threads):
    call = cases.fastloss_call(CASE, data_of(CASE), n_threads=n_threads)
    benchmark.group = "conditions: one core busy"
    with worker.keep_one_core_busy() as neighbour:
        try:
            benchmark.pedantic(call, rounds=20, warmup_rounds=1)
        finally:
            neighbour.kill()


@pytest.mark.parametrize("how", (0, 1), ids=("one after the other", "at once"))
def test_many_callers(benchmark, how):
    calls = [cases.fastloss_call(CASE, cases.make_data(CASE)) for _ in range(8)]
    benchmark.group = "conditions: 8 calls"
    benchmark(timing.throughput(calls, 8)[how].call)


def test_import(benchmark, tmp_path):
    """In a folder without a `fastloss`; NumPy's import is part of it."""
    benchmark.group = "import"
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", f"import {fl.__name__}"],),
                       {"cwd": tmp_path, "check": True}, rounds=3)
