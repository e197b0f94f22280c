# mypy: ignore-errors
"""Objectives and metrics for LightGBM."""

from typing import Any, Literal

from numpy.typing import NDArray

from . import _boosting
from ._library import Loss, needs

with needs("lightgbm"):
    import lightgbm

__all__ = ["Metric", "Objective", "metric", "objective"]


def _from_either(first, second, weight):
    """(scores, target, weight): `lightgbm.train` gives scores and a Dataset, the estimators target and scores."""
    if isinstance(second, lightgbm.Dataset):
        return first, second.get_label(), second.get_weight()
    return second, first, weight


class Objective(_boosting.Objective):
    """A loss as LightGBM wants it; made by `objective`."""

    def hess_factor(self, n_classes: int) -> float:
        return n_classes / (n_classes - 1)

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """(gradient, Hessian), from ``(scores, Dataset)`` or from ``(target, scores, weight)``."""
        return self.derivatives(*_from_either(y_true, y_pred, weight))


class Metric(_boosting.Metric):
    """A mean loss as LightGBM wants it; made by `metric`."""

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[str, float, bool]:
        """(name, value, whether higher is better)."""
        return self.__name__, self.mean(*_from_either(y_true, y_pred, weight)), False


def objective(loss: Loss, *, hess: Literal["builtin", "exact", "one"] = "builtin", **options: Any) -> Objective:
    """A loss as a custom objective of LightGBM: ``params["objective"]``, or ``LGBMClassifier(objective=...)``.

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.sigmoid_focal_loss``), a configured class, or a sum made by ``fastloss.combine``. Its
        input is the raw score; the softmax family has one for each class, so set ``num_class``.
    hess : {"builtin", "exact", "one"}, default "builtin"
        The second derivative of each score. "exact" is the loss's own; "builtin" too, but K / (K - 1) times that for
        the softmax family with K classes, as LightGBM's ``multiclass`` has it, and 1 for losses with straight pieces
        (absolute, pinball, Huber, hinge and other losses), where it would be 0; "one" is 1 for every loss, which makes
        the step a gradient step. Second derivatives below 1e-16, negative ones included, are replaced by 1e-16. The
        sample weight multiplies each of them.
    **options
        Options of the loss: ``gamma=2``, ``labels="01"``, ``n_threads=1``.

    Returns
    -------
    Objective
        Callable by both interfaces; weights of the rows are honoured. Its method ``init_score(target, sample_weight)``
        gives the constant that LightGBM's own objectives start from with ``boost_from_average=true``.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option.
    ValueError
        `hess` is not one of the three. While training: what the loss raises.

    Notes
    -----
    LightGBM starts a custom objective at 0 and does not keep another start in the model. So for the same predictions
    as of a built-in objective, within rounding, either train that with ``boost_from_average=false``, or train on
    ``Dataset(init_score=...)`` and add the constant to the raw predictions (``fit(init_score=...)`` of the estimators).

    ================  ================================================  ==================
    built-in          loss                                              remarks
    ================  ================================================  ==================
    ``binary``        ``fastloss.binary_cross_entropy_with_logits``
    ``regression``    ``fastloss.combine([(fastloss.mse_loss, 0.5)])``  half of `mse_loss`
    ``multiclass``    ``fastloss.cross_entropy``                        ``hess="builtin"``
    ================  ================================================  ==================

    Predictions are raw scores: ``fastloss.sigmoid`` or ``fastloss.softmax`` of them are the probabilities
    (``LGBMClassifier.predict_proba`` too gives raw scores, and warns).

    Examples
    --------
    >>> import numpy as np, lightgbm, fastloss as fl
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> y = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    >>> focal = fl.adapters.lightgbm.objective(fl.sigmoid_focal_loss, gamma=2)
    >>> params = {"objective": focal, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "verbose": -1,
    ...           "num_threads": 1}
    >>> booster = lightgbm.train(params, lightgbm.Dataset(X, y, params={"verbose": -1}), 5)
    >>> bool(np.diff(booster.predict(X[[0, 9]]))[0] > 0)
    True
    """
    return Objective(loss, hess, options)


def metric(loss: Loss, *, name: str | None = None, **options: Any) -> Metric:
    """A mean loss as an evaluation metric, for ``lightgbm.train(feval=...)`` and ``fit(eval_metric=...)``.

    Parameters
    ----------
    loss, **options
        As for `objective`.
    name : str, optional
        What the log calls it; by default the name of the loss.

    Returns
    -------
    Metric
        Callable by both interfaces; gives (name, value, False): lower is better. The mean is weighted where the data
        is.

    Raises
    ------
    TypeError
        As for `objective`.

    Notes
    -----
    LightGBM gives a metric raw scores if the objective is a custom one, and transformed predictions if it is built in;
    losses of logits need the former.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.adapters.lightgbm.metric(fl.mse_loss, name="brier")(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    ('brier', 0.125, False)
    """
    return Metric(loss, name, options)
