# mypy: ignore-errors
"""What the three boosters share: gradient and Hessian of a raw score as they want them, a start, a metric."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from . import _library

RESERVED = {"input", "target", "reduction", "sample_weight", "normalizer", "axis"}

# Second derivative 0 over whole intervals: a Newton step would divide by nothing.
FLAT = {"l1_loss", "smooth_l1_loss", "huber_loss", "pinball_loss", "epsilon_insensitive_loss", "hinge_loss",
        "perceptron_loss", "hinge_embedding_loss", "modified_huber_loss", "nll_loss", "multi_margin_loss", "kl_div"}

LEAST_HESSIAN = 1e-16  # XGBoost's own

HESSIANS = ("builtin", "exact", "one")


class BoostedLoss:
    """A loss of raw scores, with the options that it is used with."""

    def __init__(self, loss: _library.Loss, options: dict[str, Any]) -> None:
        self.loss = loss
        self.row_wise = _library.is_row_wise(loss)
        self.options = _library.checked_options(loss, options, RESERVED)
        self.__name__ = _library.name_of(loss)

    def __repr__(self):
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__module__}.{type(self).__name__.lower()}({self.loss!r}{options})"

    def arguments(self, scores, target, sample_weight):
        """(input, target), {options}: labels of the softmax family are integers, whatever the booster made of them."""
        scores, target = np.asarray(scores), np.asarray(target)
        if self.row_wise:
            if scores.ndim != 2:
                raise ValueError(f"{self.__name__} needs a score for each class, but the booster has one for each row; "
                                 "set its number of classes (num_class; CatBoost's classes_count)")
            target = class_labels(target)
        elif target.shape != scores.shape:
            if target.size != scores.size:
                raise ValueError(f"the booster gives scores of shape {scores.shape} for targets of shape "
                                 f"{target.shape}; {self.__name__} needs a target for each score")
            target = target.reshape(scores.shape)
        options = dict(self.options)
        if sample_weight is not None and np.size(sample_weight):
            weight = np.asarray(sample_weight)
            options["sample_weight"] = weight if self.row_wise or scores.ndim == 1 else weight.reshape(-1, 1)
        return (scores, target), options


class Objective(BoostedLoss):
    """Gradient and Hessian of the weighted sum, from raw scores; the boosters' own call it with what they have."""

    def __init__(self, loss: _library.Loss, hess: str, options: dict[str, Any]) -> None:
        super().__init__(loss, options)
        if hess not in HESSIANS:
            raise ValueError(f"hess must be one of {', '.join(map(repr, HESSIANS))}, got {hess!r}")
        self.hess = hess
        flat = any(function.__name__ in FLAT for function in _library.functions_of(loss))
        self.constant_hess = hess == "one" or (hess == "builtin" and flat)

    def hess_factor(self, n_classes: int) -> float:
        """What the library's own softmax objective multiplies the diagonal of the Hessian by."""
        return 1.0

    def derivatives(self, scores: ArrayLike, target: ArrayLike,
                    sample_weight: ArrayLike | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """(gradient, Hessian), both of the scores' shape."""
        arguments, options = self.arguments(scores, target, sample_weight)
        if self.constant_hess:
            grad = self.loss.grad(*arguments, reduction="sum", **options)
            hess = np.ones_like(grad)
            weight = options.get("sample_weight")
            if weight is not None:
                hess *= weight[:, None] if weight.ndim < hess.ndim else weight
            return grad, hess
        grad, hess = self.loss.grad_and_hess(*arguments, reduction="sum", **options)
        if self.row_wise and self.hess == "builtin":
            hess *= self.hess_factor(hess.shape[1])
        return grad, np.maximum(hess, LEAST_HESSIAN, out=hess)

    def init_score(self, target: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The constant raw score of least loss, from which boosting should start.

        Parameters
        ----------
        target : array_like
            The training targets: labels from 0 on for the softmax family; else numbers, of shape (N,) or, for several
            outputs, (N, K).
        sample_weight : array_like of shape (N,), optional
            Their weights.

        Returns
        -------
        float or list of float
            One number, or one for each class or output. Those of classes add up to 0.

        Raises
        ------
        ValueError, TypeError
            What the loss raises about its target or its weights.
        """
        target = _check.real_array("target", target)
        if not np.isfinite(target).all():
            raise ValueError("target must be finite")
        if sample_weight is not None:
            sample_weight = _check.real_array("sample_weight", sample_weight)
            if sample_weight.shape != target.shape[:1]:
                raise ValueError(f"sample_weight has shape {sample_weight.shape}, but target has {len(target)} rows; "
                                 "it needs a weight for each")
        if self.row_wise:
            return self._softmax_start(class_labels(target), sample_weight)
        if target.ndim == 2:
            return [self.init_score(column, sample_weight) for column in target.T]
        values, where = np.unique(target, return_inverse=True)
        weights = np.bincount(where, sample_weight, len(values))

        def slopes(score):
            return self.loss.grad(np.full(len(values), score), values, reduction="sum", sample_weight=weights,
                                  **self.options)

        def slope(score):
            with np.errstate(invalid="ignore"):  # infinity - infinity
                total = slopes(score).sum()
            if np.isnan(total):
                raise ValueError(f"{self.__name__} has no start for this target: its slope is not a number")
            return total

        # Small targets have small slopes; those that cancel out leave a rounding error of theirs.
        return root(slope, 1e-12 * min(weights.sum(), np.abs(slopes(0.0)).sum()))

    def _softmax_start(self, labels, sample_weight):
        """Newton's method on one row for each class, weighted by how often it occurs."""
        if (labels < 0).any():
            raise ValueError("target must hold class labels from 0 on; leave rows of ignore_index out of it")
        weights = np.bincount(labels, sample_weight).astype(np.float64)
        n_classes = len(weights)
        scores, rows = np.zeros(n_classes), np.arange(n_classes)

        def at(scores):
            return np.broadcast_to(scores, (n_classes, n_classes)), rows, weights

        def total(scores):
            arguments, options = self.arguments(*at(scores))
            return self.loss(*arguments, reduction="sum", **options)

        value = total(scores)
        for _ in range(500):
            grad, hess = self.derivatives(*at(scores))
            step = grad.sum(0) / hess.sum(0)
            # Near the minimum the value is flat: its rounding must not stop the steps.
            while total(scores - step) > value * (1 + 1e-14) and np.abs(step).max() > 1e-12:
                step /= 2
            if np.abs(step).max() <= 1e-12:
                break
            scores = scores - step
            value = total(scores)
        return (scores - scores.mean()).tolist()


def root(slope, tolerance):
    """Where a slope that grows with its argument is 0: bracketed by doubling, then halved."""
    at_zero = slope(0.0)
    if abs(at_zero) <= tolerance:
        return 0.0
    direction = -np.sign(at_zero)
    near, far = 0.0, direction
    while slope(far) * direction < -tolerance and abs(far) < 1e300:
        near, far = far, 2 * far
    while True:
        middle = (near + far) / 2
        steep = slope(middle) * direction
        if abs(steep) <= tolerance or middle in (near, far):
            return float(middle)
        near, far = (middle, far) if steep < 0 else (near, middle)


def class_labels(target):
    """Labels that a booster keeps as floating-point numbers, as integers."""
    if target.dtype.kind in "iub":
        return target
    labels = target.astype(np.int64)
    if not np.array_equal(labels, target):
        raise ValueError("target must hold class labels: integers from 0 on")
    return labels


class Metric(BoostedLoss):
    """The mean loss of raw scores, weighted."""

    def __init__(self, loss: _library.Loss, name: str | None, options: dict[str, Any]) -> None:
        super().__init__(loss, options)
        self.__name__ = self.__name__ if name is None else name

    def mean(self, scores: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        arguments, options = self.arguments(scores, target, sample_weight)
        return float(self.loss(*arguments, reduction="mean", **options))
