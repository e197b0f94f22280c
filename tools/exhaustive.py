"""Check every function of one float32 argument on all 2^32 bit patterns, on every instruction set of this machine.

    python tools/exhaustive.py                        all functions, into docs/exhaustive.md (about twenty minutes)
    python tools/exhaustive.py exp huber_loss         some of them, to the terminal only
    python tools/exhaustive.py --every 4096           one block of 2^18 patterns in 4096, to try it out

The reference is NumPy in double, written so that it is right to far more digits than float32 has. An error is counted in
units in the last place of the exact result; a result below the smallest normal number may be 0.
"""

import argparse
import datetime
import multiprocessing
import pathlib
import platform

import numpy as np

import fastloss as fl
from fastloss._native import engine, pointwise

BLOCK = 1 << 18  # one task of the pool
PIECE = 1 << 13  # what is computed at once: its temporaries stay in the cache, and in the allocator's hands
N_BLOCKS = (1 << 32) // BLOCK
SMALLEST = 2.0**-126
REPORT = pathlib.Path(__file__).parents[1] / "docs" / "exhaustive.md"


def sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1 + small)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def log_cosh(x):
    a = np.abs(x)
    s = x * x
    series = s * (1 / 2 - s * (1 / 12 - s * (1 / 45 - s * (17 / 2520 - s * (31 / 14175 - s * 691 / 935550)))))
    return np.where(a < 0.125, series, a + np.log1p(np.exp(-2 * a)) - np.log(2))


def single(number):
    """A parameter as float32 holds it, in double."""
    return float(np.float32(number))


def where3(condition, yes, no, x):
    return np.where(np.isnan(x), x, np.where(condition, yes, no))


#: name -> (public loss, its options, target, value and gradient of x in double)
LOSSES = {
    "binary_cross_entropy_with_logits, target 0": (
        "binary_cross_entropy_with_logits", {}, 0, softplus, sigmoid),
    "binary_cross_entropy_with_logits, target 1": (
        "binary_cross_entropy_with_logits", {}, 1, lambda x: softplus(-x), lambda x: -sigmoid(-x)),
    "mse_loss": ("mse_loss", {}, 0, np.square, lambda x: 2 * x),
    "l1_loss": ("l1_loss", {}, 0, np.abs, np.sign),
    "smooth_l1_loss": (
        "smooth_l1_loss", {"beta": 0.75}, 0,
        lambda x: where3(np.abs(x) < 0.75, x * x / 1.5, np.abs(x) - 0.375, x), lambda x: np.clip(x / 0.75, -1, 1)),
    "huber_loss": (
        "huber_loss", {"delta": 1.25}, 0,
        lambda x: where3(np.abs(x) <= 1.25, x * x / 2, 1.25 * (np.abs(x) - 0.625), x),
        lambda x: np.clip(x, -1.25, 1.25)),
    "log_cosh_loss": ("log_cosh_loss", {}, 0, log_cosh, np.tanh),
    "pinball_loss": (
        "pinball_loss", {"quantile": 0.25}, 0, lambda x: np.maximum(0.75 * x, -0.25 * x),
        lambda x: where3(x > 0, 0.75, np.where(x < 0, -0.25, 0), x)),
    "expectile_loss": (
        "expectile_loss", {"expectile": 0.25}, 0, lambda x: np.where(x > 0, 0.75, 0.25) * x * x,
        lambda x: 2 * np.where(x > 0, 0.75, 0.25) * x),
    "pseudo_huber_loss": (
        "pseudo_huber_loss", {"delta": 2.0}, 0, lambda x: x * (x / (1 + np.hypot(1, x / 2))),
        lambda x: np.where(np.isinf(x), 2 * np.sign(x), x / np.hypot(1, x / 2))),
    "epsilon_insensitive_loss": (
        "epsilon_insensitive_loss", {"epsilon": 0.1}, 0, lambda x: np.maximum(np.abs(x) - single(0.1), 0),
        lambda x: where3(np.abs(x) > single(0.1), np.sign(x), 0, x)),
    "squared_epsilon_insensitive_loss": (
        "squared_epsilon_insensitive_loss", {"epsilon": 0.1}, 0,
        lambda x: np.maximum(np.abs(x) - single(0.1), 0) ** 2,
        lambda x: 2 * np.sign(x) * np.maximum(np.abs(x) - single(0.1), 0)),
    "hinge_loss": ("hinge_loss", {}, 1, lambda x: np.maximum(1 - x, 0), lambda x: where3(x < 1, -1, 0, x)),
    "squared_hinge_loss": (
        "squared_hinge_loss", {}, 1, lambda x: np.maximum(1 - x, 0) ** 2, lambda x: -2 * np.maximum(1 - x, 0)),
    "perceptron_loss": ("perceptron_loss", {}, 1, lambda x: np.maximum(-x, 0), lambda x: where3(x < 0, -1, 0, x)),
    "exponential_loss": ("exponential_loss", {}, 1, lambda x: np.exp(-x), lambda x: -np.exp(-x)),
    "logistic_loss": ("logistic_loss", {}, 1, lambda x: softplus(-x), lambda x: -sigmoid(-x)),
    "modified_huber_loss": (
        "modified_huber_loss", {}, 1, lambda x: where3(x >= -1, np.maximum(1 - x, 0) ** 2, -4 * x, x),
        lambda x: where3(x >= -1, -2 * np.maximum(1 - x, 0), -4, x)),
}  # fmt: skip

#: name -> (row of losses.def, function in double)
TRANSFORMS = {
    "exp": ("exp", np.exp),
    "log": ("log", np.log),
    "log1p": ("log1p", np.log1p),
    "tanh": ("tanh", np.tanh),
    "softplus": ("softplus", softplus),
    "sigmoid": ("sigmoid", sigmoid),
    "log_sigmoid": ("log_sigmoid", lambda x: -softplus(-x)),
}


def exact(name, x):
    """What the function should give, in double: a list of one or two arrays."""
    wide = x.astype(np.float64)
    if name in TRANSFORMS:
        return [TRANSFORMS[name][1](wide)]
    *_, value, gradient = LOSSES[name]
    return [value(wide), gradient(wide)]


def computed(name, x):
    if name in TRANSFORMS:
        return [pointwise.transform(pointwise.Loss(TRANSFORMS[name][0]), x, None, 1)]
    loss, options, target, *_ = LOSSES[name]
    targets = np.broadcast_to(np.int8(target), x.shape)
    return getattr(fl, loss).value_and_grad(x, targets, reduction="none", n_threads=1, **options)


def worst_error(got, true):
    """The largest error in ULP, and where; NaN, infinity and overflow must come out as such, else it is infinite."""
    rounded = true.astype(np.float32)
    power = (rounded.view(np.uint32) & np.uint32(0x7F800000)).view(np.float32)
    error = np.abs(got - true) / power
    worst = int(np.argmax(error))  # of the first NaN, if there is one
    if not np.isfinite(error[worst]):
        error = special_error(got, true, rounded, error)
        worst = int(np.argmax(error))
    return float(error[worst]) * 2.0**23, worst


def special_error(got, true, rounded, error):
    """The errors where some results are not normal numbers: 0 where such a one is right, infinite where it is not."""
    normal = np.isfinite(rounded) & (np.abs(true) >= SMALLEST) & np.isfinite(got)
    right = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    tiny = np.abs(true) < SMALLEST
    right |= tiny & ((got == 0) | (np.abs(got - true) <= 4 * 2.0**-149))
    return np.where(normal, error, np.where(right, 0.0, np.inf))


def check_piece(name, x, isas, found):
    """Update the worst errors in `found`, {(instruction set, which result): (error, argument)}, with those of x.

    An instruction set that gives the bits of the first has its errors: only the rest is measured again.
    """
    true = exact(name, x)
    first = None
    for isa in isas:
        engine.select_isa(isa)
        got = computed(name, x)
        for which in range(len(true)):
            argument, values, right = x, got[which], true[which]
            error = (0.0, 0.0)
            if first is not None:
                error = found.get((isas[0], which), error)
                other = got[which].view(np.uint32) != first[which].view(np.uint32)
                argument, values, right = x[other], values[other], right[other]
            if values.size:
                value, worst = worst_error(values.astype(np.float64), right)
                error = max(error, (value, float(argument[worst])))
            found[isa, which] = max(found.get((isa, which), (0.0, 0.0)), error)
        first = first or got


def check_block(task):
    name, block = task
    isas = [isa for isa, runs in engine.compiled_isas().items() if runs]
    found = {}
    with np.errstate(all="ignore"):
        for start in range(block * BLOCK, (block + 1) * BLOCK, PIECE):
            bits = np.arange(start, start + PIECE, dtype=np.uint64).astype(np.uint32)
            check_piece(name, bits.view(np.float32), isas, found)
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
        for name, found in progress(pool.imap_unordered(check_block, tasks, chunksize=16), len(tasks)):
            for key, result in found.items():
                worst[name][key] = max(worst[name].get(key, (0.0, 0.0)), result)
    return worst


def table(worst):
    isas = [isa for isa, runs in engine.compiled_isas().items() if runs]
    lines = ["| function | result | " + " | ".join(isas) + " |", "| --- | --- |" + " --- |" * len(isas)]
    for name, found in worst.items():
        for which, label in enumerate(("value", "gradient")):
            if (isas[0], which) in found:
                cells = [f"{found[isa, which][0]:.3f} at {found[isa, which][1]:.8g}" for isa in isas]
                lines.append(f"| {name} | {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


HEADER = """# Every float32

Worst error, in units in the last place, over all 2^32 bit patterns of the argument, and the argument where it occurs.
Written by `python tools/exhaustive.py` on {date} (Python {python}, NumPy {numpy}, {machine}). The losses are taken as
functions of the difference to a target of 0, or of the margin to a target of 1; results below the smallest normal number
may be 0.

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="functions to check (default: all)")
    parser.add_argument("--every", type=int, default=1, help="check one block in this many")
    arguments = parser.parse_args()
    known = [*TRANSFORMS, *LOSSES]
    for name in arguments.names:
        if name not in known:
            parser.error(f"{name!r} is not one of: {', '.join(known)}")
    worst = measure(arguments.names or known, arguments.every)
    text = table(worst)
    print(text)
    if not arguments.names and arguments.every == 1:
        REPORT.parent.mkdir(exist_ok=True)
        header = HEADER.format(date=datetime.date.today(), python=platform.python_version(), numpy=np.__version__,
                               machine=platform.machine())
        REPORT.write_text(header + text + "\n")
        print(f"written to {REPORT}")
    raise SystemExit(any(error > 4 for found in worst.values() for error, _ in found.values()))


if __name__ == "__main__":
    main()
