"""Windows of stored trades and books: what they hold, by hand and by a recomputation trade by trade."""

from __future__ import annotations

import numpy as np
import pytest

from pnd_dagster.backtest.grids import BookStream, TradeStream, grid_of
from pnd_dagster.backtest.windows import HISTORY_SECONDS, windows_of
from pnd_dagster.market.book_metrics import Books
from pnd_dagster.market.windows import HORIZONS, METRICS

END = 1_700_000_000_000
HOUR = 3_600_000


def stream(*trades: tuple[int, float, float, int]) -> TradeStream:
    """Trades as (milliseconds after END, price, quantity, side)."""
    times, prices, quantities, sides = zip(*trades, strict=True)
    return TradeStream(np.array(times) + END, np.array(prices, float), np.array(quantities, float), np.array(sides))


def random_stream(seed: int = 1, count: int = 3_000) -> TradeStream:
    rng = np.random.default_rng(seed)
    times = END + np.sort(rng.integers(-26 * HOUR, 2 * HOUR, count))
    return TradeStream(times, 1 + 0.1 * rng.random(count), rng.exponential(5, count), rng.choice([-1, 1], count))


def test_a_bucket_holds_what_came_after_its_start_up_to_its_end() -> None:
    trades = stream((-10_000, 1.0, 4.0, 1), (-5_000, 2.0, 1.0, 1), (-4_999, 4.0, 3.0, -1), (0, 2.0, 1.0, 1), (1, 9.0, 9.0, 1))
    grid = grid_of(trades, None, np.array([END]), 20)
    buckets = {name: values[0] for name, values in grid.buckets.items()}
    assert np.array_equal(buckets["volume"], [np.nan, 4, 1, 4], equal_nan=True), "before its first trade nothing is known of a coin"
    assert np.array_equal(buckets["trade_count"], [np.nan, 1, 1, 2], equal_nan=True)
    assert np.array_equal(buckets["taker_buy_volume"], [np.nan, 4, 1, 1], equal_nan=True)
    assert np.array_equal(buckets["taker_sell_volume"], [np.nan, 0, 0, 3], equal_nan=True)
    assert np.array_equal(buckets["quote_volume"], [np.nan, 4, 2, 14], equal_nan=True)
    assert np.array_equal(buckets["high_price"], [np.nan, 1, 2, 4], equal_nan=True)
    assert np.array_equal(buckets["low_price"], [np.nan, 1, 2, 2], equal_nan=True)
    assert np.isnan(buckets["mid_price"]).all()


def test_a_bucket_without_trades_is_zero_and_has_no_prices() -> None:
    grid = grid_of(stream((-14_000, 1.0, 4.0, 1), (-1, 1.0, 2.0, 1)), None, np.array([END]), 15)
    assert grid.buckets["volume"][0].tolist() == [4, 0, 2]
    assert np.array_equal(grid.buckets["high_price"][0], [1, np.nan, 1], equal_nan=True)


def test_active_buckets_count_buckets_with_a_trade_however_many_trades_they_hold() -> None:
    # Of the last 60 s: a burst of three trades within one bucket, and one trade in each of two others.
    trades = stream((-90_000, 1.0, 1.0, 1), *((-41_000 + k, 1.0, 1.0, 1) for k in range(3)), (-12_000, 1.0, 1.0, 1), (0, 1.0, 1.0, -1))
    values = windows_of(trades, None, np.array([END, END - 20_000])).values
    active, count = (values[:, METRICS.index(name)] for name in ("active_buckets", "trade_count"))
    assert active[:, :2].tolist() == [[2, 3], [0, 1]]
    assert count[:, :2].tolist() == [[2, 5], [0, 3]]
    assert np.isnan(active[:, 2:]).all(), "before the first trade nothing is known"


def test_a_book_is_carried_on_and_its_flow_added_up() -> None:
    def book_stream(times: list[int], bids: list[float], asks: list[float]) -> BookStream:
        one = np.ones(len(times), np.int64)
        prices = np.full((len(times), 1), 10.0), np.full((len(times), 1), 11.0)
        return BookStream(np.array(times) + END, Books(prices[0], np.array(bids)[:, None], prices[1], np.array(asks)[:, None], one, one))

    books = book_stream([-16_000, -14_000, -12_000, -1, 1], [1, 3, 4, 1, 100], [1, 1, 2, 1, 100])
    grid = grid_of(None, books, np.array([END]), 25)
    pressure = grid.buckets["order_book_pressure"][0]
    assert np.allclose(pressure, [np.nan, 1 / 2, 4 / 6, 4 / 6, 1 / 2], equal_nan=True)
    # Bids grew by 2 and then by 1, asks by 1; nothing; bids fell by 3, asks by 1. Of the first book no change is known.
    assert np.array_equal(grid.buckets["best_level_flow"][0], [np.nan, np.nan, 2, 0, -2], equal_nan=True)
    assert np.isnan(grid.buckets["volume"]).all()


@pytest.mark.parametrize("horizon", HORIZONS)
def test_values_and_history_are_those_of_a_recomputation_trade_by_trade(horizon: int) -> None:
    trades, cutoff = random_stream(), END - 1_234
    values, history = windows_of(trades, None, np.array([END - HOUR, cutoff]))
    place = HORIZONS.index(horizon)

    def between(start: int, end: int) -> np.ndarray:
        return (trades.times > start) & (trades.times <= end)

    length = horizon * 1000
    windows = [between(end - length, end) for end in range(cutoff, cutoff - HISTORY_SECONDS * 1000 - 1, -length)]
    volumes = [trades.quantities[window].sum() for window in windows]
    ranges = [np.ptp(trades.prices[window]) if window.any() else np.nan for window in windows]
    for name, expected in (("volume", volumes), ("high_low_spread", ranges)):
        metric = METRICS.index(name)
        known = np.array(expected[1:])[~np.isnan(expected[1:])]
        assert len(volumes) == 1 + HISTORY_SECONDS // horizon
        assert np.isclose(values[1, metric, place], expected[0], equal_nan=True)
        assert history.n[1, metric, place] == len(known)
        assert np.isclose(history.mean[1, metric, place], known.mean())
        assert np.isclose(history.m2[1, metric, place], np.square(known - known.mean()).sum())


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_after_the_cut_off_is_read(poison: float) -> None:
    trades = random_stream()
    is_later = trades.times > END
    poisoned = trades._replace(prices=np.where(is_later, poison, trades.prices), quantities=np.where(is_later, poison, trades.quantities))
    clean, dirty = (windows_of(part, None, np.array([END])) for part in (trades, poisoned))
    assert clean.values.tobytes() == dirty.values.tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(clean.history, dirty.history, strict=True))


def test_each_cut_off_is_a_row_whatever_their_order() -> None:
    cutoffs = END - HOUR // 7 * np.array([3, 0, 5, 1, 4, 2, 6, 8, 7, 9])
    together = windows_of(random_stream(), None, cutoffs)
    for row, cutoff in enumerate(cutoffs[:3]):
        alone = windows_of(random_stream(), None, np.array([cutoff]))
        assert np.array_equal(alone.values[0], together.values[row], equal_nan=True)


def test_a_coin_without_data_has_no_values() -> None:
    values, history = windows_of(None, None, np.array([END]))
    assert np.isnan(values).all()
    assert not history.n.any()
