"""What is watched: the listed candidates of the latest day decided on, and what was listed since."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pnd_dagster.candidates.store import choose_candidates
from pnd_dagster.candidates.watch_list import watch_list

DAY = date(2024, 5, 1)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def watched(place: Any, day: date = DAY, exchange: str = "kucoin") -> list[str]:
    return watch_list(place.engine, exchange, day)["symbol"].to_list()


def filled(place: Any) -> None:
    for number, (base, cap) in enumerate([("ABC", 1e6), ("BIG", 9e9), ("OLD", 1e6)], start=1):
        place.link(place.instrument(base), number)
        place.coin(number, base, base, at=NOON, market_cap_usd=cap)
    place.instrument("BTC3L", is_derivative=True, derivative_of="BTC")
    place.instrument("XYZ", "mexc")


def test_where_nothing_was_decided_all_but_derivatives_are_watched_and_the_log_says_so(
    place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    filled(place)
    with caplog.at_level(logging.WARNING):
        assert watched(place) == ["ABC/USDT", "BIG/USDT", "OLD/USDT"]
    assert "kucoin: no candidates were chosen up to 2024-05-01; watching all 3 listed markets" in caplog.text


def test_candidates_that_are_still_listed_are_watched(place: Any) -> None:
    filled(place)
    choose_candidates(place.engine, DAY, 60e6)
    assert watched(place) == ["ABC/USDT", "OLD/USDT"]
    assert watched(place, exchange="mexc") == ["XYZ/USDT"]
    frame = watch_list(place.engine, "kucoin", DAY)
    assert frame.columns == ["instrument_id", "symbol", "market_id", "base_id", "quote_id"]
    assert frame.row(0)[1:] == ("ABC/USDT", "ABC-USDT", "ABC", "USDT")
    old = frame["instrument_id"][1]
    place.instrument("OLD", instrument_id=old, valid_to=NOON)
    assert watched(place) == ["ABC/USDT"]


def test_the_latest_decisions_up_to_the_day_count_and_not_those_of_later_days(place: Any) -> None:
    filled(place)
    choose_candidates(place.engine, DAY, 60e6)
    choose_candidates(place.engine, DAY + timedelta(days=2), 1.0)
    assert watched(place, DAY + timedelta(days=1)) == ["ABC/USDT", "OLD/USDT"]
    assert watched(place, DAY + timedelta(days=2)) == []


def test_a_market_that_was_listed_since_the_decision_is_watched_too(place: Any) -> None:
    filled(place)
    choose_candidates(place.engine, DAY, 60e6)
    place.instrument("NEW", valid_from=NOON + timedelta(days=1))
    place.instrument("NEW3L", valid_from=NOON + timedelta(days=1), is_derivative=True)
    assert watched(place, DAY + timedelta(days=1)) == ["ABC/USDT", "NEW/USDT", "OLD/USDT"]
