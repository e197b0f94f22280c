"""The lists that name the losses agree: kernels, public functions, classes, the tests' tables, the documentation."""

import inspect
import pathlib
import re

import catalogue
import losses
import pytest

import fastloss as fl
from fastloss._native import pointwise

# Functions with the four methods that are no losses of input against target, and where their tests are.
ELSEWHERE = {
    "cross_entropy": "losses.py", "nll_loss": "losses.py",
    "softmax_focal_loss": "test_row_losses.py", "multi_margin_loss": "test_row_losses.py",
    "l1_penalty": "test_combine.py", "l2_penalty": "test_combine.py",
}
# Rows of losses.def that are functions of one argument, not losses.
TRANSFORMS = {"sigmoid", "log_sigmoid", "information"}
FOR_TOOLS = {"exp", "log", "log1p", "expm1_nonpositive", "tanh", "softplus"}
# PyTorch's names for the classes, where it has one.
TORCH = {"mse_loss": "MSELoss", "l1_loss": "L1Loss", "smooth_l1_loss": "SmoothL1Loss", "huber_loss": "HuberLoss",
         "poisson_nll_loss": "PoissonNLLLoss", "gaussian_nll_loss": "GaussianNLLLoss",
         "binary_cross_entropy_with_logits": "BCEWithLogitsLoss", "binary_cross_entropy": "BCELoss",
         "soft_margin_loss": "SoftMarginLoss", "hinge_embedding_loss": "HingeEmbeddingLoss", "kl_div": "KLDivLoss"}

DOCUMENTATION = pathlib.Path(__file__).parents[1] / "docs" / "losses.md"


def loss_functions():
    return {name for name in dir(fl) if hasattr(getattr(fl, name), "value_and_grad")
            and not isinstance(getattr(fl, name), type)}


def criteria():
    """{name: the function it configures}"""
    return {name: getattr(fl, name).function for name in dir(fl)
            if isinstance(getattr(fl, name), type) and getattr(getattr(fl, name), "function", None)}


def test_kernels_and_table():
    """Every row of losses.def is somebody's, and every row of the table has its kernels."""
    named = {native for row in catalogue.ROWS for native in row.native}
    assert set(pointwise.LOSSES) - TRANSFORMS - FOR_TOOLS == named


def test_public_functions_and_table():
    tested = set(catalogue.BY_NAME) | {loss.name for loss in losses.LOSSES} | set(ELSEWHERE)
    assert loss_functions() == tested


def test_every_public_name_is_exported():
    """What `dir` shows and what `import *` gives are the same losses."""
    assert loss_functions() | set(criteria()) <= set(fl.__all__)
    assert list(fl.__all__) == sorted(fl.__all__)


def test_classes_and_functions():
    """Every loss has one class, which is named in the table; PyTorch's name where it has one."""
    named = {row.criterion: row.name for row in catalogue.ROWS} | {loss.criterion: loss.name for loss in losses.LOSSES}
    found = {name: function.__name__ for name, function in criteria().items()}
    assert {name: function for name, function in found.items() if function not in ELSEWHERE or name in named} == named
    assert set(found.values()) | {"l1_penalty", "l2_penalty"} == loss_functions()
    for name, torch_name in TORCH.items():
        assert catalogue.BY_NAME[name].criterion == torch_name


@pytest.mark.parametrize("row", catalogue.ROWS, ids=lambda row: row.name)
def test_derivatives(row):
    """The table tests all that the kernels can differentiate by, and all options that the function has."""
    if not row.exists():
        pytest.fail(f"fastloss has no {row.name}")
    counts = {pointwise.LOSSES[native][1] for native in row.native}
    assert counts == {max(len(row.wrt), 1) if row.derivatives else 0}
    common = {"input", "target", "weight", "reduction", "sample_weight", "normalizer", "n_threads"}
    options = set(inspect.signature(row.function()).parameters) - common - set(row.arguments(row.settings[0]))
    tested = set().union(*row.settings) | set(row.arrays or {})
    assert options == tested & options, f"never tested: {options - tested}"


def documented():
    """{function: class or None} by the tables of docs/losses.md whose first column is headed "function"."""
    names, inside, with_class = {}, False, False
    for line in DOCUMENTATION.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == "function":
            inside, with_class = True, cells[1] == "class"
        elif inside and not cells[0].startswith("--"):
            classes = re.findall(r"`(\w+)", cells[1]) if with_class else []
            for name in re.findall(r"`(\w+)", cells[0]):
                names[name] = classes[0] if len(classes) == 1 else None
    return names


def test_documentation():
    if not DOCUMENTATION.exists():
        pytest.skip("docs/losses.md has not been written yet")
    names = documented()
    assert loss_functions() - set(names) == set(), "not documented"
    assert {name for name in names if not hasattr(fl, name)} == set(), "documented, but not there"
    named = {row.name: row.criterion for row in catalogue.ROWS}
    assert {name: names[name] for name in named if names[name]} == {name: named[name] for name in named if names[name]}
