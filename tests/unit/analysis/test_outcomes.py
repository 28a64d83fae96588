"""Outcomes of pumps, held against prices worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from pnd_dagster.analysis.outcomes import HOUR_MS, Tape, is_moved, outcome, outcome_of_days, tape_of_trades

RELEASE = 1_600_000_000_000


def tape(*trades: tuple[float, float, float]) -> Tape:
    """Trades of (seconds from the release, price, quantity)."""
    rows = np.array(sorted(trades))
    return tape_of_trades((RELEASE + rows[:, 0] * 1000).astype(np.int64), rows[:, 1], rows[:, 2])


def quiet_day() -> list[tuple[float, float, float]]:
    """A trade of 2 at a price of 1 in the middle of each of the 25 hours before the release."""
    return [(-3600 * hour - 1800, 1.0, 2.0) for hour in range(25)]


PUMP = [(-30.0, 1.1, 1.0), (8.0, 1.2, 5.0), (12.0, 1.6, 10.0), (31.0, 2.0, 10.0), (59.0, 1.8, 1.0), (70.0, 1.5, 4.0), (650.0, 1.2, 1.0)]
AFTER = [(3500.0, 1.1, 1.0), (3615.0, 0.9, 1.0), (4000.0, 0.8, 1.0), (8000.0, 0.7, 1.0)]


def test_a_pump_is_measured_as_by_hand() -> None:
    found = outcome(tape(*quiet_day(), *PUMP, *AFTER), RELEASE)
    assert found["reference_price"] == 1.0
    assert found["run_up_ratio"] == pytest.approx(0.1)
    assert (found["peak_price"], found["seconds_to_peak"], found["peak_at"]) == (2.0, 31.0, RELEASE + 31_000)
    assert found["gain_ratio"] == pytest.approx(1.0)
    assert found["drawdown_ratio"] == pytest.approx(0.9 / 2 - 1)
    assert found["return_1h_ratio"] == pytest.approx(0.1)
    assert found["value_before"] == pytest.approx(2.0)
    assert found["value_after"] == pytest.approx(6 + 16 + 20 + 1.8 + 6 + 1.2 + 1.1)
    assert found["volume_ratio"] == pytest.approx(52.1 / 2)
    assert found["trade_count"] == 7
    assert found["usual_gain_ratio"] == 0.0
    assert found["is_moved"] is True


def test_late_buyers_pay_what_is_traded_then_and_hold_what_it_is_worth_later() -> None:
    found = outcome(tape(*quiet_day(), *PUMP, *AFTER), RELEASE)
    assert found["bought_10s_10min_ratio"] == pytest.approx(1.5 / 1.6 - 1)
    assert found["bought_10s_1h_ratio"] == pytest.approx(1.1 / 1.6 - 1)
    assert found["bought_30s_10min_ratio"] == pytest.approx(1.5 / 2 - 1)
    assert found["bought_30s_1h_ratio"] == pytest.approx(0.9 / 2 - 1)
    assert found["bought_60s_10min_ratio"] == pytest.approx(1.2 / 1.5 - 1)
    minute = (5 * 1.2 + 10 * 1.6 + 10 * 2.0 + 1 * 1.8) / 26
    assert found["bought_peak_10min_ratio"] == pytest.approx(1.5 / minute - 1)


def test_a_price_that_only_rises_has_no_drawdown_and_one_whose_tape_ends_no_return() -> None:
    rising = outcome(tape(*quiet_day(), (5.0, 1.2, 1.0), (3590.0, 2.0, 1.0), (3700.0, 3.0, 1.0)), RELEASE)
    assert (rising["drawdown_ratio"], rising["return_1h_ratio"]) == (0.0, 1.0)
    ended = outcome(tape(*quiet_day(), (5.0, 1.2, 1.0), (1800.0, 2.0, 1.0)), RELEASE)
    assert (ended["gain_ratio"], ended["return_1h_ratio"]) == (1.0, None)


def test_nobody_to_buy_from_is_unknown_not_zero() -> None:
    found = outcome(tape(*quiet_day(), (5.0, 1.3, 1.0), (300.0, 1.2, 1.0), (7300.0, 1.0, 1.0)), RELEASE)
    assert found["bought_10s_10min_ratio"] is None
    assert found["gain_ratio"] == pytest.approx(0.3)


def test_what_a_coin_is_worth_after_the_data_end_is_unknown() -> None:
    found = outcome(tape(*quiet_day(), *PUMP), RELEASE)
    assert found["bought_10s_10min_ratio"] is not None
    assert found["bought_10s_1h_ratio"] is None


def test_a_coin_that_swings_so_every_day_has_not_moved() -> None:
    swings = [(-3600.0 * hour - 900, 1.0 if hour % 2 else 1.4, 1.0) for hour in range(1, 26)]
    found = outcome(tape(*swings, (-700.0, 1.0, 1.0), (10.0, 1.3, 1.0)), RELEASE)
    assert found["gain_ratio"] == pytest.approx(0.3)
    assert found["usual_gain_ratio"] == pytest.approx(0.4)
    assert found["is_moved"] is False


@pytest.mark.parametrize(
    ("gain", "usual", "moved"), [(0.04, 0.0, False), (0.06, 0.01, True), (0.06, 0.07, False), (None, 0.1, None), (1.0, None, None)]
)
def test_moving_takes_five_percent_and_more_than_usual(gain: float | None, usual: float | None, moved: bool | None) -> None:
    assert is_moved(gain, usual) is moved


def test_a_pump_that_began_before_the_release_shows_in_the_run_up() -> None:
    found = outcome(tape(*quiet_day(), (-300.0, 1.8, 1.0), (-10.0, 2.0, 1.0), (5.0, 2.05, 1.0)), RELEASE)
    assert found["run_up_ratio"] == pytest.approx(1.0)
    assert found["gain_ratio"] == pytest.approx(1.05)


@pytest.mark.parametrize("trades", [[(-10.0, 1.0, 1.0)], [(7200.0, 1.0, 1.0)]])
def test_no_trades_after_the_release_leave_the_peak_unknown(trades: list[tuple[float, float, float]]) -> None:
    found = outcome(tape(*trades), RELEASE)
    assert found["trade_count"] == 0
    assert found.get("peak_price") is None
    assert found["volume_ratio"] is None


def test_an_empty_tape_is_no_error() -> None:
    empty = tape_of_trades(np.array([], np.int64), np.array([]), np.array([]))
    assert outcome(empty, RELEASE)["reference_price"] is None


def test_a_short_history_says_nothing_of_what_is_usual() -> None:
    found = outcome(tape((-HOUR_MS / 1000 - 3600 * 2, 1.0, 1.0), (10.0, 2.0, 1.0)), RELEASE)
    assert (found["value_before"], found["usual_gain_ratio"]) == (None, None)
    assert found["gain_ratio"] == pytest.approx(1.0)


def days(*rows: tuple[float, float, float]) -> pl.DataFrame:
    """Consecutive candles of (high, close, value)."""
    first = date(2024, 1, 1)
    named = [(first + timedelta(days=number), *row) for number, row in enumerate(rows)]
    return pl.DataFrame(named, schema=["day", "high", "close", "value"], orient="row")


def test_daily_candles_give_the_coarse_outcome() -> None:
    found = outcome_of_days(days((1.0, 1.0, 10.0), (1.05, 1.0, 10.0), (1.1, 1.0, 10.0), (1.0, 1.0, 10.0), (3.0, 1.2, 250.0)))
    assert found["gain_ratio"] == pytest.approx(2.0)
    assert found["usual_gain_ratio"] == pytest.approx(0.1)
    assert found["drawdown_ratio"] == pytest.approx(1.2 / 3 - 1)
    assert found["volume_ratio"] == pytest.approx(25.0)
    assert found["is_moved"] is True
    assert "seconds_to_peak" not in found


def test_a_single_candle_says_nothing() -> None:
    assert outcome_of_days(days((1.0, 1.0, 1.0))) == {}
    assert outcome_of_days(days((1.0, 1.0, 0.0), (1.0, 1.0, 5.0)))["volume_ratio"] is None
