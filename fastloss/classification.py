"""Losses over classes: cross_entropy, nll_loss."""

from ._function import LossFunction
from ._native import softmax as _softmax


@LossFunction
def cross_entropy(input, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0,
                  sample_weight=None, axis=1, normalizer=None, n_threads=None):
    r"""Cross-entropy of logits against class labels or class probabilities.

    .. math:: \ell_n = -\sum_c w_c\, t_{nc} \log \frac{\exp x_{nc}}{\sum_k \exp x_{nk}}

    where :math:`t_n` is the one-hot vector of the label, or the given probabilities, each smoothed to
    :math:`t (1 - \varepsilon) + \varepsilon / C`.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. float16, bfloat16, float32 and float64 are computed as they are (half precision in float32); integers
        and bool in float64.
    target : array_like
        Labels: integers or bool, of the input's shape without the class axis. Or probabilities: a floating array of
        the input's shape; its rows need not sum to 1.
    weight : array_like of shape (C,), optional
        A weight for each class, not negative.
    ignore_index : int, default -100
        Rows with this label are left out: never read, loss 0, gradient 0. It may be a valid class.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides the sum by the total weight ``weight[target] * sample_weight`` of the rows that count (with
        probabilities by the number of rows, or their sample weight). "batchmean" divides by the size of axis 0 of the
        value under "none".
    label_smoothing : float, default 0
        From 0 to 1: the share :math:`\varepsilon` of each row's target that is spread evenly over the classes.
    sample_weight : array_like, optional
        A weight for each row, not negative, broadcastable to the shape of the value under "none". Rows of weight 0 are
        never read.
    axis : int, default 1
        The axis of the classes. A 1-D input has only one.
    normalizer : float, optional
        Replaces the denominator of "mean".
    n_threads : int, optional
        See `set_num_threads`.

    Returns
    -------
    float or ndarray
        The reduced value, carried in double; under "none" an array of the input's floating dtype and of its shape
        without the class axis. ``value_and_grad`` gives also the gradient with respect to the input, of the input's
        shape and dtype; ``grad`` only that; ``grad_and_hess`` the gradient and the diagonal of the Hessian,
        :math:`T p (1 - p)` with the row's total target weight :math:`T`. These take ``grad_output`` and ``out``, too
        (see `LossFunction`).

    Raises
    ------
    IndexError
        A label is out of range and not `ignore_index`.
    ValueError
        Shapes do not fit, a weight is negative or NaN, `label_smoothing` is outside [0, 1], `ignore_index` is given
        with probabilities, `normalizer` is not positive or not with "mean", or `out` is unsuitable.
    TypeError
        An argument is not of real numbers, or is a masked array.

    Notes
    -----
    Values and gradients are within 4 ULP of the exact ones, those of confident rows included. Where smoothed or given
    probabilities :math:`t` make the gradient :math:`T p - t` cross 0, the bound is 4 ULP of the larger term: there the
    gradient's relative error is unbounded in the logits themselves. Probabilities below the smallest normal number of
    the working precision count as 0.

    A logit of -inf has probability 0. A row with +inf or NaN, or with nothing but -inf, gives NaN. If no row counts,
    "mean" is NaN and the gradient 0. The options are those of ``torch.nn.functional.cross_entropy``; unlike it,
    ignored rows never let a NaN through, and 0 times -inf counts 0.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> logits = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, 0.5]])
    >>> labels = np.array([0, 2])
    >>> loss, gradient = fl.cross_entropy.value_and_grad(logits, labels)
    >>> round(loss, 6)
    1.486443
    >>> gradient.round(4)
    array([[-0.1473,  0.1297,  0.0176],
           [ 0.022 ,  0.4417, -0.4637]])
    """
    return _softmax.run_loss, (_softmax.CROSS_ENTROPY, input, target, weight, ignore_index, reduction,
                               label_smoothing, sample_weight, axis, normalizer, n_threads)


@LossFunction
def nll_loss(input, target, *, weight=None, ignore_index=-100, reduction="mean", sample_weight=None, axis=1,
             normalizer=None, n_threads=None):
    r"""Negative log-likelihood of log-probabilities against class labels.

    .. math:: \ell_n = -w_{y_n} x_{n y_n}

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities; they are not checked, and only those of the labels are read.
    target : array_like
        Labels: integers or bool, of the input's shape without the class axis.
    weight, ignore_index, reduction, sample_weight, axis, normalizer, n_threads
        As for `cross_entropy`.

    Returns
    -------
    float or ndarray
        As for `cross_entropy`. The gradient is :math:`-w_y` at the label and 0 elsewhere; the Hessian is 0.

    Raises
    ------
    IndexError, ValueError, TypeError
        As for `cross_entropy`.

    See Also
    --------
    cross_entropy : the same from logits, in one pass and more accurate than ``nll_loss(log_softmax(x))``.

    Notes
    -----
    A label of class weight 0 counts 0 even where its log-probability is -inf. The options are those of
    ``torch.nn.functional.nll_loss``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> log_probabilities = np.log([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    >>> round(fl.nll_loss(log_probabilities, [0, 2]), 6)
    0.636483
    """
    return _softmax.run_loss, (_softmax.NLL, input, target, weight, ignore_index, reduction, 0.0, sample_weight, axis,
                               normalizer, n_threads)
