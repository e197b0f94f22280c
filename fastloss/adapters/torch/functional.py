# mypy: ignore-errors
"""``torch.nn.functional`` with the losses of fastloss in place of PyTorch's; everything else is PyTorch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn.functional as _torch
from torch import Tensor

from ... import binary, classification, divergence, likelihood, regression
from ... import margin as _margin
from ._autograd import apply

if TYPE_CHECKING:
    from torch.nn.functional import *  # with their types; at run time, see below


def __getattr__(name: str) -> Any:
    return getattr(_torch, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_torch)})


if not TYPE_CHECKING:  # type checkers read only a literal list
    __all__ = [name for name in dir(_torch) if not name.startswith("_")]


def _plain(size_average, reduce):
    """PyTorch's old way to say reduction, deprecated since 0.4."""
    if size_average is not None or reduce is not None:
        raise TypeError("size_average and reduce are deprecated in PyTorch and not supported here: use reduction")


def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: None = None,
                  ignore_index: int = -100, reduce: None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """``torch.nn.functional.cross_entropy``, computed by `fastloss.cross_entropy`."""
    _plain(size_average, reduce)
    return apply(classification.cross_entropy, input, target, weight=weight, ignore_index=ignore_index,
                 reduction=reduction, label_smoothing=label_smoothing)


def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: None = None,
             ignore_index: int = -100, reduce: None = None, reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.nll_loss``, computed by `fastloss.nll_loss`."""
    _plain(size_average, reduce)
    return apply(classification.nll_loss, input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
                      size_average: None = None, reduce: None = None, reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.multi_margin_loss``, computed by `fastloss.multi_margin_loss`."""
    _plain(size_average, reduce)
    return apply(classification.multi_margin_loss, input, target, p=p, margin=margin, weight=weight,
                 reduction=reduction)


def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: None = None,
                         reduce: None = None, reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.binary_cross_entropy``, computed by `fastloss.binary_cross_entropy`."""
    _plain(size_average, reduce)
    return apply(binary.binary_cross_entropy, input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     size_average: None = None, reduce: None = None, reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.binary_cross_entropy_with_logits``, computed by fastloss's function of that name."""
    _plain(size_average, reduce)
    return apply(binary.binary_cross_entropy_with_logits, input, target, weight=weight, reduction=reduction,
                 pos_weight=pos_weight)


def mse_loss(input: Tensor, target: Tensor, size_average: None = None, reduce: None = None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.mse_loss``, computed by `fastloss.mse_loss`."""
    _plain(size_average, reduce)
    return apply(regression.mse_loss, input, target, reduction=reduction, weight=weight)


def l1_loss(input: Tensor, target: Tensor, size_average: None = None, reduce: None = None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.l1_loss``, computed by `fastloss.l1_loss`."""
    _plain(size_average, reduce)
    return apply(regression.l1_loss, input, target, reduction=reduction, weight=weight)


def smooth_l1_loss(input: Tensor, target: Tensor, size_average: None = None, reduce: None = None,
                   reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``torch.nn.functional.smooth_l1_loss``, computed by `fastloss.smooth_l1_loss`."""
    _plain(size_average, reduce)
    return apply(regression.smooth_l1_loss, input, target, reduction=reduction, beta=beta)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.huber_loss``, computed by `fastloss.huber_loss`."""
    return apply(regression.huber_loss, input, target, reduction=reduction, delta=delta, weight=weight)


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average: None = None, eps: float = 1e-8, reduce: None = None,
                     reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.poisson_nll_loss``, computed by `fastloss.poisson_nll_loss`."""
    _plain(size_average, reduce)
    return apply(likelihood.poisson_nll_loss, input, target, log_input=log_input, full=full, eps=eps,
                 reduction=reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.gaussian_nll_loss``, computed by `fastloss.gaussian_nll_loss`."""
    return apply(likelihood.gaussian_nll_loss, input, target, var, full=full, eps=eps, reduction=reduction)


def kl_div(input: Tensor, target: Tensor, size_average: None = None, reduce: None = None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """``torch.nn.functional.kl_div``, computed by `fastloss.kl_div`."""
    _plain(size_average, reduce)
    return apply(divergence.kl_div, input, target, reduction=reduction, log_target=log_target)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average: None = None,
                         reduce: None = None, reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.hinge_embedding_loss``, computed by `fastloss.hinge_embedding_loss`."""
    _plain(size_average, reduce)
    return apply(_margin.hinge_embedding_loss, input, target, margin=margin, reduction=reduction)


def soft_margin_loss(input: Tensor, target: Tensor, size_average: None = None, reduce: None = None,
                     reduction: str = "mean") -> Tensor:
    """``torch.nn.functional.soft_margin_loss``, computed by `fastloss.soft_margin_loss`."""
    _plain(size_average, reduce)
    return apply(_margin.soft_margin_loss, input, target, reduction=reduction)
