# mypy: ignore-errors
"""Objectives and metrics for CatBoost."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import transforms
from . import _boosting, _library

with _library.needs("catboost"):
    import catboost  # noqa: F401 - the protocol below needs nothing of it, but without it there is no use for this

__all__ = ["Metric", "Objective", "metric", "objective"]


class Objective(_boosting.Objective):
    """A loss as CatBoost wants it; made by `objective`. Derivatives are those of the negative loss."""

    no_jit = True  # CatBoost would try to compile the methods with numba, in vain

    def __init__(self, loss: _library.Loss, hess: str, options: dict[str, Any]) -> None:
        super().__init__(loss, hess, options)
        self._softmax = {function.__name__ for function in _library.functions_of(loss)} == {"cross_entropy"}

    def __deepcopy__(self, memo):  # scikit-learn's clone wants of CatBoost the parameter that it gave
        return self

    def calc_ders_range(self, approxes: ArrayLike, targets: ArrayLike, weights: ArrayLike | None) -> NDArray[Any]:
        """Pairs (first, second derivative), for all rows."""
        grad, hess = self.derivatives(np.asarray(approxes), np.asarray(targets), weights)
        return np.stack([-grad, -hess], axis=1)

    def calc_ders_multi(self, approxes: ArrayLike, target: float,
                        weight: float | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """First derivatives, and the matrix of second ones, of one row."""
        scores = np.asarray(approxes, dtype=np.float64)[None]
        grad, hess = self.derivatives(scores, np.array([target]), None if weight is None else [weight])
        return -grad[0], -(self._full(scores, hess[0]) if self._full_hess else np.diag(hess[0]))

    @property
    def _full_hess(self):
        return self._softmax and self.hess == "builtin"

    def _full(self, scores, diagonal):
        """All of the Hessian T (diag(p) - p p'), from its diagonal T p (1 - p) without forming 1 - p."""
        p = transforms.softmax(scores)[0]
        others = np.where(np.eye(len(p), dtype=bool), 0, p).sum(axis=1)
        matrix = -np.outer(np.divide(diagonal, others, out=np.zeros_like(p), where=others > 0), p)
        np.fill_diagonal(matrix, diagonal)
        return matrix


class Metric(_boosting.Metric):
    """A mean loss as CatBoost wants it; made by `metric`."""

    no_jit = True

    def __deepcopy__(self, memo):
        return self

    def is_max_optimal(self) -> bool:
        return False

    def evaluate(self, approxes: Sequence[ArrayLike], target: ArrayLike,
                 weight: ArrayLike | None) -> tuple[float, float]:
        """(sum of losses, sum of weights)."""
        scores = np.stack(approxes, axis=1) if len(approxes) > 1 else np.asarray(approxes[0])
        weight = np.ones(len(scores)) if weight is None or not len(weight) else np.asarray(weight, dtype=np.float64)
        arguments, options = self.arguments(scores, target, weight)
        return float(self.loss(*arguments, reduction="sum", **options)), float(weight.sum())

    def get_final_error(self, error: float, weight: float) -> float:
        return error / weight if weight else float("nan")


def objective(loss: _library.Loss, *, hess: Literal["builtin", "exact", "one"] = "builtin",
              **options: Any) -> Objective:
    """A loss as a custom objective of CatBoost: ``CatBoostClassifier(loss_function=...)``, and the other interfaces.

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.sigmoid_focal_loss``), a configured class, or a sum made by ``fastloss.combine``. Its
        input is the raw score; the softmax family has one for each class, so set ``classes_count``.
    hess : {"builtin", "exact", "one"}, default "builtin"
        The second derivative of each score. "exact" is the loss's own, diagonal for rows of classes; "builtin" too, but
        the full matrix for `cross_entropy`, as CatBoost's ``MultiClass`` has it, and 1 for losses with straight pieces
        (absolute, pinball, Huber, hinge and other losses), where it would be 0; "one" is 1 for every loss, which makes
        the step a gradient step. Second derivatives below 1e-16, negative ones included, are replaced by 1e-16. The
        sample weight multiplies each of them.
    **options
        Options of the loss: ``gamma=2``, ``labels="01"``, ``n_threads=1``.

    Returns
    -------
    Objective
        Its method ``init_score(target, sample_weight)`` gives the constant that ``boost_from_average=True`` starts
        from.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option.
    ValueError
        `hess` is not one of the three. While training: what the loss raises.

    Notes
    -----
    CatBoost wants an ``eval_metric`` with a custom objective: see `metric`. It calls a custom objective for rows of
    classes once for each row, so that is slow. It does not look up the classes for a custom objective:
    ``CatBoostClassifier.predict`` needs ``class_names=[0, 1]``; ``predict_proba`` and
    ``predict(..., prediction_type="RawFormulaVal")``, the raw scores, do without.

    It starts a custom objective at 0. For the same predictions as of a built-in objective, within rounding, train that
    with ``boost_from_average=False`` (the default for all but ``RMSE`` and its relatives), or give the constant of
    ``init_score`` as ``Pool(baseline=...)`` and add it to the predictions; and train both with the same options. Two
    have other defaults for a custom objective and must be given: ``learning_rate``, which CatBoost chooses by itself
    for its own objectives only, and, for ``MultiClass``, ``bootstrap_type``, which is then ``"Bayesian"`` by default,
    but ``"MVS"`` for a custom objective.

    ===============  ================================================  =======================
    built-in         loss                                              remarks
    ===============  ================================================  =======================
    ``Logloss``      ``fastloss.binary_cross_entropy_with_logits``
    ``RMSE``         ``fastloss.combine([(fastloss.mse_loss, 0.5)])``  half of `mse_loss`
    ``MultiClass``   ``fastloss.cross_entropy``                        ``hess="builtin"``
    ===============  ================================================  =======================

    Examples
    --------
    >>> import numpy as np, catboost, fastloss as fl
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> y = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    >>> model = catboost.CatBoostClassifier(
    ...     loss_function=fl.adapters.catboost.objective(fl.sigmoid_focal_loss, gamma=2),
    ...     eval_metric=fl.adapters.catboost.metric(fl.sigmoid_focal_loss, gamma=2),
    ...     class_names=[0, 1], iterations=5, verbose=False, allow_writing_files=False, thread_count=1)
    >>> raw = model.fit(X, y).predict(X[[0, 9]], prediction_type="RawFormulaVal")
    >>> bool(raw[0] < raw[1])
    True
    """
    return Objective(loss, hess, options)


def metric(loss: _library.Loss, *, name: str | None = None, **options: Any) -> Metric:
    """A mean loss as an evaluation metric, for ``eval_metric=``.

    Parameters
    ----------
    loss, **options
        As for `objective`.
    name : str, optional
        The name of the object, by default that of the loss. (CatBoost's log shows the name of the class.)

    Returns
    -------
    Metric
        Lower is better. The mean is weighted where the data is.

    Raises
    ------
    TypeError
        As for `objective`.

    Notes
    -----
    CatBoost gives a metric raw scores.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> fl.adapters.catboost.metric(fl.mse_loss).evaluate((np.array([0.5, 1.0]),), np.array([0.0, 1.0]), None)
    (0.25, 2.0)
    """
    return Metric(loss, name, options)
