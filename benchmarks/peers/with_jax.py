"""JAX: jit of value_and_grad; the formulas are optax's, in the faster of their forms."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from .offer import formula


def cross_entropy(x, y):
    return logsumexp(x, axis=1) - jnp.take_along_axis(x, y[:, None], axis=1)[:, 0]


def weighted_cross_entropy(x, y, weight, label_smoothing):
    total, own = logsumexp(x, axis=1), weight[y]
    nll = own * (total - jnp.take_along_axis(x, y[:, None], axis=1)[:, 0])
    smooth = weight.sum() * total - x @ weight
    rows = (1 - label_smoothing) * nll + label_smoothing / x.shape[1] * smooth
    return rows * (x.shape[0] / own.sum())


def cross_entropy_of_probabilities(x, y):
    return -(y * jax.nn.log_softmax(x, axis=1)).sum(axis=1)


def huber(x, y):
    a = jnp.abs(x - y)
    clipped = jnp.minimum(a, 1)
    return clipped * (a - clipped / 2)


def focal(x, y):
    p = jax.nn.sigmoid(x)
    p_true = p * y + (1 - p) * (1 - y)
    alpha = 0.25 * y + 0.75 * (1 - y)
    return alpha * (jax.nn.softplus(x) - x * y) * (1 - p_true) ** 2


FORMULAS = {
    "cross_entropy": cross_entropy,
    "cross_entropy strided": cross_entropy,
    "cross_entropy images": cross_entropy,
    "cross_entropy weights and smoothing": weighted_cross_entropy,
    "cross_entropy probabilities": cross_entropy_of_probabilities,
    "binary_cross_entropy_with_logits": lambda x, y: jax.nn.softplus(x) - x * y,
    "binary_cross_entropy_with_logits weights": lambda x, y, weight: weight * (jax.nn.softplus(x) - x * y),
    "mse_loss": lambda x, y: jnp.square(x - y),
    "mse_loss weights": lambda x, y, weight: weight * jnp.square(x - y),
    "l1_loss": lambda x, y: jnp.abs(x - y),
    "smooth_l1_loss": huber,  # the same at beta = delta = 1
    "huber_loss": huber,
    "sigmoid_focal_loss": focal,
    "log_cosh_loss": lambda x, y: jnp.logaddexp(x - y, y - x) - math.log(2),
    "hinge_loss": lambda x, y: jnp.maximum(1 - y * x, 0),
}


def derivatives(x, y):
    p = jax.nn.sigmoid(x)
    return p - y, p * (1 - p)


def make(case, data):
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    x, y = jnp.asarray(data.input), jnp.asarray(data.target)
    options = {name: jnp.asarray(value) if hasattr(value, "dtype") else value for name, value in data.options.items()}
    rows = functools.partial(formula(FORMULAS, case), **options)
    reduce = jnp.sum if case.reduction == "sum" else jnp.mean

    def loss(x, y):
        return reduce(rows(x, y))

    if case.work == "grad_and_hess":
        function = jax.jit(derivatives)
    elif case.work == "value":
        function = jax.jit(lambda x, y: (loss(x, y), None))
    else:
        function = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(function(x, y))
