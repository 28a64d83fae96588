"""Labels the message revisions of the database that have no label yet, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.classifier import Classifier, label_messages
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, read_frame, upsert, within
from pnd_dagster.tables import MESSAGE_LABELS, TELEGRAM_MESSAGES

CHUNK_ROWS = 100_000
# What the labellers' names in core.message_labels begin with; the classifier's is its own.
HUMAN, LANGUAGE_MODEL = "human:", "llm:"


class Labelled(NamedTuple):
    """What a labelling run did."""

    revision_count: int
    written: Written


def label_unlabelled(
    engine: sa.Engine, classifier: Classifier, *, window: Window | None = None, on_progress: Callable[[int], None] = lambda rows: None
) -> Labelled:
    """Labels every revision without a label of this classifier's version; deletions and service messages have none.

    Args:
        engine: the platform's database.
        classifier: the model.
        window: only messages posted in [start, end).
        on_progress: called with the number of revisions of each chunk.
    """
    count, written = 0, NOTHING_WRITTEN
    while True:
        revisions = read_frame(engine, unlabelled(classifier, window).limit(CHUNK_ROWS))
        if revisions.is_empty():
            return Labelled(count, written)
        written += label_revisions(engine, classifier, revisions)
        count += revisions.height
        on_progress(revisions.height)


def label_revisions(engine: sa.Engine, classifier: Classifier, revisions: pl.DataFrame) -> Written:
    """Labels the given revisions: a frame with channel_id, message_id, revision_id and text."""
    labels = (
        label_messages(revisions, classifier)
        .select("channel_id", "message_id", "revision_id", "label", "confidence", "is_abstained")
        .with_columns(
            labeller=pl.lit(classifier.name),
            labeller_version=pl.lit(classifier.version),
            labelled_at=pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")),
        )
    )
    return upsert(engine, MESSAGE_LABELS, labels)


def unlabelled(classifier: Classifier, window: Window | None = None) -> sa.Select[tuple[int, int, int, str]]:
    """Selects channel_id, message_id, revision_id and text of the revisions without a label, by anti-join."""
    message, label = TELEGRAM_MESSAGES.c, MESSAGE_LABELS.c
    is_labelled = sa.exists().where(
        label.channel_id == message.channel_id,
        label.message_id == message.message_id,
        label.revision_id == message.revision_id,
        label.labeller == classifier.name,
        label.labeller_version == classifier.version,
    )
    selected = sa.select(message.channel_id, message.message_id, message.revision_id, message.text)
    return selected.where(message.kind == "message", ~message.is_deleted, ~is_labelled, within(message.occurred_at, window))
