"""What the figures were measured on."""

import datetime
import importlib.metadata
import os
import pathlib
import platform

from .runner import CORES

PACKAGES = ("fastloss", "numpy", "scipy", "torch", "jax", "jaxlib", "scikit-learn", "numba")


def describe():
    import fastloss as fl

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": cpu_model(),
        "processors": f"{len(CORES)} usable of {os.cpu_count()}",
        "caches": caches(),
        "memory": memory(),
        "system": f"{platform.platform()}, {platform.python_implementation()} {platform.python_version()}",
        "load when it began": " / ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)",
        "fastloss instruction set": fl.isa(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions()),
    }


def versions():
    for name in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def cpu_model():
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def caches():
    """Each cache that the first processor sees."""
    found = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if read(index / "type").strip() != "Instruction":
            found.append(f"L{read(index / 'level').strip()} {read(index / 'size').strip()}")
    return ", ".join(found) or "unknown"


def memory():
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.0f} GiB"
    return "unknown"


def read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""
