"""Find the polynomial coefficients and split constants of fastloss/_native/kernels/coefficients.h.

    python tools/minimax.py > fastloss/_native/kernels/coefficients.h
    python tools/minimax.py --check fastloss/_native/kernels/coefficients.h

Needs mpmath and numpy. The output depends on this file alone: no random numbers, no floating point of the machine.

Every kernel computes  function(x) = head(x) + factor(x) * P(argument(x))  where `head` holds the leading Taylor terms.
They are exact, or added last, so rounding P costs only a small fraction of an ULP of the result. What matters is the
relative error of the *function*, so P is fitted under the weight |factor / function|, not for its own relative error.
That weight vanishes at zero, where the head is already right, and leaves P the freedom to be better elsewhere.

The fit is a Remez exchange on a fixed grid. Rounding all coefficients of the best real polynomial at once costs
several bits where there are many terms, so they are rounded one at a time, lowest order first because those carry the
most weight, and the remaining ones are fitted again each time to absorb the rounding error: that costs at most 0.15
bit.
"""

import argparse
import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

# (f - head) / factor cancels up to x^4 near zero, and the last of twenty coefficients is fitted under weights that go
# down to 1e-100: 900 bits leave more than 100 correct ones.
mp.prec = 900

# A fixed grid makes the exchange finite and exact. Chebyshev spacing loses about (pi * degree / GRID)^2 / 8 of the
# error between its points: below 0.1 %, far less than what rounding the coefficients changes.
GRID = 700
CHECK_GRID = 8000
LEVELLED = mpf("1.001")
MAX_EXCHANGES = 100
MAX_DEGREE = 24

MANTISSA_BITS = {"F32": 24, "F64": 53}


@dataclass(frozen=True)
class Family:
    """One kernel: function(x) = head(x) + factor(x) * P(argument(x)) on [low, high], for one or both dtypes."""

    name: str
    formula: str
    domain: str
    low: mpf
    high: mpf
    function: Callable
    head: Callable
    factor: Callable
    argument: Callable
    # dtype -> bound on log2 of the relative error; the lowest degree that reaches it is taken
    bounds: dict
    # dtype -> degree, where the kernel prescribes one
    degrees: dict


def identity(x):
    return x


def square(x):
    return x * x


# The argument reduction rounds, and may land just outside its exact interval: fit one percent further.
MARGIN = mpf("1.01")
HALF_LN2 = MARGIN * mp.ln2 / 2
ATANH_HIGH = MARGIN * (3 - 2 * mp.sqrt(2))

FAMILIES = (
    # Relative to e^r: the result is scaled by 2^n, so its relative error is the one that survives.
    Family("EXP_Q", "e^r = 1 + r + r^2 Q(r)", "|r| <= 1.01 ln(2)/2", -HALF_LN2, HALF_LN2,
           mp.exp, lambda r: 1 + r, square, identity, {"F32": -28, "F64": -58}, {"F32": 4}),
    # One division halves the number of terms: only odd powers of s, and |s| is less than half of |f|.
    Family("LOG1P_R", "log(1 + f) = 2 s + s^3 R(s^2), s = f / (2 + f)", "|s| <= 1.01 (3 - 2 sqrt(2))",
           mpf(0), ATANH_HIGH, lambda s: mp.log((1 + s) / (1 - s)), lambda s: 2 * s, lambda s: s**3, square,
           {"F32": -28, "F64": -58}, {}),
    # For e^-|x|, which is all that a sigmoid needs a logarithm of: no division, and no exponent to be taken apart.
    Family("LOG1P_UNIT", "log(1 + e) = e + e^2 P(e)", "0 <= e <= 1", mpf(0), mpf(1),
           lambda e: mp.log(1 + e), identity, square, identity, {"F32": -27, "F64": -56}, {}),
    # Relative to e^r - 1, which goes to zero with r: the fit for exp would lose all digits there.
    Family("EXPM1_G", "e^r - 1 = r + r^2/2 + r^3 G(r)", "|r| <= 1.01 ln(2)/2", -HALF_LN2, HALF_LN2,
           lambda r: mp.exp(r) - 1, lambda r: r + r * r / 2, lambda r: r**3, identity, {"F32": -28, "F64": -58}, {}),
    # Even, and zero at zero like x^2/2, where |x| - log(2) + log1p(e^(-2|x|)) cancels: below 0.75 that costs more than
    # an ULP.
    Family("LOGCOSH_C", "log(cosh(x)) = x^2/2 + x^4 C(x^2)", "|x| <= 0.75", mpf(0), mpf("0.75"),
           lambda x: mp.log(mp.cosh(x)), lambda x: x * x / 2, lambda x: x**4, square, {"F32": -27, "F64": -57}, {}),
)


def horner(coefficients, u):
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = u * value + coefficient
    return value


def round_to(value, bits):
    """Nearest number of `bits` mantissa bits: straight from mpmath, for going through float would round twice."""
    with mp.workprec(bits):
        return +value


def log2(value):
    return float(mp.log(value, 2))


def sample(family):
    """The fit as a plain weighted problem: arguments u, wanted values of P(u), weights, on a Chebyshev grid in u."""
    ends = sorted((family.argument(family.low), family.argument(family.high)))
    middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
    grid = [middle - half * mp.cos(mp.pi * i / GRID) for i in range(GRID + 1)]
    # The weight is zero at zero, where the wanted value is 0/0: the point can never count, so leave it out.
    grid = [u for u in grid if abs(u) > mpf("1e-12")]
    xs = [mp.sqrt(u) if family.argument is square else u for u in grid]
    values = [family.function(x) for x in xs]
    wanted = [(value - family.head(x)) / family.factor(x) for x, value in zip(xs, values)]
    weights = [abs(family.factor(x) / value) for x, value in zip(xs, values)]
    return tuple(np.array(column, dtype=object) for column in (grid, wanted, weights))


def solve_levelled(u, wanted, weights, reference, degree):
    """The polynomial whose weighted error is +level, -level, +level... at the reference points, and that level."""
    rows = [[u[i] ** k for k in range(degree + 1)] + [(-1) ** n / weights[i]] for n, i in enumerate(reference)]
    solution = mp.lu_solve(mp.matrix(rows), mp.matrix([wanted[i] for i in reference]))
    return list(solution[: degree + 1]), abs(solution[degree + 1])


def alternating_extrema(error, count):
    """Indices of `count` points where the error alternates in sign and is large, the largest one among them."""
    signs = np.array([value > 0 for value in error])
    size = np.abs(error)
    starts = np.flatnonzero(np.diff(signs)) + 1
    peaks = [max(run, key=size.__getitem__) for run in np.split(np.arange(len(error)), starts)]
    while len(peaks) > count:
        smallest = min(range(len(peaks)), key=lambda k: size[peaks[k]])
        if 0 < smallest < len(peaks) - 1 and len(peaks) - count >= 2:
            # An inner point may only leave together with a neighbour: the signs must go on alternating.
            neighbour = min(smallest - 1, smallest + 1, key=lambda k: size[peaks[k]])
            first = min(smallest, neighbour)
            del peaks[first : first + 2]
        else:
            peaks.pop(0 if size[peaks[0]] < size[peaks[-1]] else -1)
    return peaks


def remez(u, wanted, weights, degree, bound=mp.inf):
    """Coefficients of the best weighted polynomial; None as soon as it is certain that its error exceeds `bound`."""
    last = len(u) - 1
    reference = [round(last * n / (degree + 1)) for n in range(degree + 2)]
    for _ in range(MAX_EXCHANGES):
        coefficients, level = solve_levelled(u, wanted, weights, reference, degree)
        if level > bound:
            # The level of any reference is a lower bound for the best error (de la Vallee Poussin).
            return None
        error = (wanted - horner(coefficients, u)) * weights
        if np.abs(error).max() <= level * LEVELLED:
            return coefficients
        reference = alternating_extrema(error, degree + 2)
    raise ArithmeticError(f"the exchange for degree {degree} did not settle")


def rounded_fit(u, wanted, weights, degree, bits):
    """Coefficients representable in `bits` bits: round the lowest, take it out of the problem, fit the rest again.

    Dividing the remainder by u and multiplying the weight by |u| gives a problem of the same kind, one degree lower.
    """
    fixed = []
    while len(fixed) <= degree:
        fixed.append(round_to(remez(u, wanted, weights, degree - len(fixed))[0], bits))
        wanted = (wanted - fixed[-1]) / u
        weights = weights * np.abs(u)
    return fixed


def measure(family, coefficients, bits):
    """Largest relative error, and error in ULP, of the whole formula on a grid that the fit has not seen."""
    relative = ulps = mpf(0)
    for i in range(CHECK_GRID + 1):
        x = family.low + (family.high - family.low) * i / CHECK_GRID
        if abs(x) < mpf("1e-12"):
            continue
        value = family.function(x)
        got = family.head(x) + family.factor(x) * horner(coefficients, family.argument(x))
        error = abs(got - value)
        relative = max(relative, error / abs(value))
        # frexp puts the mantissa in [1/2, 1), hence the exponent of one ULP is e - bits.
        ulps = max(ulps, error / mp.ldexp(1, mp.frexp(value)[1] - bits))
    return log2(relative), float(ulps)


def best_fit(family, dtype):
    """The rounded polynomial of the prescribed degree, or of the lowest degree within the bound; and its error."""
    bits = MANTISSA_BITS[dtype]
    bound = family.bounds[dtype]
    prescribed = family.degrees.get(dtype)
    problem = sample(family)
    for degree in range(MAX_DEGREE + 1) if prescribed is None else [prescribed]:
        if remez(*problem, degree, mpf(2) ** bound) is None:
            continue
        coefficients = rounded_fit(*problem, degree, bits)
        relative, ulps = measure(family, coefficients, bits)
        if relative < bound:
            return coefficients, relative, ulps
    raise ArithmeticError(f"{family.name}_{dtype}: no degree reaches 2^{bound}")


def literal(value, dtype):
    """A C hex float: exact, and the same for every compiler."""
    mantissa, exponent = float(value).hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{int(exponent)}" + ("f" if dtype == "F32" else "")


def fit_text(family, dtype):
    coefficients, relative, ulps = best_fit(family, dtype)
    degree = len(coefficients) - 1
    name = f"{family.name}_{dtype}"
    literals = [literal(c, dtype) for c in coefficients]
    lines = [", ".join(literals[i : i + 4]) for i in range(0, len(literals), 4)]
    body = ", \\\n    ".join(lines)
    return (f"/* {family.formula}\n"
            f" * {family.domain}; degree {degree}; relative error 2^{relative:.2f}, {ulps:.4f} ULP */\n"
            f"#define {name}_DEGREE {degree}\n"
            f"#define {name} {{ \\\n    {body} }}\n")


def split_text(dtype):
    """ln(2) in two parts and the plain constants."""
    bits = MANTISSA_BITS[dtype]
    # n is at most 150 for float32 and 1075 for float64 before exp over- or underflows. With these bits left free
    # n * hi is exact without FMA. Rounded to nearest, not down: lo may be negative, but is one bit smaller.
    spare, largest = {"F32": (9, 256), "F64": (12, 2048)}[dtype]
    high = round_to(mp.ln2, bits - spare)
    low = round_to(mp.ln2 - high, bits)
    if any(round_to(n * high, bits) != n * high for n in range(largest + 1)):
        raise ArithmeticError(f"LN2_HI_{dtype} has too many bits")
    missing = log2(abs(mp.ln2 - high - low))
    constants = (("LOG2E", 1 / mp.ln2), ("HALF_LOG_2PI", mp.log(2 * mp.pi) / 2))
    plain = "".join(f"#define {name}_{dtype} {literal(round_to(value, bits), dtype)}\n" for name, value in constants)
    return (f"/* ln(2) = hi + lo to 2^{missing:.2f}; n * hi is exact for |n| <= {largest} */\n"
            f"#define LN2_HI_{dtype} {literal(high, dtype)}\n"
            f"#define LN2_LO_{dtype} {literal(low, dtype)}\n") + plain


PROLOGUE = """\
/* Written by tools/minimax.py; do not edit: change the script and run it again.
 *
 * Coefficients are in order c0, c1, ..., cn, lowest order first. The errors given are those of the formula with these
 * rounded coefficients in exact arithmetic; the rounding of each operation comes on top. Relative errors and ULP are
 * those of the function on the left. */
#ifndef FASTLOSS_COEFFICIENTS_H
#define FASTLOSS_COEFFICIENTS_H
"""


def header():
    fits = [fit_text(family, dtype) for family in FAMILIES for dtype in family.bounds]
    splits = [split_text(dtype) for dtype in MANTISSA_BITS]
    return "\n".join([PROLOGUE, *fits, *splits, "#endif\n"])


def main():
    parser = argparse.ArgumentParser(description="Print the polynomial coefficients of the kernels as a C header.")
    parser.add_argument("--check", metavar="FILE", type=Path, help="compare with FILE; exit with 1 if it differs")
    arguments = parser.parse_args()
    if arguments.check is None:
        sys.stdout.write(header())
        return 0
    present, expected = arguments.check.read_text(encoding="utf-8"), header()
    sys.stdout.writelines(difflib.unified_diff(present.splitlines(True), expected.splitlines(True),
                                               str(arguments.check), "tools/minimax.py"))
    return int(present != expected)


if __name__ == "__main__":
    sys.exit(main())
