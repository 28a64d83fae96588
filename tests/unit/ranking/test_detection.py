"""The detector: what a minute shows against the minutes of days, carried from bucket to bucket."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pnd_dagster.ranking.detection import (
    LEAST_WINDOWS,
    MEMORY_WINDOWS,
    SIZE,
    THRESHOLDS,
    Baseline,
    Bucket,
    Detector,
    Signs,
    in_words,
    is_pump,
    no_baseline,
)

Values = NDArray[np.float64]


def bucket(count: Values, *, price: float = 1.0, bought: Values | None = None) -> Bucket:
    """Trades of one unit each, all bought unless it is said otherwise."""
    return Bucket(count, count if bought is None else bought, count, price * count)


def settled(count: int = 2, mean: float = 6.0, deviation: float = 2.0) -> Baseline:
    """A baseline of a day."""
    n = np.full((2, count), 1440.0)
    return Baseline(n, np.full((2, count), mean), deviation**2 * (n - 1))


def quiet(detector: Detector, buckets: int, count: int = 2) -> Signs:
    signs = detector.update(bucket(np.full(count, 0.5)))
    for _ in range(buckets - 1):
        signs = detector.update(bucket(np.full(count, 0.5)))
    return signs


def test_the_baseline_is_that_of_the_minutes_that_lie_end_to_end_but_for_the_last() -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(2.0, (SIZE * 30, 3)).astype(np.float64)
    bought = counts * rng.random(counts.shape)
    detector = Detector(no_baseline(3), np.full(3, np.nan))
    for place in range(len(counts)):
        detector.update(bucket(counts[place], bought=bought[place]))
    for row, values in enumerate((bought, counts)):
        minutes = values.reshape(30, SIZE, 3).sum(axis=1)[:-1]
        assert detector.baseline.n[row] == pytest.approx(29)
        assert detector.baseline.mean[row] == pytest.approx(minutes.mean(axis=0))
        assert detector.baseline.m2[row] == pytest.approx(((minutes - minutes.mean(axis=0)) ** 2).sum(axis=0))


def test_signs_are_those_of_the_last_minute_against_the_baseline() -> None:
    detector = Detector(settled(), np.ones(2))
    minute = [detector.update(bucket(np.array([0.5, 3.0]), price=1.1, bought=np.array([0.0, 1.0]))) for _ in range(SIZE)]
    signs = minute[-1]
    assert signs.trades.tolist() == [6.0, 36.0]
    assert signs.trades_z.tolist() == [0.0, 15.0]
    assert signs.volume_z.tolist() == [-3.0, 3.0]
    assert signs.price_change == pytest.approx([0.1, 0.1])


def test_a_burst_of_buying_at_a_higher_price_is_a_pump_and_at_the_same_price_or_by_sellers_it_is_none() -> None:
    count = 3
    detector = Detector(settled(count), np.ones(count))
    assert not is_pump(quiet(detector, 2 * SIZE, count)).any()
    burst = np.full(count, 200.0)
    signs = detector.update(Bucket(burst, np.array([200.0, 200.0, 0.0]), burst, np.array([1.1, 1.0, 1.1]) * burst))
    assert is_pump(signs).tolist() == [True, False, False]


def test_a_coin_without_a_baseline_raises_nothing() -> None:
    detector = Detector(no_baseline(1), np.ones(1))
    signs = quiet(detector, SIZE * (LEAST_WINDOWS - 10), 1)
    assert np.isnan(signs.trades_z).all()
    assert not is_pump(detector.update(bucket(np.array([900.0]), price=2.0))).any()
    quiet(detector, SIZE * 20, 1)
    assert is_pump(detector.update(bucket(np.array([9000.0]), price=2.0))).all()


def test_a_coin_that_never_traded_and_now_does_is_far_from_its_baseline() -> None:
    detector = Detector(Baseline(np.full((2, 1), 1440.0), np.zeros((2, 1)), np.zeros((2, 1))), np.ones(1))
    for _ in range(SIZE):
        detector.update(bucket(np.zeros(1)))
    assert is_pump(detector.update(bucket(np.array([20.0]), price=1.2))).all()


def test_out_of_sight_nothing_is_known_and_no_price_is_held_against_one_from_before() -> None:
    detector = Detector(settled(), np.ones(2))
    quiet(detector, 2 * SIZE)
    blind = np.array([np.nan, 0.5])
    before = detector.baseline.n.copy()
    signs = detector.update(bucket(blind))
    assert np.isnan(signs.trades_z).tolist() == [True, False]
    for _ in range(SIZE - 1):
        detector.update(bucket(np.full(2, 0.5)))
    quiet(detector, SIZE)
    assert (detector.baseline.n - before)[1].tolist() == [1.0, 2.0]
    detector = Detector(settled(), np.ones(2))
    for _ in range(2 * SIZE):
        detector.update(bucket(np.array([np.nan, 0.0])))
    burst = detector.update(bucket(np.full(2, 300.0), price=2.0))
    assert np.isnan(burst.price_change).tolist() == [True, False]


def test_one_pump_does_not_hide_the_next() -> None:
    detector = Detector(settled(1), np.ones(1))
    quiet(detector, SIZE, 1)
    for price in (1.2, 1.4, 1.6):
        detector.update(bucket(np.array([5000.0]), price=price))
    quiet(detector, 30 * SIZE - 3, 1)
    assert is_pump(detector.update(bucket(np.array([5000.0]), price=2.0))).all()


def test_baselines_forget() -> None:
    detector = Detector(Baseline(np.full((2, 1), float(MEMORY_WINDOWS)), np.full((2, 1), 6.0), np.full((2, 1), 4.0)), np.ones(1))
    quiet(detector, 5 * SIZE, 1)
    assert detector.baseline.n.max() <= MEMORY_WINDOWS


def test_unknown_signs_are_no_signs() -> None:
    unknown = Signs(*np.full((4, 1), np.nan))
    assert not is_pump(unknown).any()
    reached = Signs(*(np.array([float(value)]) for value in THRESHOLDS))
    assert is_pump(reached).all()
    assert not is_pump(reached._replace(price_change=np.array([0.049]))).any()


def test_the_reason_is_told_in_numbers() -> None:
    assert in_words(41.2, 38.0, 0.123) == (
        "within a minute takers bought 41 and trades came 38 standard deviations above the last days, and the price rose by 12.3%"
    )
