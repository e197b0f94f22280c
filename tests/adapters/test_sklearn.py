"""scikit-learn: estimators and scorers."""

import pickle

import numpy as np
import pytest

import fastloss as fl

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed (the extra fastloss[adapters])")
from sklearn import linear_model, metrics, model_selection  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

adapter = fl.adapters.sklearn
LinearClassifier, LinearRegressor, scorer = adapter.LinearClassifier, adapter.LinearRegressor, adapter.scorer


@parametrize_with_checks([LinearClassifier(), LinearRegressor(), LinearClassifier(fl.cross_entropy),
                          LinearRegressor(fl.HuberLoss(delta=1.5)), LinearClassifier(fl.LogisticLoss())])
def test_sklearns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_defaults_are_sklearns_models(data, weighted):
    weight = data.weight if weighted else None
    X = data.X.astype(float)
    for y in (data.binary, data.classes):
        theirs = linear_model.LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y, weight)
        ours = LinearClassifier(alpha=2.0).fit(X, y, weight)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    theirs = linear_model.Ridge(alpha=1.5).fit(X, data.real, weight)
    ours = LinearRegressor(alpha=3.0).fit(X, data.real, weight)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)
    theirs = linear_model.PoissonRegressor(alpha=0.1, tol=1e-10).fit(X, data.classes, weight)
    total = len(X) if weight is None else weight.sum()
    ours = LinearRegressor(fl.poisson_nll_loss, alpha=0.1 * total).fit(X, data.classes, weight)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)


CLASSIFICATION = [fl.cross_entropy, fl.CrossEntropyLoss(label_smoothing=0.1), fl.softmax_focal_loss,
                  fl.multi_margin_loss, fl.binary_cross_entropy_with_logits, fl.SigmoidFocalLoss(gamma=1.0),
                  fl.hinge_loss, fl.HingeLoss(labels="01"), fl.squared_hinge_loss, fl.exponential_loss,
                  fl.logistic_loss, fl.modified_huber_loss, fl.mse_loss,
                  fl.combine([(fl.logistic_loss, 1.0), (fl.l2_penalty, 0.01)])]


@pytest.mark.parametrize("kind", ["binary", "classes"])
@pytest.mark.parametrize("loss", CLASSIFICATION, ids=repr)
def test_classifier_with_every_kind_of_loss(data, loss, kind):
    y = np.array(["a", "b", "c"])[getattr(data, kind).astype(int)]
    model = LinearClassifier(loss, alpha=0.1).fit(data.X, y)
    classes = len(set(y))
    assert model.score(data.X, y) > (0.85 if classes == 2 else 0.65)
    assert model.decision_function(data.X).shape == ((300,) if classes == 2 else (300, 3))
    calibrated = fl.adapters._library.name_of(loss) in ("cross_entropy", "binary_cross_entropy_with_logits",
                                                        "logistic_loss")
    assert hasattr(model, "predict_proba") == calibrated
    if calibrated:
        p = model.predict_proba(data.X)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(data.X))


@pytest.mark.parametrize("loss", [fl.mse_loss, fl.L1Loss(), fl.huber_loss, fl.PinballLoss(quantile=0.5),
                                  fl.log_cosh_loss, fl.pseudo_huber_loss, fl.epsilon_insensitive_loss], ids=repr)
def test_regressor_with_every_kind_of_loss(data, loss):
    assert LinearRegressor(loss, alpha=0.1).fit(data.X, data.real).score(data.X, data.real) > 0.8


def test_quantiles(data):
    for q in (0.1, 0.9):
        model = LinearRegressor(fl.PinballLoss(quantile=q), alpha=0).fit(data.X, data.real)
        assert abs(np.mean(data.real <= model.predict(data.X)) - q) < 0.03


def test_estimators_work_in_sklearns_tools(data):
    model = LinearClassifier(fl.SigmoidFocalLoss(gamma=1.0))
    assert clone(model).loss == model.loss
    search = model_selection.GridSearchCV(model, {"alpha": [0.01, 100.0], "loss": [fl.logistic_loss, fl.hinge_loss]},
                                          scoring=scorer(fl.hinge_loss), cv=3).fit(data.X, data.binary)
    assert search.best_params_ == {"alpha": 0.01, "loss": fl.hinge_loss}
    twin = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(twin.predict(data.X), search.predict(data.X))


def test_convergence_warning(data):
    with pytest.warns(ConvergenceWarning, match="max_iter = 1 reached"):
        LinearClassifier(max_iter=1).fit(data.X, data.classes)


def test_errors(data):
    with pytest.raises(ValueError, match="use LinearClassifier"):
        LinearRegressor(fl.cross_entropy).fit(data.X, data.real)
    with pytest.raises(TypeError, match="loss must be a loss of fastloss"):
        LinearRegressor("mse").fit(data.X, data.real)
    with pytest.raises(ValueError, match="at least 2 classes"):
        LinearClassifier().fit(data.X, np.zeros(300))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("source", ["decision_function", "predict_proba"])
@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_scorer_is_sklearns_log_loss(data, kind, source, weighted):
    y, options = getattr(data, kind), {"sample_weight": data.weight} if weighted else {}
    model = linear_model.LogisticRegression().fit(data.X, y)
    expected = -metrics.log_loss(y, model.predict_proba(data.X), **options)
    losses = [fl.cross_entropy] + [fl.binary_cross_entropy_with_logits, fl.logistic_loss] * (kind == "binary")
    for loss in losses:
        got = scorer(loss, response_method=source)(model, data.X, y, **options)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    if kind == "binary":
        got = scorer(fl.binary_cross_entropy)(model, data.X, y, **options)
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_scorers_of_regression(data):
    model = linear_model.PoissonRegressor(alpha=0.1).fit(data.X, data.classes)
    mean = model.predict(data.X)
    np.testing.assert_allclose(scorer(fl.mse_loss)(model, data.X, data.classes),
                               -metrics.mean_squared_error(data.classes, mean))
    np.testing.assert_allclose(scorer(fl.pinball_loss, quantile=0.2)(model, data.X, data.classes),
                               -metrics.mean_pinball_loss(data.classes, mean, alpha=0.2))
    expected = -np.mean(mean - data.classes * np.log(mean))
    np.testing.assert_allclose(scorer(fl.poisson_nll_loss)(model, data.X, data.classes), expected)


def test_scorer_against_the_rest(data):
    model = LinearClassifier(fl.hinge_loss).fit(data.X, data.classes)
    sign = np.where(data.classes[:, None] == np.arange(3), 1, -1)
    terms = np.maximum(0, 1 - sign * model.decision_function(data.X)).sum(axis=1)
    for weight in (None, data.weight):
        np.testing.assert_allclose(scorer(fl.hinge_loss)(model, data.X, data.classes, sample_weight=weight),
                                   -np.average(terms, weights=weight))


def test_scorer_where_a_fold_lacks_a_class(data):
    model = LinearClassifier().fit(data.X, data.classes)
    some = data.classes != 1
    with pytest.raises(ValueError, match="pass labels="):
        scorer(fl.cross_entropy)(model, data.X[some], data.classes[some])
    got = scorer(fl.cross_entropy, labels=[0, 1, 2])(model, data.X[some], data.classes[some])
    assert got == -fl.cross_entropy(model.decision_function(data.X[some]), data.classes[some])
    with pytest.raises(ValueError, match="not among labels"):
        scorer(fl.cross_entropy, labels=[0, 1, 7])(model, data.X, data.classes)
    with pytest.raises(TypeError, match="has no option 'gamma'"):
        scorer(fl.cross_entropy, gamma=2)


def test_scorer_knows_that_means_are_no_logarithms(data):
    """log_input=False, given with the call or configured."""
    model = linear_model.PoissonRegressor(alpha=0.1).fit(data.X, data.classes)
    expected = -fl.poisson_nll_loss(model.predict(data.X), data.classes, log_input=False)
    for made in (scorer(fl.poisson_nll_loss, log_input=False), scorer(fl.PoissonNLLLoss(log_input=False))):
        assert made(model, data.X, data.classes) == expected


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_scorer_of_the_share_of_errors(data, kind, weighted):
    y = np.array(["a", "bb", "c"])[getattr(data, kind).astype(int)]
    options = {"sample_weight": data.weight} if weighted else {}
    model = linear_model.LogisticRegression().fit(data.X, y)
    for loss in (fl.zero_one_loss, fl.ZeroOneLoss()):
        got = scorer(loss)(model, data.X, y, **options)
        np.testing.assert_allclose(got, model.score(data.X, y, **options) - 1, rtol=1e-6)
    some = y != "bb"  # predicted, but not in this fold
    np.testing.assert_allclose(scorer(fl.zero_one_loss)(model, data.X[some], y[some]),
                               model.score(data.X[some], y[some]) - 1)
    for method in ("decision_function", "predict_proba"):
        with pytest.raises(ValueError, match="response_method must be 'predict'"):
            scorer(fl.zero_one_loss, response_method=method)


def test_scorer_of_the_share_of_large_errors(data):
    model = linear_model.LinearRegression().fit(data.X, data.real)
    expected = -np.mean(np.abs(data.real - model.predict(data.X)) >= 0.5)
    assert scorer(fl.zero_one_loss, tolerance=0.5)(model, data.X, data.real) == expected


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_scorer_of_several_outputs(data, weighted):
    y, options = np.stack([data.real, data.binary], axis=1), {"sample_weight": data.weight} if weighted else {}
    model = linear_model.LinearRegression().fit(data.X, y)
    np.testing.assert_allclose(scorer(fl.mse_loss)(model, data.X, y, **options),
                               -metrics.mean_squared_error(y, model.predict(data.X), **options), rtol=1e-6)


def test_labels_of_a_scorer_in_any_order(data):
    y = np.where(data.binary, "yes", "no")
    model = linear_model.LogisticRegression().fit(data.X, y)
    expected = scorer(fl.cross_entropy)(model, data.X, y)
    assert scorer(fl.cross_entropy, labels=["yes", "no"])(model, data.X, y) == expected


@pytest.mark.parametrize("loss", [
    fl.hinge_embedding_loss, fl.HingeEmbeddingLoss(), fl.binary_cross_entropy, fl.nll_loss, fl.kl_div,
    fl.zero_one_loss, fl.gaussian_nll_loss, fl.msle_loss, fl.poisson_nll_loss, fl.gamma_nll_loss, fl.tweedie_nll_loss,
    fl.combine([(fl.hinge_loss, 1.0), (fl.binary_cross_entropy, 1.0)])], ids=repr)
def test_classifier_refuses_losses_that_are_not_of_scores(data, loss):
    with pytest.raises(ValueError, match="is not a loss of scores: it takes"):
        LinearClassifier(loss).fit(data.X, data.binary)


@pytest.mark.parametrize("loss", [
    fl.kl_div, fl.KLDivLoss(log_target=True), fl.gaussian_nll_loss, fl.GaussianNLLLoss(), fl.binary_cross_entropy,
    fl.hinge_embedding_loss, fl.combine([(fl.mse_loss, 1.0), (fl.kl_div, 1.0)])], ids=repr)
def test_regressor_refuses_losses_that_are_not_of_scores(data, loss):
    """Before it fits: with kl_div the weights would grow without end."""
    with pytest.raises(ValueError, match="is not a loss of scores: it takes"):
        LinearRegressor(loss).fit(data.X, data.binary)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_perceptron_loss_learns_nothing(data, alpha):
    """As the docstring of LinearClassifier says."""
    assert not LinearClassifier(fl.PerceptronLoss(), alpha=alpha).fit(data.X, data.binary).coef_.any()


@pytest.mark.parametrize("estimator", [LinearClassifier, LinearRegressor])
def test_error_of_a_negative_penalty(data, estimator):
    with pytest.raises(ValueError, match="^alpha must"):
        estimator(alpha=-1).fit(data.X, data.binary)
