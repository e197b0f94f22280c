# mypy: ignore-errors
"""The error of an adapter whose library is not installed, and what adapters ask of a loss."""

import contextlib
import inspect
from typing import Any, Protocol

from .._combine import CombinedLoss
from .._function import LossFunction

# Those whose input is a row of classes, and whose value is one number for each row.
ROW_LOSSES = {"cross_entropy", "multi_margin_loss", "nll_loss", "softmax_focal_loss"}

# Those with a gradient with respect to the target.
BY_TARGET = {"binary_cross_entropy", "binary_cross_entropy_with_logits", "gaussian_nll_loss", "huber_loss", "kl_div",
             "l1_loss", "mse_loss", "smooth_l1_loss"}


class Loss(Protocol):
    """What type checkers take for a loss: a function, a configured class, or a sum made by ``fastloss.combine``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad(self, *args: Any, **kwargs: Any) -> Any: ...
    def grad_and_hess(self, *args: Any, **kwargs: Any) -> Any: ...


@contextlib.contextmanager
def needs(library, install='pip install "fastloss[adapters]"'):
    """Around the import of an adapter's library."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise  # the library is there, but something that it needs is not
        raise ImportError(f"fastloss.adapters.{library} needs {library}, which is not installed: {install}",
                          name=library) from None


def functions_of(loss):
    """The loss functions that a loss is made of: itself, a criterion's, or those of the terms of a sum."""
    if isinstance(loss, CombinedLoss):
        return [function for term, _ in loss.terms for function in functions_of(term)]
    function = getattr(loss, "function", loss)
    if isinstance(loss, type) or not isinstance(function, LossFunction):
        raise TypeError(f"loss must be a loss of fastloss, for instance fastloss.mse_loss, got {loss!r}")
    return [function]


def is_row_wise(loss):
    """Whether a row of classes has one loss (the softmax family), or each element its own."""
    return any(function.__name__ in ROW_LOSSES for function in functions_of(loss))


def has_target_gradient(loss):
    return all(function.__name__ in BY_TARGET for function in functions_of(loss))


def checked_options(loss, options, reserved):
    """`options`, if the loss has them all and the adapter does not need them itself."""
    known = [set(inspect.signature(function).parameters) for function in functions_of(loss)]
    for name in options:
        if name in reserved:
            raise TypeError(f"{name} is set by the adapter")
        if not all(name in names for names in known):
            raise TypeError(f"{name_of(loss)} has no option {name!r}")
    return options


def name_of(loss):
    return "_".join(function.__name__ for function in functions_of(loss))


def option(loss, options, name, default):
    """What an option will be: as given with the call, or as configured, in a sum of losses by the first that has it."""
    for given in (options, getattr(loss, "options", {})):
        if name in given:
            return given[name]
    terms = [option(term, {}, name, default) for term, _ in getattr(loss, "terms", ())]
    return next((found for found in terms if found is not default), default)
