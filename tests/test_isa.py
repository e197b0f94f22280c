"""Instruction sets: AVX2 and AVX-512 give the same bits, the baseline keeps the promised accuracy.

FASTLOSS_ISA is read when fastloss is imported, so each one runs in a process of its own.
"""

import json

import pytest

import fastloss as fl

COMPUTE = "import digest, json; print(json.dumps(digest.compute()))"


def test_every_instruction_set_of_this_cpu_is_available(isas, expected_isas):
    """The probe of the library and the system's own description of the CPU agree, in both directions."""
    if expected_isas is None:
        pytest.skip("the system does not tell what this CPU has")
    assert isas == expected_isas


def test_the_name_is_reported(isa, run_python):
    assert run_python("import fastloss; print(fastloss.isa())", env={"FASTLOSS_ISA": isa}) == isa


def test_the_best_is_the_default(isas, run_python):
    assert isas, "no instruction set at all can be imported by name"
    assert run_python("import fastloss; print(fastloss.isa())", env={"FASTLOSS_ISA": None}) == isas[-1]


def test_isa_is_a_str():
    assert type(fl.isa()) is str


def test_same_bits_with_avx2_and_avx512(isas, run_python):
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("this machine has not got both")
    first, second = (json.loads(run_python(COMPUTE, env={"FASTLOSS_ISA": name})) for name in ("avx2", "avx512"))
    assert len(first) > 500
    different = [what for what in first if first[what] != second[what]]
    assert first.keys() == second.keys()
    assert not different, f"{len(different)} of {len(first)} differ: {different[:5]}"


def test_accuracy(isa, run_python):
    """Of the baseline too, which has no FMA and may give other bits."""
    assert run_python("import families; families.check_small_families(); print('accurate')",
                      env={"FASTLOSS_ISA": isa}) == "accurate"


@pytest.mark.parametrize("name", ["avx1024", "AVX-2 ", "sse", "none"])
def test_an_unknown_name_is_an_import_error(name, run_python_unchecked):
    """With a text that names the variable, the value and what there is instead."""
    done = run_python_unchecked("import fastloss", env={"FASTLOSS_ISA": name})
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError"), done.stderr
    for word in ("FASTLOSS_ISA", name.strip(), "baseline"):
        assert word in last


def test_a_missing_instruction_set_is_an_import_error(isas, run_python_unchecked):
    """Never a crash by an illegal instruction."""
    missing = {"baseline", "avx2", "avx512"} - set(isas)
    if not missing:
        pytest.skip("this machine has them all")
    for name in missing:
        done = run_python_unchecked("import fastloss", env={"FASTLOSS_ISA": name})
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("ImportError"), done.stderr
        assert name in last
