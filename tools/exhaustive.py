"""Check every function of one float32 argument on all 2^32 bit patterns, on every instruction set of this machine.

    python tools/exhaustive.py                        all functions, into docs/exhaustive.md
    python tools/exhaustive.py exp huber_loss         some of them, to the terminal only
    python tools/exhaustive.py --merge exp huber_loss and their rows of docs/exhaustive.md; the others stay as they are
    python tools/exhaustive.py --every 1024           one block of 2^20 patterns in 1024, to try it out

The reference is the library itself in double, whose error of a few units of 2^-53 does not show in float32, and which
tests/test_catalogue_accuracy.py and tools/accuracy.py hold against mpmath. (NumPy in double as the reference gave the
same figures, but took ten times as long.) The comparison is exhaustive.c, built with $CC or cc.
"""

import argparse
import ctypes
import datetime
import functools
import multiprocessing
import os
import pathlib
import platform
import subprocess
import tempfile

import numpy as np

import fastloss as fl
from fastloss._native import engine, pointwise

BLOCK = 1 << 20  # one task of the pool
PIECE = 1 << 13  # what is computed at once: its arrays stay in the cache
N_BLOCKS = (1 << 32) // BLOCK
HERE = pathlib.Path(__file__).parent
REPORT = HERE.parent / "docs" / "exhaustive.md"

#: name -> (public loss, its options, target). Options are numbers that float32 holds exactly.
LOSSES = {
    "binary_cross_entropy_with_logits, target 0": ("binary_cross_entropy_with_logits", {}, 0),
    "binary_cross_entropy_with_logits, target 1": ("binary_cross_entropy_with_logits", {}, 1),
    "mse_loss": ("mse_loss", {}, 0),
    "l1_loss": ("l1_loss", {}, 0),
    "smooth_l1_loss": ("smooth_l1_loss", {"beta": 0.75}, 0),
    "huber_loss": ("huber_loss", {"delta": 1.25}, 0),
    "log_cosh_loss": ("log_cosh_loss", {}, 0),
    "pinball_loss": ("pinball_loss", {"quantile": 0.25}, 0),
    "expectile_loss": ("expectile_loss", {"expectile": 0.25}, 0),
    "pseudo_huber_loss": ("pseudo_huber_loss", {"delta": 1.5}, 0),
    "epsilon_insensitive_loss": ("epsilon_insensitive_loss", {"epsilon": 0.125}, 0),
    "squared_epsilon_insensitive_loss": ("squared_epsilon_insensitive_loss", {"epsilon": 0.125}, 0),
    "hinge_loss": ("hinge_loss", {}, 1),
    "squared_hinge_loss": ("squared_hinge_loss", {}, 1),
    "perceptron_loss": ("perceptron_loss", {}, 1),
    "exponential_loss": ("exponential_loss", {}, 1),
    "logistic_loss": ("logistic_loss", {}, 1),
    "modified_huber_loss": ("modified_huber_loss", {}, 1),
}

#: rows of losses.def that are functions of one argument
TRANSFORMS = ("exp", "log", "log1p", "tanh", "softplus", "sigmoid", "log_sigmoid")


@functools.cache
def comparison():
    """worst_error of exhaustive.c, compiled for this machine."""
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder, "exhaustive.so")
        flags = ["-O3", "-march=native", "-fno-trapping-math", "-fno-math-errno", "-shared", "-fPIC"]
        subprocess.run([os.environ.get("CC", "cc"), *flags, str(HERE / "exhaustive.c"), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).worst_error
    pointer = np.ctypeslib.ndpointer
    function.argtypes = [pointer(np.float32), pointer(np.float64), ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)]
    function.restype = ctypes.c_double
    return function


def compute(name, x):
    """The function's results for x, in the precision of x: [value], or (value, gradient)."""
    if name in TRANSFORMS:
        return [pointwise.transform(pointwise.Loss(name), x, None, 1)]
    loss, options, target = LOSSES[name]
    targets = np.broadcast_to(np.int8(target), x.shape)
    return getattr(fl, loss).value_and_grad(x, targets, reduction="none", n_threads=1, **options)


@functools.cache
def instruction_sets():
    return [isa for isa, runs in engine.compiled_isas().items() if runs]


def check_piece(name, x, found):
    """Update the worst errors in `found`, {(instruction set, which result): (error, argument)}, with those of x."""
    engine.select_isa("")
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        exact = compute(name, x.astype(np.float64))
    where, first = ctypes.c_int64(), None
    for isa in instruction_sets():
        engine.select_isa(isa)
        results = compute(name, x)
        for which, (got, right) in enumerate(zip(results, exact)):
            if first is None or not np.array_equal(got.view(np.uint32), first[which].view(np.uint32)):
                error = (comparison()(got, right, x.size, where), float(x[where.value]))
                found[isa, which] = max(found.get((isa, which), (0.0, 0.0)), error)
            else:  # the same bits have the same errors
                found[isa, which] = max(found.get((isa, which), (0.0, 0.0)), found[instruction_sets()[0], which])
        first = first or results


def check_block(task):
    name, block = task
    found = {}
    for start in range(block * BLOCK, (block + 1) * BLOCK, PIECE):
        check_piece(name, np.arange(start, start + PIECE, dtype=np.uint64).astype(np.uint32).view(np.float32), found)
    return name, found


def progress(iterable, total):
    try:
        import tqdm
    except ImportError:
        return iterable
    return tqdm.tqdm(iterable, total=total, unit="block", smoothing=0)


def measure(names, every):
    tasks = [(name, block) for name in names for block in range(0, N_BLOCKS, every)]
    worst = {name: {} for name in names}
    with multiprocessing.get_context("spawn").Pool() as pool:
        for name, found in progress(pool.imap_unordered(check_block, tasks, chunksize=4), len(tasks)):
            for key, result in found.items():
                worst[name][key] = max(worst[name].get(key, (0.0, 0.0)), result)
    return worst


def rows(worst):
    """Lines of the table: {function: lines}."""
    isas, found_rows = instruction_sets(), {}
    for name, found in worst.items():
        for which, label in enumerate(("value", "gradient")):
            if (isas[0], which) in found:
                cells = [f"{found[isa, which][0]:.3f} at {found[isa, which][1]:.8g}" for isa in isas]
                line = " | ".join([f"| {name}", label, *cells, str(datetime.date.today())]) + " |"
                found_rows.setdefault(name, []).append(line)
    return found_rows


def present_rows():
    """Those of the report that is there."""
    found = {}
    for line in REPORT.read_text(encoding="utf-8").splitlines():
        name = line.split("|")[1].strip() if line.startswith("|") else ""
        if name in TRANSFORMS or name in LOSSES:
            found.setdefault(name, []).append(line)
    return found


def table(lines):
    isas = instruction_sets()
    head = ["| function | result | " + " | ".join(isas) + " | measured |", "| --- | --- |" + " --- |" * (len(isas) + 1)]
    return "\n".join(head + [line for name in lines for line in lines[name]])


HEADER = """# Every float32

Worst error, in units in the last place, over all 2^32 bit patterns of the argument, and an argument where it occurs.
Written by `python tools/exhaustive.py` on {date} (Python {python}, NumPy {numpy}, {machine}, fastloss {version}); a row
is measured again when its formula changes, and has the day in its last column. The regression losses are taken as
functions of the difference to a target of 0 (beta 0.75, delta 1.25 and 1.5, quantile and expectile 0.25, epsilon
0.125), the margin losses of the margin to a target of 1; results below the smallest normal number may be 0.
NaN, infinities and overflow come out as such everywhere, or the error would be infinite.

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="functions to check (default: all)")
    parser.add_argument("--merge", action="store_true", help="write the rows of the functions named into the report")
    parser.add_argument("--every", type=int, default=1, help="check one block in this many")
    arguments = parser.parse_args()
    known = [*TRANSFORMS, *LOSSES]
    for name in arguments.names:
        if name not in known:
            parser.error(f"{name!r} is not one of: {', '.join(known)}")
    worst = measure(arguments.names or known, arguments.every)
    lines = rows(worst)
    print(table(lines))
    if arguments.every == 1 and (arguments.merge or not arguments.names):
        if arguments.merge:
            lines = present_rows() | lines
        REPORT.parent.mkdir(exist_ok=True)
        header = HEADER.format(date=datetime.date.today(), python=platform.python_version(), numpy=np.__version__,
                               machine=platform.machine(), version=fl.__version__)
        REPORT.write_text(header + table(lines) + "\n", encoding="utf-8")
        print(f"written to {REPORT}")
    raise SystemExit(any(error > 4 for found in worst.values() for error, _ in found.values()))


if __name__ == "__main__":
    main()
