"""How far apart the baseline of x86-64, which has no fused multiply-add, and AVX2 are: the most for each loss.

    python tools/baseline.py [--count 100]

The points, the rows and the unit are those of tools/accuracy.py: ULP of the exact result, or of its largest term where
terms cancel. AVX-512 and arm64 give AVX2's bits (tools/equal_bits.py).
"""

import argparse

import accuracy
import numpy as np
from accuracy import catalogue, checks, row_losses
from reference import exact_array, ulp_errors


def distance(one, other, expected, scale, dtype):
    """In ULP; 0 where nothing is promised, and where one of them may be 0 and is."""
    scale = expected if scale is None else scale
    sizes = [max(abs(e), abs(e if s is None else s)) for e, s in zip(expected.ravel(), scale.ravel()) if e is not None]
    promised = np.array([e is not None for e in expected.ravel()])
    one, other = one.ravel()[promised], other.ravel()[promised]
    both = np.isfinite(one) & np.isfinite(other) & (one != 0) & (other != 0)
    return max(ulp_errors(one[both], exact_array(other[both]), dtype, np.array(sizes, object)[both]), default=0.0)


def elementwise(dtype, count):
    """(loss, quantity, distance)"""
    results = accuracy.computed(checks, count, accuracy.SEED)
    for row in catalogue.ROWS:
        for number, _ in checks.settings(row):
            key = row.name, number, np.dtype(dtype).name
            one, other = results["baseline"][key], results["avx2"][key]
            _, terms = checks.truth(row.name, number, dtype, count, accuracy.SEED)
            yield row.name, "value", distance(one["value"], other["value"], terms.value, terms.value_scale, dtype)
            for wrt in terms.slope:
                for quantity, expected, scale in (("gradient", terms.slope, terms.slope_scale),
                                                  ("Hessian", terms.curvature, terms.curvature_scale)):
                    yield row.name, quantity, distance(one[quantity, wrt], other[quantity, wrt], expected[wrt],
                                                       scale[wrt], dtype)


def row_wise(dtype, count):
    """The same for the losses over classes."""
    results = accuracy.computed(row_losses, accuracy.rows_per_kind(count))
    for row in row_losses.ROWS:
        for number, setting in enumerate(row.settings):
            for name, input, target in row.rows(dtype, setting, accuracy.rows_per_kind(count)):
                key = row.name, number, np.dtype(dtype).name, name
                truth = row_losses.Truth(row, input, target, setting)
                for quantity, one, other, expected, scale in zip(checks.QUANTITIES, results["baseline"][key],
                                                                 results["avx2"][key], truth.exact, truth.scales):
                    yield row.name, quantity, distance(one, other, expected, scale, dtype)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="points of every family (default 100)")
    count = parser.parse_args().count
    for dtype in checks.DTYPES:
        found = {}
        for loss, quantity, ulp in (*elementwise(dtype, count), *row_wise(dtype, count)):
            worst = found.setdefault(loss, dict.fromkeys(checks.QUANTITIES, 0.0))
            worst[quantity] = max(worst[quantity], ulp)
        for loss, worst in found.items():
            print(f"{np.dtype(dtype).name} {loss}: " + ", ".join(f"{q} {ulp:.2f}" for q, ulp in worst.items()))
        print(f"{np.dtype(dtype).name}: " + ", ".join(
            f"{quantity} at most {max(worst[quantity] for worst in found.values()):.2f} ULP apart"
            for quantity in checks.QUANTITIES))


if __name__ == "__main__":
    main()
