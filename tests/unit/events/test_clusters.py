"""Releases joined into events, and announcements into scheduled pumps."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster import tables
from pnd_dagster.events import cluster_events, schedule_pumps

NOON = datetime(2023, 5, 5, 12, 0, tzinfo=UTC)


def release(channel_id: int, seconds: float, symbol: str = "NEBL", exchange: str | None = "binance", message_id: int = 1) -> dict[str, Any]:
    return {
        "channel_id": channel_id,
        "message_id": message_id,
        "released_at": NOON + timedelta(seconds=seconds),
        "exchange": exchange,
        "exchange_source": "text" if exchange else None,
        "symbol": symbol,
        "quote": None,
        "confidence": 0.9,
        "is_symbol_listed": True,
        "announcement_id": None,
        "event_id": "",
    }


def clustered(*rows: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    return cluster_events(pl.DataFrame(rows, schema=tables.polars_schema(tables.PUMP_RELEASES)))


def announcement(name: str, channel_id: int, minutes: float, exchange: str | None = "binance", **changes: Any) -> dict[str, Any]:
    return {
        "announcement_id": name,
        "channel_id": channel_id,
        "message_id": 1,
        "announced_at": NOON + timedelta(minutes=channel_id),
        "exchange": exchange,
        "scheduled_at": NOON + timedelta(hours=5, minutes=minutes),
        "is_inferred": False,
        "schedule_revision": 0,
        "status": "scheduled",
        "status_at": NOON + timedelta(minutes=channel_id),
        "evidence_message_ids": [1],
    } | changes


def scheduled(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return schedule_pumps(pl.DataFrame(rows, schema=tables.polars_schema(tables.PUMP_ANNOUNCEMENTS))).to_dicts()


def test_two_channels_at_the_rounding_edge_of_the_hour_are_one_event() -> None:
    half_past = 30 * 60
    events, releases = clustered(release(1, half_past - 10), release(2, half_past + 10))

    assert events.height == 1
    assert events["channel_ids"].to_list() == [[1, 2]]
    assert events["paper_event_key"].to_list() == ["binance:NEBL:2023-05-05T12"]
    assert releases["event_id"].to_list() == [events["event_id"][0]] * 2


def test_releases_chain_while_neighbours_are_within_two_hours() -> None:
    hour = 3600
    events, _ = clustered(release(1, 0), release(2, 1.9 * hour), release(3, 3.8 * hour), release(4, 5.9 * hour))

    assert events["evidence_count"].to_list() == [3, 1]


def test_another_coin_or_another_exchange_is_another_event() -> None:
    events, _ = clustered(release(1, 0), release(2, 1, symbol="VIBE"), release(3, 2, exchange="kucoin"))

    assert events.height == 3


def test_an_unknown_exchange_joins_the_nearest_known_one() -> None:
    events, releases = clustered(release(1, 0), release(2, 3000, exchange=None), release(3, 3600, exchange="kucoin"))

    assert {row["exchange"]: row["channel_ids"] for row in events.to_dicts()} == {"binance": [1], "kucoin": [2, 3]}
    assert releases.filter(pl.col("channel_id") == 2)["exchange"].to_list() == [None]


def test_releases_without_any_exchange_make_an_event_without_one() -> None:
    events, _ = clustered(release(1, 0, exchange=None), release(2, 60, exchange=None))

    assert events.select("exchange", "paper_event_key").rows() == [(None, "unknown:NEBL:2023-05-05T12")]


def test_ids_of_parts_that_met_later_are_kept_as_aliases() -> None:
    before, _ = clustered(release(2, 60))
    after, _ = clustered(release(1, 0, exchange=None), release(2, 60))

    assert after["event_id"][0] != before["event_id"][0]
    assert before["event_id"][0] in after["aliases"][0]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4), st.integers(0, 12 * 3600), st.sampled_from(["AAA", "BBB"]), st.sampled_from([None, "binance", "kucoin"])
        ),
        max_size=25,
    ),
    st.randoms(),
)
@settings(max_examples=60, deadline=None)
def test_every_release_has_one_event_whatever_the_order(drawn: list[tuple[int, int, str, str | None]], shuffler: random.Random) -> None:
    rows = [release(channel, seconds, symbol, exchange, message_id=i) for i, (channel, seconds, symbol, exchange) in enumerate(drawn)]
    events, releases = clustered(*rows)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    again = clustered(*shuffled, *shuffled[:3])

    assert releases.height == len(rows)
    assert set(releases["event_id"]) == set(events["event_id"])
    assert events["event_id"].is_unique().all()
    assert again[0].equals(events)
    assert again[1].equals(releases)


def test_channels_that_announce_the_same_start_share_a_pump() -> None:
    (pump,) = scheduled(announcement("a", 1, 0), announcement("b", 2, 5), announcement("c", 3, 0, exchange=None))

    assert (pump["exchange"], pump["scheduled_at"], pump["channel_count"]) == ("binance", NOON + timedelta(hours=5), 3)
    assert pump["announcement_ids"] == ["a", "b", "c"]


def test_another_time_or_exchange_is_another_pump() -> None:
    assert len(scheduled(announcement("a", 1, 0), announcement("b", 2, 11), announcement("c", 3, 0, exchange="kucoin"))) == 3


def test_the_state_is_that_of_the_latest_change_and_untimed_announcements_wait() -> None:
    late = announcement("b", 2, 0, status="cancelled", status_at=NOON + timedelta(hours=4), schedule_revision=2)
    (pump,) = scheduled(announcement("a", 1, 0), late, announcement("c", 3, 0, scheduled_at=None))

    assert (pump["status"], pump["schedule_revision"]) == ("cancelled", 2)


def test_a_drifting_row_of_starts_does_not_chain_without_end() -> None:
    pumps = scheduled(*(announcement(f"a{i}", i, 6.0 * i) for i in range(6)))

    assert len(pumps) == 3
