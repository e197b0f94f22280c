"""Loss functions and their gradients over NumPy arrays, in one fused, multithreaded pass."""

from ._combine import combine, l1_penalty, l2_penalty
from ._native.engine import isa
from ._threads import get_num_threads, num_threads, set_num_threads
from .binary import binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid_focal_loss
from .classification import cross_entropy, nll_loss
from .criteria import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    ExponentialLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    KLDivLoss,
    LogisticLoss,
    ModifiedHuberLoss,
    NLLLoss,
    PerceptronLoss,
    SigmoidFocalLoss,
    SoftMarginLoss,
    SquaredHingeLoss,
    ZeroOneLoss,
)
from .divergence import kl_div
from .margin import (
    exponential_loss,
    hinge_embedding_loss,
    hinge_loss,
    logistic_loss,
    modified_huber_loss,
    perceptron_loss,
    soft_margin_loss,
    squared_hinge_loss,
    zero_one_loss,
)
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .transforms import information, log_sigmoid, log_softmax, logsumexp, sigmoid, softmax

__version__ = "0.1.0"

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "ExponentialLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "KLDivLoss",
    "LogisticLoss",
    "ModifiedHuberLoss",
    "NLLLoss",
    "PerceptronLoss",
    "SigmoidFocalLoss",
    "SoftMarginLoss",
    "SquaredHingeLoss",
    "ZeroOneLoss",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "combine",
    "cross_entropy",
    "exponential_loss",
    "get_num_threads",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "information",
    "isa",
    "kl_div",
    "l1_loss",
    "l1_penalty",
    "l2_penalty",
    "log_sigmoid",
    "log_softmax",
    "logistic_loss",
    "logsumexp",
    "modified_huber_loss",
    "mse_loss",
    "nll_loss",
    "num_threads",
    "perceptron_loss",
    "set_num_threads",
    "sigmoid",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "squared_hinge_loss",
    "zero_one_loss",
]
