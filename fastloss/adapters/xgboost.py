# mypy: ignore-errors
"""Objectives and metrics for XGBoost."""

from typing import Any, Literal

from numpy.typing import NDArray

from . import _boosting
from ._library import Loss, needs

with needs("xgboost"):
    import xgboost

__all__ = ["Metric", "Objective", "metric", "objective"]


def _from_either(first, second, sample_weight):
    """(scores, target, weight): `xgboost.train` gives scores and a DMatrix, the estimators target and scores."""
    if isinstance(second, xgboost.DMatrix):
        return first, second.get_label(), second.get_weight()
    return second, first, sample_weight


class Objective(_boosting.Objective):
    """A loss as XGBoost wants it; made by `objective`."""

    def hess_factor(self, n_classes: int) -> float:
        return 2.0

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """(gradient, Hessian), from ``(scores, DMatrix)`` or from ``(target, scores, sample_weight)``."""
        return self.derivatives(*_from_either(y_true, y_pred, sample_weight))


class Metric(_boosting.Metric):
    """A mean loss as XGBoost wants it; made by `metric`."""

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        value = self.mean(*_from_either(y_true, y_pred, sample_weight))
        return (self.__name__, value) if isinstance(y_pred, xgboost.DMatrix) else value


def objective(loss: Loss, *, hess: Literal["builtin", "exact", "one"] = "builtin", **options: Any) -> Objective:
    """A loss as a custom objective of XGBoost, for ``xgboost.train(obj=...)`` and ``XGBClassifier(objective=...)``.

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.sigmoid_focal_loss``), a configured class, or a sum made by ``fastloss.combine``. Its
        input is the raw score (margin); the softmax family has one for each class, so set ``num_class``.
    hess : {"builtin", "exact", "one"}, default "builtin"
        The second derivative of each score. "exact" is the loss's own; "builtin" too, but twice that for the softmax
        family, as ``multi:softprob`` has it, and 1 for losses with straight pieces (absolute, pinball, Huber, hinge
        and other losses), where it would be 0; "one" is 1 for every loss, which makes the step a gradient step.
        Second derivatives below 1e-16, negative ones included, are replaced by 1e-16, as XGBoost does. The sample
        weight multiplies each of them.
    **options
        Options of the loss: ``gamma=2``, ``labels="01"``, ``n_threads=1``.

    Returns
    -------
    Objective
        Callable by both interfaces; weights of the rows are honoured. Its method ``init_score(target, sample_weight)``
        gives the start: pass it as ``base_score``.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option.
    ValueError
        `hess` is not one of the three. While training: what the loss raises.

    Notes
    -----
    XGBoost starts a custom objective at 0.5, or at its ``base_score``; the objectives of its own start at an estimate.
    For the same trees and predictions as of a built-in objective, within rounding (XGBoost 3.1 and later):

    ====================  ================================================  ========================================
    built-in              loss                                              remarks
    ====================  ================================================  ========================================
    ``binary:logistic``   ``fastloss.binary_cross_entropy_with_logits``     ``base_score=objective.init_score(y)``
    ``reg:squarederror``  ``fastloss.combine([(fastloss.mse_loss, 0.5)])``  the same; half of `mse_loss`
    ``multi:softprob``    ``fastloss.cross_entropy``                        the same; ``hess="builtin"``
    ====================  ================================================  ========================================

    ``Booster.predict`` gives raw scores; ``fastloss.sigmoid`` or ``fastloss.softmax`` of them are the probabilities.
    ``XGBClassifier`` applies these itself. There the built-in link holds for ``base_score`` with two classes, too: pass
    the probability, ``float(fastloss.sigmoid(objective.init_score(y)))``.

    Examples
    --------
    >>> import numpy as np, xgboost, fastloss as fl
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> y = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    >>> focal = fl.adapters.xgboost.objective(fl.sigmoid_focal_loss, gamma=2)
    >>> params = {"base_score": focal.init_score(y), "max_depth": 2, "min_child_weight": 0, "nthread": 1}
    >>> booster = xgboost.train(params, xgboost.DMatrix(X, y), 5, obj=focal)
    >>> bool(np.all((booster.predict(xgboost.DMatrix(X[[0, 9]])) > 0) == [False, True]))
    True
    """
    return Objective(loss, hess, options)


def metric(loss: Loss, *, name: str | None = None, **options: Any) -> Metric:
    """A mean loss as an evaluation metric, for ``xgboost.train(custom_metric=...)`` and ``eval_metric=``.

    Parameters
    ----------
    loss, **options
        As for `objective`.
    name : str, optional
        What the log calls it; by default the name of the loss.

    Returns
    -------
    Metric
        Callable by both interfaces; the mean is weighted where the data is.

    Raises
    ------
    TypeError
        As for `objective`.

    Notes
    -----
    XGBoost gives a metric raw scores if the objective is a custom one, and transformed predictions if it is built in;
    losses of logits need the former.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> brier = fl.adapters.xgboost.metric(fl.mse_loss, name="brier")
    >>> brier(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    0.125
    """
    return Metric(loss, name, options)
