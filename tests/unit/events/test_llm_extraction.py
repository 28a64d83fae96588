"""What a language model reads in announcements and changes: believed only where the text bears it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic import SecretStr

from pnd_dagster.errors import SchemaError
from pnd_dagster.events.llm_extraction import extract_labelled, extract_labelled_by_batch, extract_with_llm, unread
from pnd_dagster.messages.llm.asking import Tally
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LLM_KEY, LlmServer, serve_llm
from pnd_dagster.storage import read_frame, upsert
from pnd_dagster.tables import LLM_EXTRACTIONS, LLM_REPLIES, MESSAGE_LABELS, PUMP_ANNOUNCEMENTS, TELEGRAM_MESSAGES

POSTED_AT = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
ANNOUNCEMENT = "Next pump: 5 March 2024, 17:00 GMT. Exchange: Kucoin, pair: USDT"
START = datetime(2024, 3, 5, 17, 0, tzinfo=UTC)
DELAY = "The pump is delayed by 1 hour"
CANCELLATION = "Today's pump is cancelled, sorry"
NOTHING: dict[str, Any] = {"exchange": None, "base_symbol": None, "quote_symbol": None, "start": None, "inferred": False}
Extract = Callable[..., dict[str, Any]]


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with serve_llm(batch_seconds=0.05) as server:
        yield server


@pytest.fixture
def llm_settings(settings: Settings, llm: LlmServer) -> Settings:
    return settings.model_copy(
        update={"openai_url": llm.url, "openai_api_key": SecretStr(LLM_KEY), "openai_requests_per_minute": 1_000_000}
    )


@pytest.fixture
def extract(engine: sa.Engine, llm_settings: Settings, llm: LlmServer) -> Extract:
    """Extracts from one message; with `reply` the model always says that. Gives the row and, as `problems`, those of the replies."""

    def run(
        text: str,
        label: int = 0,
        *,
        reply: dict[str, Any] | None = None,
        scheduled_at: datetime | None = None,
        listed: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        llm.faults.obey = None if reply is None else lambda _: json.dumps(reply)
        extract_with_llm(engine, llm_settings, messages((text, label), scheduled_at=scheduled_at), listed=listed)
        (row,) = read_frame(engine, sa.select(LLM_EXTRACTIONS)).to_dicts()
        statement = sa.select(LLM_REPLIES.c.status, LLM_REPLIES.c.problem).order_by(LLM_REPLIES.c.attempt)
        replies = read_frame(engine, statement)
        return row | {"statuses": replies["status"].to_list(), "problem": replies["problem"][0]}

    return run


def messages(*posts: tuple[str, int], scheduled_at: datetime | None = None, first_id: int = 1) -> pl.DataFrame:
    ids = range(first_id, first_id + len(posts))
    return pl.DataFrame(
        {
            "channel_id": [-100] * len(posts),
            "message_id": ids,
            "revision_id": ids,
            "date": [POSTED_AT + timedelta(hours=number - 1) for number in ids],
            "text": [text for text, _ in posts],
            "label": [label for _, label in posts],
            "scheduled_at": [scheduled_at] * len(posts),
        },
        schema_overrides={"scheduled_at": pl.Datetime("us", "UTC"), "message_id": pl.Int64, "revision_id": pl.Int64},
    )


def test_an_announcement_is_read(extract: Extract) -> None:
    row = extract(ANNOUNCEMENT)
    assert (row["exchange"], row["quote_symbol"], row["base_symbol"], row["scheduled_at"]) == ("kucoin", "USDT", None, START)
    assert (row["is_fallback"], row["is_inferred"], row["disagreement"]) == (False, False, None)
    assert row["statuses"] == ["accepted"]


def test_the_model_is_told_when_the_message_was_posted(extract: Extract, llm: LlmServer) -> None:
    extract(ANNOUNCEMENT)
    data = json.loads(llm.asked()[0].body["messages"][1]["content"])
    assert data["posted_at"] == "2024-03-01T12:00+00:00"


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ({"exchange": "binance"}, "exchange is not named"),
        ({"exchange": "nowhere"}, "exchange does not fit"),
        ({"base_symbol": "QXZT"}, "base_symbol does not stand"),
        ({"base_symbol": "USDT"}, "base_symbol is what coins are paid in"),
        ({"base_symbol": "PAIR"}, "base_symbol does not stand"),
        ({"base_symbol": "CEX"}, "base_symbol does not stand"),
        ({"base_symbol": "X'; --"}, "base_symbol does not fit"),
        ({"base_symbol": ""}, "base_symbol does not fit"),
        ({"quote_symbol": "BTC"}, "quote_symbol does not stand"),
        ({"quote_symbol": "KUCOIN"}, "quote_symbol is no currency"),
        ({"start": "2024-03-16 17:00+00:00"}, "not within 14 days"),
        ({"start": "2024-02-28 17:00+00:00"}, "not within 14 days"),
        ({"start": "2024-03-05 17:00"}, "start does not fit"),
        ({"start": "tomorrow"}, "start does not fit"),
        ({"start": "0001-01-01 00:00+23:59"}, "start does not fit"),
        ({"note": "as you asked"}, "not in the schema"),
    ],
)
def test_a_claim_that_the_text_does_not_bear_out_falls_back_to_the_rules(extract: Extract, claim: dict[str, Any], problem: str) -> None:
    row = extract(ANNOUNCEMENT, reply=NOTHING | claim)
    assert problem in row["problem"]
    assert len(row["statuses"]) == 3
    assert set(row["statuses"]) <= {"invalid", "unverified"}
    assert row["is_fallback"]
    assert (row["exchange"], row["quote_symbol"], row["scheduled_at"]) == ("kucoin", "USDT", START)


def test_a_time_for_a_post_that_names_none_is_not_believed(extract: Extract) -> None:
    row = extract("A big pump is coming on Kucoin", reply=NOTHING | {"start": "2024-03-02 17:00+00:00"})
    assert "names no time" in row["problem"]
    assert (row["is_fallback"], row["exchange"], row["scheduled_at"]) == (True, "kucoin", None)


def test_a_symbol_in_the_text_is_believed_in_any_lettering(extract: Extract) -> None:
    row = extract(ANNOUNCEMENT + " The coin: Ⓠ Ⓧ Ⓩ Ⓣ", reply=NOTHING | {"base_symbol": "qxzt"})
    assert (row["base_symbol"], row["is_fallback"]) == ("QXZT", False)
    assert "in no list of markets" in row["disagreement"]


def test_live_only_a_listed_symbol_is_believed(extract: Extract) -> None:
    row = extract(ANNOUNCEMENT + " Coin: QXZT", reply=NOTHING | {"base_symbol": "QXZT"}, listed=frozenset({"ABC"}))
    assert "no listed market" in row["problem"]
    assert row["is_fallback"]


def test_a_word_of_the_language_is_no_symbol_unless_in_capitals(extract: Extract) -> None:
    row = extract(ANNOUNCEMENT + " Click the link", reply=NOTHING | {"base_symbol": "LINK"})
    assert "does not stand" in row["problem"]


def test_a_believed_reply_that_the_rules_contradict_is_noted(extract: Extract) -> None:
    row = extract(ANNOUNCEMENT, reply=NOTHING | {"exchange": "kucoin", "quote_symbol": "USDT", "start": "2024-03-05 19:00+00:00"})
    assert not row["is_fallback"]
    assert row["disagreement"] == "start: the rules read 2024-03-05 17:00 UTC"


def test_one_of_several_announced_starts_is_no_disagreement(extract: Extract) -> None:
    text = "Pump 1: 5 March 2024 17:00 GMT on Kucoin\nPump 2: 6 March 2024 18:00 GMT on Kucoin"
    row = extract(text, reply=NOTHING | {"exchange": "kucoin", "start": "2024-03-06 18:00+00:00"})
    assert row["disagreement"] is None


def test_a_delay_counts_from_the_scheduled_start(extract: Extract, llm: LlmServer) -> None:
    row = extract(DELAY, 4, scheduled_at=START)
    assert (row["task"], row["is_postponed"], row["is_cancelled"]) == ("change", True, False)
    assert row["scheduled_at"] == START + timedelta(hours=1)
    assert row["disagreement"] is None
    assert json.loads(llm.asked()[0].body["messages"][1]["content"])["scheduled_at"] == "2024-03-05T17:00+00:00"


def test_a_cancellation_is_read(extract: Extract) -> None:
    row = extract(CANCELLATION, 4)
    assert (row["is_cancelled"], row["is_postponed"], row["scheduled_at"], row["disagreement"]) == (True, False, None, None)


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ({"cancelled": True, "postponed": True, "new_start": None}, "exclude each other"),
        ({"cancelled": True, "postponed": False, "new_start": "2024-03-05 18:00+00:00"}, "postponed pumps only"),
        ({"cancelled": False, "postponed": True, "new_start": "2025-03-05 18:00+00:00"}, "not within 14 days"),
        ({"cancelled": 1, "postponed": False, "new_start": None}, "cancelled does not fit"),
    ],
)
def test_a_change_that_contradicts_itself_falls_back_to_the_rules(extract: Extract, claim: dict[str, Any], problem: str) -> None:
    row = extract(DELAY, 4, reply=claim, scheduled_at=START)
    assert problem in row["problem"]
    assert (row["is_fallback"], row["is_postponed"], row["scheduled_at"]) == (True, True, START + timedelta(hours=1))


def test_a_cancellation_where_the_rules_read_a_delay_is_noted(extract: Extract) -> None:
    row = extract(DELAY, 4, reply={"cancelled": True, "postponed": False, "new_start": None}, scheduled_at=START)
    assert row["disagreement"] == (
        "cancelled: the rules read false; postponed: the rules read true; start: the rules read 2024-03-05 18:00 UTC"
    )


def test_messages_of_other_labels_are_passed_over(engine: sa.Engine, llm_settings: Settings, llm: LlmServer) -> None:
    assert extract_with_llm(engine, llm_settings, messages(("The coin is QXZT", 2), ("Hello", 5))) == Tally()
    assert llm.ledger == []


def test_a_missing_column_is_named(engine: sa.Engine, llm_settings: Settings) -> None:
    with pytest.raises(SchemaError, match="date"):
        extract_with_llm(engine, llm_settings, messages((ANNOUNCEMENT, 0)).drop("date"))


@dataclass(frozen=True)
class NamedClassifier:
    """Whose labels count; it is not asked for any."""

    name: str = "named"
    version: str = "1"
    abstain_below: float = 0.5

    def predict_probabilities(self, normalised: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError


@pytest.fixture
def stored(engine: sa.Engine) -> NamedClassifier:
    """An announcement that was released as scheduled, a delay of it that the rules have moved, and an unsure label."""
    classifier = NamedClassifier()
    posts = messages((ANNOUNCEMENT, 0), (DELAY, 4), ("Maybe a pump at 18:00 on Kucoin", 0), ("Hello", 5))
    upsert(
        engine,
        TELEGRAM_MESSAGES,
        posts.select("channel_id", "message_id", "revision_id", "text", occurred_at="date", ingested_at="date").with_columns(
            is_deleted=pl.lit(False), kind=pl.lit("message"), source=pl.lit("simulated")
        ),
    )
    upsert(
        engine,
        MESSAGE_LABELS,
        posts.select("channel_id", "message_id", "revision_id", "label", labelled_at="date").with_columns(
            labeller=pl.lit(classifier.name), labeller_version=pl.lit(classifier.version), is_abstained=pl.col("message_id") == 3
        ),
    )
    announced = {
        "announcement_id": "a1",
        "channel_id": -100,
        "message_id": 1,
        "announced_at": POSTED_AT,
        "scheduled_at": START + timedelta(hours=1),
        "previous_scheduled_at": START,
        "is_inferred": False,
        "schedule_revision": 1,
        "status": "postponed",
        "status_at": POSTED_AT + timedelta(hours=1),
        "evidence_message_ids": [1, 2],
    }
    upsert(engine, PUMP_ANNOUNCEMENTS, pl.DataFrame([announced]))
    return classifier


def read(engine: sa.Engine) -> dict[int, tuple[str, datetime]]:
    columns = (LLM_EXTRACTIONS.c.message_id, LLM_EXTRACTIONS.c.task, LLM_EXTRACTIONS.c.scheduled_at)
    return {number: (task, at) for number, task, at in read_frame(engine, sa.select(*columns)).iter_rows()}


EXPECTED = {1: ("announcement", START), 2: ("change", START + timedelta(hours=1))}


def test_what_is_surely_labelled_is_read_once(engine: sa.Engine, llm_settings: Settings, stored: NamedClassifier) -> None:
    totals: list[Tally] = []
    tally = extract_labelled(engine, llm_settings, stored, on_progress=totals.append)
    assert (tally.accepted, totals[-1]) == (2, tally)
    assert read(engine) == EXPECTED
    assert extract_labelled(engine, llm_settings, stored) == Tally()


def test_the_same_is_read_by_batch(engine: sa.Engine, llm_settings: Settings, llm: LlmServer, stored: NamedClassifier) -> None:
    tally = extract_labelled_by_batch(engine, llm_settings, stored, poll_seconds=0.02)
    assert tally.accepted == 2
    assert read(engine) == EXPECTED
    assert all(request.batch_id for request in llm.asked())


def test_without_a_key_nothing_is_read(engine: sa.Engine, settings: Settings, stored: NamedClassifier) -> None:
    assert extract_labelled(engine, settings, stored) == Tally()


def test_limit_and_window_bound_what_is_read(engine: sa.Engine, llm_settings: Settings, stored: NamedClassifier) -> None:
    extract_labelled(engine, llm_settings, stored, limit=1)
    assert set(read(engine)) == {2}
    extract_labelled(engine, llm_settings, stored, window=(POSTED_AT, POSTED_AT + timedelta(minutes=1)))
    assert set(read(engine)) == {1, 2}


def test_an_edit_counts_from_when_it_was_written(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, stored: NamedClassifier
) -> None:
    edited_at = POSTED_AT + timedelta(hours=5)
    edit = messages(("Next pump: tomorrow 17:00 GMT on Kucoin", 0)).with_columns(revision_id=pl.lit(99))
    upsert(
        engine,
        TELEGRAM_MESSAGES,
        edit.select("channel_id", "message_id", "revision_id", "text", occurred_at="date", ingested_at="date").with_columns(
            is_deleted=pl.lit(False), kind=pl.lit("message"), source=pl.lit("simulated"), edited_at=pl.lit(edited_at)
        ),
    )
    upsert(
        engine,
        MESSAGE_LABELS,
        edit.select("channel_id", "message_id", "revision_id", "label", labelled_at="date").with_columns(
            labeller=pl.lit(stored.name), labeller_version=pl.lit(stored.version), is_abstained=pl.lit(False)
        ),
    )
    extract_labelled(engine, llm_settings, stored, limit=10)
    posted = {json.loads(request.body["messages"][1]["content"])["posted_at"] for request in llm.asked()}
    assert edited_at.isoformat(timespec="minutes") in posted
    assert POSTED_AT.isoformat(timespec="minutes") in posted


def test_two_sources_that_differ_in_a_message_without_an_edit_are_both_read(
    engine: sa.Engine, llm_settings: Settings, stored: NamedClassifier
) -> None:
    later = POSTED_AT + timedelta(hours=1)
    other = messages(("Next pump: tomorrow 18:00 GMT on Kucoin", 0)).with_columns(revision_id=pl.lit(98))
    upsert(
        engine,
        TELEGRAM_MESSAGES,
        other.select("channel_id", "message_id", "revision_id", "text", ingested_at="date").with_columns(
            is_deleted=pl.lit(False), kind=pl.lit("message"), source=pl.lit("simulated"), occurred_at=pl.lit(later)
        ),
    )
    upsert(
        engine,
        MESSAGE_LABELS,
        other.select("channel_id", "message_id", "revision_id", "label", labelled_at="date").with_columns(
            labeller=pl.lit(stored.name), labeller_version=pl.lit(stored.version), is_abstained=pl.lit(False)
        ),
    )
    assert {later, POSTED_AT} <= set(unread(engine, llm_settings, stored)["date"])
