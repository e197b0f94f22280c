"""The table of the elementwise losses: one row per loss, and every test_catalogue_*.py runs over all rows.

Adding a loss takes its formula in catalogue_formulas.py and a row here; a test fails when the library, this table and
the documentation name different losses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import catalogue_formulas as formulas
import catalogue_points as points
import numpy as np
from reference import MP, NAN, exact, exact_array


class Domain(NamedTuple):
    """Everyday values of an argument, exact in float16 and bfloat16; values that are refused; what becomes of NaN."""

    choices: np.ndarray
    bad: tuple = ()
    nan: str = "passes"  # or "refused"


REAL = Domain(np.arange(-63, 64) / 16)
SIGNS = Domain(np.array([-1.0, 1.0]), (0.0, 2.0, -0.5, np.inf), "refused")
BITS = Domain(np.array([0.0, 1.0]), (-1.0, 2.0, 0.5, -np.inf), "refused")
UNIT = Domain(np.arange(9) / 8, (-0.125, 1.5, np.inf, -np.inf), "refused")
INNER = Domain(np.arange(1, 16) / 16, (-0.125, 1.5, np.inf), "refused")  # of [0, 1]; the ends have tests of their own
MASSES = Domain(np.arange(64) / 16, (-1.0, -np.inf), "refused")
COUNTS = Domain(np.arange(64) / 16, (-1.0, -np.inf))
UNCHECKED = Domain(np.arange(64) / 16)
RATES = Domain(np.arange(1, 64) / 16)
POSITIVE = Domain(np.arange(1, 64) / 16, (0.0, -1.0, -np.inf))
ABOVE_MINUS_ONE = Domain(np.arange(-15, 64) / 16, (-1.0, -2.5, -np.inf))
NEGATIVE = Domain(np.arange(-63, 0) / 16)


@dataclass(frozen=True)
class Row:
    """`name` is the public function, `criterion` its class, `native` its rows of losses.def.

    `formula` gives the exact terms of one element, `sample` the arguments that accuracy is measured at.
    `arguments(setting)` gives the domain of every array argument; `settings` are sets of options worth testing, the
    first of them the defaults where a loss has defaults.
    `arrays` names the options that may be arrays of the input's shape, with the values for a test of it.
    `bad` lists options that are refused.  `wrt` are the arguments with derivatives.
    `weight` is None, "counts" (it enters the denominator of "mean") or "ignored" (it does not).
    `kinks` lists (input, target, setting, slope) where a subgradient is documented; `limits` lists (input, target,
    setting, value, slope) at infinities.
    `cancels` says where terms cancel, so that the error is measured against the largest (None: nowhere).
    `rounded` names the options that are rounded to the working precision first: those that say where a kink is.
    """

    name: str
    criterion: str
    native: tuple
    formula: Callable
    sample: Callable
    arguments: Callable
    settings: tuple = ({},)
    arrays: dict = None
    bad: tuple = ()
    wrt: tuple = ("input",)
    weight: str = None
    kinks: tuple = ()
    limits: tuple = ()
    ulp: float = 4
    derivatives: bool = True
    cancels: str = None
    rounded: tuple = ("beta", "delta", "epsilon", "margin", "tolerance")

    def function(self):
        """The object under test. Imported late: this table can be read without the library."""
        import fastloss

        return getattr(fastloss, self.name)

    def criterion_class(self):
        import fastloss

        return getattr(fastloss, self.criterion)

    def exists(self):
        import fastloss

        return hasattr(fastloss, self.name)

    def everyday(self, setting, shape, dtype=np.float64, seed=0, integers=False):
        """{argument: array} of ordinary numbers that every dtype holds exactly."""
        rng = np.random.default_rng([seed, *shape])
        result = {}
        for argument, domain in self.arguments(setting).items():
            choices = domain.choices
            if integers and (choices == np.rint(choices)).any():
                choices = choices[choices == np.rint(choices)]
            result[argument] = rng.choice(choices, shape).astype(dtype)
        return result

    def irregular(self, setting, shape, dtype=np.float64, seed=0):
        """The same, moved by random numbers towards the middle of the domain: of full precision, and at no kink.

        Arguments of two values stay what they are.
        """
        rng = np.random.default_rng([seed + 1, *shape])
        arrays = self.everyday(setting, shape, seed=seed)
        for name, domain in self.arguments(setting).items():
            if len(domain.choices) > 2:
                middle = (domain.choices.min() + domain.choices.max()) / 2
                arrays[name] = arrays[name] + (middle - arrays[name]) * rng.uniform(0.01, 0.05, shape)
        return {name: a.astype(dtype) for name, a in arrays.items()}

    def measured(self, setting, dtype, count, seed=0):
        """{argument: array} for the measurement of accuracy."""
        rng = np.random.default_rng([seed, np.dtype(dtype).itemsize])
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            arrays = {name: a.astype(dtype) for name, a in self.sample(rng, dtype, setting, count).items()}
        finite = np.logical_and.reduce([np.isfinite(a) for a in arrays.values()])
        return {name: a[finite] for name, a in arrays.items()}


class Exact(NamedTuple):
    """Object arrays of exact numbers: value, then {argument: array} of slopes, curvatures and the scales of all."""

    value: np.ndarray
    value_scale: np.ndarray
    slope: dict
    slope_scale: dict
    curvature: dict
    curvature_scale: dict
    rare: np.ndarray


def exact_options(row, setting, dtype):
    """Numbers as given; those that say where a kink is, as the working precision holds them."""
    working = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    return {name: exact(working(value) if name in row.rounded else value) if isinstance(value, float) else value
            for name, value in setting.items()}


def evaluate(row, arrays, setting, dtype):
    """The exact terms of every element. NaN in any argument gives NaN; None stays where nothing is promised."""
    options = exact_options(row, setting, dtype)
    names = list(arrays)
    shape = np.shape(arrays["input"])
    columns = [exact_array(np.broadcast_to(arrays[name], shape)).ravel() for name in names]
    terms = [element(row, dict(zip(names, values)), options) for values in zip(*columns)]

    def column(pick):
        result = np.empty(len(terms), object)
        result[:] = [pick(t) for t in terms]
        return result.reshape(shape)

    def derivative(field):
        return {name: column(lambda t: getattr(t.by[name], field)) for name in (row.wrt if row.derivatives else ())}

    return Exact(column(lambda t: t.value), column(lambda t: t.scale), derivative("slope"), derivative("slope_scale"),
                 derivative("curvature"), derivative("curvature_scale"),
                 column(lambda t: t.rare))


def element(row, values, options):
    if any(MP.isnan(value) for value in values.values()):
        nothing = formulas.Derivative(NAN, NAN)
        return formulas.Terms(NAN, dict.fromkeys(row.wrt, nothing))
    x, y = values["input"], values["target"]
    more = {name: value for name, value in values.items() if name not in ("input", "target")}
    return row.formula(x, y, **more, **options)


# --- the table -------------------------------------------------------------------------------------------------------

INF = np.inf
BOTH = ("input", "target")


def real(_):
    return {"input": REAL, "target": REAL}


def logits(_):
    return {"input": REAL, "target": UNIT}


def labelled(setting):
    return {"input": REAL, "target": BITS if setting.get("labels") == "01" else SIGNS}


def rates(setting):
    return {"input": REAL if setting.get("log_input", True) else RATES, "target": UNCHECKED}


def tweedie(setting):
    power = setting["power"]
    return {"input": REAL, "target": REAL if power <= 0 else COUNTS if power < 2 else POSITIVE}


def divergence(setting):
    return {"input": NEGATIVE, "target": NEGATIVE if setting.get("log_target") else MASSES}


LABELS = ({}, {"labels": "01"})


def margin_row(name, criterion, native, formula, near=(), settings=LABELS, **more):
    return Row(name, criterion, native, formula, points.margins(*near), labelled, settings, **more)


ENTROPY_CANCELS = "soft targets: the gradient crosses 0 inside, and the difference of its terms is relative to them"

ROWS = [
    Row("mse_loss", "MSELoss", ("mse",), formulas.mse, points.difference(), real, wrt=BOTH, weight="counts",
        limits=((INF, 0, {}, INF, INF), (-INF, 1, {}, INF, -INF))),
    Row("l1_loss", "L1Loss", ("l1",), formulas.l1, points.difference(), real, wrt=BOTH, weight="counts",
        kinks=((1.5, 1.5, {}, 0.0), (0.0, -0.0, {}, 0.0)), limits=((INF, 0, {}, INF, 1), (-INF, 1, {}, INF, -1))),
    Row("smooth_l1_loss", "SmoothL1Loss", ("smooth_l1",), formulas.smooth_l1, points.difference("beta"), real,
        ({}, {"beta": 0.3}, {"beta": 0.0}, {"beta": 1e-6}, {"beta": 700.0}), {"beta": (0.5, 2.0)},
        ({"beta": -1.0}, {"beta": np.nan}), BOTH,
        kinks=((1.0, 0.0, {}, 1.0), (-1.0, 0.0, {}, -1.0), (2.0, 2.0, {"beta": 0.0}, 0.0)),
        limits=((INF, 0, {}, INF, 1), (-INF, 1, {"beta": 0.0}, INF, -1))),
    Row("huber_loss", "HuberLoss", ("huber",), formulas.huber, points.difference("delta"), real,
        ({}, {"delta": 1.345}, {"delta": 1e-6}, {"delta": 700.0}), {"delta": (0.5, 2.0)},
        ({"delta": 0.0}, {"delta": -1.0}, {"delta": np.nan}), BOTH, "ignored",
        kinks=((1.0, 0.0, {}, 1.0), (-1.5, 0.0, {"delta": 1.5}, -1.5)),
        limits=((INF, 0, {}, INF, 1), (-INF, 1, {"delta": 2.0}, INF, -2))),
    Row("log_cosh_loss", "LogCoshLoss", ("log_cosh",), formulas.log_cosh, points.difference(), real,
        limits=((INF, 0, {}, INF, 1), (-INF, 1, {}, INF, -1))),
    Row("pinball_loss", "PinballLoss", ("pinball",), formulas.pinball, points.difference(), real,
        ({}, {"quantile": 0.9}, {"quantile": 0.01}), {"quantile": (0.25, 0.875)},
        ({"quantile": 0.0}, {"quantile": 1.0}, {"quantile": np.nan}),
        kinks=((2.0, 2.0, {"quantile": 0.9}, 0.0), (0.0, -0.0, {}, 0.0)),
        limits=((INF, 0, {"quantile": 0.75}, INF, 0.25), (-INF, 1, {"quantile": 0.75}, INF, -0.75))),
    Row("expectile_loss", "ExpectileLoss", ("expectile",), formulas.expectile, points.difference(), real,
        ({}, {"expectile": 0.9}, {"expectile": 0.01}), {"expectile": (0.25, 0.875)},
        ({"expectile": 0.0}, {"expectile": 1.0}, {"expectile": np.nan}),
        kinks=((2.0, 2.0, {"expectile": 0.9}, 0.0),), limits=((INF, 0, {}, INF, INF), (-INF, 0, {}, INF, -INF))),
    Row("pseudo_huber_loss", "PseudoHuberLoss", ("pseudo_huber",), formulas.pseudo_huber, points.difference("delta"),
        real, ({}, {"delta": 0.3}, {"delta": 30.0}), {"delta": (0.5, 2.0)},
        ({"delta": 0.0}, {"delta": -1.0}, {"delta": np.nan}),
        limits=((INF, 0, {}, INF, 1), (-INF, 1, {"delta": 2.0}, INF, -2))),
    Row("epsilon_insensitive_loss", "EpsilonInsensitiveLoss", ("epsilon_insensitive",), formulas.epsilon_insensitive,
        points.difference("epsilon"), real, ({"epsilon": 0.1}, {"epsilon": 1.5}, {"epsilon": 0.0}),
        {"epsilon": (0.5, 2.0)}, ({"epsilon": -0.1}, {"epsilon": np.nan}),
        kinks=((1.5, 0.0, {"epsilon": 1.5}, 0.0), (0.0, 1.5, {"epsilon": 1.5}, 0.0), (2.0, 2.0, {"epsilon": 0.0}, 0.0)),
        limits=((INF, 0, {}, INF, 1), (-INF, 1, {}, INF, -1))),
    Row("squared_epsilon_insensitive_loss", "SquaredEpsilonInsensitiveLoss", ("squared_epsilon_insensitive",),
        formulas.squared_epsilon_insensitive, points.difference("epsilon"), real,
        ({"epsilon": 0.1}, {"epsilon": 1.5}, {"epsilon": 0.0}), {"epsilon": (0.5, 2.0)},
        ({"epsilon": -0.1}, {"epsilon": np.nan}), kinks=((1.5, 0.0, {"epsilon": 1.5}, 0.0),),
        limits=((INF, 0, {}, INF, INF), (-INF, 1, {}, INF, -INF))),
    Row("msle_loss", "MSLELoss", ("msle",), formulas.msle, points.above_minus_one,
        lambda _: {"input": ABOVE_MINUS_ONE, "target": ABOVE_MINUS_ONE}),
    Row("poisson_nll_loss", "PoissonNLLLoss",
        ("poisson_nll", "poisson_nll_full", "poisson_nll_of_mean", "poisson_nll_of_mean_full"), formulas.poisson_nll,
        points.rates, rates,
        ({}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True, "eps": 1e-3}),
        cancels="exp(x) - y x crosses 0"),
    Row("gaussian_nll_loss", "GaussianNLLLoss", ("gaussian_nll",), formulas.gaussian_nll, points.gaussian,
        lambda _: {"input": REAL, "target": REAL, "var": COUNTS}, ({}, {"full": True}, {"eps": 0.5}),
        wrt=("input", "target", "var"), cancels="log var + d^2 / var crosses 0"),
    Row("gamma_nll_loss", "GammaNLLLoss", ("gamma_nll",), formulas.gamma_nll, points.positive_targets,
        lambda _: {"input": REAL, "target": POSITIVE}, cancels="x + y exp(-x) crosses 0"),
    Row("tweedie_nll_loss", "TweedieNLLLoss", ("tweedie_nll", "poisson_nll", "gamma_nll"), formulas.tweedie_nll,
        points.tweedie, tweedie,
        tuple({"power": power} for power in (1.5, 0.0, 1.0, 1.1, 1.9, 2.0, 3.0)),
        bad=({"power": np.nan}, {"power": np.inf}),
        cancels="a difference of two powers"),
    Row("binary_cross_entropy_with_logits", "BCEWithLogitsLoss",
        ("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits_plain"),
        formulas.binary_cross_entropy_with_logits, points.soft_logits, logits,
        ({}, {"pos_weight": 3.0}, {"pos_weight": 0.0}, {"label_smoothing": 0.1}), {"pos_weight": (0.5, 2.0)},
        ({"pos_weight": -1.0}, {"pos_weight": np.nan}, {"label_smoothing": 1.5}, {"label_smoothing": -0.1}), BOTH,
        "ignored", cancels=ENTROPY_CANCELS,
        limits=((INF, 1, {}, 0, 0), (INF, 0, {}, INF, 1), (-INF, 0, {}, 0, 0), (-INF, 1, {}, INF, -1))),
    Row("binary_cross_entropy", "BCELoss", ("binary_cross_entropy",), formulas.binary_cross_entropy,
        points.probabilities, lambda _: {"input": INNER, "target": UNIT}, wrt=BOTH, weight="ignored",
        limits=((0.0, 1, {}, 100, -1e12), (1.0, 0, {}, 100, 1e12), (0.0, 0, {}, 0, 0), (1.0, 1, {}, 0, 0))),
    Row("sigmoid_focal_loss", "SigmoidFocalLoss", ("sigmoid_focal",), formulas.sigmoid_focal, points.soft_logits,
        logits, ({}, {"alpha": -1.0, "gamma": 2.0}, {"gamma": 0.0}, {"gamma": 0.5}, {"alpha": 0.6, "gamma": 5.0}),
        bad=({"gamma": -1.0}, {"gamma": np.nan}, {"alpha": 1.5}, {"alpha": np.nan}), cancels=ENTROPY_CANCELS),
    margin_row("hinge_loss", "HingeLoss", ("hinge",), formulas.hinge, ("margin",),
               ({}, {"margin": 0.3}, {"labels": "01"}), arrays={"margin": (0.5, 2.0)}, bad=({"margin": np.nan},),
               kinks=((1.0, 1, {}, 0.0), (-1.0, -1, {}, 0.0), (0.5, 1, {"margin": 0.5}, 0.0)),
               limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, 1), (-INF, -1, {}, 0, 0), (-INF, 1, {}, INF, -1))),
    margin_row("squared_hinge_loss", "SquaredHingeLoss", ("squared_hinge",), formulas.squared_hinge, ("margin",),
               ({}, {"margin": 0.3}, {"labels": "01"}), arrays={"margin": (0.5, 2.0)}, bad=({"margin": np.nan},),
               kinks=((1.0, 1, {}, 0.0),), limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, INF))),
    margin_row("perceptron_loss", "PerceptronLoss", ("perceptron",), formulas.perceptron,
               (0.0,), kinks=((0.0, 1, {}, 0.0), (-0.0, -1, {}, 0.0)),
               limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, 1))),
    margin_row("exponential_loss", "ExponentialLoss", ("exponential",), formulas.exponential,
               limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, INF))),
    margin_row("logistic_loss", "LogisticLoss", ("logistic",), formulas.logistic,
               limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, 1), (-INF, 1, {}, INF, -1))),
    margin_row("soft_margin_loss", "SoftMarginLoss", ("logistic",), formulas.logistic,
               limits=((-INF, -1, {}, 0, 0), (-INF, 1, {}, INF, -1))),
    margin_row("modified_huber_loss", "ModifiedHuberLoss", ("modified_huber",), formulas.modified_huber, (1.0, -1.0),
               limits=((INF, 1, {}, 0, 0), (INF, -1, {}, INF, 4))),
    Row("zero_one_loss", "ZeroOneLoss", ("zero_one", "zero_one_within"), formulas.zero_one, points.labels, real,
        ({}, {"tolerance": 0.5}), {"tolerance": (0.5, 1.5)}, ({"tolerance": -1.0}, {"tolerance": np.nan}), (),
        derivatives=False),
    margin_row("hinge_embedding_loss", "HingeEmbeddingLoss", ("hinge_embedding",), formulas.hinge_embedding,
               ("margin",), ({}, {"margin": 0.3}, {"labels": "01"}), arrays={"margin": (0.5, 2.0)},
               bad=({"margin": np.nan},), kinks=((1.0, -1, {}, -1.0), (0.5, -1, {"margin": 0.5}, -1.0)),
               limits=((INF, 1, {}, INF, 1), (INF, -1, {}, 0, 0), (-INF, -1, {}, INF, -1))),
    Row("kl_div", "KLDivLoss", ("kl_div", "kl_div_log_target"), formulas.kl_div, points.log_probabilities, divergence,
        ({}, {"log_target": True}), wrt=BOTH, cancels="y log y - y x crosses 0 at x = log y",
        limits=((-INF, 0, {}, 0, 0), (-INF, 1, {}, INF, -1))),
]

BY_NAME = {row.name: row for row in ROWS}
