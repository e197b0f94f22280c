"""The uses of the adapters that type checkers accept do run, and what PyTorch's own types are is known."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

import fastloss as fl

USES = pathlib.Path(__file__).parents[1] / "typing"
LIBRARIES = {"adapters.py": ("catboost", "jax", "lightgbm", "scipy", "sklearn", "xgboost"),
             "adapters_torch.py": ("torch",)}


def need(*libraries):
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("name", LIBRARIES)
def test_right_calls_run(name):
    need(*LIBRARIES[name])
    right, wrong, _ = (USES / name).read_text(encoding="utf-8").partition("# Wrong ones.")
    assert wrong
    exec(compile(right, name, "exec"), {})


def test_types_with_pytorchs_own(tmp_path):
    """tests/test_typing.py looks at the other file, which needs no library."""
    need("torch", "mypy")
    path = USES / "adapters_torch.py"
    folder = str(pathlib.Path(fl.__file__).parents[1])
    found = {} if "site-packages" in folder else {"MYPYPATH": folder}
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", path],
                          env=os.environ | found, cwd=tmp_path, timeout=300, capture_output=True, text=True,
                          check=False)
    wrong = {n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "# flagged" in line}
    assert {int(n) for n in re.findall(r"adapters_torch\.py:(\d+): error", done.stdout)} == wrong, done.stdout
