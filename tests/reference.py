"""The oracle: losses, gradients and diagonal Hessians in 70 decimal digits.

Everything is computed from the *exact* values of the inputs (a float32 0.1 is 0.100000001490116…), so what a test
measures is the library's own rounding and nothing else.  The formulas avoid subtracting nearly equal numbers, because
70 digits would not save `1 - p` for a float64 logit gap of 700.

The functions take fastloss's arguments and return a `Result` of `mpmath` numbers.  They do not validate: errors are the
business of test_errors.py.
"""

import functools
from dataclasses import dataclass

import mpmath
import numpy as np
from mpmath import libmp

# A context of our own: mpmath's global precision belongs to whoever else runs in this process.
MP = mpmath.MPContext()
MP.dps = 70

ZERO, ONE, NAN, INF = MP.mpf(0), MP.mpf(1), MP.nan, MP.inf


@dataclass
class Result:
    """What a loss returns, exactly.

    `scale` says how large the terms were whose difference is a gradient element, max(|T p|, |t|): where the two cross,
    the relative error of the difference is unbounded in the input itself, and rounding is measured against `scale`.
    """

    value: object
    grad: np.ndarray
    hess: np.ndarray
    scale: np.ndarray


def exact(value):
    """The number as it is stored, without rounding."""
    if isinstance(value, MP.mpf):
        return value
    if isinstance(value, (bool, int, np.integer, np.bool_)):
        return MP.mpf(int(value))
    return MP.mpf(float(value))  # every float type up to float64 converts exactly


def exact_array(values):
    """An object array of exact numbers, same shape."""
    values = np.asarray(values)
    result = np.empty(values.shape, object)
    result.reshape(-1)[:] = [exact(v) for v in values.ravel()]
    return result


def zeros(shape):
    result = np.empty(shape, object)
    result.reshape(-1)[:] = [ZERO] * result.size
    return result


# --- one row ---------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """Probabilities of one row: `top` its maximum, `rest` the sum of exp(x - top) over all classes but one maximum."""

    x: list
    top: object
    rest: object
    p: list
    others: list  # 1 - p of each class, as the sum of the other probabilities

    @property
    def valid(self):
        return not MP.isnan(self.top)


def softmax_row(x):
    """Exact softmax of a list of exact numbers; a row with NaN, with +inf, or of nothing but -inf is invalid."""
    count = len(x)
    if any(MP.isnan(v) or v == INF for v in x) or all(v == -INF for v in x):
        return Row(x, NAN, NAN, [NAN] * count, [NAN] * count)
    best = max(range(count), key=lambda c: x[c])
    top = x[best]
    terms = [MP.exp(v - top) for v in x]
    rest = sum((terms[c] for c in range(count) if c != best), ZERO)
    total = ONE + rest
    # total - terms[c] cancels nothing unless c is the maximum, whose complement is `rest`
    others = [(rest if c == best else total - terms[c]) / total for c in range(count)]
    return Row(x, top, rest, [t / total for t in terms], others)


def softmax(values, axis=-1):
    return _along(values, axis, lambda row: row.p)


def log_softmax(values, axis=-1):
    return _along(values, axis, lambda row: [(v - row.top) - MP.log1p(row.rest) for v in row.x])


def logsumexp(values, axis=-1, keepdims=False):
    """All -inf sums to -inf and any +inf to +inf: unlike the softmax, the sum itself is well defined there."""

    def one(row):
        if row.valid:
            return [row.top + MP.log1p(row.rest)]
        if any(MP.isnan(v) for v in row.x):
            return [NAN]
        return [max(row.x)]

    result = _along(values, axis, one)
    return result if keepdims else np.squeeze(result, axis)


def _along(values, axis, function):
    moved = np.moveaxis(exact_array(values), axis, -1)
    rows = [function(softmax_row(list(row))) for row in moved.reshape(-1, moved.shape[-1])]
    flat = np.empty((len(rows), len(rows[0])), object)
    flat[:] = rows
    return np.moveaxis(flat.reshape(moved.shape[:-1] + (flat.shape[1],)), -1, axis)


# --- the arguments of the classification losses -----------------------------------------------------------------------


class Rows:
    """The arguments laid out as a list of rows, in C order of the value's positions."""

    def __init__(self, input, target, weight, ignore_index, sample_weight, axis):
        input, target = np.asarray(input), np.asarray(target)
        self.axis = 0 if input.ndim == 1 else axis
        self.shape = input.shape
        moved = np.moveaxis(exact_array(input), self.axis, -1)
        self.lead, self.classes = moved.shape[:-1], moved.shape[-1]
        self.count = int(np.prod(self.lead, dtype=int))
        self.x = moved.reshape(self.count, self.classes)
        self.weight = [ONE] * self.classes if weight is None else [exact(w) for w in np.asarray(weight)]
        sample_weight = 1 if sample_weight is None else sample_weight
        self.sample_weight = exact_array(np.broadcast_to(np.asarray(sample_weight), self.lead)).ravel()
        self.labels = self.soft = None
        if target.dtype.kind in "iub":
            self.labels = [int(label) for label in target.ravel()]
            counts = [label != ignore_index for label in self.labels]
        else:
            self.soft = np.moveaxis(exact_array(target), self.axis, -1).reshape(self.count, self.classes)
            counts = [True] * self.count
        # A row that is ignored, or whose sample weight is 0, is never read: whatever it holds does not matter.
        self.counts = [c and s != 0 for c, s in zip(counts, self.sample_weight)]

    def denominator(self):
        """What "mean" divides by: sum of w[y] (index targets) or the number of rows, times the sample weights."""
        total = ZERO
        for n in range(self.count):
            if self.counts[n]:
                total += self.sample_weight[n] * (self.weight[self.labels[n]] if self.labels is not None else 1)
        return total

    def to_input(self, rows):
        """A (rows, classes) table back in the layout of the input."""
        return np.moveaxis(rows.reshape(self.lead + (self.classes,)), -1, self.axis)


def _reduce(rows, terms, reduction, normalizer):
    """(value, factor of every gradient element)."""
    if reduction == "none":
        return terms.reshape(rows.lead), ONE
    total = sum(terms, ZERO)
    if reduction == "sum":
        return total, ONE
    if reduction == "batchmean":
        divisor = MP.mpf(rows.lead[0] if rows.lead else 1)
    else:
        divisor = rows.denominator() if normalizer is None else exact(normalizer)
    if divisor == 0:
        return NAN, ZERO  # nothing counts: the mean is undefined, the gradient is 0 and not NaN
    return total / divisor, ONE / divisor


def _finish(rows, terms, tables, reduction, normalizer, grad_output):
    """Reduce, scale the three tables row by row, and put them in the layout of the input."""
    value, factor = _reduce(rows, terms, reduction, normalizer)
    upstream = exact_array(np.broadcast_to(np.asarray(grad_output), rows.lead)).ravel()
    for n in range(rows.count):
        row_factor = factor * upstream[n] * rows.sample_weight[n]
        for table in tables:
            # an uncounted row stays exactly 0, whatever infinity it is multiplied by
            if rows.counts[n] and factor != 0:
                table[n] = [element * row_factor for element in table[n]]
            else:
                table[n] = ZERO
    grad, hess, scale = (rows.to_input(table) for table in tables)
    return Result(value, grad, hess, abs(scale))


# --- the losses -------------------------------------------------------------------------------------------------------


def _target_row(rows, n, smoothing):
    """The target's weight t of each class: the loss of a row is sum_c t_c (-log p_c)."""
    share = smoothing / rows.classes
    if rows.labels is not None:
        t = [w * share for w in rows.weight]
        t[rows.labels[n]] += rows.weight[rows.labels[n]] * (1 - smoothing)
        return t
    return [w * (y * (1 - smoothing) + share) for w, y in zip(rows.weight, rows.soft[n])]


def _cross_entropy_row(row, t):
    """(loss, gradient, Hessian, scale) of one row for the target weights t."""
    if not row.valid:
        nan = [NAN] * len(t)
        return NAN, nan, nan, nan
    total = sum(t, ZERO)
    log_sum = MP.log1p(row.rest)
    # a zero target probability counts 0 even against a logit of -inf
    loss = sum((tc * ((row.top - xc) + log_sum) for tc, xc in zip(t, row.x) if tc != 0), ZERO)
    # T p - t, written so that nothing cancels when all the target's weight lies on one class
    grad = [p * (total - tc) - tc * q for tc, p, q in zip(t, row.p, row.others)]
    hess = [total * p * q for p, q in zip(row.p, row.others)]
    scale = [max(abs(total * p), abs(tc)) for tc, p in zip(t, row.p)]
    return loss, grad, hess, scale


def cross_entropy(input, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0,
                  sample_weight=None, axis=1, normalizer=None, grad_output=1):
    """Exact `fastloss.cross_entropy` and its derivatives."""
    rows = Rows(input, target, weight, ignore_index, sample_weight, axis)
    terms = zeros((rows.count,))
    tables = [zeros((rows.count, rows.classes)) for _ in range(3)]
    smoothing = exact(label_smoothing)
    for n in range(rows.count):
        if rows.counts[n]:
            t = _target_row(rows, n, smoothing)
            loss, *derivatives = _cross_entropy_row(softmax_row(list(rows.x[n])), t)
            terms[n] = loss * rows.sample_weight[n]
            for table, row in zip(tables, derivatives):
                table[n] = row
            if rows.labels is not None and label_smoothing == 0:
                # All weight on one class: minus the sum of the other probabilities, which nothing can cancel.
                # So here the error is measured against the gradient itself, the stricter rule.
                tables[2][n] = [abs(g) for g in tables[0][n]]
    return _finish(rows, terms, tables, reduction, normalizer, grad_output)


def nll_loss(input, target, *, weight=None, ignore_index=-100, reduction="mean", sample_weight=None, axis=1,
             normalizer=None, grad_output=1):
    """Exact `fastloss.nll_loss` and its derivatives: linear in the log-probabilities, so the Hessian is 0."""
    rows = Rows(input, target, weight, ignore_index, sample_weight, axis)
    terms = zeros((rows.count,))
    tables = [zeros((rows.count, rows.classes)) for _ in range(3)]
    for n in range(rows.count):
        if rows.counts[n]:
            y = rows.labels[n]
            terms[n] = -rows.weight[y] * rows.x[n, y] * rows.sample_weight[n]
            tables[0][n, y] = -rows.weight[y]
            tables[2][n, y] = rows.weight[y]
    return _finish(rows, terms, tables, reduction, normalizer, grad_output)


# --- units in the last place ------------------------------------------------------------------------------------------

# dtype: (bits of precision, exponent of the smallest subnormal, exponent of the smallest number that must not be
# flushed to 0, exponent of the overflow threshold).  float16 and bfloat16 are computed in float32, so only what
# float32 may flush, they may flush: a float16 subnormal is an ordinary float32 number.
FORMATS = {
    "float16": (11, -24, -126, 16),
    "bfloat16": (8, -133, -126, 128),
    "float32": (24, -149, -126, 128),
    "float64": (53, -1074, -1022, 1024),
}


@functools.cache
def _format(dtype):
    return FORMATS[np.dtype(dtype).name]


def ulp_error(got, exact_value, dtype, scale=None):
    """How far `got` is from the exact number, in units in the last place of `dtype`.

    The unit is that of `exact_value`, or of `scale` where that is larger.  Results below the smallest normal number
    are right if they are 0.  A `got` of a wider type than `dtype` (a Python float from float32 data) is not rounded.

    The tests call it a million times, hence mpmath's functions for the parts of a number: sign, mantissa, exponent, and
    the mantissa's bits. A mantissa of 0 stands for 0 if the exponent is 0, else for NaN or infinity.
    """
    precision, smallest, flush, overflow = _format(dtype)
    got = exact(got)
    (_, got_mantissa, got_exponent, _), (_, mantissa, exponent, bits) = got._mpf_, exact_value._mpf_
    if (exponent and not mantissa) or (got_exponent and not got_mantissa):
        return _special_error(got, exact_value, precision, overflow)
    if not got_mantissa and (not mantissa or exponent + bits <= flush):
        return 0.0
    if mantissa and exponent + bits < -100_000:  # e^-10^18: mpmath would write its zeros out
        mantissa, exact_value = 0, MP.mpf(0)
    unit = max(exponent + bits - precision, smallest) if mantissa else smallest
    if scale is not None:
        _, mantissa, exponent, bits = exact(scale)._mpf_
        unit = max(unit, exponent + bits - precision) if mantissa else unit
    difference = libmp.mpf_sub(got._mpf_, exact_value._mpf_)
    return libmp.to_float(libmp.mpf_shift(libmp.mpf_abs(difference), -unit))


def _special_error(got, exact_value, precision, overflow):
    """The same where one of them is infinite or NaN: 0, or infinite."""
    if MP.isnan(exact_value) and MP.isnan(got):
        return 0.0
    # Infinity is right if the exact number is infinite, or rounds to more than the largest finite number.
    limit = MP.ldexp(ONE, overflow) - MP.ldexp(ONE, overflow - precision - 1)
    right = MP.isinf(got) and abs(exact_value) >= limit and MP.sign(got) == MP.sign(exact_value)
    return 0.0 if right else float("inf")


def ulp_errors(got, exact_values, dtype, scale=None):
    """`ulp_error` for arrays (or two numbers): a float64 array of the same shape."""
    got, exact_values = np.asarray(got), np.asarray(exact_values, object)
    assert got.shape == exact_values.shape, f"shape {got.shape}, expected {exact_values.shape}"
    scales = [None] * got.size if scale is None else np.asarray(scale, object).ravel()
    errors = [ulp_error(g, e, dtype, s) for g, e, s in zip(got.ravel(), exact_values.ravel(), scales)]
    return np.array(errors, np.float64).reshape(got.shape)
