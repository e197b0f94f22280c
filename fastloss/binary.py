"""Losses of logits or probabilities against targets from 0 to 1."""

from . import _check
from ._function import LossFunction
from ._native import pointwise as _pointwise

_BCE_WITH_LOGITS = _pointwise.Loss("binary_cross_entropy_with_logits", target=_check.UNIT, small_targets=True)


@LossFunction
def binary_cross_entropy_with_logits(input, target, *, weight=None, pos_weight=None, reduction="mean",
                                     label_smoothing=0.0, sample_weight=None, normalizer=None, n_threads=None):
    parameters = (("pos_weight", 1.0 if pos_weight is None else pos_weight, _check.NONNEGATIVE),)
    smoothing = _check.fraction("label_smoothing", label_smoothing)
    return _pointwise.run, (_BCE_WITH_LOGITS, input, target, parameters, (1 - smoothing, smoothing / 2), weight,
                            reduction, sample_weight, normalizer, n_threads)
