"""Planted copies, forwards and shared events are found; chance coincidences and common phrases are not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pnd_dagster.analysis import near_duplicates
from pnd_dagster.analysis.coordination import (
    copy_links,
    first_uses,
    forward_links,
    organiser_groups,
    release_order,
    shared_event_links,
)
from pnd_dagster.analysis.near_duplicates import wordings
from pnd_dagster.analysis.network_figure import network

START = datetime(2024, 5, 1, tzinfo=UTC)
WORDS = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "frost",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "mason",
    "north",
    "ocean",
)


def sentence(rng: random.Random, words: int = 14) -> str:
    return " ".join(rng.choice(WORDS) + rng.choice(["", "s", "ed", "ing", "er"]) + str(rng.randint(0, 9)) for _ in range(words))


def messages(rows: list[tuple[int, float, str]]) -> pl.DataFrame:
    """Rows of (channel, hours, text)."""
    times = [START + timedelta(hours=hours) for _, hours, _ in rows]
    return pl.DataFrame({"channel_id": [row[0] for row in rows], "occurred_at": times, "text": [row[2] for row in rows]}).cast(
        {"occurred_at": pl.Datetime("us", "UTC"), "channel_id": pl.Int64}
    )


def linked(links: pl.DataFrame) -> set[tuple[int, int]]:
    return set(links.filter("is_linked").select("from_channel_id", "to_channel_id").rows())


def test_links_handles_case_and_punctuation_do_not_part_a_wording_but_numbers_do() -> None:
    text = "Our next coin comes on Friday at 17 sharp, be ready and hold it for two hours together"
    same = [
        text,
        text.upper() + "!!!",
        f"\N{ROCKET} {text} https://t.me/joinchat/abc @someone",
        text.replace("Our", "\N{FULLWIDTH LATIN CAPITAL LETTER O}ur"),
    ]
    other = ["Our next coin comes on Monday at 9 flat, be quick and sell within the first five minutes or so", "five minutes left"]
    found = wordings(pl.Series([*same, *other, None, ""]))
    assert found[:4].n_unique() == 1
    assert found[4] != found[0]
    assert found[5:].to_list() == [None, None, None]


def test_a_text_with_one_word_changed_is_the_same_wording() -> None:
    words = sentence(random.Random(1), 60).split()
    changed = [*words[:59], "otherwise"]
    found = wordings(pl.Series([" ".join(words), " ".join(changed), sentence(random.Random(2), 60)]))
    assert found[0] == found[1] != found[2]


def test_every_text_is_held_against_every_other_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_TEXTS_AT_ONCE", 7)
    rng = random.Random(9)
    texts = [sentence(rng, 60) for _ in range(20)]
    changed = [" ".join([*text.split()[:59], "otherwise"]) for text in texts]
    found = wordings(pl.Series([*texts, *changed, *[text.upper() for text in texts]])).to_list()
    assert found[:20] == found[20:40] == found[40:]
    assert len(set(found)) == 20


def test_a_channel_that_repeats_anothers_texts_is_linked_from_the_first_one() -> None:
    rng = random.Random(3)
    rows: list[tuple[int, float, str]] = []
    for day in range(8):
        text = sentence(rng)
        rows += [(1, 24.0 * day, text), (2, 24.0 * day + 0.5, text + " @elsewhere"), (3, 24.0 * day + 1, sentence(rng))]
    links = copy_links(first_uses(messages(rows)))
    (link,) = links.iter_rows(named=True)
    assert (link["from_channel_id"], link["to_channel_id"], link["count"], link["first_count"]) == (1, 2, 8, 8)
    assert link["median_lag_seconds"] == 1800
    assert link["is_linked"]
    assert link["rarity"] == pytest.approx(8 * 0.405465, abs=1e-4)


def test_short_and_common_texts_link_nobody() -> None:
    rng = random.Random(4)
    common = [sentence(rng) for _ in range(20)]
    rows = [(channel, 24.0 * day + channel / 10, text) for day, text in enumerate(common) for channel in range(1, 9)]
    rows += [(channel, 24.0 * day, f"{minutes} minutes left") for day in range(20) for minutes in (5, 1) for channel in range(1, 9)]
    assert first_uses(messages(rows)).is_empty()
    assert copy_links(first_uses(messages(rows))).is_empty()


def test_texts_that_two_channels_take_from_elsewhere_at_times_of_their_own_are_chance() -> None:
    rng = random.Random(5)
    rows: list[tuple[int, float, str]] = []
    for _ in range(120):
        text, at = sentence(rng), rng.uniform(0, 300 * 24)
        rows += [(1, at, text), (2, at + rng.uniform(-25, 25) * 24, text)]
    links = copy_links(first_uses(messages(rows)))
    assert links["count"].sum() >= 2
    assert linked(links) == set()
    assert links["expected_count"][0] == pytest.approx(120 / 25, rel=0.3)


def test_a_link_by_copies_must_outdo_chance_among_all_pairs_of_channels() -> None:
    rng = random.Random(7)
    rows: list[tuple[int, float, str]] = []
    for day in (0, 40, 80):
        text = sentence(rng)
        rows += [(1, 24.0 * day, text), (2, 24.0 * day + 1, text)]
    (link,) = copy_links(first_uses(messages(rows))).iter_rows(named=True)
    # Each of three shared wordings lies within the day by one chance in 29.
    assert link["p_value"] == pytest.approx(29.0**-3)
    assert link["is_linked"]
    crowd = [(channel, 24.0 * channel, sentence(rng)) for channel in range(3, 40)]
    assert linked(copy_links(first_uses(messages([*rows, *crowd])))) == set()


def releases(rows: list[tuple[int, str, float, str]]) -> pl.DataFrame:
    """Rows of (channel, event, seconds, coin)."""
    frame = pl.DataFrame(rows, schema=["channel_id", "event_id", "seconds", "symbol"], orient="row")
    return frame.select("channel_id", "event_id", "symbol", released_at=pl.lit(START) + pl.duration(milliseconds=pl.col("seconds") * 1000))


def planted_releases() -> pl.DataFrame:
    """Channels 1, 2, 3 pump together (1 first, 2 after 3 s, 3 after 9 s), 7 and 8 too; 20 pumps alone at the same hours."""
    rows: list[tuple[int, str, float, str]] = []
    for number in range(12):
        at, coin = number * 86_400.0, f"C{number}"
        rows += [(1, f"a{number}", at, coin), (2, f"a{number}", at + 3, coin), (3, f"a{number}", at + 9, coin)]
        rows += [(7, f"b{number}", at + 40_000, f"D{number}"), (8, f"b{number}", at + 40_000, f"D{number}")]
        rows += [(20, f"e{number}", at + 60, f"E{number}")]
    return releases(rows)


def test_channels_that_pump_together_are_linked_from_the_one_that_is_first() -> None:
    links = shared_event_links(planted_releases())
    assert linked(links) == {(1, 2), (1, 3), (2, 3), (7, 8)}
    by_pair = {(row["from_channel_id"], row["to_channel_id"]): row for row in links.iter_rows(named=True)}
    assert (by_pair[1, 2]["count"], by_pair[1, 2]["first_count"], by_pair[1, 2]["median_lag_seconds"]) == (12, 12, 3)
    assert (by_pair[7, 8]["first_count"], by_pair[7, 8]["median_lag_seconds"]) == (0, 0)
    assert by_pair[1, 2]["expected_count"] == pytest.approx(12 / 36)


def test_organiser_groups_are_the_channels_that_share_events() -> None:
    groups = organiser_groups(shared_event_links(planted_releases()))
    assert groups.rows() == [(1, 1, 3), (2, 1, 3), (3, 1, 3), (7, 7, 2), (8, 7, 2)]


def test_release_order_counts_who_was_alone_first() -> None:
    order = {row["channel_id"]: row for row in release_order(planted_releases()).iter_rows(named=True)}
    assert (order[1]["event_count"], order[1]["shared_event_count"], order[1]["first_release_count"]) == (12, 12, 12)
    assert order[3]["median_lag_seconds"] == 9
    assert (order[7]["first_release_count"], order[7]["median_lag_seconds"]) == (0, 0)
    assert (order[20]["shared_event_count"], order[20]["median_lag_seconds"]) == (0, None)


def test_channels_that_always_name_one_of_two_coins_meet_by_chance() -> None:
    rng = random.Random(6)
    rows: list[tuple[int, str, float, str]] = []
    for number in range(40):
        at = number * 86_400.0
        coins = (rng.choice("AB"), rng.choice("AB"))
        rows += [(channel, f"{coin}{number}", at + 60 * channel, coin) for channel, coin in enumerate(coins)]
    links = shared_event_links(releases(rows))
    assert links["count"][0] > 10
    assert linked(links) == set()


def test_forwards_link_their_source_and_a_single_one_is_no_habit() -> None:
    at = [START + timedelta(minutes=minutes) for minutes in (2, 4, 50, 7)]
    source = [START, START + timedelta(minutes=1), None, None]
    frame = pl.DataFrame({"from_channel_id": [1, 1, 1, 5], "to_channel_id": [2, 2, 2, 2], "at": at, "source_at": source})
    links = forward_links(frame)
    assert linked(links) == {(1, 2)}
    assert links.filter(pl.col("from_channel_id") == 1)["median_lag_seconds"].to_list() == [150]
    assert links["p_value"].to_list() == [None, None]


def test_nothing_links_nothing_and_is_drawn() -> None:
    uses = first_uses(messages([]).cast({"text": pl.String}))
    links = pl.concat((copy_links(uses), shared_event_links(planted_releases().clear())))
    assert links.is_empty()
    assert organiser_groups(links).is_empty()
    groups = pl.DataFrame(schema={"channel_id": pl.Int64, "group_id": pl.Int64, "group_size": pl.Int64, "event_count": pl.Int64})
    assert network(links, groups).startswith(b"\x89PNG")


def test_the_graph_is_a_picture() -> None:
    links = shared_event_links(planted_releases())
    groups = organiser_groups(links).join(release_order(planted_releases()), on="channel_id", how="full", coalesce=True)
    picture = network(links, groups)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000
