"""PyTorch, the same functions through torch.compile (inductor; it needs a C++ compiler)."""

import torch

from . import with_torch
from .offer import NotOffered


def make(case, data):
    # Every case is a new function to dynamo, and static shapes are what it is best at.
    torch._dynamo.reset()
    call = with_torch.make(case, data, lambda function: torch.compile(function, dynamic=False, fullgraph=True))
    try:
        call()
    except torch._dynamo.exc.TorchDynamoException as error:
        raise NotOffered(f"does not compile: {type(error).__name__}") from error
    return call
