"""scikit-learn: the Cython losses of sklearn._loss, which its own estimators train with, one thread.

They write each row's loss and gradient; the mean's factor goes in as a sample weight, the cheapest way they offer.
"""

import numpy as np
from sklearn._loss import loss as sklearn_loss

from .offer import NotOffered, formula

#: loss -> (its object, what to multiply its value by)
FORMULAS = {
    "cross_entropy": (lambda width: sklearn_loss.HalfMultinomialLoss(n_classes=width), 1),
    "binary_cross_entropy_with_logits": (lambda width: sklearn_loss.HalfBinomialLoss(), 1),
    "binary_cross_entropy_with_logits weights": (lambda width: sklearn_loss.HalfBinomialLoss(), 1),
    "mse_loss weights": (lambda width: sklearn_loss.HalfSquaredError(), 2),
    "mse_loss": (lambda width: sklearn_loss.HalfSquaredError(), 2),
    "l1_loss": (lambda width: sklearn_loss.AbsoluteError(), 1),
    "smooth_l1_loss": (lambda width: sklearn_loss.HuberLoss(delta=1.0), 1),
    "huber_loss": (lambda width: sklearn_loss.HuberLoss(delta=1.0), 1),
}


def make(case, data):
    new_loss, factor = formula(FORMULAS, case)
    if case.dtype == "float16":
        raise NotOffered("has no float16")
    loss, x, g = new_loss(case.shape[-1]), data.input, data.grad
    y = data.target.astype(case.dtype)  # labels too must be of the input's dtype
    if case.work == "grad_and_hess":
        return lambda: loss.gradient_hessian(y, x, gradient_out=g, hessian_out=data.hess, n_threads=1)
    losses = np.empty(case.shape[0], case.dtype)
    weight = np.full(case.shape[0], factor / case.shape[0], case.dtype)
    if case.variant == "weights":
        weight *= data.options["weight"]

    def value():
        return loss.loss(y, x, sample_weight=weight, loss_out=losses, n_threads=1).sum(), None

    def value_and_grad():
        loss.loss_gradient(y, x, sample_weight=weight, loss_out=losses, gradient_out=g, n_threads=1)
        return losses.sum(), g

    return value if case.work == "value" else value_and_grad
