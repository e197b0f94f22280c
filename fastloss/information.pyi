from typing import Any, SupportsIndex

from numpy.typing import ArrayLike

def entropy(p: ArrayLike, *, axis: SupportsIndex = -1, n_threads: SupportsIndex | None = None) -> Any: ...
def cross_entropy_probs(
    q: ArrayLike, p: ArrayLike, *, axis: SupportsIndex = -1, n_threads: SupportsIndex | None = None
) -> Any: ...
