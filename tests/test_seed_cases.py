"""The worked numbers of the tutorials that this library was written for.

data/seed_cases.json holds every case as it stands in its text: inputs, the printed number with its decimals, and the
exact value (`expected_f64`, itself computed in float64 by formulas that are up to 4 ULP off).  Some printed numbers are
wrong, or unsafe to compare; the case's `note` says so.
"""

import json
import pathlib

import numpy as np
import pytest
import reference
from checks import ULP

import fastloss as fl

CASES = json.loads((pathlib.Path(__file__).parent / "data" / "seed_cases.json").read_text(encoding="utf-8"))


def nll(args, kwargs):
    return fl.nll_loss(np.array(args["log_probs"]), args["target"], **kwargs)


def ce(args, kwargs):
    return fl.cross_entropy(np.array(args["input"]), np.array(args["target"]), weight=args.get("weight"), **kwargs)


def squared_error(args):
    return fl.mse_loss(**args, reduction="none")


# The text's own wording of the function: how it is computed here.
COMPUTE = {
    "nll_loss(log(P), y)": nll,
    "cross_entropy(x, [0,1])": ce,
    "cross_entropy": ce,
    "cross_entropy (one-hot probabilities)": ce,
    "grad cross_entropy(x,[0,1])": lambda args, kwargs: fl.cross_entropy.grad(args["input"], args["target"], **kwargs),
    "softmax(x)": lambda args, kwargs: fl.softmax(args["x"], **kwargs),
    "softmax": lambda args, kwargs: fl.softmax(args["x"], **kwargs),
    "log_softmax(x)": lambda args, kwargs: fl.log_softmax(args["x"], **kwargs),
    "bce_with_logits(z, y)": lambda args, kwargs: fl.binary_cross_entropy_with_logits(**args, **kwargs),
    "grad bce_with_logits": lambda args, kwargs: fl.binary_cross_entropy_with_logits.grad(**args, **kwargs),
    "l1_loss": lambda args, kwargs: fl.l1_loss(**args, **kwargs),
    "mse_loss": lambda args, kwargs: fl.mse_loss(**args, **kwargs),
    "squared error summed over classes": lambda args, kwargs: squared_error(args).sum(axis=kwargs["sum_axis"]),
    "mse summed over classes, averaged over rows": lambda args, kwargs: fl.mse_loss(**args, **kwargs),
    "-log q(cat)": lambda args, kwargs: fl.nll_loss(np.log(args["q"]), args["target"], **kwargs),
}

# The elementwise losses and the transforms: their cases are computed in test_catalogue_seed_cases.py, which fails if
# one of all cases is computed nowhere.
LATER = {
    "bce(p, y)": "binary_cross_entropy",
    "bce(sigmoid(z), y)": "binary_cross_entropy",
    "one_hot(y)": "one_hot",
    "sigmoid(x)": "sigmoid",
    "-log(p)": "information",
    "entropy(p)": "entropy",
    "cross_entropy(p, q) from probabilities": "cross_entropy_probs",
}

NOTED_TOLERANCE = {
    "s1-logsoftmax2": 1.1e-4,  # printed from inputs that are themselves rounded to 4 decimals
    "s1-l1": 6e-5,  # the exact value ends in a 5, which float32 rounds the other way
}

HERE = [case for case in CASES if case["function"] in COMPUTE]


def names(cases):
    return [f"{case['id']}: {case['function']}" for case in cases]


def printed_tolerance(case):
    """Half a unit of the last printed decimal; the note says where the text's own rounding asks for more."""
    if case["id"] in NOTED_TOLERANCE:
        return NOTED_TOLERANCE[case["id"]]
    return 0.5 * 10 ** -case["printed_decimals"] * (1 + 1e-9)


@pytest.mark.parametrize("case", HERE, ids=names(HERE))
def test_exact_value(case):
    """4 ULP for fastloss, and 4 for the expected number itself."""
    got = np.asarray(COMPUTE[case["function"]](case["args"], case["kwargs"]))
    expected = reference.exact_array(case["expected_f64"])
    assert got.dtype == np.float64
    errors = reference.ulp_errors(got, expected if expected.ndim else expected[()], np.float64)
    assert errors.max() <= 2 * ULP, f"{errors.max()} ULP; {case['note']}"


PRINTED = [case for case in HERE if case["printed"] is not None]


@pytest.mark.parametrize("case", PRINTED, ids=names(PRINTED))
def test_printed_value(case):
    assert case["printed_is_consistent"], "a wrong printed number has no place among the computed cases"
    got = COMPUTE[case["function"]](case["args"], case["kwargs"])
    np.testing.assert_allclose(got, case["printed"], rtol=0, atol=printed_tolerance(case), err_msg=case["note"])


def test_no_case_is_forgotten():
    assert len(CASES) == 31
    for case in CASES:
        function = case["function"]
        assert (function in COMPUTE) != (function in LATER), f"{case['id']}: {function}"
