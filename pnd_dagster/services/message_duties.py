"""What the listener does with messages once they are stored: label them, then rebuild the events of their channels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.events.store import rebuild_events
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labelling import label_revisions, label_unlabelled
from pnd_dagster.services.listen import Duties
from pnd_dagster.storage import upsert
from pnd_dagster.tables import HEARTBEATS
from pnd_dagster.telegram.batches import MessageBatch

# What the listener missed is recent; older gaps are the nightly backfill's.
SWEPT = timedelta(days=3)


def message_duties(engine: sa.Engine, classifier: Classifier) -> Duties:
    """The listener's duties on the platform's database; the functions are those the graph calls."""

    def handle(batch: MessageBatch) -> None:
        texts = batch.messages.filter(~pl.col("is_deleted"), pl.col("kind") == "message")
        if not texts.is_empty():
            label_revisions(engine, classifier, texts.select("channel_id", "message_id", "revision_id", "text"))
            rebuild_events(engine, classifier, channel_ids=texts["channel_id"].unique().to_list())

    def sweep() -> int:
        now = datetime.now(UTC)
        labelled = label_unlabelled(engine, classifier, window=(now - SWEPT, now + timedelta(days=1)))
        if labelled.revision_count:
            rebuild_events(engine, classifier)
        return labelled.revision_count

    def write_heartbeat(beat: pl.DataFrame) -> None:
        upsert(engine, HEARTBEATS, beat)

    return Duties(handle, sweep, write_heartbeat)
