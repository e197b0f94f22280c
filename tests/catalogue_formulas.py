"""What every elementwise loss is, written from its definition in 70 digits: one element's value and derivatives.

`name(x, y, **parameters)` takes exact finite numbers and returns `Terms`.  Nothing here is taken from the library.  The
derivatives are written by hand, so that they are exact at 1e-300 and at the ends of a domain too, where a difference
quotient is not; test_catalogue_gradients.py compares them with difference quotients of the value elsewhere.

A derivative of None is not defined at that point (the curvature at a kink) and is not compared.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from reference import MP, ONE, ZERO

HALF, TWO = ONE / 2, ONE * 2


class Derivative(NamedTuple):
    """With respect to one argument. A scale is the size of the largest term where terms cancel: the ULP is its."""

    slope: object
    curvature: object
    slope_scale: object = None
    curvature_scale: object = None


@dataclass
class Terms:
    value: object
    by: dict = field(default_factory=dict)  # argument's name: Derivative
    scale: object = None  # of the value, as in Derivative
    rare: object = None  # a probability that counts 0 below the smallest normal number, whatever it is multiplied by


def of_input(value, slope, curvature, scale=None, slope_scale=None, curvature_scale=None, rare=None):
    return Terms(value, {"input": Derivative(slope, curvature, slope_scale, curvature_scale)}, scale, rare)


def of_difference(value, slope, curvature, scale=None, slope_scale=None):
    """A loss of d = x - y: the derivative with respect to the target is that to the input, with the other sign."""
    by = {"input": Derivative(slope, curvature, slope_scale), "target": Derivative(-slope, curvature, slope_scale)}
    return Terms(value, by, scale)


def of_difference_input(value, slope, curvature):
    """The same for losses whose target has no derivative."""
    return of_input(value, slope, curvature)


def xlogy(y, log):
    """y log, where 0 times infinity is 0."""
    return ZERO if y == 0 else y * log


# --- regression ------------------------------------------------------------------------------------------------------


def mse(x, y):
    d = x - y
    return of_difference(d * d, 2 * d, TWO)


def l1(x, y):
    d = x - y
    return of_difference(abs(d), MP.sign(d), ZERO)


def smooth_l1(x, y, beta=ONE):
    d = x - y
    if abs(d) < beta:
        return of_difference(d * d / (2 * beta), d / beta, ONE / beta)
    curvature = ZERO if abs(d) > beta or beta == 0 else None
    return of_difference(abs(d) - beta / 2, MP.sign(d), curvature)


def huber(x, y, delta=ONE):
    d = x - y
    if abs(d) <= delta:
        return of_difference(d * d / 2, d, ONE if abs(d) < delta else None)
    return of_difference(delta * (abs(d) - delta / 2), delta * MP.sign(d), ZERO)


def log_cosh(x, y):
    d = x - y
    a = abs(d)
    # log cosh a = log1p(2 sinh(a/2)^2): exact near 0; the other form does not overflow far from it
    value = MP.log1p(2 * MP.sinh(a / 2) ** 2) if a < 1 else a + MP.log1p(MP.exp(-2 * a)) - MP.log(2)
    return of_difference_input(value, MP.sign(d) * tanh(a), 4 * MP.exp(-2 * a) / (1 + MP.exp(-2 * a)) ** 2)


def tanh(a):
    """For a >= 0."""
    return -MP.expm1(-2 * a) / (1 + MP.exp(-2 * a))


def pinball(x, y, quantile=HALF):
    d = x - y
    slope = (1 - quantile if d > 0 else -quantile) if d else ZERO
    return of_difference_input(d * slope, slope, ZERO)


def expectile(x, y, expectile=HALF):
    d = x - y
    factor = 1 - expectile if d > 0 else expectile
    return of_difference_input(factor * d * d, 2 * factor * d, 2 * factor if d else None)


def pseudo_huber(x, y, delta=ONE):
    d = x - y
    q = d / delta
    root = MP.sqrt(1 + q * q)
    # root - 1 = q^2 / (root + 1): no digits are lost near 0
    return of_difference_input(d * d / (root + 1), d / root, ONE / root**3)


def epsilon_insensitive(x, y, epsilon):
    d = x - y
    excess = abs(d) - epsilon
    if excess <= 0:
        return of_difference_input(ZERO, ZERO, ZERO if excess else None)
    return of_difference_input(excess, MP.sign(d), ZERO)


def squared_epsilon_insensitive(x, y, epsilon):
    d = x - y
    excess = abs(d) - epsilon
    if excess <= 0:
        return of_difference_input(ZERO, ZERO, ZERO if excess else None)
    return of_difference_input(excess * excess, 2 * MP.sign(d) * excess, TWO)


def msle(x, y):
    difference = MP.log1p((x - y) / (1 + y))
    size = max(abs(MP.log1p(x)), abs(MP.log1p(y)))
    return of_input(difference**2, 2 * difference / (1 + x), 2 * (1 - difference) / (1 + x) ** 2,
                    curvature_scale=2 * max(ONE, size) / (1 + x) ** 2)


# --- likelihoods -----------------------------------------------------------------------------------------------------


def poisson_nll(x, y, log_input=True, full=False, eps=None):
    eps = MP.mpf(1e-8) if eps is None else eps
    if log_input:
        parts = [MP.exp(x), -y * x]
        derivative = Derivative(MP.exp(x) - y, MP.exp(x), max(MP.exp(x), y))
    else:
        parts = [x, -xlogy(y, MP.log(x + eps))]
        derivative = Derivative(1 - y / (x + eps), y / (x + eps) ** 2, max(ONE, y / (x + eps)))
    if full and y > 1:  # Stirling's approximation of log y!
        parts += [y * MP.log(y), -y, MP.log(2 * MP.pi * y) / 2]
    return Terms(sum(parts, ZERO), {"input": derivative}, max(abs(part) for part in parts))


def gaussian_nll(x, y, var, full=False, eps=None):
    """The gradient with respect to var goes straight through the clamp, as PyTorch's does."""
    v = max(var, MP.mpf(1e-6) if eps is None else eps)
    d = x - y
    parts = [MP.log(v) / 2, d * d / (2 * v)]
    if full:
        parts.append(MP.log(2 * MP.pi) / 2)
    by = {"input": Derivative(d / v, ONE / v), "target": Derivative(-d / v, ONE / v),
          "var": Derivative((1 - d * d / v) / (2 * v), (2 * d * d / v - 1) / (2 * v * v),
                            max(ONE, d * d / v) / (2 * v), max(ONE, 2 * d * d / v) / (2 * v * v))}
    return Terms(sum(parts, ZERO), by, max(abs(part) for part in parts))


def gamma_nll(x, y):
    ratio = y * MP.exp(-x)
    return of_input(x + ratio, 1 - ratio, ratio, max(abs(x), ratio), max(ONE, ratio))


def tweedie_nll(x, y, power):
    """HalfTweedieLoss: the terms of half the deviance that depend on x, with the limits at powers 0, 1 and 2."""
    p = power
    if p == 2:
        return gamma_nll(x, y)
    e = MP.exp(x)
    if p == 0:
        return of_input((e - y) ** 2 / 2, e * (e - y), e * (2 * e - y), max(e, abs(y)) * abs(e - y),
                        e * max(e, abs(y)), e * max(2 * e, abs(y)))
    if p == 1:
        return of_input(e - y * x, e - y, e, max(e, abs(y * x)), max(e, y))
    a, b = MP.exp((2 - p) * x), xlogy(y, MP.exp((1 - p) * x))
    return of_input(a / (2 - p) - b / (1 - p), a - b, (2 - p) * a - (1 - p) * b,
                    max(abs(a / (2 - p)), abs(b / (1 - p))), max(a, abs(b)),
                    max(abs((2 - p) * a), abs((1 - p) * b)))


# --- probabilities and logits ----------------------------------------------------------------------------------------


def softplus(z):
    return MP.log1p(MP.exp(-abs(z))) + max(z, ZERO)


def sigmoid(z):
    e = MP.exp(-abs(z))
    return (ONE if z >= 0 else e) / (1 + e)


def binary_cross_entropy_with_logits(z, y, pos_weight=ONE, label_smoothing=ZERO):
    y = y * (1 - label_smoothing) + label_smoothing / 2
    wy, other = pos_weight * y, 1 - y
    up, down = other * sigmoid(z), wy * sigmoid(-z)
    by_target = (1 - label_smoothing) * (pos_weight * softplus(-z) - softplus(z))
    by = {"input": Derivative(up - down, (other + wy) * sigmoid(z) * sigmoid(-z), max(up, down)),
          "target": Derivative(by_target, ZERO, max(pos_weight * softplus(-z), softplus(z)))}
    return Terms(other * softplus(z) + wy * softplus(-z), by, rare=MP.exp(-abs(z)))


def binary_cross_entropy(p, y):
    """Logs clamped at -100, and the denominator of the gradient at 1e-12, as PyTorch does it."""
    log_p = max(MP.log(p), MP.mpf(-100)) if p > 0 else MP.mpf(-100)
    log_q = max(MP.log1p(-p), MP.mpf(-100)) if p < 1 else MP.mpf(-100)
    product = p * (1 - p)
    floor = MP.mpf(1e-12)
    slope = (p - y) / max(product, floor)
    curvature = y / p**2 + (1 - y) / (1 - p) ** 2 if product > floor else ONE / floor
    # with respect to the target the logs are not clamped
    by_target = MP.log1p(-p) - MP.log(p) if 0 < p < 1 else None
    by = {"input": Derivative(slope, curvature), "target": Derivative(by_target, ZERO)}
    return Terms(-y * log_p - (1 - y) * log_q, by)


def sigmoid_focal(z, y, alpha=ONE / 4, gamma=TWO):
    """torchvision's: alpha_t (1 - p_t)^gamma times the binary cross-entropy; alpha < 0 leaves alpha_t out."""
    p, q = sigmoid(z), sigmoid(-z)
    share = alpha * y + (1 - alpha) * (1 - y) if alpha >= 0 else ONE
    wrong = p * (1 - y) + q * y  # 1 - p_t
    log_wrong = wrong_log(z, y, wrong)
    entropy = (1 - y) * softplus(z) + y * softplus(-z)
    ups, downs = p * (1 - y), q * y  # the cross-entropy's slope is their difference
    ratio = p * q * (1 - 2 * y) / wrong  # the derivative of 1 - p_t over itself
    r = gamma * ratio
    power = share * MP.exp(gamma * log_wrong)
    pieces = [r * entropy, ups, -downs]
    bends = [gamma * (gamma - 1) * ratio**2 * entropy, r * (q - p) * entropy, 2 * r * ups, -2 * r * downs, p * q]
    return of_input(power * entropy, power * sum(pieces), power * sum(bends), None,
                    power * max(map(abs, pieces)), power * max(map(abs, bends)), MP.exp(-abs(z)))


def wrong_log(z, y, wrong):
    """log(1 - p_t), also where 1 - p_t is 1 to 70 digits."""
    if y == 0:
        return -softplus(-z)
    return -softplus(z) if y == 1 else MP.log(wrong)


def kl_div(x, y, log_target=False):
    if log_target:
        e = MP.exp(y)
        by = {"input": Derivative(-e, ZERO),
              "target": Derivative(e * (y - x + 1), e * (y - x + 2), e * max(abs(y - x), ONE),
                                   e * max(abs(y - x), TWO))}
        return Terms(e * (y - x), by, rare=e)
    if y == 0:
        return Terms(ZERO, {"input": Derivative(ZERO, ZERO), "target": Derivative(None, None)})
    log = MP.log(y)
    by = {"input": Derivative(-y, ZERO),
          "target": Derivative(log - x + 1, ONE / y, max(abs(log), abs(x), ONE))}
    return Terms(y * (log - x), by, max(abs(y * log), abs(y * x)))


# --- margins: m = y f, targets -1 and 1 ------------------------------------------------------------------------------


def sign_of(y, labels):
    return 2 * y - 1 if labels == "01" else y


def of_margin(y, value, slope, curvature):
    """`slope` and `curvature` with respect to m; y^2 = 1."""
    return of_input(value, y * slope, curvature)


def hinge(x, y, margin=ONE, labels=None):
    y = sign_of(y, labels)
    excess = margin - y * x
    if excess <= 0:
        return of_margin(y, ZERO, ZERO, ZERO if excess else None)
    return of_margin(y, excess, -ONE, ZERO)


def squared_hinge(x, y, margin=ONE, labels=None):
    y = sign_of(y, labels)
    excess = margin - y * x
    if excess <= 0:
        return of_margin(y, ZERO, ZERO, ZERO if excess else None)
    return of_margin(y, excess**2, -2 * excess, TWO)


def perceptron(x, y, labels=None):
    return hinge(x, y, ZERO, labels)


def exponential(x, y, labels=None):
    y = sign_of(y, labels)
    value = MP.exp(-y * x)
    return of_margin(y, value, -value, value)


def logistic(x, y, labels=None):
    y = sign_of(y, labels)
    m = y * x
    return of_margin(y, softplus(-m), -sigmoid(-m), sigmoid(m) * sigmoid(-m))


def modified_huber(x, y, labels=None):
    y = sign_of(y, labels)
    m = y * x
    if m < -1:
        return of_margin(y, -4 * m, -4 * ONE, ZERO)
    if m >= 1:
        return of_margin(y, ZERO, ZERO, ZERO if m > 1 else None)
    return of_margin(y, (1 - m) ** 2, -2 * (1 - m), TWO if m > -1 else None)


def hinge_embedding(x, y, margin=ONE, labels=None):
    if sign_of(y, labels) == 1:
        return of_input(x, ONE, ZERO)
    excess = margin - x
    return of_input(max(ZERO, excess), (-ONE if excess > 0 else ZERO) if excess else None, ZERO if excess else None)


def zero_one(x, y, tolerance=None):
    """Of labels, or of numbers with a tolerance; no derivatives."""
    return Terms(ONE if (x != y if tolerance is None else abs(y - x) >= tolerance) else ZERO)
