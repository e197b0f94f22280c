"""What the boosters' adapters share: Hessians, starts, options, errors. No booster is needed.

Derivatives are in float64, and 1e-14 and 1e-15 are some units of what the expected numbers themselves round; starts are
found by halving until the slope is 1e-12 of its scale, which 1e-10 leaves room for.
"""

import numpy as np
import pytest

import fastloss as fl
from fastloss.adapters import _boosting


def make(loss, hess="builtin", **options):
    return _boosting.Objective(loss, hess, options)


def test_derivatives_are_those_of_the_weighted_sum():
    scores, target, weight = np.array([0.3, -2.0]), np.array([1.0, 0.0]), np.array([2.0, 3.0])
    grad, hess = make(fl.binary_cross_entropy_with_logits).derivatives(scores, target, weight)
    p = 1 / (1 + np.exp(-scores))  # some roundings of double away, as are the differences and products of it
    np.testing.assert_allclose(grad, weight * (p - target), rtol=1e-14)
    np.testing.assert_allclose(hess, weight * p * (1 - p), rtol=1e-14)


def test_labels_may_be_floating():
    grad, _ = make(fl.cross_entropy).derivatives(np.zeros((2, 3)), np.array([0.0, 2.0]))
    # four units in the last place, as promised
    np.testing.assert_allclose(grad, [[-2 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-15)
    with pytest.raises(ValueError, match="class labels"):
        make(fl.cross_entropy).derivatives(np.zeros((2, 3)), np.array([0.5, 2.0]))


@pytest.mark.parametrize(("hess", "expected"),
                         [("builtin", [2.0, 3.0]), ("exact", [1e-16, 1e-16]), ("one", [2.0, 3.0])])
def test_flat_losses(hess, expected):
    _, result = make(fl.l1_loss, hess).derivatives(np.array([0.3, -2.0]), np.zeros(2), np.array([2.0, 3.0]))
    assert result.tolist() == expected


def test_every_loss_whose_second_derivative_vanishes_beside_a_slope_is_known():
    """Losses with straight pieces, found from their derivatives far from the target."""
    found = set()
    for name in fl.__all__:
        loss = getattr(fl, name)
        if not hasattr(loss, "grad_and_hess") or isinstance(loss, type) or name in ("l1_penalty", "l2_penalty"):
            continue
        if name in ("zero_one_loss", "gaussian_nll_loss", "binary_cross_entropy"):
            continue
        row = name in ("cross_entropy", "nll_loss", "softmax_focal_loss", "multi_margin_loss")
        x = [[-0.9, -2.0, -3.1]] if row else [-1.5, 0.5, -1.7, 1.9] if name != "msle_loss" else [0.5, 0.7, 2.0, 3.0]
        for target in ([0], [1], [2]) if row else (np.full(4, -1.0), np.ones(4)):
            try:
                grad, hess = loss.grad_and_hess(x, target, reduction="sum")
            except ValueError:
                continue  # not this loss's domain
            if (np.abs(hess[grad != 0]) == 0).any():
                found.add(name)
    assert found == _boosting.FLAT


def test_negative_hessians_are_replaced():
    _, exact = fl.sigmoid_focal_loss.grad_and_hess([-4.0, 0.0], [1, 1], reduction="sum", gamma=4)
    _, hess = make(fl.sigmoid_focal_loss, gamma=4).derivatives(np.array([-4.0, 0.0]), np.ones(2))
    assert exact[0] < 0 < exact[1]
    assert hess.tolist() == [1e-16, exact[1]]


@pytest.mark.parametrize("weighted", [False, True])
def test_init_score(data, weighted):
    """The search ends where the slope is 1e-12 of the weights; as near is the score where the loss is curved."""
    weight = data.weight.astype(np.float64) if weighted else None
    start = make(fl.mse_loss).init_score(data.real, weight)
    np.testing.assert_allclose(start, np.average(data.real, weights=weight), rtol=1e-10)
    start = make(fl.binary_cross_entropy_with_logits).init_score(data.binary, weight)
    p = np.average(data.binary, weights=weight)
    np.testing.assert_allclose(start, np.log(p / (1 - p)), rtol=1e-10)
    start = make(fl.cross_entropy).init_score(data.classes, weight)
    logs = np.log([np.average(data.classes == k, weights=weight) for k in range(3)])
    np.testing.assert_allclose(start, logs - logs.mean(), atol=1e-10)


def test_init_score_of_other_losses(data):
    """The median, a quantile, the logarithm of the mean, several outputs; nothing to find for one class alone."""
    assert abs(make(fl.l1_loss).init_score(data.real) - np.median(data.real)) < 0.05
    upper = make(fl.pinball_loss, quantile=0.9).init_score(data.real * 1e6)
    assert abs(np.mean(data.real * 1e6 <= upper) - 0.9) < 0.01
    np.testing.assert_allclose(make(fl.poisson_nll_loss).init_score(data.classes), np.log(data.classes.mean()))
    # see test_init_score
    both = make(fl.mse_loss).init_score(np.stack([data.real, data.binary], axis=1))
    np.testing.assert_allclose(both, [data.real.mean(), data.binary.mean()], rtol=1e-10)
    assert 20 < make(fl.binary_cross_entropy_with_logits).init_score(np.ones(5)) < 40


def test_classes_and_sums_are_losses():
    scores, target = np.array([0.3, -2.0]), np.array([1.0, 0.0])
    half = make(fl.combine([(fl.mse_loss, 0.5)])).derivatives(scores, target)
    np.testing.assert_allclose(half, [scores - target, [1, 1]], rtol=1e-15)  # four units in the last place
    configured = make(fl.SigmoidFocalLoss(gamma=1.0)).derivatives(scores, target)
    np.testing.assert_array_equal(configured, make(fl.sigmoid_focal_loss, gamma=1.0).derivatives(scores, target))


def test_errors():
    with pytest.raises(TypeError, match="loss must be a loss of fastloss"):
        make(np.mean)
    with pytest.raises(TypeError, match="loss must be a loss of fastloss"):
        make(fl.MSELoss)
    with pytest.raises(TypeError, match="mse_loss has no option 'gamma'"):
        make(fl.mse_loss, gamma=2)
    with pytest.raises(TypeError, match="reduction is set by the adapter"):
        make(fl.mse_loss, reduction="mean")
    with pytest.raises(ValueError, match="hess must be one of"):
        make(fl.mse_loss, "two")
    with pytest.raises(ValueError, match="number of classes"):
        make(fl.cross_entropy).derivatives(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="a target for each score"):
        make(fl.mse_loss).derivatives(np.zeros((3, 2)), np.zeros(3))


@pytest.mark.parametrize("target", [[1.0, np.nan], [1.0, np.inf], [[1.0, 2.0], [np.nan, 3.0]]])
def test_init_score_wants_finite_targets(target):
    """Without an end to the search this would hang."""
    with pytest.raises(ValueError, match="target must be finite"):
        make(fl.mse_loss).init_score(target)


def test_init_score_ends_where_the_slope_is_not_a_number():
    with pytest.raises(ValueError, match="its slope is not a number"):
        make(fl.mse_loss).init_score([1.5e308, -1.5e308])


def test_init_score_of_small_targets():
    np.testing.assert_allclose(make(fl.mse_loss).init_score([1e-14, 3e-14]), 2e-14, rtol=1e-9)
    assert make(fl.mse_loss).init_score([0.1, 0.2, -0.3]) == 0  # though the slopes add up to a rounding error


def test_errors_of_init_score_name_the_argument():
    for loss, target in ((fl.mse_loss, [1.0, 2.0]), (fl.cross_entropy, [0, 1])):
        with pytest.raises(ValueError, match=r"sample_weight has shape \(1,\), but target has 2 rows"):
            make(loss).init_score(target, [1.0])
    with pytest.raises(ValueError, match="target must hold class labels from 0 on"):
        make(fl.cross_entropy).init_score([0, 1, -100])
