"""Checks that a wheel is fit for release: its tag, contents, size and licences.

    python tools/check_wheel.py fastloss-0.1.0-cp311-abi3-linux_x86_64.whl [more wheels]

Prints what is in each; the status is 1 if anything is wrong. What the stable ABI allows is abi3audit's to check.
"""

import re
import sys
import zipfile
from pathlib import Path, PurePosixPath

# Bytes of the wheel, without the OpenMP runtime that its repair puts into it, and without that one's licence.
LIMIT = 10**6
SOURCES = (".c", ".h", ".def", ".inc", ".pyx", ".pxd")
NATIVE = (".so", ".pyd", ".dylib", ".dll")
# Runtime libraries, and the file that has their licence. Microsoft's is passed on under the terms of Visual Studio,
# which come as no file: scikit-learn's wheels have it without one, too.
RUNTIMES = {"libgomp": "LICENSE-libgomp.txt", "libomp": "LICENSE-libomp.txt", "vcomp": None}
# Where people and machines build.
FOLDERS = (b"/home/", b"/root/", b"/tmp/", b"/Users/", b"/project/")


def problems(path):
    """What is wrong with the wheel at `path`."""
    archive = zipfile.ZipFile(path)
    files = archive.infolist()
    names = [file.filename for file in files]
    runtimes = {file: licence for file in files for runtime, licence in RUNTIMES.items()
                if PurePosixPath(file.filename).name.startswith(runtime)}
    # The licence of a runtime that is not there counts: it should not be there either.
    needed = [licence for licence in runtimes.values() if licence]
    licences = tuple(f"/{licence}" for licence in needed)
    foreign = [file for file in files if file in runtimes or (licences and file.filename.endswith(licences))]
    size = path.stat().st_size - sum(file.compress_size for file in foreign)
    print(f"{path.name}: {size:,} bytes without {', '.join(file.filename for file in foreign) or 'a runtime library'}")
    print(*(f"{file.file_size:10,} {file.filename}" for file in files), sep="\n")

    if size >= LIMIT:
        yield f"it has {size:,} bytes; {LIMIT:,} are allowed"
    if not re.search(r"-cp311-abi3-|-cp(\d+)-cp\1t-", path.name):
        yield "its tag is neither cp311-abi3 nor that of a free-threaded Python"
    for licence in ("LICENSE", *needed):
        if not any(name.endswith(f"/{licence}") for name in names):
            yield f"{licence} is missing"
    if not any(name.endswith("py.typed") for name in names) or not any(name.endswith(".pyi") for name in names):
        yield "py.typed or the stubs are missing"
    yield from (f"{name} should not be in it" for name in names if name.endswith(SOURCES))
    modules = [file for file in files if "/_native/" in file.filename and file.filename.endswith(NATIVE)]
    if not modules:
        yield "no compiled modules"
    for module in modules:
        yield from module_problems(module.filename, archive.read(module), "-abi3-" in path.name)


def module_problems(name, data, abi3):
    if abi3 and ".abi3." not in name and not name.endswith(".pyd"):
        yield f"{name} is not built for the stable ABI"
    if b".debug_info" in data or b"__debug_info" in data:
        yield f"{name} has debug symbols"
    yield from (f"{name} names a folder {folder.decode()} of the machine that built it"
                for folder in FOLDERS if folder in data)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    wrong = [f"{path}: {problem}" for path in map(Path, sys.argv[1:]) for problem in problems(path)]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
