"""The row-wise losses: exact focal and multi-margin losses, the rows they are measured on, and the measurement.

Used by test_row_losses.py, by its processes restricted to one instruction set, and by tools/accuracy.py, which asks for
more rows. The table has cross_entropy and nll_loss, too, so that the report has all four.
"""

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import families
import losses
import numpy as np
import reference
from digest import digest
from reference import MP, NAN, ONE, ZERO, Rows, exact, zeros

QUANTITIES = ("value", "gradient", "Hessian")
GAMMAS = (0.0, 0.5, 2.0, 5.0)

# --- exact ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _softmax_row(x):
    """Cached: the same row is wanted for every gamma."""
    return reference.softmax_row(list(x))


def _focal_factors(p, q, log_p, gamma):
    """(q^gamma, A, D): A is minus the first derivative of the loss by log p, D the second.

    In powers of q that are finite for q > 0; q itself is the sum of the other probabilities, so nothing cancels in it.
    """
    if gamma == 0:
        return ONE, ONE, ZERO
    if q == 0:  # the limits: -log p is q to the first order
        return ZERO, ZERO, ZERO
    p_log_p = ZERO if p == 0 else p * log_p
    power = q**gamma
    slope = power - gamma * power / q * p_log_p
    curvature = gamma * power / q * (2 * p + p_log_p - (gamma - 1) * p * p_log_p / q)
    return power, slope, curvature


def _focal_row(row, y, gamma):
    """(loss, gradient, Hessian, scale of the Hessian) of one row."""
    if not row.valid:
        nan = [NAN] * len(row.x)
        return NAN, nan, nan, nan
    log_p = (row.x[y] - row.top) - MP.log1p(row.rest)
    power, slope, curvature = _focal_factors(row.p[y], row.others[y], log_p, gamma)
    loss = ZERO if power == 0 else -power * log_p
    away = [row.others[c] if c == y else row.p[c] for c in range(len(row.x))]  # |p_c - [c = y]|
    grad = [slope * (-a if c == y else a) for c, a in enumerate(away)]
    first = [slope * p * q for p, q in zip(row.p, row.others)]
    second = [curvature * a * a for a in away]
    hess = [one + two for one, two in zip(first, second)]
    # The two cancel where the docstring says so: there the bound is one of the larger term.
    return loss, grad, hess, [max(abs(one), abs(two)) for one, two in zip(first, second)]


def softmax_focal_loss(input, target, *, gamma=2.0, weight=None, ignore_index=-100, reduction="mean",
                       sample_weight=None, axis=1, normalizer=None, grad_output=1):
    """Exact `fastloss.softmax_focal_loss`. Unlike that of cross_entropy, the `scale` is the Hessian's."""
    rows = Rows(input, target, weight, ignore_index, sample_weight, axis)
    terms = zeros((rows.count,))
    tables = [zeros((rows.count, rows.classes)) for _ in range(3)]
    for n in range(rows.count):
        if rows.counts[n]:
            y = rows.labels[n]
            w = rows.weight[y]
            loss, *derivatives = _focal_row(_softmax_row(tuple(rows.x[n])), y, exact(gamma))
            terms[n] = ZERO if w == 0 else loss * w * rows.sample_weight[n]
            for table, row in zip(tables, derivatives):
                table[n] = [ZERO if w == 0 else w * element for element in row]
    return reference._finish(rows, terms, tables, reduction, normalizer, grad_output)


def multi_margin_loss(input, target, *, p=1, margin=1.0, weight=None, reduction="mean", sample_weight=None, axis=1,
                      normalizer=None, grad_output=1):
    """Exact `fastloss.multi_margin_loss`. Nothing cancels: the label's derivatives are sums of equal signs."""
    # Without the weights, because they are no part of the denominator.
    rows = Rows(input, target, None, None, sample_weight, axis)
    weight = [ONE] * rows.classes if weight is None else [exact(w) for w in np.asarray(weight)]
    terms = zeros((rows.count,))
    grad, hess, scale = (zeros((rows.count, rows.classes)) for _ in range(3))
    for n in range(rows.count):
        y, x = rows.labels[n], rows.x[n]
        share = weight[y] / rows.classes
        if not rows.counts[n] or share == 0:
            continue
        for c in range(rows.classes):
            with MP.workprec(2200):  # exact: 1 + 1e-205 - 1 is not 0
                excess = exact(margin) - x[y] + x[c]
            if c == y or excess <= 0:
                continue
            terms[n] += share * excess**p * rows.sample_weight[n]
            slope, curvature = (share, ZERO) if p == 1 else (2 * share * excess, 2 * share)
            grad[n, c] = slope
            grad[n, y] -= slope
            hess[n, c] = curvature
            hess[n, y] += curvature
    return reference._finish(rows, terms, [grad, hess, scale], reduction, normalizer, grad_output)


# --- rows -------------------------------------------------------------------------------------------------------------


def near_the_margin(dtype, margin, classes, count=6):
    """Scores on both sides of `x_y - margin`, down to an ULP from it: only a single rounding has their digits."""
    rng = np.random.default_rng([11, classes])
    target = rng.integers(0, classes, count)
    label = rng.uniform(-9, 9, (count, 1)).astype(dtype)
    gaps = rng.choice([-1, 1], (count, classes)) * 2.0 ** -rng.integers(1, 60, (count, classes))
    input = (label - dtype(margin) + gaps).astype(dtype)
    input[np.arange(count), target] = label[:, 0]
    return input, target


def crossing(dtype, gamma):
    """The label's -log p from 0.01 to 12: the Hessian changes its sign at 2 + 1/gamma."""
    middle = 2 + 1 / gamma if gamma else 3
    logs = np.concatenate([np.geomspace(0.01, 12, 40), middle * (1 + np.linspace(-0.05, 0.05, 21))])
    input = np.zeros((logs.size, 3))
    input[:, 1] = -np.log(np.expm1(logs) / 2)  # of two equal others
    return input.astype(dtype), np.ones(logs.size, int)


def softmax_rows(dtype, count=1):
    """(name, input, target): every kind of row, narrow (2 to 256 classes) and wide (257 to 600)."""
    for classes in (2, 3, 4, 7, 8, 10, 16, 17, 33, 63, 64, 65, 130):
        yield f"narrow {classes}", *families.ordinary(dtype, 3 * count, classes)
    for classes in (257, 600):
        yield f"wide {classes}", *families.ordinary(dtype, count, classes)
    for gap in (3, 17, 25, 40):
        yield f"gap {gap} of 4", *families.confident(dtype, gap, 4)
    yield "gap 20 of 10", *families.confident(dtype, 20, 10)
    yield "gap 17 of 70", *(part[:6] for part in families.confident(dtype, 17, 70))
    for classes in (2, 10, 70, 270):
        yield f"tied {classes}", *families.tied(dtype, classes)
    yield "one above equals 10", *families.one_above_equals(dtype, 10)
    yield "one above equals 100", *families.one_above_equals(dtype, 100)
    yield "one above equals 300", *families.one_above_equals(dtype, 300)
    yield "spread 20", *families.spread(dtype, 20)
    yield "leader anywhere in 16", *families.leader_anywhere(dtype, 16)
    yield "leader anywhere in 70", *families.leader_anywhere(dtype, 70)
    yield "shifted by 10000, 10", *families.shifted(dtype, 1e4, 10)


# The worst of a random search: the error of 1 - p comes out multiplied by gamma.
SEARCHED = [[2.49, -4.638, -0.248], [4.39, -2.596, -0.115], [4.241, -1.584, -0.927], [7.045, -0.488, -6.162],
            [4.577, 0.466, -3.692], [-1.452, 0.434, -0.931], [-3.606, -1.406, -2.118], [0.686, -2.504, 2.659]]


def focal_rows(dtype, setting, count=1):
    yield from softmax_rows(dtype, count)
    yield "searched 3", np.array(SEARCHED, dtype), np.zeros(len(SEARCHED), int)
    yield "searched 2", np.array([[2.947, -0.156], [1.664, -2.755], [0.878, -2.876]], dtype), np.zeros(3, int)
    yield "crossing", *crossing(dtype, setting["gamma"])


def margin_rows(dtype, setting, count=1):
    for name, input, target in softmax_rows(dtype, count):
        if name.split()[0] in ("narrow", "wide", "tied", "shifted"):  # the others are about exp
            yield name, input, target
    for classes in (2, 5, 17, 64, 65, 144, 300):
        yield f"near the margin, {classes}", *near_the_margin(dtype, setting["margin"], classes, 6 * count)


def log_probability_rows(dtype, _, count=1):
    for name, input, target in softmax_rows(dtype, count):
        yield name, reference.log_softmax(input).astype(dtype), target


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowLoss:
    """One row: `settings` are the sets of options to measure, `rows(dtype, setting, count)` what they are measured on.

    `bounds(setting)` gives the promised ULP of value, gradient and Hessian, `cases(rng, dtype, shape, target)` the
    options to test for their meaning.
    """

    name: str
    oracle: Callable
    rows: Callable
    settings: tuple
    bounds: Callable
    cases: Callable
    cancels: str = ""

    def function(self):
        """Imported late, as in losses.py."""
        import fastloss

        return getattr(fastloss, self.name)


def four(_):
    return 4, 4, 4


def cross_entropy_bounds(_):
    return 4, 4, 8  # T p (1 - p) is a product of two rounded numbers: checks.HESS_ULP


def focal_bounds(setting):
    gamma = setting.get("gamma", 2.0)
    # The power multiplies the relative error of 1 - p, one or two ULP of exponentials and sum, by gamma. For gamma 0,
    # which is cross_entropy itself, bit for bit, these are cross_entropy's bounds.
    return 4 + 2.5 * gamma, 4 + 2.5 * gamma, 8 + 2.5 * gamma


def focal_cases(rng, dtype, shape, target):
    yield from losses.label_options(rng, dtype, shape, target)
    weight = losses.weights(rng, dtype, losses._classes(shape))
    for gamma in (0.0, 0.5, 1.0, 5.0):
        yield f"gamma {gamma}", target, {"gamma": gamma, "weight": weight, "reduction": "none"}


def margin_cases(rng, dtype, shape, target):
    """Those of cross_entropy but for ignore_index, which this loss has not got; with p, margin, and a weight of 0."""
    for name, labels, options in losses.label_options(rng, dtype, shape, target):
        if "ignore_index" not in options:
            yield name, np.where(labels == -100, 0, labels), options
    weight = losses.weights(rng, dtype, losses._classes(shape))
    yield "p 2", target, {"p": 2, "weight": weight}
    yield "margin", target, {"margin": 0.3, "reduction": "none"}
    weight = weight.copy()
    weight[0] = 0
    yield "p 2, margin, weight 0", target, {"p": 2, "margin": 2.5, "weight": weight, "grad_output": -2.0}


def plain_rows(dtype, _, count=1):
    yield from softmax_rows(dtype, count)


ROWS = [
    RowLoss("cross_entropy", reference.cross_entropy, plain_rows, ({}, {"label_smoothing": 0.1}),
            cross_entropy_bounds, losses.cross_entropy_options,
            "the gradient, `T p - t`, where smoothed or given probabilities `t` make it cross 0"),
    RowLoss("nll_loss", reference.nll_loss, log_probability_rows, ({},), four, losses.label_options),
    RowLoss("softmax_focal_loss", softmax_focal_loss, focal_rows, tuple({"gamma": gamma} for gamma in GAMMAS),
            focal_bounds, focal_cases,
            "the Hessian, at the label where `-log(p)` is near `2 + 1 / gamma`, and at another class that has nearly "
            "all of the probability"),
    RowLoss("multi_margin_loss", multi_margin_loss, margin_rows,
            tuple({"p": p, "margin": margin} for p in (1, 2) for margin in (1.0, 0.3)), four, margin_cases),
]
BY_NAME = {row.name: row for row in ROWS}
FOCAL, MULTI_MARGIN = BY_NAME["softmax_focal_loss"], BY_NAME["multi_margin_loss"]


def cases(row, dtype, shape, seed=0):
    """(name, input, target, options) of every set of options, for input of this dtype and shape."""
    rng = np.random.default_rng([seed, *shape])
    input, target = losses.sample_logits(rng, dtype, shape)
    for name, own_target, options in row.cases(rng, dtype, shape, target):
        yield f"{row.name} {name}", input, own_target, options


# --- the measurement --------------------------------------------------------------------------------------------------


def results(row, input, target, **options):
    """(value, gradient, Hessian), each row for itself."""
    function = row.function()
    value, grad = function.value_and_grad(input, target, reduction="none", **options)
    again, hess = function.grad_and_hess(input, target, reduction="none", **options)
    assert grad.tobytes() == again.tobytes(), f"{row.name}: the ways to call differ"
    return value, grad, hess


class Truth:
    """Exact value, gradient and Hessian of some rows, to hold any number of `results` against."""

    def __init__(self, row, input, target, setting):
        self.row, self.dtype, self.setting = row, input.dtype, setting
        truth = row.oracle(input, target, reduction="none", **setting)
        focal = row.name == FOCAL.name
        self.exact = truth.value, truth.grad, truth.hess
        self.scales = (None, None, truth.scale) if focal else (None, truth.scale, None)
        self.vanished = _vanished(input, target, setting["gamma"]) if focal and setting["gamma"] else (False,) * 3

    def errors(self, given):
        """Three arrays, in ULP."""
        return [np.where((got == 0) & vanished, 0, reference.ulp_errors(got, expected, self.dtype, scale))
                for got, expected, scale, vanished in zip(given, self.exact, self.scales, self.vanished)]

    def beyond(self, given):
        """A text for each quantity that is not within the bound."""
        for quantity, errors, bound in zip(QUANTITIES, self.errors(given), self.row.bounds(self.setting)):
            if not errors.max() <= bound:
                at = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
                yield f"{quantity} {errors.max():.2f} ULP at {at}, promised {bound}"


def _vanished(input, target, gamma):
    """Where (1 - p)^gamma of the label or a class's own probability may count as 0, and with it the result."""
    tiny = exact(np.finfo(input.dtype).tiny)
    softmax = [_softmax_row(tuple(reference.exact_array(x))) for x in input]
    power = np.array([row.others[y]**exact(gamma) < tiny for row, y in zip(softmax, target)])
    classes = np.array([[p < tiny for p in row.p] for row in softmax])
    return power, power[:, None] | classes, power[:, None] | classes


def compute(count=1):
    """{(loss, number of the setting, dtype, rows): results}"""
    return {(row.name, number, np.dtype(dtype).name, name): results(row, input, target, **setting)
            for row in ROWS for number, setting in enumerate(row.settings) for dtype in families.DTYPES
            for name, input, target in row.rows(dtype, setting, count)}


def store(path, count=1):
    with open(path, "wb") as file:
        pickle.dump(compute(count), file)


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def digests():
    """{what: hash} for every option, dtype and kind of row, to compare instruction sets bit for bit."""
    found = {}
    for row in (FOCAL, MULTI_MARGIN):
        for dtype in (np.float16, *families.DTYPES):
            for shape in ((1, 2), (41, 3), (33, 17), (9, 64), (5, 65), (4, 130), (4, 5, 6)):
                for name, input, target, options in cases(row, dtype, shape):
                    done = (*row.function().value_and_grad(input, target, **options),
                            *row.function().grad_and_hess(input, target, **options))
                    found[f"{name} {np.dtype(dtype).name} {shape}"] = digest(done)
        for dtype in families.DTYPES:
            for setting in row.settings:
                for name, input, target in row.rows(dtype, setting):
                    done = results(row, input, target, **setting)
                    found[f"{row.name} {setting} {np.dtype(dtype).name} {name}"] = digest(done)
    return found
