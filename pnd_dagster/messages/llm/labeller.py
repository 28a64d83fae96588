"""A language model as labeller of the messages that the classifier was too unsure of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labels import MessageLabel
from pnd_dagster.messages.llm.asking import Question, Tally, Task, ask_all
from pnd_dagster.messages.llm.batch import ask_all_by_batch
from pnd_dagster.messages.llm.client import Sleep
from pnd_dagster.messages.llm.prompts import LONGEST_TEXT, PROMPT_VERSION
from pnd_dagster.messages.llm.replies import Completion, LabelReply
from pnd_dagster.messages.llm.store import Revision
from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.settings import Settings
from pnd_dagster.storage import Window, read_frame, upsert, within
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES, polars_schema

# A label that the classifier thinks this unlikely is stored, but goes to review: the message may have talked the model into it.
# Of 716 abstentions of a linear model on unseen channels 2.5% of the human labels, but half of the labels there are, were below it.
UNLIKELY = 0.05
UNSURE = 0.6  # probability of the model's own token below which it guessed
NO_PROGRESS: Callable[[Tally], None] = lambda tally: None  # noqa: E731


def labeller_name(settings: Settings) -> str:
    """The model as it stands in core.message_labels."""
    return f"llm:{settings.openai_model}"


def label_with_llm(
    engine: sa.Engine,
    settings: Settings,
    classifier: Classifier,
    revisions: pl.DataFrame,
    *,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
    sleep: Sleep = asyncio.sleep,
) -> Tally:
    """Labels revisions by the model of the settings, into core.message_labels; call it where no event loop runs.

    A text that several revisions share is asked about once. Where no reply is believed the classifier's label stands, marked as
    abstained; a label that contradicts the classifier flatly is marked so too.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        classifier: the rules to fall back to.
        revisions: channel_id, message_id, revision_id and text (raw).
        on_progress: called with the running total.
        sleep: waits between attempts and requests.

    Raises:
        As `ask_all`.
    """
    task, questions = _prepared(engine, settings, classifier, revisions)
    return ask_all(engine, settings, task, questions, on_progress=on_progress, sleep=sleep)


def label_abstained(
    engine: sa.Engine,
    settings: Settings,
    classifier: Classifier,
    *,
    window: Window | None = None,
    limit: int | None = None,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
) -> Tally:
    """Labels what the classifier abstained from and the model has not labelled yet, the newest first; without a key it does nothing.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        classifier: whose abstentions.
        window: only messages posted in [start, end).
        limit: at most so many revisions.
        on_progress: called with the running total.

    Raises:
        As `ask_all`.
    """
    if settings.openai_api_key is None:
        return Tally()
    revisions = read_frame(engine, abstained(settings, classifier, window).limit(limit))
    return label_with_llm(engine, settings, classifier, revisions, on_progress=on_progress)


def label_abstained_by_batch(
    engine: sa.Engine,
    settings: Settings,
    classifier: Classifier,
    *,
    limit: int | None = None,
    on_progress: Callable[[Tally], None] = NO_PROGRESS,
    on_wait: Callable[[str], None] = lambda state: None,
    poll_seconds: float = 30.0,
) -> Tally:
    """The same through the vendor's batch interface, at half the price within a day; cut off, it is taken up again.

    Args:
        engine: the platform's database.
        settings: key, model, prices, rate and limit.
        classifier: whose abstentions.
        limit: at most so many distinct texts are submitted.
        on_progress: called with the running total.
        on_wait: called with a line on the batch that is waited for.
        poll_seconds: pause between looks at the batch.

    Raises:
        As `ask_all_by_batch`.
    """
    revisions = read_frame(engine, abstained(settings, classifier))
    task, questions = _prepared(engine, settings, classifier, revisions)
    return ask_all_by_batch(
        engine, settings, task, questions, limit=limit, on_progress=on_progress, on_wait=on_wait, poll_seconds=poll_seconds
    )


def abstained(settings: Settings, classifier: Classifier, window: Window | None = None) -> sa.Select[tuple[int, int, int, str]]:
    """Selects channel_id, message_id, revision_id and text of what the classifier abstained from and the model has not labelled."""
    message, label = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.alias("abstained").c
    done = MESSAGE_LABELS.alias("done").c
    is_done = sa.exists().where(
        done.channel_id == label.channel_id,
        done.message_id == label.message_id,
        done.revision_id == label.revision_id,
        done.labeller == labeller_name(settings),
        done.labeller_version == PROMPT_VERSION,
    )
    is_revision = sa.and_(*(message[name] == label[name] for name in Revision._fields))
    statement = sa.select(message.channel_id, message.message_id, message.revision_id, message.text)
    return (
        statement.where(is_revision, label.labeller == classifier.name, label.labeller_version == classifier.version)
        .where(label.is_abstained, ~is_done, within(message.occurred_at, window))
        .order_by(message.occurred_at.desc(), message.channel_id, message.message_id, message.revision_id)
    )


def _prepared(
    engine: sa.Engine, settings: Settings, classifier: Classifier, revisions: pl.DataFrame
) -> tuple[Task[LabelReply], list[Question]]:
    """The task and a question per distinct text; empty texts are noise without asking, and stored at once."""
    keys = [Revision(*row) for row in revisions.select(Revision._fields).iter_rows()]
    texts = normalise_many(text or "" for text in revisions["text"].to_list())
    revisions_of: dict[str, list[Revision]] = {}
    for key, text in zip(keys, texts, strict=True):
        revisions_of.setdefault(text, []).append(key)
    labeller = labeller_name(settings)
    upsert(engine, MESSAGE_LABELS, _rows(labeller, revisions_of.pop("", []), MessageLabel.NOISE, 1.0, is_abstained=False))
    probabilities = classifier.predict_probabilities(list(revisions_of))
    # Looked up by the revision asked about: what the model sees of the text may be cut.
    by_rules = {found[0]: row for found, row in zip(revisions_of.values(), probabilities, strict=True)}

    def conclude(question: Question, reply: LabelReply | None, completion: Completion | None) -> pl.DataFrame:
        ours = by_rules[question.revision]
        if reply is None:
            return _rows(labeller, question.revisions, int(np.argmax(ours)), float(np.max(ours)), is_abstained=True)
        confidence = completion.label_confidence if completion else None
        is_doubtful = bool(ours[reply.label] < UNLIKELY) or (confidence is not None and confidence < UNSURE)
        return _rows(labeller, question.revisions, reply.label, confidence, is_abstained=is_doubtful)

    task = Task("label", LabelReply, lambda question, reply: None, MESSAGE_LABELS, conclude)
    return task, [Question(tuple(found), text[:LONGEST_TEXT], {}) for text, found in revisions_of.items()]


def _rows(
    labeller: str, revisions: tuple[Revision, ...] | list[Revision], label: int, confidence: float | None, *, is_abstained: bool
) -> pl.DataFrame:
    rows = [
        {
            **revision._asdict(),
            "labeller": labeller,
            "labeller_version": PROMPT_VERSION,
            "label": label,
            "confidence": confidence,
            "is_abstained": is_abstained,
            "labelled_at": datetime.now(UTC),
        }
        for revision in revisions
    ]
    return pl.DataFrame(rows, schema=polars_schema(MESSAGE_LABELS))
