"""Reads the pictures of stored messages that nobody has read yet, and keeps what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.images.reading import ImageReading, inside, read_images, reader_version
from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, read_frame, upsert, within
from pnd_dagster.storage.dead_letters import clean_text
from pnd_dagster.tables import IMAGE_READINGS, TELEGRAM_MESSAGES, polars_schema

PICTURES_PER_WRITE = 50
_MOST_TEXTS = 100
_MOST_CHARACTERS = 200


class NewReadings(NamedTuple):
    """What reading new pictures did: pictures read, by status, and rows written."""

    counts: dict[str, int]
    written: Written


def read_new_images(
    engine: sa.Engine,
    settings: Settings,
    known_symbols: frozenset[str],
    *,
    window: Window | None = None,
    limit: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> NewReadings:
    """Reads every picture of a message that this version of the reader has not read; the latest messages first.

    A picture that is not in the media folder (yet) is left for a later run.

    Args:
        engine: the platform's database.
        settings: where the media folder is.
        known_symbols: see `read_reveal`.
        window: only messages posted in [start, end).
        limit: at most so many pictures; at 3 a second a backfill wants portions.
        on_progress: called with pictures done and to do.

    Raises:
        SourceError: the reading process cannot be started.
    """
    names = read_frame(engine, unread(window))["media_file"].to_list()
    files = {file: name for name in names if (file := inside(settings.media_dir, name))}
    todo = list(files)[:limit]
    counts: dict[str, int] = {}
    written, done = NOTHING_WRITTEN, 0
    readings = read_images(todo, known_symbols)
    while portion := list(islice(readings, PICTURES_PER_WRITE)):
        written += upsert(engine, IMAGE_READINGS, reading_rows(portion, files))
        for reading in portion:
            counts[reading.status] = counts.get(reading.status, 0) + 1
        done += len(portion)
        on_progress(done, len(todo))
    return NewReadings(counts, written)


def unread(window: Window | None = None) -> sa.Select[tuple[str | None]]:
    """Selects media_file of the messages' pictures without a reading of this version, the latest first."""
    message, reading = TELEGRAM_MESSAGES.c, IMAGE_READINGS.c
    is_read = sa.exists().where(reading.media_file == message.media_file, reading.reader_version == reader_version())
    return (
        sa.select(message.media_file)
        .where(message.media_file.is_not(None), ~message.is_deleted, ~is_read, within(message.occurred_at, window))
        .group_by(message.media_file)
        .order_by(sa.func.max(message.occurred_at).desc(), message.media_file)
    )


def reading_rows(readings: Iterable[ImageReading], names: dict[Path, str]) -> pl.DataFrame:
    """Rows of core.image_readings; `names` gives each file's media_file."""
    rows = [
        {
            "media_file": names[reading.file],
            "reader_version": reader_version(),
            "image_sha256": reading.sha256,
            "status": reading.status,
            "symbol": reading.symbol,
            "confidence": reading.confidence,
            "texts": [clean_text(text)[:_MOST_CHARACTERS] for text in reading.texts[:_MOST_TEXTS]],
            "reason": clean_text(reading.reason) if reading.reason else None,
            "read_at": datetime.now(UTC),
        }
        for reading in readings
    ]
    return pl.DataFrame(rows, schema=polars_schema(IMAGE_READINGS))


def effective_readings() -> sa.Subquery:
    """The last reading of each picture, whatever version made it: media_file, status, symbol, confidence, read_at."""
    reading = IMAGE_READINGS.c
    columns = (reading.media_file, reading.status, reading.symbol, reading.confidence, reading.read_at)
    return (
        sa.select(*columns).distinct(reading.media_file).order_by(reading.media_file, reading.read_at.desc()).subquery("effective_readings")
    )
