"""The configured losses, one class for each loss: its function, what may be given by position, and an example.

What they share, parameters and errors included, is in _criterion.py; what they compute, in the function's docstring.
"""

from . import binary, classification, divergence, likelihood, margin, regression
from ._criterion import Criterion


class CrossEntropyLoss(Criterion):
    """`cross_entropy` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> criterion = fl.CrossEntropyLoss(label_smoothing=0.1)
    >>> criterion
    CrossEntropyLoss(label_smoothing=0.1)
    >>> round(criterion([[2.0, 1.0, -1.0]], [0]), 6)
    0.482346
    """

    function = classification.cross_entropy
    positional = ("weight",)


class NLLLoss(Criterion):
    """`nll_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.NLLLoss(reduction="sum")([[-0.5, -1.5]], [1])
    1.5
    """

    function = classification.nll_loss
    positional = ("weight",)


class BCEWithLogitsLoss(Criterion):
    """`binary_cross_entropy_with_logits` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> criterion = fl.BCEWithLogitsLoss(pos_weight=2.0)
    >>> criterion
    BCEWithLogitsLoss(pos_weight=2.0)
    >>> round(criterion([2.0, -1.0], [1, 0]), 6)
    0.283559
    """

    function = binary.binary_cross_entropy_with_logits
    positional = ("weight",)


class BCELoss(Criterion):
    """`binary_cross_entropy` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.BCELoss(reduction="sum")([0.5, 0.25], [1, 0]), 6)
    0.980829
    """

    function = binary.binary_cross_entropy
    positional = ("weight",)


class SigmoidFocalLoss(Criterion):
    """`sigmoid_focal_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.SigmoidFocalLoss(alpha=-1, gamma=1.0)([2.0, -1.0], [1, 0]), 6)
    0.04969
    """

    function = binary.sigmoid_focal_loss


class HingeLoss(Criterion):
    """`hinge_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.HingeLoss(margin=2.0)([0.5, 3.0], [1, 1])
    0.75
    """

    function = margin.hinge_loss


class SquaredHingeLoss(Criterion):
    """`squared_hinge_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.SquaredHingeLoss(reduction="sum")([0.5, -1.0], [1, 1])
    4.25
    """

    function = margin.squared_hinge_loss


class PerceptronLoss(Criterion):
    """`perceptron_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.PerceptronLoss(labels="01").grad([0.5, -1.0], [0, 1], reduction="sum")
    array([ 1., -1.])
    """

    function = margin.perceptron_loss


class ExponentialLoss(Criterion):
    """`exponential_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.ExponentialLoss(reduction="sum")([1.0, 0.0], [1, -1]), 6)
    1.367879
    """

    function = margin.exponential_loss


class LogisticLoss(Criterion):
    """`logistic_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.LogisticLoss(labels="01")([1.0, -1.0], [1, 0]), 6)
    0.313262
    """

    function = margin.logistic_loss


class SoftMarginLoss(Criterion):
    """`soft_margin_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.SoftMarginLoss()([1.0, -1.0], [1, -1]), 6)
    0.313262
    """

    function = margin.soft_margin_loss


class ModifiedHuberLoss(Criterion):
    """`modified_huber_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.ModifiedHuberLoss(reduction="sum")([0.5, -3.0], [1, 1])
    12.25
    """

    function = margin.modified_huber_loss


class ZeroOneLoss(Criterion):
    """`zero_one_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.ZeroOneLoss(tolerance=0.5)([0.9, 0.2], [1, 1])
    0.5
    """

    function = margin.zero_one_loss


class HingeEmbeddingLoss(Criterion):
    """`hinge_embedding_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.HingeEmbeddingLoss(2.0)([0.5, 0.5], [1, -1])
    1.0
    """

    function = margin.hinge_embedding_loss
    positional = ("margin",)


class KLDivLoss(Criterion):
    """`kl_div` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.KLDivLoss(reduction="batchmean")([[-0.5, -1.5]], [[0.5, 0.5]]), 6)
    0.306853
    """

    function = divergence.kl_div


class MSELoss(Criterion):
    """`mse_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.MSELoss(reduction="sum")([1.0, 2.0], [0.0, 4.0])
    5.0
    """

    function = regression.mse_loss


class L1Loss(Criterion):
    """`l1_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.L1Loss(reduction="sum")([1.0, 2.0], [0.0, 4.0])
    3.0
    """

    function = regression.l1_loss


class SmoothL1Loss(Criterion):
    """`smooth_l1_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.SmoothL1Loss(beta=2.0)([1.0, 2.0], [0.0, 5.0])
    1.125
    """

    function = regression.smooth_l1_loss


class HuberLoss(Criterion):
    """`huber_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.HuberLoss(delta=2.0)([1.0, 2.0], [0.0, 5.0])
    2.25
    """

    function = regression.huber_loss
    positional = ("reduction", "delta")


class LogCoshLoss(Criterion):
    """`log_cosh_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.LogCoshLoss()([1.0, 2.0], [0.0, 5.0]), 6)
    1.371555
    """

    function = regression.log_cosh_loss


class PinballLoss(Criterion):
    """`pinball_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.PinballLoss(quantile=0.75)([3.0, 1.0], [2.0, 2.0])
    0.5
    """

    function = regression.pinball_loss


class ExpectileLoss(Criterion):
    """`expectile_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.ExpectileLoss(expectile=0.75)([4.0, 0.0], [2.0, 2.0])
    2.0
    """

    function = regression.expectile_loss


class PseudoHuberLoss(Criterion):
    """`pseudo_huber_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.PseudoHuberLoss(delta=4.0)([3.0, 0.0], [0.0, 3.0])
    4.0
    """

    function = regression.pseudo_huber_loss


class EpsilonInsensitiveLoss(Criterion):
    """`epsilon_insensitive_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.EpsilonInsensitiveLoss(epsilon=0.5)([1.25, 3.0], [1.0, 1.0])
    0.75
    """

    function = regression.epsilon_insensitive_loss


class SquaredEpsilonInsensitiveLoss(Criterion):
    """`squared_epsilon_insensitive_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.SquaredEpsilonInsensitiveLoss(epsilon=0.5)([1.25, 3.0], [1.0, 1.0])
    1.125
    """

    function = regression.squared_epsilon_insensitive_loss


class MSLELoss(Criterion):
    """`msle_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.MSLELoss(reduction="sum")([1.0, 3.0], [0.0, 1.0]), 6)
    0.960906
    """

    function = regression.msle_loss


class PoissonNLLLoss(Criterion):
    """`poisson_nll_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.PoissonNLLLoss(full=True)([0.0, 1.0], [2.0, 3.0]), 6)
    1.567085
    """

    function = likelihood.poisson_nll_loss
    positional = ("log_input", "full")


class GaussianNLLLoss(Criterion):
    """`gaussian_nll_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.GaussianNLLLoss(full=True)([1.0, 2.0], [0.0, 4.0], 2.0), 6)
    1.890512
    """

    function = likelihood.gaussian_nll_loss


class GammaNLLLoss(Criterion):
    """`gamma_nll_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> round(fl.GammaNLLLoss()([0.0, 1.0], [2.0, 3.0]), 6)
    2.051819
    """

    function = likelihood.gamma_nll_loss


class TweedieNLLLoss(Criterion):
    """`tweedie_nll_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.TweedieNLLLoss(power=0)([0.0, 0.0], [2.0, 4.0])
    2.5
    """

    function = likelihood.tweedie_nll_loss


class SoftmaxFocalLoss(Criterion):
    """`softmax_focal_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> criterion = fl.SoftmaxFocalLoss(gamma=1.5)
    >>> criterion
    SoftmaxFocalLoss(gamma=1.5)
    >>> round(criterion([[2.0, 1.0, -1.0]], [0]), 6)
    0.055812
    """

    function = classification.softmax_focal_loss


class MultiMarginLoss(Criterion):
    """`multi_margin_loss` with its options set once; an option that it does not have is a TypeError.

    >>> import fastloss as fl
    >>> fl.MultiMarginLoss(2)([[2.0, 1.5, -1.0]], [0])
    0.08333333333333333
    """

    function = classification.multi_margin_loss
    positional = ("p", "margin", "weight")
