"""PyTorch, eager: the loss of torch.nn.functional where there is one, and autograd."""

import math

import torch
import torch.nn.functional as F

from .offer import formula


def focal(x, y, reduction):
    """As torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    entropy = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    p_true = p * y + (1 - p) * (1 - y)
    alpha = 0.25 * y + 0.75 * (1 - y)
    return (alpha * entropy * (1 - p_true) ** 2).mean()


def log_cosh(x, y, reduction):
    d = x - y
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def hinge(x, y, reduction):
    return (1 - y * x).clamp(min=0).mean()


FORMULAS = {
    "cross_entropy": F.cross_entropy,
    "cross_entropy weights and smoothing": F.cross_entropy,
    "cross_entropy probabilities": F.cross_entropy,
    "cross_entropy strided": F.cross_entropy,
    "cross_entropy images": F.cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "binary_cross_entropy_with_logits weights": F.binary_cross_entropy_with_logits,
    "mse_loss": F.mse_loss,
    "mse_loss weights": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
    "sigmoid_focal_loss": focal,
    "log_cosh_loss": log_cosh,
    "hinge_loss": hinge,
}


def derivatives(x, y):
    """Gradient and Hessian of binary_cross_entropy_with_logits: autograd gives no diagonal in one pass."""
    p = torch.sigmoid(x)
    return p - y, p * (1 - p)


def make(case, data, transform=lambda function: function):
    x, y = torch.from_numpy(data.input), torch.from_numpy(data.target)
    if case.work == "grad_and_hess":
        function = transform(derivatives)
        return lambda: function(x, y)
    options = {name: torch.from_numpy(value) if hasattr(value, "dtype") else value
               for name, value in data.options.items()}
    loss = formula(FORMULAS, case)
    function = transform(lambda x, y: loss(x, y, reduction=case.reduction, **options))

    def value():
        with torch.no_grad():
            return function(x, y), None

    def value_and_grad():
        value = function(x, y)
        return value.detach(), torch.autograd.grad(value, x)[0]

    if case.work == "value":
        return value
    x.requires_grad_()
    return value_and_grad
