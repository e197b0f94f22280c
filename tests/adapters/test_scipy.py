"""scipy.optimize: linear models that reach scikit-learn's coefficients."""

import numpy as np
import pytest

import fastloss as fl

scipy = pytest.importorskip("scipy", reason="SciPy is not installed (the extra fastloss[adapters])")
optimize = pytest.importorskip("scipy.optimize")
sparse = pytest.importorskip("scipy.sparse")
linear_objective = fl.adapters.scipy.linear_objective


def fitted(objective, method="trust-ncg"):
    """Parameters at the minimum."""
    more = {"hessp": objective.hessp} if method != "L-BFGS-B" else {}
    options = {"gtol": 1e-10} if method != "L-BFGS-B" else {"gtol": 1e-10, "ftol": 1e-16, "maxiter": 5000}
    result = optimize.minimize(objective.value_and_grad, objective.x0, jac=True, method=method, options=options, **more)
    return objective.unpack(result.x)


def assert_same(model, parts, **tolerance):
    for got, expected in zip(parts, (model.coef_, model.intercept_), strict=True):
        np.testing.assert_allclose(got, np.squeeze(expected), **{"rtol": 1e-5, "atol": 1e-7, **tolerance})


def sklearn_models():
    return pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("method", ["trust-ncg", "L-BFGS-B"])
def test_logistic_regression(data, weighted, intercept, method):
    weight = data.weight if weighted else None
    for loss, y in ((fl.binary_cross_entropy_with_logits, data.binary), (fl.cross_entropy, data.classes)):
        model = sklearn_models().LogisticRegression(C=0.5, tol=1e-10, max_iter=1000, fit_intercept=intercept,
                                                    solver="newton-cg").fit(data.X.astype(float), y, weight)
        parts = fitted(linear_objective(loss, data.X, y, sample_weight=weight, l2=2.0, fit_intercept=intercept), method)
        if loss is fl.cross_entropy and intercept:  # a constant may be added to all intercepts
            parts = parts[0], parts[1] - parts[1].mean()
            model.intercept_ -= model.intercept_.mean()
        assert_same(model, parts, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_poisson_regression(data, weighted):
    weight, counts = data.weight if weighted else None, data.classes * 2.0
    model = sklearn_models().PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    model.fit(data.X.astype(float), counts, weight)
    objective = linear_objective(fl.poisson_nll_loss, data.X, counts, sample_weight=weight, l2=0.1, reduction="mean")
    assert_same(model, fitted(objective))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_huber_regression_with_its_scale(data, weighted):
    weight, y = data.weight if weighted else None, data.real.copy()
    y[::20] += 30
    model = sklearn_models().HuberRegressor(epsilon=1.5, alpha=0.1, tol=1e-10, max_iter=10000)
    model.fit(data.X.astype(float), y, weight)
    objective = linear_objective(fl.huber_loss, data.X, y, sample_weight=weight, l2=0.1, scale=True, delta=1.5)
    bounds = [(None, None)] * (len(objective.x0) - 1) + [(1e-6, None)]
    result = optimize.minimize(objective.value_and_grad, objective.x0, jac=True, bounds=bounds, method="L-BFGS-B",
                               options={"gtol": 1e-9, "ftol": 1e-16, "maxiter": 5000})
    assert_same(model, objective.unpack(result.x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.x[-1], model.scale_, rtol=1e-5)
    newton = optimize.minimize(objective.value_and_grad, result.x + 0.01, jac=True, hessp=objective.hessp,
                               method="trust-ncg", options={"gtol": 1e-9})
    np.testing.assert_allclose(newton.x, result.x, rtol=1e-4, atol=1e-5)


def test_ridge(data):
    model = sklearn_models().Ridge(alpha=3.0, solver="cholesky").fit(data.X.astype(float), data.real)
    assert_same(model, fitted(linear_objective(fl.mse_loss, data.X, data.real, l2=6.0)))


CASES = [
    (fl.binary_cross_entropy_with_logits, "binary", {}), (fl.sigmoid_focal_loss, "binary", {"gamma": 1.0}),
    (fl.cross_entropy, "classes", {}),
    (fl.cross_entropy, "classes", {"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.2}),
    (fl.mse_loss, "two", {}), (fl.pseudo_huber_loss, "real", {"delta": 0.5}), (fl.HuberLoss(delta=2.0), "real", {}),
    (fl.pseudo_huber_loss, "real", {"scale": True}),
    (fl.combine([(fl.mse_loss, 0.5), (fl.log_cosh_loss, 1)]), "real", {}),
]


@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "none"])
@pytest.mark.parametrize("matrix", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("loss", "kind", "options"), CASES)
def test_derivatives(data, loss, kind, options, matrix, intercept):
    """Gradient and product with the Hessian, by central differences."""
    y = np.stack([data.real, data.binary], 1) if kind == "two" else getattr(data, kind)
    objective = linear_objective(loss, matrix(data.X.astype(float)), y, sample_weight=data.weight, l2=0.7,
                                 fit_intercept=intercept, **options)
    rng = np.random.default_rng(1)
    at, along = objective.x0 + 0.3 * rng.normal(size=objective.x0.shape), rng.normal(size=objective.x0.shape)
    h = 1e-5
    value, grad = objective.value_and_grad(at)
    assert value == objective(at) == objective.value(at)
    slope = (objective(at + h * along) - objective(at - h * along)) / (2 * h)
    np.testing.assert_allclose(grad @ along, slope, rtol=1e-6)
    np.testing.assert_array_equal(objective.grad(at), grad)
    expected = (objective.grad(at + h * along) - objective.grad(at - h * along)) / (2 * h)
    np.testing.assert_allclose(objective.hessp(at, along), expected, rtol=1e-5, atol=1e-4)


def test_hessian_is_computed_once_for_each_place(data, monkeypatch):
    objective = linear_objective(fl.mse_loss, data.X, data.real)
    calls = []
    original = fl.mse_loss.grad_and_hess
    monkeypatch.setattr(fl.mse_loss, "grad_and_hess", lambda *a, **k: calls.append(1) or original(*a, **k))
    at = objective.x0.copy()
    for _ in range(3):
        objective.hessp(at, np.ones_like(at))
    assert len(calls) == 1
    at += 1  # in place, as optimisers do
    objective.hessp(at, np.ones_like(at))
    assert len(calls) == 2


def test_errors(data):
    with pytest.raises(ValueError, match="X has shape"):
        linear_objective(fl.mse_loss, data.real, data.real)
    with pytest.raises(ValueError, match="X has 300 rows"):
        linear_objective(fl.mse_loss, data.X, data.real[:9])
    with pytest.raises(ValueError, match="sample_weight has shape"):
        linear_objective(fl.mse_loss, data.X, data.real, sample_weight=[1.0])
    with pytest.raises(ValueError, match="l2 must be finite and not negative"):
        linear_objective(fl.mse_loss, data.X, data.real, l2=-1)
    with pytest.raises(ValueError, match="reduction must be 'sum' or 'mean'"):
        linear_objective(fl.mse_loss, data.X, data.real, reduction="none")
    with pytest.raises(ValueError, match="one score for each row"):
        linear_objective(fl.cross_entropy, data.X, data.classes, scale=True)
    with pytest.raises(TypeError, match="has no option 'gamma'"):
        linear_objective(fl.mse_loss, data.X, data.real, gamma=1)
    objective = linear_objective(fl.softmax_focal_loss, data.X, data.classes)
    with pytest.raises(TypeError, match="L-BFGS-B"):
        objective.hessp(objective.x0, objective.x0)


@pytest.mark.parametrize("loss", [fl.mse_loss, fl.cross_entropy])
def test_parameters_of_another_length(data, loss):
    y = data.classes if loss is fl.cross_entropy else data.real
    objective = linear_objective(loss, data.X, y)
    wrong = np.ones(len(objective.x0) + 1)
    for call in (objective.unpack, objective.value, objective.grad, objective.value_and_grad, objective.scores,
                 lambda at: objective.hessp(at, objective.x0)):
        for parameters in (wrong, wrong[:-2], wrong[1:, None]):
            with pytest.raises(ValueError, match=r"parameters has shape \(.*\); it needs"):
                call(parameters)
    with pytest.raises(ValueError, match="vector has shape"):
        objective.hessp(objective.x0, wrong)


def test_probabilities_as_targets(data):
    """One score for each column, also of classes that are never certain."""
    hot = np.eye(3)[data.classes]
    soft = 0.9 * hot + 0.1 / 3
    objective = linear_objective(fl.cross_entropy, data.X, soft, sample_weight=data.weight, l2=0.5)
    assert objective.n_outputs == 3
    labels = linear_objective(fl.cross_entropy, data.X, data.classes, sample_weight=data.weight, l2=0.5,
                              label_smoothing=0.1)
    rng = np.random.default_rng(0)
    at, along = rng.normal(size=(2, len(objective.x0)))
    np.testing.assert_allclose(objective.value(at), labels.value(at), rtol=1e-6)
    np.testing.assert_allclose(objective.grad(at), labels.grad(at), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(objective.hessp(at, along), labels.hessp(at, along), rtol=1e-6, atol=1e-6)


def test_mean_with_weights_of_zero(data):
    with pytest.raises(ValueError, match=r"the sum of sample_weight is 0\.0"):
        linear_objective(fl.mse_loss, data.X, data.real, sample_weight=np.zeros(300), reduction="mean")
