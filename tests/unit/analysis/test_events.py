"""Events by exchange and month."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from pnd_dagster.analysis.events import events_by_exchange, events_by_month, paper_keys
from pnd_dagster.analysis.sources import EVENT


def events(*rows: tuple[str | None, str, datetime]) -> pl.DataFrame:
    return pl.DataFrame([("database", f"e{n}", *row, [n % 2]) for n, row in enumerate(rows)], schema=EVENT, orient="row")


def on(year: int, month: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, 1, hour, minute, tzinfo=UTC)


SOME = events(("kucoin", "A", on(2023, 11)), ("kucoin", "B", on(2024, 2)), (None, "A", on(2024, 2)), ("uniswap", "A", on(2024, 2)))


def test_shares_of_all_exchanges_and_the_unknown_sum_to_one() -> None:
    table = events_by_exchange(SOME)
    assert table["share"].sum() == pytest.approx(1)
    assert table.select("exchange", "type", "events", "coins", "channels").rows() == [
        ("kucoin", "CEX", 2, 2, 2),
        ("uniswap", "DEX", 1, 1, 1),
        ("unknown", None, 1, 1, 1),
    ]


def test_months_without_events_are_months_too() -> None:
    table = events_by_month(SOME)
    assert table["month"].unique().sort().to_list() == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert table["events"].sum() == SOME.height


def test_a_month_is_one_of_utc() -> None:
    assert events_by_month(events(("kucoin", "A", on(2024, 1)))).rows() == [("2024-01", "kucoin", 1)]


def test_the_paper_counts_releases_across_the_rounding_edge_twice() -> None:
    releases = events(("kucoin", "A", on(2024, 1, 17, 29)), ("kucoin", "A", on(2024, 1, 17, 31)), ("kucoin", "A", on(2024, 1, 18, 10)))
    assert paper_keys(releases) == 2


def test_nothing_comes_of_nothing() -> None:
    assert events_by_exchange(events()).is_empty()
    assert events_by_month(events()).is_empty()
