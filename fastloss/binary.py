"""Losses of logits or probabilities against targets from 0 to 1."""

import math

import numpy as np

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_BCE_WITH_LOGITS = _pointwise.Loss("binary_cross_entropy_with_logits", target=_check.UNIT, small_targets=True)
_PLAIN_BCE_WITH_LOGITS = _pointwise.Loss("binary_cross_entropy_with_logits_plain", target=_check.UNIT,
                                         small_targets=True)
_BCE = _pointwise.Loss("binary_cross_entropy", input=_check.UNIT, target=_check.UNIT, small_targets=True)
_FOCAL = _pointwise.Loss("sigmoid_focal", target=_check.UNIT, small_targets=True)

_ALPHA = (-math.inf, 1.0, False, False, False, "must be at most 1 (a negative one switches the balance off)")


@LossFunction
def binary_cross_entropy_with_logits(input, target, *, weight=None, pos_weight=None, reduction="mean",
                                     label_smoothing=0.0, sample_weight=None, normalizer=None, n_threads=None):
    r"""Binary cross-entropy of logits.

    .. math:: \ell = (1 - t) \log(1 + e^{z}) + w_+\, t \log(1 + e^{-z}), \quad
              t = (1 - \varepsilon)\, y + \varepsilon / 2

    Parameters
    ----------
    input : array_like
        Logits :math:`z`, of any shape. float16, bfloat16, float32 and float64 are computed as they are (half precision
        in float32); integers and bool in float64.
    target : array_like
        Targets :math:`y` from 0 to 1, of the input's shape: floating, integers or bool.
    weight : array_like, optional
        A weight for each element, not negative, broadcastable to the input's shape. It multiplies the loss and does
        not enter the denominator of "mean", as in PyTorch; `sample_weight` does.
    pos_weight : array_like, optional
        :math:`w_+`, the weight of the positive part: a number or an array that broadcasts to the input's shape (one
        for each column, say); not negative.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides the sum by the number of elements, or by the sum of `sample_weight`. "batchmean" divides by the
        size of axis 0.
    label_smoothing : array_like, default 0
        From 0 to 1: the share :math:`\varepsilon` of each target that is drawn to 1/2.
    sample_weight : array_like, optional
        A weight for each element, not negative, broadcastable to the input's shape. Elements of weight 0 count 0,
        whatever they hold.
    normalizer : float, optional
        Replaces the denominator of "mean".
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        The reduced value, carried in double; under "none" an array of the input's shape and floating dtype.
        ``value_and_grad`` gives also the gradient with respect to the input, of the input's shape and dtype; ``grad``
        only that; ``grad_and_hess`` the gradient and the second derivative of each element,
        :math:`(1 - t + w_+ t)\, \sigma(z)\, \sigma(-z)`. These take ``grad_output``, ``out`` and ``wrt``, too (see
        `LossFunction`); ``wrt="target"`` gives :math:`(1 - \varepsilon)(w_+ \log(1 + e^{-z}) - \log(1 + e^{z}))`.

    Raises
    ------
    ValueError
        Shapes do not fit, a target or `label_smoothing` is outside [0, 1], a weight is negative or NaN, `normalizer`
        is not positive or not with "mean", or `out` is unsuitable.
    TypeError
        An argument is not of real numbers, or is a masked array.

    Notes
    -----
    Values and derivatives are within 4 ULP of the exact ones, those of confident logits included. Where a target
    between 0 and 1 makes the gradient :math:`(1 - t)\, \sigma(z) - w_+ t\, \sigma(-z)` cross 0, the bound is 4 ULP of
    the larger term, for there the relative error is unbounded in the logit itself; likewise with ``wrt="target"`` and
    a `pos_weight` other than 1. :math:`e^{-|z|}` below the smallest normal number counts as 0 (in float32 from 87.4
    on), even where a weight above 1 would bring the result back into the normal range.

    An infinite logit costs 0 if the target is certain and agrees, else inf; NaN gives NaN. The options are those of
    ``torch.nn.functional.binary_cross_entropy_with_logits``, and `label_smoothing`; PyTorch gives NaN for infinite
    logits, and accepts targets outside [0, 1].

    See Also
    --------
    binary_cross_entropy : the same from probabilities, which cannot tell a confident 1 from a certain one.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> logits, targets = np.array([2.0, -1.0, 40.0]), np.array([1, 0, 1])
    >>> loss, gradient = fl.binary_cross_entropy_with_logits.value_and_grad(logits, targets, reduction="sum")
    >>> round(loss, 6)
    0.44019
    >>> gradient
    array([-1.19202922e-01,  2.68941421e-01, -4.24835426e-18])
    """
    if pos_weight is None and type(label_smoothing) in (int, float) and label_smoothing == 0:
        loss, parameters = _PLAIN_BCE_WITH_LOGITS, ()
    else:
        loss = _BCE_WITH_LOGITS
        parameters = (("pos_weight", 1.0 if pos_weight is None else pos_weight, _check.FINITE_NONNEGATIVE),
                      ("label_smoothing", label_smoothing, _check.UNIT))
    return _pointwise.run, (loss, input, target, parameters, None, weight, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def binary_cross_entropy(input, target, *, weight=None, reduction="mean", sample_weight=None, normalizer=None,
                         n_threads=None):
    r"""Binary cross-entropy of probabilities.

    .. math:: \ell = -y \log p - (1 - y) \log(1 - p), \quad \log \ge -100

    Parameters
    ----------
    input : array_like
        Probabilities :math:`p` from 0 to 1, of any shape. Dtypes as for `binary_cross_entropy_with_logits`.
    target : array_like
        Targets :math:`y` from 0 to 1, of the input's shape: floating, integers or bool.
    weight, reduction, sample_weight, normalizer, n_threads
        As for `binary_cross_entropy_with_logits`.

    Returns
    -------
    float or ndarray
        As for `binary_cross_entropy_with_logits`. The gradient is
        :math:`(p - y) / \max(p\,(1 - p),\ 10^{-12})`; the second derivative is the derivative of that,
        :math:`y / p^2 + (1 - y) / (1 - p)^2` or, where the maximum is :math:`10^{-12}`, its inverse. With
        ``wrt="target"`` the gradient is :math:`\log(1 - p) - \log p`.

    Raises
    ------
    ValueError
        A probability or target is outside [0, 1] or NaN; else as for `binary_cross_entropy_with_logits`.
    TypeError
        As for `binary_cross_entropy_with_logits`.

    Notes
    -----
    Within 4 ULP. The logarithms are those of :math:`p` and, without forming :math:`1 - p`, of its complement, so small
    probabilities are accurate too; for probabilities close to 1 prefer logits, where they need not be rounded.

    Clamps and gradient are those of ``torch.nn.functional.binary_cross_entropy``: the clamp of the value does not show
    in the derivatives, and ``wrt="target"`` is infinite for a probability of 0 or 1.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> p, y = np.array([0.9, 0.2, 0.0]), np.array([1, 0, 1])
    >>> fl.binary_cross_entropy(p, y, reduction="none").round(4)
    array([  0.1054,   0.2231, 100.    ])
    >>> fl.binary_cross_entropy.grad(p, y, reduction="none")
    array([-1.11111111e+00,  1.25000000e+00, -1.00000000e+12])
    """
    return _pointwise.run, (_BCE, input, target, (), None, weight, reduction, sample_weight, normalizer,
                            n_threads)


def _balance(alpha):
    """The weights of targets 1 and 0. The latter here, in double: 1 - alpha would cancel in float32."""
    if isinstance(alpha, (int, float)):
        return (1.0, 1.0) if alpha < 0 else (alpha, 1.0 - alpha)
    alpha = _check.real_array("alpha", alpha).astype(np.float64)
    return np.where(alpha < 0, 1.0, alpha), np.where(alpha < 0, 1.0, 1.0 - alpha)


@LossFunction
def sigmoid_focal_loss(input, target, *, alpha=0.25, gamma=2.0, reduction="mean", sample_weight=None, normalizer=None,
                       n_threads=None):
    r"""Focal loss of logits, a binary cross-entropy in which easy examples count less.

    .. math::

        \ell = \alpha_t\, (1 - p_t)^\gamma \big((1 - y) \log(1 + e^{z}) + y \log(1 + e^{-z})\big), \quad
        p_t = y\, \sigma(z) + (1 - y)\, \sigma(-z), \quad \alpha_t = \alpha\, y + (1 - \alpha)(1 - y)

    Parameters
    ----------
    input : array_like
        Logits :math:`z`, of any shape. Dtypes as for `binary_cross_entropy_with_logits`.
    target : array_like
        Targets :math:`y` from 0 to 1, of the input's shape: floating, integers or bool.
    alpha : array_like, default 0.25
        The weight of the positive examples, at most 1; :math:`1 - \alpha` is that of the negative ones. A negative
        number switches it off: :math:`\alpha_t = 1`.
    gamma : array_like, default 2
        How strongly easy examples are played down, not negative; 0 leaves the weighted cross-entropy.
    reduction, sample_weight, normalizer, n_threads
        As for `binary_cross_entropy_with_logits`.

    Returns
    -------
    float or ndarray
        As for `binary_cross_entropy_with_logits`; gradient and second derivative are the exact ones, but there are
        none with respect to the target.

    Raises
    ------
    ValueError
        A target is outside [0, 1], `alpha` is above 1 or NaN, or `gamma` is negative or NaN; else as for
        `binary_cross_entropy_with_logits`.
    TypeError
        As for `binary_cross_entropy_with_logits`.

    Notes
    -----
    Value and gradient are within 5 ULP for targets 0 and 1, any logit and `gamma` up to 50: the power is taken of a
    number in two parts, so that `gamma` does not multiply its rounding error. (Beyond, what is left of that error
    shows, up to some ``gamma / 40`` ULP.) The second derivative, and the gradient for targets between 0 and 1, cross 0
    inside the domain; their bound is 8 ULP of the largest term. :math:`e^{-|z|}` and
    :math:`(1 - p_t)^\gamma` below the smallest normal number count as 0, even where a further factor would bring the
    result back into the normal range.
    Infinite logits as for `binary_cross_entropy_with_logits`.

    From "Focal Loss for Dense Object Detection" (Lin et al., 2017), as ``torchvision.ops.sigmoid_focal_loss`` defines
    it for every target; torchvision's default is ``reduction="none"``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> logits, targets = np.array([3.0, -1.0, 0.5]), np.array([1, 1, 0])
    >>> fl.sigmoid_focal_loss(logits, targets, reduction="none").round(6)
    array([2.70000e-05, 1.75467e-01, 2.83059e-01])
    >>> gradient, hessian = fl.sigmoid_focal_loss.grad_and_hess(logits, targets, gamma=0.0, alpha=-1, reduction="sum")
    >>> gradient.round(4)
    array([-0.0474, -0.7311,  0.6225])
    """
    positive, negative = _balance(alpha)
    parameters = (("alpha", positive, _ALPHA), ("alpha", negative, None), ("gamma", gamma, _check.FINITE_NONNEGATIVE))
    return _pointwise.run, (_FOCAL, input, target, parameters, None, None, reduction, sample_weight, normalizer,
                            n_threads)
