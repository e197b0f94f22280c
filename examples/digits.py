"""Multinomial logistic regression on 1,797 real handwritten digits, trained with fastloss and SciPy's L-BFGS-B.

scikit-learn's LogisticRegression minimises the same function, so both should find the same model: this script compares
their accuracy and time. It saves a picture and exits with 1 if the model is not as good as it should be.

    python examples/digits.py
"""

import statistics
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import fastloss as fl

matplotlib.use("Agg")  # draws into a file: no display needed
import matplotlib.pyplot as plt

CLASSES = 10
C = 1.0  # as in scikit-learn: the smaller, the stronger the L2 penalty on the weights
TOLERANCE = 1e-6  # stop when no entry of the gradient is larger
MAX_ITERATIONS = 1000
REPEATS = 5
PICTURE = Path("digits.png")


def unpack(parameters):
    """The optimiser knows one flat vector; the model has a matrix of weights and a vector of biases."""
    return parameters[:-CLASSES].reshape(-1, CLASSES), parameters[-CLASSES:]


def objective(parameters, x, y):
    """Mean cross-entropy plus L2 penalty, and the gradient of both: what `minimize(..., jac=True)` asks for."""
    weights, biases = unpack(parameters)
    penalty = 1 / (C * len(x))
    loss, d_logits = fl.cross_entropy.value_and_grad(x @ weights + biases, y)
    loss += penalty / 2 * np.sum(weights**2)
    d_weights = x.T @ d_logits + penalty * weights
    return loss, np.concatenate([d_weights.ravel(), d_logits.sum(axis=0)])


def train(x, y, callback=None):
    start = np.zeros((x.shape[1] + 1) * CLASSES)
    result = minimize(objective, start, args=(x, y), jac=True, method="L-BFGS-B", callback=callback,
                      options={"gtol": TOLERANCE, "ftol": 0, "maxiter": MAX_ITERATIONS})
    if not result.success:
        sys.exit(f"training stopped early: {result.message}")
    return result.x


def train_with_progress(x, y):
    """The trained weights and biases, and the loss after each iteration."""
    losses = []
    with tqdm(total=MAX_ITERATIONS, desc="training", unit=" iterations") as bar:

        def show(intermediate_result):  # SciPy calls it after each iteration, and wants the argument named so
            losses.append(intermediate_result.fun)
            bar.set_postfix(loss=f"{losses[-1]:.6f}", refresh=False)
            bar.update()

        parameters = train(x, y, show)
        bar.total = bar.n  # converged: this is all there was to do
        bar.refresh()
    return *unpack(parameters), losses


def train_scikit_learn(x, y):
    return LogisticRegression(C=C, tol=TOLERANCE, max_iter=MAX_ITERATIONS).fit(x, y)


def median_seconds(function, *arguments):
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def draw(losses, weights, y_test, predicted):
    figure = plt.figure(figsize=(11, 8), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 0.95))
    curve, matrix = upper.subplots(1, 2)

    curve.semilogx(range(1, len(losses) + 1), losses)
    curve.set(title="Training loss (with penalty)", xlabel="iteration", ylabel="loss", ylim=0)
    curve.xaxis.set_major_formatter("{x:g}")  # 100, not 10²
    curve.grid(alpha=0.3)

    counts = confusion_matrix(y_test, predicted)
    matrix.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if count > counts.max() / 2 else "black"
            matrix.text(column, row, count, ha="center", va="center", color=color, fontsize=9)
    matrix.set(title=f"Test images: {np.trace(counts)} of {counts.sum()} right", xlabel="predicted digit",
               ylabel="true digit", xticks=range(CLASSES), yticks=range(CLASSES))

    lower.suptitle("Learned weights: a red pixel speaks for the digit, a blue one against it", fontsize="large")
    images = lower.subplots(2, CLASSES // 2)
    limit = np.abs(weights).max()
    for digit, axes in enumerate(images.flat):
        shown = axes.imshow(weights[:, digit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set(title=digit, xticks=[], yticks=[])
    lower.colorbar(shown, ax=images, shrink=0.9)
    figure.savefig(PICTURE, dpi=120, bbox_inches="tight")


def main():
    pixels, digits = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(pixels / 16, digits, test_size=0.25, stratify=digits, random_state=0)

    weights, biases, losses = train_with_progress(x, y)
    predicted = np.argmax(x_test @ weights + biases, axis=1)
    right = np.sum(predicted == y_test)
    train_accuracy = np.mean(np.argmax(x @ weights + biases, axis=1) == y)

    peer = train_scikit_learn(x, y)
    peer_right = np.sum(peer.predict(x_test) == y_test)

    print(f"{len(x)} training and {len(x_test)} test images, {len(losses)} iterations")
    print(f"{'':<32}{'train':>8}{'test':>8}{'time':>12}")
    for name, on_train, on_test, function in (
        ("fastloss + SciPy", train_accuracy, right / len(y_test), train),
        ("scikit-learn LogisticRegression", peer.score(x, y), peer_right / len(y_test), train_scikit_learn),
    ):
        print(f"{name:<32}{on_train:8.4f}{on_test:8.4f}{median_seconds(function, x, y) * 1000:9.0f} ms")

    draw(losses, weights, y_test, predicted)
    print(f"picture saved to {PICTURE.resolve()}")

    if right < 0.95 * len(y_test):
        sys.exit(f"test accuracy is {right / len(y_test):.4f}, less than 0.95")
    if abs(right - peer_right) > 1:
        sys.exit(f"{right} test images right, but scikit-learn has {peer_right}: they should differ by one at most")


if __name__ == "__main__":
    main()
