"""softmax, log_softmax, logsumexp."""

from ._native import softmax as _softmax


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
    ValueError, TypeError
        As for `softmax`.

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
    result = _softmax.run_transform(_softmax.LOGSUMEXP, x, axis, keepdims, out, n_threads)
    return float(result) if result.ndim == 0 and out is None else result
