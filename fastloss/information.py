"""Information quantities of probabilities along an axis: entropy, cross_entropy_probs. Values only."""

from ._native import softmax as _softmax


def entropy(p, *, axis=-1, n_threads=None):
    r"""Entropy of probabilities, in nats.

    .. math:: H(p) = -\sum_c p_c \log p_c

    Parameters
    ----------
    p : array_like
        Probabilities, of at least one dimension. Dtypes as for `cross_entropy`. They need not sum to 1, and are not
        normalised.
    axis : int, default -1
        The axis to sum over.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        Of the floating dtype of `p` (float64 for integers) and of its shape without the axis; a float for a 1-D input.

    Raises
    ------
    ValueError
        An element is outside [0, 1] or NaN (the text names its position and value), or `axis` is out of range.
    TypeError
        `p` is not of real numbers, or is a masked array.

    See Also
    --------
    cross_entropy_probs : the cross-entropy of two distributions.

    Notes
    -----
    Within 4 ULP; no two terms have different signs, and their sum is compensated. A probability of 0 counts 0. For
    bits, divide by ``log(2)``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> round(fl.entropy([0.5, 0.25, 0.25]), 6)
    1.039721
    >>> fl.entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(6)
    array([0.693147, 0.      ])
    """
    return _softmax.run_information("p", p, None, axis, n_threads)


def cross_entropy_probs(q, p, *, axis=-1, n_threads=None):
    r"""Cross-entropy of predicted probabilities against true ones, in nats.

    .. math:: H(p, q) = -\sum_c p_c \log q_c

    Parameters
    ----------
    q : array_like
        The prediction, first as everywhere: probabilities, of at least one dimension. Dtypes as for `cross_entropy`.
    p : array_like
        The truth: probabilities, of the shape of `q`. Neither need sum to 1.
    axis : int, default -1
        The axis to sum over.
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        Of the floating dtype of `q` (float64 for integers) and of its shape without the axis; a float for 1-D inputs.

    Raises
    ------
    ValueError
        The shapes differ, an element is outside [0, 1] or NaN (the text names its position and value), or `axis` is
        out of range.
    TypeError
        An argument is not of real numbers, or is a masked array.

    See Also
    --------
    cross_entropy : from logits, with gradient: more accurate than ``cross_entropy_probs(softmax(x), p)``.
    entropy : the case of q equal to p.

    Notes
    -----
    Within 4 ULP; no two terms have different signs, and their sum is compensated. Where `p` is 0 the term is 0,
    whatever `q` is; where only `q` is 0 the result is inf.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.cross_entropy_probs([0.7, 0.2, 0.1], [1.0, 0.0, 0.0]), 6)
    0.356675
    >>> fl.cross_entropy_probs([0.0, 1.0], [0.5, 0.5])
    inf
    """
    return _softmax.run_information("q", q, p, axis, n_threads)
