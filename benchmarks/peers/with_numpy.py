"""NumPy, written with care: every pass writes into a buffer that is there already, float16 is computed in float32."""

import math

import numpy as np

from .offer import formula


class Work:
    """What a formula gets: the input, the target, buffers of the input's shape, and the mean's factor."""

    def __init__(self, case, data):
        half = case.dtype == "float16"
        dtype = np.dtype("float32" if half else case.dtype)
        self.source = data.input if half else None
        self.x = np.empty(data.input.shape, dtype) if half else data.input
        self.y, self.options, self.derive = data.target, data.options, case.work != "value"
        self.out = data.grad if half else None
        self.grad = np.empty(data.grad.shape, dtype) if half else data.grad
        self.hess = data.hess
        self.a, self.b = (np.empty_like(self.grad) for _ in range(2)) if len(case.shape) == 1 else (None, None)
        self.rows = np.arange(case.shape[0]) if len(case.shape) > 1 else None
        self.scale = dtype.type(1 if case.reduction == "sum" else 1 / case.shape[0])
        self.spare = np.empty_like(self.grad) if case.variant == "probabilities" else None

    def __call__(self, function):
        if self.source is not None:
            np.copyto(self.x, self.source)
        value = function(self)
        if self.out is not None:
            np.copyto(self.out, self.grad, casting="same_kind")
        return value


def shifted(w):
    """The logits minus their row's maximum, in w.grad."""
    return np.subtract(w.x, w.x.max(axis=1, keepdims=True), out=w.grad)


def cross_entropy(w):
    g = shifted(w)
    picked = g[w.rows, w.y]
    total = np.exp(g, out=g).sum(axis=1)
    value = (np.log(total) - picked).sum() * w.scale
    if w.derive:
        g *= (w.scale / total)[:, None]
        g[w.rows, w.y] -= w.scale
    return value, g


def weighted_cross_entropy(w):
    weight, share = w.options["weight"], w.options["label_smoothing"]
    own = weight[w.y]
    scale, spread = 1 / own.sum(), share / weight.size
    g = shifted(w)
    picked, smooth = g[w.rows, w.y], g @ weight
    total = np.exp(g, out=g).sum(axis=1)
    log_total = np.log(total)
    value = ((1 - share) * own * (log_total - picked) + spread * (weight.sum() * log_total - smooth)).sum() * scale
    if w.derive:
        g *= (((1 - share) * own + spread * weight.sum()) * scale / total)[:, None]
        g -= (spread * scale) * weight
        g[w.rows, w.y] -= (1 - share) * own * scale
    return value, g


def cross_entropy_of_probabilities(w):
    g, mass = shifted(w), w.y.sum(axis=1)
    dot = np.einsum("ij,ij->i", g, w.y)
    total = np.exp(g, out=g).sum(axis=1)
    value = (mass * np.log(total) - dot).sum() * w.scale
    if w.derive:
        g *= (mass * w.scale / total)[:, None]
        g -= np.multiply(w.y, w.scale, out=w.spare)
    return value, g


def small_exp(w, out):
    """exp(-abs(x)), which does not overflow."""
    np.abs(w.x, out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)


def binary(w):
    a, b, g = small_exp(w, w.a), w.b, w.grad
    value = np.log1p(a, out=b).sum() + np.maximum(w.x, 0, out=b).sum() - np.dot(w.x, w.y)
    np.copyto(b, a)
    np.copyto(b, 1, where=w.x >= 0)
    a += 1
    np.divide(b, a, out=g)
    g -= w.y
    g *= w.scale
    return value * w.scale, g


def weighted_binary(w):
    a, b, g, weight = small_exp(w, w.a), w.b, w.grad, w.options["weight"]
    np.log1p(a, out=b)
    b += np.maximum(w.x, 0, out=g)
    b -= np.multiply(w.x, w.y, out=g)
    value = np.dot(b, weight)
    np.copyto(b, a)
    np.copyto(b, 1, where=w.x >= 0)
    a += 1
    np.divide(b, a, out=g)
    g -= w.y
    g *= weight
    g *= w.scale
    return value * w.scale, g


def binary_derivatives(w):
    p = np.negative(w.x, out=w.a)
    np.exp(p, out=p)
    p += 1
    np.reciprocal(p, out=p)
    np.subtract(1, p, out=w.hess)
    w.hess *= p
    return np.subtract(p, w.y, out=w.grad), w.hess


def mse(w):
    d = np.subtract(w.x, w.y, out=w.grad)
    value = np.dot(d, d) * w.scale
    d *= 2 * w.scale
    return value, d


def weighted_mse(w):
    d = np.subtract(w.x, w.y, out=w.a)
    g = np.multiply(d, w.options["weight"], out=w.grad)
    value = np.multiply(d, g, out=w.b).sum() * w.scale
    g *= 2 * w.scale
    return value, g


def l1(w):
    d = np.subtract(w.x, w.y, out=w.grad)
    value = np.abs(d, out=w.a).sum() * w.scale
    np.sign(d, out=d)
    d *= w.scale
    return value, d


def huber(w):
    """With delta = 1: the clipped difference c is the gradient, and c (d - c / 2) the value."""
    d = np.subtract(w.x, w.y, out=w.a)
    c = np.clip(d, -1, 1, out=w.grad)
    value = (np.dot(c, d) - np.dot(c, c) / 2) * w.scale
    c *= w.scale
    return value, c


def focal(w):
    """In terms of z, the logit of the true class: a q^2 softplus(-z) with q = sigmoid(-z) = 1 - p."""
    sign = np.where(w.y > 0, 1, -1).astype(w.grad.dtype)
    alpha = np.where(w.y > 0, 0.25, 0.75).astype(w.grad.dtype)
    q = np.multiply(w.x, sign, out=w.a)
    np.exp(q, out=q)
    q += 1
    np.reciprocal(q, out=q)
    entropy = np.log1p(-q, out=w.b)
    np.negative(entropy, out=entropy)
    alpha *= q
    alpha *= q
    value = np.dot(alpha, entropy) * w.scale
    entropy *= 2 * (1 - q)
    entropy += q
    alpha *= -sign * w.scale
    return value, np.multiply(alpha, entropy, out=w.grad)


def log_cosh(w):
    d = np.subtract(w.x, w.y, out=w.grad)
    a = np.abs(d, out=w.a)
    value = a.sum() - a.size * math.log(2)
    a *= -2
    np.exp(a, out=a)
    value += np.log1p(a, out=a).sum()
    np.tanh(d, out=d)
    d *= w.scale
    return value * w.scale, d


def hinge(w):
    m = np.multiply(w.x, w.y, out=w.a)
    np.subtract(1, m, out=m)
    np.maximum(m, 0, out=m)
    g = np.multiply(w.y, -w.scale, out=w.grad)
    g *= m > 0
    return m.sum() * w.scale, g


FORMULAS = {
    "cross_entropy": cross_entropy,
    "cross_entropy weights and smoothing": weighted_cross_entropy,
    "cross_entropy probabilities": cross_entropy_of_probabilities,
    "binary_cross_entropy_with_logits": binary,
    "binary_cross_entropy_with_logits weights": weighted_binary,
    "mse_loss": mse,
    "mse_loss weights": weighted_mse,
    "l1_loss": l1,
    "smooth_l1_loss": huber,  # the same at beta = delta = 1
    "huber_loss": huber,
    "sigmoid_focal_loss": focal,
    "log_cosh_loss": log_cosh,
    "hinge_loss": hinge,
}


def make(case, data):
    function = binary_derivatives if case.work == "grad_and_hess" else formula(FORMULAS, case)
    work = Work(case, data)
    if case.work == "value":
        return lambda: (work(function)[0], None)
    if work.out is None:
        return lambda: work(function)
    return lambda: (work(function)[0], work.out)
