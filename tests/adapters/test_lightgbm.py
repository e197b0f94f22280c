"""LightGBM: custom objectives reproduce the built-in ones, by both interfaces."""

import numpy as np
import pytest

import fastloss as fl

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed (the extra fastloss[adapters])")
adapter = fl.adapters.lightgbm

PARAMS = {"num_leaves": 7, "num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
HALF_MSE = fl.combine([(fl.mse_loss, 0.5)])
CASES = {"binary": ("binary", fl.binary_cross_entropy_with_logits, {}, fl.sigmoid, "binary_logloss"),
         "regression": ("regression", HALF_MSE, {}, np.asarray, None),
         "multiclass": ("multiclass", fl.cross_entropy, {"num_class": 3}, fl.softmax, "multi_logloss")}


def dataset(data, case, weighted, init_score=None):
    return lightgbm.Dataset(data.X, data.cases()[case], weight=data.weight if weighted else None, init_score=init_score,
                            params={"verbose": -1})


@pytest.mark.parametrize("average", [False, True], ids=["from 0", "from average"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_native_interface_reproduces_the_builtin(data, case, weighted, average):
    builtin, loss, extra, link, _ = CASES[case]
    params = {**PARAMS, **extra}
    expected = lightgbm.train({**params, "objective": builtin, "boost_from_average": average},
                              dataset(data, case, weighted), 20).predict(data.X)
    objective = adapter.objective(loss)
    start = np.zeros(3 if case == "multiclass" else 1)
    if average:
        start += objective.init_score(data.cases()[case], data.weight if weighted else None)
    scores = np.tile(start, (300, 1))
    train = dataset(data, case, weighted, scores if case == "multiclass" else scores[:, 0])
    booster = lightgbm.train({**params, "objective": objective}, train, 20)
    got = link(booster.predict(data.X) + (start if case == "multiclass" else start[0]))
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("average", [False, True], ids=["from 0", "from average"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_estimators_reproduce_the_builtin(data, case, weighted, average):
    builtin, loss, _, link, _ = CASES[case]
    kind = lightgbm.LGBMRegressor if case == "regression" else lightgbm.LGBMClassifier
    target, weight = data.cases()[case], data.weight if weighted else None
    settings = {"n_estimators": 20, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
    expected = kind(objective=builtin, boost_from_average=average, **settings).fit(data.X, target, sample_weight=weight)
    objective = adapter.objective(loss)
    start = np.multiply(average, objective.init_score(target, weight))
    got = kind(objective=objective, **settings).fit(data.X, target, sample_weight=weight,
                                                    init_score=np.full((300, *start.shape), start))
    raw = link(got.predict(data.X, raw_score=True) + start)
    method = expected.predict if case == "regression" else expected.predict_proba
    np.testing.assert_allclose(raw, method(data.X)[:, 1] if case == "binary" else method(data.X), atol=1e-5)


@pytest.mark.parametrize("case", ["binary", "multiclass"])
def test_metric_is_the_builtin_one(data, case):
    """The built-in metric of the built-in objective, from the same trees."""
    builtin, loss, extra, _, name = CASES[case]
    logs = []
    for objective in (builtin, adapter.objective(loss)):
        log = {}
        train = dataset(data, case, True)
        params = {**PARAMS, **extra, "objective": objective, "boost_from_average": False, "metric": name}
        lightgbm.train(params, train, 5, valid_sets=[train],
                       feval=None if objective == builtin else adapter.metric(loss, name="ours"),
                       callbacks=[lightgbm.record_evaluation(log)])
        logs.append(log["training"])
    np.testing.assert_allclose(logs[1]["ours"], logs[0][name], rtol=1e-5)


def test_metric_of_the_estimators(data):
    loss = fl.binary_cross_entropy_with_logits
    model = lightgbm.LGBMClassifier(objective=adapter.objective(loss), n_estimators=5, n_jobs=1, verbose=-1)
    model.fit(data.X, data.binary, sample_weight=data.weight, eval_X=(data.X,), eval_y=(data.binary,),
              eval_sample_weight=[data.weight], eval_metric=adapter.metric(loss, name="ours"))
    raw = model.predict(data.X, raw_score=True)
    (log,) = model.evals_result_.values()
    assert log["ours"][-1] == pytest.approx(loss(raw, data.binary, sample_weight=data.weight), rel=1e-6)


def test_focal_loss_learns(data):
    objective = adapter.objective(fl.sigmoid_focal_loss, gamma=2)
    booster = lightgbm.train({**PARAMS, "objective": objective}, dataset(data, "binary", False), 50)
    assert np.mean((booster.predict(data.X) > 0) == data.binary) > 0.9


def test_hess_exact_is_without_the_factor(data):
    scores = np.random.default_rng(0).normal(size=(300, 3))
    _, hess = adapter.objective(fl.cross_entropy)(data.classes, scores)
    _, exact = adapter.objective(fl.cross_entropy, hess="exact")(data.classes, scores)
    np.testing.assert_array_equal(hess, 1.5 * exact)
