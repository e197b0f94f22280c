"""Build of the native part of fastloss. Everything that is not about C lives in pyproject.toml.

Every ``fastloss/_native/*.pyx`` becomes one extension module, found by name: a new file needs no edit here. Only
``engine`` links the C kernels; the other modules include the headers and get function pointers from it by cimport.

Switches, all environment variables, because pip passes them through:

    FASTLOSS_BUILD=release          the default: optimised, no debug symbols
    FASTLOSS_BUILD=serial           the same without OpenMP
    FASTLOSS_BUILD=debug            not optimised, full symbols, Cython's index and None checks
    FASTLOSS_BUILD=asan|ubsan|tsan  instrumented by a sanitizer of gcc or clang; asan has ubsan's checks too; tsan is
                                    serial, because the OpenMP runtime is not instrumented and would be reported as
                                    one long race
    FASTLOSS_WERROR=1               a compiler warning in our own C is an error

Each kind of build has its own folder ``build/<kind>``: switching never mixes objects and never rebuilds without need.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

NATIVE = Path("fastloss/_native")
KERNELS = NATIVE / "kernels"

STRIP = ["-Wl,-s"] if sys.platform == "linux" else []
CHECKED = ["-g", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE", "-UNDEBUG"]
# Python's own flags may have -fwrapv, under which signed overflow is no fault and would not be reported.
UBSAN = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv"]
ASAN = ["-fsanitize=address", *UBSAN]

BUILDS = {
    # kind      compiler flags                              linker flags            OpenMP
    "release": (["-O3", "-g0"],                             STRIP,                  True),
    "serial":  (["-O3", "-g0"],                             STRIP,                  False),
    "debug":   (["-O0", *CHECKED],                          [],                     True),
    "asan":    (["-O1", *CHECKED, *ASAN],                   ASAN,                   True),
    "ubsan":   (["-O1", *CHECKED, *UBSAN],                  UBSAN,                  True),
    "tsan":    (["-O1", *CHECKED, "-fsanitize=thread"],     ["-fsanitize=thread"],  False),
}  # fmt: skip

KIND = os.environ.get("FASTLOSS_BUILD") or "release"
if KIND not in BUILDS:
    raise SystemExit(f"FASTLOSS_BUILD={KIND} is not one of {', '.join(BUILDS)}")
WERROR = os.environ.get("FASTLOSS_WERROR", "") not in ("", "0")
CHECKS = KIND not in ("release", "serial")
BUILD_BASE = Path("build") / (KIND + ("-werror" if WERROR else ""))

# Never -ffast-math: it breaks NaN and infinity, which our results promise, and at link time it sets flush-to-zero for
# the whole process, other people's arithmetic included. What is worth having:
#   -fno-math-errno       sqrt and rint become one instruction instead of a call that may set errno
#   -fno-trapping-math    without it gcc leaves loops with a select unvectorised, and they run 3x slower; all it gives
#                         up is exact floating-point traps, which nobody unmasks
#   -ffp-contract=off     a product and a sum fuse only where the source says fma: otherwise every compiler fuses in
#                         its own places, and results differ in the last bit between machines
UNIX_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden",
              "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]  # fmt: skip
MSVC_FLAGS = ["/std:c11", "/fp:precise", "/O2" if not CHECKS else "/Od"]

# Ways to ask for OpenMP, tried in order: (compiler flags, linker flags). The second is Apple's clang, which understands
# the pragmas but ships no runtime (`brew install libomp`, and CPPFLAGS / LDFLAGS that point to it).
OPENMP = {
    "msvc": [(["/openmp"], [])],
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
}
OPENMP_PROGRAM = """
#include <omp.h>
int main(void) {
    int threads = 0;
    #pragma omp parallel reduction(+ : threads)
    threads += omp_get_num_threads();
    return threads < 1;
}
"""

# One abi3 binary for CPython 3.11 and everything after it. Free-threaded interpreters have no stable ABI yet, and other
# implementations than CPython none at all: they get an ordinary build.
ABI3 = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

MACROS = [
    ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
    # The oldest NumPy the binary runs on: 1.25 and 1.26 share one C-API. Built with 2.x, it runs on all of 2.x too.
    ("NPY_TARGET_VERSION", "NPY_1_25_API_VERSION"),
]
if ABI3:
    MACROS.append(("Py_LIMITED_API", "0x030B0000"))

DIRECTIVES = {
    "language_level": 3,
    "binding": True,  # functions that inspect.signature() and pickle understand
    "freethreading_compatible": True,
    "auto_pickle": False,  # nobody pickles the native objects, and the methods for it are 3 kB of the wheel
    "cdivision": True,
    # The native code trusts its arguments (Python validates them); a debug build does not trust Python.
    "boundscheck": CHECKS,
    "wraparound": False,
    "initializedcheck": CHECKS,
    "nonecheck": CHECKS,
}


# gcc: where loops begin at multiples of 16 bytes, a hundredth of the wheel is what fills the gaps. Without,
# cross_entropy took from a tenth less time to a fortieth more.
UNALIGNED = ["-falign-loops=1", "-falign-jumps=1", "-falign-labels=1"]

# gcc: at -O3 it writes out the ends of vectorised loops, as many as 200 instructions an end, or gives them a loop of
# half as wide vectors. Without, the AVX kernels are a tenth smaller; all that a measurement shows is 90 ns more for 128
# rows of 10 classes with AVX2.
SHORT_ENDS = ["--param", "max-completely-peeled-insns=50", "--param", "vect-epilogues-nomask=0"]

# gcc: copies of loops for a stride of 1, which the source has where they are worth it.
NO_COPIES = ["-fno-version-loops-for-strides"]


# gcc: what it puts in another order after it has chosen registers packs worse, because what was alike is no longer, and
# functions have gaps between them as loops do. (13 kB of the wheel. The AVX kernels keep that order: without it they
# took up to a tenth longer.)
SMALL = ["-fno-schedule-insns2", "-falign-functions=1"]


def extensions():
    # Coarse on purpose: a change of any header, table, declaration or flag rebuilds every module.
    depends = [p.as_posix() for s in ("*.h", "*.def", "*.inc", "*.pxd", "*.pxi") for p in sorted(NATIVE.rglob(s))]
    kernels = [p.as_posix() for p in sorted(KERNELS.rglob("*.c"))]
    return [
        Extension(
            f"fastloss._native.{pyx.stem}",
            sources=[pyx.as_posix(), *(kernels if pyx.stem == "engine" else [])],
            depends=[*depends, "setup.py"],
            # Not KERNELS: its headers are found by their neighbours, and must not answer for a system's <...>.
            include_dirs=[NATIVE.as_posix(), numpy.get_include()],
            define_macros=MACROS,
            py_limited_api=ABI3,
        )
        for pyx in sorted(NATIVE.glob("*.pyx"))
    ]


def described(flags, gcc, by_file):
    """What show_config() tells about the build. No paths: they would name this machine, and change the wheel."""
    flags = [*(flag for flag in os.environ.get("CFLAGS", "").split() if "/" not in flag), *flags]
    parts = {"AVX kernels": KERNELS / "avx2.c", "other kernels": KERNELS / "baseline.c",
             "from Cython": Path("engine.c")}  # fmt: skip
    more = {name: " ".join(flags_of(source, gcc)) for name, source in parts.items()} if by_file else {}
    flags = "; ".join([" ".join(flags), *(f"{name}: {text}" for name, text in more.items() if text)])
    known = {"KIND": KIND, "FLAGS": flags, "NUMPY": numpy.__version__, "CYTHON": Cython.__version__}
    return [(f"FASTLOSS_{name}", f'"{text}"') for name, text in known.items()]


def flags_of(source, gcc):
    """What one C file is compiled with besides. -O3 is worth its size where the time is spent; on the baseline, which
    hardly a machine with a better choice runs, and in what Cython writes it made the wheel a sixth larger. (-Os there
    costs 14 % of a small call.) Python's own flags may have -fwrapv, which hides from the compiler how often a loop
    runs (7 % of 65536x10); signed overflow would be a fault of the kernels, and UBSan finds none. Unwind tables are for
    exceptions, of which C has none, and for debuggers, which have the debug build."""
    ours = source.is_relative_to(KERNELS)
    flags = ["-Werror"] if WERROR and ours else []  # what Cython generates is not ours to keep free of warnings
    if not CHECKS and source.name.startswith("avx"):
        flags += SHORT_ENDS + NO_COPIES if gcc else []
    elif not CHECKS:
        flags += ["-O2", *(SMALL if gcc else [])]
    if not CHECKS and gcc:
        flags += UNALIGNED
    if not CHECKS:
        flags += ["-fno-asynchronous-unwind-tables"]
    if not CHECKS and ours:
        flags += ["-fno-wrapv"]
    return flags


class build_native(build_ext):
    """Translates the .pyx files into the build folder, finds OpenMP, and compiles the C files in parallel."""

    def build_extensions(self):
        self.translate()
        compile_flags, link_flags = self.flags()
        unix = self.compiler.compiler_type == "unix"
        gcc = unix and self.is_gcc()
        for ext in self.extensions:
            ext.extra_compile_args += compile_flags
            ext.extra_link_args += link_flags
            ext.define_macros = [*MACROS, *described(compile_flags, gcc, unix)]
        if not unix:
            return super().build_extensions()
        # Python may add where it lies itself (pyenv's does): the modules load nothing from there, and a wheel must not
        # name folders of the machine that built it.
        asked_for = os.environ.get("LDFLAGS", "").split()
        self.compiler.linker_so = [flag for flag in self.compiler.linker_so
                                   if not flag.startswith("-Wl,-rpath") or flag in asked_for]
        jobs = self.parallel if isinstance(self.parallel, int) and self.parallel > 1 else os.cpu_count() or 1
        with ThreadPoolExecutor(jobs) as pool:
            compile_one = self.compiler.compile

            def compile_all(sources, *, extra_postargs, **options):
                def start(source):
                    flags = [*extra_postargs, *flags_of(Path(source), gcc)]
                    return pool.submit(compile_one, [source], extra_postargs=flags, **options)

                return [obj for job in [start(source) for source in sources] for obj in job.result()]

            self.compiler.compile = compile_all
            self.parallel = len(self.extensions)  # each only waits for the pool
            super().build_extensions()

    def copy_extensions_to_source(self):
        # An in-place build copies only what is newer than the copy; that of another kind of build may be newer.
        self.force = True
        super().copy_extensions_to_source()

    def translate(self):
        folder = BUILD_BASE / "cython"
        # Cython overlooks a .pxd that is named by `from package cimport module`, and a change of the directives above.
        newest = max(p.stat().st_mtime for p in [Path("setup.py"), *NATIVE.rglob("*.px[di]")])
        for generated in folder.rglob("*.c"):
            if generated.stat().st_mtime < newest:
                generated.unlink()
        # Here and not in setup(): an sdist and pip's questions about metadata need no C, and list .pyx as the sources.
        options = {"build_dir": str(folder), "compiler_directives": DIRECTIVES, "emit_linenums": CHECKS}
        sources = {ext.name: ext.sources for ext in cythonize(self.extensions, **options)}
        for ext in self.extensions:
            ext.sources = sources[ext.name]
        # Cython copies the C files and headers it meets next to what it generates. A header found there would not find
        # its neighbours, or find a system header of that name; without the copies, -I leads to the real ones.
        shutil.rmtree(folder / KERNELS, ignore_errors=True)

    def flags(self):
        kind_compile, kind_link, openmp = BUILDS[KIND]
        omp_compile, omp_link = self.openmp() if openmp else ([], [])
        if self.compiler.compiler_type == "msvc":
            return [*MSVC_FLAGS, *omp_compile], omp_link
        return [*UNIX_FLAGS, *kind_compile, *omp_compile], [*kind_link, *omp_link]

    def is_gcc(self):
        """Whether the C compiler is gcc, from version 7 on, by the macros it defines: clang says that it is gcc 4."""
        command = [*self.compiler.compiler[:1], "-dM", "-E", "-x", "c", os.devnull]
        macros = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        version = re.search(r"__GNUC__ (\d+)", macros)
        return bool(version) and int(version[1]) >= 7

    def openmp(self):
        """The first way to ask for OpenMP with which a small program compiles and links."""
        for compile_flags, link_flags in OPENMP.get(self.compiler.compiler_type, OPENMP["unix"]):
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.c")
                source.write_text(OPENMP_PROGRAM)
                try:
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                    self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=link_flags)
                except (CompileError, LinkError):
                    continue
            return compile_flags, link_flags
        advice = "macOS: `brew install libomp`, then set CPPFLAGS and LDFLAGS as it says"
        warnings.warn(f"no OpenMP for this compiler: fastloss is built without it and uses one thread ({advice})",
                      stacklevel=2)
        return [], []


options = {"build": {"build_base": str(BUILD_BASE)}}
if ABI3:
    options["bdist_wheel"] = {"py_limited_api": "cp311"}

setup(ext_modules=extensions(), cmdclass={"build_ext": build_native}, options=options)
