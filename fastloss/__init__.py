"""Loss functions and their gradients over NumPy arrays, in one fused, multithreaded pass."""

from typing import TYPE_CHECKING

from ._combine import combine, l1_penalty, l2_penalty
from ._config import show_config
from ._native.engine import isa
from ._threads import get_num_threads, num_threads, set_num_threads
from .binary import binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid_focal_loss
from .classification import cross_entropy, multi_margin_loss, nll_loss, softmax_focal_loss
from .criteria import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    EpsilonInsensitiveLoss,
    ExpectileLoss,
    ExponentialLoss,
    GammaNLLLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LogCoshLoss,
    LogisticLoss,
    ModifiedHuberLoss,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    PerceptronLoss,
    PinballLoss,
    PoissonNLLLoss,
    PseudoHuberLoss,
    SigmoidFocalLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    SoftmaxFocalLoss,
    SquaredEpsilonInsensitiveLoss,
    SquaredHingeLoss,
    TweedieNLLLoss,
    ZeroOneLoss,
)
from .divergence import kl_div
from .information import cross_entropy_probs, entropy
from .labels import one_hot
from .likelihood import gamma_nll_loss, gaussian_nll_loss, poisson_nll_loss, tweedie_nll_loss
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
from .regression import (
    epsilon_insensitive_loss,
    expectile_loss,
    huber_loss,
    l1_loss,
    log_cosh_loss,
    mse_loss,
    msle_loss,
    pinball_loss,
    pseudo_huber_loss,
    smooth_l1_loss,
    squared_epsilon_insensitive_loss,
)
from .transforms import (
    information,
    log_sigmoid,
    log_softmax,
    log_softmax_grad,
    logsumexp,
    sigmoid,
    softmax,
    softmax_grad,
)

__version__ = "0.1.0"

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "EpsilonInsensitiveLoss",
    "ExpectileLoss",
    "ExponentialLoss",
    "GammaNLLLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "LogisticLoss",
    "MSELoss",
    "MSLELoss",
    "ModifiedHuberLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PerceptronLoss",
    "PinballLoss",
    "PoissonNLLLoss",
    "PseudoHuberLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "SoftmaxFocalLoss",
    "SquaredEpsilonInsensitiveLoss",
    "SquaredHingeLoss",
    "TweedieNLLLoss",
    "ZeroOneLoss",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "combine",
    "cross_entropy",
    "cross_entropy_probs",
    "entropy",
    "epsilon_insensitive_loss",
    "expectile_loss",
    "exponential_loss",
    "gamma_nll_loss",
    "gaussian_nll_loss",
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
    "log_cosh_loss",
    "log_sigmoid",
    "log_softmax",
    "log_softmax_grad",
    "logistic_loss",
    "logsumexp",
    "modified_huber_loss",
    "mse_loss",
    "msle_loss",
    "multi_margin_loss",
    "nll_loss",
    "num_threads",
    "one_hot",
    "perceptron_loss",
    "pinball_loss",
    "poisson_nll_loss",
    "pseudo_huber_loss",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmax_focal_loss",
    "softmax_grad",
    "squared_epsilon_insensitive_loss",
    "squared_hinge_loss",
    "tweedie_nll_loss",
    "zero_one_loss",
]


if TYPE_CHECKING:
    from . import adapters as adapters
else:  # unseen by type checkers, for which every name would exist
    def __getattr__(name):
        """`fastloss.adapters`, imported when it is first used."""
        if name == "adapters":
            import importlib

            return importlib.import_module(".adapters", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
