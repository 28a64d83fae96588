"""Figures of a classifier's scores, with intervals from resampled coins: one coin's samples come and go together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnd_dagster.candidates.learned.series import Floats

RESAMPLES = 500
Booleans = NDArray[np.bool_]


class Estimate(NamedTuple):
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


def curve_areas(scores: Floats, is_pumped: Booleans, weights: Floats) -> tuple[Floats, Floats]:
    """Area under the ROC curve, and average precision (area under precision over recall), for each row of weights; ties count half.

    Args:
        scores: [samples].
        is_pumped: [samples].
        weights: [rows, samples].

    Returns:
        Two times [rows]; NaN where a class has no weight.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positive = np.cumsum(weights[:, order] * is_pumped[order], axis=1)[:, ends]
    negative = np.cumsum(weights[:, order] * ~is_pumped[order], axis=1)[:, ends]
    before = np.zeros((len(weights), 1))
    gained = np.diff(positive, prepend=before)
    lost = np.diff(negative, prepend=before)
    with np.errstate(invalid="ignore", divide="ignore"):
        roc = np.sum(lost * (positive - gained / 2), axis=1) / (positive[:, -1] * negative[:, -1])
        precision = np.nan_to_num(positive / (positive + negative))
        return roc, np.sum(gained * precision, axis=1) / positive[:, -1]


def weighted_f1(is_named: Booleans, is_pumped: Booleans, weights: Floats) -> Floats:
    """F1 of both classes, weighted by their sizes (the paper's measure), for each row of weights. Shape [rows]."""
    result = np.zeros(len(weights))
    for named, true in ((is_named, is_pumped), (~is_named, ~is_pumped)):
        hits, size = weights @ (named & true), weights @ true
        total = size + weights @ named
        result += size * np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)
    return result / weights.sum(axis=1)


def resampled(clusters: NDArray[np.str_], seed: int) -> Floats:
    """Weights of the samples as they are, and of `RESAMPLES` draws of clusters with replacement: [1 + RESAMPLES, samples]."""
    names, place = np.unique(clusters, return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return np.concatenate((np.ones((1, len(clusters))), draws[:, place].astype(float)))


def estimate(rows: Floats) -> Estimate:
    """The first row's value and the middle 95% of the others."""
    others = rows[1:][np.isfinite(rows[1:])]
    low, high = np.percentile(others, [2.5, 97.5]) if len(others) else (np.nan, np.nan)
    return Estimate(float(rows[0]), float(low), float(high))
