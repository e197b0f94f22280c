# mypy: ignore-errors
"""A loss of fastloss as a node of PyTorch's graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .. import _library

# Arguments by which a loss may be differentiable, besides its input.
OTHERS = ("target", "var")

NO_GRADIENT = "{0} requires grad, but {1} has no gradient with respect to it: pass {0}.detach()"


def array_of(name, tensor):
    """The tensor's own memory as a NumPy array."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is on the device {tensor.device}; fastloss computes on the CPU: pass {name}.cpu()")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} has the layout {tensor.layout}; fastloss needs a dense tensor: pass {name}.to_dense()")
    tensor = tensor.detach().resolve_neg()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return tensor.view(torch.int16).numpy().view(_bfloat16())


def _bfloat16():
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ImportError("bfloat16 tensors need ml_dtypes, which is not installed: pip install ml_dtypes") from None
    return ml_dtypes.bfloat16


def tensor_of(array):
    """The array's own memory as a tensor."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _value(value, input):
    if isinstance(value, np.ndarray):
        return tensor_of(value)
    dtype = input.dtype if input.is_floating_point() else torch.float64
    return torch.tensor(value, dtype=dtype)


def _gradients(loss, arrays, options, needed):
    """(value, gradients), one per argument, or None; with an upstream gradient of 1."""
    gradients = [None] * len(arrays)
    if needed[0]:
        value, gradients[0] = loss.value_and_grad(*arrays, **options)
    else:
        value = loss(*arrays, **options)
    for k, name in enumerate(OTHERS[:len(arrays) - 1], 1):
        if needed[k]:
            if not _library.has_target_gradient(loss):
                raise TypeError(NO_GRADIENT.format(name, _library.name_of(loss)))
            gradients[k] = loss.grad(*arrays, wrt=name, **options)
    return value, gradients


class Loss(torch.autograd.Function):
    """Value and gradient come from one pass; what remains for the way back is the factor from upstream."""

    @staticmethod
    def forward(ctx, loss, options, *tensors):
        arrays = [array_of(name, tensor) for name, tensor in zip(("input", *OTHERS), tensors)]
        needed = ctx.needs_input_grad[2:]
        value, gradients = _gradients(loss, arrays, options, needed)
        one_per_row = isinstance(value, np.ndarray) and value.ndim and value.shape != arrays[0].shape
        ctx.class_axis = _library.option(loss, options, "axis", 1) if one_per_row else None
        ctx.shapes = [getattr(tensor, "shape", None) for tensor in tensors]
        ctx.save_for_backward(*(None if gradient is None else tensor_of(gradient) for gradient in gradients))
        return _value(value, tensors[0])

    @staticmethod
    def backward(ctx, upstream):
        # PyTorch's once_differentiable would let this pass, as a constant, where upstream requires no grad.
        if torch.is_grad_enabled():
            raise RuntimeError("create_graph=True: a gradient of fastloss cannot be differentiated a second time")
        if ctx.class_axis is not None:
            upstream = upstream.unsqueeze(ctx.class_axis)
        one = upstream.ndim == 0 and upstream.item() == 1  # `loss.backward()`: spare it a pass
        gradients = []
        for gradient, shape in zip(ctx.saved_tensors, ctx.shapes):
            if gradient is not None:
                gradient = _reduced(gradient if one else gradient * upstream, shape)
            gradients.append(gradient)
        return None, None, *gradients


def _reduced(gradient, shape):
    """Summed over what the loss broadcast: a variance for each row may lack the last axis."""
    if gradient.shape == shape:
        return gradient
    if len(shape) and shape == gradient.shape[:-1]:
        return gradient.sum(-1)
    return gradient.sum_to_size(shape)


def _autocast(tensor):
    """Under autocast PyTorch computes losses in float32."""
    low = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if low and tensor.device.type == "cpu" and torch.is_autocast_enabled("cpu") else tensor


def apply(loss: _library.Loss, input: torch.Tensor, target: torch.Tensor, *others: torch.Tensor | float,
          **options: Any) -> torch.Tensor:
    """Any loss of fastloss on tensors, with its gradient for PyTorch's autograd.

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.sigmoid_focal_loss``), a configured class, or a sum made by ``fastloss.combine``.
    input, target, *others : torch.Tensor
        What the loss takes by position, on the CPU. They are read where they are, without a copy.
    **options
        Options of the loss; tensors among them (``weight``, ``sample_weight``) are read, but not differentiated.

    Returns
    -------
    torch.Tensor
        The value, of the input's dtype (under ``torch.autocast`` at least float32). With a graph, if
        an argument requires grad.

    Raises
    ------
    TypeError
        A tensor is not on the CPU, or not dense; or one requires grad by which the loss has no gradient. `loss` is not
        a loss of fastloss, or does not have an option.
    ImportError
        A tensor is of dtype bfloat16, and ml_dtypes is not installed.
    ValueError, IndexError
        What the loss raises.

    Notes
    -----
    The gradient is computed together with the value, where the input requires grad; `backward` multiplies it by the
    upstream gradient. It can be differentiated once: a second derivative is an error. ``torch.func``,
    ``torch.compile`` and ``torch.jit.script`` do not see through it.

    Examples
    --------
    >>> import torch, fastloss as fl
    >>> logits = torch.tensor([2.0, -1.0], requires_grad=True)
    >>> loss = fl.adapters.torch.apply(fl.sigmoid_focal_loss, logits, torch.tensor([1.0, 0.0]), gamma=2)
    >>> loss.backward()
    >>> logits.grad
    tensor([-0.0006,  0.0197])
    """
    _library.checked_options(loss, options, {"input", "target"})
    name_of_loss = _library.name_of(loss)
    for name, option in options.items():
        if isinstance(option, torch.Tensor):
            if option.requires_grad and torch.is_grad_enabled():
                raise TypeError(NO_GRADIENT.format(name, name_of_loss))
            options[name] = array_of(name, _autocast(option))
    tensors = [tensor if isinstance(tensor, torch.Tensor) or k > 1 else torch.as_tensor(tensor)
               for k, tensor in enumerate((input, target, *others))]
    tensors = [_autocast(tensor) if isinstance(tensor, torch.Tensor) else tensor for tensor in tensors]
    if not torch.is_grad_enabled():  # the Function would prepare for the way back all the same
        tensors = [tensor.detach() if isinstance(tensor, torch.Tensor) else tensor for tensor in tensors]
    return Loss.apply(loss, options, *tensors)
