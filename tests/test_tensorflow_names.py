"""TensorFlow's three cross-entropies by their formulas, and the calls that give the same numbers.

TensorFlow itself is not needed: each function is written here as its documentation defines it, in float64 with care for
large logits.
"""

import numpy as np
import pytest

import fastloss as fl

rng = np.random.default_rng(0)
LOGITS = np.concatenate([rng.normal(0, 3, (40, 10)), rng.uniform(-60, 60, (10, 10))])
LABELS = rng.integers(0, 10, 50)
PROBABILITIES = rng.dirichlet(np.ones(10), 50)


def softmax_cross_entropy_with_logits(labels, logits):
    """tf.nn.softmax_cross_entropy_with_logits: -sum(labels * log(softmax(logits))) over the last axis, of every row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return -(labels * (shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))).sum(axis=-1)


def sparse_softmax_cross_entropy_with_logits(labels, logits):
    """tf.nn.sparse_softmax_cross_entropy_with_logits: the same for the one-hot vectors of integer labels."""
    return softmax_cross_entropy_with_logits(np.eye(logits.shape[-1])[labels], logits)


def sigmoid_cross_entropy_with_logits(labels, logits):
    """tf.nn.sigmoid_cross_entropy_with_logits: max(x, 0) - x z + log(1 + exp(-|x|)), of every element."""
    return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))


def weighted_cross_entropy_with_logits(labels, logits, pos_weight):
    """tf.nn.weighted_cross_entropy_with_logits: (1 - z) x + (1 + (q - 1) z) (log(1 + exp(-|x|)) + max(-x, 0))."""
    factor = 1 + (pos_weight - 1) * labels
    return (1 - labels) * logits + factor * (np.log1p(np.exp(-np.abs(logits))) + np.maximum(-logits, 0))


def same(got, expected):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


def test_softmax_cross_entropy_with_logits():
    same(fl.cross_entropy(LOGITS, PROBABILITIES, reduction="none"),
         softmax_cross_entropy_with_logits(labels=PROBABILITIES, logits=LOGITS))


def test_softmax_cross_entropy_with_logits_of_more_axes():
    """TensorFlow's classes are on the last axis: say so with `axis`."""
    logits, labels = LOGITS.reshape(5, 10, 10), PROBABILITIES.reshape(5, 10, 10)
    same(fl.cross_entropy(logits, labels, reduction="none", axis=-1),
         softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def test_sparse_softmax_cross_entropy_with_logits():
    same(fl.cross_entropy(LOGITS, LABELS, reduction="none"),
         sparse_softmax_cross_entropy_with_logits(labels=LABELS, logits=LOGITS))
    same(fl.cross_entropy(LOGITS.reshape(5, 10, 10), LABELS.reshape(5, 10), reduction="none", axis=-1),
         sparse_softmax_cross_entropy_with_logits(labels=LABELS.reshape(5, 10), logits=LOGITS.reshape(5, 10, 10)))


@pytest.mark.parametrize("labels", [PROBABILITIES, (PROBABILITIES > 0.1).astype(float)], ids=["soft", "0 and 1"])
def test_sigmoid_cross_entropy_with_logits(labels):
    same(fl.binary_cross_entropy_with_logits(LOGITS, labels, reduction="none"),
         sigmoid_cross_entropy_with_logits(labels=labels, logits=LOGITS))


def test_weighted_cross_entropy_with_logits():
    same(fl.binary_cross_entropy_with_logits(LOGITS, PROBABILITIES, pos_weight=2.5, reduction="none"),
         weighted_cross_entropy_with_logits(PROBABILITIES, LOGITS, 2.5))


def test_the_order_of_the_arguments_matters():
    """TensorFlow names labels first: swapped arguments are refused or give other numbers, never silently the same."""
    with pytest.raises(ValueError, match="target"):
        fl.binary_cross_entropy_with_logits(PROBABILITIES, LOGITS)
    assert not np.allclose(fl.cross_entropy(PROBABILITIES, LOGITS), fl.cross_entropy(LOGITS, PROBABILITIES))


def test_tensorflow_itself():
    """Where it is installed: the formulas above are its own."""
    tf = pytest.importorskip("tensorflow")
    same(tf.nn.softmax_cross_entropy_with_logits(PROBABILITIES, LOGITS).numpy(),
         softmax_cross_entropy_with_logits(PROBABILITIES, LOGITS))
    same(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, LOGITS).numpy(),
         sparse_softmax_cross_entropy_with_logits(LABELS, LOGITS))
    same(tf.nn.sigmoid_cross_entropy_with_logits(PROBABILITIES, LOGITS).numpy(),
         sigmoid_cross_entropy_with_logits(PROBABILITIES, LOGITS))
