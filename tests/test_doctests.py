"""Every public name has a docstring with an example, and every example prints what it says."""

import doctest
import inspect

import numpy as np
import pytest

import fastloss as fl

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def public_names():
    """What `from fastloss import *` gives, without submodules and plain data such as __version__."""
    names = getattr(fl, "__all__", [name for name in dir(fl) if not name.startswith("_")])
    return sorted(name for name in names if callable(getattr(fl, name)))


def documented_members(thing):
    """Public methods whose docstring is their own, as (name, docstring)."""
    kind = thing if isinstance(thing, type) else type(thing)
    if str(kind.__module__).partition(".")[0] != "fastloss":  # Cython's functions have a descriptor there
        return
    for name in dir(kind):
        member = getattr(kind, name, None)
        if not name.startswith("_") and inspect.getdoc(member):
            yield name, inspect.getdoc(member)


def run_examples(docstring, name):
    """The number of examples; fails, with doctest's report, if one prints something else."""
    test = doctest.DocTestParser().get_doctest(docstring, {"np": np, "fl": fl}, name, None, 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    results = runner.run(test, out=report.append)
    assert results.failed == 0, "".join(report)
    return len(test.examples)


@pytest.mark.parametrize("name", public_names())
def test_docstring(name):
    thing = getattr(fl, name)
    docstring = inspect.getdoc(thing)
    assert docstring, f"fastloss.{name} has no docstring"
    assert docstring != inspect.getdoc(type(thing)), f"fastloss.{name} shows the docstring of its class"
    assert run_examples(docstring, name) > 0, f"fastloss.{name} has no example"
    for member, text in documented_members(thing):
        run_examples(text, f"{name}.{member}")


def test_public_names_are_found():
    """Guards the list itself: a test over an empty list passes."""
    found = set(public_names())
    assert {"cross_entropy", "nll_loss", "softmax", "log_softmax", "logsumexp", "CrossEntropyLoss", "NLLLoss",
            "set_num_threads", "get_num_threads", "num_threads", "isa"} <= found


def test_the_package_itself_is_documented():
    assert fl.__doc__
    run_examples(inspect.cleandoc(fl.__doc__), "fastloss")
    assert fl.__version__


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
def test_docstring_says_what_a_user_needs(loss):
    """DESIGN: options, errors, shapes; every parameter is described."""
    docstring = inspect.getdoc(getattr(fl, loss))
    for name in inspect.signature(getattr(fl, loss)).parameters:
        assert name in docstring, f"{loss} does not describe {name}"
    assert "Error" in docstring
