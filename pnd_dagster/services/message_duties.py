"""What the listener does with messages once they are stored: label them, then rebuild the events of their channels."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.events.store import rebuild_events
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.images.store import read_new_images
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labelling import label_revisions, label_unlabelled
from pnd_dagster.messages.llm.labeller import label_abstained
from pnd_dagster.settings import Settings
from pnd_dagster.telegram.batches import MessageBatch

log = logging.getLogger(__name__)

# What the listener missed is recent; older gaps are the nightly backfill's.
SWEPT = timedelta(days=3)


def handle_batch(engine: sa.Engine, classifier: Classifier, batch: MessageBatch) -> None:
    """Labels the messages of a stored batch and rebuilds the events of their channels, by the functions the graph calls."""
    texts = batch.messages.filter(~pl.col("is_deleted"), pl.col("kind") == "message")
    if not texts.is_empty():
        label_revisions(engine, classifier, texts.select("channel_id", "message_id", "revision_id", "text"))
        rebuild_events(engine, classifier, channel_ids=texts["channel_id"].unique().to_list())


def ask_further(engine: sa.Engine, settings: Settings, classifier: Classifier, batch: MessageBatch) -> None:
    """What takes seconds, after `handle_batch`: pictures of the batch are read, and a language model is asked where the classifier
    abstained and there is a key. What cannot be asked now is asked by the graph's next run.
    """
    texts = batch.messages.filter(~pl.col("is_deleted"), pl.col("kind") == "message")
    if texts.is_empty():
        return
    first, last = cast("datetime", texts["occurred_at"].min()), cast("datetime", texts["occurred_at"].max())
    window = (first, last + timedelta(microseconds=1))
    pictures = 0
    if texts["media_file"].is_not_null().any():
        pictures = read_new_images(engine, settings, load_known_symbols(), window=window).counts.get("reveal", 0)
    try:
        asked = label_abstained(engine, settings, classifier, window=window).accepted
    except (QuotaExhaustedError, SettingError, SourceError, TransientError) as error:
        log.warning("the language model was not asked: %s", error)
        asked = 0
    if pictures or asked:
        rebuild_events(engine, classifier, channel_ids=texts["channel_id"].unique().to_list())


def sweep_unlabelled(engine: sa.Engine, classifier: Classifier) -> int:
    """Does the same for what was left of the last days. Returns the number of messages it took."""
    now = datetime.now(UTC)
    labelled = label_unlabelled(engine, classifier, window=(now - SWEPT, now + timedelta(days=1)))
    if labelled.revision_count:
        rebuild_events(engine, classifier)
    return labelled.revision_count
