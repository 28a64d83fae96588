"""Writes what Telegram sources read into the raw tables."""

from __future__ import annotations

import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.storage import Written, transaction, upsert
from pnd_dagster.telegram.batches import MessageBatch


def store_batch(engine: sa.Engine, batch: MessageBatch) -> Written:
    """Writes a batch in one transaction; run twice, nothing changes. Returns what happened to the messages."""
    with transaction(engine) as connection:
        written = upsert(connection, tables.TELEGRAM_MESSAGES, batch.messages)
        upsert(connection, tables.TELEGRAM_MESSAGE_STATS, batch.stats)
        upsert(connection, tables.TELEGRAM_CHANNELS, batch.channels)
        upsert(connection, tables.DEAD_LETTERS, batch.dead_letters)
    return written
