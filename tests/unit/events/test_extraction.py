"""The whole of the extraction: its frames, its properties under random channels, and what it finds in real ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnd_dagster import tables
from pnd_dagster.events import extract_events

START = datetime(2023, 5, 5, 12, 0, tzinfo=UTC)
TEXTS = (
    "Next pump today at 17:00 GMT on Binance",
    "Next pump\nDate: 6 May\nTime: 16:00 UTC\nExchange: Kucoin",
    "Pump postponed by 1 hour",
    "The pump is cancelled",
    "10 minutes left until the pump",
    "Next post will be the coin",
    "The coin is NEBL",
    "$VIBE go go",
    "N",
    "NEBL pumped 200%",
    "Buy #NAS 100-110, targets 120-130-140, stop loss 90",
    "",
    "hello everybody",
)
Drawn = list[tuple[int, int, int, int]]


def frame(drawn: Drawn) -> pl.DataFrame:
    rows = [
        {
            "channel_id": channel,
            "message_id": number,
            "date": START + timedelta(minutes=minute),
            "text": TEXTS[text],
            "label": label,
            "confidence": 0.9,
        }
        for number, (channel, minute, text, label) in enumerate(drawn)
    ]
    schema = {
        "channel_id": pl.Int64,
        "message_id": pl.Int64,
        "date": pl.Datetime("us", "UTC"),
        "text": pl.String,
        "label": pl.Int16,
        "confidence": pl.Float32,
    }
    return pl.DataFrame(rows, schema=schema)


drawn_channels = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 1500), st.integers(0, len(TEXTS) - 1), st.integers(0, 5)),
    max_size=40,
)


@given(drawn_channels, st.integers(0, 1_000_000))
@settings(max_examples=60, deadline=None)
def test_order_and_duplicates_change_nothing_and_all_frames_fit_their_tables(drawn: Drawn, seed: int) -> None:
    messages = frame(drawn)
    extraction = extract_events(messages)
    shuffled = pl.concat([messages, messages.head(5)]).sample(fraction=1.0, shuffle=True, seed=seed)
    again = extract_events(shuffled)

    for found, same, table in zip(
        extraction,
        again,
        (tables.PUMP_ANNOUNCEMENTS, tables.SCHEDULED_PUMPS, tables.PUMP_RELEASES, tables.PUMP_EVENTS),
        strict=True,
    ):
        assert found.equals(same)
        assert tables.conform(found, table).equals(found)
        assert found.select(tables.primary_key(table)).is_unique().all()


@given(drawn_channels)
@settings(max_examples=40, deadline=None)
def test_what_is_announced_and_released_hangs_together(drawn: Drawn) -> None:
    messages = frame(drawn)
    announcements, _, releases, events = extract_events(messages)
    said = set(messages.select("channel_id", "message_id").rows())

    assert {row[:2] for row in releases.select("channel_id", "message_id").rows()} <= said
    assert set(releases["announcement_id"].drop_nulls()) <= set(announcements.filter(pl.col("status") == "released")["announcement_id"])
    assert releases["confidence"].is_between(0, 1).all()
    assert events["evidence_count"].sum() == releases.height
    for row in announcements.iter_rows(named=True):
        assert row["evidence_message_ids"][0] == row["message_id"]
        assert (row["released_message_id"] is not None) == (row["status"] == "released")
        assert row["status_at"] >= row["announced_at"]


def test_channels_that_release_together_make_one_event() -> None:
    rng = random.Random(0)
    drawn: Drawn = []
    for channel in (1, 2, 3):
        drawn += [(channel, 0, 0, 0), (channel, 290 + rng.randint(0, 5), 5, 1), (channel, 300 + channel, 6, 2)]
    extraction = extract_events(frame(drawn))

    assert extraction.scheduled_pumps["channel_count"].to_list() == [3]
    assert extraction.events.select("symbol", "exchange", "channel_count").rows() == [("NEBL", "binance", 3)]
    assert set(extraction.events["announcement_ids"][0]) == set(extraction.announcements["announcement_id"])


@pytest.mark.shared
def test_nine_of_ten_releases_of_human_labelled_channels_are_found(shared_data: Path) -> None:
    labelled = pl.read_parquet(shared_data / "author_labels.parquet").filter(pl.col("text").is_not_null())
    messages = labelled.with_columns(confidence=pl.lit(1.0), date=pl.col("date").cast(pl.Datetime("us", "UTC")))
    releases = extract_events(messages).releases
    logged = pl.read_csv(shared_data / "pump_events_uzh_releases_silver.csv")
    found = logged.join(releases, on=["channel_id", "message_id"]).filter(pl.col("coin") == pl.col("symbol"))

    assert logged.height > 100
    assert found.height >= 0.9 * logged.height
