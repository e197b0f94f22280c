"""The documentation: `python -m sphinx -W -n -b html docs docs/_build/html`, with `pip install ".[docs]"`."""

import pathlib
import sys

# `python -m sphinx` puts the current folder first, where the sources would hide the installed package.
if pathlib.Path(sys.path[0] or ".").resolve() == pathlib.Path(__file__).resolve().parents[1]:
    del sys.path[0]

import fastloss

project = "fastloss"
author = "the fastloss developers"
copyright = "the fastloss developers"
release = version = fastloss.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon",
              "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
exclude_patterns = ["_build", "templates"]
templates_path = ["templates"]

html_theme = "furo"
html_title = f"fastloss {release}"
html_copy_source = False

# Docstrings: a name in single backquotes is a link where it is one of ours, and italic where it is a parameter.
default_role = "autolink"
napoleon_google_docstring = False
napoleon_use_rtype = False
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say it
# Most of the adapters' libraries need not be here. scikit-learn does: its base classes make signatures.
autodoc_mock_imports = ["catboost", "jax", "lightgbm", "torch", "xgboost"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# What docstrings say of a type is prose, and a parameter may have the name of a module ("labels", "margin").
nitpick_ignore_regex = [("py:class", ".*"), ("py:obj", "labels|margin|grad_and_hess")]
