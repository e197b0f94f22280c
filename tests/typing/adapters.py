"""Uses of the adapters, for type checkers and, up to the wrong ones, for Python."""

from collections.abc import Callable
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastloss as fl

Array = NDArray[Any]

X = np.ones((4, 2))
y = np.array([0, 1, 1, 0])
w = np.ones(4)
combined = fl.combine([(fl.mse_loss, 0.5), (fl.L1Loss(), 1)])

# The boosters: a function, a configured class and a sum are losses.
xgb_objective = fl.adapters.xgboost.objective(fl.sigmoid_focal_loss, gamma=2)
xgb_metric = fl.adapters.xgboost.metric(fl.SigmoidFocalLoss(gamma=2.0), name="focal")
assert_type(xgb_objective, fl.adapters.xgboost.Objective)
assert_type(xgb_metric, fl.adapters.xgboost.Metric)
assert_type(xgb_objective(y, w, w), tuple[Array, Array])
assert_type(xgb_objective.derivatives(w, y), tuple[Array, Array])
base_score: float = xgb_objective.init_score(y, sample_weight=w)
value: float = xgb_metric(y, w)

lgb_objective = fl.adapters.lightgbm.objective(combined, hess="one")
lgb_metric = fl.adapters.lightgbm.metric(fl.mse_loss)
assert_type(lgb_objective, fl.adapters.lightgbm.Objective)
assert_type(lgb_metric, fl.adapters.lightgbm.Metric)
assert_type(lgb_objective(y, w), tuple[Array, Array])
assert_type(lgb_metric(y, w), tuple[str, float, bool])

cat_objective = fl.adapters.catboost.objective(fl.cross_entropy, hess="exact", n_threads=1)
cat_metric = fl.adapters.catboost.metric(fl.BCEWithLogitsLoss())
assert_type(cat_objective, fl.adapters.catboost.Objective)
assert_type(cat_metric, fl.adapters.catboost.Metric)
assert_type(cat_objective.calc_ders_multi([0.0, 1.0], 1.0, None), tuple[Array, Array])
assert_type(cat_metric.evaluate((w,), y, None), tuple[float, float])

# Other libraries.
assert_type(fl.adapters.jax.wrap(fl.cross_entropy, label_smoothing=0.1), Callable[..., Any])

linear = fl.adapters.scipy.linear_objective(fl.huber_loss, X, y, l2=1.0, sample_weight=w, delta=1.35)
assert_type(linear, fl.adapters.scipy.LinearObjective)
assert_type(linear.x0, Array)
assert_type(linear.value_and_grad(linear.x0), tuple[float, Array])
assert_type(linear.value(linear.x0), float)
assert_type(linear.grad(linear.x0), Array)
assert_type(linear.hessp(linear.x0, linear.x0), Array)
assert_type(linear.unpack(linear.x0), tuple[Array, Any])

classifier = fl.adapters.sklearn.LinearClassifier(fl.logistic_loss, alpha=0.5).fit(X, y, sample_weight=w)
assert_type(classifier, fl.adapters.sklearn.LinearClassifier)
assert_type(classifier.decision_function(X), Array)
assert_type(classifier.coef_, Array)
assert_type(fl.adapters.sklearn.LinearRegressor(combined).fit(X, w).predict(X), Array)
assert_type(fl.adapters.sklearn.scorer(fl.logistic_loss)(classifier, X, y), float)
assert_type(fl.adapters.sklearn.scorer(fl.zero_one_loss)(classifier, X, y), float)
assert_type(fl.adapters.sklearn.scorer(fl.ZeroOneLoss())(classifier, X, y), float)

# Wrong ones.
fl.adapters.xgboost.objective("logistic")  # flagged
fl.adapters.xgboost.objective(fl.mse_loss, hess="two")  # flagged
fl.adapters.xgboost.objective(fl.zero_one_loss)  # flagged
fl.adapters.xgboost.metric(fl.mse_loss, name=1)  # flagged
fl.adapters.lightgbm.objective()  # flagged
fl.adapters.catboost.metric(np.square)  # flagged
fl.adapters.jax.wrap(np.square)  # flagged
fl.adapters.scipy.linear_objective(fl.mse_loss, X, y, l2="1")  # flagged
fl.adapters.scipy.linear_objective(fl.mse_loss, X, y, reduction="none")  # flagged
fl.adapters.sklearn.LinearRegressor(fl.mse_loss, 1.0)  # flagged
fl.adapters.sklearn.scorer(fl.mse_loss, response_method="transform")  # flagged
fl.adapters.keras  # flagged
