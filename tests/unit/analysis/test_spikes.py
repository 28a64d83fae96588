"""Price spikes: baseline, peak and its time, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pnd_dagster.analysis.spikes import PRICE, QUOTE, price_spikes, relative_prices, summary

START = datetime(2024, 3, 10, 17, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")


def pumps(*event_ids: str) -> pl.DataFrame:
    rows = [(event_id, "kucoin", "AAA", START) for event_id in event_ids]
    schema = {"event_id": pl.String, "venue": pl.String, "symbol": pl.String, "released_at": TIME}
    return pl.DataFrame(rows, schema=schema, orient="row")


def trades(event_id: str, *points: tuple[float, float]) -> pl.DataFrame:
    """Points are seconds from the start and a price."""
    rows = [(event_id, START + timedelta(seconds=at), price, price) for at, price in points]
    return pl.DataFrame(rows, schema=PRICE, orient="row")


def quotes(event_id: str, *points: tuple[float, float]) -> pl.DataFrame:
    return pl.DataFrame([(event_id, START + timedelta(seconds=at), mid) for at, mid in points], schema=QUOTE, orient="row")


NO_QUOTES = pl.DataFrame(schema=QUOTE)
PATH = trades("a", (-700, 1.9), (-620, 2.0), (-500, 2.1), (-1, 9.0), (0, 2.2), (30, 6.0), (45, 6.0), (590, 3.0), (601, 50.0))


def test_the_peak_of_the_ten_minutes_is_held_against_the_last_trade_ten_minutes_before() -> None:
    (row,) = price_spikes(pumps("a"), PATH, NO_QUOTES).to_dicts()
    assert row["baseline"] == "last trade"
    assert row["baseline_price"] == 2.0
    assert row["baseline_age_seconds"] == 20.0
    assert row["peak_price"] == 6.0
    assert row["minutes_to_peak"] == 0.5
    assert row["magnitude"] == 3.0


def test_a_mid_known_ten_minutes_before_counts_before_the_last_trade() -> None:
    (row,) = price_spikes(pumps("a"), PATH, quotes("a", (-660, 1.5), (-599, 4.0))).to_dicts()
    assert (row["baseline"], row["baseline_price"], row["baseline_age_seconds"]) == ("mid", 1.5, 60.0)
    assert row["magnitude"] == 4.0


def test_quotes_of_another_event_are_no_baseline() -> None:
    found = price_spikes(pumps("a", "b"), pl.concat([PATH, trades("b", (5, 7.0))]), quotes("a", (-660, 1.5)))
    assert found.filter(pl.col("event_id") == "b").select("baseline", "magnitude", "peak_price").row(0) == (None, None, 7.0)


def test_what_is_older_than_a_day_is_no_baseline() -> None:
    (row,) = price_spikes(pumps("a"), trades("a", (-600 - 86_401, 1.0), (3, 2.0)), NO_QUOTES).to_dicts()
    assert row["baseline"] is None
    assert row["magnitude"] is None


def test_the_high_of_a_bucket_is_its_peak() -> None:
    buckets = trades("a", (-605, 1.0), (5, 2.0)).with_columns(high=pl.Series([1.0, 2.5]))
    assert price_spikes(pumps("a"), buckets, NO_QUOTES)["magnitude"].to_list() == [2.5]


@pytest.mark.parametrize(("span", "factor"), [(timedelta(days=900), 1.0), (timedelta(0), 1e-6)])
def test_spikes_depend_neither_on_when_it_was_nor_on_the_price_s_unit(span: timedelta, factor: float) -> None:
    names = ["magnitude", "minutes_to_peak", "baseline_age_seconds"]
    moved = PATH.with_columns(pl.col("at") + span, pl.col("price", "high") * factor)
    found = price_spikes(pumps("a").with_columns(pl.col("released_at") + span), moved, NO_QUOTES).select(names)
    assert found.row(0) == pytest.approx(price_spikes(pumps("a"), PATH, NO_QUOTES).select(names).row(0))


def test_relative_prices_carry_the_last_price_on() -> None:
    spikes = price_spikes(pumps("a"), PATH, NO_QUOTES)
    path = dict(relative_prices(spikes, PATH).select((pl.col("minutes") * 60).round().cast(pl.Int64), "median").iter_rows())
    assert path[-600] == 1.0
    assert path[-495] == pytest.approx(1.05)
    assert path[0] == pytest.approx(1.1)
    assert path[600] == 1.5
    assert len(path) == 241


def test_the_summary_counts_events_without_a_spike_apart() -> None:
    found = price_spikes(pumps("a", "b"), pl.concat([PATH, trades("b", (5, 7.0))]), NO_QUOTES)
    (row,) = summary(found).to_dicts()
    assert (row["events"], row["n"], row["mids"]) == (2, 1, 0)
    assert (row["magnitude"], row["magnitude_low"], row["minutes_to_peak"]) == (3.0, None, 0.5)
    assert row["rose_10_percent"] == 1.0


def test_nothing_comes_of_nothing() -> None:
    none = price_spikes(pumps(), pl.DataFrame(schema=PRICE), NO_QUOTES)
    assert none.is_empty()
    assert summary(none).is_empty()
    assert relative_prices(none, pl.DataFrame(schema=PRICE)).is_empty()
