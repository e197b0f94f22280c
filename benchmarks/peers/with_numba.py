"""numba: the loops one would write in C, compiled with njit, one thread.

`one` is 1 in the input's dtype: a literal would turn float32 into float64. The fast-math flags are those that allow
vectorised sums and keep NaN and infinity.
"""

import math

import numba

from .offer import NotOffered, formula

jit = numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})


@jit
def normalise(x, g):
    """exp(x - max) into g; the maximum and the sum."""
    top = x[0]
    for c in range(x.size):
        top = max(top, x[c])
    total = x[0] - x[0]
    for c in range(x.size):
        g[c] = math.exp(x[c] - top)
        total += g[c]
    return top, total


@jit
def cross_entropy(x, y, g, scale):
    value = 0.0
    for n in range(x.shape[0]):
        top, total = normalise(x[n], g[n])
        value += math.log(total) + top - x[n, y[n]]
        factor = scale / total
        for c in range(x.shape[1]):
            g[n, c] *= factor
        g[n, y[n]] -= scale
    return value * scale, g


@jit
def cross_entropy_value(x, y, scale):
    value = 0.0
    for n in range(x.shape[0]):
        row = x[n]
        top = row[0]
        for c in range(row.size):
            top = max(top, row[c])
        total = row[0] - row[0]
        for c in range(row.size):
            total += math.exp(row[c] - top)
        value += math.log(total) + top - row[y[n]]
    return value * scale


@jit
def weighted_cross_entropy(x, y, g, weight, share, spread, one):
    value, divisor, weights = 0.0, one - one, one - one
    for c in range(weight.size):
        weights += weight[c]
    for n in range(x.shape[0]):
        divisor += weight[y[n]]
    scale = one / divisor
    for n in range(x.shape[0]):
        top, total = normalise(x[n], g[n])
        log_total, own, smooth = math.log(total) + top, (one - share) * weight[y[n]], one - one
        mass = (own + spread * weights) * scale / total
        for c in range(x.shape[1]):
            smooth += weight[c] * x[n, c]
            g[n, c] = mass * g[n, c] - spread * scale * weight[c]
        value += own * (log_total - x[n, y[n]]) + spread * (weights * log_total - smooth)
        g[n, y[n]] -= own * scale
    return value * scale, g


@jit
def cross_entropy_of_probabilities(x, y, g, scale):
    value = 0.0
    for n in range(x.shape[0]):
        top, total = normalise(x[n], g[n])
        mass, dot = y[n, 0] - y[n, 0], y[n, 0] - y[n, 0]
        for c in range(x.shape[1]):
            mass += y[n, c]
            dot += y[n, c] * x[n, c]
        value += mass * (math.log(total) + top) - dot
        factor = mass * scale / total
        for c in range(x.shape[1]):
            g[n, c] = factor * g[n, c] - scale * y[n, c]
    return value * scale, g


def elementwise(term):
    """A loop over a formula that gives a term of the loss and its derivative."""
    term = jit(term)

    @jit
    def loop(x, y, g, scale, one):
        value = 0.0
        for i in range(x.size):
            loss, slope = term(x[i], y[i], one)
            value += loss
            g[i] = slope * scale
        return value * scale, g

    return loop


def weighted_elementwise(term):
    term = jit(term)

    @jit
    def loop(x, y, weight, g, scale, one):
        value = 0.0
        for i in range(x.size):
            loss, slope = term(x[i], y[i], one)
            value += loss * weight[i]
            g[i] = slope * weight[i] * scale
        return value * scale, g

    return loop


def binary(x, y, one):
    e = math.exp(-abs(x))
    return max(x, x - x) - x * y + math.log1p(e), (one if x >= 0 else e) / (one + e) - y


def mse(x, y, one):
    d = x - y
    return d * d, d + d


def l1(x, y, one):
    d = x - y
    return abs(d), one if d > 0 else (-one if d < 0 else d)


def huber(x, y, one):
    d = x - y
    c = min(max(d, -one), one)
    return c * (d - c / (one + one)), c


def focal(x, y, one):
    two = one + one
    sign, alpha = (one, one / (two + two)) if y > 0 else (-one, one - one / (two + two))
    q = one / (one + math.exp(sign * x))
    entropy = -math.log1p(-q)
    weight = alpha * q * q
    return weight * entropy, -sign * weight * (two * (one - q) * entropy + q)


def log_cosh(x, y, one):
    d = x - y
    e = math.exp(-abs(d + d))
    slope = (one - e) / (one + e)
    return abs(d) + math.log((one + e) / (one + one)), slope if d > 0 else -slope


def hinge(x, y, one):
    m = one - x * y
    return (m, -y) if m > 0 else (m - m, y - y)


@jit
def binary_derivatives(x, y, g, h, one):
    for i in range(x.size):
        p = one / (one + math.exp(-x[i]))
        g[i] = p - y[i]
        h[i] = p * (one - p)
    return g, h


FORMULAS = {
    "binary_cross_entropy_with_logits": binary,
    "binary_cross_entropy_with_logits weights": binary,
    "mse_loss": mse,
    "mse_loss weights": mse,
    "l1_loss": l1,
    "smooth_l1_loss": huber,  # the same at beta = delta = 1
    "huber_loss": huber,
    "sigmoid_focal_loss": focal,
    "log_cosh_loss": log_cosh,
    "hinge_loss": hinge,
}


def make(case, data):
    x, y, g = data.input, data.target, data.grad
    if case.dtype == "float16":
        raise NotOffered("has no float16 arithmetic on CPUs")
    if case.variant == "images":
        raise NotOffered("not written here for images")
    one = x.dtype.type(1)
    scale = one if case.reduction == "sum" else one / x.dtype.type(len(x))
    if case.work == "grad_and_hess":
        return lambda: binary_derivatives(x, y, g, data.hess, one)
    if case.work == "value":
        return lambda: (cross_entropy_value(x, y, scale), None)
    if case.variant == "weights and smoothing":
        weight, share = data.options["weight"], data.options["label_smoothing"]
        share, spread = x.dtype.type(share), x.dtype.type(share / len(weight))
        return lambda: weighted_cross_entropy(x, y, g, weight, share, spread, one)
    if case.loss == "cross_entropy":
        run = cross_entropy_of_probabilities if case.variant == "probabilities" else cross_entropy
        return lambda: run(x, y, g, scale)
    if case.variant == "weights":
        weighted_loop, weight = weighted_elementwise(formula(FORMULAS, case)), data.options["weight"]
        return lambda: weighted_loop(x, y, weight, g, scale, one)
    loop = elementwise(formula(FORMULAS, case))
    return lambda: loop(x, y, g, scale, one)
