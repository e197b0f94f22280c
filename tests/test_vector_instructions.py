"""A guard, not a timed test: the compiled kernels are made of the vector instructions they should be made of.

What is compiled wrongly still gives right results, several times slower: with an optimisation flag lost, with loops
that the compiler did not vectorise, or with a call to the C library where an operation was meant to be inlined. The
numbers below are about half of what gcc 12 gives.
"""

import platform
import re
import shutil
import subprocess

import pytest

import fastloss as fl
from fastloss._native import engine

ARITHMETIC = r"v?(?:add|sub|mul|div)|vfn?m(?:add|sub)\d+"
#: instruction set -> registers of its vectors, fused operations on floats and on doubles, all its packed arithmetic
EXPECTED = {"avx512": ("zmm", 1000, 1500, 7000), "avx2": ("ymm", 1000, 1500, 8000), "baseline": ("xmm", 0, 0, 13000)}
#: what kernels may call: these are not in loops over elements
ALLOWED_MATH = {"fma", "nextafter", "nextafterf"}


def tool(name):
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    return name


@pytest.fixture(scope="module")
def instructions():
    """Every instruction of the module that has the kernels, as (mnemonic, operands)."""
    if platform.machine() not in ("x86_64", "AMD64") or fl.show_config(mode="dicts")["build"]["kind"] != "release":
        pytest.skip("the expected numbers are those of a release build for x86-64")
    listing = subprocess.run([tool("objdump"), "-d", "--no-show-raw-insn", engine.__file__], capture_output=True,
                             text=True, check=True).stdout
    return re.findall(r"^ *[0-9a-f]+:\t(\S+) *(.*)$", listing, re.M)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_arithmetic_of_each_instruction_set_is_packed(name, instructions):
    if name not in engine.compiled_isas():
        pytest.skip("not compiled")
    register, fused_floats, fused_doubles, packed = EXPECTED[name]
    # In the baseline, no vector instruction has the prefix "v".
    own = [mnemonic for mnemonic, operands in instructions
           if f"%{register}" in operands and mnemonic.startswith("v") == (register != "xmm")]
    counts = [sum(1 for m in own if re.fullmatch(pattern, m)) for pattern in (
        r"vfn?m(?:add|sub)\d+ps", r"vfn?m(?:add|sub)\d+pd", rf"(?:{ARITHMETIC})p[sd]")]
    assert counts[0] >= fused_floats
    assert counts[1] >= fused_doubles
    assert counts[2] >= packed


def test_little_of_the_code_is_anything_else(instructions):
    """Without optimisation every variable lives in memory, and arithmetic is a fiftieth of the instructions."""
    packed = sum(1 for m, _ in instructions if re.fullmatch(rf"(?:{ARITHMETIC})p[sd]", m))
    scalar = sum(1 for m, _ in instructions if re.fullmatch(rf"(?:{ARITHMETIC})s[sd]", m))
    assert packed >= len(instructions) / 10
    assert scalar <= packed / 4


def test_floating_point_state_is_left_alone(instructions):
    """Flushing subnormals to 0 would be everybody's problem; -ffast-math does it when a module is loaded."""
    assert not [m for m, _ in instructions if m in ("ldmxcsr", "vldmxcsr", "fldcw")]


def test_no_call_of_the_mathematical_library():
    """exp and log are ours: the library's differ between systems, and are not inlined."""
    table = subprocess.run([tool("objdump"), "-T", engine.__file__], capture_output=True, text=True, check=True).stdout
    imported = {line.split()[-1].split("@")[0] for line in table.splitlines() if "*UND*" in line}
    assert imported, table
    math = {name for name in imported if re.fullmatch(r"(?:exp|log|pow|sqrt|tanh|fma|nextafter|r?int|floor)\w*", name)}
    assert math <= ALLOWED_MATH


def test_flags_that_results_and_speed_depend_on():
    build = fl.show_config(mode="dicts")["build"]
    if build["kind"] != "release" or "gcc" not in build["compiler"].lower():
        pytest.skip("a release build of gcc")
    for flag in ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"):
        assert flag in build["flags"].split()
    assert not {"-ffast-math", "-Ofast", "-funsafe-math-optimizations"} & set(build["flags"].split())
