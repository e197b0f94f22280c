# mypy: ignore-errors
"""fastloss's losses inside JAX programs, on the CPU: under ``jit``, ``grad`` and ``vmap``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _check
from . import _library

with _library.needs("jax"):
    import jax
    import jax.numpy as jnp

__all__ = ["wrap"]

NO_GRADIENT = "{0} is differentiated, but {1} has no gradient with respect to it: use jax.lax.stop_gradient({0})"


def _host(function):
    """`function` of NumPy arrays. JAX's own arrays are read where they are."""
    return lambda *trees: function(*jax.tree.map(np.asarray, trees))


def _class_axis(loss, ndim):
    return _check.axis(_library.option(loss, {}, "axis", 1), ndim, "input")


def _shape_of_value(loss, reduction, input):
    dtype = input.dtype if jnp.issubdtype(input.dtype, jnp.floating) else jnp.result_type(float)
    shape = input.shape if reduction == "none" else ()
    if reduction == "none" and _library.is_row_wise(loss):
        axis = _class_axis(loss, input.ndim)
        shape = shape[:axis] + shape[axis + 1:]
    return jax.ShapeDtypeStruct(shape, dtype)


def _like(array):
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _callback(function, result, *arguments):
    """In the process's own memory, one call for each element of a batch."""
    return jax.pure_callback(_host(function), result, *arguments, vmap_method="sequential")


def _differentiable(loss, options):
    """The loss of (input, target, arrays), with rules for its derivatives; `arrays` are options that JAX traces."""
    reduction = _library.option(loss, options, "reduction", "mean")
    name = _library.name_of(loss)

    def as_arrays(results, wanted):
        return tuple(np.asarray(result, want.dtype) for result, want in zip(results, wanted))

    @jax.custom_vjp
    def value(input, target, arrays):
        wanted = (_shape_of_value(loss, reduction, input),)

        def compute(input, target, arrays):
            return as_arrays((loss(input, target, **options, **arrays),), wanted)

        return _callback(compute, wanted, input, target, arrays)[0]

    def forward(input, target, arrays):
        for key, array in arrays.items():
            if array.perturbed:
                raise TypeError(NO_GRADIENT.format(key, name))
        by_input, by_target = input.perturbed, target.perturbed
        if by_target and not _library.has_target_gradient(loss):
            raise TypeError(NO_GRADIENT.format("target", name))
        input, target, arrays = input.value, target.value, {key: array.value for key, array in arrays.items()}
        wanted = (_shape_of_value(loss, reduction, input),)
        wanted += (_like(input),) * by_input + (_like(target),) * by_target

        def compute(input, target, arrays):
            results = loss.value_and_grad(input, target, **options, **arrays) if by_input else (
                loss(input, target, **options, **arrays),)
            if by_target:
                results += (loss.grad(input, target, wrt="target", **options, **arrays),)
            return as_arrays(results, wanted)

        result, *gradients = _callback(compute, wanted, input, target, arrays)
        return result, (gradients[0] if by_input else None, gradients[-1] if by_target else None)

    def backward(gradients, upstream):
        if reduction == "none" and _library.is_row_wise(loss) and upstream.ndim:
            upstream = jnp.expand_dims(upstream, _class_axis(loss, upstream.ndim + 1))
        return *(None if gradient is None else gradient * upstream for gradient in gradients), None

    value.defvjp(forward, backward, symbolic_zeros=True)
    return value


def wrap(loss: _library.Loss, **options: Any) -> Callable[..., Any]:
    """A loss of fastloss as a function of JAX arrays.

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.cross_entropy``), a configured class, or a sum made by ``fastloss.combine``.
    **options
        Options of the loss that stay the same: ``reduction="sum"``, ``label_smoothing=0.1``.

    Returns
    -------
    callable
        ``f(input, target, **arrays)`` gives the value, of the input's dtype. `arrays` are further options that are
        arrays (``sample_weight``, ``weight``); they may be traced, but not differentiated. The gradient with respect
        to the input comes from fastloss; with respect to the target, too, where it is defined.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option. When differentiated: by an argument for which
        fastloss has no gradient.
    ValueError, IndexError
        What the loss raises about its arguments; JAX may put it into an error of its own.

    Notes
    -----
    It works under ``jit``, ``grad`` and ``vmap`` (which calls fastloss once for each element of the batch: where there
    is a choice, give it the whole batch and ``reduction="none"``). It runs on the CPU by ``jax.pure_callback``: arrays
    of a GPU would be copied there and back. Differentiation is reverse-mode, and once: ``jvp`` and second derivatives
    are JAX's error.

    Examples
    --------
    >>> import jax, fastloss as fl
    >>> loss = fl.adapters.jax.wrap(fl.cross_entropy, label_smoothing=0.1)
    >>> logits, labels = jax.numpy.array([[2.0, 1.0, -1.0]]), jax.numpy.array([0])
    >>> value, gradient = jax.jit(jax.value_and_grad(loss))(logits, labels)
    >>> round(float(value), 6), gradient.round(4).tolist() == fl.cross_entropy.grad(
    ...     logits, labels, label_smoothing=0.1).round(4).tolist()
    (0.482346, True)
    """
    _library.checked_options(loss, options, {"input", "target", "axis"})
    differentiable = _differentiable(loss, options)

    def wrapped(input, target, **arrays):
        _library.checked_options(loss, arrays, {"input", "target", "axis", *options})
        return differentiable(jnp.asarray(input), jnp.asarray(target),
                              {name: jnp.asarray(array) for name, array in arrays.items()})

    wrapped.__name__ = _library.name_of(loss)
    return wrapped
