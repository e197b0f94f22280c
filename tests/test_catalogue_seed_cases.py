"""The worked numbers of the tutorials for losses between numbers, probabilities and logits.

The cases for classes are test_seed_cases.py's; together the two files compute every case of data/seed_cases.json.
"""

import numpy as np
import pytest
import reference
import test_seed_cases
from checks import ULP

import fastloss as fl

CASES = test_seed_cases.CASES

# The text's own wording of the function: the function of fastloss that must exist, and how it is computed with it.
COMPUTE = {
    "bce(p, y)": ("binary_cross_entropy", lambda args, kwargs: fl.binary_cross_entropy(**args, **kwargs)),
    "bce(sigmoid(z), y)": ("sigmoid", lambda args, kwargs: fl.binary_cross_entropy(
        fl.sigmoid(np.array(args["z"])), args["target"], **kwargs)),
    "bce_with_logits(z, y)": ("binary_cross_entropy_with_logits",
                              lambda args, kwargs: fl.binary_cross_entropy_with_logits(**args, **kwargs)),
    "grad bce_with_logits": ("binary_cross_entropy_with_logits",
                             lambda args, kwargs: fl.binary_cross_entropy_with_logits.grad(**args, **kwargs)),
    "one_hot(y)": ("one_hot", lambda args, kwargs: fl.one_hot(args["labels"], args["num_classes"], **kwargs)),
    "sigmoid(x)": ("sigmoid", lambda args, kwargs: fl.sigmoid(np.array(args["x"]), **kwargs)),
    "-log(p)": ("information", lambda args, kwargs: fl.information(np.array(args["p"]), **kwargs)),
    "entropy(p)": ("entropy", lambda args, kwargs: fl.entropy(np.array(args["p"]), **kwargs)),
    "cross_entropy(p, q) from probabilities": (
        "cross_entropy_probs",
        lambda args, kwargs: fl.cross_entropy_probs(np.array(args["q"]), np.array(args["p"]), **kwargs)),
    "l1_loss": ("l1_loss", lambda args, kwargs: fl.l1_loss(**args, **kwargs)),
    "mse_loss": ("mse_loss", lambda args, kwargs: fl.mse_loss(**args, **kwargs)),
    "squared error summed over classes": ("mse_loss", lambda args, kwargs: fl.mse_loss(
        args["input"], args["target"], reduction="none").sum(axis=kwargs["sum_axis"])),
    "mse summed over classes, averaged over rows": ("mse_loss", lambda args, kwargs: fl.mse_loss(**args, **kwargs)),
}

HERE = [case for case in CASES if case["function"] in COMPUTE and case["function"] not in test_seed_cases.COMPUTE]
# 0.804 was added up from terms that had been rounded; the text of the case gives the tolerance.
TOLERANCES = {"s1-entropy": 3e-3, "s1-l1": 6e-5}

here = pytest.mark.parametrize("case", HERE, ids=test_seed_cases.names(HERE))


def compute(case):
    needed, function = COMPUTE[case["function"]]
    if not hasattr(fl, needed):
        pytest.skip(f"fastloss has no {needed} in this build")
    return np.asarray(function(case["args"], case["kwargs"]))


@here
def test_exact_value(case):
    """4 ULP for fastloss, and 4 for the expected number itself."""
    expected = reference.exact_array(case["expected_f64"])
    errors = reference.ulp_errors(compute(case), expected if expected.ndim else expected[()], np.float64)
    # Inputs are data, not exact: a probability that has gone through a rounded sigmoid may be half a unit off.
    assert errors.max() <= 2 * ULP, f"{errors.max()} ULP; {case['note']}"


@here
def test_printed_value(case):
    if case["printed"] is None:
        pytest.skip("the text prints no number")
    got = compute(case)
    if case["id"] == "s0-bce-truth-table":
        words = np.where(got > 50, "large", np.where(got < 1e-3, "small", "between"))
        assert words.tolist() == case["printed"]
        return
    tolerance = TOLERANCES.get(case["id"], 0.5 * 10.0 ** -case["printed_decimals"] * (1 + 1e-9))
    close = np.isclose(got, case["printed"], rtol=0, atol=tolerance)
    if case["id"] == "s1-sigmoid":
        # two of the three printed numbers are wrong: 1 / (1 + e^(1/3)) and sigmoid(-1)
        assert close.tolist() == [False, False, True]
        meant = [1 / (1 + np.exp(1 / 3)), fl.sigmoid(np.array(-1.0))]
        np.testing.assert_allclose(case["printed"][:2], meant, atol=1e-4)
        return
    assert close.all(), f"{got} is not {case['printed']}; {case['note']}"


def test_every_case_is_computed_once():
    """Here or in test_seed_cases.py (which has precedence), each with a test id that has the text's own wording."""
    assert len(HERE) == len(CASES) - len(test_seed_cases.HERE)
    assert {case["function"] for case in CASES} == set(COMPUTE) | set(test_seed_cases.COMPUTE)


def test_three_million_rows():
    """The tutorials' example of a large batch, here for its number (its time is a benchmark): the mean in float32 is
    exact to the last digits, where a sum in float32 would be off in the fourth."""
    z = np.tile(np.array([-0.4477, 1.1807, 0.9555], np.float32), 1_000_000)
    y = np.tile(np.array([0, 0, 1], np.float32), 1_000_000)
    few = fl.binary_cross_entropy_with_logits(z[:3].astype(float), y[:3])
    assert abs(fl.binary_cross_entropy_with_logits(z, y) - few) < 1e-7
    assert round(few, 3) == 0.756
