# mypy: ignore-errors
"""Objectives of linear models for ``scipy.optimize.minimize``."""

from ._library import needs

with needs("scipy"):
    import scipy.optimize  # noqa: F401 - not used here, but what is here is of no use without

from ._linear import LinearObjective, linear_objective

__all__ = ["LinearObjective", "linear_objective"]
