"""Draw the pictures of the documentation, docs/pictures/*.png, with fastloss itself. They are committed.

    python docs/plots.py                 all of them
    python docs/plots.py --into folder   elsewhere; tests/test_docs_site.py does that

One picture for each loss, named as its function, with value and gradient; and one for each page of docs/intuition.
It needs matplotlib.
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image  # matplotlib needs it, too

import fastloss as fl

PICTURES = pathlib.Path(__file__).parent / "pictures"
VALUE, GRADIENT, THIRD = "#0072b2", "#d55e00", "#333333"  # told apart by the colour-blind, too
STYLE = {"figure.dpi": 110, "font.size": 8, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False,
         "axes.grid": True, "grid.color": "#e4e4e4", "axes.axisbelow": True, "legend.frameon": False,
         "lines.linewidth": 1.6, "figure.constrained_layout.use": True}

DIFFERENCE = (np.linspace(-3, 3, 1201), 0.0, "input − target")
MARGIN = (np.linspace(-3, 3, 1201), 1.0, "input, the target is 1")
LOGIT = (np.linspace(-6, 6, 1201), 1.0, "logit, the target is 1")

# {elementwise loss: (inputs, target, label of the axis, options, what the title says of them)}
ELEMENTWISE = {
    "binary_cross_entropy_with_logits": (*LOGIT, {}, ""),
    "binary_cross_entropy": (np.linspace(0.05, 0.999, 1201), 1.0, "probability, the target is 1", {}, ""),
    "sigmoid_focal_loss": (*LOGIT, {"alpha": -1}, "gamma 2, alpha −1"),
    "mse_loss": (*DIFFERENCE, {}, ""),
    "l1_loss": (*DIFFERENCE, {}, ""),
    "smooth_l1_loss": (*DIFFERENCE, {}, "beta 1"),
    "huber_loss": (*DIFFERENCE, {}, "delta 1"),
    "log_cosh_loss": (*DIFFERENCE, {}, ""),
    "pseudo_huber_loss": (*DIFFERENCE, {}, "delta 1"),
    "pinball_loss": (*DIFFERENCE, {"quantile": 0.8}, "quantile 0.8"),
    "expectile_loss": (*DIFFERENCE, {"expectile": 0.8}, "expectile 0.8"),
    "epsilon_insensitive_loss": (*DIFFERENCE, {"epsilon": 0.5}, "epsilon 0.5"),
    "squared_epsilon_insensitive_loss": (*DIFFERENCE, {"epsilon": 0.5}, "epsilon 0.5"),
    "msle_loss": (np.linspace(-0.5, 4, 1201), 1.0, "input, the target is 1", {}, ""),
    "poisson_nll_loss": (np.linspace(-2, 2, 1201), 2.0, "logarithm of the rate, the target is 2", {}, ""),
    "gaussian_nll_loss": (*DIFFERENCE, {"var": 1.0}, "variance 1"),
    "gamma_nll_loss": (np.linspace(-1, 3, 1201), 2.0, "logarithm of the mean, the target is 2", {}, ""),
    "tweedie_nll_loss": (np.linspace(-2, 3, 1201), 2.0, "logarithm of the mean, the target is 2", {}, "power 1.5"),
    "hinge_loss": (*MARGIN, {}, "margin 1"),
    "squared_hinge_loss": (*MARGIN, {}, "margin 1"),
    "perceptron_loss": (*MARGIN, {}, ""),
    "exponential_loss": (np.linspace(-2, 3, 1201), 1.0, "input, the target is 1", {}, ""),
    "logistic_loss": (*MARGIN, {}, ""),
    "soft_margin_loss": (*MARGIN, {}, ""),
    "modified_huber_loss": (*MARGIN, {}, ""),
    "zero_one_loss": (*DIFFERENCE, {"tolerance": 1.0}, "tolerance 1"),
    "hinge_embedding_loss": (np.linspace(-1, 3, 1201), -1.0, "distance, the target is −1", {}, "margin 1"),
    "kl_div": (np.linspace(-3, 0, 1201), 0.5, "log q, the target p is 0.5", {}, ""),
    "l1_penalty": (np.linspace(-3, 3, 1201), None, "input", {}, ""),
    "l2_penalty": (np.linspace(-3, 3, 1201), None, "input", {}, ""),
}

# {loss over classes: (what moves, what the title says)}; the classes are three, the two others stay at 0
ROWS = {
    "cross_entropy": ("logit of the true class, the others are 0", "3 classes"),
    "softmax_focal_loss": ("logit of the true class, the others are 0", "3 classes, gamma 2"),
    "multi_margin_loss": ("score of the true class, the others are 0", "3 classes, margin 1"),
    "nll_loss": ("log-probability of the true class", ""),
}


def save(figure, file):
    figure.savefig(file)
    plt.close(figure)
    Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)  # a quarter of the size; nobody sees it


def elementwise(name):
    """x, value, gradient (or None) and label of the x axis."""
    x, target, label, options, _ = ELEMENTWISE[name]
    options = dict(options)
    loss = getattr(fl, name)
    arguments = [x] if target is None else [x, np.full_like(x, target)]
    if "var" in options:
        arguments.append(options.pop("var"))
    if name == "zero_one_loss":
        return x, loss(*arguments, reduction="none", **options), None, label
    return x, *loss.value_and_grad(*arguments, reduction="none", **options), label


def over_classes(name):
    x = np.linspace(-4, 0, 1201) if name == "nll_loss" else np.linspace(-6, 6, 1201)
    logits = np.zeros((x.size, 3))
    logits[:, 0] = x
    value, gradient = getattr(fl, name).value_and_grad(logits, np.zeros(x.size, int), reduction="none")
    return x, value, gradient[:, 0], ROWS[name][0]


def draw_loss(name, file):
    x, value, gradient, label = elementwise(name) if name in ELEMENTWISE else over_classes(name)
    note = (ELEMENTWISE.get(name) or ROWS[name])[-1]
    figure, axes = plt.subplots(figsize=(3.2, 2.3))
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.plot(x, value, color=VALUE, label="value")
    if gradient is not None:
        axes.plot(x, gradient, color=GRADIENT, linestyle="--", label="gradient")
    axes.set_title(f"{name}\n{note}" if note and len(name) > 18 else f"{name}, {note}" if note else name)
    axes.set_xlabel(label)
    axes.legend(loc="best", handlelength=2.4)
    save(figure, file)


def information(file):
    p = np.linspace(0.004, 1, 500)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
    left.plot(p, fl.information(p), color=VALUE)
    left.set(title="information of an event, −log p", xlabel="probability p of the event", ylabel="nats")
    q = p[:-1]
    belief, truth = np.stack([q, 1 - q], axis=1), np.broadcast_to([0.7, 0.3], (q.size, 2))
    right.plot(q, fl.cross_entropy_probs(belief, truth), color=GRADIENT, linestyle="--", label="cross-entropy")
    right.axhline(fl.entropy([0.7, 0.3]), color=VALUE, label="entropy of the coin")
    right.axvline(0.7, color=THIRD, linewidth=0.8, linestyle=":")
    right.set(title="a coin of 0.7, believed to be one of q", xlabel="q", ylim=(0, 2.4))
    right.legend(loc="upper center")
    save(figure, file)


def likelihood(file):
    rate = np.linspace(0.01, 0.99, 400)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
    for heads, tosses, colour, line in ((7, 10, VALUE, "-"), (70, 100, GRADIENT, "--")):
        faces = np.r_[np.ones(heads), np.zeros(tosses - heads)]
        cost = np.array([fl.binary_cross_entropy(np.full(tosses, p), faces, reduction="sum") for p in rate])
        label = f"{heads} of {tosses}"
        left.plot(rate, np.exp(cost.min() - cost), color=colour, linestyle=line, label=label)
        right.plot(rate, cost / tosses, color=colour, linestyle=line, label=label, linewidth=3 if heads == 7 else 1.6)
    left.set(title="likelihood, over its largest value", xlabel="assumed probability of heads")
    right.set(title="mean of −log likelihood", xlabel="assumed probability of heads")
    for axes in (left, right):
        axes.axvline(0.7, color=THIRD, linewidth=0.8, linestyle=":")
    left.legend(loc="upper left")
    right.legend(loc="upper center")
    save(figure, file)


def squared_error(file):
    x = np.linspace(-10, 6, 600)
    ones = np.ones_like(x)
    value, slope = fl.binary_cross_entropy_with_logits.value_and_grad(x, ones, reduction="none")
    p = fl.sigmoid(x)
    square, by_p = fl.mse_loss.value_and_grad(p, ones, reduction="none")
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
    left.plot(x, value, color=VALUE, label="cross-entropy")
    left.plot(x, square, color=GRADIENT, linestyle="--", label="squared error of σ(x)")
    left.set(title="value, the target is 1", xlabel="logit x")
    right.plot(x, slope, color=VALUE)
    right.plot(x, by_p * p * (1 - p), color=GRADIENT, linestyle="--")
    right.set(title="slope", xlabel="logit x")
    left.legend(loc="upper right")
    save(figure, file)


def separating_line(loss, points, classes):
    """Weights and intercept of the line that plain gradient descent finds. (From 0 the perceptron would not move.)"""
    design = np.c_[points, np.ones(len(points))]
    weights = np.array([0.1, -0.2, 0.0])
    for _ in range(5000):
        weights -= 0.02 * design.T @ loss.grad(design @ weights, classes)
    return weights


def hinge(file):
    margin = np.linspace(-2, 3, 600)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
    rng = np.random.default_rng(3)
    points = np.r_[rng.normal((-1.6, -1.2), 0.6, (25, 2)), rng.normal((1.6, 1.2), 0.6, (25, 2))]
    classes = np.repeat([-1, 1], 25)
    x = np.array([-3.2, 3.2])
    for name, colour, line in (("hinge_loss", VALUE, "-"), ("perceptron_loss", GRADIENT, "--")):
        loss = getattr(fl, name)
        left.plot(margin, loss(margin, np.ones_like(margin), reduction="none"), color=colour, linestyle=line,
                  label=name.removesuffix("_loss"))
        a, b, c = separating_line(loss, points, classes)
        right.plot(x, -(a * x + c) / b, color=colour, linestyle=line)
    left.set(title="cost of a margin", xlabel="margin")
    left.legend()
    right.scatter(*points[:25].T, s=12, color=THIRD, marker="o", facecolors="none", linewidth=0.8)
    right.scatter(*points[25:].T, s=14, color=THIRD, marker="x", linewidth=0.8)
    right.set(title="the line that each of them finds", ylim=(-3.2, 3.2), xlim=(-3.2, 3.2))
    save(figure, file)


def huber(file):
    d = np.linspace(-4, 4, 800)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
    data = np.array([0.9, 1.0, 1.1, 1.2, 1.4, 8.0])
    guesses = np.linspace(0, 5, 501)
    for name, colour, line in (("mse_loss", GRADIENT, "--"), ("l1_loss", THIRD, ":"), ("huber_loss", VALUE, "-")):
        loss = getattr(fl, name)
        left.plot(d, loss.grad(d, np.zeros_like(d), reduction="none"), color=colour, linestyle=line,
                  label=name.removesuffix("_loss"))
        cost = np.array([loss(np.full(data.size, guess), data) for guess in guesses])
        right.plot(guesses, cost - cost.min(), color=colour, linestyle=line)
        right.plot(guesses[cost.argmin()], 0, "o", color=colour, markersize=5, clip_on=False, zorder=3)
    left.set(title="pull of one point", xlabel="input − target", ylabel="gradient", ylim=(-4, 4))
    left.legend(loc="upper left")
    right.set(title="mean loss of a guess, above its least", xlabel="guess", ylim=(0, 2))
    right.plot(data[:-1], np.full(5, 1.9), "|", color=THIRD, markersize=8)
    right.text(1.6, 1.86, "the sixth is at 8", fontsize=7, color=THIRD)
    save(figure, file)


INTUITION = {"information": information, "likelihood": likelihood, "squared-error": squared_error, "hinge": hinge,
             "huber": huber}


def main():
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("--into", type=pathlib.Path, default=PICTURES, help="folder of the pictures")
    folder = parser.parse_args().into
    folder.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for name in (*ELEMENTWISE, *ROWS):
            draw_loss(name, folder / f"{name}.png")
        for name, draw in INTUITION.items():
            draw(folder / f"{name}.png")


if __name__ == "__main__":
    main()
