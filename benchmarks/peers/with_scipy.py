"""SciPy: its special functions for the transcendental part, NumPy for the rest."""

import numpy as np
from scipy import special

from .offer import NotOffered, formula


def cross_entropy(x, y, g, scale, options):
    rows = np.arange(len(y))
    log_p = special.log_softmax(x, axis=1)
    value = -log_p[rows, y].sum() * scale
    np.exp(log_p, out=g)
    g *= scale
    g[rows, y] -= scale
    return value, g


def weighted_cross_entropy(x, y, g, scale, options):
    weight, share, rows = options["weight"], options["label_smoothing"], np.arange(len(y))
    own = weight[y]
    scale, spread = 1 / own.sum(), share / weight.size
    log_p = special.log_softmax(x, axis=1)
    value = -((1 - share) * np.dot(own, log_p[rows, y]) + spread * (log_p @ weight).sum()) * scale
    np.exp(log_p, out=g)
    g *= (((1 - share) * own + spread * weight.sum()) * scale)[:, None]
    g -= (spread * scale) * weight
    g[rows, y] -= (1 - share) * own * scale
    return value, g


def cross_entropy_of_probabilities(x, y, g, scale, options):
    log_p = special.log_softmax(x, axis=1)
    value = -np.einsum("ij,ij->", y, log_p) * scale
    np.exp(log_p, out=g)
    g *= (y.sum(axis=1) * scale)[:, None]
    g -= y * scale
    return value, g


def binary(x, y, g, scale, options):
    value = (np.dot(x, 1 - y) - special.log_expit(x).sum()) * scale
    special.expit(x, out=g)
    g -= y
    g *= scale
    return value, g


def huber(x, y, g, scale, options):
    d = np.subtract(x, y, out=g)
    value = special.huber(x.dtype.type(1), d).sum() * scale
    np.clip(d, -1, 1, out=d)
    d *= scale
    return value, d


FORMULAS = {
    "cross_entropy": cross_entropy,
    "cross_entropy weights and smoothing": weighted_cross_entropy,
    "cross_entropy probabilities": cross_entropy_of_probabilities,
    "binary_cross_entropy_with_logits": binary,
    "smooth_l1_loss": huber,  # the same at beta = delta = 1
    "huber_loss": huber,
}


def make(case, data):
    function, x, y, g = formula(FORMULAS, case), data.input, data.target, data.grad
    if case.dtype == "float16":
        raise NotOffered("has no float16")
    scale = x.dtype.type(1 if case.reduction == "sum" else 1 / len(x))
    if case.work == "grad_and_hess":
        def derivatives():
            p = special.expit(x)
            np.multiply(p, 1 - p, out=data.hess)
            return np.subtract(p, y, out=g), data.hess
        return derivatives
    if case.work == "value":
        return value_only(case, x, y, scale)
    return lambda: function(x, y, g, scale, data.options)


def value_only(case, x, y, scale):
    if case.loss != "cross_entropy" or case.variant:
        raise NotOffered("written for plain cross-entropy only")
    rows = np.arange(len(y))
    return lambda: ((special.logsumexp(x, axis=1) - x[rows, y]).sum() * scale, None)
