"""A loss of one's own, without compiling: weighted sums of losses and penalties."""

import inspect

import numpy as np

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_ABSOLUTE = _pointwise.Loss("l1", target_is_fixed=True)
_SQUARE = _pointwise.Loss("mse", target_is_fixed=True)


def _penalty(loss, input, reduction, sample_weight, normalizer, n_threads):
    """The loss against zeros that cost no memory, of a dtype that leaves the input's precision as it is."""
    input = _check.real_array("input", input)
    zeros = np.broadcast_to(np.int8(0), input.shape)
    return _pointwise.run, (loss, input, zeros, (), None, None, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def l1_penalty(input, *, reduction="sum", sample_weight=None, normalizer=None, n_threads=None):
    r"""The L1 penalty (lasso) of an array, of a model's weights for instance.

    .. math:: \sum_i |x_i|

    Parameters
    ----------
    input : array_like
        Any shape. Dtypes as for `mse_loss`.
    reduction : {"sum", "mean", "none", "batchmean"}, default "sum"
        As for `mse_loss`, but the default is the sum, as regularisers are defined.
    sample_weight, normalizer, n_threads
        As for `mse_loss`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is the sign, 0 at 0; the Hessian is 0.

    Raises
    ------
    ValueError, TypeError
        As for `mse_loss`.

    See Also
    --------
    combine : to add it to a loss.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, gradient = fl.l1_penalty.value_and_grad([1.5, -2.0, 0.0])
    >>> value, gradient
    (3.5, array([ 1., -1.,  0.]))
    """
    return _penalty(_ABSOLUTE, input, reduction, sample_weight, normalizer, n_threads)


@LossFunction
def l2_penalty(input, *, reduction="sum", sample_weight=None, normalizer=None, n_threads=None):
    r"""The L2 penalty (ridge, weight decay) of an array, of a model's weights for instance.

    .. math:: \sum_i x_i^2

    There is no factor 1/2: give it to `combine`, or multiply.

    Parameters
    ----------
    input, reduction, sample_weight, normalizer, n_threads
        As for `l1_penalty`.

    Returns
    -------
    float or ndarray
        As for `mse_loss`. The gradient is :math:`2x`, the Hessian 2.

    Raises
    ------
    ValueError, TypeError
        As for `mse_loss`.

    See Also
    --------
    combine : to add it to a loss.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, gradient = fl.l2_penalty.value_and_grad([1.5, -2.0, 0.0])
    >>> value, gradient
    (6.25, array([ 3., -4.,  0.]))
    """
    return _penalty(_SQUARE, input, reduction, sample_weight, normalizer, n_threads)


class CombinedLoss:
    """A weighted sum of losses, with the four methods of each of them; made by `combine`."""

    def __init__(self, terms):
        if not np.iterable(terms):
            raise TypeError(f"terms must be a sequence of pairs (loss, factor), got {terms!r}")
        terms = list(terms)
        for k, term in enumerate(terms):
            if not isinstance(term, (tuple, list)) or len(term) != 2:
                raise TypeError(f"terms[{k}] must be a pair (loss, factor), got {term!r}")
        self.terms = tuple((loss, _check.finite(f"terms[{k}][1]", factor)) for k, (loss, factor) in enumerate(terms))
        if not self.terms:
            raise ValueError("terms is empty: a combined loss needs at least one")
        for k, (loss, _) in enumerate(self.terms):
            if isinstance(loss, type) or not (callable(loss) and hasattr(loss, "value_and_grad")):
                raise TypeError(f"terms[{k}][0] must be a loss of fastloss, configured or not, got {loss!r}")

    def _calls(self, input, target):
        """Each term with its factor and its arguments: a penalty takes the input alone."""
        for loss, factor in self.terms:
            function = getattr(loss, "function", loss)
            if isinstance(function, LossFunction) and "target" not in inspect.signature(function).parameters:
                yield loss, factor, (input,)
            elif target is None and not isinstance(loss, CombinedLoss):
                raise TypeError(f"target is missing: only penalties do without, and {loss!r} is none")
            else:
                yield loss, factor, (input, target)

    def __call__(self, input, target=None, **options):
        total = None
        with np.errstate(all="ignore"):
            for loss, factor, arguments in self._calls(input, target):
                value = loss(*arguments, **options)
                value = _like(value, factor * value)
                total = value if total is None else _like(value, total + value)
        return total

    def _derivatives(self, method, input, target, options, grad_output):
        """The sums, place by place, of what each term's `method` gives."""
        upstream = 1.0 if grad_output is None else _upstream(grad_output)
        totals = None
        with np.errstate(all="ignore"):  # infinities and NaN are results like any other, here as in the terms
            for loss, factor, arguments in self._calls(input, target):
                # The factor travels with the upstream gradient, into the kernel.
                results = getattr(loss, method)(*arguments, grad_output=factor * upstream, **options)
                results = list(results) if isinstance(results, tuple) else [results]
                if method == "value_and_grad":
                    results[0] = _like(results[0], factor * results[0])
                totals = results if totals is None else [_like(result, total + result)
                                                         for total, result in zip(totals, results)]
        return totals

    def value_and_grad(self, input, target=None, *, out=None, grad_output=None, **options):
        """Value and gradient: the sums of the terms' own."""
        value, grad = self._derivatives("value_and_grad", input, target, options, grad_output)
        return value, _delivered((grad,), out, input, (target, *options.values()))[0]

    def grad(self, input, target=None, *, out=None, grad_output=None, **options):
        """The gradient alone."""
        results = self._derivatives("grad", input, target, options, grad_output)
        return _delivered(results, out, input, (target, grad_output, *options.values()))[0]

    def grad_and_hess(self, input, target=None, *, out=None, grad_output=None, **options):
        """Gradient and diagonal of the Hessian."""
        results = self._derivatives("grad_and_hess", input, target, options, grad_output)
        return _delivered(results, out, input, (target, grad_output, *options.values()))

    def __repr__(self):
        return f"combine([{', '.join(f'({loss!r}, {factor!r})' for loss, factor in self.terms)}])"

    def __eq__(self, other):
        return self.terms == other.terms if isinstance(other, CombinedLoss) else NotImplemented

    __hash__ = None  # terms may be criteria, whose options may be arrays


def _upstream(grad_output):
    """A number, or an array with a number for each entry of the value."""
    if np.iterable(grad_output) or (hasattr(grad_output, "__array__") and np.ndim(grad_output)):
        return _check.real_array("grad_output", grad_output)
    return _check.number("grad_output", grad_output)


def _like(result, computed):
    """`computed` as an array of the dtype of `result`, if that is one: of a 0-dimensional one NumPy makes a scalar."""
    return np.asarray(computed, result.dtype) if isinstance(result, np.ndarray) else computed


def _delivered(results, out, input, others):
    """The gradient, or gradient and Hessian, in `out` if that is given. It may be the input: all terms are computed."""
    if out is None:
        return tuple(results)
    pair = len(results) > 1
    given = _check.pair_of(out) if pair else (out,)
    views = _check.outputs(given if pair else out, pair, np.asarray(input), results[0].dtype,
                           [other for other in others if isinstance(other, np.ndarray)])
    for view, result in zip(views, results):
        view[...] = result
    return given


def combine(terms):
    """A loss that is a weighted sum of others.

    Parameters
    ----------
    terms : sequence of (loss, factor)
        Each loss is a function of this library (`binary_cross_entropy_with_logits`), a configured one
        (``HuberLoss(delta=2.0)``), a penalty (`l1_penalty`, `l2_penalty`), which takes the input alone, or another
        combined loss. The factor is a number.

    Returns
    -------
    CombinedLoss
        Called with ``(input, target)`` it gives the sum of ``factor * loss(input, target)``. It has the methods
        ``value_and_grad``, ``grad`` and ``grad_and_hess``, with ``grad_output`` and ``out``; options
        (``reduction``, ``sample_weight``, ...) are passed to every term and must be known to each.

    Raises
    ------
    TypeError
        A term is not a loss of this library, or a factor is not a number.
    ValueError
        There are no terms; or what the terms raise.

    Notes
    -----
    Each term is computed in its own fused pass, and needs a gradient array of its own while the sum is formed.

    Examples
    --------
    >>> import fastloss as fl
    >>> loss = fl.combine([(fl.mse_loss, 1.0), (fl.l2_penalty, 0.1)])
    >>> value, gradient = loss.value_and_grad([1.0, 2.0], [0.0, 2.0])
    >>> value, gradient
    (1.0, array([1.2, 0.4]))
    """
    return CombinedLoss(terms)
