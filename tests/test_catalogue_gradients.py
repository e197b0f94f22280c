"""Derivatives against difference quotients of the exact value; kinks, ends of domains, and infinities.

The quotients are taken in 70 digits with a step of 1e-20, of the value alone: they know nothing of the derivatives that
catalogue_formulas.py writes by hand, so they check the oracle as well as the library.
"""

import catalogue
import catalogue_checks as checks
import numpy as np
import pytest
from catalogue_checks import differentiable, rows
from reference import MP, exact, ulp_error

import fastloss as fl

STEP = MP.mpf(10) ** -20


@pytest.fixture(autouse=True)
def _in_this_build(request):
    row = request.node.callspec.params["row"] if hasattr(request.node, "callspec") else None
    if isinstance(row, catalogue.Row) and not row.exists():
        pytest.skip("not in this build: test_catalogue_lists.py says so")


def quotients(row, values, options, wrt):
    """First and second central difference quotient of the value of one element."""
    at = []
    for step in (-STEP, 0, STEP):
        at.append(catalogue.element(row, {**values, wrt: values[wrt] + step}, options).value)
    return (at[2] - at[0]) / (2 * STEP), (at[2] - 2 * at[1] + at[0]) / STEP**2


@differentiable
def test_derivatives_are_those_of_the_value(row):
    """The oracle's by 25 digits, the library's by the promised bound."""
    for setting in row.settings:
        arrays = row.irregular(setting, (24,))
        options = catalogue.exact_options(row, setting, np.float64)
        for wrt in row.wrt:
            grad, hess = row.function().grad_and_hess(**arrays, **setting, reduction="none", wrt=wrt)
            for i in range(grad.size):
                values = {name: exact(a[i]) for name, a in arrays.items()}
                if wrt == "var" and values["var"] <= options.get("eps", 1e-6):
                    continue  # straight through the clamp: not the derivative of the value, and tested below
                by = catalogue.element(row, values, options).by[wrt]
                first, second = quotients(row, values, options, wrt)
                where = f"{row.name} {setting} {wrt} at {[a[i] for a in arrays.values()]}"
                size = max(1, abs(first), abs(second))
                assert abs(by.slope - first) < 1e-25 * size, f"{where}: the oracle's slope"
                assert abs(by.curvature - second) < 1e-18 * size, f"{where}: the oracle's curvature"
                for got, quotient, scale in ((grad[i], first, by.slope_scale), (hess[i], second, by.curvature_scale)):
                    snapped = quotient if abs(quotient) > 1e-15 else MP.mpf(0)
                    error = ulp_error(got, snapped, np.float64, scale)
                    assert error <= row.ulp, f"{where}: {error:.2f} ULP, got {got}, exact {float(quotient)}"


def at_point(row, x, y, setting, dtype):
    """Value and gradient at one point, among others so that a vector is full."""
    arrays = row.everyday(setting, (37,), dtype)
    arrays["input"][[0, 17, 36]] = x
    arrays["target"][[0, 17, 36]] = y
    value, grad = row.function().value_and_grad(**arrays, **setting, reduction="none")
    for result in (value, grad):
        assert result[0].tobytes() == result[17].tobytes() == result[36].tobytes()
    again, hess = row.function().grad_and_hess(**arrays, **setting, reduction="none")
    assert again[0].tobytes() == grad[0].tobytes()
    return value[0], grad[0], hess[0]


KINKS = [(row, *kink) for row in catalogue.ROWS for kink in row.kinks]


@pytest.mark.parametrize("dtype", [np.float16, *checks.DTYPES])
@pytest.mark.parametrize(("row", "x", "y", "setting", "slope"), KINKS,
                         ids=[f"{k[0].name}-{i}" for i, k in enumerate(KINKS)])
def test_kink(row, x, y, setting, slope, dtype):
    """The documented subgradient, exactly at the kink, and no step beside it."""
    value, grad, hess = at_point(row, x, y, {**row.settings[0], **setting}, dtype)
    assert grad == slope
    assert np.isfinite(value) and np.isfinite(hess)


LIMITS = [(row, *limit) for row in catalogue.ROWS for limit in row.limits]


@pytest.mark.parametrize("dtype", [np.float16, *checks.DTYPES])
@pytest.mark.parametrize(("row", "x", "y", "setting", "value", "slope"), LIMITS,
                         ids=[f"{k[0].name}-{i}" for i, k in enumerate(LIMITS)])
def test_limits(row, x, y, setting, value, slope, dtype):
    """Infinite arguments, and the ends of the domain."""
    got, grad, hess = at_point(row, x, y, {**row.settings[0], **setting}, dtype)
    with np.errstate(over="ignore"):
        expected = np.array([value, slope]).astype(dtype)
    np.testing.assert_allclose([got, grad], expected, rtol=4 * np.finfo(dtype).eps)
    assert not np.isnan(hess)


@differentiable
@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_ends_of_the_domain(row, dtype):
    """Finite arguments give no NaN and no wrong infinity, whatever combination of extreme numbers they are."""
    info = np.finfo(dtype)
    extremes = np.array([0, -0.0, info.tiny, info.smallest_subnormal, info.eps, 0.5, 1 - info.epsneg, 1, 2, 90, 800,
                         info.max, 1 / info.max])
    extremes = np.concatenate([extremes, -extremes]).astype(dtype)
    for setting in row.settings:
        domains = row.arguments(setting)
        allowed = {name: domain_filter(extremes, domain) for name, domain in domains.items()}
        grid = np.meshgrid(*allowed.values())
        arrays = {name: np.ascontiguousarray(a.ravel()) for name, a in zip(allowed, grid)}
        results = checks.call(row, arrays, setting, reduction="none")
        for result in results:
            wrong = np.isnan(result)
            assert not wrong.any(), (f"{setting}: NaN at {[(n, a[wrong][0]) for n, a in arrays.items()]}, "
                                     f"{np.count_nonzero(wrong)} of {wrong.size}")


def domain_filter(numbers, domain):
    """Those of the numbers that the domain allows, by its own everyday and refused values."""
    low, high = domain.choices.min(), domain.choices.max()
    if len(domain.choices) == 2:
        return numbers[(numbers == low) | (numbers == high)]
    if domain.choices is catalogue.INNER.choices or domain.choices is catalogue.UNIT.choices:
        return numbers[(numbers >= 0) & (numbers <= 1)]
    if -1.0 in domain.bad:
        if domain is catalogue.ABOVE_MINUS_ONE:
            return numbers[numbers > -1]
        return numbers[numbers > 0] if 0.0 in domain.bad else numbers[numbers >= 0]
    if low > 0:
        return numbers[numbers > 0]
    if low == 0:
        return numbers[numbers >= 0]
    return numbers[numbers <= 0] if high < 0 else numbers


# --- single promises of SEMANTICS.md ---------------------------------------------------------------------------------


def test_variance_below_the_clamp():
    """PyTorch's straight-through gradient: that at eps, not 0."""
    if not hasattr(fl, "gaussian_nll_loss"):
        pytest.skip("not in this build")
    x, y = np.array([1.0, 2.0]), np.array([0.25, 4.0])
    for var in (0.0, 1e-9, 0.1):
        got = fl.gaussian_nll_loss.grad_and_hess(x, y, var=np.full(2, var), eps=0.25, wrt="var", reduction="none")
        expected = fl.gaussian_nll_loss.grad_and_hess(x, y, var=np.full(2, 0.25), eps=0.25, wrt="var", reduction="none")
        for one, other in zip(got, expected):
            np.testing.assert_array_equal(one, other)
            assert (one != 0).all()


def test_kl_div_where_the_target_is_0():
    if not hasattr(fl, "kl_div"):
        pytest.skip("not in this build")
    x = np.array([-1.0, -np.inf, -np.inf, -2.0])
    y = np.array([0.0, 0.0, 0.5, 1.0])
    value, grad = fl.kl_div.value_and_grad(x, y, reduction="none")
    np.testing.assert_array_equal(value, [0, 0, np.inf, 2])
    np.testing.assert_array_equal(grad, [0, 0, -0.5, -1])
    value, grad = fl.kl_div.value_and_grad(x[:2], np.full(2, -np.inf), log_target=True, reduction="none")
    np.testing.assert_array_equal([value, grad], np.zeros((2, 2)))


def test_stirling_only_above_1():
    if not hasattr(fl, "poisson_nll_loss"):
        pytest.skip("not in this build")
    y = np.array([0.0, 0.5, 1.0, np.nextafter(1, 2), 3.0])
    extra = fl.poisson_nll_loss(np.zeros(5), y, full=True, reduction="none") - fl.poisson_nll_loss(
        np.zeros(5), y, reduction="none")
    stirling = y[3:] * np.log(y[3:]) - y[3:] + 0.5 * np.log(2 * np.pi * y[3:])
    np.testing.assert_allclose(extra, [0, 0, 0, *stirling], rtol=1e-14)


@rows
def test_gradient_descent_lowers_the_loss(row):
    """The sign of the gradient, the way a user would notice it."""
    if not row.derivatives:
        pytest.skip("has no derivatives")
    for setting in row.settings:
        arrays = row.irregular(setting, (200,))
        value, grad = row.function().value_and_grad(**arrays, **setting)
        step = 1e-4 / max(np.abs(grad).max(), 1e-300)
        ahead, behind = ({**arrays, "input": arrays["input"] + sign * step * grad} for sign in (-1, 1))
        assert row.function()(**ahead, **setting) < value < row.function()(**behind, **setting)
