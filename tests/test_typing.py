"""The types: stubs are up to date and true, right calls are accepted and wrong ones flagged."""

import ast
import importlib.util
import inspect
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

import fastloss as fl

TESTS = pathlib.Path(__file__).parent
PACKAGE = pathlib.Path(fl.__file__).parent
SETTINGS = TESTS / "typing"
# What is used, each line of it right but for those that say "flagged". The adapters' libraries need not be installed.
GOOD, BAD, ADAPTERS = USES = [SETTINGS / name for name in ("good.py", "bad.py", "adapters.py")]
METHODS = ("value_and_grad", "grad", "grad_and_hess")


def environment():
    """Variables with which Python and mypy see the fastloss of this process."""
    folder = str(PACKAGE.parent)
    return os.environ | ({} if "site-packages" in folder else {"PYTHONPATH": folder, "MYPYPATH": folder})


def run(*arguments, cwd):
    """A tool, with the same fastloss as this process; its status and what it printed."""
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], env=environment(), cwd=cwd, timeout=300,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def mypy_errors(tmp_path_factory):
    """What `mypy --strict` prints about the files; it takes half a minute."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("mypy")
    _, text = run("mypy", "--strict", "--config-file", SETTINGS / "users.ini", "--cache-dir", folder / "cache", *USES,
                  cwd=folder)
    assert re.search(r"^(Found|Success)", text, re.M), text
    return [line for line in text.splitlines() if ": error:" in line]


def test_stubs_are_up_to_date():
    """`python tools/stubs.py` would write what is there."""
    done = subprocess.run([sys.executable, TESTS.parent / "tools" / "stubs.py", "--check"], env=environment(),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


def test_right_calls_run():
    runpy.run_path(str(GOOD))


def test_every_public_name_is_in_the_right_calls():
    used = set(re.findall(r"fl\.(\w+)", GOOD.read_text(encoding="utf-8")))
    assert used >= set(fl.__all__), set(fl.__all__) - used


def test_every_public_name_of_an_adapter_is_in_the_right_calls():
    text = ADAPTERS.read_text(encoding="utf-8")
    for path in (PACKAGE / "adapters").glob("[!_]*.py"):
        names = ast.literal_eval(re.search(r"^__all__ = (.*)$", path.read_text(encoding="utf-8"), re.M)[1])
        assert [name for name in names if f"fl.adapters.{path.stem}.{name}" not in text] == []


def wrong_lines(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "# flagged" in line}


@pytest.mark.parametrize("path", USES, ids=lambda path: path.stem)
def test_mypy(path, mypy_errors):
    found = re.findall(rf"/{path.name}:(\d+): error", "\n".join(mypy_errors))
    assert {int(line) for line in found} == wrong_lines(path)


def test_mypy_finds_nothing_else(mypy_errors):
    assert [line for line in mypy_errors if not any(f"/{path.name}:" in line for path in USES)] == []


def test_stubs_against_the_modules(tmp_path):
    pytest.importorskip("mypy")
    status, text = run("mypy.stubtest", "fastloss", "--allowlist", SETTINGS / "allowlist.txt",
                       "--ignore-unused-allowlist", "--mypy-config-file", SETTINGS / "mypy.ini", cwd=tmp_path)
    assert status == 0, text


@pytest.mark.parametrize("path", USES, ids=lambda path: path.stem)
def test_pyright(path, tmp_path):
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(PACKAGE.parent)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    _, text = run("pyright", "--pythonpath", sys.executable, cwd=tmp_path)
    assert re.search(r"\d+ errors?, ", text), text
    found = {int(line) for line in re.findall(rf"{path.name}:(\d+):\d+ - error", text)}
    assert found == wrong_lines(path), text


def stub_types(tree):
    """{name of a public loss: {method: parameter names of its overloads}}, from a stub."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Subscript):
            methods = {}
            for method in classes[node.annotation.value.id].body:
                arguments = method.args
                names = [a.arg for a in (*arguments.args[1:], *arguments.kwonlyargs)]
                methods.setdefault(method.name, set()).update(names)
            yield node.target.id, methods


def stubs():
    return dict(pair for path in PACKAGE.glob("*.pyi") for pair in stub_types(ast.parse(path.read_text())))


def test_every_loss_has_its_type():
    losses = {name for name in fl.__all__ if hasattr(getattr(fl, name), "grad_and_hess")
              and not isinstance(getattr(fl, name), type)}
    assert set(stubs()) == losses


@pytest.mark.parametrize(("name", "methods"), stubs().items())
def test_parameters_of_stub_and_function(name, methods):
    """What the type checker is told is what Python sees, for each of the four calls."""
    function = getattr(fl, name)
    for method, names in methods.items():
        real = function if method == "__call__" else getattr(function, method)
        assert names == set(inspect.signature(real).parameters), method
    assert set(methods) == {"__call__", *METHODS} or name == "zero_one_loss"


@pytest.mark.parametrize("method", METHODS)
def test_signature_of_a_method(method):
    """inspect.signature, and so help(), shows the loss's own parameters and the common ones."""
    parameters = inspect.signature(getattr(fl.huber_loss, method)).parameters
    own = list(inspect.signature(fl.huber_loss).parameters)
    assert list(parameters) == [*own, "out", "grad_output", "wrt"]
    assert parameters["delta"].default == 1.0
    assert parameters["wrt"].default == "input"
    assert getattr(fl.huber_loss, method).__qualname__ == f"huber_loss.{method}"
