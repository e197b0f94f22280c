from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

def one_hot(
    labels: ArrayLike, num_classes: SupportsIndex, *, dtype: DTypeLike = np.float64, axis: SupportsIndex = -1
) -> NDArray[Any]: ...
