from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_curve

from pnd_dagster.candidates.learned import figures

RNG = np.random.default_rng(0)
LABELS = RNG.random(60) < 0.4
SCORES = np.round(LABELS * 0.2 + 0.8 * RNG.random(60), 1)


def test_the_confusion_matrix_is_scikit_learns() -> None:
    np.testing.assert_array_equal(figures.confusion_counts(SCORES, LABELS), confusion_matrix(LABELS, SCORES >= 0.5))


def test_precision_and_recall_are_scikit_learns() -> None:
    recall, precision = figures.precision_by_recall(SCORES, LABELS)
    expected = precision_recall_curve(LABELS, SCORES)
    np.testing.assert_allclose(precision[::-1], expected[0][:-1])
    np.testing.assert_allclose(recall[::-1], expected[1][:-1])
