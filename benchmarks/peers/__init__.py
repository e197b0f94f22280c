"""How each library does the work of a case.

A module of this package has ``make(case, data)``: it returns a callable without arguments that gives ``(value,
gradient)`` (``(value, None)`` for the value only, ``(gradient, hessian)`` for these two) in the library's own arrays,
completely computed. It raises `NotOffered` with the reason if the library does not do that work. All that can be done
once is done in ``make``: conversions, buffers, compilation.
"""

import importlib
import importlib.util

import numpy as np

from .. import cases
from .names import PEERS
from .offer import NotOffered

#: relative to the largest entry; far above rounding errors, far below a different formula
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-9}


def installed(name):
    return importlib.util.find_spec(PEERS[name][0]) is not None


def make(name, case, data):
    """The peer's call, checked against fastloss."""
    if not installed(name):
        raise NotOffered("not installed")
    call = importlib.import_module(f".{PEERS[name][1]}", __name__).make(case, data)
    check(case, call, expected(case, data))
    return call


def expected(case, data):
    """What fastloss gives, as copies: the buffers are shared with the peers."""
    result = cases.fastloss_call(case, data)()
    if case.work == "value":
        return result, None
    return tuple(np.array(part, dtype=np.float64) for part in result)


def check(case, call, expected_parts):
    """Unlike work must not be compared."""
    for part, expected_part, what in zip(call(), expected_parts, ("first", "second")):
        overflows = case.dtype == "float16" and np.ndim(expected_part) == 0  # the sum, in libraries that keep it so
        if expected_part is None or overflows:
            continue
        got = as_numpy(part)
        difference = np.max(np.abs(got - expected_part))
        allowed = TOLERANCE[case.dtype] * np.max(np.abs(expected_part))
        if not difference <= allowed:
            raise NotOffered(f"gives another {what} result: off by {difference:.2g}, allowed is {allowed:.2g}")


def as_numpy(part):
    return np.asarray(part.detach() if hasattr(part, "detach") else part, dtype=np.float64)
