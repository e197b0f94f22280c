"""softmax, log_softmax, logsumexp, and their gradients; sigmoid, log_sigmoid, information."""

from . import _check
from ._native import pointwise as _pointwise
from ._native import softmax as _softmax

_SIGMOID = _pointwise.Loss("sigmoid")
_LOG_SIGMOID = _pointwise.Loss("log_sigmoid")
_INFORMATION = _pointwise.Loss("information", input=_check.UNIT)


def softmax(x, *, axis=-1, out=None, n_threads=None):
    r"""Probabilities of logits.

    .. math:: p_c = \frac{\exp x_c}{\sum_k \exp x_k}

    Parameters
    ----------
    x : array_like
        Logits, of at least one dimension. Dtypes as for `cross_entropy`.
    axis : int, default -1
        The axis of the classes.
    out : ndarray, optional
        Where the result goes: of the shape and floating dtype of `x`; may be `x` itself.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    ndarray
        Of the shape and floating dtype of `x` (float64 for integers).

    Raises
    ------
    ValueError
        `axis` is out of range, or `out` is unsuitable.
    TypeError
        `x` is not of real numbers, or is a masked array.

    Notes
    -----
    Within 4 ULP; below the smallest normal number the result is 0. -inf gives 0; a row with +inf or NaN, or with
    nothing but -inf, gives NaN.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softmax([3.0, 1.0, -3.0]).round(2)
    array([0.88, 0.12, 0.  ])
    """
    return _softmax.run_transform(_softmax.SOFTMAX, x, axis, False, out, n_threads)


def log_softmax(x, *, axis=-1, out=None, n_threads=None):
    r"""Log-probabilities of logits.

    .. math:: x_c - \log \sum_k \exp x_k

    Parameters
    ----------
    x, axis, out, n_threads
        As for `softmax`.

    Returns
    -------
    ndarray
        Of the shape and floating dtype of `x` (float64 for integers).

    Raises
    ------
    ValueError, TypeError
        As for `softmax`.

    Notes
    -----
    Within 4 ULP, also for the likely class, whose result is close to 0. -inf gives -inf; a row with +inf or NaN, or
    with nothing but -inf, gives NaN.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.log_softmax(np.array([20.0, 0.0]))
    array([-2.06115362e-09, -2.00000000e+01])
    """
    return _softmax.run_transform(_softmax.LOG_SOFTMAX, x, axis, False, out, n_threads)


def logsumexp(x, *, axis=-1, keepdims=False, out=None, n_threads=None):
    r"""Logarithm of the sum of exponentials.

    .. math:: \log \sum_k \exp x_k

    Parameters
    ----------
    x : array_like
        Of at least one dimension. Dtypes as for `cross_entropy`.
    axis : int, default -1
        The axis to sum over.
    keepdims : bool, default False
        Keep that axis, with size 1.
    out : ndarray, optional
        Where the result goes: of the result's shape and dtype.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        Of the floating dtype of `x` (float64 for integers); a float for a 1-D input.

    Raises
    ------
    ValueError
        As for `softmax`.
    TypeError
        As for `softmax`, or `keepdims` is not a bool.

    Notes
    -----
    The maximum plus ``log1p`` of the sum over the other entries: within 4 ULP of the larger of the two (where they
    nearly cancel, the result's own relative error is unbounded in `x`). As in SciPy, nothing but -inf (or nothing
    at all) gives -inf, and +inf gives inf.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.logsumexp(np.array([[1000.0, 1000.0], [0.0, -1000.0]]))
    array([1000.69314718,    0.        ])
    """
    keepdims = _check.flag("keepdims", keepdims)
    result = _softmax.run_transform(_softmax.LOGSUMEXP, x, axis, keepdims, out, n_threads)
    return float(result) if result.ndim == 0 and out is None else result


def _elementwise(function, x, out, n_threads, name="x"):
    result = _pointwise.transform(function, x, out, n_threads, name=name)
    return float(result) if result.ndim == 0 and out is None else result


def sigmoid(x, *, out=None, n_threads=None):
    r"""Probabilities of logits, one by one.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array_like
        Logits, of any shape. Dtypes as for `cross_entropy`.
    out : ndarray, optional
        Where the result goes: of the shape and floating dtype of `x`; may be `x` itself.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        Of the shape and floating dtype of `x` (float64 for integers); a float for a number.

    Raises
    ------
    ValueError
        `out` is unsuitable.
    TypeError
        `x` is not of real numbers, or is a masked array.

    Notes
    -----
    Within 4 ULP in both tails; below the smallest normal number the result is 0. Infinities give 0 and 1, NaN NaN.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.sigmoid(np.array([-100.0, 0.0, 2.0]))
    array([3.72007598e-44, 5.00000000e-01, 8.80797078e-01])
    """
    return _elementwise(_SIGMOID, x, out, n_threads)


def log_sigmoid(x, *, out=None, n_threads=None):
    r"""Log-probabilities of logits, one by one.

    .. math:: \log \sigma(x) = -\log(1 + e^{-x})

    Parameters
    ----------
    x, out, n_threads
        As for `sigmoid`.

    Returns
    -------
    float or ndarray
        As for `sigmoid`.

    Raises
    ------
    ValueError, TypeError
        As for `sigmoid`.

    Notes
    -----
    Within 4 ULP in both tails; results closer to 0 than the smallest normal number are 0. -inf gives -inf, inf 0, and
    NaN NaN.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.log_sigmoid(np.array([-1000.0, 0.0, 40.0]))
    array([-1.00000000e+03, -6.93147181e-01, -4.24835426e-18])
    """
    return _elementwise(_LOG_SIGMOID, x, out, n_threads)


def information(p, *, out=None, n_threads=None):
    r"""Information content of events in nats, that is how surprising each one is.

    .. math:: I(p) = -\log p

    Parameters
    ----------
    p : array_like
        Probabilities from 0 to 1, of any shape. Dtypes as for `cross_entropy`.
    out, n_threads
        As for `sigmoid`.

    Returns
    -------
    float or ndarray
        As for `sigmoid`. Divide it by ``np.log(2)`` for bits.

    Raises
    ------
    ValueError
        A probability is outside [0, 1] or NaN (the first is named; nothing has been written), or `out` is unsuitable.
    TypeError
        As for `sigmoid`.

    Notes
    -----
    Within 2 ULP. A probability of 0 gives inf, 1 gives 0.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.information([0.5, 0.25, 1.0]) / np.log(2)
    array([1., 2., 0.])
    """
    return _elementwise(_INFORMATION, p, out, n_threads, "p")


def softmax_grad(y, dy, *, axis=-1, out=None, n_threads=None):
    r"""The gradient that comes back through `softmax`.

    .. math:: dx_c = y_c\, \bigl(dy_c - \sum_k y_k\, dy_k\bigr)

    Parameters
    ----------
    y : array_like
        What `softmax` returned, of at least one dimension. Dtypes as for `cross_entropy`.
    dy : array_like
        The gradient with respect to `y`, of its shape.
    axis : int, default -1
        The axis that `softmax` was taken along.
    out : ndarray, optional
        Where the result goes: of the shape and floating dtype of `y`; may be `y` or `dy` itself.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    ndarray
        Of the shape and floating dtype of `y` (float64 for integers).

    Raises
    ------
    ValueError
        The shapes differ, `axis` is out of range, or `out` is unsuitable.
    TypeError
        An argument is not of real numbers, or is a masked array.

    Notes
    -----
    Within 4 ULP of the exact value for the given `y` and `dy`: the sum and the difference are carried in twice the
    working precision :math:`u`, so that only a cancellation by more than :math:`1/u` shows. What remains is an error
    of about :math:`C u^2 \max |dy|` in the bracket.

    Examples
    --------
    >>> import fastloss as fl
    >>> y = fl.softmax([3.0, 1.0, -3.0])
    >>> fl.softmax_grad(y, [1.0, 0.0, 0.0]).round(6)
    array([ 0.106451, -0.104537, -0.001915])
    """
    return _softmax.run_transform_grad(_softmax.SOFTMAX_GRAD, y, dy, axis, out, n_threads)


def log_softmax_grad(y, dy, *, axis=-1, out=None, n_threads=None):
    r"""The gradient that comes back through `log_softmax`.

    .. math:: dx_c = dy_c - \exp(y_c) \sum_k dy_k

    Parameters
    ----------
    y : array_like
        What `log_softmax` returned, of at least one dimension. Dtypes as for `cross_entropy`.
    dy, axis, out, n_threads
        As for `softmax_grad`.

    Returns
    -------
    ndarray
        Of the shape and floating dtype of `y` (float64 for integers).

    Raises
    ------
    ValueError, TypeError
        As for `softmax_grad`.

    Notes
    -----
    Within 4 ULP of the larger of the two terms that are subtracted. Where :math:`-0.6 \le y_c \le 0` those are
    :math:`dy_c - \sum_k dy_k` and :math:`(\exp(y_c) - 1) \sum_k dy_k`, both of them accurate, so that a likely class
    has all its digits when `dy` comes from a label: the gradient of ``-log_softmax(x)[0]`` at a logit gap of 40 is
    -4e-18, not 0.

    Examples
    --------
    >>> import fastloss as fl
    >>> y = fl.log_softmax([40.0, 0.0])
    >>> fl.log_softmax_grad(y, [-1.0, 0.0])
    array([-4.24835426e-18,  4.24835426e-18])
    """
    return _softmax.run_transform_grad(_softmax.LOG_SOFTMAX_GRAD, y, dy, axis, out, n_threads)
