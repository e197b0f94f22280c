"""show_config: what it says is true, of this build, this process and this machine."""

import importlib.metadata
import json
import os
import pathlib
import re
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import _config

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
CONFIG = "import fastloss as fl; c = fl.show_config(mode='dicts'); t = c['threads']; "


@pytest.fixture
def config():
    return fl.show_config(mode="dicts")


def test_versions(config):
    assert config["fastloss"]["version"] == importlib.metadata.version("fastloss") == fl.__version__
    assert config["numpy"]["running"] == np.__version__
    assert re.match(r"\d+\.\d+", config["numpy"]["built with"])
    assert re.match(r"3\.", config["build"]["cython"])
    assert pathlib.Path(config["fastloss"]["path"]) == pathlib.Path(fl.__file__).parent


def test_compiler_and_flags(config):
    assert re.match(r"(gcc|clang) \d+\.\d+|MSVC \d+", config["build"]["compiler"])
    flags = config["build"]["flags"].replace(";", "").split()
    assert "-ffp-contract=off" in flags or "/fp:precise" in flags
    assert not any("/" in flag for flag in flags if not flag.startswith("/")), "paths of the build machine"
    assert "-ffast-math" not in flags
    with_openmp = any("openmp" in flag for flag in flags)
    assert with_openmp == (config["openmp"]["runtime"] is not None or "version" in config["openmp"])


def test_flags_that_only_some_files_get(config):
    """An optimised build says where a later -O2 overrides its -O3."""
    common, *parts = config["build"]["flags"].split("; ")
    parts = dict(part.split(": ") for part in parts)
    if config["build"]["kind"] not in ("release", "serial") or config["build"]["compiler"].startswith("MSVC"):
        assert {flag for text in parts.values() for flag in text.split()} <= {"-Werror"}
        return
    assert "-O3" in common.split()
    levels = {name: [flag for flag in text.split() if flag.startswith("-O")] for name, text in parts.items()}
    assert levels == {"AVX kernels": [], "other kernels": ["-O2"], "from Cython": ["-O2"]}
    assert {name for name, text in parts.items() if "-fno-wrapv" in text.split()} == {"AVX kernels", "other kernels"}


def test_instruction_sets(config, isas, expected_isas):
    sets = config["instruction sets"]
    assert sets["used"] == fl.isa() and sets["used"] in sets["found"]
    assert set(sets["found"]) <= set(sets["compiled"])
    if expected_isas is not None:
        assert sorted(sets["found"]) == sorted(expected_isas) == sorted(isas)


@linux
def test_openmp_runtime_is_the_one_that_is_mapped(config):
    if config["openmp"]["runtime"] is None:
        pytest.skip("built without OpenMP")
    path = config["openmp"]["path"]
    assert path in {line.split()[-1] for line in pathlib.Path("/proc/self/maps").read_text().splitlines()}
    assert config["openmp"]["runtime"] in ("libgomp", "libomp", "libiomp5")
    assert pathlib.Path(path).name.startswith(config["openmp"]["runtime"])


def test_threads_of_a_call_and_of_the_process():
    with fl.num_threads(3):
        threads = fl.show_config(mode="dicts")["threads"]
    assert (threads["count"], threads["why"]) == (3, "with fastloss.num_threads()")
    fl.set_num_threads(2)
    try:
        threads = fl.show_config(mode="dicts")["threads"]
    finally:
        fl.set_num_threads(None)
    assert (threads["count"], threads["why"]) == (2, "fastloss.set_num_threads()")


def test_threads_of_the_environment(run_python):
    code = CONFIG + "print(t['count'], t['why'], c['environment']['FASTLOSS_NUM_THREADS'])"
    assert run_python(code, env={"FASTLOSS_NUM_THREADS": "3"}) == "3 FASTLOSS_NUM_THREADS 3"


DEFAULT = {"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": None}


@linux
def test_threads_of_openmp(run_python):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: OpenMP's count cannot be below it")
    code = CONFIG + "print(t['count'], t['limits']['OpenMP'], 'OMP_NUM_THREADS' in t['why'])"
    assert run_python(code, env={**DEFAULT, "OMP_NUM_THREADS": "1"}) == "1 1 True"


@linux
def test_threads_of_affinity(run_python):
    code = ("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.cpu_count = lambda: 64\n" + CONFIG
            + "print(t['count'], t['limits']['affinity'], t['why'])")
    assert run_python(code, env=DEFAULT) == "1 1 the processors that this process may run on"


LIMITS = {"processors": 64, "affinity": 32, "cgroup quota": 3, "OpenMP": 16}


@pytest.mark.parametrize(("count", "why"), [
    (64, "one for each processor"), (32, "the processors that this process may run on"),
    (3, "the CPU quota of the cgroup"), (16, "OpenMP (OMP_NUM_THREADS, threadpoolctl)"),
    (1, "serial, after a fork that met running threads")])
def test_why(count, why, monkeypatch):
    monkeypatch.setattr(_config._threads, "_process", None)
    assert _config._why(count, LIMITS) == why


def test_limits_explain_the_count(run_python):
    """Without any choice of the user's, the count is the least of the limits."""
    code = CONFIG + "print(t['count'] == min(n for n in t['limits'].values() if n is not None), t['count'])"
    assert run_python(code, env=DEFAULT).split()[0] == "True"


def test_data_is_plain(config):
    assert json.loads(json.dumps(config)) == config


def test_text_has_every_value(config, capsys):
    assert fl.show_config() is None
    text = capsys.readouterr().out

    def leaves(data):
        for name, value in data.items():
            yield name
            yield from leaves(value) if isinstance(value, dict) else [value]

    for leaf in leaves(config):
        assert (", ".join(leaf) if isinstance(leaf, list) else str(leaf or "none")) in text


def test_command_line(run_python, config):
    text = run_python("import runpy; runpy.run_module('fastloss', run_name='__main__')")
    assert f"version: {config['fastloss']['version']}" in text
    assert f"used: {fl.isa()}" in text


def test_wrong_mode():
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts', got 'json'"):
        fl.show_config(mode="json")
