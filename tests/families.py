"""The kinds of rows on which accuracy is promised, and the check of one of them against the oracle.

Used by the accuracy tests in this process, and by test_isa.py in processes restricted to an older instruction set.
"""

import losses
import numpy as np
import reference
from checks import ULP, assert_ulp

# Below and above the usual vector widths (4, 8, 16, 32 lanes), and on both sides of where wide rows may begin.
NARROW = (2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 31, 33, 63, 64)
GROUPED = (65, 100, 144, 256)  # more rows than are transposed together
MEDIUM = (127, 128, 129, 130, 145, 255, 257, 400, 1000)
DTYPES = (np.float32, np.float64)


def ordinary(dtype, rows, classes):
    return losses.sample_logits(np.random.default_rng([1, classes]), dtype, (rows, classes))


def confident(dtype, gap, classes):
    """One class leads the others by `gap`; row n has the leader as its label, row n + classes another class."""
    rng = np.random.default_rng([2, classes])
    leader = np.arange(classes).repeat(2)
    input = rng.normal(0, 0.5, (2 * classes, classes))
    input[np.arange(2 * classes), leader] = input.max(axis=1) + gap
    target = np.where(np.arange(2 * classes) % 2, (leader + 1) % classes, leader)
    return input.astype(dtype), target


def shifted(dtype, shift, classes):
    """Logits far from 0, where `x - max` is exact but `exp(x) / sum(exp(x))` is lost."""
    input, target = ordinary(np.float64, 9, classes)
    return (input + shift).astype(dtype), target


def spread(dtype, classes):
    """Logits across the whole range of exp: probabilities down to the smallest normal number, and below it."""
    span = 100 if dtype == np.float32 else 740
    rng = np.random.default_rng([3, classes])
    input = rng.uniform(-span, 0, (8, classes))
    input[:, 0] = 0
    return input.astype(dtype), rng.integers(0, classes, 8)


def leader_anywhere(dtype, classes):
    """The maximum in the first, last and middle columns, so far above that exp of the distance overflows.

    A kernel that overlooks a column (the tail behind the last whole vector, say) when it looks for the maximum may
    still be right for ordinary rows.
    """
    positions = sorted({0, 1, classes // 2, max(0, classes - 5), classes - 2, classes - 1})
    input = np.random.default_rng([6, classes]).normal(0, 1, (len(positions), classes))
    input[np.arange(len(positions)), positions] += 100 if dtype == np.float32 else 800
    return input.astype(dtype), np.where(np.arange(len(positions)) % 2, positions, classes // 3)


def tied(dtype, classes):
    """Several classes share the maximum: two, all but one, and all of them."""
    input = np.random.default_rng([4, classes]).normal(0, 1, (6, classes))
    input[0:2, [0, -1]] = 9.75
    input[2:4, 1:] = 9.75
    input[4:6] = 0.1
    return input.astype(dtype), np.array([0, min(1, classes - 1), 0, classes - 1, 0, classes - 1])


def one_above_equals(dtype, classes):
    """One maximum, and all other classes equal: the largest sum of equal terms, hence the largest rounding drift."""
    gaps = np.array([2.0**-20, 0.3, 1.0, 7.7, 16.6, 25.0, 60.0])
    input = np.full((gaps.size, classes), -0.7)
    leader = np.arange(gaps.size) * 5 % classes
    input[np.arange(gaps.size), leader] += gaps
    return input.astype(dtype), np.where(np.arange(gaps.size) % 2, leader, (leader + 1) % classes)


def wide(dtype, classes=50000):
    rng = np.random.default_rng([5, classes])
    input = rng.normal(0, 4, (1, classes)).astype(dtype)
    return input, rng.integers(0, classes, 1)


def families(dtype):
    """Yield (name, input, target) for every family, in float32 or float64."""
    for classes in NARROW:
        yield f"narrow {classes}", *ordinary(dtype, 19, classes)
    for classes in GROUPED:
        yield f"grouped {classes}", *ordinary(dtype, 18, classes)
    for classes in MEDIUM:
        yield f"medium {classes}", *ordinary(dtype, 2, classes)
    yield "a single row of 10", *ordinary(dtype, 1, 10)
    for classes in (2, 10, 100, 300):
        yield f"tied {classes}", *tied(dtype, classes)
        yield f"one above equals {classes}", *one_above_equals(dtype, classes)
    for classes in (3, 20, 200, 400):
        yield f"spread {classes}", *spread(dtype, classes)
    for classes in (3, 16, 33, 65, 130, 300, 700):
        yield f"leader anywhere in {classes}", *leader_anywhere(dtype, classes)
    for gap in (17, 25, 40):
        yield f"gap {gap} of 4", *confident(dtype, gap, 4)
        yield f"gap {gap} of 33", *confident(dtype, gap, 33)
    for shift in (1e4, -1e4) if dtype == np.float32 else (1e4, -1e9, 1e12):
        yield f"shifted by {shift:g}, 10", *shifted(dtype, shift, 10)
        yield f"shifted by {shift:g}, 130", *shifted(dtype, shift, 130)


def small_families(dtype):
    """A cheap subset with every kind in it."""
    chosen = ("narrow 2", "narrow 10", "narrow 17", "medium 130", "tied 10", "one above equals 100", "spread 20",
              "gap 25 of 4", "gap 25 of 33", "leader anywhere in 130", "shifted by 10000, 10")
    found = [family for family in families(dtype) if family[0] in chosen]
    assert len(found) == len(chosen), "a family of the small set was renamed"
    yield from found


def check_cross_entropy(input, target, what, **options):
    """Value (per row and reduced) and gradient within the promise; the gradient is computed per row."""
    import fastloss as fl

    dtype = input.dtype
    options.setdefault("reduction", "none")
    truth = reference.cross_entropy(input, target, **options)
    value, grad = fl.cross_entropy.value_and_grad(input, target, **options)
    assert_ulp(value, truth.value, dtype, ULP, what=f"{what}: value")
    assert_ulp(grad, truth.grad, dtype, ULP, truth.scale, what=f"{what}: gradient")
    return truth


def check_small_families():
    """What test_isa.py runs in a process of its own."""
    for dtype in DTYPES:
        for name, input, target in small_families(dtype):
            check_cross_entropy(input, target, f"{np.dtype(dtype).name} {name}")
