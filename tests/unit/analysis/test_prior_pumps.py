"""Earlier pumps of a coin, at the time that is asked for; and whether pumps repeat."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
import pytest

from pnd_dagster.analysis.prior_pumps import prior_pumps, repeats, repeats_frame

START = datetime(2024, 1, 1, tzinfo=UTC)


def events(rows: Sequence[tuple[str | None, str, float]]) -> pl.DataFrame:
    """Rows of (exchange, coin, days)."""
    frame = pl.DataFrame(rows, schema={"exchange": pl.String, "symbol": pl.String, "days": pl.Float64}, orient="row")
    return frame.select("exchange", "symbol", released_at=pl.lit(START) + pl.duration(seconds=pl.col("days") * 86_400))


def test_only_what_was_released_before_counts() -> None:
    told = events([("xt", "AAA", 0), ("xt", "AAA", 3), ("mexc", "AAA", 1), (None, "AAA", 2), ("xt", "BBB", 1)])
    asked = events([("xt", "AAA", 0), ("xt", "AAA", 3), ("xt", "AAA", 5), ("xt", "CCC", 5)]).rename({"released_at": "at"})
    found = prior_pumps(told, asked)
    assert found["prior_pumps"].to_list() == [0, 1, 2, 0]
    assert found["prior_pumps_elsewhere"].to_list() == [0, 2, 2, 0]
    assert found["days_since_last"].to_list() == [None, 3.0, 2.0, None]


def test_what_is_being_released_is_no_history() -> None:
    told = events([("xt", "AAA", 0), ("xt", "AAA", 1 / 24)])
    asked = events([("xt", "AAA", 1.5 / 24)]).rename({"released_at": "at"})
    assert prior_pumps(told, asked)["prior_pumps"].to_list() == [0]


def test_no_events_are_no_history() -> None:
    asked = events([("xt", "AAA", 1)]).rename({"released_at": "at"})
    assert prior_pumps(events([]), asked)["prior_pumps"].to_list() == [0]


LISTED = pl.DataFrame({"exchange": ["xt"] * 100, "symbol": [f"C{number}" for number in range(100)]})


def test_coins_that_are_drawn_blindly_repeat_no_more_than_chance() -> None:
    rng = random.Random(1)
    blind = events([("xt", f"C{rng.randrange(100)}", day) for day in range(200)])
    found = repeats(blind, LISTED)["xt"]
    assert found.lift_low < 1 < found.lift_high
    assert found.percentile_low < 0.5 < found.percentile_high
    assert found.tops[10] == pytest.approx(found.chance_tops[10], abs=0.06)


def test_favourite_coins_are_seen_to_repeat() -> None:
    rng = random.Random(2)
    favoured = events([("xt", f"C{min(rng.randrange(100), rng.randrange(8))}", day) for day in range(120)])
    found = repeats(favoured, LISTED)
    assert found["xt"].lift_low > 2
    assert found["xt"].percentile_low > 0.8
    assert found["xt"].tops[10] > 0.8
    assert found["all"] == found["xt"]
    assert repeats_frame(found)["exchange"].sort().to_list() == ["all", "xt"]


def test_two_events_work_out_by_hand() -> None:
    found = repeats(events([("xt", "C1", 0), ("xt", "C1", 1), ("xt", "C2", 2)]), LISTED)["xt"]
    assert (found.events, found.share, found.expected) == (2, 0.5, pytest.approx(0.01))
    assert found.percentile == pytest.approx((1.0 + 0.5 * 98 / 99) / 2)


def test_exchanges_without_a_listing_and_no_events_are_left_out() -> None:
    assert repeats(events([("elsewhere", "C1", 0), ("elsewhere", "C1", 1), (None, "C1", 2)]), LISTED) == {}
    assert repeats_frame({}).is_empty()


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [("xt", f"C{number % 7}", float(number)) for number in range(30)]
    there = repeats(events(rows), LISTED)
    assert repeats(events(rows[::-1]), LISTED) == there
