from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, type_check_only

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

_Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
_Reduced: TypeAlias = Literal["mean", "sum", "batchmean"]
_Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]] | list[NDArray[Any]]

# What a loss gives where no reduction is named: a float, or an array if it is configured with "none".
_V_co = TypeVar("_V_co", covariant=True, default=Any)

# Each loss has its own type in the stub of its module, with its parameters.
@type_check_only
class _Loss(Protocol):
    @property
    def __name__(self) -> str: ...

class LossFunction:
    def __init__(self, bind: Callable[..., tuple[Callable[..., Any], tuple[Any, ...]]]) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def __name__(self) -> str: ...
    @cached_property
    def value_and_grad(self) -> Callable[..., Any]: ...
    @cached_property
    def grad(self) -> Callable[..., Any]: ...
    @cached_property
    def grad_and_hess(self) -> Callable[..., Any]: ...
    def __reduce__(self) -> str: ...
