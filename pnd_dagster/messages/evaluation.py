"""Figures of a classifier on labelled messages: F1, recall and precision by class, calibration, intervals by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pnd_dagster.messages.labels import LABEL_COUNT, MessageLabel

_CALIBRATION_BINS = 15


def evaluate(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], groups: NDArray[Any], *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Figures of predicted `probabilities` [n, 6] against `labels` [n].

    Args:
        probabilities: of messages that were not trained on.
        labels: the true classes.
        groups: the channel of each message; the 95% intervals are a bootstrap over channels, since a channel's posts resemble each other.
        draws: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        n, groups, accuracy, weighted_f1 and macro_f1 with `_low` and `_high`, expected_calibration_error (15 bins), per_class (n, recall,
        precision, f1), confusion (true by predicted).
    """
    predicted = probabilities.argmax(axis=1)
    names, group = np.unique(groups, return_inverse=True)
    by_group = np.zeros((len(names), LABEL_COUNT, LABEL_COUNT), dtype=np.int64)
    np.add.at(by_group, (group, labels, predicted), 1)
    confusion = by_group.sum(axis=0)
    weighted, macro = f1_scores(confusion)
    sampler = np.random.default_rng(seed)
    samples = [f1_scores(by_group[sampler.integers(0, len(names), len(names))].sum(axis=0)) for _ in range(draws)]
    low, high = np.nanpercentile(np.array(samples), [2.5, 97.5], axis=0)
    return {
        "n": len(labels),
        "channels": len(names),
        "accuracy": _rounded(np.trace(confusion) / max(len(labels), 1)),
        "weighted_f1": _rounded(weighted),
        "weighted_f1_low": _rounded(low[0]),
        "weighted_f1_high": _rounded(high[0]),
        "macro_f1": _rounded(macro),
        "macro_f1_low": _rounded(low[1]),
        "macro_f1_high": _rounded(high[1]),
        "expected_calibration_error": _rounded(calibration_error(probabilities, labels)),
        "per_class": {label.name.lower(): _class_figures(confusion, label) for label in MessageLabel},
        "confusion": confusion.tolist(),
    }


def reweighted(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], counts: Sequence[int]) -> float:
    """Weighted F1 as if the classes occurred as often as in `counts` [6]: each true class's row of the confusion is scaled to its count."""
    confusion = np.zeros((LABEL_COUNT, LABEL_COUNT))
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    support = confusion.sum(axis=1, keepdims=True)
    return _rounded(f1_scores(confusion / np.maximum(support, 1) * np.array(counts)[:, None])[0])


def f1_scores(confusion: NDArray[Any]) -> tuple[float, float]:
    """Weighted and macro F1 of a confusion matrix (true by predicted); classes that do not occur are left out of both."""
    true_positive = np.diag(confusion).astype(float)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * true_positive / np.maximum(support + predicted, 1e-9)
    occurs = support > 0
    if not occurs.any():
        return float("nan"), float("nan")
    return float((f1 * support).sum() / support.sum()), float(f1[occurs].mean())


def calibration_error(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over 15 bins of equal width, weighted by their size."""
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, confidence - is_right, minlength=_CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / max(len(labels), 1))


def reliability(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], bins: int = 10) -> pl.DataFrame:
    """For a calibration plot: confidence (mean), accuracy and messages of each bin of confidence of equal width."""
    confidence = probabilities.max(axis=1)
    frame = pl.DataFrame(
        {
            "bin": np.minimum((confidence * bins).astype(int), bins - 1),
            "confidence": confidence,
            "is_right": probabilities.argmax(axis=1) == labels,
        }
    )
    return frame.group_by("bin").agg(pl.col("confidence").mean(), accuracy=pl.col("is_right").mean(), messages=pl.len()).sort("bin")


def _class_figures(confusion: NDArray[np.integer[Any]], label: int) -> dict[str, float | int]:
    hits = int(confusion[label, label])
    support, predicted = int(confusion[label].sum()), int(confusion[:, label].sum())
    return {
        "n": support,
        "recall": _rounded(hits / max(support, 1)),
        "precision": _rounded(hits / max(predicted, 1)),
        "f1": _rounded(2 * hits / max(support + predicted, 1)),
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)
