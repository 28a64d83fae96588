"""Ticks on disk while the database is away: a folder per shard, a file per bucket, written in order afterwards.

A file is complete or not there: it is synced to disk before it gets its name. What no longer fits is dropped, oldest first, and kept as a
gap that is written when the database is back.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import secrets
import socket
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pnd_dagster.errors import SettingError, SourceError
from pnd_dagster.market.metric_store import gap_row
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.tick import Tick
from pnd_dagster.tables import BUCKET_SECONDS, FEED_GAPS, polars_schema

MAGIC = b"PNDTICK1"
# Magic, length and checksum of the rest: a header in JSON, its length first, then three frames.
_HEAD = struct.Struct("<8sQII")
SPILL_FULL = "spill full"
NAME_FORMAT = "%Y%m%dT%H%M%S"
log = logging.getLogger(__name__)


class SpilledTick(NamedTuple):
    """A tick on disk, and the clock offset that was known when it was made."""

    tick: Tick
    clock_offset_seconds: float | None


class Spill:
    """The folder of one shard; made by `open_spill`, used by one process at a time.

    Attributes:
        holder: a name that only the process that has this folder open goes by.
        instrument_ids: instruments of the shard; a tick that is lost is a gap of these.
        dropped: ticks that did not fit since it was opened.
    """

    def __init__(self, folder: Path, exchange: str, shard: Shard, max_bytes: int, lock: io.TextIOBase, holder: str) -> None:
        self.holder = holder
        self.instrument_ids: Sequence[int] = ()
        self.dropped = 0
        self._folder = folder
        self._exchange = exchange
        self._shard = shard
        self._max_bytes = max_bytes
        self._lock = lock
        self._lost_file = folder / "lost.json"
        self._lost = self._read_lost()
        for unfinished in folder.glob("*.new"):
            unfinished.unlink()
        self._sizes = {path: path.stat().st_size for path in sorted(folder.glob("*.tick"))}

    @property
    def count(self) -> int:
        """Ticks that wait."""
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """What the ticks take on disk."""
        return sum(self._sizes.values())

    def put(self, tick: Tick, clock_offset_seconds: float | None = None) -> None:
        """Keeps a tick, on disk when this returns; what does not fit becomes a gap."""
        path = self._path(tick.bucket_end_at)
        if path in self._sizes:
            return  # the clock was set back: what was there first counts, as in the database
        content = _encode(tick, clock_offset_seconds)
        while self._sizes and self.size_bytes + len(content) > self._max_bytes:
            self._drop_oldest()
        if len(content) > self._max_bytes:
            self._lose(tick.bucket_end_at, tick.gaps)
            return
        try:
            _write_durably(path, content)
        except OSError as error:
            log.warning("the spill cannot be written: %s", error.strerror or error)
            self._lose(tick.bucket_end_at, tick.gaps)
            return
        self._sizes[path] = len(content)

    def oldest(self) -> SpilledTick | None:
        """The tick to write next, None when all are written. A file that cannot be read is put aside and becomes a gap."""
        while self._sizes:
            path = min(self._sizes)
            try:
                return _decode(path.read_bytes())
            except FileNotFoundError:
                del self._sizes[path]  # written by a thread of a term that ended meanwhile
            except (OSError, SourceError) as error:
                log.warning("%s cannot be read and is put aside: %s", path, error)
                del self._sizes[path]
                with suppress(OSError):
                    path.rename(path.with_suffix(".bad"))
                self._lose(_bucket_end(path), self._lost.clear())
        return None

    def newest_end(self) -> datetime | None:
        """End of the last bucket that waits."""
        return _bucket_end(max(self._sizes)) if self._sizes else None

    def remove(self, bucket_end_at: datetime) -> None:
        """Forgets a tick: it is written. Nothing happens if it was dropped meanwhile."""
        path = self._path(bucket_end_at)
        self._sizes.pop(path, None)
        path.unlink(missing_ok=True)

    def lost(self) -> pl.DataFrame:
        """Rows of core.feed_gaps of what was dropped and is not yet written."""
        return self._lost

    def forget_lost(self, written: pl.DataFrame) -> None:
        """Forgets what was dropped, unless more was since `written` was taken from `lost`."""
        if written is self._lost:
            self._lost = self._lost.clear()
            self._lost_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets another process have the folder; the ticks stay."""
        self._lock.close()

    def _drop_oldest(self) -> None:
        spilled = self.oldest()
        if spilled is not None:
            self._lose(spilled.tick.bucket_end_at, spilled.tick.gaps)
            self.remove(spilled.tick.bucket_end_at)

    def _path(self, bucket_end_at: datetime) -> Path:
        return self._folder / f"{bucket_end_at:{NAME_FORMAT}}.tick"

    def _lose(self, bucket_end_at: datetime, gaps: pl.DataFrame) -> None:
        self.dropped += 1
        started_at, ids = bucket_end_at - timedelta(seconds=BUCKET_SECONDS), set(self.instrument_ids)
        before = self._lost.filter(pl.col("reason") == SPILL_FULL, pl.col("ended_at") == started_at)
        if not before.is_empty():
            # Continues the span that was lost before: the same row, with a later end.
            started_at, ids = before["started_at"][0], ids.union(before["instrument_ids"][0].to_list())
        gap = gap_row(self._exchange, self._shard, ids, started_at, bucket_end_at, SPILL_FULL)
        # What the tick itself had to tell of gaps is still to be told.
        self._lost = pl.concat([self._lost, gaps, gap]).unique("gap_id", keep="last", maintain_order=True)
        with suppress(OSError):
            _write_durably(self._lost_file, self._lost.write_json().encode())

    def _read_lost(self) -> pl.DataFrame:
        schema = polars_schema(FEED_GAPS)
        try:
            return pl.read_json(self._lost_file.read_bytes(), schema=schema) if self._lost_file.exists() else pl.DataFrame(schema=schema)
        except (OSError, pl.exceptions.PolarsError) as error:
            log.warning("%s cannot be read: %s", self._lost_file, error)
            return pl.DataFrame(schema=schema)


def open_spill(home: Path, exchange: str, shard: Shard, max_bytes: int) -> Spill | None:
    """The spill of a shard, with what an earlier process left in it; None while another process has it open.

    Args:
        home: folder of the installation.
        exchange, shard: whose ticks.
        max_bytes: what it may take on disk.

    Raises:
        SettingError: the folder cannot be written to.
    """
    folder = home / "spill" / f"{exchange}-{shard.index}-of-{shard.count}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise SettingError(f"PND_HOME: cannot write to {folder}: {error.strerror}") from error
    try:
        # The kernel gives it back whichever way the process ends.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    lock.seek(0)
    name = lock.read().strip()
    if not name:
        name = secrets.token_hex(8)
        lock.write(name)
        lock.flush()
    return Spill(folder, exchange, shard, max_bytes, lock, f"{socket.gethostname()}:{name}")


def _encode(tick: Tick, clock_offset_seconds: float | None) -> bytes:
    frames: list[bytes] = []
    for frame in (tick.books, tick.trades, tick.gaps):
        buffer = io.BytesIO()
        frame.write_ipc(buffer, compression="zstd")
        frames.append(buffer.getvalue())
    header = {
        "bucket_end_at": tick.bucket_end_at.isoformat(),
        "counts": tick.counts,
        "clock_offset_seconds": clock_offset_seconds,
        "lengths": [len(frame) for frame in frames],
    }
    text = json.dumps(header).encode()
    body = b"".join((text, *frames))
    return _HEAD.pack(MAGIC, len(body), zlib.crc32(body), len(text)) + body


def _decode(content: bytes) -> SpilledTick:
    if len(content) < _HEAD.size:
        raise SourceError("it is cut off")
    magic, length, checksum, header_length = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if magic != MAGIC or length != len(body) or checksum != zlib.crc32(body):
        raise SourceError("it is damaged or of another version")
    header = json.loads(body[:header_length])
    frames: list[pl.DataFrame] = []
    start = header_length
    for frame_length in header["lengths"]:
        frames.append(pl.read_ipc(io.BytesIO(body[start : start + frame_length])))
        start += frame_length
    tick = Tick(datetime.fromisoformat(header["bucket_end_at"]), *frames, counts=header["counts"])
    return SpilledTick(tick, header["clock_offset_seconds"])


def _bucket_end(path: Path) -> datetime:
    return datetime.strptime(path.stem, NAME_FORMAT).replace(tzinfo=UTC)


def _write_durably(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
