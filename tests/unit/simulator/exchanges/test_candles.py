"""Daily candles: the same whenever asked, and true to the paper's rows where a coin was pumped."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from pnd_dagster.simulator.exchanges.candles import Candle
from pnd_dagster.simulator.exchanges.pump_tables import PumpRow, load_pump_tables
from pnd_dagster.simulator.exchanges.pumps import PastPump, deal_rows, row_for
from pnd_dagster.simulator.exchanges.world import World
from pnd_dagster.simulator.universe import make_universe

UNIVERSE = make_universe(7, 60)
START = datetime(2025, 6, 1, tzinfo=UTC)
PUMP_DAY = date(2025, 4, 10)


def make_world(*past_pumps: PastPump, seed: int = 1) -> World:
    return World(UNIVERSE, seed=seed, rate=100, start_at=START.timestamp(), past_pumps=past_pumps)


def pump(row: PumpRow, day: date = PUMP_DAY, exchange: str = "kucoin", base: str = "VIA") -> PastPump:
    return PastPump(exchange, base, datetime(day.year, day.month, day.day, 17, tzinfo=UTC), row)


def mean_price(candles: list[Candle]) -> float:
    """Mean over the days that traded of what a unit cost on them."""
    prices = [candle.quote_volume / candle.volume for candle in candles if candle.trade_count]
    return sum(prices) / len(prices)


@pytest.mark.parametrize("row", load_pump_tables().rows[::3], ids=lambda row: f"{row.table}-{row.coin}")
def test_a_pump_day_follows_its_row(row: PumpRow) -> None:
    *week, day = make_world(pump(row)).candles("kucoin", "VIA", PUMP_DAY - timedelta(days=7), PUMP_DAY)
    trades = sum(candle.trade_count for candle in week)
    assert sum(candle.quote_volume for candle in week) / 7 == pytest.approx(row.avg_volume_7_days, rel=1e-9)
    assert day.quote_volume == pytest.approx(row.total_volume_pump_day, rel=1e-9)
    assert mean_price([day]) / mean_price(week) == pytest.approx(row.price_ratio, rel=1e-9)
    # Trades are whole: half a trade of rounding.
    order_size = sum(candle.volume for candle in week) / trades
    ratio = day.volume / day.trade_count / order_size
    assert ratio == pytest.approx(row.order_size_ratio, rel=0.5 / day.trade_count + 1e-9)
    assert order_size * mean_price(week) == pytest.approx(row.order_value_7_days, rel=0.5 / trades + 0.1)


def test_any_span_holds_the_same_days() -> None:
    world = make_world(pump(row_for("kucoin", "VIA")))
    whole = world.candles("kucoin", "VIA", date(2025, 3, 1), date(2025, 5, 31))
    assert [candle.day for candle in whole] == [date(2025, 3, 1) + timedelta(days=number) for number in range(92)]
    again = make_world(pump(row_for("kucoin", "VIA")))
    assert [candle for number in range(92) for candle in again.candles("kucoin", "VIA", whole[number].day, whole[number].day)] == whole


def test_candles_are_possible() -> None:
    world = make_world(*deal_rows(("poloniex", base, datetime(2025, 4, 10, 17, tzinfo=UTC)) for base in list(world_bases("poloniex"))[:3]))
    for exchange, markets in world.markets.items():
        for base in markets:
            candles = world.candles(exchange, base, date(2025, 3, 1), date(2025, 5, 31))
            for candle in candles:
                assert 0 < candle.low <= min(candle.open, candle.close)
                assert max(candle.open, candle.close) <= candle.high
                assert (candle.volume == 0) == (candle.quote_volume == 0) == (candle.trade_count == 0)
                assert 0 <= candle.taker_buy_volume <= candle.volume
                if candle.trade_count:
                    assert candle.low <= candle.quote_volume / candle.volume <= candle.high
            assert all(yesterday.close == today.open for yesterday, today in pairwise(candles))


def world_bases(exchange: str) -> list[str]:
    return [listing.base for listing in UNIVERSE.listings[exchange] if not listing.coin.is_major and not listing.coin.is_leveraged]


def test_the_price_peaks_on_the_pump_day_and_comes_back() -> None:
    before, day, after = make_world(pump(row_for("kucoin", "VIA"))).candles(
        "kucoin", "VIA", PUMP_DAY - timedelta(days=1), PUMP_DAY + timedelta(days=1)
    )
    assert day.high >= 4.57 * day.open > 4 * before.high
    assert after.close == pytest.approx(before.open, rel=0.2)


def test_the_second_pump_of_a_week_still_stands_out_of_the_unpumped_days() -> None:
    row = row_for("kucoin", "VIA")
    world = make_world(pump(row), pump(row, PUMP_DAY + timedelta(days=3)))
    candles = {candle.day: candle for candle in world.candles("kucoin", "VIA", PUMP_DAY - timedelta(days=10), PUMP_DAY + timedelta(days=3))}
    pumped = [candles.pop(PUMP_DAY), candles.pop(PUMP_DAY + timedelta(days=3))]
    week = sorted(candles)[-7:]
    mean = sum(candles[day].quote_volume for day in week) / 7
    assert pumped[1].quote_volume / mean == pytest.approx(row.volume_ratio, rel=1e-9)


def test_there_are_no_candles_before_the_coin_existed() -> None:
    world = make_world()
    market = world.markets["kucoin"]["VIA"]
    born = market.coin.added_at.date()
    candles = world.candles("kucoin", "VIA", born - timedelta(days=5), born + timedelta(days=5))
    assert candles[0].day == born
    assert world.candles("kucoin", "VIA", born - timedelta(days=5), born - timedelta(days=1)) == []


def test_events_are_dealt_the_same_rows_and_rows_in_which_the_price_rose() -> None:
    events = [(exchange, base, START) for exchange in ("kucoin", "mexc", "poloniex", "xt", "latoken") for base in ("VIA", "NEBL", "OAX")]
    dealt = deal_rows(events)
    assert dealt == deal_rows(reversed(events))[::-1]
    assert {pump.row.exchange for pump in dealt if pump.exchange in ("kucoin", "mexc")} == {"kucoin"}
    assert {pump.row.exchange for pump in dealt if pump.exchange not in ("kucoin", "mexc")} == {"poloniex"}
    assert all(pump.row.price_ratio > 1 and pump.row.volume_ratio > 2 for pump in dealt)
    assert len({pump.row for pump in dealt}) > 5
