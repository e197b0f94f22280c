"""Bridges to other libraries, each imported when it is first used: ``fastloss.adapters.xgboost`` and so on.

None of the libraries is needed by fastloss itself. Where one is missing, its bridge raises an ImportError that says
what to install.
"""

import importlib
from typing import TYPE_CHECKING

__all__ = ["catboost", "jax", "lightgbm", "scipy", "sklearn", "torch", "xgboost"]

if TYPE_CHECKING:
    from . import catboost, jax, lightgbm, scipy, sklearn, torch, xgboost
else:  # unseen by type checkers, for which every name would exist
    def __getattr__(name):
        if name in __all__:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
