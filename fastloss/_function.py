"""A loss as one object with four ways to call it."""

import functools
import inspect

from ._native.engine import GRAD, HESS, VALUE


def _derivative(want, doc):
    """The method that gives what `want` asks for: made per loss, when first used, so that it shows its parameters."""

    def method_of(loss):
        bind = loss._bind

        def method(*args, out=None, grad_output=None, wrt="input", **kwargs):
            run, arguments = bind(*args, **kwargs)
            return run(want, out, grad_output, wrt, arguments)

        own = [p for p in inspect.signature(method).parameters.values() if p.kind is p.KEYWORD_ONLY]
        method.__signature__ = inspect.Signature([*inspect.signature(bind).parameters.values(), *own])
        method.__doc__ = f"{doc} Arguments as for `{loss.__name__}`, and those of every `LossFunction`."
        method.__module__ = loss.__module__
        method.__name__ = named.attrname
        method.__qualname__ = f"{loss.__qualname__}.{named.attrname}"  # pickled by this name
        return method

    method_of.__doc__ = doc
    named = functools.cached_property(method_of)
    return named


class LossFunction:
    """A loss: call it for the value; its methods give the derivatives with respect to the input.

    All four take the same arguments. The three that give derivatives take besides: ``grad_output``, the upstream
    gradient (a number; under ``reduction="none"`` also an array of the value's shape; default 1), which multiplies
    them; ``out``, the array that the gradient is written to (of the input's shape and floating dtype, possibly the
    input itself; a pair of arrays for `grad_and_hess`); and ``wrt``, the argument to differentiate by.

    Use it as a decorator of a function that turns the loss's arguments into ``(run, arguments)``: what computes it,
    and what that takes.
    """

    def __init__(self, bind):
        functools.update_wrapper(self, bind)
        self._bind = bind

    def __call__(self, *args, **kwargs):
        run, arguments = self._bind(*args, **kwargs)
        return run(VALUE, None, None, "input", arguments)

    value_and_grad = _derivative(VALUE | GRAD, "Value and gradient, in one pass.")
    grad = _derivative(GRAD, "The gradient alone.")
    grad_and_hess = _derivative(GRAD | HESS, "Gradient and diagonal of the Hessian, in one pass.")

    def __repr__(self):
        return f"<fastloss function {self.__name__}>"

    def __reduce__(self):
        return self.__qualname__  # pickled by name, as functions are
