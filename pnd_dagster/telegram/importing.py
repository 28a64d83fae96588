"""Imports message files of any known form into the raw tables, in batches that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written
from pnd_dagster.telegram.archives import count_rows, read_archive
from pnd_dagster.telegram.batches import MessageBatch
from pnd_dagster.telegram.desktop_export import is_desktop_export, read_desktop_export
from pnd_dagster.telegram.store import store_batch


class Imported(NamedTuple):
    """What an import did: input rows read, messages written, inputs refused."""

    row_count: int
    written: Written
    dead_letter_count: int


def import_file(
    engine: sa.Engine,
    path: Path,
    settings: Settings,
    *,
    window: Window | None = None,
    source: str = "archive",
    on_progress: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Imports a Parquet or JSONL archive or a Telegram Desktop export. Run twice, or after a half-done run, nothing is doubled.

    Args:
        engine: the platform's database.
        path: the file, or the folder of a Desktop export.
        settings: media folder and size limit, and the time zone of old exports.
        window: only messages posted in [start, end).
        source: what raw.telegram_messages.source shall say of an archive: archive or simulated.
        on_progress: called with the number of input rows of each batch.

    Raises:
        SourceError: the file cannot be read; names file and column. What was imported before stays.
    """
    imported = Imported(0, NOTHING_WRITTEN, 0)
    for batch in _ahead(read_file(path, settings, source=source)):
        kept = batch if window is None else _inside(batch, window)
        written = store_batch(engine, kept)
        imported = Imported(
            imported.row_count + batch.row_count, imported.written + written, imported.dead_letter_count + batch.dead_letters.height
        )
        on_progress(batch.row_count)
    return imported


def read_file(path: Path, settings: Settings, *, source: str = "archive") -> Iterator[MessageBatch]:
    """The batches of a message file, whatever its form.

    Raises:
        SourceError: the file cannot be read; names file and column.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    if not is_desktop_export(path):
        return read_archive(path, source=source)
    zone = ZoneInfo(settings.export_zone)
    return read_desktop_export(path, media_dir=settings.media_dir, media_max_bytes=settings.media_max_bytes, local_zone=zone)


def expected_rows(path: Path) -> int | None:
    """Rows of an archive, None where they cannot be known before reading (Desktop exports)."""
    return None if is_desktop_export(path) else count_rows(path)


def _ahead(batches: Iterator[MessageBatch]) -> Iterator[MessageBatch]:
    """The same batches, each read while the one before is written: reading and Postgres take a core each."""
    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, batches, None)
            yield batch


def _inside(batch: MessageBatch, window: Window) -> MessageBatch:
    start, end = window
    messages = batch.messages.filter(pl.col("occurred_at") >= start, pl.col("occurred_at") < end)
    keys = messages.select("channel_id", "message_id").unique()
    return batch._replace(messages=messages, stats=batch.stats.join(keys, on=["channel_id", "message_id"], how="semi"))
