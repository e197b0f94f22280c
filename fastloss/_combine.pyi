from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Protocol, SupportsIndex, overload, type_check_only

from numpy.typing import ArrayLike, NDArray

from ._function import _Loss, _Number, _Pair, _Reduced, _V_co

# As tools/stubs.py would write it; tests/test_typing.py compares the parameters.
@type_check_only
class _Penalty(_Loss, Protocol[_V_co]):
    @overload
    def __call__(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None, normalizer: _Number | None = None,
        n_threads: SupportsIndex | None = None) -> _V_co: ...
    @overload
    def __call__(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None, normalizer: _Number | None = None,
        n_threads: SupportsIndex | None = None, reduction: Literal["none"]) -> NDArray[Any]: ...
    @overload
    def __call__(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None, normalizer: _Number | None = None,
        n_threads: SupportsIndex | None = None, reduction: _Reduced) -> float: ...
    @overload
    def value_and_grad(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None,
        normalizer: _Number | None = None, n_threads: SupportsIndex | None = None, out: NDArray[Any] | None = None,
        grad_output: ArrayLike | None = None, wrt: Literal["input"] = "input") -> tuple[_V_co, NDArray[Any]]: ...
    @overload
    def value_and_grad(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None,
        normalizer: _Number | None = None, n_threads: SupportsIndex | None = None, reduction: Literal["none"],
        out: NDArray[Any] | None = None, grad_output: ArrayLike | None = None,
        wrt: Literal["input"] = "input") -> tuple[NDArray[Any], NDArray[Any]]: ...
    @overload
    def value_and_grad(self, input: ArrayLike, *, sample_weight: ArrayLike | None = None,
        normalizer: _Number | None = None, n_threads: SupportsIndex | None = None, reduction: _Reduced,
        out: NDArray[Any] | None = None, grad_output: ArrayLike | None = None,
        wrt: Literal["input"] = "input") -> tuple[float, NDArray[Any]]: ...
    def grad(self, input: ArrayLike, *, reduction: Literal["sum", "mean", "none", "batchmean"] = "sum",
        sample_weight: ArrayLike | None = None, normalizer: _Number | None = None,
        n_threads: SupportsIndex | None = None, out: NDArray[Any] | None = None, grad_output: ArrayLike | None = None,
        wrt: Literal["input"] = "input") -> NDArray[Any]: ...
    def grad_and_hess(self, input: ArrayLike, *, reduction: Literal["sum", "mean", "none", "batchmean"] = "sum",
        sample_weight: ArrayLike | None = None, normalizer: _Number | None = None,
        n_threads: SupportsIndex | None = None, out: _Pair | None = None, grad_output: ArrayLike | None = None,
        wrt: Literal["input"] = "input") -> tuple[NDArray[Any], NDArray[Any]]: ...

l1_penalty: _Penalty[float]
l2_penalty: _Penalty[float]

@type_check_only
class _AnyLoss(Protocol):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> Any: ...

class CombinedLoss:
    terms: tuple[tuple[_AnyLoss, float], ...]
    def __init__(self, terms: Iterable[tuple[_AnyLoss, _Number]]) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike | None = None, **options: Any) -> Any: ...
    def value_and_grad(self, input: ArrayLike, target: ArrayLike | None = None, *, out: NDArray[Any] | None = None,
        grad_output: ArrayLike | None = None, **options: Any) -> tuple[Any, NDArray[Any]]: ...
    def grad(self, input: ArrayLike, target: ArrayLike | None = None, *, out: NDArray[Any] | None = None,
        grad_output: ArrayLike | None = None, **options: Any) -> NDArray[Any]: ...
    def grad_and_hess(self, input: ArrayLike, target: ArrayLike | None = None, *, out: _Pair | None = None,
        grad_output: ArrayLike | None = None, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

def combine(terms: Iterable[tuple[_AnyLoss, _Number]]) -> CombinedLoss: ...
