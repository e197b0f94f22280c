"""Loss functions and their gradients over NumPy arrays, in one fused, multithreaded pass."""

from ._combine import combine, l1_penalty, l2_penalty
from ._native.engine import isa
from ._threads import get_num_threads, num_threads, set_num_threads
from .binary import binary_cross_entropy_with_logits
from .classification import cross_entropy, nll_loss
from .criteria import CrossEntropyLoss, NLLLoss
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .transforms import log_softmax, logsumexp, softmax

__version__ = "0.1.0"

__all__ = [
    "CrossEntropyLoss",
    "NLLLoss",
    "__version__",
    "binary_cross_entropy_with_logits",
    "combine",
    "cross_entropy",
    "get_num_threads",
    "huber_loss",
    "isa",
    "l1_loss",
    "l1_penalty",
    "l2_penalty",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "num_threads",
    "set_num_threads",
    "smooth_l1_loss",
    "softmax",
]
