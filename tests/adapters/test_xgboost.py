"""XGBoost: custom objectives reproduce the built-in ones, by both interfaces."""

import copy
import pickle

import numpy as np
import pytest

import fastloss as fl

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed (the extra fastloss[adapters])")
adapter = fl.adapters.xgboost

PARAMS = {"max_depth": 3, "eta": 0.3, "nthread": 1, "verbosity": 0}
HALF_MSE = fl.combine([(fl.mse_loss, 0.5)])
CASES = {"binary": ("binary:logistic", fl.binary_cross_entropy_with_logits, {}, fl.sigmoid, "logloss"),
         "regression": ("reg:squarederror", HALF_MSE, {}, np.asarray, None),
         "multiclass": ("multi:softprob", fl.cross_entropy, {"num_class": 3}, fl.softmax, "mlogloss")}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_native_interface_reproduces_the_builtin(data, case, weighted):
    builtin, loss, extra, link, _ = CASES[case]
    target, weight = data.cases()[case], data.weight if weighted else None
    matrix = xgboost.DMatrix(data.X, target, weight=weight)
    expected = xgboost.train({**PARAMS, **extra, "objective": builtin}, matrix, 20).predict(matrix)
    objective = adapter.objective(loss)
    params = {**PARAMS, **extra, "base_score": objective.init_score(target, weight)}
    got = link(xgboost.train(params, matrix, 20, obj=objective).predict(matrix, output_margin=True))
    assert np.ptp(expected) > 0.5  # it has learned something
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_estimators_reproduce_the_builtin(data, case, weighted):
    builtin, loss, _, _, _ = CASES[case]
    target, weight = data.cases()[case], data.weight if weighted else None
    kind = xgboost.XGBRegressor if case == "regression" else xgboost.XGBClassifier
    objective = adapter.objective(loss)
    start = objective.init_score(target, weight)
    start = float(fl.sigmoid(start)) if case == "binary" else start
    settings = {"n_estimators": 20, "max_depth": 3, "n_jobs": 1}
    expected = kind(objective=builtin, **settings).fit(data.X, target, sample_weight=weight)
    got = kind(objective=objective, base_score=start, **settings).fit(data.X, target, sample_weight=weight)
    method = "predict" if case == "regression" else "predict_proba"
    np.testing.assert_allclose(getattr(got, method)(data.X), getattr(expected, method)(data.X), atol=1e-5)


@pytest.mark.parametrize("case", ["binary", "multiclass"])
def test_metric_is_the_builtin_one(data, case):
    _, loss, extra, _, name = CASES[case]
    matrix = xgboost.DMatrix(data.X, data.cases()[case], weight=data.weight)
    log = {}
    builtin = {"binary": "binary:logistic", "multiclass": "multi:softprob"}[case]
    xgboost.train({**PARAMS, **extra, "objective": builtin, "eval_metric": name}, matrix, 5,
                  obj=adapter.objective(loss), custom_metric=adapter.metric(loss, name="ours"),
                  evals=[(matrix, "train")], evals_result=log,
                  verbose_eval=False)
    np.testing.assert_allclose(log["train"]["ours"], log["train"][name], rtol=1e-5)


def test_metric_of_the_estimators(data):
    loss = fl.binary_cross_entropy_with_logits
    model = xgboost.XGBClassifier(objective=adapter.objective(loss), eval_metric=adapter.metric(loss, name="ours"),
                                  n_estimators=5, n_jobs=1)
    model.fit(data.X, data.binary, sample_weight=data.weight, eval_set=[(data.X, data.binary)], verbose=False,
              sample_weight_eval_set=[data.weight])
    raw = model.predict(data.X, output_margin=True)
    assert model.evals_result()["validation_0"]["ours"][-1] == pytest.approx(
        loss(raw, data.binary, sample_weight=data.weight), rel=1e-5)


def test_focal_loss_learns(data):
    objective = adapter.objective(fl.sigmoid_focal_loss, gamma=2)
    matrix = xgboost.DMatrix(data.X, data.binary)
    booster = xgboost.train({**PARAMS, "base_score": objective.init_score(data.binary), "min_child_weight": 0.01},
                            matrix, 30, obj=objective)
    assert np.mean((booster.predict(matrix) > 0) == data.binary) > 0.9


def test_hess_exact_is_half(data):
    matrix = xgboost.DMatrix(data.X, data.classes)
    scores = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    grad, hess = adapter.objective(fl.cross_entropy)(scores, matrix)
    exact_grad, exact = adapter.objective(fl.cross_entropy, hess="exact")(scores, matrix)
    np.testing.assert_array_equal(grad, exact_grad)
    np.testing.assert_array_equal(hess, 2 * exact)
    assert hess.dtype == np.float32


def test_objectives_can_be_copied_and_pickled(data):
    """As clone and the estimators' own pickles need it."""
    objective = adapter.objective(fl.sigmoid_focal_loss, gamma=3)
    scores = np.linspace(-2, 2, 300)
    expected = objective(data.binary, scores)
    for twin in (pickle.loads(pickle.dumps(objective)), copy.deepcopy(objective)):
        np.testing.assert_array_equal(twin(data.binary, scores), expected)
    assert "gamma=3" in repr(objective)
