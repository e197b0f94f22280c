"""Losses of predictions against numbers, most of them of the difference. Likelihoods: see likelihood.py."""

import numpy as np

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_MSE = _pointwise.Loss("mse", weight_counts=True)
_L1 = _pointwise.Loss("l1", weight_counts=True)
_SMOOTH_L1 = _pointwise.Loss("smooth_l1")
_HUBER = _pointwise.Loss("huber")
_LOG_COSH = _pointwise.Loss("log_cosh")
_PINBALL = _pointwise.Loss("pinball")
_EXPECTILE = _pointwise.Loss("expectile")
_PSEUDO_HUBER = _pointwise.Loss("pseudo_huber")
_EPSILON_INSENSITIVE = _pointwise.Loss("epsilon_insensitive")
_SQUARED_EPSILON_INSENSITIVE = _pointwise.Loss("squared_epsilon_insensitive")
_MSLE = _pointwise.Loss("msle", input=_check.ABOVE_MINUS_ONE, target=_check.ABOVE_MINUS_ONE)


def _with_complement(name, value):
    """A parameter from 0 to 1, and 1 minus it: taken in double, so that float32 does not lose it."""
    if not isinstance(value, (float, int)):
        value = _check.real_array(name, value)
    complement = 1.0 - (value.astype(np.float64) if isinstance(value, np.ndarray) else value)
    return (name, value, _check.OPEN_UNIT), ("1 - " + name, complement, None)


@LossFunction
def mse_loss(input, target, *, weight=None, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Squared error.

    .. math:: \ell = (x - y)^2

    Parameters
    ----------
    input : array_like
        Predictions :math:`x`, of any shape. Floating numbers are computed in their own precision, at least float32,
        and at least the target's; integers and bool in float64.
    target : array_like
        What was to be predicted, :math:`y`: of the input's shape, never broadcast to it. Of any real dtype.
    weight : array_like, optional
        PyTorch's name for the same as `sample_weight`, for this loss.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides the sum by the number of elements, or by the sum of their weights. "batchmean" divides by the
        size of axis 0.
    sample_weight : array_like, optional
        Not negative, broadcastable to the input's shape; multiplies each term. Elements of weight 0 count 0, gradient
        included, even if they are NaN.
    normalizer : float, optional
        Replaces the denominator of "mean".
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        The reduced value, carried in double; under "none" an array of the input's shape and floating dtype.
        ``value_and_grad`` gives also the gradient :math:`2 (x - y)`, of the input's shape and dtype; ``grad`` only
        that; ``grad_and_hess`` the gradient and the diagonal of the Hessian, here 2. These take ``grad_output`` and
        ``out``, too, and ``wrt="target"`` for the derivatives with respect to the target (see `LossFunction`).

    Raises
    ------
    ValueError
        Shapes do not fit, a weight is negative or NaN, or `normalizer` (positive, with "mean") or `out` is unsuitable.
    TypeError
        An argument is not of real numbers, or is a masked array.

    Notes
    -----
    Value, gradient and Hessian are within 4 ULP of the exact ones; results below the smallest normal number may be 0.
    NaN gives NaN in its own element. The options are those of ``torch.nn.functional.mse_loss``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.mse_loss([1.0, 2.0], [0.0, 4.0])
    2.5
    >>> loss, gradient = fl.mse_loss.value_and_grad(np.array([1.0, 2.0]), np.array([0.0, 4.0]), reduction="sum")
    >>> loss, gradient
    (5.0, array([ 2., -4.]))
    """
    return _pointwise.run, (_MSE, input, target, (), None, weight, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def l1_loss(input, target, *, weight=None, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Absolute error.

    .. math:: \ell = |x - y|

    Parameters
    ----------
    input, target, weight, reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is the sign of :math:`x - y`, 0 where they are equal; the Hessian is 0.

    Raises
    ------
    ValueError, TypeError
        As for `mse_loss`.

    Notes
    -----
    Within 1 ULP. ``wrt="target"`` is possible. The options are those of ``torch.nn.functional.l1_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.l1_loss([1.0, 2.0], [0.0, 4.0])
    1.5
    >>> fl.l1_loss.grad([1.0, 2.0, 3.0], [0.0, 4.0, 3.0], reduction="sum")
    array([ 1., -1.,  0.])
    """
    return _pointwise.run, (_L1, input, target, (), None, weight, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def smooth_l1_loss(input, target, *, beta=1.0, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Absolute error, rounded off to a parabola near 0.

    .. math:: \ell = \begin{cases} d^2 / (2 \beta) & |d| < \beta \\ |d| - \beta / 2 & \text{else} \end{cases}

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    beta : float or array_like, default 1.0
        Where the parabola ends; not negative. 0 gives `l1_loss`. An array, broadcastable to the input's shape, gives
        each element its own.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. With :math:`d = x - y` the gradient is :math:`d / \beta`, clamped to [-1, 1]; the Hessian is
        :math:`1 / \beta` where :math:`|d| < \beta`, else 0.

    Raises
    ------
    ValueError, TypeError
        `beta` is negative or NaN; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP. ``wrt="target"`` is possible. `huber_loss` with ``delta=beta`` is `beta` times this loss. Here and
    below, parameters are rounded to the working precision.
    The options are those of ``torch.nn.functional.smooth_l1_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smooth_l1_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    parameters = (("beta", beta, _check.NONNEGATIVE),)
    return _pointwise.run, (_SMOOTH_L1, input, target, parameters, None, None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def huber_loss(input, target, *, delta=1.0, weight=None, reduction="mean", sample_weight=None, normalizer=None,
               n_threads=None):
    r"""Half the squared error, continued by straight lines.

    .. math:: \ell = \begin{cases} d^2 / 2 & |d| \le \delta \\ \delta (|d| - \delta / 2) & \text{else} \end{cases}

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    delta : float or array_like, default 1.0
        Where the lines begin; positive. May be an array, as `beta` of `smooth_l1_loss`.
    weight : array_like, optional
        As `sample_weight`, but "mean" still divides by the number of elements (PyTorch).
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`d = x - y`, clamped to :math:`[-\delta, \delta]`; the Hessian 1 where
        :math:`|d| \le \delta`, else 0.

    Raises
    ------
    ValueError, TypeError
        `delta` is not positive; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP. ``wrt="target"`` is possible. The options are those of ``torch.nn.functional.huber_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.huber_loss([0.5, 3.0], [0.0, 0.0], delta=2.0, reduction="none")
    array([0.125, 4.   ])
    """
    parameters = (("delta", delta, _check.POSITIVE),)
    return _pointwise.run, (_HUBER, input, target, parameters, None, weight, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def log_cosh_loss(input, target, *, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Logarithm of the hyperbolic cosine of the error.

    .. math:: \ell = \log \cosh (x - y)

    Parameters
    ----------
    input, target, reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`\tanh d`, the Hessian :math:`1 / \cosh^2 d` with :math:`d = x - y`.

    Raises
    ------
    ValueError, TypeError
        As for `mse_loss`.

    Notes
    -----
    Within 4 ULP everywhere. Near 0 the loss is :math:`d^2 / 2`: an error of 1e-4 in float32 gives 5e-9, where
    ``log(cosh(d))`` gives 0; and it does not overflow for large errors. As ``keras.losses.log_cosh`` and
    ``optax.log_cosh``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.log_cosh_loss([1.0, 1000.0], [0.0, 0.0], reduction="sum"), 6)
    999.740634
    """
    return _pointwise.run, (_LOG_COSH, input, target, (), None, None, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def pinball_loss(input, target, *, quantile=0.5, reduction="mean", sample_weight=None, normalizer=None,
                 n_threads=None):
    r"""Quantile regression, absolute error with a weight for each side.

    .. math:: \ell = q \max(-d, 0) + (1 - q) \max(d, 0) \qquad d = x - y

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    quantile : float or array_like, default 0.5
        The quantile :math:`q` to be predicted, between 0 and 1, neither of them included. An array, broadcastable to
        the input's shape, gives each element its own: one for each column, say.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`1 - q` above the target, :math:`-q` below, 0 where they are equal;
        the Hessian is 0.

    Raises
    ------
    ValueError, TypeError
        `quantile` is not between 0 and 1; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP. As ``sklearn.metrics.mean_pinball_loss``; half of `l1_loss` for the median.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.pinball_loss([3.0, 1.0], [2.0, 2.0], quantile=0.75, reduction="none")
    array([0.25, 0.75])
    >>> fl.pinball_loss([[1.0, 4.0], [2.0, 5.0]], [[2.0, 2.0], [3.0, 3.0]], quantile=[0.25, 0.75])
    0.375
    """
    parameters = _with_complement("quantile", quantile)
    return _pointwise.run, (_PINBALL, input, target, parameters, None, None, reduction, sample_weight, normalizer,
                            n_threads)


@LossFunction
def expectile_loss(input, target, *, expectile=0.5, reduction="mean", sample_weight=None, normalizer=None,
                   n_threads=None):
    r"""Expectile regression, squared error with a weight for each side.

    .. math:: \ell = |q - [d > 0]|\, d^2 \qquad d = x - y

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    expectile : float or array_like, default 0.5
        The expectile :math:`q` to be predicted, between 0 and 1, neither of them included. May be an array, as
        `quantile` of `pinball_loss`.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`2 |q - [d > 0]|\, d`, the Hessian :math:`2 |q - [d > 0]|`, so
        :math:`2 q` at 0.

    Raises
    ------
    ValueError, TypeError
        `expectile` is not between 0 and 1; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP. As XGBoost's ``reg:expectileerror`` and CatBoost's ``Expectile``; half of `mse_loss` for the mean.
    Source: W. K. Newey and J. L. Powell, Asymmetric least squares estimation and testing, Econometrica 55 (1987).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.expectile_loss([4.0, 0.0], [2.0, 2.0], expectile=0.75, reduction="none")
    array([1., 3.])
    """
    parameters = _with_complement("expectile", expectile)
    return _pointwise.run, (_EXPECTILE, input, target, parameters, None, None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def pseudo_huber_loss(input, target, *, delta=1.0, reduction="mean", sample_weight=None, normalizer=None,
                      n_threads=None):
    r"""Smooth approximation of `huber_loss`.

    .. math:: \ell = \delta^2 \left( \sqrt{1 + (d / \delta)^2} - 1 \right) \qquad d = x - y

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    delta : float or array_like, default 1.0
        Where the parabola gives way to the lines; positive. May be an array, as `beta` of `smooth_l1_loss`.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`d / \sqrt{1 + (d / \delta)^2}`, the Hessian
        :math:`(1 + (d / \delta)^2)^{-3/2}`.

    Raises
    ------
    ValueError, TypeError
        `delta` is not positive; or as for `mse_loss`.

    Notes
    -----
    Within 5 ULP everywhere: neither do small errors cancel nor do the squares of large ones overflow. As
    ``scipy.special.pseudo_huber`` and XGBoost's ``reg:pseudohubererror`` with ``huber_slope``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.pseudo_huber_loss([3.0, 2e-9], [0.0, 0.0], delta=4.0, reduction="none")
    array([4.e+00, 2.e-18])
    """
    parameters = (("delta", delta, _check.POSITIVE),)
    return _pointwise.run, (_PSEUDO_HUBER, input, target, parameters, None, None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def epsilon_insensitive_loss(input, target, *, epsilon=0.1, reduction="mean", sample_weight=None, normalizer=None,
                             n_threads=None):
    r"""Absolute error beyond a tolerance, the loss of support vector regression.

    .. math:: \ell = \max(0, |x - y| - \varepsilon)

    Parameters
    ----------
    input, target
        As for `mse_loss`.
    epsilon : float or array_like, default 0.1
        The error that costs nothing; not negative. May be an array, as `beta` of `smooth_l1_loss`.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is the sign of :math:`x - y` where the loss is positive, else 0, at the kink,
        too; the Hessian is 0.

    Raises
    ------
    ValueError, TypeError
        `epsilon` is negative or NaN; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP, right beyond the tolerance as well: what :math:`x - y` loses in rounding is taken into account. As
    ``loss="epsilon_insensitive"`` of scikit-learn's ``SGDRegressor`` and ``LinearSVR``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.epsilon_insensitive_loss([1.25, 3.0], [1.0, 1.0], epsilon=0.5, reduction="none")
    array([0. , 1.5])
    """
    parameters = (("epsilon", epsilon, _check.NONNEGATIVE),)
    return _pointwise.run, (_EPSILON_INSENSITIVE, input, target, parameters, None, None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def squared_epsilon_insensitive_loss(input, target, *, epsilon=0.1, reduction="mean", sample_weight=None,
                                     normalizer=None, n_threads=None):
    r"""Square of `epsilon_insensitive_loss`.

    .. math:: \ell = \max(0, |x - y| - \varepsilon)^2

    Parameters
    ----------
    input, target, epsilon, reduction, sample_weight, normalizer, n_threads
        As for `epsilon_insensitive_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`2 \max(0, |d| - \varepsilon) \operatorname{sign} d` with
        :math:`d = x - y`; the Hessian is 2 where the loss is positive, else 0.

    Raises
    ------
    ValueError, TypeError
        As for `epsilon_insensitive_loss`.

    Notes
    -----
    Within 4 ULP. As ``loss="squared_epsilon_insensitive"`` of scikit-learn's ``SGDRegressor`` and ``LinearSVR``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.squared_epsilon_insensitive_loss([1.25, 3.0], [1.0, 1.0], epsilon=0.5, reduction="none")
    array([0.  , 2.25])
    """
    parameters = (("epsilon", epsilon, _check.NONNEGATIVE),)
    return _pointwise.run, (_SQUARED_EPSILON_INSENSITIVE, input, target, parameters, None, None, reduction,
                            sample_weight, normalizer, n_threads)


@LossFunction
def msle_loss(input, target, *, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Squared error of the logarithms of 1 plus the values.

    .. math:: \ell = (\log(1 + x) - \log(1 + y))^2

    Parameters
    ----------
    input, target : array_like
        Numbers greater than -1, of the same shape; else as for `mse_loss`.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. With :math:`L = \log(1 + x) - \log(1 + y)` the gradient is :math:`2 L / (1 + x)`, the
        Hessian :math:`2 (1 - L) / (1 + x)^2`.

    Raises
    ------
    ValueError, TypeError
        An input or a target is -1 or less; or as for `mse_loss`.

    Notes
    -----
    Value and gradient are within 4 ULP, however close input and target are: the logarithms are not subtracted. Where
    the Hessian crosses 0, at :math:`L = 1`, the bound is 4 ULP of :math:`2 / (1 + x)^2`. As
    ``sklearn.metrics.mean_squared_log_error``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> round(fl.msle_loss([np.e - 1, 3.0], [0.0, 3.0]), 12)
    0.5
    """
    return _pointwise.run, (_MSLE, input, target, (), None, None, reduction, sample_weight, normalizer, n_threads)
