"""Losses over classes: cross_entropy, nll_loss, softmax_focal_loss, multi_margin_loss."""

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
        A weight for each class, not negative. Rows whose label has weight 0 are never read, unless labels are smoothed.
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
                               label_smoothing, sample_weight, axis, normalizer, n_threads, ())


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
                               normalizer, n_threads, ())


@LossFunction
def softmax_focal_loss(input, target, *, gamma=2.0, weight=None, ignore_index=-100, reduction="mean",
                       sample_weight=None, axis=1, normalizer=None, n_threads=None):
    r"""Focal loss of logits against class labels, a cross-entropy that attends less to what is already right.

    .. math:: \ell_n = -w_y\, (1 - p_y)^\gamma \log p_y, \qquad p_c = \frac{\exp x_{nc}}{\sum_k \exp x_{nk}},
              \quad y = y_n

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. Dtypes as for `cross_entropy`.
    target : array_like
        Labels: integers or bool, of the input's shape without the class axis.
    gamma : float, default 2
        Not negative. 0 gives `cross_entropy`.
    weight, ignore_index, reduction, sample_weight, axis, normalizer, n_threads
        As for `cross_entropy` with labels: "mean" divides by the total weight ``weight[target] * sample_weight`` of
        the rows that count, without their focal factor.

    Returns
    -------
    float or ndarray
        As for `cross_entropy`. With :math:`q = 1 - p_y`, the gradient is :math:`A\, (p_c - [c = y])` where
        :math:`A = w_y\, (q^\gamma - \gamma\, q^{\gamma - 1} p_y \log p_y)`, and the Hessian its exact diagonal,
        :math:`A\, p_c (1 - p_c) + \frac{d^2 \ell}{d (\log p_y)^2} ([c = y] - p_c)^2`; it can be negative.

    Raises
    ------
    IndexError, TypeError
        As for `cross_entropy`.
    ValueError
        As for `cross_entropy`, or `gamma` is negative or not finite.

    See Also
    --------
    cross_entropy : the same with ``gamma=0``, and with probabilities or label smoothing.

    Notes
    -----
    Values and gradients are within :math:`4 + 2.5 \gamma` ULP of the exact ones, the Hessian within
    :math:`8 + 2.5 \gamma` ULP, those of confident rows included: the rounding of the exponentials and of their sum is
    raised to the power :math:`\gamma`, too. Probabilities and :math:`(1 - p_y)^\gamma` count as 0 below the smallest
    normal number.

    The Hessian crosses 0 at the label where :math:`-\log p_y` is near :math:`2 + 1/\gamma`, and at another class
    :math:`c` that has nearly all of the probability. There its terms cancel, and its bound holds for the larger of
    them.

    Special values are those of `cross_entropy`. PyTorch has no such loss. The definition is that of Lin et al., "Focal
    Loss for Dense Object Detection" (2017), with the softmax in place of the sigmoid.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> logits = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, 0.5]])
    >>> labels = np.array([0, 2])
    >>> loss, gradient = fl.softmax_focal_loss.value_and_grad(logits, labels)
    >>> round(loss, 6)
    1.143696
    >>> gradient.round(4)
    array([[-0.0342,  0.0301,  0.0041],
           [ 0.0267,  0.5359, -0.5626]])
    """
    return _softmax.run_loss, (_softmax.SOFTMAX_FOCAL, input, target, weight, ignore_index, reduction, 0.0,
                               sample_weight, axis, normalizer, n_threads, (gamma,))


@LossFunction
def multi_margin_loss(input, target, *, p=1, margin=1.0, weight=None, reduction="mean", sample_weight=None, axis=1,
                      normalizer=None, n_threads=None):
    r"""Hinge loss over classes, where every other class should stay below the label's by a margin.

    .. math:: \ell_n = \frac{w_y}{C} \sum_{c \ne y} \max(0,\; m - x_{ny} + x_{nc})^p, \qquad y = y_n

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, d1, ...)
        Scores. Dtypes as for `cross_entropy`.
    target : array_like
        Labels: integers or bool, of the input's shape without the class axis.
    p : {1, 2}, default 1
        The power.
    margin : float, default 1
        The margin :math:`m`.
    weight : array_like of shape (C,), optional
        A weight for each class, not negative. Rows whose label has weight 0 are never read.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "mean" divides by the number of rows, or by the sum of their sample weights; class weights are no part of the
        denominator (as in PyTorch, where `cross_entropy` and this loss differ).
    sample_weight, axis, normalizer, n_threads
        As for `cross_entropy`.

    Returns
    -------
    float or ndarray
        As for `cross_entropy`. A class that breaks the margin by :math:`z_c > 0` has gradient
        :math:`p\, w_y z_c^{p - 1} / C`, the label minus the sum of those; at the kink :math:`z_c = 0` the subgradient
        is 0. The Hessian's diagonal is 0 for ``p=1``; for ``p=2`` it is :math:`2 w_y / C` at each class that breaks
        the margin, and their sum at the label.

    Raises
    ------
    IndexError
        A label is out of range; no label is ignored.
    ValueError
        As for `cross_entropy`, `p` is neither 1 nor 2, or `margin` is not finite.
    TypeError
        As for `cross_entropy`.

    Notes
    -----
    Values and derivatives are within 4 ULP of the exact ones: :math:`m - x_y + x_c` is rounded once, so a small excess
    over the margin has all its digits. A NaN makes the value, the label's gradient and its own class's gradient NaN.
    The options are those of ``torch.nn.functional.multi_margin_loss``, which takes 1-D and 2-D inputs only and counts
    a NaN as 0.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> scores = np.array([[2.0, 1.5, -1.0], [0.0, 3.0, 0.5]])
    >>> loss, gradient = fl.multi_margin_loss.value_and_grad(scores, [0, 2])
    >>> round(loss, 6)
    0.75
    >>> gradient.round(4)
    array([[-0.1667,  0.1667,  0.    ],
           [ 0.1667,  0.1667, -0.3333]])
    """
    return _softmax.run_loss, (_softmax.MULTI_MARGIN, input, target, weight, None, reduction, 0.0, sample_weight, axis,
                               normalizer, n_threads, (p, margin))
