"""Bulk writes are idempotent, keep what they must, and refuse what does not fit."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pnd_dagster.errors import DatabaseError, SchemaError
from pnd_dagster.storage import Written, read_frame, replace_window, upsert
from pnd_dagster.tables import HEARTBEATS, MESSAGE_LABELS, PUMP_EVENTS, SCHEDULED_PUMPS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def message(message_id: int, text: str = "hello", **changes: object) -> dict[str, object]:
    return {
        "channel_id": 1,
        "message_id": message_id,
        "revision_id": 7,
        "occurred_at": NOON,
        "ingested_at": NOON,
        "is_deleted": False,
        "kind": "message",
        "text": text,
        "source": "archive",
    } | changes


def test_writing_the_same_rows_twice_changes_nothing(engine: sa.Engine) -> None:
    rows = pl.DataFrame([message(1), message(2)])
    assert upsert(engine, TELEGRAM_MESSAGES, rows) == Written(inserted=2, updated=0, unchanged=0)
    assert upsert(engine, TELEGRAM_MESSAGES, rows) == Written(inserted=0, updated=0, unchanged=2)


def test_two_writers_of_the_same_rows_in_opposite_order_do_not_block_each_other_for_ever(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, 60_000, 10_000):
            rows = pl.DataFrame([message(number) for number in range(start + 1, start + 10_001)])
            writes = [pool.submit(upsert, engine, TELEGRAM_MESSAGES, frame) for frame in (rows, rows.reverse())]
            assert sum(write.result().inserted for write in writes) == rows.height


def test_only_changed_rows_are_updated(engine: sa.Engine) -> None:
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1), message(2)]))
    written = upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1), message(2, is_pinned=True), message(3)]))
    assert written == Written(inserted=1, updated=1, unchanged=1)


def test_the_last_of_several_rows_with_one_key_counts(engine: sa.Engine) -> None:
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1, "first"), message(1, "second")]))
    assert read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.text)).to_series().to_list() == ["second"]


def test_the_time_we_first_knew_of_a_message_is_kept(engine: sa.Engine) -> None:
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1)]))
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1, ingested_at=NOON + timedelta(days=1), is_pinned=True)]))
    assert read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.ingested_at)).item() == NOON


def test_a_decision_and_known_facts_survive_a_later_find_of_the_same_channel(engine: sa.Engine) -> None:
    found = {"channel_id": 5, "title": "Pumps", "found_via": "tgstat", "status": "validated", "is_vanished": False, "discovered_at": NOON}
    again = found | {"title": None, "participants": 12, "found_via": "snowball", "status": "candidate"}
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame([found]))
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame([again]))
    row = read_frame(engine, sa.select(TELEGRAM_CHANNELS)).row(0, named=True)
    assert (row["title"], row["participants"], row["found_via"], row["status"]) == ("Pumps", 12, "tgstat", "validated")


def test_a_label_gets_a_new_time_only_when_it_changes(engine: sa.Engine) -> None:
    key = {"channel_id": 1, "message_id": 1, "revision_id": 1, "labeller": "m", "labeller_version": "1"}
    label = key | {"label": 2, "is_abstained": False, "labelled_at": NOON}
    later = NOON + timedelta(hours=1)
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([label]))
    assert upsert(engine, MESSAGE_LABELS, pl.DataFrame([label | {"labelled_at": later}])).unchanged == 1
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([label | {"labelled_at": later, "label": 3}]))
    assert read_frame(engine, sa.select(MESSAGE_LABELS.c.labelled_at)).item() == later


def test_replacing_a_window_deletes_what_is_gone_and_leaves_the_rest_alone(engine: sa.Engine) -> None:
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1), message(2), message(3, channel_id=9)]))
    written = replace_window(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(2), message(4)]), TELEGRAM_MESSAGES.c.channel_id == 1)
    assert written == Written(inserted=1, updated=0, unchanged=1, deleted=1)
    kept = read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.channel_id, TELEGRAM_MESSAGES.c.message_id))
    assert sorted(kept.rows()) == [(1, 2), (1, 4), (9, 3)]


def test_a_window_can_be_emptied(engine: sa.Engine) -> None:
    rows = pl.DataFrame([message(1), message(2)])
    upsert(engine, TELEGRAM_MESSAGES, rows)
    assert replace_window(engine, TELEGRAM_MESSAGES, rows.clear(), sa.true()).deleted == 2


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=20),
    names=st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    numbers=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
)
def test_any_text_and_any_array_come_back_as_they_went_in(
    engine: sa.Engine, texts: list[str], names: list[str], numbers: list[int]
) -> None:
    rows = pl.DataFrame([message(number, text) for number, text in enumerate(texts)])
    upsert(engine, TELEGRAM_MESSAGES, rows)
    stored = read_frame(engine, sa.select(TELEGRAM_MESSAGES.c.text).order_by(TELEGRAM_MESSAGES.c.message_id).limit(len(texts)))
    assert stored["text"].to_list() == texts
    pump = {
        "pump_id": "p",
        "scheduled_at": NOON,
        "schedule_revision": 0,
        "status": "scheduled",
        "announcement_ids": names,
        "channel_ids": numbers,
        "channel_count": 1,
        "first_announced_at": NOON,
    }
    schema = {"announcement_ids": pl.List(pl.String), "channel_ids": pl.List(pl.Int64)}
    upsert(engine, SCHEDULED_PUMPS, pl.DataFrame([pump], schema_overrides=schema))
    arrays = read_frame(engine, sa.select(SCHEDULED_PUMPS.c.announcement_ids, SCHEDULED_PUMPS.c.channel_ids)).row(0)
    assert arrays == (names, numbers)


def test_json_comes_back_as_json_text(engine: sa.Engine) -> None:
    beat = {"name": "listen", "beat_at": NOON, "is_healthy": True, "details": '{"a": [1, "ü"]}'}
    upsert(engine, HEARTBEATS, pl.DataFrame([beat]))
    assert json.loads(read_frame(engine, sa.select(HEARTBEATS.c.details)).item()) == {"a": [1, "ü"]}


def test_an_empty_result_has_the_declared_types(engine: sa.Engine) -> None:
    frame = read_frame(engine, sa.select(PUMP_EVENTS))
    assert frame.is_empty()
    assert frame.schema["released_at"] == pl.Datetime("us", "UTC")
    assert frame.schema["channel_ids"] == pl.List(pl.Int64)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pl.DataFrame([message(1)]).drop("text"), "missing columns text"),
        (pl.DataFrame([message(1, text=None)], schema_overrides={"text": pl.String}), "NULL in required columns text"),
        (pl.DataFrame([message(1, colour="red")]), "unknown columns colour"),
        (pl.DataFrame([message(1) | {"channel_id": "many"}]), "raw.telegram_messages.channel_id"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_by_column(engine: sa.Engine, frame: pl.DataFrame, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        upsert(engine, TELEGRAM_MESSAGES, frame)


def test_a_refused_row_leaves_nothing_behind(engine: sa.Engine) -> None:
    with pytest.raises(DatabaseError, match="kind"):
        upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([message(1), message(2, kind="poem")]))
    assert read_frame(engine, sa.select(TELEGRAM_MESSAGES)).is_empty()


def test_percent_signs_reach_postgres_as_they_are(engine: sa.Engine) -> None:
    assert read_frame(engine, sa.select(sa.literal("5%").label("share"), (sa.literal(7) % 5).label("rest"))).rows() == [("5%", 2)]


def test_a_read_after_the_server_ended_its_connections_succeeds(engine: sa.Engine) -> None:
    statement = sa.select(sa.literal(1).label("one"))
    assert read_frame(engine, statement).item() == 1
    theirs = "datname = current_database() AND pid <> pg_backend_pid()"
    others = sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs}")
    with engine.begin() as connection:
        connection.execute(others)
    assert read_frame(engine, statement).item() == 1


def test_a_read_leaves_no_transaction_open(engine: sa.Engine) -> None:
    read_frame(engine, sa.select(sa.literal(1).label("one")))
    idle = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'")
    with engine.connect() as connection:
        assert connection.execute(idle).scalar_one() == 0
