"""Do AVX2, AVX-512 and NEON give the same bits? Compiles tools/digest.c with the kernels and compares what it prints.

    python tools/equal_bits.py            # this machine's instruction sets, and arm64 under qemu-user
    python tools/equal_bits.py --native   # this machine's alone
    python tools/equal_bits.py --emulate  # without AVX-512: its kernels with plain loops for its instructions (x86-64)

Needs a C compiler (CC); for arm64 besides `apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static`,
or the compiler and the runner that ARM64_CC and ARM64_RUN name (`python -m ziglang cc -target aarch64-linux-musl`).
The baseline of x86-64 has no fused multiply-add, so its bits differ: printed is by how much.
"""

import argparse
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "fastloss" / "_native" / "kernels"
# Those of setup.py that decide about bits.
FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
TWICE_THE_BOUND = 8  # two results that are both within 4 ULP of the exact one
ARM64_CC = shlex.split(os.environ.get("ARM64_CC", "aarch64-linux-gnu-gcc"))
ARM64_RUN = shlex.split(os.environ.get("ARM64_RUN", "qemu-aarch64-static"))


def build(compiler, folder, name, *more):
    """An executable of digest.c and all kernels, statically linked, so that qemu needs no foreign libraries."""
    sources = [ROOT / "tools" / "digest.c", KERNELS / "dispatch.c", *sorted((KERNELS / "targets").glob("*.c"))]
    program = pathlib.Path(folder, name)

    def compiled(source):
        target = program.with_suffix(f".{source.stem}.o")
        subprocess.run([*compiler, *FLAGS, *more, f"-I{KERNELS}", "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    subprocess.run([*compiler, "-static", *objects, "-lm", "-o", str(program)], check=True)
    return program


def run(program, isa, runner=()):
    """({kernel: hash}, all results in their order, [(kernel, how many results)])."""
    dump = program.with_suffix(f".{isa}")
    done = subprocess.run([*runner, str(program), isa, str(dump)], check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return ({" ".join(line[:3]): line[3] for line in lines}, np.fromfile(dump, np.float64),
            [(" ".join(line[:3]), int(line[4])) for line in lines])


def isas_here(program):
    """The instruction sets of this machine, in the program's own words."""
    done = subprocess.run([str(program)], check=False, capture_output=True, text=True)
    return done.stderr.split(":")[-1].split()


def differences(one, other):
    return [name for name in one[0] if one[0][name] != other[0].get(name)]


def ulps_apart(one, other, kind):
    """{kernel: the largest distance of its results, in ULP of the larger}, of two dumps; of results that are normal
    numbers, and of probabilities and everyday numbers (families 0 and 1)."""
    dtype, found, at = np.dtype(np.float32 if kind == "f32" else np.float64), {}, 0
    for name, count in one[2]:
        a, b = one[1][at:at + count], other[1][at:at + count]
        at += count
        kernel, own_kind, what = name.split()
        if own_kind == kind and what[-1] in "01":
            larger = np.maximum(abs(a), abs(b))
            ok = np.isfinite(larger) & (larger >= np.finfo(dtype).tiny)
            distance = abs(a - b)[ok] / np.spacing(larger[ok].astype(dtype))
            found[kernel] = max(found.get(kernel, 0.0), float(distance.max(initial=0)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--native", action="store_true", help="this machine's instruction sets alone")
    parser.add_argument("--emulate", action="store_true", help="AVX-512 by plain loops, beside the others")
    options = parser.parse_args()
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as folder:
        program = build(compiler, folder, "native")
        results = {isa: run(program, isa) for isa in isas_here(program)}
        if options.emulate:
            flags = ["-include", str(ROOT / "tools" / "avx512_emulated.h"), "-Wno-psabi", "-mavx2", "-mfma", "-mf16c"]
            # These vectors lie in memory, where gcc 12 at -O1 gave variables of one iteration the place of another's.
            flags += ["-O1", "-fstack-reuse=none"]
            results["avx512 emulated"] = run(build(compiler, folder, "emulated", *flags), "avx512")
        if not options.native and platform.machine() == "x86_64":
            for tool in (ARM64_CC[0], ARM64_RUN[0]):
                if shutil.which(tool) is None:
                    sys.exit(f"{tool} is missing: see the head of tools/equal_bits.py, or give --native")
            results["neon"] = run(build(ARM64_CC, folder, "arm64"), "neon", ARM64_RUN)
        sys.exit(compare(results) > 0)


def compare(results):
    """Print what was found; the number of kernels whose bits differ."""
    fused = [isa for isa in results if isa != "baseline"]
    different = []
    for isa in fused[1:]:
        wrong = differences(results[fused[0]], results[isa])
        print(f"{fused[0]} and {isa}: {len(results[isa][0])} digests, {len(wrong)} differ")
        different += [f"  {isa} {name}" for name in wrong]
    print(*different[:40], sep="\n", end="\n" if different else "")
    if "baseline" in results and fused:
        same = 1 - len(differences(results[fused[0]], results["baseline"])) / len(results["baseline"][0])
        print(f"{fused[0]} and baseline: {same:.0%} of the digests are the same")
        for kind in ("f32", "f64"):
            distances = ulps_apart(results[fused[0]], results["baseline"], kind)
            beyond = {name: distance for name, distance in distances.items() if distance > TWICE_THE_BOUND}
            within = [distance for name, distance in distances.items() if name not in beyond]
            print(f"  {kind}: {len(within)} of {len(distances)} kernels at most {max(within):.1f} ULP apart; further "
                  "where terms cancel: " + ", ".join(f"{name} {distance:.0f}" for name, distance in beyond.items()))
    return len(different)


if __name__ == "__main__":
    main()
