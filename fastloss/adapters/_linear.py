# mypy: ignore-errors
"""The objective of a linear model: a loss of ``X @ coefficients + intercept``, with an L2 penalty. NumPy is enough."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, transforms
from . import _library

RESERVED = {"input", "target", "reduction", "sample_weight", "normalizer", "axis"}
REDUCTIONS = ("sum", "mean")


class LinearObjective:
    """Value, gradient and Hessian-vector product, as functions of one vector of parameters; see `linear_objective`.

    Attributes
    ----------
    x0 : ndarray
        Parameters to start from: zeros, with a scale of 1 if there is one.
    n_outputs : int or None
        Scores for each row; None if there is one and the coefficients are a vector.
    """

    def __init__(self, loss: _library.Loss, X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None, l2: float,
                 fit_intercept: bool, n_outputs: int | None, scale: bool, reduction: str,
                 options: dict[str, Any]) -> None:
        self.loss = loss
        self.row_wise = _library.is_row_wise(loss)
        self.options = _library.checked_options(loss, options, RESERVED)
        self.X = X if hasattr(X, "tocsr") else np.asarray(_check.real_array("X", X))
        if self.X.ndim != 2:
            raise ValueError(f"X has shape {self.X.shape}; it needs two axes: rows and features")
        self.y = _check.real_array("y", y)
        if len(self.y) != self.X.shape[0]:
            raise ValueError(f"X has {self.X.shape[0]} rows, but y has shape {self.y.shape}")
        self.l2 = _check.in_domain("l2", l2, _check.FINITE_NONNEGATIVE)
        self.fit_intercept = _check.flag("fit_intercept", fit_intercept)
        self.scale = _check.flag("scale", scale)
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
        self.n_outputs = self._outputs(n_outputs)
        if self.scale and self.n_outputs is not None:
            raise ValueError("scale is for one score for each row")
        self._set_weights(sample_weight, reduction)
        self.n_coefficients = self.X.shape[1] * (self.n_outputs or 1)
        size = self.n_coefficients + self.fit_intercept * (self.n_outputs or 1) + self.scale
        self.x0: NDArray[Any] = np.zeros(size)
        if self.scale:
            self.x0[-1] = 1.0
        self._at = None

    def _outputs(self, n_outputs):
        if n_outputs is not None:
            return _check.integer("n_outputs", n_outputs)
        if self.y.ndim == 2:  # probabilities of the classes, or a target for each score
            return self.y.shape[1]
        if self.row_wise:
            return int(self.y.max()) + 1 if self.y.size else 1
        return None

    def _set_weights(self, sample_weight, reduction):
        """Row weights, already divided by their sum for the mean."""
        weight = np.ones(len(self.y)) if sample_weight is None else np.array(
            _check.real_array("sample_weight", sample_weight), dtype=np.float64)
        if weight.shape != (len(self.y),):
            raise ValueError(f"sample_weight has shape {weight.shape}; it needs ({len(self.y)},), one for each row")
        if reduction == "mean" and len(weight):
            total = weight.sum()
            if not total > 0:
                raise ValueError(f"the sum of sample_weight is {total}; reduction='mean' needs it above 0")
            weight /= total
        self.weight = weight
        self._spread = weight if self.row_wise or self.n_outputs is None else weight[:, None]

    def _vector(self, name, values):
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self.x0.shape:
            raise ValueError(f"{name} has shape {values.shape}; it needs {self.x0.shape}, as x0")
        return values

    def unpack(self, parameters: ArrayLike) -> tuple[NDArray[Any], Any]:
        """(coefficients, intercept): shapes (features,) and () for one score; (outputs, features) and (outputs,)."""
        parameters = self._vector("parameters", parameters)
        coefficients, rest = parameters[:self.n_coefficients], parameters[self.n_coefficients:]
        if self.n_outputs is None:
            return coefficients, float(rest[0]) if self.fit_intercept else 0.0
        intercept = rest if self.fit_intercept else np.zeros(self.n_outputs)
        return coefficients.reshape(self.n_outputs, -1), intercept

    def scores(self, parameters: ArrayLike, X: Any = None) -> NDArray[Any]:
        """``X @ coefficients + intercept``, of the training data if no other is given."""
        coefficients, intercept = self.unpack(parameters)
        return np.asarray((self.X if X is None else X) @ coefficients.T) + intercept

    def _pack(self, per_score, *, scale=None):
        """X' times something of the scores' shape, its sums for the intercept, and the entry of the scale."""
        parts = [np.asarray(self.X.T @ per_score).T.ravel()]
        if self.fit_intercept:
            parts.append(np.atleast_1d(per_score.sum(axis=0)))
        if scale is not None:
            parts.append([scale])
        return np.concatenate(parts)

    def _options(self):
        return {"reduction": "sum", "sample_weight": self._spread, **self.options}

    def value_and_grad(self, parameters: ArrayLike) -> tuple[float, NDArray[Any]]:
        """Value and gradient, in one pass: for ``scipy.optimize.minimize(..., jac=True)``."""
        parameters = self._vector("parameters", parameters)
        scores, by_scale = self.scores(parameters), None
        if self.scale:
            value, grad, by_scale = self._scaled(scores, parameters[-1])
        else:
            value, grad = self.loss.value_and_grad(scores, self.y, **self._options())
        result = self._pack(grad, scale=by_scale)
        coefficients = parameters[:self.n_coefficients]
        result[:self.n_coefficients] += self.l2 * coefficients
        return value + self.l2 / 2 * float(coefficients @ coefficients), result

    def value(self, parameters: ArrayLike) -> float:
        """The value alone."""
        return self.value_and_grad(parameters)[0]

    def grad(self, parameters: ArrayLike) -> NDArray[Any]:
        """The gradient alone."""
        return self.value_and_grad(parameters)[1]

    __call__ = value

    def _scaled(self, scores, scale):
        """Huber's joint estimate: sum of s / 2 + s loss(x / s, y / s), and its derivatives by x and by s."""
        if not scale > 0:
            return np.inf, np.zeros_like(scores), 0.0
        z, target = scores / scale, self.y / scale
        value, grad = self.loss.value_and_grad(z, target, **self._options())
        total = self.weight.sum() / 2
        return scale * (total + value), grad, total + value - float(grad @ (z - target))

    def hessp(self, parameters: ArrayLike, vector: ArrayLike) -> NDArray[Any]:
        """The Hessian times a vector: for ``minimize(..., hessp=...)`` with a Newton method."""
        parameters, vector = self._vector("parameters", parameters), self._vector("vector", vector)
        curvature = self._curvature(parameters)
        along, by_scale = self.scores(vector), None
        if self.scale:
            hess, difference = curvature
            bent = hess * (along - difference * vector[-1])
            by_scale = -float(difference @ bent)
        elif self.row_wise:
            total, probabilities = curvature
            bent = total * transforms.softmax_grad(probabilities, along)
        else:
            bent = curvature * along
        result = self._pack(bent, scale=by_scale)
        result[:self.n_coefficients] += self.l2 * vector[:self.n_coefficients]
        return result

    def _curvature(self, parameters):
        """What the products with the Hessian need: computed once for all those at the same place."""
        if self._at is None or not np.array_equal(self._at[0], parameters):
            self._at = parameters.copy(), self._second_derivatives(parameters)
        return self._at[1]

    def _second_derivatives(self, parameters):
        scores = self.scores(parameters)
        if self.scale:
            scale = parameters[-1]
            _, hess = self.loss.grad_and_hess(scores / scale, self.y / scale, **self._options())
            return hess / scale, (scores - self.y) / scale
        if not self.row_wise:
            return self.loss.grad_and_hess(scores, self.y, **self._options())[1]
        if {function.__name__ for function in _library.functions_of(self.loss)} != {"cross_entropy"}:
            raise TypeError(f"{_library.name_of(self.loss)} has no product with its Hessian (fastloss has the diagonal "
                            "alone): use a method that needs the gradient only, L-BFGS-B for instance")
        # The diagonal is T p (1 - p) with the row's total weight T: read it off where all p are 1 / C.
        _, hess = self.loss.grad_and_hess(np.zeros_like(scores), self.y, **self._options())
        n = self.n_outputs
        return hess[:, :1] * (n * n / max(n - 1, 1)), transforms.softmax(scores)


def linear_objective(loss: _library.Loss, X: Any, y: ArrayLike, *, sample_weight: ArrayLike | None = None,
                     l2: float = 0.0, fit_intercept: bool = True, n_outputs: int | None = None, scale: bool = False,
                     reduction: Literal["sum", "mean"] = "sum", **options: Any) -> LinearObjective:
    r"""The objective of a linear model, for ``scipy.optimize.minimize``.

    .. math:: \sum_i w_i\, \ell(x_i \cdot \beta + b,\ y_i) + \frac{\lambda}{2} \lVert \beta \rVert^2

    Parameters
    ----------
    loss : loss of fastloss
        A function (``fastloss.huber_loss``), a configured class, or a sum made by ``fastloss.combine``.
    X : array_like or scipy.sparse array of shape (N, F)
        The features.
    y : array_like of shape (N,) or (N, K)
        What the loss takes as its target: labels from 0 on for the softmax family.
    sample_weight : array_like of shape (N,), optional
        A weight :math:`w_i` for each row, not negative.
    l2 : float, default 0
        :math:`\lambda`, not negative. The intercept is not penalised.
    fit_intercept : bool, default True
        Whether there is a :math:`b`.
    n_outputs : int, optional
        How many scores a row has. By default one for each column of `y`; where `y` has one axis, one for each class up
        to the largest label for the softmax family, else one.
    scale : bool, default False
        Estimate the scale :math:`s` of the errors too, as the last parameter, by Huber's joint objective
        :math:`\sum_i w_i (s / 2 + s\, \ell(\hat y_i / s, y_i / s))`: for losses of the difference. Bound it from
        below.
    reduction : {"sum", "mean"}, default "sum"
        "mean" divides the sum by the sum of the weights.
    **options
        Options of the loss: ``delta=1.35``, ``weight=...``, ``labels="01"``.

    Returns
    -------
    LinearObjective
        With the methods ``value_and_grad``, ``value``, ``grad``, ``hessp``, ``scores`` and ``unpack``, and ``x0``.

    Raises
    ------
    TypeError
        `loss` is not a loss of fastloss, or does not have an option; ``hessp`` of a loss of rows of classes other than
        `cross_entropy`.
    ValueError
        Shapes do not fit, `l2` is negative, `reduction` is not one of the two, or it is "mean" and the weights are all
        0. When called: parameters of another shape than ``x0``, and what the loss raises.

    Notes
    -----
    All is computed in float64. scikit-learn's models minimise these:

    ============================  =================================================================================
    ``LogisticRegression(C)``     `cross_entropy`, or `binary_cross_entropy_with_logits` for two classes; ``l2=1/C``
    ``PoissonRegressor(alpha)``   `poisson_nll_loss`; ``reduction="mean"``, ``l2=alpha``
    ``HuberRegressor(epsilon)``   `huber_loss`; ``delta=epsilon``, ``scale=True``, ``l2=alpha``
    ``Ridge(alpha)``              `mse_loss`; ``l2=2 * alpha``
    ============================  =================================================================================

    The Hessian is exact, for `cross_entropy` with all of its off-diagonal blocks.

    Examples
    --------
    >>> import numpy as np, scipy.optimize, fastloss as fl
    >>> X, y = np.arange(5.0)[:, None], np.array([1.0, 3.0, 500.0, 7.0, 9.0])
    >>> objective = fl.adapters.scipy.linear_objective(fl.huber_loss, X, y, delta=0.1)
    >>> result = scipy.optimize.minimize(objective.value_and_grad, objective.x0, jac=True)
    >>> coefficients, intercept = objective.unpack(result.x)
    >>> bool(abs(coefficients[0] - 2) < 0.2), bool(abs(intercept - 1) < 0.2)
    (True, True)
    """
    return LinearObjective(loss, X, y, sample_weight=sample_weight, l2=l2, fit_intercept=fit_intercept,
                           n_outputs=n_outputs, scale=scale, reduction=reduction, options=options)
