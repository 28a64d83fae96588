from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.candidates.learned.series import SERIES, Floats, Form, comparable, divisors, high_points, hurst_exponent, spectral_entropy
from tests.unit.candidates.learned.made_up import made_up


def window(form: Form) -> dict[str, Floats]:
    panel, _ = made_up(coins=8, days=30, pumps=0)
    return comparable(panel.observed, divisors(panel.observed, panel.reference), form)


def test_there_are_27_series() -> None:
    assert len(SERIES) == len(set(SERIES)) == 27


@pytest.mark.parametrize("form", Form)
def test_each_series_is_scaled_to_0_to_1_across_the_coins(form: Form) -> None:
    for name, values in window(form).items():
        assert np.nanmin(values) == 0, name
        assert np.nanmax(values) in (0, 1), name


def test_levels_are_divided_by_bitcoins_and_changes_lose_a_bar() -> None:
    close = np.array([[100.0, 200.0, 400.0], [1.0, 2.0, 4.0], [1.0, 4.0, 16.0]])
    by_bitcoin = divisors({"close": close}, 0)
    levels = comparable({"close": close}, by_bitcoin, Form.LEVELS)["close"]
    assert levels[1].tolist() == pytest.approx([0, 0, 0])
    assert levels[2].tolist() == pytest.approx([0, 0.01 / 0.99, 0.03 / 0.99])
    changes = comparable({"close": close}, by_bitcoin, Form.CHANGES)["close"]
    assert changes.shape == (3, 2)
    assert changes[0, 0] == pytest.approx(1), "half of Bitcoin's own value is the largest change"


def test_without_bitcoin_the_median_of_the_coins_divides() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [8.0, np.nan]])
    assert divisors({"close": values}, None)["close"].tolist() == [3, 4]


def test_a_missing_bar_is_the_one_before_and_nothing_is_made_up_before_the_first() -> None:
    values = np.array([[1.0, 1.0, 1.0], [np.nan, 4.0, np.nan], [2.0, np.nan, 2.0]])
    levels = comparable({"close": values}, {"close": np.ones(3)}, Form.LEVELS)["close"]
    assert np.isnan(levels[1, 0])
    assert levels[1, 1] == levels[1, 2] == 1
    assert levels[2, 0] == levels[2, 1] == levels[2, 2]


def test_a_divisor_that_is_not_positive_leaves_no_number() -> None:
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert np.isnan(comparable({"volume": values}, divisors({"volume": values}, 0), Form.LEVELS)["volume"][:, 0]).all()


def test_high_points_are_above_the_mean_so_far() -> None:
    assert high_points(np.array([[2.0, 4.0, 1.0, 3.0]])).tolist() == [[0, 4, 0, 3]]


def test_spectral_entropy_tells_a_wave_from_noise() -> None:
    time = np.arange(32)
    assert spectral_entropy(np.sin(2 * np.pi * time / 8)) < 0.05
    assert spectral_entropy(np.random.default_rng(0).normal(size=(50, 32))).mean() > 0.8
    assert np.isnan(spectral_entropy(np.full(10, 0.1)))


def test_the_hurst_exponent_tells_walks_from_series_that_turn_back() -> None:
    rng = np.random.default_rng(0)
    walks = np.exp(np.cumsum(rng.normal(0, 0.01, (200, 200)), axis=1))
    assert hurst_exponent(walks).mean() == pytest.approx(0.5, abs=0.05)
    assert hurst_exponent(np.exp(rng.normal(0, 0.01, (200, 200)))).mean() == pytest.approx(0, abs=0.05)
    smooth = np.exp(0.01 * np.cumsum(np.cumsum(rng.normal(size=(50, 200)), axis=1), axis=1))
    assert hurst_exponent(smooth).mean() > 0.9, "changes go on"


def test_even_growth_has_no_hurst_exponent() -> None:
    assert np.isnan(hurst_exponent(np.exp(0.1 * np.arange(15))))


def test_an_infinite_value_is_as_good_as_none() -> None:
    values = np.array([[np.inf, 1.0, 2.0], [1.0, -np.inf, 3.0], [1.0, 2.0, 3.0]])
    once = {"close": np.ones(3)}
    given, expected = (comparable({"close": one}, once, Form.CHANGES) for one in (values, np.where(np.isfinite(values), values, np.nan)))
    for name in expected:
        np.testing.assert_array_equal(given[name], expected[name])
