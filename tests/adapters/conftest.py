"""Data for the boosters: a few hundred weighted rows, with a target of each kind."""

import dataclasses

import numpy as np
import pytest


@dataclasses.dataclass
class Data:
    X: np.ndarray
    weight: np.ndarray
    binary: np.ndarray
    real: np.ndarray
    classes: np.ndarray

    def cases(self):
        """{name: target}"""
        return {"binary": self.binary, "regression": self.real, "multiclass": self.classes}


@pytest.fixture(scope="session")
def data():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    score = X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=300) + 0.8
    return Data(X, rng.uniform(0.5, 2.0, 300).astype(np.float32), (score > 0).astype(np.float64), score,
                np.digitize(score, [-1.0, 1.5]))
