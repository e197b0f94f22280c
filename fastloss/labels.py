"""Labels as arrays: one_hot."""

import numpy as np

from . import _check


def one_hot(labels, num_classes, *, dtype=np.float64, axis=-1):
    """Labels as rows of zeros with a single one.

    Parameters
    ----------
    labels : array_like of integers or bool
        Of any shape.
    num_classes : int
        Positive.
    dtype : dtype, default float64
        Of the result: any real numbers. (PyTorch's are int64; as a target of probabilities `cross_entropy` takes
        floating ones, of any dtype.)
    axis : int, default -1
        Where in the result the axis of the classes is; 1 for a target that goes with an input of shape
        (N, C, d1, ...).

    Returns
    -------
    ndarray
        Of the shape of `labels` with an axis of `num_classes` added.

    Raises
    ------
    IndexError
        A label is out of range (the text names its position and value).
    ValueError
        `num_classes` is not positive or larger than any array, or `axis` is out of range.
    TypeError
        `labels` are no integers or are a masked array, or `dtype` is not of real numbers.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.one_hot([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = _check.real_array("labels", labels)
    n_classes = _check.integer("num_classes", num_classes)
    if n_classes < 1:
        raise ValueError(f"num_classes must be positive, got {_check.shown(num_classes)}")
    if labels.size == 0 and labels.dtype.kind == "f":  # an empty list
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biu":
        raise TypeError(f"labels have dtype {labels.dtype}; they need to be integers or bool")
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        raise _check.label_error(labels, int(outside.argmax()), labels.shape, n_classes, None, "labels")
    axis = _check.integer("axis", axis)
    if not -labels.ndim - 1 <= axis <= labels.ndim:
        raise ValueError(f"axis = {axis} is out of range for a result of {labels.ndim + 1} dimensions")
    axis %= labels.ndim + 1
    shape = labels.shape[:axis] + (n_classes,) + labels.shape[axis:]
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):
        raise TypeError(f"dtype must be a dtype of real numbers, got {dtype!r}") from None
    try:
        result = _check.real_array("dtype", np.zeros(shape, dtype))
    except (OverflowError, ValueError):
        raise ValueError(f"num_classes = {_check.shown(n_classes)} is too large for an array") from None
    np.put_along_axis(result, np.expand_dims(labels.astype(np.intp), axis), 1, axis)
    return result
