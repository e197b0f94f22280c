"""Benchmarks of fastloss beside its peers: `pytest benchmarks`; `python -m benchmarks.report` for the whole report."""

import pathlib
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]

# `python -m` puts the checkout first on sys.path, where `fastloss` is the source folder: without compiled modules it
# would hide the installed package. (An editable install has its own entry further back.)
if sys.path and pathlib.Path(sys.path[0] or ".").resolve() == CHECKOUT:
    del sys.path[0]
