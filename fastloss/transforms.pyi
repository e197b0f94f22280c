from typing import Any, SupportsIndex, overload

from numpy.typing import ArrayLike, NDArray

from ._function import _Number

# "float or ndarray" depends on the number of dimensions, which types do not tell: Any, as in NumPy's own stubs.

def softmax(
    x: ArrayLike, *, axis: SupportsIndex = -1, out: NDArray[Any] | None = None, n_threads: SupportsIndex | None = None
) -> NDArray[Any]: ...
def log_softmax(
    x: ArrayLike, *, axis: SupportsIndex = -1, out: NDArray[Any] | None = None, n_threads: SupportsIndex | None = None
) -> NDArray[Any]: ...
def logsumexp(
    x: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    keepdims: bool = False,
    out: NDArray[Any] | None = None,
    n_threads: SupportsIndex | None = None,
) -> Any: ...
@overload
def sigmoid(x: _Number, *, out: None = None, n_threads: SupportsIndex | None = None) -> float: ...
@overload
def sigmoid(
    x: ArrayLike, *, out: NDArray[Any] | None = None, n_threads: SupportsIndex | None = None
) -> NDArray[Any]: ...
@overload
def log_sigmoid(x: _Number, *, out: None = None, n_threads: SupportsIndex | None = None) -> float: ...
@overload
def log_sigmoid(
    x: ArrayLike, *, out: NDArray[Any] | None = None, n_threads: SupportsIndex | None = None
) -> NDArray[Any]: ...
@overload
def information(p: _Number, *, out: None = None, n_threads: SupportsIndex | None = None) -> float: ...
@overload
def information(
    p: ArrayLike, *, out: NDArray[Any] | None = None, n_threads: SupportsIndex | None = None
) -> NDArray[Any]: ...
def softmax_grad(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out: NDArray[Any] | None = None,
    n_threads: SupportsIndex | None = None,
) -> NDArray[Any]: ...
def log_softmax_grad(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    out: NDArray[Any] | None = None,
    n_threads: SupportsIndex | None = None,
) -> NDArray[Any]: ...
