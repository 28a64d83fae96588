"""Tags of message revisions follow messages and lexicon, and channels count the last text of each message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.messages import warning_sign_store
from pnd_dagster.messages.warning_sign_store import tag_messages, write_channel_signs
from pnd_dagster.messages.warning_signs import lexicon_entries, load_lexicon
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import CHANNEL_WARNING_SIGNS, MESSAGE_WARNING_SIGNS, TELEGRAM_MESSAGES

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = (NOON.replace(hour=0), NOON.replace(hour=0) + timedelta(days=1))
SIGN_COUNT = lexicon_entries()["sign"].n_unique()


def write_message(
    engine: sa.Engine,
    channel_id: int,
    message_id: int,
    text: str,
    *,
    revision_id: int = 0,
    occurred_at: datetime = NOON,
    edited_at: datetime | None = None,
    is_deleted: bool = False,
    kind: str = "message",
) -> None:
    row = {
        "channel_id": channel_id,
        "message_id": message_id,
        "revision_id": revision_id,
        "occurred_at": occurred_at,
        "edited_at": edited_at,
        "ingested_at": NOON,
        "is_deleted": is_deleted,
        "kind": kind,
        "text": text,
        "source": "archive",
    }
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([row]))


def tags(engine: sa.Engine) -> dict[tuple[int, int, int], list[str]]:
    rows = read_frame(engine, sa.select(MESSAGE_WARNING_SIGNS))
    return {(row["channel_id"], row["message_id"], row["revision_id"]): row["signs"] for row in rows.iter_rows(named=True)}


def test_only_messages_with_a_sign_have_a_row_and_a_second_run_changes_nothing(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "Hurry up, join our VIP")
    write_message(engine, 1, 2, "The coin is ABC")
    write_message(engine, 2, 3, "", kind="message")
    write_message(engine, 2, 4, "hurry up", kind="service")
    write_message(engine, 2, 5, "hurry up", is_deleted=True)
    seen: list[int] = []
    assert tag_messages(engine, on_progress=seen.append) == (1, 0, 0, 0)
    assert tags(engine) == {(1, 1, 0): ["urgency", "vip_upsell"]}
    assert sum(seen) == 2
    assert tag_messages(engine) == (0, 0, 1, 0)
    (row,) = read_frame(engine, sa.select(MESSAGE_WARNING_SIGNS)).iter_rows(named=True)
    assert row["phrases"] == ["hurry up", "join our vip"]
    assert row["lexicon_version"] == load_lexicon().version


def test_rows_of_an_old_lexicon_are_replaced_or_go(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "hurry up")
    write_message(engine, 1, 2, "nothing to see")
    old = {"channel_id": 1, "revision_id": 0, "signs": ["urgency"], "phrases": ["x"], "lexicon_version": "0-old"}
    upsert(engine, MESSAGE_WARNING_SIGNS, pl.DataFrame([old | {"message_id": 1}, old | {"message_id": 2}]))
    assert tag_messages(engine) == (0, 1, 0, 1)
    assert tags(engine) == {(1, 1, 0): ["urgency"]}


def test_a_window_leaves_other_days_alone(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "hurry up")
    write_message(engine, 1, 2, "hurry up", occurred_at=NOON - timedelta(days=1))
    upsert(
        engine,
        MESSAGE_WARNING_SIGNS,
        pl.DataFrame(
            [{"channel_id": 1, "message_id": 2, "revision_id": 0, "signs": ["vip_upsell"], "phrases": ["x"], "lexicon_version": "0-old"}]
        ),
    )
    assert tag_messages(engine, DAY) == (1, 0, 0, 0)
    assert tags(engine) == {(1, 1, 0): ["urgency"], (1, 2, 0): ["vip_upsell"]}


def test_channels_are_written_in_chunks(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warning_sign_store, "CHUNK_ROWS", 2)
    for channel in range(5):
        write_message(engine, channel, 1, "hurry up")
    seen: list[int] = []
    assert tag_messages(engine, on_progress=seen.append).inserted == 5
    assert seen == [2, 2, 1]


def test_a_channel_counts_the_last_text_of_each_message(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "hurry up")
    write_message(engine, 1, 1, "the coin is ABC", revision_id=1, edited_at=NOON + timedelta(minutes=1))
    write_message(engine, 1, 2, "good morning")
    write_message(engine, 1, 2, "hurry up, do not miss out", revision_id=1, edited_at=NOON + timedelta(minutes=1))
    # What was said before it was deleted still counts.
    write_message(engine, 1, 3, "hurry up")
    write_message(engine, 1, 3, "", revision_id=1, is_deleted=True)
    write_message(engine, 1, 4, "")
    write_message(engine, 2, 1, "good morning")
    tag_messages(engine)
    assert write_channel_signs(engine).inserted == 2 * SIGN_COUNT
    rows = {(row["channel_id"], row["sign"]): row for row in read_frame(engine, sa.select(CHANNEL_WARNING_SIGNS)).iter_rows(named=True)}
    urgency = rows[1, "urgency"]
    assert (urgency["message_count"], urgency["signed_count"], urgency["signed_ratio"]) == (3, 2, pytest.approx(2 / 3))
    assert rows[1, "high_pressure"]["signed_count"] == 1
    assert (rows[2, "urgency"]["message_count"], rows[2, "urgency"]["signed_ratio"]) == (1, 0)
    assert write_channel_signs(engine) == (0, 0, 2 * SIGN_COUNT, 0)


def test_a_mixture_of_lexicons_shows_in_the_channel(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "hurry up")
    write_message(engine, 1, 2, "hurry up")
    tag_messages(engine)
    with engine.begin() as connection:
        connection.execute(sa.update(MESSAGE_WARNING_SIGNS).where(MESSAGE_WARNING_SIGNS.c.message_id == 2).values(lexicon_version="0-old"))
    write_channel_signs(engine)
    versions = read_frame(engine, sa.select(CHANNEL_WARNING_SIGNS.c.lexicon_version).distinct())
    assert versions.to_series().to_list() == [f"0-old+{load_lexicon().version}"]


def test_a_channel_that_is_gone_loses_its_rows(engine: sa.Engine) -> None:
    write_message(engine, 1, 1, "hurry up")
    tag_messages(engine)
    write_channel_signs(engine)
    with engine.begin() as connection:
        connection.execute(sa.delete(TELEGRAM_MESSAGES))
    assert write_channel_signs(engine).deleted == SIGN_COUNT
