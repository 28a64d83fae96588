"""How the two halves of the classifier become one calibrated opinion: a weight for each half's log-probabilities and a bias by class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.messages.labels import LABEL_COUNT

_BIAS_PENALTY = 20.0


class Blend(NamedTuple):
    """Weights [2] of the linear model's and the encoder's log-probabilities, and the bias [6]."""

    weights: tuple[float, ...]
    bias: tuple[float, ...]

    def probabilities(self, linear: NDArray[np.floating[Any]], encoder: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Probabilities [n, 6] from the logits [n, 6] of both halves."""
        mixed = self.weights[0] * log_softmax(linear) + self.weights[1] * log_softmax(encoder)
        return softmax(mixed + np.array(self.bias))


def fit_blend(linear: NDArray[np.floating[Any]], encoder: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> Blend:
    """The blend under which `labels` are likeliest; the logits [n, 6] must be of messages that neither half was trained on."""
    from scipy.optimize import minimize

    first, second = log_softmax(linear), log_softmax(encoder)
    rows = np.arange(len(labels))

    def loss(values: NDArray[np.float64]) -> float:
        scores = log_softmax(values[0] * first + values[1] * second + values[2:])
        return float(-scores[rows, labels].sum() + _BIAS_PENALTY * (values[2:] ** 2).sum())

    start = np.array([0.5, 0.5, *[0.0] * LABEL_COUNT])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(0, 3), (0, 3), *[(-1.0, 1.0)] * LABEL_COUNT])
    values = [round(float(value), 4) for value in found.x]
    return Blend(tuple(values[:2]), tuple(values[2:]))


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Probabilities of each row."""
    return np.exp(log_softmax(logits)).astype(np.float32)


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log-probabilities of each row."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
