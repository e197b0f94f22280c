# mypy: ignore-errors
"""Linear estimators with any loss of fastloss, and scorers, for scikit-learn."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, binary, classification, regression, transforms
from . import _library, _linear

with _library.needs("sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import make_scorer
    from sklearn.utils import check_array
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

import scipy.optimize  # comes with scikit-learn

__all__ = ["LinearClassifier", "LinearRegressor", "scorer"]

# Losses of a score against targets 0 and 1; all others of one score are against -1 and 1.
ZERO_ONE = {"binary_cross_entropy_with_logits", "sigmoid_focal_loss", "binary_cross_entropy"}
# Losses whose scores are the logits of calibrated probabilities.
LOGISTIC = {"cross_entropy", "binary_cross_entropy_with_logits", "logistic_loss", "soft_margin_loss"}
# Losses of the logarithm of the mean.
LOG_LINK = {"poisson_nll_loss", "gamma_nll_loss", "tweedie_nll_loss"}
MARGINS = {"hinge_loss", "squared_hinge_loss", "perceptron_loss", "exponential_loss", "logistic_loss",
           "soft_margin_loss", "modified_huber_loss"}
# Losses that do not take a score: they learn the classes the wrong way round, or fail in the middle of fitting.
NOT_OF_SCORES = {
    "binary_cross_entropy": "probabilities: use binary_cross_entropy_with_logits",
    "nll_loss": "logarithms of probabilities: use cross_entropy",
    "hinge_embedding_loss": "distances, small for alike: use hinge_loss",
    "zero_one_loss": "predictions, and has no gradient: use hinge_loss or logistic_loss",
    "kl_div": "logarithms of probabilities: use cross_entropy",
    "gaussian_nll_loss": "means and variances",
    "msle_loss": "numbers above -1: use LinearRegressor",
    **dict.fromkeys(sorted(LOG_LINK), "logarithms of means: use LinearRegressor"),
}
# Those of them that LinearRegressor refuses, too. (The others have a logarithm as their link, fail only if a prediction
# is below -1, are losses of rows of classes, which it refuses as such, or have no gradient, which is their own error.)
NOT_OF_NUMBERS = {"binary_cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss", "kl_div"}


def _refuse(loss, names):
    for name in sorted(_names(loss) & set(names)):
        raise ValueError(f"{name} is not a loss of scores: it takes {NOT_OF_SCORES[name]}")


def _names(loss):
    return {function.__name__ for function in _library.functions_of(loss)}


def _has_log_link(loss, options=None):
    return _names(loss) <= LOG_LINK and _library.option(loss, options or {}, "log_input", True)


def _is_share_of_errors(loss, options):
    """zero_one_loss of classes. (With a tolerance it is of numbers.)"""
    return _names(loss) == {"zero_one_loss"} and _library.option(loss, options, "tolerance", None) is None


def _targets(loss, options, classes, n_scores):
    """What the loss takes as its target, for class numbers: these, or a target for each score."""
    if _library.is_row_wise(loss):
        return classes
    hot = classes if n_scores == 1 else classes[:, None] == np.arange(n_scores)
    zero_one = _names(loss) & ZERO_ONE or _library.option(loss, options, "labels", None) == "01"
    return hot.astype(np.float64) if zero_one else np.where(hot, 1.0, -1.0)


class _LinearModel(BaseEstimator):
    """What classifier and regressor share."""

    coef_: NDArray[Any]
    intercept_: Any
    n_iter_: int

    def __init__(self, loss: _library.Loss | None = None, *, alpha: float = 1.0, fit_intercept: bool = True,
                 max_iter: int = 1000, tol: float = 1e-8) -> None:
        self.loss = loss
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def _minimise(self, loss, X, y, sample_weight, n_outputs):
        """Coefficients (outputs, features) and intercepts (outputs,)."""
        _check.in_domain("alpha", self.alpha, _check.FINITE_NONNEGATIVE)
        objective = _linear.linear_objective(loss, X, y, sample_weight=sample_weight, l2=self.alpha,
                                             n_outputs=n_outputs, fit_intercept=self.fit_intercept)
        # The tolerance is for the mean: it does not depend on the number of rows.
        rows = objective.weight.sum()
        if rows == 0:
            raise ValueError("sample_weight is zero for every row")
        result = scipy.optimize.minimize(
            lambda at: tuple(part / rows for part in objective.value_and_grad(at)), objective.x0, jac=True,
            method="L-BFGS-B", options={"maxiter": self.max_iter, "maxfun": 10 * self.max_iter, "gtol": self.tol,
                                        "ftol": 64 * np.finfo(float).eps})
        if result.status == 1:
            warnings.warn(f"max_iter = {self.max_iter} reached before the gradient fell below tol = {self.tol}",
                          ConvergenceWarning, stacklevel=3)
        self.n_iter_ = max(result.nit, 1)
        coefficients, intercept = objective.unpack(result.x)
        return np.atleast_2d(coefficients), np.atleast_1d(intercept)

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return X @ np.atleast_2d(self.coef_).T + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _has_probabilities(model):
    return model.loss is None or _names(model.loss) <= LOGISTIC


class LinearClassifier(ClassifierMixin, _LinearModel):
    r"""A linear classifier with any loss of fastloss.

    It minimises :math:`\sum_i w_i\, \ell(B x_i + b, y_i) + \frac{\alpha}{2} \lVert B \rVert^2` by L-BFGS.

    Parameters
    ----------
    loss : loss of fastloss, optional
        A function, a configured class (for its options), or a sum made by ``fastloss.combine``. A loss of rows of
        classes gets a score for each class; any other, against targets of -1 and 1 (0 and 1 for those of logits), one
        score for two classes, and one against the rest for each of more. By default
        `binary_cross_entropy_with_logits` for two classes and `cross_entropy` for more:
        ``LogisticRegression(C=1/alpha)``.
    alpha : float, default 1.0
        The penalty, not negative. The intercept is not penalised.
    fit_intercept : bool, default True
        Whether there is a :math:`b`.
    max_iter : int, default 1000
        The most iterations of L-BFGS.
    tol : float, default 1e-8
        It ends when no element of the gradient, divided by the sum of the weights, is larger.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted.
    coef_, intercept_ : ndarray of shape (scores, features) and (scores,)
        :math:`B` and :math:`b`, with one row for two classes and a loss of one score.
    n_iter_ : int
        Iterations of L-BFGS.
    n_features_in_, feature_names_in_
        As scikit-learn's.

    Raises
    ------
    TypeError
        From ``fit``: `loss` is not a loss of fastloss.
    ValueError
        From ``fit``: fewer than two classes; a loss that does not take scores, as `binary_cross_entropy`; a negative
        `alpha`; or data that scikit-learn or the loss refuses.

    Notes
    -----
    ``decision_function`` gives the scores. ``predict_proba`` is there if these are logits: with `cross_entropy`,
    `binary_cross_entropy_with_logits`, `logistic_loss`, `soft_margin_loss`. (Against the rest, the probabilities are
    normalised.) L-BFGS is made for smooth losses; with one that has kinks, as `hinge_loss`, it ends close to the
    minimum. `perceptron_loss` is 0, its least value, where all weights are 0, with and without a penalty: that is what
    is fitted, and nothing learnt.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["no", "no", "yes", "yes"])
    >>> model = fl.adapters.sklearn.LinearClassifier(fl.SigmoidFocalLoss(gamma=1.0), alpha=0.01).fit(X, y)
    >>> model.predict([[0.5], [2.5]])
    array(['no', 'yes'], dtype='<U3')
    """

    classes_: NDArray[Any]

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to rows `X` of classes `y`, with weights if given."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        self.classes_, classes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]!r}; a classifier needs at least 2 classes")
        loss = self.loss
        if loss is None:
            loss = binary.binary_cross_entropy_with_logits if n_classes == 2 else classification.cross_entropy
        _refuse(loss, NOT_OF_SCORES)
        n_scores = n_classes if n_classes > 2 or _library.is_row_wise(loss) else 1
        target = _targets(loss, {}, classes, n_scores)
        self.coef_, self.intercept_ = self._minimise(loss, X, target, sample_weight, n_scores if n_scores > 1 else None)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Scores: (N,) for two classes, positive for the second; else (N, classes)."""
        scores = self._scores(X)
        if len(self.classes_) > 2:
            return scores
        return scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the highest score."""
        scores = self.decision_function(X)
        return self.classes_[scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(np.intp)]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities of the classes, (N, classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([transforms.sigmoid(-scores), transforms.sigmoid(scores)], axis=1)
        if self.loss is None or _library.is_row_wise(self.loss):
            return transforms.softmax(scores, axis=1)
        each = transforms.sigmoid(scores)
        return each / each.sum(axis=1, keepdims=True)


class LinearRegressor(RegressorMixin, _LinearModel):
    r"""A linear regression with any loss of fastloss.

    It minimises :math:`\sum_i w_i\, \ell(\beta \cdot x_i + b, y_i) + \frac{\alpha}{2} \lVert \beta \rVert^2` by L-BFGS.

    Parameters
    ----------
    loss : loss of fastloss, optional
        A function, a configured class (for its options), or a sum made by ``fastloss.combine``. By default `mse_loss`:
        ``Ridge(alpha=alpha / 2)``. With `poisson_nll_loss`, `gamma_nll_loss` or `tweedie_nll_loss` the linear function
        is the logarithm of the mean, and ``predict`` gives the mean.
    alpha, fit_intercept, max_iter, tol
        As for `LinearClassifier`.

    Attributes
    ----------
    coef_ : ndarray of shape (features,)
    intercept_ : float
    n_iter_, n_features_in_, feature_names_in_
        As for `LinearClassifier`.

    Raises
    ------
    TypeError
        From ``fit``: `loss` is not a loss of fastloss, or has no gradient, as `zero_one_loss`.
    ValueError
        From ``fit``: a loss of rows of classes; a loss that does not take any number as its input, as `kl_div`, or
        takes more than that, as `gaussian_nll_loss`; a negative `alpha`; or data that scikit-learn or the loss refuses.

    Notes
    -----
    With a loss that has kinks, as `pinball_loss`, L-BFGS ends close to the minimum.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), np.array([1.0, 3.0, 5.0, 7.0, 900.0])
    >>> model = fl.adapters.sklearn.LinearRegressor(fl.HuberLoss(delta=0.01), alpha=0).fit(X, y)
    >>> model.predict([[10.0]]).round(1)
    array([21.])
    """

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to rows `X` of targets `y`, with weights if given."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64, y_numeric=True)
        loss = regression.mse_loss if self.loss is None else self.loss
        if _library.is_row_wise(loss):
            raise ValueError(f"{_library.name_of(loss)} is a loss of classes: use LinearClassifier")
        _refuse(loss, NOT_OF_NUMBERS)
        coefficients, intercept = self._minimise(loss, X, y.astype(np.float64), sample_weight, None)
        self.coef_, self.intercept_ = coefficients[0], float(intercept[0])
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The linear function, or what it is the logarithm of."""
        scores = self._scores(X)[:, 0]
        return np.exp(scores) if self.loss is not None and _has_log_link(self.loss) else scores


def _as_scores(loss, options, source, response):
    """What the loss takes as its input: probabilities become logits, means become logarithms."""
    names = _names(loss)
    with np.errstate(divide="ignore"):  # a probability of 0 has a logit of -inf
        if source == "predict" and _has_log_link(loss, options):
            return np.log(response)
        if source != "predict_proba" or names <= {"binary_cross_entropy"}:
            return response
        if response.ndim == 2 and _library.is_row_wise(loss):
            return np.log(response)
        return np.log(response) - np.log1p(-response)


def _by_element(loss, input, target, sample_weight, options):
    """The mean loss of predictions of one or of several outputs, with a weight for each row."""
    if sample_weight is not None and input.ndim == 2:
        sample_weight = np.asarray(sample_weight)[:, None]
    return loss(input, target, sample_weight=sample_weight, **options)


def _mean_loss(y_true, y_pred, *, loss, source, labels, options, sample_weight=None):
    """The score function of `scorer`; `source` is the method that `y_pred` comes from."""
    if _is_share_of_errors(loss, options):
        # The loss takes numbers: the labels' places among all that occur.
        known = np.unique(np.concatenate([np.ravel(y_true), np.ravel(y_pred)]))
        return _by_element(loss, np.searchsorted(known, y_pred), np.searchsorted(known, y_true), sample_weight, options)
    scores = np.asarray(_as_scores(loss, options, source, np.asarray(y_pred)))
    if source == "predict":
        y_true = check_array(y_true, ensure_2d=False, dtype=np.float64)
        return _by_element(loss, scores, y_true, sample_weight, options)
    labels = np.unique(y_true if labels is None else labels)
    n_scores = scores.shape[1] if scores.ndim == 2 else 1
    if len(labels) != max(n_scores, 2):
        raise ValueError(f"y_true has the classes {labels.tolist()}, but the estimator has {max(n_scores, 2)}: "
                         "pass labels=")
    classes = np.searchsorted(labels, y_true)
    if not np.array_equal(labels[np.minimum(classes, len(labels) - 1)], y_true):
        raise ValueError(f"y_true has classes that are not among labels = {labels.tolist()}")
    target = _targets(loss, options, classes, n_scores)
    if _library.is_row_wise(loss) and n_scores == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    if scores.ndim == 1 or _library.is_row_wise(loss):
        return loss(scores, target, sample_weight=sample_weight, **options)
    return np.average(loss(scores, target, reduction="none", **options).sum(axis=1), weights=sample_weight)


def scorer(loss: Callable[..., Any], *, labels: ArrayLike | None = None,
           response_method: Literal["predict", "predict_proba", "decision_function"] | None = None,
           **options: Any) -> Callable[..., float]:
    """A scorer for ``cross_val_score``, ``GridSearchCV(scoring=...)`` and the like: minus the mean loss.

    Parameters
    ----------
    loss : loss of fastloss
        A function, a configured class, or a sum made by ``fastloss.combine``.
    labels : array_like, optional
        All classes, in any order, where a fold may lack one; by default those of the fold.
    response_method : {"predict", "predict_proba", "decision_function"}, optional
        What the loss is computed of. By default ``decision_function`` for losses of classes, ``predict_proba`` for
        `binary_cross_entropy`, else ``predict``, the only one for `zero_one_loss`. Probabilities are turned into logits
        for losses of these, predictions into logarithms for losses of the logarithm of the mean.
    **options
        Options of the loss.

    Returns
    -------
    callable
        What ``sklearn.metrics.make_scorer`` makes. It takes ``sample_weight``.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option.
    ValueError
        `zero_one_loss` with another `response_method` than ``predict``.
        When called: the classes in `y` are not those of the estimator.

    Notes
    -----
    Targets are as for `LinearClassifier`. The one score of two classes counts as logits (0, score) for losses of rows
    of classes; several scores for a loss of one score are each against the rest, and are added.

    Examples
    --------
    >>> import numpy as np, fastloss as fl
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.arange(8.0)[:, None], np.array([0, 0, 1, 0, 1, 0, 1, 1])
    >>> model = LogisticRegression().fit(X, y)
    >>> round(fl.adapters.sklearn.scorer(fl.cross_entropy)(model, X, y), 3)
    -0.531
    """
    _library.checked_options(loss, options, {"input", "target", "reduction", "sample_weight", "axis"})
    if response_method is None:
        names = _names(loss)
        of_classes = _library.is_row_wise(loss) or names & (ZERO_ONE | MARGINS)
        response_method = "decision_function" if of_classes else "predict"
        if names <= {"binary_cross_entropy"}:
            response_method = "predict_proba"
    if "zero_one_loss" in _names(loss) and response_method != "predict":
        raise ValueError(f"zero_one_loss compares predictions: response_method must be 'predict', "
                         f"got {response_method!r}")
    return make_scorer(_mean_loss, response_method=response_method, greater_is_better=False, loss=loss, labels=labels,
                       options=options, source=response_method)
