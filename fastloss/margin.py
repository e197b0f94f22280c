"""Losses of scores against two classes, -1 and 1, by the margin; and the count of errors."""

import math

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise
from ._native.engine import VALUE

_NUMBER = (-math.inf, math.inf, False, False, False, "must not be NaN")
_MAPS = {"signs": None, "01": (2.0, -1.0)}


def _by_labels(name):
    """The loss with each of the two ways to write its targets."""
    return {"signs": _pointwise.Loss(name, target=_check.SIGNS, small_targets=True),
            "01": _pointwise.Loss(name, target=_check.ZERO_ONE, small_targets=True)}


_HINGE = _by_labels("hinge")
_SQUARED_HINGE = _by_labels("squared_hinge")
_PERCEPTRON = _by_labels("perceptron")
_EXPONENTIAL = _by_labels("exponential")
_LOGISTIC = _by_labels("logistic")
_MODIFIED_HUBER = _by_labels("modified_huber")
_HINGE_EMBEDDING = _by_labels("hinge_embedding")
_ZERO_ONE = _pointwise.Loss("zero_one")
_ZERO_ONE_WITHIN = _pointwise.Loss("zero_one_within")


def _margin_loss(losses, input, target, parameters, labels, reduction, sample_weight, normalizer, n_threads):
    try:
        loss, target_map = losses[labels], _MAPS[labels]
    except (KeyError, TypeError):
        raise ValueError(f"labels must be 'signs' (targets -1 and 1) or '01' (0 and 1), got {labels!r}") from None
    return _pointwise.run, (loss, input, target, parameters, target_map, None, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def hinge_loss(input, target, *, margin=1.0, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
               n_threads=None):
    r"""Hinge loss, that of the support vector machine.

    .. math:: \ell = \max(0,\ \mu - y f)

    Parameters
    ----------
    input : array_like
        Scores :math:`f`, of any shape; their sign is the prediction. Dtypes as for `mse_loss`.
    target : array_like
        Classes :math:`y`, -1 or 1, of the input's shape and any real dtype.
    margin : array_like, default 1
        :math:`\mu`, from where on a right score costs nothing. An array broadcasts to the input's shape.
    labels : {"signs", "01"}, default "signs"
        "01": the target holds 0 and 1, or bool, instead of -1 and 1.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides the sum by the number of elements, or by the sum of `sample_weight`. "batchmean" divides by the
        size of axis 0.
    sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-y` where the loss is positive, and 0 elsewhere, the kink included;
        the second derivative is 0.

    Raises
    ------
    ValueError
        A target is not one of the two classes (the first is named), `labels` is unknown, `margin` is NaN; else as for
        `mse_loss`.
    TypeError
        As for `mse_loss`.

    Notes
    -----
    Exact up to one rounding. (A `margin` that the input's dtype cannot hold is rounded to it first; close to the kink
    this is an error of 1 ULP of the margin.) As scikit-learn's ``hinge_loss``, for scores of two classes.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> scores, classes = np.array([2.0, 0.3, -0.5]), np.array([1, -1, 1])
    >>> fl.hinge_loss(scores, classes, reduction="none")
    array([0. , 1.3, 1.5])
    >>> fl.hinge_loss.grad(scores, classes > 0, labels="01", reduction="sum")
    array([ 0.,  1., -1.])
    """
    return _margin_loss(_HINGE, input, target, (("margin", margin, _NUMBER),), labels, reduction, sample_weight,
                        normalizer, n_threads)


@LossFunction
def squared_hinge_loss(input, target, *, margin=1.0, labels="signs", reduction="mean", sample_weight=None,
                       normalizer=None, n_threads=None):
    r"""Square of the hinge loss.

    .. math:: \ell = \max(0,\ \mu - y f)^2

    Parameters
    ----------
    input, target, margin, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-2 y \max(0,\ \mu - y f)`; the second derivative is 2 where the loss
        is positive, and 0 elsewhere.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    Notes
    -----
    Within 2 ULP, if the input's dtype can hold `margin` (see `hinge_loss`). As scikit-learn's ``LinearSVC`` with
    ``loss="squared_hinge"``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> loss, gradient = fl.squared_hinge_loss.value_and_grad([2.0, 0.5, -0.5], [1, -1, 1], reduction="sum")
    >>> loss
    4.5
    >>> gradient
    array([ 0.,  3., -3.])
    """
    return _margin_loss(_SQUARED_HINGE, input, target, (("margin", margin, _NUMBER),), labels, reduction,
                        sample_weight, normalizer, n_threads)


@LossFunction
def perceptron_loss(input, target, *, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
                    n_threads=None):
    r"""Rosenblatt's perceptron criterion, the hinge loss without a margin.

    .. math:: \ell = \max(0,\ -y f)

    Parameters
    ----------
    input, target, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-y` where the score is wrong, and 0 elsewhere, a score of 0 included;
        the second derivative is 0.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    Notes
    -----
    Exact. As scikit-learn's ``SGDClassifier(loss="perceptron")``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.perceptron_loss([2.0, 0.25, -0.5], [1, -1, 1], reduction="none")
    array([0.  , 0.25, 0.5 ])
    """
    return _margin_loss(_PERCEPTRON, input, target, (), labels, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def exponential_loss(input, target, *, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
                     n_threads=None):
    r"""Exponential loss, that of AdaBoost.

    .. math:: \ell = e^{-y f}

    Parameters
    ----------
    input, target, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-y e^{-y f}`, the second derivative :math:`e^{-y f}`.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    Notes
    -----
    Within 2 ULP; results below the smallest normal number are 0, those above the largest one inf. scikit-learn's
    ``ExponentialLoss`` has :math:`e^{-y f}` for raw predictions of its classifiers, too.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.exponential_loss.grad(np.array([0.0, -2.0]), [1, -1], reduction="sum").round(4)
    array([-1.    ,  0.1353])
    """
    return _margin_loss(_EXPONENTIAL, input, target, (), labels, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def logistic_loss(input, target, *, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
                  n_threads=None):
    r"""Logistic loss of scores, binary cross-entropy for targets -1 and 1.

    .. math:: \ell = \log(1 + e^{-y f})

    Parameters
    ----------
    input, target, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-y\, \sigma(-y f)`, the second derivative
        :math:`\sigma(f)\, \sigma(-f)`.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    See Also
    --------
    soft_margin_loss : the same by PyTorch's name.
    binary_cross_entropy_with_logits : targets from 0 to 1.

    Notes
    -----
    Within 4 ULP for every score; nothing overflows (``torch.nn.functional.soft_margin_loss`` gives inf at
    :math:`y f = -100` in float32).

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.logistic_loss(np.array([-1000.0, 0.0, 40.0]), [1, 1, 1], reduction="none")
    array([1.00000000e+03, 6.93147181e-01, 4.24835426e-18])
    """
    return _margin_loss(_LOGISTIC, input, target, (), labels, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def soft_margin_loss(input, target, *, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
                     n_threads=None):
    r"""`logistic_loss`, by the name that PyTorch gives it.

    .. math:: \ell = \log(1 + e^{-y f})

    Parameters
    ----------
    input, target, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `logistic_loss`.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    Notes
    -----
    As for `logistic_loss`.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.soft_margin_loss([1.0, -2.0], [1, 1]), 6)
    1.220095
    """
    return _margin_loss(_LOGISTIC, input, target, (), labels, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def modified_huber_loss(input, target, *, labels="signs", reduction="mean", sample_weight=None, normalizer=None,
                        n_threads=None):
    r"""Squared hinge loss that goes on as a straight line for badly wrong scores.

    .. math::

        \ell = \begin{cases} \max(0,\ 1 - y f)^2 & y f \ge -1 \\ -4\, y f & \text{otherwise} \end{cases}

    Parameters
    ----------
    input, target, labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`-2 y \max(0,\ 1 - y f)`, or :math:`-4 y`; the second derivative is 2
        for :math:`-1 \le y f < 1`, and 0 elsewhere.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`.

    Notes
    -----
    Within 2 ULP. From Zhang, "Solving large scale linear prediction problems using stochastic gradient descent
    algorithms" (2004), as scikit-learn's ``SGDClassifier(loss="modified_huber")``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.modified_huber_loss([2.0, 0.5, -0.5, -3.0], [1, 1, 1, 1], reduction="none")
    array([ 0.  ,  0.25,  2.25, 12.  ])
    """
    return _margin_loss(_MODIFIED_HUBER, input, target, (), labels, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def hinge_embedding_loss(input, target, *, margin=1.0, labels="signs", reduction="mean", sample_weight=None,
                         normalizer=None, n_threads=None):
    r"""Loss of a distance between two things that are alike, or are not.

    .. math::

        \ell = \begin{cases} x & y = 1 \\ \max(0,\ \mu - x) & y = -1 \end{cases}

    Parameters
    ----------
    input : array_like
        Distances :math:`x`, of any shape. Dtypes as for `mse_loss`.
    target : array_like
        Whether they are alike, 1, or not, -1; of the input's shape and any real dtype.
    margin : array_like, default 1
        :math:`\mu`, from where on unlike things are far enough apart. An array broadcasts to the input's shape.
    labels, reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is 1 for :math:`y = 1`; for :math:`y = -1` it is -1 up to the margin, the kink
        included (PyTorch's choice), and 0 beyond. The second derivative is 0.

    Raises
    ------
    ValueError, TypeError
        As for `hinge_loss`. (PyTorch takes other targets, and adds both branches up.)

    Notes
    -----
    Exact up to one rounding (for the `margin` see `hinge_loss`). As ``torch.nn.functional.hinge_embedding_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.hinge_embedding_loss([0.5, 0.25, 2.0], [1, -1, -1], reduction="none")
    array([0.5 , 0.75, 0.  ])
    """
    return _margin_loss(_HINGE_EMBEDDING, input, target, (("margin", margin, _NUMBER),), labels, reduction,
                        sample_weight, normalizer, n_threads)


def _run_value(want, out, grad_output, wrt, arguments):
    if want != VALUE:
        raise TypeError("zero_one_loss has no derivatives: it is constant but for jumps, where there are none; "
                        "train with hinge_loss or logistic_loss instead")
    return _pointwise.run(want, out, grad_output, wrt, arguments)


@LossFunction
def zero_one_loss(input, target, *, tolerance=None, reduction="mean", sample_weight=None, normalizer=None,
                  n_threads=None):
    r"""Share of wrong predictions.

    .. math:: \ell = [x \ne y] \quad\text{or, with a tolerance,}\quad \ell = [\,|y - x| \ge \tau\,]

    Parameters
    ----------
    input : array_like
        Predicted labels or numbers :math:`x`, of any shape. Dtypes as for `mse_loss`. Not scores: pass
        ``np.sign(scores)``, or ``scores > 0`` for targets 0 and 1.
    target : array_like
        Labels or numbers :math:`y` of the input's shape, any numbers.
    tolerance : array_like, optional
        :math:`\tau`, not negative: predictions that are off by this or more are wrong. An array broadcasts to the
        input's shape.
    reduction, sample_weight, normalizer, n_threads
        As for `hinge_loss`.

    Returns
    -------
    float or ndarray
        The reduced value: under "mean" the share of errors, under "sum" their number; under "none" an array of 0 and
        1, of the input's floating dtype. Calls for derivatives are a TypeError.

    Raises
    ------
    ValueError
        `tolerance` is negative or NaN; else as for `mse_loss`.
    TypeError
        A derivative is asked for, as there is none; else as for `mse_loss`.

    Notes
    -----
    Without `tolerance` this is scikit-learn's ``zero_one_loss``, for labels that are numbers (integers beyond
    :math:`2^{53}` are compared as float64). With it, the difference is rounded to the working precision before it is
    compared. NaN gives NaN.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.zero_one_loss([1, 2, 2, 3], [1, 2, 0, 3])
    0.25
    >>> fl.zero_one_loss([0.9, 0.4, 0.1], [1, 1, 0], tolerance=0.5, reduction="none")
    array([0., 1., 0.])
    """
    loss, parameters = _ZERO_ONE, ()
    if tolerance is not None:
        loss, parameters = _ZERO_ONE_WITHIN, (("tolerance", tolerance, _check.NONNEGATIVE),)
    return _run_value, (loss, input, target, parameters, None, None, reduction, sample_weight, normalizer,
                        n_threads)
