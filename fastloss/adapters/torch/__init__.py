# mypy: ignore-errors
"""fastloss's losses inside PyTorch's autograd, on the CPU.

``from fastloss.adapters.torch import nn`` instead of ``from torch import nn`` gives a training loop the losses of
fastloss; everything else in it is PyTorch's own. `functional` does the same for ``torch.nn.functional``, and `apply`
makes any loss of fastloss differentiable.
"""

from .._library import needs

with needs("torch", "pip install torch"):
    import torch  # noqa: F401

from . import functional, nn
from ._autograd import apply

__all__ = ["apply", "functional", "nn"]
