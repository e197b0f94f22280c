"""At most 4 ULP from the exact number: value, gradient and Hessian of every elementwise loss.

On every instruction set of this machine: a process restricted to it computes, this one compares.  More points, and the
table of the worst errors in the documentation, are tools/accuracy.py's.
"""

import catalogue
import catalogue_checks as checks
import numpy as np
import pytest

import fastloss as fl

COUNT = 40  # points of every family of arguments; some 300 in all for a set of options


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What an instruction set computes, by its name."""
    from conftest import run_ok

    found = {}

    def of(isa):
        if isa not in found:
            path = tmp_path_factory.mktemp("accuracy") / isa
            run_ok(f"import catalogue_checks; catalogue_checks.store({str(path)!r}, {COUNT})",
                   env={"FASTLOSS_ISA": isa})
            found[isa] = checks.load(path)
        return found[isa]

    return of


@checks.rows
@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_accuracy(row, dtype, isa, results):
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    beyond = []
    for number, setting in checks.settings(row):
        given = results(isa)[row.name, number, np.dtype(dtype).name]
        for what, worst in checks.measure(row, number, dtype, COUNT, given).items():
            if not worst.ulp <= row.ulp:
                beyond.append(f"{' '.join(what).strip()} {setting}: {worst.ulp:.2f} ULP at {worst.where}")
    assert not beyond, "\n".join(beyond)


@checks.rows
def test_same_bits_with_avx2_and_avx512(row, isas, results):
    """Values, gradients, Hessians, and means of 20,011 elements."""
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("this machine has not got both")
    if not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    for number, setting in checks.settings(row):
        for dtype in checks.DTYPES:
            key = row.name, number, np.dtype(dtype).name
            one, other = results("avx2")[key], results("avx512")[key]
            assert isinstance(one, dict), one
            different = [what for what in one if one[what].tobytes() != other[what].tobytes()]
            assert not different, f"{setting} {key[-1]}: {different} differ"


@checks.rows
def test_points_cover_what_they_should(row):
    """Guards the samplers: hundreds of points, all finite; both dtypes; every argument takes many values."""
    for _, setting in checks.settings(row):
        for dtype in checks.DTYPES:
            arrays = row.measured(setting, dtype, COUNT)
            assert set(arrays) == set(row.arguments(setting))
            assert all(a.dtype == dtype and a.size > 100 for a in arrays.values())
            assert len(np.unique(arrays["input"])) > 50
            assert len(np.unique(arrays["target"])) >= min(len(row.arguments(setting)["target"].choices), 20)


TAILS = [
    # what the formula that everyone writes first gets wrong
    ("log_cosh_loss", {"input": 1e-4, "target": 0.0}, 5e-9),
    ("binary_cross_entropy_with_logits", {"input": 17.0, "target": 1.0}, 4.1399376e-08),
    ("binary_cross_entropy_with_logits", {"input": -40.0, "target": 0.0}, 4.248354e-18),
    ("binary_cross_entropy", {"input": 1e-9, "target": 0.0}, 1e-9),
    ("pseudo_huber_loss", {"input": 1e-4, "target": 0.0}, 5e-9),
    ("logistic_loss", {"input": -100.0, "target": 1.0}, 100.0),
    ("sigmoid_focal_loss", {"input": 20.0, "target": 1.0}, 0.25 * 8.756510762696521e-27),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), TAILS, ids=[tail[0] for tail in TAILS])
def test_known_tails(name, arguments, expected):
    """In float32, by numbers anybody can check, independent of the oracle."""
    if not hasattr(fl, name):
        pytest.skip("not in this build: test_catalogue_lists.py says so")
    arrays = {key: np.array([number], np.float32) for key, number in arguments.items()}
    np.testing.assert_allclose(getattr(fl, name)(**arrays, reduction="none"), [expected], rtol=3e-7)


@pytest.mark.parametrize("dtype", checks.DTYPES)
@pytest.mark.parametrize("z", [15, 17, 40, 80])
@pytest.mark.parametrize("y", [0, 1])
def test_confident_logits(z, y, dtype):
    """Neither loss nor gradient vanishes, on either side."""
    row = catalogue.BY_NAME["binary_cross_entropy_with_logits"]
    arrays = {"input": np.array([z, -z], dtype), "target": np.array([y, y], dtype)}
    terms = catalogue.evaluate(row, arrays, {}, dtype)
    value, grad = row.function().value_and_grad(**arrays, reduction="none")
    checks.assert_close(value, terms.value, dtype, terms.value_scale, row.ulp, "value")
    checks.assert_close(grad, terms.slope["input"], dtype, terms.slope_scale["input"], row.ulp, "gradient")
    assert (value > 0).all() and (grad != 0).all()
