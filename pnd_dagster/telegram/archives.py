"""Archives of Telegram messages in Parquet or JSON lines, read in batches.

Two forms are known: the full one (channel_id, message_id, date, text, and as much of edit_date, kind, views, ... as there is)
and the short one (id, date, channel_id, message, views, image).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pnd_dagster.errors import SourceError
from pnd_dagster.storage.dead_letters import Refusal
from pnd_dagster.telegram.batches import ROW_SCHEMA, MessageBatch
from pnd_dagster.telegram.coercion import REQUIRED
from pnd_dagster.telegram.records import Origin, batch_of_columns, batch_of_records, new_channels

BATCH_ROWS = 40_000
BATCH_BYTES = 64_000_000
# A line holds one message of at most 1 MB; twice that for escapes, and room for the other fields.
MAX_LINE_BYTES = 16_000_000

# What archives call a column, for each of ours; the first that is there is read.
COLUMN_NAMES = {
    "message_id": ("message_id", "id"),
    "occurred_at": ("occurred_at", "date"),
    "edited_at": ("edited_at", "edit_date"),
    "text": ("text", "message"),
    "media_file": ("media_file", "image_file", "image"),
    "reply_to_message_id": ("reply_to_message_id", "reply_to_msg_id"),
    "forwarded_from_channel_id": ("forwarded_from_channel_id", "fwd_channel_id"),
    "forwarded_from_message_id": ("forwarded_from_message_id", "fwd_channel_post"),
    "is_pinned": ("is_pinned", "pinned"),
    "is_from_member": ("is_from_member", "posted_by_user"),
    "service_action": ("service_action", "action"),
}


def is_parquet(path: Path) -> bool:
    """True for a file that is Parquet by its first bytes, or by its name if it is too short to tell."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() in {".parquet", ".pq"}


def count_rows(path: Path) -> int:
    """Number of rows of an archive, without reading them: for progress.

    Raises:
        SourceError: it is not a readable file.
    """
    must_be_file(path)
    if is_parquet(path):
        with _open_parquet(path) as archive:
            return archive.metadata.num_rows
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def read_archive(path: Path, *, source: str = "archive", now: datetime | None = None) -> Iterator[MessageBatch]:
    """The messages of a Parquet or JSON lines archive, in the file's order, a batch at a time.

    Rows without a usable channel, id, time or text become dead letters; so do other values that do not fit, whose rows are kept
    without them. Columns that are not known are ignored. Counts are taken as observed when the file was written.

    Args:
        path: the file; its kind is told from its content.
        source: what raw.telegram_messages.source shall say: archive or simulated.
        now: the time of reading, the clock's if not given.

    Raises:
        SourceError: the file cannot be read at all, or lacks a column. Names both.
    """
    must_be_file(path)
    now = now or datetime.now(UTC)
    origin = Origin(path, source, ingested_at=now, observed_at=min(now, datetime.fromtimestamp(path.stat().st_mtime, UTC)))
    titles: dict[int, str | None] = {}
    for batch in _parquet_batches(path, origin) if is_parquet(path) else _json_batches(path, origin):
        yield batch._replace(channels=new_channels(batch.channels, titles))


def must_be_file(path: Path) -> None:
    """Checks that `path` is a file that can be opened.

    Raises:
        SourceError: it is not.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    if not path.is_file():
        raise SourceError(f"{path}: not a file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}") from error


def _choose_columns(given: list[str], path: Path) -> dict[str, str]:
    """The file's name for each of our columns that it has.

    Raises:
        SourceError: a required column is missing.
    """
    chosen: dict[str, str] = {}
    for ours in ROW_SCHEMA:
        found = next((name for name in COLUMN_NAMES.get(ours, (ours,)) if name in given), None)
        if found is not None:
            chosen[ours] = found
    if missing := [" or ".join(COLUMN_NAMES.get(ours, (ours,))) for ours in REQUIRED if ours not in chosen]:
        raise SourceError(
            f"{path}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)} (it has {', '.join(given[:30]) or 'none'})"
        )
    return chosen


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: broken Parquet file: {_first_line(error)}") from error


def _parquet_batches(path: Path, origin: Origin) -> Iterator[MessageBatch]:
    archive = _open_parquet(path)
    with archive:
        chosen = _choose_columns(archive.schema_arrow.names, path)
        first_row = 1
        batches = archive.iter_batches(batch_size=_batch_rows(archive), columns=list(chosen.values()), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"{path}: broken Parquet file after row {first_row - 1}: {_first_line(error)}") from error
            if batch is None:
                return
            columns = {ours: _polars_column(batch.column(theirs), theirs, path) for ours, theirs in chosen.items()}
            locations = [f"row {row}" for row in range(first_row, first_row + batch.num_rows)]
            yield batch_of_columns(pl.DataFrame(columns), locations, origin)
            first_row += batch.num_rows


def _batch_rows(archive: pq.ParquetFile) -> int:
    """Rows per batch, fewer where they are long, so that long texts do not fill the memory."""
    metadata = archive.metadata
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return min(BATCH_ROWS, max(100, BATCH_BYTES * metadata.num_rows // max(size, 1)))


def _polars_column(column: pa.Array, name: str, path: Path) -> pl.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            # Writers in C++ and Java let broken UTF-8 through. Polars trusts it and crashes, so it is repaired before.
            column = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary())
    try:
        return pl.Series(name, column)
    except (pl.exceptions.PolarsError, ValueError, TypeError, NotImplementedError, pa.ArrowException) as error:
        raise SourceError(f"{path}: column {name} holds {column.type}, which cannot be read: {_first_line(error)}") from error


def _json_batches(path: Path, origin: Origin) -> Iterator[MessageBatch]:
    names: dict[str, None] = {}
    with path.open("rb") as file:
        for numbered in _batched(_lines(file)):
            records, failures = _parsed(numbered)
            if not names and not records:
                raise SourceError(f"{path}: not JSON lines: {failures[0].location} {failures[0].reason}")
            # Optional fields may first appear late in the file.
            names.update(dict.fromkeys(chain.from_iterable(record for _, record in records)))
            yield batch_of_records(records, _choose_columns(list(names), path), origin, refusals=failures)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for a line that is too long to be a message."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif line.strip():
            yield number, line


def _batched(lines: Iterator[tuple[int, bytes | None]]) -> Iterator[list[tuple[int, bytes | None]]]:
    """Lists of lines, cut by number and by size so that long texts do not fill the memory."""
    batch: list[tuple[int, bytes | None]] = []
    size = 0
    for number, line in lines:
        batch.append((number, line))
        size += len(line or b"")
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parsed(numbered: list[tuple[int, bytes | None]]) -> tuple[list[tuple[str, dict[str, Any]]], list[Refusal]]:
    records: list[tuple[str, dict[str, Any]]] = []
    failures: list[Refusal] = []
    for number, line in numbered:
        if line is None:
            failures.append(Refusal(f"row {number}", f"longer than {MAX_LINE_BYTES} bytes", None))
            continue
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            # The line itself is not kept: unknown fields may hold personal data.
            failures.append(Refusal(f"row {number}", f"is not JSON: {_first_line(error)}"[:200], None))
            continue
        if isinstance(record, dict):
            records.append((f"row {number}", record))
        else:
            failures.append(Refusal(f"row {number}", f"is not a JSON object but a {type(record).__name__}", None))
    return records, failures


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
