"""Order sizes before and on the day, worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from pnd_dagster.analysis.daily import DAILY
from pnd_dagster.analysis.order_sizes import level_sizes, order_sizes, summary

TIME = pl.Datetime("us", "UTC")


def pump(symbol: str = "AAA") -> pl.DataFrame:
    row = ("e1", "kucoin", "kucoin", symbol, datetime(2024, 3, 10, 17, tzinfo=UTC))
    schema = {"event_id": pl.String, "venue": pl.String, "market": pl.String, "symbol": pl.String, "released_at": TIME}
    return pl.DataFrame([row], schema=schema, orient="row")


def days(*rows: tuple[int, float, float, int | None], is_complete: bool = True) -> pl.DataFrame:
    """Day of March, quantity, value, trades."""
    return pl.DataFrame(
        [("kucoin", "AAA", date(2024, 3, day), quantity, value, None, count, is_complete, "x") for day, quantity, value, count in rows],
        schema=DAILY,
        orient="row",
    )


def test_sizes_weigh_every_trade_the_same() -> None:
    # 3 March is the seventh day before; 2 March is too early.
    (row,) = order_sizes(pump(), days((2, 900, 900, 1), (3, 10, 20, 1), (9, 30, 40, 9), (10, 60, 300, 10))).to_dicts()
    assert row["days_before"] == 2
    assert row["order_size_before"] == 4.0
    assert row["order_size_on"] == 6.0
    assert row["order_size_ratio"] == 1.5
    assert row["volume_before"] == 30.0
    assert row["volume_ratio"] == 10.0
    assert row["price_before"] == 1.5
    assert row["price_on"] == 5.0
    assert round(row["price_change_percent"], 3) == 233.333
    assert not row["has_partial_day"]


def test_partial_days_give_sizes_but_no_volume() -> None:
    daily = pl.concat([days((8, 10, 20, 5), is_complete=False), days((9, 10, 30, 5), (10, 12, 60, 3))])
    (row,) = order_sizes(pump(), daily).to_dicts()
    assert row["has_partial_day"]
    assert row["order_size_before"] == 2.0
    assert row["volume_before"] == 30.0


def test_without_trades_on_a_side_there_is_no_ratio() -> None:
    (row,) = order_sizes(pump(), days((9, 0, 0, 0), (10, 12, 60, 3))).to_dicts()
    assert (row["order_size_before"], row["order_size_on"], row["order_size_ratio"]) == (None, 4.0, None)
    (counted,) = summary(order_sizes(pump(), days((9, 0, 0, 0), (10, 12, 60, 3)))).to_dicts()
    assert (counted["events"], counted["n"], counted["order_size_ratio"], counted["grew"]) == (1, 0, None, None)


def test_days_without_a_number_of_trades_say_nothing() -> None:
    assert order_sizes(pump(), days((9, 10, 20, None), (10, 12, 60, None))).is_empty()


def test_the_size_of_book_levels_is_compared_on_both_sides() -> None:
    schema = {"market": pl.String, "symbol": pl.String, "day": pl.Date, "level_size": pl.Float64}
    rows = [("kucoin", "AAA", date(2024, 3, day), size) for day, size in ((2, 99.0), (8, 4.0), (9, 6.0), (10, 15.0))]
    (row,) = level_sizes(pump(), pl.DataFrame(rows, schema=schema, orient="row")).to_dicts()
    assert (row["days_before"], row["level_size_before"], row["level_size_ratio"]) == (2, 5.0, 3.0)
    assert level_sizes(pump(), pl.DataFrame(schema=schema)).is_empty()
