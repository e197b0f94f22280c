"""Right calls, of every public name: type checkers must accept them and see these types, and Python must run them."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastloss as fl

Array = NDArray[Any]

x = np.array([[0.5, -0.25, 2.0], [1.0, 0.0, -1.0]], dtype=np.float32)
y = np.array([0, 2])
p = np.array([0.25, 0.5, 0.75])
signs = np.array([1, -1, 1])
w = np.ones(3)

# The four calls, and what the reduction makes of their types.
assert_type(fl.cross_entropy(x, y), float)
assert_type(fl.cross_entropy(x, y, reduction="batchmean", label_smoothing=0.1, weight=w, ignore_index=-1), float)
assert_type(fl.cross_entropy(x, y, reduction="none", n_threads=1), Array)
assert_type(fl.cross_entropy.value_and_grad(x, y), tuple[float, Array])
assert_type(fl.cross_entropy.value_and_grad(x, y, reduction="none", grad_output=[1.0, 2.0]), tuple[Array, Array])
assert_type(fl.cross_entropy.grad(x.tolist(), [0, 2], axis=-1, out=np.empty((2, 3))), Array)
assert_type(fl.cross_entropy.grad_and_hess(x, y, out=(np.empty_like(x), np.empty_like(x))), tuple[Array, Array])
assert_type(fl.mse_loss.grad(p, w, wrt="target", sample_weight=w, normalizer=np.float32(2)), Array)


# The annotation that NumPy offers for a function of one's own. It includes str, and so must the parameters of a loss:
# with types without it each such function would be flagged.
def mean_of_own(values: ArrayLike, weights: ArrayLike | None = None) -> float:
    return fl.huber_loss(values, p, delta=1.0, sample_weight=weights)


assert_type(mean_of_own(p, w), float)

# Every function.
assert_type(fl.nll_loss(np.log(p), 1), float)
assert_type(fl.softmax_focal_loss(x, y, gamma=1.5), float)
assert_type(fl.multi_margin_loss(x, y, p=2, margin=0.5), float)
assert_type(fl.binary_cross_entropy(p, [0, 1, 1]), float)
assert_type(fl.binary_cross_entropy_with_logits(p, [0, 1, 1], pos_weight=[1.0, 2.0, 3.0]), float)
assert_type(fl.sigmoid_focal_loss(p, [0, 1, 1], alpha=-1), float)
assert_type(fl.mse_loss(p, w, reduction="sum"), float)
assert_type(fl.l1_loss(p, w), float)
assert_type(fl.smooth_l1_loss(p, w, beta=[1.0, 0.5, 0.25]), float)
assert_type(fl.huber_loss(p, w, delta=2), float)
assert_type(fl.pseudo_huber_loss(p, w), float)
assert_type(fl.log_cosh_loss(p, w), float)
assert_type(fl.pinball_loss(p, w, quantile=0.9), float)
assert_type(fl.expectile_loss(p, w, expectile=0.9), float)
assert_type(fl.epsilon_insensitive_loss(p, w), float)
assert_type(fl.squared_epsilon_insensitive_loss(p, w), float)
assert_type(fl.msle_loss(p, w), float)
assert_type(fl.poisson_nll_loss(p, w, log_input=False, full=True), float)
assert_type(fl.gaussian_nll_loss(p, w, w, full=True), float)
assert_type(fl.gaussian_nll_loss.grad(p, w, w, wrt="var"), Array)
assert_type(fl.gamma_nll_loss(p, w), float)
assert_type(fl.tweedie_nll_loss(p, w, power=1.2), float)
assert_type(fl.hinge_loss(p, signs), float)
assert_type(fl.squared_hinge_loss(p, [0, 1, 0], labels="01"), float)
assert_type(fl.perceptron_loss(p, signs), float)
assert_type(fl.exponential_loss(p, signs), float)
assert_type(fl.logistic_loss(p, signs), float)
assert_type(fl.soft_margin_loss(p, signs), float)
assert_type(fl.modified_huber_loss(p, signs), float)
assert_type(fl.hinge_embedding_loss(p, signs), float)
assert_type(fl.zero_one_loss(p, w, tolerance=0.5), float)
assert_type(fl.kl_div(np.log(p), p, log_target=False), float)
assert_type(fl.l1_penalty(w), float)
assert_type(fl.l2_penalty.value_and_grad(w, reduction="none"), tuple[Array, Array])

# Combined losses.
combined = fl.combine([(fl.mse_loss, 1.0), (fl.HuberLoss(delta=2.0), 0.5), (fl.l2_penalty, 1)])
assert_type(combined.grad(p, w), Array)

# Configured losses: the type of the value follows the configured reduction.
assert_type(fl.CrossEntropyLoss(w, label_smoothing=0.1)(x, y), float)
per_row = fl.CrossEntropyLoss(reduction="none")
assert_type(per_row(x, y), Array)
assert_type(per_row(x, y, reduction="sum"), float)
assert_type(per_row.value_and_grad(x, y), tuple[Array, Array])
criterion: fl.MSELoss = fl.MSELoss()
assert_type(criterion.grad_and_hess(p, w), tuple[Array, Array])
assert_type(fl.BCELoss()(p, [0, 1, 1]), float)
assert_type(fl.BCEWithLogitsLoss(pos_weight=2.0)(p, [0, 1, 1]), float)
assert_type(fl.EpsilonInsensitiveLoss(epsilon=0.5)(p, w), float)
assert_type(fl.ExpectileLoss(expectile=0.25)(p, w), float)
assert_type(fl.ExponentialLoss()(p, signs), float)
assert_type(fl.GammaNLLLoss()(p, w), float)
assert_type(fl.GaussianNLLLoss(full=True)(p, w, w), float)
assert_type(fl.HingeEmbeddingLoss(margin=2.0)(p, signs), float)
assert_type(fl.HingeLoss(labels="01")(p, [0, 1, 0]), float)
assert_type(fl.HuberLoss("none", 2.0)(p, w), Array)
assert_type(fl.KLDivLoss(reduction="batchmean")(np.log(p), p), float)
assert_type(fl.L1Loss(reduction="sum")(p, w), float)
assert_type(fl.LogCoshLoss()(p, w), float)
assert_type(fl.LogisticLoss()(p, signs), float)
assert_type(fl.MSLELoss()(p, w), float)
assert_type(fl.ModifiedHuberLoss()(p, signs), float)
assert_type(fl.MultiMarginLoss(2, 0.5)(x, y), float)
assert_type(fl.NLLLoss()(np.log(p), 1), float)
assert_type(fl.PerceptronLoss()(p, signs), float)
assert_type(fl.PinballLoss(quantile=0.9)(p, w), float)
assert_type(fl.PoissonNLLLoss(False)(p, w), float)
assert_type(fl.PseudoHuberLoss()(p, w), float)
assert_type(fl.SigmoidFocalLoss(gamma=1.0)(p, [0, 1, 1]), float)
assert_type(fl.SmoothL1Loss()(p, w), float)
assert_type(fl.SoftMarginLoss()(p, signs), float)
assert_type(fl.SoftmaxFocalLoss()(x, y), float)
assert_type(fl.SquaredEpsilonInsensitiveLoss()(p, w), float)
assert_type(fl.SquaredHingeLoss()(p, signs), float)
assert_type(fl.TweedieNLLLoss()(p, w), float)
assert_type(fl.ZeroOneLoss()(p, w), float)

# Transforms and the rest.
assert_type(fl.softmax(x, out=x.copy()), Array)
assert_type(fl.log_softmax(x), Array)
assert_type(fl.softmax_grad(fl.softmax(x), x), Array)
assert_type(fl.log_softmax_grad(fl.log_softmax(x), x, axis=0), Array)
assert_type(fl.sigmoid(0.5), float)
assert_type(fl.sigmoid(x), Array)
assert_type(fl.log_sigmoid([0.5]), Array)
assert_type(fl.information(0.5), float)
total: float = fl.logsumexp([1.0, 2.0])
sums: Array = fl.logsumexp(x, keepdims=True)
assert_type(fl.entropy(p), Any)
assert_type(fl.cross_entropy_probs(p, p), Any)
assert_type(fl.one_hot(y, 3, dtype=np.int64), Array)
fl.set_num_threads(2)
fl.set_num_threads(None)
with fl.num_threads(1):
    assert_type(fl.get_num_threads(), int)
assert_type(fl.isa(), str)
assert_type(fl.show_config(), None)
assert_type(fl.show_config(mode="dicts"), dict[str, Any])
assert_type(fl.__version__, str)
