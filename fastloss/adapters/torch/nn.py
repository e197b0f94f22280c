# mypy: ignore-errors
"""``torch.nn`` with the criteria of fastloss in place of PyTorch's; everything else is PyTorch's own.

The criteria are subclasses of PyTorch's: constructor, attributes, `state_dict` and repr are theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn as _torch
from torch import Tensor

from . import functional

if TYPE_CHECKING:
    from torch.nn import *  # with their types; at run time, see below


def __getattr__(name: str) -> Any:
    return getattr(_torch, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_torch)})


if not TYPE_CHECKING:  # type checkers read only a literal list
    __all__ = [name for name in dir(_torch) if not name.startswith("_")]


class CrossEntropyLoss(_torch.CrossEntropyLoss):
    """``torch.nn.CrossEntropyLoss``, computed by `fastloss.cross_entropy`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(input, target, self.weight, ignore_index=self.ignore_index,
                                        reduction=self.reduction, label_smoothing=self.label_smoothing)


class NLLLoss(_torch.NLLLoss):
    """``torch.nn.NLLLoss``, computed by `fastloss.nll_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.nll_loss(input, target, self.weight, ignore_index=self.ignore_index,
                                   reduction=self.reduction)


class MultiMarginLoss(_torch.MultiMarginLoss):
    """``torch.nn.MultiMarginLoss``, computed by `fastloss.multi_margin_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class BCELoss(_torch.BCELoss):
    """``torch.nn.BCELoss``, computed by `fastloss.binary_cross_entropy`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_torch.BCEWithLogitsLoss):
    """``torch.nn.BCEWithLogitsLoss``, computed by `fastloss.binary_cross_entropy_with_logits`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(input, target, self.weight, reduction=self.reduction,
                                                           pos_weight=self.pos_weight)


class MSELoss(_torch.MSELoss):
    """``torch.nn.MSELoss``, computed by `fastloss.mse_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_torch.L1Loss):
    """``torch.nn.L1Loss``, computed by `fastloss.l1_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_torch.SmoothL1Loss):
    """``torch.nn.SmoothL1Loss``, computed by `fastloss.smooth_l1_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_torch.HuberLoss):
    """``torch.nn.HuberLoss``, computed by `fastloss.huber_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class PoissonNLLLoss(_torch.PoissonNLLLoss):
    """``torch.nn.PoissonNLLLoss``, computed by `fastloss.poisson_nll_loss`."""

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return functional.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps,
                                           reduction=self.reduction)


class GaussianNLLLoss(_torch.GaussianNLLLoss):
    """``torch.nn.GaussianNLLLoss``, computed by `fastloss.gaussian_nll_loss`."""

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return functional.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class KLDivLoss(_torch.KLDivLoss):
    """``torch.nn.KLDivLoss``, computed by `fastloss.kl_div`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class HingeEmbeddingLoss(_torch.HingeEmbeddingLoss):
    """``torch.nn.HingeEmbeddingLoss``, computed by `fastloss.hinge_embedding_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(_torch.SoftMarginLoss):
    """``torch.nn.SoftMarginLoss``, computed by `fastloss.soft_margin_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.soft_margin_loss(input, target, reduction=self.reduction)
