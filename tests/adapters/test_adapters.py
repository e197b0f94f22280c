"""The package of adapters itself: nothing is imported before it is used, and what is missing is said."""

import importlib.util
import inspect

import pytest

import fastloss as fl
from fastloss.adapters import _library

# {adapter: the library that it imports}
LIBRARIES = {"catboost": "catboost", "jax": "jax", "lightgbm": "lightgbm", "scipy": "scipy", "sklearn": "sklearn",
             "torch": "torch", "xgboost": "xgboost"}


def test_fastloss_imports_none_of_them(run_python):
    code = f"""
        import sys, fastloss
        assert not {{m.split(".")[0] for m in sys.modules}} & set({sorted(LIBRARIES)!r})
        assert "fastloss.adapters" not in sys.modules
        import fastloss.adapters
        assert dir(fastloss.adapters) and not {{m.split(".")[0] for m in sys.modules}} & set({sorted(LIBRARIES)!r})
        print("none")
    """
    assert run_python(inspect.cleandoc(code)) == "none"


def test_list_of_adapters():
    assert fl.adapters.__all__ == sorted(LIBRARIES)
    assert set(LIBRARIES) <= set(dir(fl.adapters))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_is_said(name, run_python):
    code = f"import sys; sys.modules[{LIBRARIES[name]!r}] = None\n" + inspect.cleandoc(f"""
        import fastloss as fl
        for statement in ("fl.adapters.{name}", "import fastloss.adapters.{name}"):
            try:
                exec(statement)
            except ImportError as error:
                assert not isinstance(error, ModuleNotFoundError)
                print(error)
    """)
    told, again = run_python(code).splitlines()
    assert told == again
    assert f"fastloss.adapters.{name} needs {name}, which is not installed: pip install" in told
    assert ("torch" if name == "torch" else '"fastloss[adapters]"') in told


@pytest.mark.parametrize("name", LIBRARIES)
def test_adapters_are_attributes(name):
    if importlib.util.find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"{LIBRARIES[name]} is not installed")
    module = getattr(fl.adapters, name)
    assert module.__name__ == f"fastloss.adapters.{name}"
    assert module.__doc__
    for public in module.__all__:
        assert inspect.getdoc(getattr(module, public)), public


def test_unknown_names():
    with pytest.raises(AttributeError, match=r"module 'fastloss\.adapters' has no attribute 'keras'"):
        fl.adapters.keras  # noqa: B018
    with pytest.raises(AttributeError, match="module 'fastloss' has no attribute 'adapter'"):
        fl.adapter  # noqa: B018


def test_what_is_known_of_the_losses():
    """The lists of _library.py, found out by asking every loss."""
    row_wise, by_target = set(), set()
    for name in fl.__all__:
        loss = getattr(fl, name)
        if isinstance(loss, type) or not hasattr(loss, "value_and_grad"):
            continue
        if "target" not in inspect.signature(loss).parameters:
            continue
        if "axis" in inspect.signature(loss).parameters:
            row_wise.add(name)
        try:
            loss.grad(0.5, 1.0, *[1.0] * (name == "gaussian_nll_loss"), wrt="target")
        except (ValueError, TypeError):
            continue
        by_target.add(name)
    assert row_wise == _library.ROW_LOSSES
    assert by_target == _library.BY_TARGET
