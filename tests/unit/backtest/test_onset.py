"""The moment at which the market itself began to move."""

from __future__ import annotations

import numpy as np

from pnd_dagster.backtest.grids import TradeStream
from pnd_dagster.backtest.onset import market_onset

AT = 1_704_888_000_000
MINUTE = 60_000


def trades(*bursts: tuple[int, float]) -> TradeStream:
    """A trade of 1 a minute for three hours, and more trades as (milliseconds after AT, quantity)."""
    usual = [(minute * MINUTE + 100, 1.0) for minute in range(-180, 30)]
    times, quantities = zip(*sorted([*usual, *bursts]), strict=True)
    return TradeStream(np.array(times) + AT, np.ones(len(times)), np.array(quantities), np.ones(len(times), np.int64))


def test_the_onset_is_the_first_trade_of_the_first_unusual_minute() -> None:
    assert market_onset(trades((3 * MINUTE + 40, 5.0), (5 * MINUTE, 50.0)), AT) == AT + 3 * MINUTE + 40
    assert market_onset(trades((-4 * MINUTE + 7, 5.0)), AT) == AT - 4 * MINUTE + 7


def test_a_burst_that_is_no_larger_than_one_of_the_two_hours_before_is_no_onset() -> None:
    assert market_onset(trades((-60 * MINUTE, 5.0), (2 * MINUTE, 4.0)), AT) is None
    assert market_onset(trades((-125 * MINUTE, 5.0), (2 * MINUTE, 4.0)), AT) == AT + 2 * MINUTE


def test_where_nothing_unusual_is_traded_there_is_no_onset() -> None:
    assert market_onset(trades(), AT) is None
    assert market_onset(trades((11 * MINUTE, 9.0)), AT) is None
