"""Configured losses: a loss function together with its options, to be used often."""

import inspect

import numpy as np

from . import binary, classification, divergence, likelihood, margin, regression


class Criterion:
    """A loss with its options set once: ``CrossEntropyLoss(label_smoothing=0.1)(logits, labels)``.

    Calling it gives the value; ``value_and_grad``, ``grad`` and ``grad_and_hess`` give the derivatives. Further
    options of the function, ``sample_weight`` say, may be given with each call, and override the configured ones.
    Criteria compare by their options and can be pickled.
    """

    function = None
    positional = ()  # options that may be given by position, as PyTorch's classes allow

    def __init__(self, *args, **options):
        if len(args) > len(self.positional):
            raise TypeError(f"{type(self).__name__} takes {len(self.positional)} positional options, got {len(args)}")
        for name, value in zip(self.positional, args):
            if name in options:
                raise TypeError(f"{type(self).__name__} got {name!r} twice")
            options[name] = value
        defaults = self.defaults()
        for name in options:
            if name not in defaults:
                raise TypeError(f"{type(self).__name__} has no option {name!r}; it has " + ", ".join(defaults))
        self.options = options

    @classmethod
    def defaults(cls):
        """All options with their default values."""
        parameters = inspect.signature(cls.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def __call__(self, *args, **options):
        return self.function(*args, **{**self.options, **options})

    def value_and_grad(self, *args, **options):
        """Value and gradient, in one pass."""
        return self.function.value_and_grad(*args, **{**self.options, **options})

    def grad(self, *args, **options):
        """The gradient alone."""
        return self.function.grad(*args, **{**self.options, **options})

    def grad_and_hess(self, *args, **options):
        """Gradient and diagonal of the Hessian, in one pass."""
        return self.function.grad_and_hess(*args, **{**self.options, **options})

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        defaults = self.defaults()
        mine, theirs = {**defaults, **self.options}, {**defaults, **other.options}
        return all(_same_option(mine[name], theirs[name]) for name in defaults)

    __hash__ = None  # options may be arrays


def _same_option(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


class CrossEntropyLoss(Criterion):
    """`cross_entropy` with its options set once.

    Parameters
    ----------
    weight : array_like, optional
        As for `cross_entropy`; may be given by position, as in PyTorch.
    **options
        Any other option of `cross_entropy`.

    Raises
    ------
    TypeError
        An option that `cross_entropy` does not have.

    Examples
    --------
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
    """`nll_loss` with its options set once.

    Parameters
    ----------
    weight : array_like, optional
        As for `nll_loss`; may be given by position, as in PyTorch.
    **options
        Any other option of `nll_loss`.

    Raises
    ------
    TypeError
        An option that `nll_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.NLLLoss(reduction="sum")([[-0.5, -1.5]], [1])
    1.5
    """

    function = classification.nll_loss
    positional = ("weight",)


class BCEWithLogitsLoss(Criterion):
    """`binary_cross_entropy_with_logits` with its options set once.

    Parameters
    ----------
    weight : array_like, optional
        As for `binary_cross_entropy_with_logits`; may be given by position, as in PyTorch.
    **options
        Any other option of `binary_cross_entropy_with_logits`.

    Raises
    ------
    TypeError
        An option that `binary_cross_entropy_with_logits` does not have.

    Examples
    --------
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
    """`binary_cross_entropy` with its options set once.

    Parameters
    ----------
    weight : array_like, optional
        As for `binary_cross_entropy`; may be given by position, as in PyTorch.
    **options
        Any other option of `binary_cross_entropy`.

    Raises
    ------
    TypeError
        An option that `binary_cross_entropy` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.BCELoss(reduction="sum")([0.5, 0.25], [1, 0]), 6)
    0.980829
    """

    function = binary.binary_cross_entropy
    positional = ("weight",)


class SigmoidFocalLoss(Criterion):
    """`sigmoid_focal_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `sigmoid_focal_loss`.

    Raises
    ------
    TypeError
        An option that `sigmoid_focal_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.SigmoidFocalLoss(alpha=-1, gamma=1.0)([2.0, -1.0], [1, 0]), 6)
    0.04969
    """

    function = binary.sigmoid_focal_loss


class HingeLoss(Criterion):
    """`hinge_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `hinge_loss`.

    Raises
    ------
    TypeError
        An option that `hinge_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.HingeLoss(margin=2.0)([0.5, 3.0], [1, 1])
    0.75
    """

    function = margin.hinge_loss


class SquaredHingeLoss(Criterion):
    """`squared_hinge_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `squared_hinge_loss`.

    Raises
    ------
    TypeError
        An option that `squared_hinge_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.SquaredHingeLoss(reduction="sum")([0.5, -1.0], [1, 1])
    4.25
    """

    function = margin.squared_hinge_loss


class PerceptronLoss(Criterion):
    """`perceptron_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `perceptron_loss`.

    Raises
    ------
    TypeError
        An option that `perceptron_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.PerceptronLoss(labels="01").grad([0.5, -1.0], [0, 1], reduction="sum")
    array([ 1., -1.])
    """

    function = margin.perceptron_loss


class ExponentialLoss(Criterion):
    """`exponential_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `exponential_loss`.

    Raises
    ------
    TypeError
        An option that `exponential_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.ExponentialLoss(reduction="sum")([1.0, 0.0], [1, -1]), 6)
    1.367879
    """

    function = margin.exponential_loss


class LogisticLoss(Criterion):
    """`logistic_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `logistic_loss`.

    Raises
    ------
    TypeError
        An option that `logistic_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.LogisticLoss(labels="01")([1.0, -1.0], [1, 0]), 6)
    0.313262
    """

    function = margin.logistic_loss


class SoftMarginLoss(Criterion):
    """`soft_margin_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `soft_margin_loss`.

    Raises
    ------
    TypeError
        An option that `soft_margin_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.SoftMarginLoss()([1.0, -1.0], [1, -1]), 6)
    0.313262
    """

    function = margin.soft_margin_loss


class ModifiedHuberLoss(Criterion):
    """`modified_huber_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `modified_huber_loss`.

    Raises
    ------
    TypeError
        An option that `modified_huber_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.ModifiedHuberLoss(reduction="sum")([0.5, -3.0], [1, 1])
    12.25
    """

    function = margin.modified_huber_loss


class ZeroOneLoss(Criterion):
    """`zero_one_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `zero_one_loss`.

    Raises
    ------
    TypeError
        An option that `zero_one_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.ZeroOneLoss(tolerance=0.5)([0.9, 0.2], [1, 1])
    0.5
    """

    function = margin.zero_one_loss


class HingeEmbeddingLoss(Criterion):
    """`hinge_embedding_loss` with its options set once.

    Parameters
    ----------
    margin : array_like, optional
        As for `hinge_embedding_loss`; may be given by position, as in PyTorch.
    **options
        Any other option of `hinge_embedding_loss`.

    Raises
    ------
    TypeError
        An option that `hinge_embedding_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.HingeEmbeddingLoss(2.0)([0.5, 0.5], [1, -1])
    1.0
    """

    function = margin.hinge_embedding_loss
    positional = ("margin",)


class KLDivLoss(Criterion):
    """`kl_div` with its options set once.

    Parameters
    ----------
    **options
        Any option of `kl_div`.

    Raises
    ------
    TypeError
        An option that `kl_div` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.KLDivLoss(reduction="batchmean")([[-0.5, -1.5]], [[0.5, 0.5]]), 6)
    0.306853
    """

    function = divergence.kl_div


class MSELoss(Criterion):
    """`mse_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `mse_loss`.

    Raises
    ------
    TypeError
        An option that `mse_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.MSELoss(reduction="sum")([1.0, 2.0], [0.0, 4.0])
    5.0
    """

    function = regression.mse_loss


class L1Loss(Criterion):
    """`l1_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `l1_loss`.

    Raises
    ------
    TypeError
        An option that `l1_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.L1Loss(reduction="sum")([1.0, 2.0], [0.0, 4.0])
    3.0
    """

    function = regression.l1_loss


class SmoothL1Loss(Criterion):
    """`smooth_l1_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `smooth_l1_loss`.

    Raises
    ------
    TypeError
        An option that `smooth_l1_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.SmoothL1Loss(beta=2.0)([1.0, 2.0], [0.0, 5.0])
    1.125
    """

    function = regression.smooth_l1_loss


class HuberLoss(Criterion):
    """`huber_loss` with its options set once.

    Parameters
    ----------
    reduction, delta : optional
        As for `huber_loss`; may be given by position, as in PyTorch.
    **options
        Any other option of `huber_loss`.

    Raises
    ------
    TypeError
        An option that `huber_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.HuberLoss(delta=2.0)([1.0, 2.0], [0.0, 5.0])
    2.25
    """

    function = regression.huber_loss
    positional = ("reduction", "delta")


class LogCoshLoss(Criterion):
    """`log_cosh_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `log_cosh_loss`.

    Raises
    ------
    TypeError
        An option that `log_cosh_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.LogCoshLoss()([1.0, 2.0], [0.0, 5.0]), 6)
    1.371555
    """

    function = regression.log_cosh_loss


class PinballLoss(Criterion):
    """`pinball_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `pinball_loss`.

    Raises
    ------
    TypeError
        An option that `pinball_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.PinballLoss(quantile=0.75)([3.0, 1.0], [2.0, 2.0])
    0.5
    """

    function = regression.pinball_loss


class ExpectileLoss(Criterion):
    """`expectile_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `expectile_loss`.

    Raises
    ------
    TypeError
        An option that `expectile_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.ExpectileLoss(expectile=0.75)([4.0, 0.0], [2.0, 2.0])
    2.0
    """

    function = regression.expectile_loss


class PseudoHuberLoss(Criterion):
    """`pseudo_huber_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `pseudo_huber_loss`.

    Raises
    ------
    TypeError
        An option that `pseudo_huber_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.PseudoHuberLoss(delta=4.0)([3.0, 0.0], [0.0, 3.0])
    4.0
    """

    function = regression.pseudo_huber_loss


class EpsilonInsensitiveLoss(Criterion):
    """`epsilon_insensitive_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `epsilon_insensitive_loss`.

    Raises
    ------
    TypeError
        An option that `epsilon_insensitive_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.EpsilonInsensitiveLoss(epsilon=0.5)([1.25, 3.0], [1.0, 1.0])
    0.75
    """

    function = regression.epsilon_insensitive_loss


class SquaredEpsilonInsensitiveLoss(Criterion):
    """`squared_epsilon_insensitive_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `squared_epsilon_insensitive_loss`.

    Raises
    ------
    TypeError
        An option that `squared_epsilon_insensitive_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.SquaredEpsilonInsensitiveLoss(epsilon=0.5)([1.25, 3.0], [1.0, 1.0])
    1.125
    """

    function = regression.squared_epsilon_insensitive_loss


class MSLELoss(Criterion):
    """`msle_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `msle_loss`.

    Raises
    ------
    TypeError
        An option that `msle_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.MSLELoss(reduction="sum")([1.0, 3.0], [0.0, 1.0]), 6)
    0.960906
    """

    function = regression.msle_loss


class PoissonNLLLoss(Criterion):
    """`poisson_nll_loss` with its options set once.

    Parameters
    ----------
    log_input, full : optional
        As for `poisson_nll_loss`; may be given by position, as in PyTorch.
    **options
        Any other option of `poisson_nll_loss`.

    Raises
    ------
    TypeError
        An option that `poisson_nll_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.PoissonNLLLoss(full=True)([0.0, 1.0], [2.0, 3.0]), 6)
    1.567085
    """

    function = likelihood.poisson_nll_loss
    positional = ("log_input", "full")


class GaussianNLLLoss(Criterion):
    """`gaussian_nll_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `gaussian_nll_loss`.

    Raises
    ------
    TypeError
        An option that `gaussian_nll_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.GaussianNLLLoss(full=True)([1.0, 2.0], [0.0, 4.0], 2.0), 6)
    1.890512
    """

    function = likelihood.gaussian_nll_loss


class GammaNLLLoss(Criterion):
    """`gamma_nll_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `gamma_nll_loss`.

    Raises
    ------
    TypeError
        An option that `gamma_nll_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.GammaNLLLoss()([0.0, 1.0], [2.0, 3.0]), 6)
    2.051819
    """

    function = likelihood.gamma_nll_loss


class TweedieNLLLoss(Criterion):
    """`tweedie_nll_loss` with its options set once.

    Parameters
    ----------
    **options
        Options of `tweedie_nll_loss`.

    Raises
    ------
    TypeError
        An option that `tweedie_nll_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.TweedieNLLLoss(power=0)([0.0, 0.0], [2.0, 4.0])
    2.5
    """

    function = likelihood.tweedie_nll_loss


class SoftmaxFocalLoss(Criterion):
    """`softmax_focal_loss` with its options set once.

    Parameters
    ----------
    **options
        Any option of `softmax_focal_loss`.

    Raises
    ------
    TypeError
        An option that `softmax_focal_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> criterion = fl.SoftmaxFocalLoss(gamma=1.5)
    >>> criterion
    SoftmaxFocalLoss(gamma=1.5)
    >>> round(criterion([[2.0, 1.0, -1.0]], [0]), 6)
    0.055812
    """

    function = classification.softmax_focal_loss


class MultiMarginLoss(Criterion):
    """`multi_margin_loss` with its options set once.

    Parameters
    ----------
    p, margin, weight : optional
        As for `multi_margin_loss`; may be given by position, as in PyTorch.
    **options
        Any other option of `multi_margin_loss`.

    Raises
    ------
    TypeError
        An option that `multi_margin_loss` does not have.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.MultiMarginLoss(2)([[2.0, 1.5, -1.0]], [0])
    0.08333333333333333
    """

    function = classification.multi_margin_loss
    positional = ("p", "margin", "weight")
