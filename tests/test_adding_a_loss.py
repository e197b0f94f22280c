"""The worked example of CONTRIBUTING.md, which docs/adding_a_loss.md includes: applied to a copy, built and tested.

Run with FASTLOSS_TEST_ADDING=1: all is compiled, which takes a minute or two. Needs what a build needs: a C compiler,
setuptools and Cython.
"""

import faulthandler
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif("FASTLOSS_TEST_ADDING" not in os.environ, reason="set FASTLOSS_TEST_ADDING=1: a build")

ROOT = pathlib.Path(__file__).resolve().parents[1]
LEFT_BEHIND = shutil.ignore_patterns(".git", "build", "dist", "*.egg-info", "*.so", "*.pyd", "__pycache__", "_build")
KERNELS = "fastloss/_native/kernels/"
# Where the blocks go, in their order, and the text before which each stands there; None is the end of the file.
PLACES = ((KERNELS + "formulas_regression.h", "\n#endif"), (KERNELS + "losses.def", "FL_LOSS(log_cosh,"),
          ("fastloss/regression.py", None), ("fastloss/criteria.py", None), ("tests/catalogue_formulas.py", None),
          ("tests/catalogue.py", '    Row("huber_loss",'))
# "Both names, twice each, in __init__.py".
NAMES = (("    TalwarLoss,\n", "    TweedieNLLLoss,"), ('    "TalwarLoss",\n', '    "TweedieNLLLoss",'),
         ("    talwar_loss,\n", ")\nfrom .transforms"), ('    "talwar_loss",\n', '    "tweedie_nll_loss",'))


def blocks():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("\n## Adding an elementwise loss\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"^   ```\w+\n(.*?)^   ```$", section, re.M | re.S)]


def insert(path, text, before):
    old = path.read_text(encoding="utf-8")
    if before is None:
        path.write_text(f"{old}\n\n{text}", encoding="utf-8")
    else:
        assert old.count(before) == 1, (path, before)
        path.write_text(old.replace(before, text + before), encoding="utf-8")


def run(*arguments, cwd):
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=os.environ | {"PYTHONPATH": str(cwd)}, timeout=900,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_worked_example(tmp_path):
    faulthandler.cancel_dump_traceback_later()  # pytest's, of tests that seem to hang; `run` has its own limit
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    for (path, before), text in zip(PLACES, blocks(), strict=True):
        insert(copy / path, text, before)
    for text, before in NAMES:
        insert(copy / "fastloss/__init__.py", text, before)
    run("setup.py", "-q", "build_ext", "--inplace", cwd=copy)
    run("tools/stubs.py", cwd=copy)
    tests = sorted(path.relative_to(copy) for path in copy.glob("tests/test_catalogue_*.py"))
    printed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "tests/test_typing.py", "-k", "talwar",
                  cwd=copy)
    print(printed)
    assert re.search(r"^\d+ passed", printed.splitlines()[-1]), printed
