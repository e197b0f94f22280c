"""Losses between distributions, element by element: kl_div."""

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_KL_DIV = _pointwise.Loss("kl_div", target=_check.NONNEGATIVE)
_KL_DIV_LOG_TARGET = _pointwise.Loss("kl_div_log_target")


@LossFunction
def kl_div(input, target, *, log_target=False, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Kullback-Leibler divergence of probabilities from log-probabilities, term by term.

    .. math:: \ell = y\, (\log y - x) \quad\text{or, with log\_target,}\quad \ell = e^{y} (y - x)

    Parameters
    ----------
    input : array_like
        Log-probabilities :math:`x`, of any shape; they are not checked. Dtypes as for `mse_loss`.
    target : array_like
        Probabilities :math:`y`, not negative, of the input's shape; or their logarithms.
    log_target : bool, default False
        Whether `target` holds logarithms.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "batchmean" is the divergence in the mathematical sense, averaged over axis 0; "mean" divides by the number of
        elements, or by the sum of `sample_weight`.
    sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient with respect to the input is :math:`-y`, or :math:`-e^{y}`, the second
        derivative 0; with ``wrt="target"`` the gradient is :math:`\log y - x + 1`, or :math:`e^{y} (y - x + 1)`.

    Raises
    ------
    ValueError
        A target is negative or NaN (without `log_target`); else as for `mse_loss`.
    TypeError
        As for `mse_loss`.

    Notes
    -----
    Within 4 ULP with `log_target`; without it, within 4 ULP of the larger of :math:`y \log y` and :math:`y x`, for
    where they cancel :math:`\log y` cannot be rounded finely enough. The gradient with respect to the target crosses 0
    inside the domain: there the bound is 4 ULP of the largest term.

    A target probability of 0 counts 0, even where the log-probability is -inf; so does a target logarithm of -inf
    (PyTorch: NaN). The gradient with respect to a target probability of 0 is the limit, -inf, or 0 where the input is
    -inf (PyTorch: NaN). Everything else is as ``torch.nn.functional.kl_div`` has it.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> target = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    >>> log_probabilities = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]))
    >>> round(fl.kl_div(log_probabilities, target, reduction="batchmean"), 6)
    0.173287
    >>> fl.kl_div.grad(log_probabilities, target, reduction="batchmean")
    array([[-0.25, -0.25,  0.  ],
           [-0.05, -0.1 , -0.35]])
    """
    loss = _KL_DIV_LOG_TARGET if _check.flag("log_target", log_target) else _KL_DIV
    return _pointwise.run, (loss, input, target, (), None, None, reduction, sample_weight, normalizer, n_threads)
