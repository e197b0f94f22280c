"""What this build of fastloss is and what it runs with: show_config, for bug reports."""

import math
import os
from typing import Any, Literal, overload

from . import _threads
from ._check import shown
from ._native import engine

_VARIABLES = ("FASTLOSS_", "OMP_", "GOMP_", "KMP_")


def _openmp_library():
    """The OpenMP runtime as our module sees it (ctypes), and its path; None where there is none or it does not tell.

    A process can have several, from other packages: so the functions of dlfcn.h are asked for the one that answers us.
    """
    import ctypes

    try:
        library = ctypes.CDLL(engine.__file__)
        address = ctypes.cast(library.omp_get_max_threads, ctypes.c_void_p)
        found = (ctypes.c_char_p * 4)()  # Dl_info: the path, and three pointers that do not matter here
        if ctypes.CDLL(None).dladdr(address, found):
            return library, os.path.realpath(os.fsdecode(found[0]))
    except (OSError, AttributeError, TypeError):  # Windows; a build without OpenMP
        pass
    return None, None


def _openmp(library_path, version):
    if not version:
        return {"runtime": None, "why": "built without OpenMP: one thread"}
    # libgomp.so.1.0.0, or libgomp-24e2ab19.so.1.0.0 in a wheel
    name = os.path.basename(library_path).partition(".")[0].partition("-")[0] if library_path else None
    return {"runtime": name, "version": version, "path": library_path}


def _limits(library):
    """What the default number of threads is the least of."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    quota = _threads.cpu_quota()
    return {"processors": os.cpu_count(), "affinity": affinity, "cgroup quota": None if quota == math.inf else quota,
            "OpenMP": library.omp_get_max_threads() if library else engine.parallel_limit()}


def _why(count, limits):
    """Which of the ways to choose the number of threads chose it."""
    if _threads._context.get() is not None:
        return "with fastloss.num_threads()"
    if _threads._process is not None:
        from_environment = _threads._process == _threads._environment
        return "FASTLOSS_NUM_THREADS" if from_environment else "fastloss.set_num_threads()"
    # OpenMP starts from the processors it may use, so it is the reason only where nothing else is.
    reasons = {"processors": "one for each processor", "affinity": "the processors that this process may run on",
               "cgroup quota": "the CPU quota of the cgroup", "OpenMP": "OpenMP (OMP_NUM_THREADS, threadpoolctl)"}
    decided = next((reasons[name] for name, limit in limits.items() if limit == count), None)
    return decided or "serial, after a fork that met running threads"


def _config():
    import platform

    import numpy

    from . import __version__

    compiler, kind, flags, numpy_built, cython, openmp = engine.build_info()
    library, library_path = _openmp_library()
    isas = engine.compiled_isas()
    count, limits = _threads.current(), _limits(library)

    return {
        "fastloss": {"version": __version__, "path": os.path.dirname(__file__)},
        "build": {"kind": kind, "compiler": compiler, "flags": flags, "cython": cython},
        "openmp": _openmp(library_path, openmp),
        "instruction sets": {"compiled": list(isas), "found": [name for name, runs in isas.items() if runs],
                             "used": engine.isa()},
        "threads": {"count": count, "why": _why(count, limits), "limits": limits},
        "numpy": {"built with": numpy_built, "running": numpy.__version__},
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
    }


def _lines(data, indent=""):
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            if isinstance(value, list):
                value = ", ".join(value)
            yield f"{indent}{name}: {value if value or value == 0 else 'none'}"


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show how fastloss was built and what it runs with. A bug report should have it; ``python -m fastloss`` prints it.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print it, or return it as nested dictionaries.

    Returns
    -------
    None or dict
        Versions, the compiler and its flags, the OpenMP runtime and where it was loaded from, the instruction sets
        (compiled, found on this machine, used), the number of threads with its limits and the one that decided, and
        the environment variables that matter.

    Raises
    ------
    ValueError
        `mode` is neither of the two.

    Examples
    --------
    >>> import fastloss as fl
    >>> config = fl.show_config(mode="dicts")
    >>> config["instruction sets"]["used"] == fl.isa()
    True
    >>> config["threads"]["count"] == fl.get_num_threads()
    True
    """
    if not isinstance(mode, str) or mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {shown(mode)}")
    config = _config()
    if mode == "dicts":
        return config
    print("\n".join(_lines(config)))
    return None
