"""The table of losses under test: one row per loss, and every generic test runs over all rows.

A row says how to draw arguments, which options there are, and where the oracle is.  Tests that hold for every loss
(accuracy, layouts, dtypes, threads, instruction sets, derivatives, classes, PyTorch) take their cases from `cases()`,
so that a new loss is tested by adding its row here and its exact formula in reference.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import reference


@dataclass(frozen=True)
class Loss:
    """One row of the table.

    `sample(rng, dtype, shape)` draws (input, target) in the loss's domain.
    `options(rng, dtype, shape, target)` yields (name, target, options): every set of options worth a test of its own;
    a set may bring its own target, as probability targets do.
    `oracle` takes the loss's arguments and returns a `reference.Result`.
    `ulp` is the promised bound for value and gradient.
    """

    name: str
    criterion: str
    oracle: Callable
    sample: Callable
    options: Callable
    ulp: float = 4
    parameters: dict = field(default_factory=dict)  # the class's options with a value that is not the default

    def function(self):
        """The object under test. Imported late: the oracle and this table can be checked without the library."""
        import fastloss

        return getattr(fastloss, self.name)

    def criterion_class(self):
        import fastloss

        return getattr(fastloss, self.criterion)


@dataclass(frozen=True)
class Case:
    """One call: `loss(input, target, **options)`."""

    name: str
    loss: Loss
    input: np.ndarray
    target: np.ndarray
    options: dict


def cases(loss, dtype, shape, seed=0):
    """Yield a `Case` for every option set of the loss, for input of this dtype and shape."""
    rng = np.random.default_rng([seed, *shape])
    input, target = loss.sample(rng, dtype, shape)
    for name, own_target, options in loss.options(rng, dtype, shape, target):
        yield Case(f"{loss.name} {name}", loss, input, own_target, options)


# --- classification: an input of (rows, classes, …) and one label per row ---------------------------------------------


def _value_shape(shape):
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def _classes(shape):
    return shape[1] if len(shape) > 1 else shape[0]


def sample_logits(rng, dtype, shape):
    """Logits of everyday size, and labels of every class."""
    input = rng.normal(0, 3, shape).astype(dtype)
    return input, rng.integers(0, _classes(shape), _value_shape(shape))


def sample_log_probabilities(rng, dtype, shape):
    logits, target = sample_logits(rng, np.float64, shape)
    axis = 1 if len(shape) > 1 else 0
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=axis, keepdims=True, initial=-np.inf)
        return (shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))).astype(dtype), target


def weights(rng, dtype, size):
    """Positive weights that are exact in every dtype, so that a conversion cannot be mistaken for an error."""
    return (rng.integers(1, 96, size) / 32).astype(dtype)


def some_ignored(rng, target, ignore_index):
    """Every third row or so ignored, among them the first and the last, but never all of them."""
    result = np.array(target)
    mask = np.asarray(rng.random(result.shape) < 0.3)
    flat = mask.reshape(-1)
    if flat.size:
        flat[[0, -1]] = True
        flat[flat.size // 2] = False
    result[mask] = ignore_index
    return result


def soft_targets(rng, dtype, shape):
    """Rows that do not sum to 1 (the gradient must not assume it), exact in every dtype, with zeros in them."""
    target = rng.integers(0, 8, shape) / 8
    target[rng.random(shape) < 0.25] = 0
    return target.astype(dtype)


def label_options(rng, dtype, shape, target):
    """The options that cross_entropy and nll_loss share."""
    value_shape = _value_shape(shape)
    weight = weights(rng, dtype, _classes(shape))
    sample_weight = weights(rng, dtype, value_shape)
    sample_weight = np.asarray(np.where(rng.random(value_shape) < 0.2, np.dtype(dtype).type(0), sample_weight))
    sample_weight.reshape(-1)[:1] = 0.5  # so that one row counts
    upstream = rng.choice([-2.0, -0.5, 0.25, 1.5], value_shape).astype(dtype)
    ignored = some_ignored(rng, target, -100)
    yield "mean", target, {}
    yield "sum", target, {"reduction": "sum"}
    yield "none", target, {"reduction": "none"}
    yield "none with grad_output", target, {"reduction": "none", "grad_output": upstream}
    yield "batchmean", target, {"reduction": "batchmean"}
    yield "weight", target, {"weight": weight}
    yield "ignore_index", ignored, {}
    # a valid class may be the ignored one
    yield "weight, valid class ignored", target, {"weight": weight, "ignore_index": _classes(shape) - 1}
    yield "sample_weight", target, {"sample_weight": sample_weight}
    yield "all weights, none", ignored, {"weight": weight, "sample_weight": sample_weight, "reduction": "none"}
    yield "normalizer", ignored, {"weight": weight, "normalizer": 12.5, "grad_output": -0.75}


def cross_entropy_options(rng, dtype, shape, target):
    """All of them, then label smoothing and probability targets."""
    yield from label_options(rng, dtype, shape, target)
    weight = weights(rng, dtype, _classes(shape))
    sample_weight = weights(rng, dtype, _value_shape(shape))
    ignored = some_ignored(rng, target, -100)
    soft = soft_targets(rng, dtype, shape)
    yield "smoothing", target, {"label_smoothing": 0.1}
    yield "smoothing 1", target, {"label_smoothing": 1.0}
    yield "everything", ignored, {"label_smoothing": 0.1, "weight": weight, "sample_weight": sample_weight,
                                  "grad_output": 3.0}
    yield "soft", soft, {}
    yield "soft none", soft, {"reduction": "none"}
    yield "soft everything", soft, {"label_smoothing": 0.1, "weight": weight, "sample_weight": sample_weight,
                                    "reduction": "sum", "grad_output": -2.0}


LOSSES = [
    Loss("cross_entropy", "CrossEntropyLoss", reference.cross_entropy, sample_logits, cross_entropy_options,
         parameters={"label_smoothing": 0.1, "ignore_index": 3}),
    Loss("nll_loss", "NLLLoss", reference.nll_loss, sample_log_probabilities, label_options,
         parameters={"reduction": "sum", "ignore_index": 3}),
]

BY_NAME = {loss.name: loss for loss in LOSSES}
CROSS_ENTROPY = BY_NAME["cross_entropy"]
NLL_LOSS = BY_NAME["nll_loss"]
