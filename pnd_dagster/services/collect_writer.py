"""From computed ticks to the database, in order: from memory while all is well, over the disk while the database is away or slow."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError
from pnd_dagster.market.metric_store import TickRefusedError, gap_row, write_gaps, write_tick
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.spill import Spill, SpilledTick
from pnd_dagster.market.tick import Tick
from pnd_dagster.storage import upsert
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.storage.leases import Lease
from pnd_dagster.tables import BUCKET_SECONDS, DEAD_LETTERS

# Half a minute: what a crash costs at most while the database is slow.
MEMORY_TICKS = 6
REFUSED = "refused"
log = logging.getLogger(__name__)


class TickWriter:
    """The ticks of one shard that wait to be written. `put` and `write_next` may be called from different threads.

    What waits is either all in memory or all on disk, so that after a crash there is one span to flag: from the last bucket in the
    database or on disk to the restart.

    Args:
        engine: the platform's database.
        lease: of the shard.
        exchange, shard: whose ticks.
        spill: the shard's; what an earlier process left in it is written first.
        inherited_until: end of the last bucket of an earlier process. Its gaps last until then at most: nobody else would end them.

    Attributes:
        written, already_there, refused: buckets, since it was made.
        lags: seconds from the end of a bucket to its commit, of the last 100.
        is_away: the last attempt to write failed.
        last_error: what was wrong then.
    """

    def __init__(self, engine: sa.Engine, lease: Lease, exchange: str, shard: Shard, spill: Spill, inherited_until: datetime) -> None:
        self.written = self.already_there = self.refused = 0
        self.lags: deque[float] = deque(maxlen=100)
        self.is_away = False
        self.last_error: str | None = None
        self._engine = engine
        self._lease = lease
        self._exchange = exchange
        self._shard = shard
        self._spill = spill
        self._inherited_until = inherited_until
        self._memory: deque[SpilledTick] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Ticks that wait, in memory and on disk."""
        return len(self._memory) + self._spill.count

    def put(self, tick: Tick, clock_offset_seconds: float | None) -> None:
        """Takes a tick, to be written after all earlier ones."""
        with self._lock:
            self._memory.append(SpilledTick(tick, clock_offset_seconds))
            if self._spill.count or self.is_away or len(self._memory) > MEMORY_TICKS:
                self._move_to_disk()

    def write_next(self) -> bool:
        """Writes the oldest tick that waits; False if none does.

        Raises:
            LeaseLostError: somebody else holds the shard now.
            DatabaseError: the database is away; nothing is lost, try again later.
        """
        try:
            self._write_lost()
            with self._lock:
                is_spilled = not self._memory
                waiting = self._spill.oldest() if is_spilled else self._memory[0]
            if waiting is None:
                return False
            self._write(waiting, is_spilled=is_spilled)
        except DatabaseError as error:
            with self._lock:
                self.is_away, self.last_error = True, str(error)
                self._move_to_disk()
            raise
        with self._lock:
            self.is_away = False
            if self._memory and self._memory[0] is waiting:
                self._memory.popleft()
            else:
                self._spill.remove(waiting.tick.bucket_end_at)
        return True

    def keep_for_later(self) -> None:
        """Puts on disk what still waits in memory."""
        with self._lock:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        while self._memory:
            self._spill.put(*self._memory.popleft())

    def _write(self, waiting: SpilledTick, *, is_spilled: bool) -> None:
        tick, offset = waiting
        tick = tick._replace(gaps=self._ended(tick.gaps))
        try:
            is_new = write_tick(
                self._engine, self._lease, self._exchange, self._shard, tick, clock_offset_seconds=offset, is_spilled=is_spilled
            )
        except TickRefusedError as error:
            self._bury(tick, error)
            return
        self.written += is_new
        self.already_there += not is_new
        if is_new and not is_spilled:
            self.lags.append(time.time() - tick.bucket_end_at.timestamp())

    def _write_lost(self) -> None:
        lost = self._spill.lost()
        if not lost.is_empty():
            write_gaps(self._engine, self._lease, self._ended(lost))
            with self._lock:
                self._spill.forget_lost(lost)

    def _ended(self, gaps: pl.DataFrame) -> pl.DataFrame:
        is_left_open = pl.col("ended_at").is_null() & (pl.col("started_at") < self._inherited_until)
        return gaps.with_columns(pl.when(is_left_open).then(pl.lit(self._inherited_until)).otherwise("ended_at").alias("ended_at"))

    def _bury(self, tick: Tick, error: TickRefusedError) -> None:
        """A tick that Postgres refuses must not hold up those after it: it becomes a dead letter and a gap."""
        log.error("%s", error)
        source, location = f"collect {self._exchange} {self._shard}", tick.bucket_end_at.isoformat()
        payload = {**tick.counts, "book_rows": tick.books.height, "trade_rows": tick.trades.height}
        letters = dead_letters(source, [Refusal(location, str(error), payload)], refused_at=datetime.now(UTC))
        upsert(self._engine, DEAD_LETTERS, letters)
        started_at = tick.bucket_end_at - timedelta(seconds=BUCKET_SECONDS)
        span = gap_row(self._exchange, self._shard, self._spill.instrument_ids, started_at, tick.bucket_end_at, REFUSED)
        write_gaps(self._engine, self._lease, pl.concat([tick.gaps, span]).unique("gap_id", keep="last"))
        self.refused += 1
        self.last_error = str(error)
