"""Every example of docs/adapters.md and of the adapters' docstrings runs and prints what it says."""

import doctest
import importlib.util
import inspect
import pathlib
import re

import numpy as np
import pytest

import fastloss as fl

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "adapters.md"
LIBRARIES = ("catboost", "jax", "lightgbm", "pandas", "polars", "scipy", "sklearn", "torch", "xgboost")
# A ```python block, and the ```text block that follows it, if one does.
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.M | re.S)
BLOCKS = BLOCK.findall(DOCUMENT.read_text(encoding="utf-8"))


def libraries(code):
    return [name for name in LIBRARIES if re.search(rf"^(?:import|from) (?:fastloss\.adapters\.)?{name}\b", code, re.M)]


def skip_without(names):
    for name in names:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def test_every_adapter_has_an_example():
    assert {name for code, _ in BLOCKS for name in libraries(code)} == set(LIBRARIES)


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=["+".join(libraries(code)) for code, _ in BLOCKS])
def test_example(code, printed, tmp_path, run_python):
    """In a process and a folder of its own, as copied into an empty file."""
    skip_without(libraries(code))
    file = tmp_path / "example.py"
    file.write_text(code, encoding="utf-8")
    output = run_python(f"import runpy; runpy.run_path({str(file)!r}, run_name='__main__')", cwd=tmp_path)
    if printed:
        assert output == printed.strip()
    accuracies = [float(number) for number in re.findall(r"^accuracy: (.*)$", output, re.M)]
    assert all(accuracy > 0.95 for accuracy in accuracies)
    assert printed or accuracies


def documented():
    return [(name, public) for name in fl.adapters.__all__ if importlib.util.find_spec(name) is not None
            for public in getattr(fl.adapters, name).__all__
            if callable(getattr(getattr(fl.adapters, name), public))]


@pytest.mark.parametrize(("name", "public"), documented(), ids=lambda value: value)
def test_docstring(name, public):
    thing = getattr(getattr(fl.adapters, name), public)
    text = inspect.getdoc(thing)
    test = doctest.DocTestParser().get_doctest(text, {"np": np, "fl": fl}, public, None, 0)
    report = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
    assert results.failed == 0, "".join(report)
    made_by_another = public in ("Objective", "Metric", "LinearObjective")
    assert results.attempted or made_by_another
    if not made_by_another:
        for part in ("Parameters", "Returns" if inspect.isfunction(thing) else "Attributes", "Raises", "Notes"):
            assert f"\n{part}\n---" in text, f"{part} is missing"
        for parameter in inspect.signature(thing).parameters:
            assert parameter in text
