"""Revision ids, cleaning, and the frames of a batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnd_dagster import tables
from pnd_dagster.storage.dead_letters import Refusal, clean_text, dead_letters
from pnd_dagster.telegram.batches import ROW_SCHEMA, batch_of, empty_batch, join_batches, revision_id, revision_ids

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def rows(*changes: dict) -> pl.DataFrame:
    base = {"channel_id": 7, "message_id": 1, "occurred_at": NOW, "is_deleted": False, "kind": "message", "text": "pump at 17:00"}
    return pl.DataFrame([{**base, **change} for change in changes], schema=ROW_SCHEMA)


contents = st.fixed_dictionaries(
    {
        "edited_at": st.none() | st.datetimes(datetime(2013, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
        "text": st.text(max_size=30).map(clean_text),
        "media_type": st.sampled_from([None, "MessageMediaPhoto", "MessageMediaPoll"]),
        "is_deleted": st.booleans(),
    }
)


@given(st.lists(contents, min_size=1, max_size=8), st.randoms())
def test_a_revision_has_the_same_id_in_whatever_order_and_company_it_is_read(revisions, random):
    frame = rows(*revisions)
    ids = dict(zip(range(len(revisions)), revision_ids(frame), strict=True))
    order = list(range(len(revisions)))
    random.shuffle(order)
    assert revision_ids(frame[order]).to_list() == [ids[one] for one in order]
    assert [revision_ids(rows(one)).item() for one in revisions] == list(ids.values())


@given(contents, contents)
def test_revisions_have_one_id_exactly_when_their_content_is_the_same(one, other):
    assert (revision_ids(rows(one)).item() == revision_ids(rows(other)).item()) == (one == other)


def test_the_id_of_a_revision_never_changes_between_releases():
    assert revision_id(None, "pump at 17:00", None, False) == 5068591744428991181
    assert revision_id(1_714_564_800_000_000, "pump at 18:00 ⏰", "MessageMediaPhoto", False) == -2497276687752406397


def test_the_file_name_of_a_photo_makes_no_new_revision():
    frame = rows({"media_type": "MessageMediaPhoto"}, {"media_type": "MessageMediaPhoto", "media_file": "7/1.jpg"})
    assert revision_ids(frame).n_unique() == 1


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\ufffdb"),
        ("lone \ud83d here", "lone \ufffd here"),
        ("pair \ud83d\ude80 joined", "pair 🚀 joined"),
        ("🚀 Ünïcode", "🚀 Ünïcode"),
    ],
)
def test_texts_are_cleaned_of_what_the_database_cannot_hold(given_text, expected):
    assert clean_text(given_text) == expected


@given(st.text(st.characters(), max_size=50))
def test_a_cleaned_text_can_always_be_stored_and_cleaning_it_again_changes_nothing(text):
    cleaned = clean_text(text)
    assert "\x00" not in cleaned.encode("utf-8").decode("utf-8")
    assert clean_text(cleaned) == cleaned


def test_a_batch_conforms_to_the_raw_tables_and_drops_repeated_revisions():
    batch = batch_of(
        rows({"views": 10, "channel_title": "Old name"}, {"views": 12}, {"message_id": 2, "channel_title": "New name", "text": "x"}),
        source="archive",
        ingested_at=NOW,
    )
    assert batch.messages.select("message_id", "source").rows() == [(1, "archive"), (2, "archive")]
    assert batch.stats.select("message_id", "views", "observed_at").rows() == [(1, 12, NOW)]
    assert batch.channels.select("channel_id", "title", "status").rows() == [(7, "New name", "candidate")]
    for frame, table in zip(
        batch, (tables.TELEGRAM_MESSAGES, tables.TELEGRAM_MESSAGE_STATS, tables.TELEGRAM_CHANNELS, tables.DEAD_LETTERS), strict=False
    ):
        assert frame.schema == tables.polars_schema(table)
    assert batch.row_count == 3


def test_joined_batches_keep_every_revision_once():
    one = batch_of(rows({}), source="live", ingested_at=NOW)
    again = batch_of(rows({}, {"message_id": 2}), source="live", ingested_at=NOW + timedelta(seconds=1))
    joined = join_batches([one, again, empty_batch()])
    assert joined.messages["message_id"].to_list() == [1, 2]
    assert joined.messages["ingested_at"][0] == NOW
    assert join_batches([]).row_count == 0


def test_a_dead_letter_has_the_same_id_at_every_run_and_a_payload_that_postgres_accepts():
    refusal = Refusal("row 3", "text\x00 is odd", {"text": "\ud83d\x00" + "z" * 50_000, "n": float("nan"), "b": b"\xff"})
    first = dead_letters("a.jsonl", [refusal], refused_at=NOW)
    second = dead_letters("a.jsonl", [refusal], refused_at=NOW + timedelta(days=1))
    assert first["dead_letter_id"].to_list() == second["dead_letter_id"].to_list()
    payload = first["payload"][0]
    assert len(payload) <= 10_000
    assert json.loads(payload)
    assert "\x00" not in payload
    assert "\\u0000" not in payload
