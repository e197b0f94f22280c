"""Losses of predictions against numbers."""

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_MSE = _pointwise.Loss("mse", weight_counts=True)
_L1 = _pointwise.Loss("l1", weight_counts=True)
_SMOOTH_L1 = _pointwise.Loss("smooth_l1")
_HUBER = _pointwise.Loss("huber")


@LossFunction
def mse_loss(input, target, *, weight=None, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Squared error.

    .. math:: \ell = (x - y)^2

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mse_loss([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    return _pointwise.run, (_MSE, input, target, (), (1.0, 0.0), weight, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def l1_loss(input, target, *, weight=None, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    return _pointwise.run, (_L1, input, target, (), (1.0, 0.0), weight, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def smooth_l1_loss(input, target, *, beta=1.0, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    parameters = (("beta", beta, _check.NONNEGATIVE),)
    return _pointwise.run, (_SMOOTH_L1, input, target, parameters, (1.0, 0.0), None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def huber_loss(input, target, *, delta=1.0, weight=None, reduction="mean", sample_weight=None, normalizer=None,
               n_threads=None):
    parameters = (("delta", delta, _check.POSITIVE),)
    return _pointwise.run, (_HUBER, input, target, parameters, (1.0, 0.0), weight, reduction, sample_weight,
                            normalizer, n_threads)
