"""One term of a shard's leader: from taking the lease until it is told to stop, loses the lease, or the clock is set."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import DatabaseError, PndError, TransientError
from pnd_dagster.market.clock import clock_offset
from pnd_dagster.market.feeds.protocol import Feed
from pnd_dagster.market.metric_store import end_abandoned_gaps, gap_row, last_commit
from pnd_dagster.market.shards import Shard
from pnd_dagster.market.spill import Spill
from pnd_dagster.market.state import ClosedBucket, Instrument, MarketState, first_end
from pnd_dagster.market.tick import TickComputer
from pnd_dagster.services import collect_health as health
from pnd_dagster.services.collect_upkeep import RollupClerk
from pnd_dagster.services.collect_writer import TickWriter
from pnd_dagster.services.retention import keep_retention
from pnd_dagster.storage.leases import Lease, renew
from pnd_dagster.tables import BUCKET_SECONDS

# Frames that were received by the boundary may still be on their way through the event loop.
GRACE_SECONDS = 0.05
# The event loop was held up over a boundary for longer than this: what is in which bucket is no longer sure.
STALL_SECONDS = 0.3
STALLED = "stalled"
# A difference between wall clock and monotonic clock beyond this is no drift: somebody set the clock.
CLOCK_STEP_SECONDS = 0.5
CLOSED_BUCKETS = 60
# What feed, computation and writer are each given to end in; what is not written by then goes to disk.
ENDING_SECONDS = 10.0
log = logging.getLogger(__name__)


class ClockSetError(TransientError):
    """The clock of this machine was set: the buckets begin anew, and the time between is a gap."""


class Market(NamedTuple):
    """An exchange that was opened: its feed, and what asks it for its time in Unix seconds."""

    feed: Feed
    server_time: Callable[[], Awaitable[float]]


class Parts(NamedTuple):
    """What a collector is given.

    Attributes:
        open_market: opens the exchange; closed at the end of the term.
        watch_list: all instruments of the exchange to watch now; called in a thread, and again from time to time.
        roll_up: rolls up the hour that ends then; called in a thread, by the first shard only.
    """

    open_market: Callable[[], AbstractAsyncContextManager[Market]]
    watch_list: Callable[[], list[Instrument]]
    roll_up: Callable[[datetime], object]


class Pace(NamedTuple):
    """How often a collector does what it does by the clock, in seconds."""

    lease_seconds: float = 15.0
    heartbeat_seconds: float = 10.0
    watch_list_seconds: float = 3_600.0
    # Until there is something to watch.
    empty_list_seconds: float = 30.0
    clock_seconds: float = 600.0
    upkeep_seconds: float = 60.0
    retry_seconds: float = 1.0
    status_seconds: float = 1.0


DEFAULT_PACE = Pace()


class Session:
    """A term of the leader of one shard. `run` once.

    Args:
        engine: the platform's database.
        lease: the shard's, just acquired.
        exchange, shard: what is led.
        parts: the exchange, its watch list, its rollups.
        spill: the shard's.
        retention_days: of the metric tables.
        pace: how often.
        on_status: told how it is, about once a second.
    """

    def __init__(
        self,
        engine: sa.Engine,
        lease: Lease,
        exchange: str,
        shard: Shard,
        parts: Parts,
        spill: Spill,
        *,
        retention_days: int,
        pace: Pace = DEFAULT_PACE,
        on_status: Callable[[health.ShardStatus], None] = lambda status: None,
    ) -> None:
        self._engine, self._lease, self._exchange, self._shard = engine, lease, exchange, shard
        self._parts, self._spill, self._retention_days = parts, spill, retention_days
        self._pace, self._on_status = pace, on_status
        self._computed: asyncio.Queue[ClosedBucket | None] = asyncio.Queue(CLOSED_BUCKETS)
        self._fresh = asyncio.Event()
        self._is_ending = False
        # Spans in which the event loop was held up, Unix seconds; told with the next tick.
        self._stalls: list[tuple[float, float]] = []
        self._offset: float | None = None
        self._counts: dict[str, int | bool] = {}
        self._rejected = self._duplicates = 0
        self._state = health.LEADING
        self._last_error: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Collects until `stop` is set; what was closed by then is written, or on disk.

        Raises:
            LeaseLostError: somebody took the shard.
            ClockSetError: start a new term.
            TransientError: the exchange cannot be opened, or its feed ended.
            DatabaseError: the database was away before anything was collected.
        """
        known_until, reason = await asyncio.to_thread(self._take_over)
        self._writer = TickWriter(self._engine, self._lease, self._exchange, self._shard, self._spill, known_until)
        try:
            async with self._parts.open_market() as market:
                self._feed = market.feed
                background = [
                    asyncio.create_task(each)
                    for each in (self._renew(), self._beat_regularly(), self._report(), self._measure_clock(market))
                ]
                try:
                    if instruments := await self._first_watch_list(stop, background):
                        await self._collect(stop, background, instruments, known_until, reason)
                finally:
                    await _cancel(background)
        finally:
            await asyncio.to_thread(self._writer.keep_for_later)
            self._state = health.STOPPED if stop.is_set() else "restarting"
            await self._beat()

    def _take_over(self) -> tuple[datetime, str]:
        """Until when the shard was collected before, and how that ended."""
        keep_retention(self._engine, self._retention_days)
        now = datetime.now(UTC)
        was_stopped = health.was_stopped(self._engine, self._exchange, self._shard)
        known = [end for end in (last_commit(self._engine, self._exchange, self._shard), self._spill.newest_end()) if end is not None]
        known_until = min(max(known), now) if known else now
        end_abandoned_gaps(self._engine, self._lease, self._exchange, self._shard, known_until)
        return known_until, "start" if was_stopped or not known else "killed"

    async def _first_watch_list(self, stop: asyncio.Event, background: Sequence[asyncio.Task[None]]) -> list[Instrument]:
        while not (instruments := await self._read_watch_list()) and not stop.is_set():
            self._state = "nothing to watch"
            await _first_of(stop, background, timeout=self._pace.empty_list_seconds)
        return instruments

    async def _collect(
        self,
        stop: asyncio.Event,
        background: Sequence[asyncio.Task[None]],
        instruments: list[Instrument],
        known_until: datetime,
        reason: str,
    ) -> None:
        self._state = health.LEADING
        started_at = time.time()
        market = MarketState(started_at)
        self._watch(market, instruments, started_at, since=known_until.timestamp(), reason=reason)
        feed_stop = asyncio.Event()
        feeding = asyncio.create_task(self._follow(market, feed_stop))
        driving = _tasks(self._tick(market, started_at), self._renew_watch_list(market), self._keep_up())
        computing = asyncio.create_task(self._compute(TickComputer(self._exchange, str(self._shard), self._feed.levels)))
        writing = asyncio.create_task(self._write())
        try:
            await _first_of(stop, [*background, feeding, *driving, computing, writing])
        finally:
            feed_stop.set()
            await asyncio.wait([feeding], timeout=ENDING_SECONDS)
            await _cancel([feeding, *driving])
            if not computing.done():
                await self._computed.put(None)
            await asyncio.wait([computing], timeout=ENDING_SECONDS)
            self._is_ending = True
            self._fresh.set()
            await asyncio.wait([writing], timeout=ENDING_SECONDS)
            await _cancel([computing, writing])

    async def _follow(self, market: MarketState, feed_stop: asyncio.Event) -> None:
        await self._feed.run(market, feed_stop)
        if not feed_stop.is_set():
            raise TransientError(f"{self._exchange}: the feed ended by itself")

    async def _tick(self, market: MarketState, started_at: float) -> None:
        """Closes every bucket once its end has passed, however late it is itself."""
        end = first_end(started_at)
        stalled_until = 0.0
        alive_at, step = time.time(), time.time() - time.monotonic()
        while True:
            now = time.time()
            if abs(now - time.monotonic() - step) > CLOCK_STEP_SECONDS:
                raise ClockSetError(f"{self._exchange}: the clock was set by {now - time.monotonic() - step:+.1f} s; beginning anew")
            if now - (end + GRACE_SECONDS) > STALL_SECONDS:
                self._stalls.append((alive_at, now))
                stalled_until = now
            while now >= end + GRACE_SECONDS:
                closed = market.close(end)
                # The bucket that fills now holds what should have been in those before.
                closed.is_irregular |= end - BUCKET_SECONDS < stalled_until
                await self._computed.put(closed)
                end += BUCKET_SECONDS
            alive_at = now
            await asyncio.sleep(min(max(end + GRACE_SECONDS - time.time(), 0.001), 0.1))

    async def _compute(self, computer: TickComputer) -> None:
        while (closed := await self._computed.get()) is not None:
            tick = await asyncio.to_thread(computer.compute, closed)
            if self._stalls:
                spans = [self._stall_row(*span) for span in self._stalls]
                self._stalls.clear()
                tick = tick._replace(gaps=pl.concat([tick.gaps, *spans]))
            self._counts = tick.counts
            self._rejected += int(tick.counts["rejected_frames"])
            self._duplicates += int(tick.counts["duplicates"])
            await asyncio.to_thread(self._writer.put, tick, self._offset)
            self._fresh.set()

    def _stall_row(self, started_at: float, ended_at: float) -> pl.DataFrame:
        start, end = datetime.fromtimestamp(started_at, UTC), datetime.fromtimestamp(ended_at, UTC)
        return gap_row(self._exchange, self._shard, self._spill.instrument_ids, start, end, STALLED)

    async def _write(self) -> None:
        while True:
            try:
                is_written = await asyncio.to_thread(self._writer.write_next)
            except DatabaseError as error:
                self._note(error)
                if self._is_ending:
                    return
                await asyncio.sleep(self._pace.retry_seconds)
                continue
            if is_written:
                continue
            if self._is_ending:
                return
            await self._fresh.wait()
            self._fresh.clear()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._pace.lease_seconds / 3)
            try:
                await asyncio.to_thread(renew, self._engine, self._lease, self._pace.lease_seconds)
            except DatabaseError as error:
                # Whether we still hold it the database says when it is back; until then ticks go to disk.
                self._note(error)

    async def _measure_clock(self, market: Market) -> None:
        while True:
            self._offset = await clock_offset(market.server_time)
            await asyncio.sleep(self._pace.clock_seconds)

    async def _read_watch_list(self) -> list[Instrument]:
        try:
            instruments = await asyncio.to_thread(self._parts.watch_list)
        except PndError as error:
            self._note(error)
            return []
        return [instrument for instrument in instruments if self._shard.holds(instrument.instrument_id)]

    async def _renew_watch_list(self, market: MarketState) -> None:
        while True:
            await asyncio.sleep(self._pace.watch_list_seconds)
            # None at all is no decision to stop watching: it is a list that could not be made.
            if instruments := await self._read_watch_list():
                self._watch(market, instruments, time.time())

    def _watch(
        self, market: MarketState, instruments: list[Instrument], at: float, *, since: float | None = None, reason: str = "start"
    ) -> None:
        self._spill.instrument_ids = [instrument.instrument_id for instrument in instruments]
        self._feed.watch(market.assign(instruments, at, since=since, reason=reason))

    async def _keep_up(self) -> None:
        clerk = RollupClerk(self._engine, self._exchange, self._parts.roll_up) if self._shard.index == 1 else None
        kept_hour: int | None = None
        while True:
            now = datetime.now(UTC)
            try:
                if now.hour != kept_hour:
                    await asyncio.to_thread(keep_retention, self._engine, self._retention_days)
                    kept_hour = now.hour
                # Not while ticks of the hour may still wait on disk.
                if clerk is not None and not self._spill.count:
                    await asyncio.to_thread(clerk.work, now)
            except PndError as error:
                self._note(error)
            await asyncio.sleep(self._pace.upkeep_seconds)

    def status(self) -> health.ShardStatus:
        """How it is now."""
        feed, writer = self._feed.status(), self._writer
        p50, p99 = health.percentiles(list(writer.lags))
        watched = int(self._counts.get("watched", 0))
        return health.ShardStatus(
            exchange=self._exchange,
            shard=str(self._shard),
            state="writing to disk" if writer.is_away and self._state == health.LEADING else self._state,
            connected=feed.connected,
            connections=feed.connections,
            watched=watched,
            seen=watched - int(self._counts.get("blind", 0)),
            messages_per_second=(int(self._counts.get("book_updates", 0)) + int(self._counts.get("trades", 0))) / BUCKET_SECONDS,
            lag_p50_seconds=p50,
            lag_p99_seconds=p99,
            buckets=writer.written,
            rejected=self._rejected,
            duplicates=self._duplicates,
            waiting=writer.waiting,
            spill_bytes=self._spill.size_bytes,
            refused=len(feed.refused),
            last_error=self._last_error,
        )

    async def _report(self) -> None:
        while True:
            self._on_status(self.status())
            await asyncio.sleep(self._pace.status_seconds)

    async def _beat_regularly(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(self._pace.heartbeat_seconds)

    async def _beat(self) -> None:
        if not hasattr(self, "_feed"):
            return
        status = self.status()
        lag = self._writer.lags[-1] if self._writer.lags else None
        is_healthy = status.state == health.LEADING and status.connected > 0
        try:
            await asyncio.to_thread(health.beat, self._engine, status, lag_seconds=lag, is_healthy=is_healthy)
        except DatabaseError as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        if str(error) != self._last_error:
            log.warning("%s %s: %s", self._exchange, self._shard, error)
        self._last_error = str(error)


def _tasks(*work: Coroutine[None, None, None]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(each) for each in work]


async def _first_of(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]], *, timeout: float | None = None) -> None:
    """Waits until `stop` is set, a task has ended, or the time is over; raises what a task raised."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopping, *tasks], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for task in tasks:
        if task in done:
            task.result()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
