"""What is said of candles, buckets and coverage agrees with the rows."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.market import summaries
from tests.unit.market.rows import NOON, book, commit, instrument, store

HOUR = (NOON - timedelta(hours=1), NOON + timedelta(hours=1))


def test_a_bucket_that_ends_on_the_full_hour_belongs_to_the_hour_that_ends_there(engine: sa.Engine) -> None:
    buckets = [NOON - timedelta(seconds=5), NOON, NOON + timedelta(seconds=5)]
    store(engine, tables.BUCKET_COMMITS, *(commit(at, book_rows=3, blind=1) for at in buckets))
    hours = summaries.buckets_per_hour(engine, HOUR)
    assert hours.select("hour_end_at", "buckets", "book_rows", "watched", "seen_ratio").rows() == [
        (NOON, 2, 6, 4, 0.75),
        (NOON + timedelta(hours=1), 1, 3, 4, 0.75),
    ]


def test_shards_of_an_exchange_add_up_and_the_slowest_gives_the_lag(engine: sa.Engine) -> None:
    store(
        engine,
        tables.BUCKET_COMMITS,
        commit(NOON, shard="1/2", watched=3, lag_seconds=0.2),
        commit(NOON, shard="2/2", watched=5, lag_seconds=2),
    )
    row = summaries.buckets_per_hour(engine, HOUR).row(0, named=True)
    assert (row["shards"], row["buckets"], row["watched"], row["lag_p99_seconds"]) == (2, 2, 8, 2.0)


def test_coverage_tells_listed_watched_and_seen_apart(engine: sa.Engine) -> None:
    listings = [instrument(1), instrument(2, base="DEF"), instrument(3, base="BTC3L", is_derivative=True)]
    gone = instrument(4, base="OLD", valid_to=NOON - timedelta(days=1))
    store(engine, tables.INSTRUMENTS, *listings, gone, instrument(5, exchange="xt"))
    store(engine, tables.BUCKET_COMMITS, commit(NOON, watched=2), commit(NOON + timedelta(seconds=5), watched=2))
    store(engine, tables.ORDER_BOOK_METRICS, book(1, NOON), book(1, NOON + timedelta(seconds=5)))
    coverage = summaries.coverage(engine, HOUR)
    assert coverage.rows() == [("kucoin", 2, 2, 1, 1.0, 0.5), ("xt", 1, 0, 0, 0.0, None)]


def test_spreads_are_counted_in_quarter_decades(engine: sa.Engine) -> None:
    store(engine, tables.INSTRUMENTS, instrument(1))
    spreads = (0.011, 0.012, 0.02, None)
    store(
        engine,
        tables.ORDER_BOOK_METRICS,
        *(book(1, NOON + timedelta(seconds=5 * n), relative_spread=spread) for n, spread in enumerate(spreads)),
    )
    counted = summaries.spread_distribution(engine, HOUR)
    assert counted["books"].to_list() == [2, 1]
    assert counted["spread_ratio"].to_list() == pytest.approx([0.01, 10 ** (-7 / 4)])


def test_candles_and_gaps_stand_side_by_side(engine: sa.Engine) -> None:
    day = date(2026, 5, 1)
    prices = dict.fromkeys(("open", "high", "low", "close"), 1.0)
    candle = {"symbol": "ABC/USDT", "volume": 1.0, "source": "ohlcv", "is_complete": True, "ingested_at": NOON, **prices}
    store(engine, tables.OHLCV_DAILY, {"exchange": "xt", "day": day, **candle}, {"exchange": "xt", "day": day + timedelta(1), **candle})
    store(engine, tables.OHLCV_GAPS, {"exchange": "mexc", "symbol": "DEF/USDT", "day": day, "reason": "no candle", "asked_at": NOON})
    span = (day, day + timedelta(days=1))
    assert summaries.candles_per_day(engine, span).rows() == [(day, 1)]
    assert summaries.candles_per_exchange(engine, span).rows() == [("mexc", 0, 0, 1), ("xt", 1, 1, 0)]
    assert summaries.latest_candle_gaps(engine, span)["symbol"].to_list() == ["DEF/USDT"]
