"""The compiled modules.

By default OpenMP's idle threads spin for milliseconds before they sleep. On a machine with more to do than it has
cores, that makes a parallel region several milliseconds late: slower than one thread. If they sleep at once, every
region waits for them to wake up: on a virtual machine with two cores two threads took 0.9 of the time of one for
512x1000. So they spin a thousand times: 0.55 of it, and with one core busy 1.1 for 4096x1000. (With ten thousand spins
that is 1.5. ``python -m benchmarks.report --cases '^(threads|conditions)'`` measures the like.)

The policy can only be had from the environment, and only when the OpenMP library begins; so it is set around that
moment, unless the user has set one, and taken back. Where another module has loaded the same library before, its
policy holds.
"""

import importlib.util
import os

if importlib.util.find_spec(f"{__name__}.engine") is None:
    raise ImportError(f"fastloss was imported from {os.path.dirname(__file__)}, which has no compiled modules. If that "
                      "is a checkout, start Python from another folder, or build there: see CONTRIBUTING.md")

_POLICY = {"GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "passive"}  # the second for what is not libgomp
_ours = not any(name in os.environ for name in (*_POLICY, "KMP_BLOCKTIME"))
if _ours:
    os.environ.update(_POLICY)
try:
    from . import engine

    engine.parallel_limit()  # LLVM's runtime reads the environment when it is first called, not when it is loaded
finally:
    if _ours:
        for _name in _POLICY:
            del os.environ[_name]
