"""What the listener does with messages once they are stored: label them, rebuild the events of their channels, queue the first alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import sqlalchemy as sa

from pnd_dagster.alerts.stages import announced_alerts
from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.events.replays import Replays
from pnd_dagster.events.store import rebuild_events, warm_replays
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.images.store import read_new_images
from pnd_dagster.messages.classifier import Classifier
from pnd_dagster.messages.labelling import label_revisions, label_unlabelled
from pnd_dagster.messages.llm.labeller import label_abstained
from pnd_dagster.settings import Settings
from pnd_dagster.storage import transaction
from pnd_dagster.tables import TELEGRAM_CHANNELS, TELEGRAM_MESSAGES
from pnd_dagster.telegram.batches import MessageBatch

log = logging.getLogger(__name__)

# What the listener missed is recent; older gaps are the nightly backfill's.
SWEPT = timedelta(days=3)


def handle_batch(engine: sa.Engine, settings: Settings, classifier: Classifier, batch: MessageBatch, replays: Replays) -> None:
    """Labels the messages of a stored batch, rebuilds the events of their channels, by the functions the graph calls, and alerts.

    Args:
        engine: the platform's database.
        settings: which alerts go where.
        classifier: the model.
        batch: messages that are committed.
        replays: of the channels, kept from batch to batch.
    """
    texts = batch.messages.filter(~pl.col("is_deleted"), pl.col("kind") == "message")
    if not texts.is_empty():
        label_revisions(engine, classifier, texts.select("channel_id", "message_id", "revision_id", "text"))
        rebuild_events(engine, classifier, channel_ids=texts["channel_id"].unique().to_list(), replays=replays)
        _alert(engine, settings)


def warm_up(engine: sa.Engine, classifier: Classifier, replays: Replays, is_over: Callable[[], bool]) -> None:
    """Replays the validated channels before their next messages come, until `is_over`; that of a long channel takes seconds."""
    channel, message = TELEGRAM_CHANNELS.c, TELEGRAM_MESSAGES.c
    last_at = sa.select(sa.func.max(message.occurred_at)).where(message.channel_id == channel.channel_id).scalar_subquery()
    with transaction(engine) as connection:
        statement = sa.select(channel.channel_id).where(channel.status == "validated").order_by(last_at.desc().nulls_last())
        channel_ids: Iterable[int] = connection.execute(statement).scalars().all()
    for channel_id in channel_ids:
        if is_over():
            return
        warm_replays(engine, classifier, replays, channel_id)


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
        _alert(engine, settings)


def sweep_unlabelled(engine: sa.Engine, settings: Settings, classifier: Classifier) -> int:
    """Does as `handle_batch` for what was left of the last days. Returns the number of messages it took."""
    now = datetime.now(UTC)
    labelled = label_unlabelled(engine, classifier, window=(now - SWEPT, now + timedelta(days=1)))
    # Also where nothing was left to label: the database may have gone between the labels and what is built from them.
    rebuild_events(engine, classifier)
    _alert(engine, settings)
    return labelled.revision_count


def _alert(engine: sa.Engine, settings: Settings) -> None:
    """Queues what is to be told of scheduled pumps; what fails is queued next time, the labels stand."""
    try:
        announced_alerts(engine, settings)
    except PndError as error:
        log.warning("alerts were not queued: %s", error)
