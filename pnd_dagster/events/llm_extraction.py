"""A language model as reader of announcements and of postponements or cancellations, into core.llm_extractions.

What it reads is verified against the message; where nothing it says is believed the rules' reading stands, marked as such.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SchemaError
from pnd_dagster.events.llm_checks import (
    Reading,
    announcement_disagreement,
    announcement_problem,
    change_disagreement,
    change_problem,
    read_announcement,
    read_change,
)
from pnd_dagster.events.reading import Message
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.llm.asking import Question, Tally, Task, ask_all
from pnd_dagster.messages.llm.batch import ask_all_by_batch
from pnd_dagster.messages.llm.client import Sleep
from pnd_dagster.messages.llm.labeller import NO_PROGRESS, labeller_name
from pnd_dagster.messages.llm.prompts import LONGEST_TEXT, PROMPT_VERSION
from pnd_dagster.messages.llm.replies import AnnouncementReply, ChangeReply, read_time
from pnd_dagster.messages.llm.store import Revision
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Window, read_frame, within
from pnd_dagster.tables import LLM_EXTRACTIONS, MESSAGE_LABELS, PUMP_ANNOUNCEMENTS, TELEGRAM_MESSAGES, polars_schema

_TASK_OF = {int(MessageLabel.PUMP_ANNOUNCEMENT): "announcement", int(MessageLabel.DELAY_CANCELLATION): "change"}


class _Known(NamedTuple):
    """A message to be read, and the start that was announced before it."""

    message: Message
    scheduled_at: datetime | None


def extract_with_llm(
    engine: sa.Engine,
    settings: Settings,
    messages: pl.DataFrame,
    *,
    listed: frozenset[str] | None = None,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
    sleep: Sleep = asyncio.sleep,
) -> Tally:
    """Reads announcements (label 0) and postponements or cancellations (label 4); call it where no event loop runs.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        messages: channel_id, message_id, revision_id, date (UTC; when this text was known), text (raw), label (others are passed over)
            and, for changes, scheduled_at (UTC): the start announced before, NULL or missing if unknown.
        listed: live, symbols of the markets that exist: no other is believed. None for history: an unlisted symbol is kept, and noted.
        on_progress: called with the running total.
        sleep: waits between attempts and requests.

    Raises:
        SchemaError: a column is missing.
        Otherwise as `ask_all`.
    """
    total = Tally()
    for task, questions in _tasks(settings, messages, listed):

        def progress(tally: Tally, before: Tally = total) -> None:
            on_progress(before + tally)

        total += ask_all(engine, settings, task, questions, on_progress=progress, sleep=sleep)
    return total


def extract_labelled(
    engine: sa.Engine,
    settings: Settings,
    classifier: Classifier,
    *,
    window: Window | None = None,
    limit: int | None = None,
    listed: frozenset[str] | None = None,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
) -> Tally:
    """Reads what is surely labelled as announcement or change and has not been read, the newest first; without a key it does nothing.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        classifier: whose labels count beside those of the model.
        window: only messages posted in [start, end).
        limit: at most so many messages.
        listed: see `extract_with_llm`.
        on_progress: called with the running total.

    Raises:
        As `ask_all`.
    """
    if settings.openai_api_key is None:
        return Tally()
    messages = unread(engine, settings, classifier, window, limit)
    return extract_with_llm(engine, settings, messages, listed=listed, on_progress=on_progress)


def extract_labelled_by_batch(
    engine: sa.Engine,
    settings: Settings,
    classifier: Classifier,
    *,
    limit: int | None = None,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
    on_wait: Callable[[str], None] = lambda state: None,
    poll_seconds: float = 30.0,
) -> Tally:
    """The same through the vendor's batch interface; at most `limit` messages of each kind are submitted. Errors as `ask_all_by_batch`."""
    total = Tally()
    for task, questions in _tasks(settings, unread(engine, settings, classifier), None):

        def progress(tally: Tally, before: Tally = total) -> None:
            on_progress(before + tally)

        total += ask_all_by_batch(
            engine, settings, task, questions, limit=limit, on_progress=progress, on_wait=on_wait, poll_seconds=poll_seconds
        )
    return total


def unread(
    engine: sa.Engine, settings: Settings, classifier: Classifier, window: Window | None = None, limit: int | None = None
) -> pl.DataFrame:
    """The messages that `extract_labelled` reads, as `extract_with_llm` takes them."""
    message, label, done = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c, LLM_EXTRACTIONS.c
    is_done = sa.exists().where(
        *(done[name] == message[name] for name in Revision._fields),
        done.model == settings.openai_model,
        done.prompt_version == PROMPT_VERSION,
    )
    is_of_classifier = sa.and_(label.labeller == classifier.name, label.labeller_version == classifier.version)
    is_of_model = sa.and_(label.labeller == labeller_name(settings), label.labeller_version == PROMPT_VERSION)
    other = TELEGRAM_MESSAGES.alias("other").c
    is_later_revision = sa.exists().where(
        other.channel_id == message.channel_id,
        other.message_id == message.message_id,
        sa.func.coalesce(other.edited_at, other.occurred_at) < sa.func.coalesce(message.edited_at, message.occurred_at),
    )
    # The first revision we hold counts from the message's own time, as in the replay.
    date = sa.case((is_later_revision, sa.func.coalesce(message.edited_at, message.occurred_at)), else_=message.occurred_at).label("date")
    statement = (
        sa.select(message.channel_id, message.message_id, message.revision_id, date, message.text, label.label)
        .where(*(label[name] == message[name] for name in Revision._fields))
        .where(sa.or_(is_of_classifier, is_of_model), ~label.is_abstained, label.label.in_(_TASK_OF))
        .where(~is_done, message.text != "", within(message.occurred_at, window))
        .order_by(message.occurred_at.desc(), message.channel_id, message.message_id, message.revision_id)
        .limit(limit)
    )
    return _with_schedule(engine, read_frame(engine, statement).unique(list(Revision._fields), maintain_order=True))


def _with_schedule(engine: sa.Engine, messages: pl.DataFrame) -> pl.DataFrame:
    """`messages` with scheduled_at: the start of the channel's last announcement before each message, as it stood then."""
    announcement = PUMP_ANNOUNCEMENTS.c
    statement = sa.select(
        announcement.channel_id,
        announcement.announced_at,
        announcement.scheduled_at,
        announcement.previous_scheduled_at,
        announcement.evidence_message_ids,
    ).where(announcement.channel_id.in_(messages["channel_id"].unique().to_list()), announcement.scheduled_at.is_not(None))
    announced = read_frame(engine, statement).sort("announced_at")
    joined = messages.sort("date").join_asof(
        announced,
        left_on="date",
        right_on="announced_at",
        by="channel_id",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    # Where our rules have moved the pump by this very message, the start before is meant.
    has_moved = pl.col("evidence_message_ids").list.contains(pl.col("message_id")) & pl.col("previous_scheduled_at").is_not_null()
    before = pl.when(has_moved.fill_null(False)).then("previous_scheduled_at").otherwise("scheduled_at")
    return joined.with_columns(before.alias("scheduled_at")).select(*messages.columns, "scheduled_at").sort("date", descending=True)


def _tasks(settings: Settings, messages: pl.DataFrame, listed: frozenset[str] | None) -> list[tuple[Task[Any], list[Question]]]:
    known = _known(messages)
    announcement = Task(
        "announcement",
        AnnouncementReply,
        lambda question, reply: announcement_problem(known[question.revision].message, reply, listed),
        LLM_EXTRACTIONS,
        lambda question, reply, completion: _announcement_row(settings, question, known[question.revision], reply, listed),
    )
    change = Task(
        "change",
        ChangeReply,
        lambda question, reply: change_problem(known[question.revision].message, reply),
        LLM_EXTRACTIONS,
        lambda question, reply, completion: _change_row(settings, question, known[question.revision], reply),
    )
    tasks: list[tuple[Task[Any], list[Question]]] = []
    for task in (announcement, change):
        questions = [_question(task.name, key, one) for key, one in known.items() if _TASK_OF[one.message.label] == task.name]
        if questions:
            tasks.append((task, questions))
    return tasks


def _known(messages: pl.DataFrame) -> dict[Revision, _Known]:
    columns = (*Revision._fields, "date", "text", "label")
    if missing := [name for name in columns if name not in messages.columns]:
        raise SchemaError(f"messages: missing columns {', '.join(missing)}")
    if "scheduled_at" not in messages.columns:
        messages = messages.with_columns(scheduled_at=pl.lit(None, pl.Datetime("us", "UTC")))
    rows = messages.filter(pl.col("label").is_in(list(_TASK_OF))).select(*columns, "scheduled_at").iter_rows()
    return {
        Revision(channel, message, revision): _Known(Message(channel, message, date.astimezone(UTC), text or "", label, 1.0), scheduled_at)
        for channel, message, revision, date, text, label, scheduled_at in rows
    }


def _question(task: str, revision: Revision, known: _Known) -> Question:
    facts: dict[str, str | None] = {"posted_at": known.message.date.isoformat(timespec="minutes")}
    if task == "change":
        facts["scheduled_at"] = known.scheduled_at.astimezone(UTC).isoformat(timespec="minutes") if known.scheduled_at else None
    return Question((revision,), known.message.text[:LONGEST_TEXT], facts)


def _announcement_row(
    settings: Settings, question: Question, known: _Known, reply: AnnouncementReply | None, listed: frozenset[str] | None
) -> pl.DataFrame:
    rules, starts = read_announcement(known.message)
    if reply is None:
        if listed is not None and rules.base not in listed:
            rules = rules._replace(base=None)
        return _row(settings, question, "announcement", rules, is_fallback=True)
    start = read_time(reply.start) if reply.start else None
    reading = Reading(reply.exchange, reply.base_symbol, reply.quote_symbol, start, reply.inferred if start else None)
    return _row(settings, question, "announcement", reading, disagreement=announcement_disagreement(reading, rules, starts))


def _change_row(settings: Settings, question: Question, known: _Known, reply: ChangeReply | None) -> pl.DataFrame:
    rules = read_change(known.message, known.scheduled_at)
    if reply is None:
        return _row(settings, question, "change", rules, is_fallback=True)
    start = read_time(reply.new_start) if reply.new_start else None
    # Which exchange is not asked: the rules' reading stands beside the model's.
    reading = Reading(rules.exchange, start=start, is_cancelled=reply.cancelled, is_postponed=reply.postponed)
    return _row(settings, question, "change", reading, disagreement=change_disagreement(reading, rules))


def _row(
    settings: Settings, question: Question, task: str, reading: Reading, *, is_fallback: bool = False, disagreement: str | None = None
) -> pl.DataFrame:
    row = {
        **question.revision._asdict(),
        "task": task,
        "model": settings.openai_model,
        "prompt_version": PROMPT_VERSION,
        "is_fallback": is_fallback,
        "exchange": reading.exchange,
        "base_symbol": reading.base,
        "quote_symbol": reading.quote,
        "scheduled_at": reading.start,
        "is_inferred": reading.is_inferred,
        "is_cancelled": reading.is_cancelled,
        "is_postponed": reading.is_postponed,
        "disagreement": disagreement,
        "extracted_at": datetime.now(UTC),
    }
    return pl.DataFrame([row], schema=polars_schema(LLM_EXTRACTIONS))
