"""The compiled modules.

By default OpenMP's idle threads spin for a while before they sleep. On a machine with more to do than it has cores, or
after a pause, that makes a parallel region several milliseconds late: slower than one thread. Sleeping at once costs a
few microseconds. The policy can only be had from the environment, and only when the OpenMP library is loaded; so it is
set around that moment, unless the user has set one, and taken back.
"""

import importlib.util
import os

if importlib.util.find_spec(f"{__name__}.engine") is None:
    raise ImportError(f"fastloss was imported from {os.path.dirname(__file__)}, which has no compiled modules. If that "
                      "is a checkout, start Python from another folder, or build there: see CONTRIBUTING.md")

_POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_ours = not any(name in os.environ for name in _POLICIES)
if _ours:
    os.environ["OMP_WAIT_POLICY"] = "passive"
try:
    from . import engine  # noqa: F401
finally:
    if _ours:
        del os.environ["OMP_WAIT_POLICY"]
