"""The blend of two opinions is calibrated, and listens to the better one."""

from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.messages.blend import Blend, fit_blend, log_softmax, softmax
from pnd_dagster.messages.evaluation import calibration_error


def drawn(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn by the probabilities that they mean."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 6)) * 2
    labels = (softmax(logits).cumsum(axis=1) > rng.random((n, 1)) * 0.999).argmax(axis=1)
    return logits, labels


def test_probabilities_of_huge_and_tiny_logits_sum_to_one() -> None:
    logits = np.array([[1e4, -1e4, 0, 0, 0, 0], [1e-9] * 6], dtype=np.float32)
    assert softmax(logits).sum(axis=1) == pytest.approx([1, 1])
    assert np.isfinite(log_softmax(logits)).all()
    assert softmax(np.zeros((0, 6))).shape == (0, 6)


def test_an_overconfident_model_is_cooled_until_it_is_calibrated() -> None:
    logits, labels = drawn()
    blend = fit_blend(3 * logits, 3 * logits, labels)
    assert sum(blend.weights) == pytest.approx(1 / 3, rel=0.15)
    assert calibration_error(softmax(3 * logits), labels) > 0.1
    assert calibration_error(blend.probabilities(3 * logits, 3 * logits), labels) < 0.03


def test_noise_gets_no_weight_beside_an_opinion() -> None:
    logits, labels = drawn()
    noise = np.random.default_rng(1).normal(size=logits.shape)
    first = fit_blend(logits, noise, labels)
    second = fit_blend(noise, logits, labels)
    assert first.weights[0] > 0.8 > 0.15 > first.weights[1]
    assert second.weights == pytest.approx(first.weights[::-1], abs=0.01)


def test_a_class_that_both_halves_underrate_gets_a_bias() -> None:
    logits, labels = drawn()
    shifted = logits - np.array([0, 0, 0, 0, 0.8, 0])
    blend = fit_blend(shifted, shifted, labels)
    assert np.argmax(blend.bias) == 4
    assert all(-1 <= value <= 1 for value in blend.bias)


def test_without_labels_both_halves_count_alike() -> None:
    nothing = np.zeros((0, 6))
    assert fit_blend(nothing, nothing, np.zeros(0, int)) == Blend((0.5, 0.5), (0.0,) * 6)
