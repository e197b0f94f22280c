"""Every public name has a docstring with an example, and every example prints what it says.

So does every ```python block of README.md and docs/, and both columns of the tables in docs/coming_from are equal.
"""

import ast
import contextlib
import doctest
import importlib.util
import inspect
import io
import pathlib
import re

import numpy as np
import pytest

import fastloss as fl

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

ROOT = pathlib.Path(__file__).parents[1]
# A ```python block, and the ```text block that follows it, if one does.
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.M | re.S)
# docs/adapters.md: tests/adapters/test_adapters_docs.py runs its blocks, each in a process of its own.
PAGES = [ROOT / "README.md", *sorted(page for page in ROOT.glob("docs/**/*.md") if page.name != "adapters.md"
                                     and not {"_build", "generated"} & set(page.parts))]


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


def skip_without_its_libraries(code):
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module] if isinstance(node, ast.ImportFrom) else [])
        for library in {name.partition(".")[0] for name in names}:
            if importlib.util.find_spec(library) is None:
                pytest.skip(f"{library} is not installed")


def run_page(page):
    """The number of ```python blocks, run one after the other in one namespace, and the namespace."""
    namespace, blocks = {}, BLOCK.findall(page.read_text(encoding="utf-8"))
    for code, printed in blocks:
        if ">>> " in code:
            assert run_examples(code, page.name) > 0
            continue
        skip_without_its_libraries(code)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(code, str(page), "exec"), namespace)
        assert output.getvalue() == printed
    return len(blocks), namespace


def page_id(page):
    return page.relative_to(ROOT).as_posix()


WITH_BLOCKS = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=page_id)
def test_page(page):
    run_page(page)


def test_pages_are_found():
    """Guards the list: every page that teaches has a block, and no block escapes the pattern."""
    found = {page_id(page) for page in PAGES}
    taught = {"README.md", "docs/index.md", "docs/getting_started.md", "docs/threads.md",
              *(f"docs/coming_from/{name}.md" for name in ("pytorch", "tensorflow", "scikit_learn", "optax")),
              *(f"docs/intuition/{name}.md" for name in ("information", "likelihood", "squared_error", "hinge",
                                                         "huber"))}
    assert taught <= found
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(BLOCK.findall(text)) == text.count("```python"), page
        assert page_id(page) not in taught or BLOCK.search(text), page


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "coming_from" and page.stem != "index"],
                         ids=page_id)
def test_calls_there_and_here(page):
    """Every row of code in the tables of a "coming from" page: the same numbers on both sides."""
    rows = re.findall(r"^\| `([^`]*\([^`]*)` \| `([^`]*)` \|$", page.read_text(encoding="utf-8"), re.M)
    assert len(rows) > 10
    _, namespace = run_page(page)
    for there, here in rows:
        expected, got = (np.asarray(eval(code, namespace), np.float64) for code in (there, here))
        assert got.shape == expected.shape, there
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6, err_msg=there)
