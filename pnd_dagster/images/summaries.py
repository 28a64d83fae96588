"""Counts of what was found in pictures, for metadata."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from pnd_dagster.images.store import effective_readings
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import TELEGRAM_MESSAGES


def by_status(engine: sa.Engine) -> pl.DataFrame:
    """Pictures by what their latest reading says: status, pictures."""
    readings = effective_readings()
    return read_frame(
        engine, sa.select(readings.c.status, sa.func.count().label("pictures")).group_by(readings.c.status).order_by(readings.c.status)
    )


def latest_reveals(engine: sa.Engine, count: int = 20) -> pl.DataFrame:
    """The latest messages whose picture reveals a coin: occurred_at, channel_id, message_id, symbol, confidence."""
    readings, message = effective_readings(), TELEGRAM_MESSAGES.c
    return read_frame(
        engine,
        sa.select(message.occurred_at, message.channel_id, message.message_id, readings.c.symbol, readings.c.confidence)
        .join_from(TELEGRAM_MESSAGES, readings, readings.c.media_file == message.media_file)
        .where(readings.c.status == "reveal")
        .order_by(message.occurred_at.desc())
        .limit(count),
    )
