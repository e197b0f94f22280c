"""CatBoost: custom objectives reproduce the built-in ones."""

import numpy as np
import pytest

import fastloss as fl

catboost = pytest.importorskip("catboost", reason="CatBoost is not installed (the extra fastloss[adapters])")
adapter = fl.adapters.catboost

# Only learning_rate matters for equal predictions, and what EQUAL adds: what the documentation says, and no more.
PARAMS = {"iterations": 10, "depth": 3, "learning_rate": 0.3, "verbose": False, "allow_writing_files": False,
          "thread_count": 1}
EQUAL = {"multiclass": {"bootstrap_type": "MVS"}}
HALF_MSE = fl.combine([(fl.mse_loss, 0.5)])
CASES = {"binary": ("Logloss", fl.binary_cross_entropy_with_logits),
         "regression": ("RMSE", HALF_MSE),
         "multiclass": ("MultiClass", fl.cross_entropy)}


def fit(kind, data, case, weighted, **params):
    weight = data.weight if weighted else None
    return kind(**PARAMS, **params).fit(data.X, data.cases()[case], sample_weight=weight)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_estimators_reproduce_the_builtin(data, case, weighted):
    builtin, loss = CASES[case]
    kind = catboost.CatBoostRegressor if case == "regression" else catboost.CatBoostClassifier
    average = {"boost_from_average": False} if case == "regression" else {}
    equal = EQUAL.get(case, {})
    expected = fit(kind, data, case, weighted, loss_function=builtin, **average, **equal)
    more = {"classes_count": 3} if case == "multiclass" else {}
    got = fit(kind, data, case, weighted, loss_function=adapter.objective(loss), eval_metric=adapter.metric(loss),
              **more, **equal)
    method = "predict" if case == "regression" else "predict_proba"
    result = getattr(expected, method)(data.X)
    assert np.ptp(result) > 0.5
    np.testing.assert_allclose(getattr(got, method)(data.X), result, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_native_interface_from_the_average(data, weighted):
    weight = data.weight if weighted else None
    pool = catboost.Pool(data.X, data.real, weight=weight)
    expected = catboost.train(pool, {**PARAMS, "loss_function": "RMSE", "boost_from_average": True}).predict(data.X)
    objective = adapter.objective(HALF_MSE)
    start = objective.init_score(data.real, weight)
    pool = catboost.Pool(data.X, data.real, weight=weight, baseline=np.full(300, start))
    got = catboost.train(pool, {**PARAMS, "loss_function": objective, "eval_metric": adapter.metric(HALF_MSE)})
    np.testing.assert_allclose(got.predict(data.X) + start, expected, atol=1e-5)


@pytest.mark.parametrize("case", ["binary", "multiclass"])
def test_metric_is_the_builtin_one(data, case):
    builtin, loss = CASES[case]
    pool = catboost.Pool(data.X, data.cases()[case], weight=data.weight)
    logs = [list(catboost.train(pool, {**PARAMS, "loss_function": builtin, "eval_metric": metric}, eval_set=pool)
                 .get_evals_result()["validation"].values())[-1] for metric in (builtin, adapter.metric(loss))]
    np.testing.assert_allclose(*logs, rtol=1e-6)


def test_full_hessian():
    """By differences of the gradient; "exact" keeps the diagonal."""
    scores = np.array([0.5, -1.0, 2.0])
    objective = adapter.objective(fl.cross_entropy)
    first, second = objective.calc_ders_multi(scores, 1.0, 3.0)
    np.testing.assert_allclose(first, -3 * fl.cross_entropy.grad(scores[None], [1], reduction="sum")[0])
    h = 1e-6
    for k in range(3):
        up, _ = objective.calc_ders_multi(scores + h * np.eye(3)[k], 1.0, 3.0)
        down, _ = objective.calc_ders_multi(scores - h * np.eye(3)[k], 1.0, 3.0)
        np.testing.assert_allclose(second[k], (up - down) / (2 * h), atol=1e-8)
    _, diagonal = adapter.objective(fl.cross_entropy, hess="exact").calc_ders_multi(scores, 1.0, 3.0)
    np.testing.assert_array_equal(diagonal, np.diag(np.diag(second)))


def test_focal_loss_learns(data):
    model = fit(catboost.CatBoostClassifier, data, "binary", False,
                loss_function=adapter.objective(fl.sigmoid_focal_loss, gamma=2),
                eval_metric=adapter.metric(fl.sigmoid_focal_loss, gamma=2))
    raw = model.predict(data.X, prediction_type="RawFormulaVal")
    assert np.mean((raw > 0) == data.binary) > 0.8


def test_scikit_learn_clones_the_estimators(data):
    """`clone` asks for the very objects that the constructor got."""
    base = pytest.importorskip("sklearn.base")
    model_selection = pytest.importorskip("sklearn.model_selection")
    model = catboost.CatBoostRegressor(**PARAMS, loss_function=adapter.objective(HALF_MSE),
                                       eval_metric=adapter.metric(HALF_MSE))
    assert base.clone(model).get_params()["loss_function"] is model.get_params()["loss_function"]
    assert model_selection.cross_val_score(model, data.X, data.real, cv=2, error_score="raise").min() > 0.2


def test_predict_of_a_classifier(data):
    """It needs the names of the classes; the error of rows of classes says what these need."""
    loss = fl.sigmoid_focal_loss
    model = fit(catboost.CatBoostClassifier, data, "binary", False, loss_function=adapter.objective(loss),
                eval_metric=adapter.metric(loss), class_names=[0, 1])
    assert np.mean(model.predict(data.X) == data.binary) > 0.8
    with pytest.raises(ValueError, match="classes_count"):
        adapter.objective(fl.cross_entropy).calc_ders_range(np.zeros(3), np.zeros(3), None)
