"""Negative log-likelihoods and deviances of predicted distributions: Poisson, Gaussian, gamma, Tweedie."""

import math

import numpy as np

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

# By (log_input, full). Targets are not checked: PyTorch's rule.
_POISSON = {
    (True, False): _pointwise.Loss("poisson_nll"),
    (True, True): _pointwise.Loss("poisson_nll_full"),
    (False, False): _pointwise.Loss("poisson_nll_of_mean"),
    (False, True): _pointwise.Loss("poisson_nll_of_mean_full"),
}
_GAUSSIAN = _pointwise.Loss("gaussian_nll", parameter="var")
_GAMMA = _pointwise.Loss("gamma_nll", target=_check.POSITIVE_OR_NAN)
_TWEEDIE_1 = _pointwise.Loss("poisson_nll", target=_check.NONNEGATIVE_OR_NAN)
_TWEEDIE_UP_TO_0 = _pointwise.Loss("tweedie_nll")
_TWEEDIE_UP_TO_2 = _pointwise.Loss("tweedie_nll", target=_check.NONNEGATIVE_OR_NAN)
_TWEEDIE_BEYOND_2 = _pointwise.Loss("tweedie_nll", target=_check.POSITIVE_OR_NAN)


@LossFunction
def poisson_nll_loss(input, target, *, log_input=True, full=False, eps=1e-8, reduction="mean", sample_weight=None,
                     normalizer=None, n_threads=None):
    r"""Negative log-likelihood of counts under Poisson distributions.

    .. math:: \ell = e^x - y x \quad\text{or, with log_input=False,}\quad x - y \log(x + \varepsilon)

    With `full`, Stirling's approximation of :math:`\log y!` is added where :math:`y > 1`:
    :math:`y \log y - y + \tfrac12 \log(2 \pi y)`.

    Parameters
    ----------
    input : array_like
        Logarithms of the means, or with ``log_input=False`` the means themselves; else as for `mse_loss`.
    target : array_like
        Counts :math:`y`, of the input's shape. They need not be integral, and are not checked.
    log_input : bool, default True
        What `input` is.
    full : bool, default False
        Add the term that depends on the target alone. It has no influence on the gradient.
    eps : float or array_like, default 1e-8
        Added to the mean in the logarithm, so that a mean of 0 does not give infinity; not negative. Without effect
        with ``log_input=True``.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`e^x - y` and the Hessian :math:`e^x`; with ``log_input=False``
        :math:`1 - y / (x + \varepsilon)` and :math:`y / (x + \varepsilon)^2`.

    Raises
    ------
    ValueError, TypeError
        `eps` is negative or NaN; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP, except where the loss or the gradient :math:`e^x - y` crosses 0: there the bound is 4 ULP of the
    largest of the terms, because the exponential and the logarithms are themselves rounded. (The gradient with
    ``log_input=False`` keeps its 4 ULP there, too.) A difference with :math:`e^x` is finite wherever the exact one is,
    even if its terms are not.

    The options are those of ``torch.nn.functional.poisson_nll_loss``; unlike it, a target of 0 counts 0 even times an
    infinite logarithm, as for an input of -inf.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.poisson_nll_loss([0.0, 1.0], [2.0, 3.0]), 6)
    0.359141
    >>> round(fl.poisson_nll_loss([1.0, 2.0], [2.0, 3.0], log_input=False, full=True), 6)
    1.668223
    """
    log_input, full = _check.flag("log_input", log_input), _check.flag("full", full)
    _check.in_domain("eps", eps, _check.NONNEGATIVE)
    parameters = () if log_input else (("eps", eps, _check.NONNEGATIVE),)
    return _pointwise.run, (_POISSON[log_input, full], input, target, parameters, None, None, reduction,
                            sample_weight, normalizer, n_threads)


def _variance(var, input):
    """PyTorch's rule: a variance for each row may lack the last axis, which then is appended to it."""
    if isinstance(var, (float, int)):
        return var
    var = _check.real_array("var", var)
    shape = _check.real_array("input", input).shape
    return var[..., None] if var.ndim and var.shape != shape and var.shape == shape[:-1] else var


@LossFunction
def gaussian_nll_loss(input, target, var, *, full=False, eps=1e-6, reduction="mean", sample_weight=None,
                      normalizer=None, n_threads=None):
    r"""Negative log-likelihood under Gaussian distributions of given mean and variance.

    .. math:: \ell = \frac12 \left( \log v + \frac{(x - y)^2}{v} \right) \qquad v = \max(\mathit{var}, \varepsilon)

    With `full`, :math:`\tfrac12 \log 2 \pi` is added.

    Parameters
    ----------
    input : array_like
        The means :math:`x`; else as for `mse_loss`.
    target : array_like
        As for `mse_loss`.
    var : float or array_like
        The variances, not negative: one number, or an array that broadcasts to the input's shape. One that has all but
        the last of the input's axes gives each row its variance, as in PyTorch.
    full : bool, default False
        Add the constant.
    eps : float or array_like, default 1e-6
        The least variance; not negative.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`(x - y) / v`, the Hessian :math:`1 / v`. ``wrt="target"`` and
        ``wrt="var"`` are possible: for the latter they are :math:`(1 / v - (x - y)^2 / v^2) / 2` and
        :math:`(x - y)^2 / v^3 - 1 / (2 v^2)`, of the *input's* shape, one for each element: for a variance that was
        broadcast add them up.

    Raises
    ------
    ValueError, TypeError
        `var` or `eps` is negative; or as for `mse_loss`.

    Notes
    -----
    The derivatives with respect to input and target are within 4 ULP. So are the loss and the derivatives with respect
    to the variance, except where they cross 0: there the bound is 4 ULP of the larger of their two terms.

    Where `var` is below `eps` the derivatives with respect to it are those at `eps`, not 0, so that a variance that is
    too small can grow (PyTorch). The options are those of ``torch.nn.functional.gaussian_nll_loss``.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> round(fl.gaussian_nll_loss([1.0, 2.0], [0.0, 4.0], 2.0), 6)
    0.971574
    >>> fl.gaussian_nll_loss.grad(np.array([1.0, 2.0]), np.array([0.0, 4.0]), 2.0, wrt="var", reduction="sum")
    array([ 0.125, -0.25 ])
    """
    constant = math.log(2 * math.pi) / 2 if _check.flag("full", full) else 0.0
    parameters = (("var", _variance(var, input), _check.NONNEGATIVE_OR_NAN), ("eps", eps, _check.NONNEGATIVE),
                  ("full", constant, None))
    return _pointwise.run, (_GAUSSIAN, input, target, parameters, None, None, reduction, sample_weight,
                            normalizer, n_threads)


@LossFunction
def gamma_nll_loss(input, target, *, reduction="mean", sample_weight=None, normalizer=None, n_threads=None):
    r"""Half the gamma deviance of positive targets, with a logarithmic link.

    .. math:: \ell = x + y e^{-x}

    Parameters
    ----------
    input : array_like
        Logarithms :math:`x` of the predicted means; else as for `mse_loss`.
    target : array_like
        Positive numbers :math:`y`, of the input's shape.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`1 - y e^{-x}`, the Hessian :math:`y e^{-x}`.

    Raises
    ------
    ValueError, TypeError
        A target is not positive; or as for `mse_loss`.

    Notes
    -----
    The Hessian is within 4 ULP; loss and gradient are, except where they cross 0: there the bound is 4 ULP of the
    larger of their two terms. As scikit-learn's ``HalfGammaLoss``: the terms of the deviance that depend on the target
    alone, :math:`-\log y - 1`, are left out.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.gamma_nll_loss([0.0, 1.0], [2.0, 3.0]), 6)
    2.051819
    """
    return _pointwise.run, (_GAMMA, input, target, (), None, None, reduction, sample_weight, normalizer,
                            n_threads)


def _tweedie(power):
    """The loss for a power, and its parameters."""
    power = _check.finite("power", power)
    if power == 1:
        return _TWEEDIE_1, ()
    if power == 2:
        return _GAMMA, ()
    # In two parts that both are numbers of float32: the exponents need the power to more than working precision there.
    high = float(np.float32(power)) if abs(power) < 1e38 else power
    parts = ("power", high, None), ("power", power - high, None)
    return (_TWEEDIE_UP_TO_0 if power <= 0 else _TWEEDIE_UP_TO_2 if power < 2 else _TWEEDIE_BEYOND_2), parts


@LossFunction
def tweedie_nll_loss(input, target, *, power=1.5, reduction="mean", sample_weight=None, normalizer=None,
                     n_threads=None):
    r"""Half the Tweedie deviance, with a logarithmic link.

    .. math:: \ell = \frac{e^{(2 - p) x}}{2 - p} - y\, \frac{e^{(1 - p) x}}{1 - p}

    or :math:`\tfrac12 (e^x - y)^2` for :math:`p = 0`, :math:`e^x - y x` for 1, and :math:`x + y e^{-x}` for 2.

    Parameters
    ----------
    input : array_like
        Logarithms :math:`x` of the predicted means; else as for `mse_loss`.
    target : array_like
        Numbers :math:`y`, of the input's shape: positive for a power from 2 on, not negative for one between 0 and 2,
        any for others.
    power : float, default 1.5
        The power :math:`p` of the mean to which the variance is proportional: 0 for the Gaussian distribution, 1 for
        Poisson's, between 1 and 2 for sums of gamma variables with a mass at 0, 2 for gamma, 3 for the inverse
        Gaussian distribution. Any number, but not an array: the domain of the target depends on it.
    reduction, sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`e^{(2 - p) x} - y e^{(1 - p) x}`, the Hessian
        :math:`(2 - p) e^{(2 - p) x} - (1 - p) y e^{(1 - p) x}`.

    Raises
    ------
    ValueError, TypeError
        A target is outside the power's domain, or `power` is not finite; or as for `mse_loss`.

    Notes
    -----
    Within 4 ULP, except where the two terms cancel: there the bound is 4 ULP of the larger one. A difference is finite
    wherever the exact one is, even if its terms are not. As scikit-learn's ``HalfTweedieLoss``: terms of the deviance
    that depend on the target alone are left out; they differ for powers 0, 1 and 2, so there the loss is not continuous
    in the power, though its derivatives are.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.tweedie_nll_loss([0.0, 1.0], [2.0, 3.0]), 6)
    6.468313
    >>> fl.tweedie_nll_loss([0.0, 0.0], [2.0, 4.0], power=0, reduction="none")
    array([0.5, 4.5])
    """
    loss, parameters = _tweedie(power)
    return _pointwise.run, (loss, input, target, parameters, None, None, reduction, sample_weight, normalizer,
                            n_threads)
