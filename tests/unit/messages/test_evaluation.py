"""Figures agree with scikit-learn's and with ones made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from pnd_dagster.messages.evaluation import calibration_error, evaluate, f1_scores, reliability, reweighted


def sample(n: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, n)
    scores = rng.random((n, 6)) + np.eye(6)[labels] * 0.5
    return scores / scores.sum(axis=1, keepdims=True), labels, rng.integers(0, 20, n)


def test_f1_recall_and_precision_are_those_of_scikit_learn() -> None:
    probabilities, labels, groups = sample()
    predicted = probabilities.argmax(axis=1)
    report = evaluate(probabilities, labels, groups, draws=50)
    assert report["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"), abs=1e-4)
    assert report["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-4)
    recalls = [figures["recall"] for figures in report["per_class"].values()]
    precisions = [figures["precision"] for figures in report["per_class"].values()]
    assert recalls == pytest.approx(recall_score(labels, predicted, average=None), abs=1e-4)
    assert precisions == pytest.approx(precision_score(labels, predicted, average=None), abs=1e-4)


def test_the_interval_holds_the_figure_and_repeats_under_a_seed() -> None:
    first, again = (evaluate(*sample(), draws=200) for _ in range(2))
    assert first == again
    assert first["weighted_f1_low"] < first["weighted_f1"] < first["weighted_f1_high"]


def test_the_interval_is_wide_when_all_errors_lie_in_one_channel() -> None:
    labels = np.zeros(100, dtype=int)
    probabilities = np.eye(6)[np.where(np.arange(100) < 50, 0, 5)]
    by_channel = evaluate(probabilities, labels, np.arange(100) // 50, draws=200)
    by_message = evaluate(probabilities, labels, np.arange(100), draws=200)
    assert by_channel["weighted_f1_high"] - by_channel["weighted_f1_low"] > by_message["weighted_f1_high"] - by_message["weighted_f1_low"]


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.tile([0.8, 0.2, 0, 0, 0, 0], (10, 1))
    assert calibration_error(probabilities, np.array([0] * 8 + [1] * 2)) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.3)


def test_reweighting_gives_the_f1_of_the_same_recalls_under_other_counts() -> None:
    labels = np.array([0] * 10 + [5] * 10)
    predicted = np.array([0] * 8 + [5] * 2 + [5] * 9 + [0])
    probabilities = np.eye(6)[predicted]
    assert reweighted(probabilities, labels, [10, 0, 0, 0, 0, 10]) == pytest.approx(
        f1_score(labels, predicted, average="weighted"), abs=1e-4
    )
    many = np.repeat(labels, np.where(labels == 5, 10, 1)), np.repeat(predicted, np.where(labels == 5, 10, 1))
    assert reweighted(probabilities, labels, [10, 0, 0, 0, 0, 100]) == pytest.approx(f1_score(*many, average="weighted"), abs=1e-4)


def test_classes_that_do_not_occur_are_left_out_of_both_scores() -> None:
    confusion = np.zeros((6, 6), int)
    confusion[0, 0], confusion[5, 5], confusion[5, 3] = 4, 3, 1
    weighted, macro = f1_scores(confusion)
    assert macro == pytest.approx((1 + 6 / 7) / 2)
    assert weighted == pytest.approx((1 + 6 / 7) / 2)
    assert all(np.isnan(f1_scores(np.zeros((6, 6), int))))


def test_reliability_has_confidence_and_accuracy_of_each_bin() -> None:
    probabilities = np.array([[0.95, 0.05, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0], [0.55, 0.45, 0, 0, 0, 0]])
    found = reliability(probabilities, np.array([0, 1, 0]))
    assert found["bin"].to_list() == [5, 9]
    assert found["accuracy"].to_list() == [1.0, 0.5]
    assert found["messages"].to_list() == [1, 2]
    assert found["confidence"].to_list() == pytest.approx([0.55, 0.975])
