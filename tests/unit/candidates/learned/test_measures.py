from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from pnd_dagster.candidates.learned.measures import RESAMPLES, curve_areas, estimate, resampled, weighted_f1

RNG = np.random.default_rng(0)
LABELS = RNG.random(200) < 0.3
SCORES = np.round(LABELS * 0.3 + RNG.random(200), 1)


def test_areas_are_scikit_learns_with_ties_and_weights() -> None:
    weights = np.stack((np.ones(200), RNG.integers(0, 4, 200).astype(float)))
    roc, precision_recall = curve_areas(SCORES, LABELS, weights)
    for row in range(2):
        assert roc[row] == pytest.approx(roc_auc_score(LABELS, SCORES, sample_weight=weights[row]))
        assert precision_recall[row] == pytest.approx(average_precision_score(LABELS, SCORES, sample_weight=weights[row]))


def test_weighted_f1_is_scikit_learns() -> None:
    for named in (SCORES >= 0.7, np.zeros(200, bool), np.ones(200, bool)):
        expected = f1_score(LABELS, named, average="weighted", zero_division=0.0)  # pyright: ignore[reportArgumentType]
        assert weighted_f1(named, LABELS, np.ones((1, 200)))[0] == pytest.approx(expected)


def test_a_coins_samples_are_drawn_together() -> None:
    coins = np.array(["A", "A", "B", "C", "C", "C"])
    weights = resampled(coins, 0)
    assert weights.shape == (1 + RESAMPLES, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_an_interval_is_wider_where_samples_repeat_few_coins() -> None:
    def width(coins: list[str]) -> float:
        found = estimate(curve_areas(SCORES, LABELS, resampled(np.array(coins), 0))[0])
        assert found.low < found.value < found.high
        return found.high - found.low

    order = np.lexsort((SCORES, LABELS))
    blocks = np.empty(200, int)
    blocks[order] = np.arange(200) // 10
    assert width([f"C{block}" for block in blocks]) > width([f"C{number}" for number in range(200)])
