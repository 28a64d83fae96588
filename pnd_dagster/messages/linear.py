"""The linear half of the classifier: a multinomial logistic regression over hashed features; its fit, its logits, its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.errors import SourceError
from pnd_dagster.messages.features import COLUMNS, Features, hash_features, scaled
from pnd_dagster.messages.labels import LABEL_COUNT

_BATCH = 256
_INVERSE_REGULARISATION = 30.0
_LEAST_DOCUMENTS = 2
_MOST_ITERATIONS = 60


class LinearModel(NamedTuple):
    """A linear model over hashed features.

    Attributes:
        importance: inverse document frequency of each column, 0 for columns unseen in training; float32 [COLUMNS].
        weights: float32 [COLUMNS, 6].
        bias: float32 [6].
    """

    importance: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, normalised: Sequence[str]) -> NDArray[np.float64]:
        """Logits [n, 6] of normalised texts."""
        batches = [self._batch(normalised[at : at + _BATCH]) for at in range(0, len(normalised), _BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, LABEL_COUNT))

    def _batch(self, normalised: Sequence[str]) -> NDArray[np.float64]:
        features = hash_features(normalised)
        values = scaled(features, self.importance, len(normalised))
        products = self.weights[features.columns] * values[:, None]
        sums = [np.bincount(features.rows, products[:, label], minlength=len(normalised)) for label in range(LABEL_COUNT)]
        return (np.stack(sums, axis=1) + self.bias).astype(np.float64)


def fit_linear(
    normalised: Sequence[str], labels: NDArray[np.integer[Any]], weights: NDArray[np.floating[Any]], features: Features | None = None
) -> LinearModel:
    """Fits the linear model: L2-regularised, deterministic.

    Args:
        normalised: texts [n].
        labels: of the six classes [n].
        weights: how much each message counts [n].
        features: of the texts, if they are known already.

    Raises:
        SourceError: fewer than two classes occur.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise SourceError("training needs messages of at least two classes in column label")
    features = features or hash_features(normalised)
    documents = np.bincount(features.columns, minlength=COLUMNS)
    importance = np.log((1 + len(labels)) / (1 + documents)).astype(np.float32) + 1
    importance[documents < _LEAST_DOCUMENTS] = 0
    used = np.flatnonzero(importance)
    column_of = np.full(COLUMNS, -1)
    column_of[used] = np.arange(len(used))
    values = scaled(features, importance, len(labels))
    is_used = importance[features.columns] > 0
    matrix = csr_matrix(
        (values[is_used], (features.rows[is_used], column_of[features.columns[is_used]])), shape=(len(labels), len(used)), dtype=np.float32
    )
    head = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=_MOST_ITERATIONS, tol=1e-3).fit(matrix, labels, sample_weight=weights)
    table = np.zeros((COLUMNS, LABEL_COUNT), dtype=np.float32)
    # A class that training has not seen gets no weight and no chance.
    bias = np.full(LABEL_COUNT, -30.0, dtype=np.float32)
    # Of two classes scikit-learn keeps one row, for the second.
    coefficients, intercepts = head.coef_, head.intercept_
    if len(head.classes_) == 2:
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.array([0.0, intercepts[0]])
    table[np.ix_(used, head.classes_)] = coefficients.T
    bias[head.classes_] = intercepts
    return LinearModel(importance, table, bias)


def linear_to_bytes(model: LinearModel) -> bytes:
    """The model as safetensors; only columns that count are stored, in half precision."""
    from safetensors.numpy import save

    columns = np.flatnonzero(model.importance).astype(np.uint32)
    return save(
        {
            "columns": columns,
            "importance": model.importance[columns].astype(np.float16),
            "weights": np.ascontiguousarray(model.weights[columns].astype(np.float16)),
            "bias": model.bias.astype(np.float32),
        }
    )


def linear_from_bytes(blob: bytes) -> LinearModel:
    """The model in safetensors.

    Raises:
        ValueError: the bytes hold something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(blob)
        columns = stored["columns"].astype(np.int64)
        importance = np.zeros(COLUMNS, dtype=np.float32)
        weights = np.zeros((COLUMNS, LABEL_COUNT), dtype=np.float32)
        importance[columns] = stored["importance"]
        weights[columns] = stored["weights"]
        return LinearModel(importance, weights, stored["bias"])
    except (SafetensorError, KeyError, IndexError) as error:
        raise ValueError(f"no linear model: {error}") from error
