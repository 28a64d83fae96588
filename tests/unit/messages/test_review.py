"""What is worth a human's look comes in order and once; what a human says is stored at once and can be taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from pnd_dagster.messages.agreement import label_agreement
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.review import (
    GUIDE_VERSION,
    ReviewItem,
    ReviewOrder,
    context_of,
    has_labels,
    remove_human_label,
    review_items,
    write_human_label,
)
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import LLM_EXTRACTIONS, MESSAGE_LABELS, TELEGRAM_CHANNELS, TELEGRAM_MESSAGES

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
L = MessageLabel
# No two of them are nearly the same.
WORDS = [f"{a}{b} message" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]


def write_message(engine: sa.Engine, message_id: int, text: str, *, channel_id: int = 1, **more: Any) -> None:
    row = {
        "channel_id": channel_id,
        "message_id": message_id,
        "revision_id": 0,
        "occurred_at": NOON + timedelta(minutes=message_id),
        "ingested_at": NOON,
        "is_deleted": False,
        "kind": "message",
        "text": text,
        "source": "archive",
    }
    upsert(engine, TELEGRAM_MESSAGES, pl.DataFrame([row | more]))


def write_label(
    engine: sa.Engine,
    message_id: int,
    label: int,
    *,
    channel_id: int = 1,
    labeller: str = "model",
    confidence: float | None = 0.9,
    **more: Any,
) -> None:
    row = {
        "channel_id": channel_id,
        "message_id": message_id,
        "revision_id": 0,
        "labeller": labeller,
        "labeller_version": "1",
        "label": label,
        "confidence": confidence,
        "is_abstained": False,
        "labelled_at": NOON,
    }
    upsert(engine, MESSAGE_LABELS, pl.DataFrame([row | more]))


def write_disagreement(engine: sa.Engine, message_id: int, words: str | None) -> None:
    row = {
        "channel_id": 1,
        "message_id": message_id,
        "revision_id": 0,
        "task": "announcement",
        "model": "some-model",
        "prompt_version": "1",
        "is_fallback": False,
        "disagreement": words,
        "extracted_at": NOON,
    }
    upsert(engine, LLM_EXTRACTIONS, pl.DataFrame([row]))


def items(engine: sa.Engine, alias: str = "ann", **more: Any) -> list[ReviewItem]:
    return list(review_items(engine, alias, "model", "1", **more))


def ids(found: list[ReviewItem]) -> list[int]:
    return [item.message_id for item in found]


def test_uncertain_critical_and_disputed_messages_are_shown_the_disputed_first(engine: sa.Engine) -> None:
    for n in range(8):
        write_message(engine, n, WORDS[n])
    write_label(engine, 0, L.NOISE)
    write_label(engine, 1, L.NOISE, confidence=0.4, is_abstained=True)
    write_label(engine, 2, L.COUNTDOWN, confidence=0.8)
    write_label(engine, 3, L.PUMP_RESULTS)
    write_label(engine, 4, L.TARGET_COIN_RELEASE, confidence=0.6)
    write_label(engine, 5, L.NOISE)
    write_disagreement(engine, 5, "exchange: rules say one, model another")
    write_label(engine, 6, L.NOISE, confidence=0.95)
    write_label(engine, 6, L.COUNTDOWN, labeller="llm:some-model")
    write_label(engine, 7, L.NOISE)
    write_label(engine, 7, L.NOISE, labeller="llm:some-model")
    write_disagreement(engine, 7, None)
    found = items(engine)
    assert ids(found) == [5, 6, 1, 4, 2]
    assert found[0].disagreement == "exchange: rules say one, model another"
    assert (found[1].label, found[1].llm_label) == (L.NOISE, L.COUNTDOWN)
    assert (found[2].llm_label, found[2].disagreement) == (None, None)
    assert found[2].confidence == pytest.approx(0.4)


def test_the_channels_title_and_time_come_with_the_message(engine: sa.Engine) -> None:
    write_message(engine, 1, "5 minutes left")
    write_label(engine, 1, L.COUNTDOWN)
    assert items(engine)[0].channel_title is None
    channel = {"channel_id": 1, "title": "A channel", "found_via": "archive", "status": "candidate", "is_vanished": False}
    upsert(engine, TELEGRAM_CHANNELS, pl.DataFrame([channel | {"discovered_at": NOON}]))
    (item,) = items(engine)
    assert (item.channel_title, item.occurred_at, item.text) == ("A channel", NOON + timedelta(minutes=1), "5 minutes left")


def test_deletions_service_messages_and_empty_texts_are_not_shown(engine: sa.Engine) -> None:
    write_message(engine, 1, "aa", is_deleted=True)
    write_message(engine, 2, "bb", kind="service")
    write_message(engine, 3, "")
    for n in (1, 2, 3):
        write_label(engine, n, L.COUNTDOWN)
    assert items(engine) == []


def test_labels_of_another_version_are_not_reviewed(engine: sa.Engine) -> None:
    write_message(engine, 1, "aa")
    write_label(engine, 1, L.COUNTDOWN, labeller_version="0")
    assert items(engine) == []
    assert not has_labels(engine, "model", "1")
    assert has_labels(engine, "model", "0")


def test_near_duplicates_are_shown_once_also_in_a_later_session(engine: sa.Engine) -> None:
    for n, text in enumerate(["5 minutes left!", "3 MINUTES   left!", "The coin is ABC"]):
        write_message(engine, n, text)
        write_label(engine, n, L.COUNTDOWN, confidence=0.5 + n / 10)
    first, other = items(engine)
    assert ids([first, other]) == [0, 2]
    write_human_label(engine, "ann", first, L.COUNTDOWN)
    assert ids(items(engine)) == [2]
    labelled = read_frame(engine, sa.select(MESSAGE_LABELS).where(MESSAGE_LABELS.c.labeller == "human:ann"))
    assert labelled["message_id"].to_list() == [0]


def test_a_human_label_is_stored_and_can_be_taken_back(engine: sa.Engine) -> None:
    write_message(engine, 1, "aa")
    write_label(engine, 1, L.COUNTDOWN)
    (item,) = items(engine)
    write_human_label(engine, "ann", item, L.NOISE)
    write_human_label(engine, "ann", item, L.PUMP_ANNOUNCEMENT, is_unsure=True)
    of = MESSAGE_LABELS.c
    statement = sa.select(of.labeller, of.labeller_version, of.label, of.confidence, of.is_abstained).where(of.labeller != "model")
    assert read_frame(engine, statement).rows() == [("human:ann", GUIDE_VERSION, 0, 0.5, True)]
    assert items(engine) == []
    remove_human_label(engine, "ann", item)
    assert ids(items(engine)) == [1]
    assert has_labels(engine, "model", "1")


def test_a_sure_label_has_no_confidence(engine: sa.Engine) -> None:
    write_message(engine, 1, "aa")
    write_label(engine, 1, L.COUNTDOWN)
    write_human_label(engine, "ann", items(engine)[0], L.COUNTDOWN)
    of = MESSAGE_LABELS.c
    assert read_frame(engine, sa.select(of.confidence, of.is_abstained).where(of.labeller == "human:ann")).rows() == [(None, False)]


def test_what_another_human_labelled_is_left_out_unless_an_overlap_is_asked_for(engine: sa.Engine) -> None:
    for n in range(40):
        write_message(engine, n, WORDS[n])
        write_label(engine, n, L.COUNTDOWN, confidence=0.5 + n / 100)
    for item in items(engine, "bob")[:20]:
        write_human_label(engine, "bob", item, L.COUNTDOWN)
    assert ids(items(engine, "ann")) == list(range(20, 40))
    mixed = list(islice(review_items(engine, "ann", "model", "1", overlap_ratio=0.2), 20))
    assert sum(item.message_id < 20 for item in mixed) == 4
    for item in mixed:
        write_human_label(engine, "ann", item, L.COUNTDOWN if item.message_id % 2 else L.NOISE)
    pair = label_agreement(engine).filter(labeller_a="human:ann@1", labeller_b="human:bob@1")
    assert pair["message_count"].to_list() == [4]
    # With the fresh ones used up, or asked for nothing else, the shared ones are still given.
    assert len(items(engine, "ann", overlap_ratio=1.0)) == 16 + 4


def test_label_and_channel_choose_and_any_label_may_be_chosen(engine: sa.Engine) -> None:
    for channel in (1, 2):
        for n, label in enumerate((L.NOISE, L.COUNTDOWN)):
            write_message(engine, n, WORDS[10 * channel + n], channel_id=channel)
            write_label(engine, n, label, channel_id=channel)
    assert [(item.channel_id, item.message_id) for item in items(engine, label=L.NOISE)] == [(1, 0), (2, 0)]
    assert [(item.channel_id, item.message_id) for item in items(engine, channel_id=2)] == [(2, 1)]


def test_newest_and_random_orders(engine: sa.Engine) -> None:
    for n in range(30):
        write_message(engine, n, WORDS[n])
        write_label(engine, n, L.COUNTDOWN, confidence=0.9 - n / 100)
    assert ids(items(engine, order=ReviewOrder.NEWEST)) == list(range(29, -1, -1))
    shuffled = ids(items(engine, order=ReviewOrder.RANDOM))
    assert sorted(shuffled) == list(range(30))
    assert shuffled not in (list(range(30)), list(range(29, -1, -1)))
    assert shuffled == ids(items(engine, order=ReviewOrder.RANDOM))


def test_more_than_a_page_is_read_as_it_is_asked_for(engine: sa.Engine) -> None:
    write_message(engine, 0, WORDS[0])
    write_label(engine, 0, L.COUNTDOWN)
    for table in (TELEGRAM_MESSAGES, MESSAGE_LABELS):
        (row,) = read_frame(engine, sa.select(table)).to_dicts()
        texts = [{"text": WORDS[n]} if "text" in row else {} for n in range(130)]
        upsert(engine, table, pl.DataFrame([row | {"message_id": n} | text for n, text in enumerate(texts)], infer_schema_length=None))
    asked = review_items(engine, "ann", "model", "1")
    first = next(asked)
    # Labels given meanwhile do not shift the pages.
    write_human_label(engine, "ann", first, L.COUNTDOWN)
    assert sorted(ids([first, *asked])) == list(range(130))


def test_the_context_is_the_three_messages_before_as_last_edited(engine: sa.Engine) -> None:
    for n, text in enumerate(["aa", "bb", "cc", "dd", "ee", "ff"]):
        write_message(engine, n, text)
    write_message(engine, 3, "dd edited", revision_id=1, edited_at=NOON + timedelta(hours=1))
    write_message(engine, 2, "gone", revision_id=1, is_deleted=True)
    write_message(engine, 3, "another channel", channel_id=2)
    write_label(engine, 5, L.COUNTDOWN)
    (item,) = items(engine)
    assert [message.text for message in context_of(engine, item)] == ["cc", "dd edited", "ee"]
    assert [message.text for message in context_of(engine, item._replace(message_id=1))] == ["aa"]
