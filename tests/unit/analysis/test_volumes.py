"""Volumes around pumps: ratios worked out by hand, and nothing made of days that are missing or partial."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from pnd_dagster.analysis import volumes
from pnd_dagster.analysis.daily import DAILY

PUMP = datetime(2024, 3, 10, 17)


def events(*pumps: tuple[str, str, datetime]) -> pl.DataFrame:
    rows = [(f"e{number}", market, symbol, at, market) for number, (market, symbol, at) in enumerate(pumps)]
    texts = dict.fromkeys(("event_id", "market", "symbol"), pl.String)
    frame = pl.DataFrame(rows, schema=texts | {"released_at": pl.Datetime("us"), "venue": pl.String}, orient="row")
    return frame.with_columns(pl.col("released_at").dt.replace_time_zone("UTC"))


def candles(symbol: str, last: date, values: list[float | None], *, partial: tuple[int, ...] = ()) -> pl.DataFrame:
    """Days that end with `last`; None leaves a day out."""
    days = [last - timedelta(days=len(values) - 1 - number) for number in range(len(values))]
    rows = [
        {
            "market": "kucoin",
            "symbol": symbol,
            "day": day,
            "volume": value / 2,
            "quote_volume": value,
            "price": 2.0,
            "is_complete": number not in partial,
            "source": "ohlcv",
        }
        for number, (day, value) in enumerate(zip(days, values, strict=True))
        if value is not None
    ]
    return pl.DataFrame(rows, schema=DAILY)


def ratio_of(pumps: pl.DataFrame, daily: pl.DataFrame) -> dict[str, object]:
    (row,) = volumes.day_ratios(volumes.eight_days(pumps, daily), "venue").to_dicts()
    return row


def test_the_ratio_is_that_of_the_means_and_the_median_that_of_each_pump() -> None:
    daily = pl.concat([candles("AAA", PUMP.date(), [10, 10, 10, 10, 10, 10, 10, 100]), candles("BBB", PUMP.date(), [30.0, 60.0])])
    row = ratio_of(events(("kucoin", "AAA", PUMP), ("kucoin", "BBB", PUMP)), daily)
    assert row["n"] == 2
    assert row["volume_before"] == 20.0
    assert row["volume_on"] == 80.0
    assert row["ratio_of_means"] == 4.0
    assert row["median_ratio"] == 6.0
    assert row["low"] == 2.0
    assert row["high"] == 10.0


def test_a_missing_day_is_not_a_day_without_trades() -> None:
    days = volumes.eight_days(events(("kucoin", "AAA", PUMP)), candles("AAA", PUMP.date(), [5.0, None, 0.0, 7.0]))
    assert days.height == volumes.DAYS
    assert days["day_number"].to_list() == list(range(1, 9))
    assert days["quote_volume"].to_list() == [None, None, None, None, 5.0, None, 0.0, 7.0]


def test_a_day_without_trades_is_in_the_means_and_in_no_ratio_of_its_own() -> None:
    daily = pl.concat([candles("AAA", PUMP.date(), [0.0, 50.0]), candles("BBB", PUMP.date(), [10.0, 30.0])])
    row = ratio_of(events(("kucoin", "AAA", PUMP), ("kucoin", "BBB", PUMP)), daily)
    assert row["ratio_of_means"] == 8.0
    assert row["median_ratio"] == 3.0
    assert row["zero_before"] == 1


def test_partial_days_are_counted_and_in_no_mean() -> None:
    days = volumes.eight_days(events(("kucoin", "AAA", PUMP)), candles("AAA", PUMP.date(), [1.0, 10.0, 90.0], partial=(0, 2)))
    means = volumes.mean_volumes(days, "venue")
    assert means.select("day_number", "mean_volume", "n", "partial").rows() == [(6, None, 0, 1), (7, 10.0, 1, 0), (8, None, 0, 1)]
    assert volumes.day_ratios(days, "venue").is_empty()


def test_value_is_estimated_from_quantity_and_price_where_the_source_gives_none() -> None:
    daily = candles("AAA", PUMP.date(), [8.0, 20.0]).with_columns(quote_volume=pl.lit(None, pl.Float64), price=pl.lit(3.0))
    days = volumes.eight_days(events(("kucoin", "AAA", PUMP)), daily).drop_nulls("quote_volume")
    assert days["quote_volume"].to_list() == [12.0, 30.0]
    assert days["is_estimated"].all()


def test_coverage_says_why_an_event_has_no_data() -> None:
    daily = candles("AAA", PUMP.date(), [1.0, 2.0])
    pumps = events(
        ("kucoin", "AAA", PUMP),
        ("kucoin", "AAA", PUMP - timedelta(days=30)),
        ("kucoin", "AAA", PUMP + timedelta(days=1)),
        ("kucoin", "ZZZ", PUMP),
    )
    assert dict(volumes.coverage(pumps, daily).select("data", "events").iter_rows()) == {
        volumes.NO_DATA: 1,
        "before the first day of its candles": 1,
        "pump's day and the day before": 1,
        "without the whole day of the pump or before": 1,
    }


@pytest.mark.parametrize("days", [1, 365, -400])
def test_ratios_do_not_depend_on_when_it_was(days: int) -> None:
    daily = pl.concat([candles("AAA", PUMP.date(), [4.0, 12.0]), candles("BBB", PUMP.date(), [1.0, 5.0])])
    pumps, span = events(("kucoin", "AAA", PUMP), ("kucoin", "BBB", PUMP)), timedelta(days=days)
    moved = ratio_of(pumps.with_columns(pl.col("released_at") + span), daily.with_columns(pl.col("day") + span))
    assert moved == ratio_of(pumps, daily)


def test_quiet_days_are_far_from_every_event_of_the_coin_and_follow_each_other() -> None:
    last = date(2024, 3, 31)
    daily = pl.concat([candles("AAA", last, [10.0] * 31), candles("BBB", last, [1.0, None, 5.0, 300.0])])
    (row,) = volumes.quiet_days(events(("kucoin", "AAA", PUMP)), daily).to_dicts()
    # Of AAA the 31 days have 30 pairs; 2 to 18 March (17 days) are near the pump. Of BBB one pair follows day on day.
    assert row["n"] == 30 - 17 + 1
    assert row["coins"] == 2
    assert row["median_ratio"] == 1.0
    assert row["share_of_23_times"] == pytest.approx(1 / 14)
    assert row["share_of_62_times"] == 0.0


def test_nothing_comes_of_nothing() -> None:
    none = pl.DataFrame(schema=DAILY)
    days = volumes.eight_days(events(), none)
    assert days.is_empty()
    assert volumes.mean_volumes(days, "venue").is_empty()
    assert volumes.day_ratios(days, "venue").is_empty()
    assert volumes.coverage(events(), none).is_empty()
    assert volumes.quiet_days(events(), none).is_empty()
