"""How many threads a call uses, and why.

In order: the call's ``n_threads``; ``with num_threads(n)``; ``set_num_threads(n)``; the environment variable
``FASTLOSS_NUM_THREADS``; OpenMP's own count (``OMP_NUM_THREADS``, threadpoolctl), capped by the processors this process
may run on and by the container's CPU quota. Small calls use one thread whatever was asked for, and results do not
depend on the count.
"""

import contextlib
import contextvars
import functools
import math
import os

from ._check import thread_count
from ._native import engine

_context = contextvars.ContextVar("fastloss_num_threads", default=None)


def _from_environment():
    text = os.environ.get("FASTLOSS_NUM_THREADS", "")
    if not text:
        return None
    try:
        return thread_count(int(text))
    except ValueError:
        raise ImportError(f"FASTLOSS_NUM_THREADS must be a positive integer, got {text!r}") from None


_environment = _process = _from_environment()  # the first is for show_config


def _quota_of(directory):
    """CPUs that one cgroup directory grants, or inf."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (directory / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota = int((directory / "cpu.cfs_quota_us").read_text())
        return math.inf if quota <= 0 else quota / int((directory / "cpu.cfs_period_us").read_text())
    return math.inf


@functools.cache
def cpu_quota(root="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """CPUs that the cgroups of this process (version 2 or 1) grant it, rounded up; inf where there is no limit."""
    import pathlib  # 2 ms (measured), which importing fastloss need not take

    root = pathlib.Path(root)
    directories = {root, root / "cpu", root / "cpu,cpuacct"}
    with contextlib.suppress(OSError, ValueError):
        for line in pathlib.Path(membership).read_text(errors="surrogateescape").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
                leaf = root / controllers / path.lstrip("/")
                directories.update((leaf, *(p for p in leaf.parents if root in p.parents)))
    quota = min(_quota_of(directory) for directory in directories)
    return quota if quota == math.inf else max(1, math.ceil(quota))


def current():
    """Threads of a large call that names none itself."""
    chosen = _context.get()
    if chosen is None:
        chosen = _process
    if chosen is not None:
        return chosen
    return int(min(engine.parallel_limit(), cpu_quota()))


engine.set_thread_source(current)


def get_num_threads():
    """The number of threads that a large call uses now.

    Returns
    -------
    int

    See Also
    --------
    set_num_threads, num_threads

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.get_num_threads() >= 1
    True
    """
    return current()


def set_num_threads(n):
    """Set the number of threads that large calls of this process use from now on.

    Results do not depend on it, to the last bit. Other libraries are not affected.

    Parameters
    ----------
    n : int or None
        At least 1. None goes back to the default: OpenMP's count, capped by the processors this process may run on
        and by the container's CPU quota.

    Raises
    ------
    ValueError
        If `n` is less than 1.
    TypeError
        If `n` is neither an integer nor None.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.set_num_threads(2)
    >>> fl.get_num_threads()
    2
    >>> fl.set_num_threads(None)
    """
    global _process
    _process = None if n is None else thread_count(n)


@contextlib.contextmanager
def num_threads(n):
    """Use `n` threads in large calls within a ``with`` block.

    It holds for the thread or the asyncio task that enters the block, not for others.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    ValueError
        If `n` is less than 1.
    TypeError
        If `n` is not an integer.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.num_threads(1):
    ...     fl.get_num_threads()
    1
    """
    token = _context.set(thread_count(n))
    try:
        yield
    finally:
        _context.reset(token)
