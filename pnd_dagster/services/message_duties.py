"""What the listener does with messages once they are stored: label them, then rebuild the events of their channels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.events.store import rebuild_events
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labelling import label_revisions, label_unlabelled
from pnd_dagster.telegram.batches import MessageBatch

# What the listener missed is recent; older gaps are the nightly backfill's.
SWEPT = timedelta(days=3)


def handle_batch(engine: sa.Engine, classifier: Classifier, batch: MessageBatch) -> None:
    """Labels the messages of a stored batch and rebuilds the events of their channels, by the functions the graph calls."""
    texts = batch.messages.filter(~pl.col("is_deleted"), pl.col("kind") == "message")
    if not texts.is_empty():
        label_revisions(engine, classifier, texts.select("channel_id", "message_id", "revision_id", "text"))
        rebuild_events(engine, classifier, channel_ids=texts["channel_id"].unique().to_list())


def sweep_unlabelled(engine: sa.Engine, classifier: Classifier) -> int:
    """Does the same for what was left of the last days. Returns the number of messages it took."""
    now = datetime.now(UTC)
    labelled = label_unlabelled(engine, classifier, window=(now - SWEPT, now + timedelta(days=1)))
    if labelled.revision_count:
        rebuild_events(engine, classifier)
    return labelled.revision_count
