"""`pytest benchmarks`: every case and library, with few rounds. The figures to quote come from benchmarks.report."""

import os

import pytest

# Before the libraries are loaded: they start their threads then.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from . import cases, peers  # noqa: E402


def pytest_configure(config):
    # Quick unless the command line says otherwise (these are pytest-benchmark's own defaults).
    for name, default, quick in (("benchmark_min_rounds", 5, 3), ("benchmark_max_time", 1.0, 0.1)):
        if float(getattr(config.option, name, quick)) == default:
            setattr(config.option, name, quick if name == "benchmark_min_rounds" else str(quick))


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("default"))  # how the peers warn is not our business


@pytest.fixture(scope="module")
def data_of():
    """The arrays of a case; those of the last one are kept, since its libraries come one after the other."""
    last = []

    def get(case):
        if not last or last[0] != case:
            last[:] = [case, cases.make_data(case)]
        return last[1]

    return get


@pytest.fixture
def run(benchmark, data_of):
    """Time what a library does in a case: `run(case, "limit")`, `run(case, "fastloss")`, `run(case, "PyTorch")`."""

    def run(case, library, **keywords):
        data = data_of(case)
        if library == "limit":
            call = cases.limit(case, data)[1]
        elif library == "fastloss":
            call = cases.fastloss_call(case, data, **keywords)
        else:
            call = peer_call(case, library, data)
        benchmark.group = f"{case.group}: {case.name}"
        benchmark(call)

    return run


def peer_call(case, library, data):
    try:
        return peers.make(library, case, data)
    except peers.NotOffered as reason:
        pytest.skip(f"{library} {reason}")
