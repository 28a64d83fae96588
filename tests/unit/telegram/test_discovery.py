"""Snowball search over links and forwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pnd_dagster import tables
from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.telegram.discovery import ResolvedChannel, Snowball, pump_share, resolve_known, snowball
from pnd_dagster.telegram.links import ChannelLink

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def channel(*texts: str, forwards: tuple[int, ...] = ()) -> pl.DataFrame:
    """Messages with these texts, and empty forwards from these channels."""
    rows = [(text, None) for text in texts] + [("", source) for source in forwards]
    return pl.DataFrame(
        {
            "text": [text for text, _ in rows],
            "forwarded_from_channel_id": [source for _, source in rows],
            "occurred_at": [NOW + timedelta(minutes=minute) for minute in range(len(rows))],
        },
        schema_overrides={"forwarded_from_channel_id": pl.Int64},
    )


def classify(texts: list[str]) -> list[float]:
    return [float("pump" in text) for text in texts]


def search(world: dict[int, pl.DataFrame], seeds: list[int], **options: object) -> Snowball:
    def read(channel_id: int) -> pl.DataFrame:
        return world.get(channel_id, channel())

    return snowball(seeds, read_messages=read, classify=classify, discovered_at=NOW, **options)  # type: ignore[arg-type]


def test_forwards_of_pump_channels_are_followed_and_scored() -> None:
    world = {1: channel("pump today", forwards=(2,)), 2: channel("pump now", "hello", forwards=(3,)), 3: channel("news")}
    found = search(world, [1])
    assert found.channels.select("channel_id", "found_from_channel_id", "pump_share_ratio").rows() == [(2, 1, 0.5), (3, 2, 0.0)]
    assert found.channels.equals(tables.conform(found.channels, tables.TELEGRAM_CHANNELS))
    assert set(found.channels["status"]) == {"candidate"}
    assert set(found.channels["found_via"]) == {"snowball"}


def test_a_channel_below_the_threshold_is_a_candidate_but_not_followed() -> None:
    world = {1: channel("pump", forwards=(2,)), 2: channel("pump", *["news"] * 9, forwards=(3,)), 3: channel("pump")}
    assert search(world, [1], threshold=0.2).channels["channel_id"].to_list() == [2]
    assert search(world, [1], threshold=0.05).channels["channel_id"].to_list() == [2, 3]


def test_a_seed_that_does_not_pump_leads_nowhere() -> None:
    found = search({1: channel("news", forwards=(2,))}, [1])
    assert found.channels.is_empty()
    assert found.followed_channel_ids == []


def test_circles_end_and_every_channel_is_read_once() -> None:
    world = {number: channel("pump", forwards=(1, 2, 3, number)) for number in (1, 2, 3)}
    reads: list[int] = []

    def read(channel_id: int) -> pl.DataFrame:
        reads.append(channel_id)
        return world[channel_id]

    found = snowball([1, 1], read_messages=read, classify=classify, max_depth=50, discovered_at=NOW)
    assert sorted(reads) == [1, 2, 3]
    assert found.channels["channel_id"].to_list() == [2, 3]
    assert found.followed_channel_ids == [1, 2, 3]


def test_the_search_ends_at_its_depth() -> None:
    world = {number: channel("pump", forwards=(number + 1,)) for number in range(1, 10)}
    assert search(world, [1], max_depth=1).channels["channel_id"].to_list() == [2]
    assert search(world, [1], max_depth=3).channels["channel_id"].to_list() == [2, 3, 4]
    assert search(world, [1], max_depth=3).channels["pump_share_ratio"].to_list() == [1.0, 1.0, 1.0]


def test_beyond_the_bound_the_most_referred_to_stay_and_the_rest_is_counted() -> None:
    found = search({1: channel("pump", forwards=(30, 20, 20, 10, 10, 10, 40))}, [1], max_channels=2)
    assert found.channels["channel_id"].to_list() == [10, 20]
    assert found.skipped_count == 2


def test_links_are_followed_when_they_can_be_resolved() -> None:
    def resolve(link: ChannelLink) -> ResolvedChannel | None:
        return ResolvedChannel(2, "Moon Calls", "moon_calls") if link.username == "moon_calls" else None

    world = {1: channel("pump at t.me/moon_calls", "t.me/moon_calls/5"), 2: channel("pump", forwards=(3,)), 3: channel("pump")}
    found = search(world, [1], resolve=resolve)
    assert found.channels.select("channel_id", "title", "username", "link").rows()[0] == (
        2,
        "Moon Calls",
        "moon_calls",
        "https://t.me/moon_calls",
    )
    assert found.channels["channel_id"].to_list() == [2, 3]


def test_unknown_links_wait_under_a_negative_id_and_mentions_of_people_are_left_out() -> None:
    found = search({1: channel("pump, see t.me/moon_calls and ask @some_person")}, [1])
    assert found.channels["link"].to_list() == ["https://t.me/moon_calls"]
    assert found.channels["channel_id"][0] < 0
    assert found.channels["pump_share_ratio"][0] is None


def test_a_link_and_a_forward_of_one_channel_are_one_candidate() -> None:
    known = pl.DataFrame(
        {"channel_id": [2], "title": ["Moon"], "username": ["Moon_Calls"], "link": [None]}, schema_overrides={"link": pl.String}
    )
    found = search({1: channel("pump @moon_calls", "t.me/MOON_CALLS", forwards=(2,))}, [1], resolve=resolve_known(known))
    assert found.channels.select("channel_id", "title").rows() == [(2, "Moon")]


def test_channels_that_cannot_be_read_become_dead_letters_and_the_rest_goes_on() -> None:
    def read(channel_id: int) -> pl.DataFrame:
        if channel_id == 2:
            raise SourceError("the channel is private")
        return channel("pump", forwards=(2, 3))

    found = snowball([1], read_messages=read, classify=classify, discovered_at=NOW)
    assert found.channels["channel_id"].to_list() == [2, 3]
    assert found.dead_letters["location"].to_list() == ["channel 2"]
    assert "private" in found.dead_letters["reason"][0]


def test_links_whose_resolution_fails_are_kept_and_reported() -> None:
    def resolve(link: ChannelLink) -> ResolvedChannel | None:
        raise TransientError("flood wait")

    found = search({1: channel("pump t.me/moon_calls")}, [1], resolve=resolve)
    assert found.channels["link"].to_list() == ["https://t.me/moon_calls"]
    assert "flood wait" in found.dead_letters["reason"][0]


def test_the_share_is_that_of_the_last_texts_only() -> None:
    messages = channel(*["pump"] * 100, *["news"] * 500)
    assert pump_share(messages.sample(fraction=1, shuffle=True, seed=1), classify) == 0.0
    assert pump_share(channel("", "  "), classify) is None


def test_a_classifier_that_answers_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match="one finite number"):
        pump_share(channel("a", "b"), lambda texts: [0.5])
    with pytest.raises(ValueError, match="one finite number"):
        pump_share(channel("a"), lambda texts: [float("nan")])


@pytest.mark.parametrize("options", [{"threshold": 1.0}, {"max_depth": 0}, {"max_channels": 0}])
def test_senseless_bounds_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        search({}, [1], **options)


def test_progress_is_told_for_every_channel_read() -> None:
    told: list[tuple[int, int]] = []
    search({1: channel("pump", forwards=(2,)), 2: channel("x")}, [1], progress=lambda read, found: told.append((read, found)))
    assert told == [(1, 0), (2, 1)]
