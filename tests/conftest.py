"""Fixtures: Python in a process of its own, and the instruction sets of this machine."""

import functools
import os
import pathlib
import platform
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
ISAS = ("baseline", "avx2", "avx512")

# What each instruction set needs, in the words of /proc/cpuinfo.
CPU_FLAGS = {"baseline": set(), "avx2": {"avx2", "fma"},
             "avx512": {"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"}}


def run(code, *, env=None, timeout=120, cwd=None):
    """Run Python code outside the checkout, with the helper modules of the tests importable; never raises on failure.

    `env` is merged into the environment; a value of None removes the variable. Code that has not ended shortly before
    `timeout` ends with a traceback of each of its threads.
    """
    watched = f"import faulthandler; faulthandler.dump_traceback_later({max(1, timeout - 5)}, exit=True)\n" + code
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    merged = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    for key, value in (env or {}).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return subprocess.run([sys.executable, "-c", watched], env=merged, timeout=timeout, cwd=cwd or os.sep,
                          capture_output=True, text=True, check=False)


def run_ok(code, **options):
    """Run Python code, insist that it succeeds, and return what it printed."""
    done = run(code, **options)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@functools.cache
def cpu_flags():
    """The CPU's features where the system tells them without our help (Linux), else None."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), None)


@functools.cache
def import_under(name):
    """The import of fastloss in a process restricted to one instruction set."""
    return run("import fastloss; print(fastloss.isa())", env={"FASTLOSS_ISA": name})


def available(name):
    return import_under(name).returncode == 0


@pytest.fixture
def run_python():
    """`run_ok`: run a snippet in a fresh process, get its output."""
    return run_ok


@pytest.fixture
def run_python_unchecked():
    """`run`: the same, for snippets that are meant to fail."""
    return run


@pytest.fixture(params=ISAS)
def isa(request):
    """Each instruction set that this machine and this build have."""
    if not available(request.param):
        pytest.skip(f"no {request.param} here")
    return request.param


@pytest.fixture(scope="session")
def isas():
    """Their names."""
    return [name for name in ISAS if available(name)]


@pytest.fixture(scope="session")
def expected_isas():
    """The names that must be there, judged by the system's own description of the CPU; None if it gives none."""
    if platform.machine() not in ("x86_64", "AMD64") or cpu_flags() is None or sys.platform == "win32":
        return None
    return [name for name in ISAS if CPU_FLAGS[name] <= cpu_flags()]
