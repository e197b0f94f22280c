"""A loss as one object with four ways to call it."""

import functools

from ._native.engine import GRAD, HESS, VALUE


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
        return run(VALUE, None, None, "input", *arguments)

    def value_and_grad(self, *args, out=None, grad_output=None, wrt="input", **kwargs):
        """Value and gradient, in one pass."""
        run, arguments = self._bind(*args, **kwargs)
        return run(VALUE | GRAD, out, grad_output, wrt, *arguments)

    def grad(self, *args, out=None, grad_output=None, wrt="input", **kwargs):
        """The gradient alone."""
        run, arguments = self._bind(*args, **kwargs)
        return run(GRAD, out, grad_output, wrt, *arguments)

    def grad_and_hess(self, *args, out=None, grad_output=None, wrt="input", **kwargs):
        """Gradient and diagonal of the Hessian, in one pass."""
        run, arguments = self._bind(*args, **kwargs)
        return run(GRAD | HESS, out, grad_output, wrt, *arguments)

    def __repr__(self):
        return f"<fastloss function {self.__name__}>"

    def __reduce__(self):
        return self.__qualname__  # pickled by name, as functions are
