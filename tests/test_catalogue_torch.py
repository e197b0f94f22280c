"""Value and gradient against PyTorch in float64, where PyTorch has the loss."""

import dataclasses

import catalogue
import numpy as np
import pytest
from catalogue_checks import expect

torch = pytest.importorskip("torch")
F = torch.nn.functional

# It means to change what "mean" is for kl_div, and says so at every call.
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")

# name: (PyTorch's function, options of ours -> options of its own). What PyTorch has, it has under the same name.
SAME = {
    "mse_loss": [{}], "l1_loss": [{}], "smooth_l1_loss": [{}, {"beta": 0.3}, {"beta": 0.0}],
    "huber_loss": [{}, {"delta": 0.7}],
    "poisson_nll_loss": [{"log_input": a, "full": b} for a in (True, False) for b in (True, False)] + [
        {"log_input": False, "eps": 1e-2}],
    "gaussian_nll_loss": [{}, {"full": True}, {"eps": 0.5}],
    "binary_cross_entropy_with_logits": [{}], "binary_cross_entropy": [{}],
    "soft_margin_loss": [{}], "hinge_embedding_loss": [{}, {"margin": 0.3}], "kl_div": [{}, {"log_target": True}],
}


def cases():
    return [pytest.param(catalogue.BY_NAME[name], options, id=f"{name} {options}")
            for name, choices in SAME.items() for options in choices]


def reductions(name):
    return ["mean", "sum", "none", *(["batchmean"] if name == "kl_div" else [])]


def tensors(row, arrays):
    return {name: torch.tensor(a, requires_grad=name in row.wrt) for name, a in arrays.items()}


def compare(row, arrays, theirs_of, reduction, rtol=2e-13, **options):
    """Value, and gradients with respect to all that we differentiate by."""
    inputs = tensors(row, arrays)
    theirs = theirs_of(**inputs)
    theirs.sum().backward()
    for wrt in row.wrt:
        value, grad = row.function().value_and_grad(**arrays, **options, reduction=reduction, wrt=wrt)
        np.testing.assert_allclose(value, theirs.detach().numpy(), rtol=rtol, atol=1e-15)
        np.testing.assert_allclose(grad, inputs[wrt].grad.numpy(), rtol=rtol, atol=1e-15, err_msg=wrt)


@pytest.mark.parametrize(("row", "options"), cases())
def test_values_and_gradients(row, options):
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    setting = {**row.settings[0], **options}
    for reduction in reductions(row.name):
        arrays = row.everyday(setting, (11, 5), seed=3)
        if row.name == "kl_div" and not options:
            arrays["target"] += 1 / 32  # at 0 PyTorch's gradient is not a number
        function = getattr(F, row.name)
        compare(row, arrays, lambda **t: function(**t, **options, reduction=reduction), reduction, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_pos_weight_and_weight(reduction):
    row = catalogue.BY_NAME["binary_cross_entropy_with_logits"]
    arrays = row.everyday({}, (11, 5), seed=3)
    weight, pos_weight = np.linspace(0.25, 3, 55).reshape(11, 5), np.array([0.5, 1, 2, 3, 0])
    compare(row, arrays, lambda **t: F.binary_cross_entropy_with_logits(
        **t, weight=torch.tensor(weight), pos_weight=torch.tensor(pos_weight), reduction=reduction), reduction,
        weight=weight, pos_weight=pos_weight)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weight(name, reduction):
    """PyTorch's inconsistency, kept: mse and l1 divide by the sum of the weights, the others by N."""
    row = catalogue.BY_NAME[name]
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    arrays = row.everyday({}, (11, 5), seed=3)
    weight = np.linspace(0.25, 3, 55).reshape(11, 5)
    compare(row, arrays, lambda **t: getattr(F, name)(**t, weight=torch.tensor(weight), reduction=reduction), reduction,
            weight=weight)


def test_kinks():
    """The subgradients that are documented as PyTorch's."""
    for name, x, y, options in (("l1_loss", 1.5, 1.5, {}), ("smooth_l1_loss", 2.0, 2.0, {"beta": 0.0}),
                                ("smooth_l1_loss", 2.0, 1.0, {}), ("huber_loss", 2.0, 1.0, {}),
                                ("hinge_embedding_loss", 1.0, -1.0, {}), ("binary_cross_entropy", 0.0, 1.0, {}),
                                ("binary_cross_entropy", 1.0, 0.0, {}), ("binary_cross_entropy", 1e-13, 1.0, {})):
        row = dataclasses.replace(catalogue.BY_NAME[name], wrt=("input",))
        if row.exists():
            # the least denominator of PyTorch's binary_cross_entropy is 1e-12 in float32, in float64 too
            compare(row, {"input": np.array([x]), "target": np.array([y])},
                    lambda **t: getattr(F, name)(**t, **options), "mean", rtol=5e-9, **options)


def focal(inputs, targets, alpha, gamma):
    """torchvision.ops.sigmoid_focal_loss, by its definition: the package itself is large and not needed."""
    p = torch.sigmoid(inputs)
    entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = entropy * (1 - p_t) ** gamma
    return loss * (alpha * targets + (1 - alpha) * (1 - targets)) if alpha >= 0 else loss


@pytest.mark.parametrize("options", [{}, {"alpha": 0.6, "gamma": 5.0}, {"alpha": -1.0}, {"gamma": 0.0}], ids=str)
def test_focal(options):
    row = catalogue.BY_NAME["sigmoid_focal_loss"]
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    arrays = row.everyday({}, (11, 5), seed=3)
    full = {"alpha": 0.25, "gamma": 2.0, **options}
    compare(row, arrays, lambda **t: focal(t["input"], t["target"], **full), "none", **options)


SKLEARN = [("gamma_nll_loss", {}, "HalfGammaLoss", {}),
           ("tweedie_nll_loss", {"power": 1.5}, "HalfTweedieLoss", {"power": 1.5}),
           ("tweedie_nll_loss", {"power": 0.0}, "HalfTweedieLoss", {"power": 0.0}),
           ("tweedie_nll_loss", {"power": 1.0}, "HalfTweedieLoss", {"power": 1.0}),
           ("tweedie_nll_loss", {"power": 2.0}, "HalfTweedieLoss", {"power": 2.0}),
           ("tweedie_nll_loss", {"power": 3.0}, "HalfTweedieLoss", {"power": 3.0}),
           ("pinball_loss", {"quantile": 0.8}, "PinballLoss", {"quantile": 0.8}),
           ("huber_loss", {"delta": 0.7}, "HuberLoss", {"delta": 0.7}),
           ("binary_cross_entropy_with_logits", {}, "HalfBinomialLoss", {}),
           ("poisson_nll_loss", {}, "HalfPoissonLoss", {})]


@pytest.mark.parametrize(("name", "options", "theirs", "their_options"), SKLEARN,
                         ids=[f"{s[0]} {s[1]}" for s in SKLEARN])
def test_scikit_learn(name, options, theirs, their_options):
    """Half deviances with their constants: sklearn._loss is private, so what moved is skipped."""
    module = pytest.importorskip("sklearn._loss.loss")
    row = catalogue.BY_NAME[name]
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    arrays = row.everyday({**row.settings[0], **options}, (200,), seed=5)
    loss = getattr(module, theirs)(**their_options)
    value, grad = loss.loss_gradient(arrays["target"], arrays["input"])
    ours = row.function().value_and_grad(**arrays, **options, reduction="none")
    np.testing.assert_allclose(ours[0], value, rtol=1e-12, atol=1e-14)
    smooth = arrays["input"] != arrays["target"]  # scikit-learn has other subgradients at kinks
    np.testing.assert_allclose(ours[1][smooth], grad[smooth], rtol=1e-12, atol=1e-14)


def test_the_oracle_too():
    """The formulas of catalogue_formulas.py are PyTorch's: a mistake shared with the library would show here."""
    for name, choices in SAME.items():
        row = catalogue.BY_NAME[name]
        for options in choices:
            arrays = row.everyday({**row.settings[0], **options}, (40,), seed=4)
            if name == "kl_div":
                arrays["target"] += 1 / 32 if not options else 0
            inputs = tensors(row, arrays)
            theirs = getattr(F, name)(**inputs, **options, reduction="none")
            theirs.sum().backward()
            ours = expect(row, arrays, options, np.float64, reduction="none")
            np.testing.assert_allclose(ours.value.astype(float), theirs.detach().numpy(), rtol=2e-13, atol=1e-15)
            for wrt in row.wrt:
                promised = np.array([g is not None for g in ours.grad[wrt]])
                np.testing.assert_allclose(ours.grad[wrt][promised].astype(float),
                                           inputs[wrt].grad.numpy()[promised], rtol=2e-13, atol=1e-15, err_msg=name)
