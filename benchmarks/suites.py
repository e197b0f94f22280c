"""What the suites have in common: the cases of some groups times the libraries."""

import pytest

from . import cases
from .peers.names import PEERS

#: torch.compile takes ten seconds and more to compile a case; benchmarks.report has it.
LIBRARIES = ("limit", "fastloss", *(name for name in PEERS if name != "torch.compile"))


def each_case(*groups):
    chosen = [case for case in cases.all_cases() if case.group in groups]
    return pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.group}: {case.name}") for case in chosen])


each_library = pytest.mark.parametrize("library", LIBRARIES)
