"""`pnd listen`: Telegram's updates into the database as they come.

Each burst is committed first. Then, in a transaction of its own, a handler labels and extracts; what it fails on is safe and is left to
the sweeper. What was missed while away is recovered at every connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.errors import DatabaseError, PndError, SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.storage import upsert
from pnd_dagster.telegram.batches import MessageBatch
from pnd_dagster.telegram.channel_store import Cursor, PostgresChannelStore
from pnd_dagster.telegram.client import ChannelReference, FoundChannel
from pnd_dagster.telegram.history import Reading, gathered, start_reading
from pnd_dagster.telegram.live import latest_pts, messages_of, read_difference, recover, save_photos, updates_batch, watched
from pnd_dagster.telegram.media import MediaFolder
from pnd_dagster.telegram.patience import backoff_seconds
from pnd_dagster.telegram.sessions import open_reader

NAME = "listen"
BURST_UPDATES = 200
QUEUE_UPDATES = 10_000
log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How often the listener does what it does by the clock, in seconds."""

    heartbeat_seconds: float = 10.0
    sweep_seconds: float = 60.0
    # Channels we have not joined send no updates; we read only, so we ask instead of joining.
    poll_seconds: float = 5.0
    longest_backoff_seconds: float = 60.0


DEFAULT_PACE = Pace()


class Duties(NamedTuple):
    """What the listener is given to do with messages.

    `handle` labels and extracts a batch that is committed already; `sweep` does so with what was left and returns how many messages
    it took; `write_heartbeat` writes rows of core.heartbeats. All are called in a thread and use transactions of their own.
    """

    handle: Callable[[MessageBatch], None]
    sweep: Callable[[], int]
    write_heartbeat: Callable[[pl.DataFrame], None]


def run(engine: sa.Engine, settings: Settings, *, handle: Callable[[MessageBatch], None], sweep: Callable[[], int]) -> None:
    """Listens with the session of `settings` to all validated channels, until SIGTERM or SIGINT.

    Args:
        engine: the platform's database.
        settings: keys, session file, media folder.
        handle: see `Duties`.
        sweep: see `Duties`.

    Raises:
        SettingError: keys are missing, or the session is not or no longer logged in.
    """

    def write_heartbeat(frame: pl.DataFrame) -> None:
        upsert(engine, tables.HEARTBEATS, frame)

    def start() -> Reading:
        media = MediaFolder(settings.media_dir, settings.media_max_bytes)
        return start_reading(open_reader(settings, "listen"), PostgresChannelStore(engine), source="live", media=media)

    run_until_told(start, Duties(handle, sweep, write_heartbeat))


def run_until_told(start: Callable[[], Reading], duties: Duties, *, pace: Pace = DEFAULT_PACE) -> None:
    """Listens until SIGTERM or SIGINT; what was received by then is committed before it returns.

    Args:
        start: makes the reader and the store, within the event loop.
        duties: what to do with messages.
        pace: how often.

    Raises:
        SettingError: the session is not or no longer logged in.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await listen(start(), duties, stop, pace=pace)

    asyncio.run(main())


async def listen(reading: Reading, duties: Duties, stop: asyncio.Event, *, pace: Pace = DEFAULT_PACE) -> None:
    """Listens until `stop` is set."""
    await _Listener(reading, duties, stop, pace).run()


class _Listener:
    """The state that the listener's tasks share."""

    def __init__(self, reading: Reading, duties: Duties, stop: asyncio.Event, pace: Pace) -> None:
        self._reading = reading
        self._duties = duties
        self._stop = stop
        self._pace = pace
        self._updates: asyncio.Queue[Any] = asyncio.Queue(QUEUE_UPDATES)
        self._watched: dict[int, ChannelReference] = {}
        self._unjoined: dict[int, FoundChannel] = {}
        # Until a channel is recovered its count must not move: cut off before, the next start has to find the gap.
        self._recovered: set[int] = set()
        self._failed: set[int] = set()
        # One at a time: handler and sweeper work on the same model and the same rows.
        self._duty = asyncio.Lock()
        self._photo_tasks: set[asyncio.Task[None]] = set()
        self._is_connected = False
        self._lag_seconds: float | None = None
        self._last_error: str | None = None
        self._counts = {"messages": 0, "handled": 0, "unhandled": 0, "swept": 0, "connections": 0}

    async def run(self) -> None:
        self._reading.reader.subscribe(self._receive)
        consumer = asyncio.create_task(self._consume())
        background = [asyncio.create_task(self._beat_regularly()), asyncio.create_task(self._sweep_regularly())]
        try:
            await self._stay_connected(consumer, background)
        finally:
            self._stop.set()
            self._is_connected = False
            for task in background:
                task.cancel()
            # The consumer ends by itself once the queue is empty, so that all that was received is committed.
            await asyncio.gather(*background, return_exceptions=True)
            await asyncio.gather(consumer, return_exceptions=True)
            for task in self._photo_tasks:
                task.cancel()
            await asyncio.gather(*self._photo_tasks, return_exceptions=True)
            await self._beat()

    async def _stay_connected(self, consumer: asyncio.Task[None], background: Sequence[asyncio.Task[None]]) -> None:
        failures, loop = 0, asyncio.get_running_loop()
        while not self._stop.is_set():
            connected_at: float | None = None
            try:
                await self._reading.reader.connect()
                self._is_connected, connected_at = True, loop.time()
                self._counts["connections"] += 1
                await self._work_until_disconnected(consumer, *background)
            except (TransientError, DatabaseError) as error:
                self._note(error)
            finally:
                self._is_connected = False
                with suppress(OSError):
                    await self._reading.reader.disconnect()
            # A connection that held for a while was a good one, however it ended.
            has_held = connected_at is not None and loop.time() - connected_at > self._pace.longest_backoff_seconds
            failures = 0 if has_held else failures + 1
            await self._pause(backoff_seconds(failures, longest=self._pace.longest_backoff_seconds) if failures else 0.0)

    async def _work_until_disconnected(self, *others: asyncio.Task[None]) -> None:
        work = [
            asyncio.create_task(self._reading.reader.wait_until_disconnected()),
            asyncio.create_task(self._recover_and_poll()),
            asyncio.create_task(self._until_stopped()),
        ]
        try:
            done, _ = await asyncio.wait([*work, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    async def _receive(self, update: Any) -> None:
        # A full queue holds Telegram's updates back rather than dropping them.
        await self._updates.put(update)

    async def _consume(self) -> None:
        while True:
            burst = await self._next_burst()
            if not burst:
                return
            mine = watched(burst, self._watched)
            if mine and not await self._commit(mine):
                return

    async def _next_burst(self) -> list[Any]:
        """What has come, at least one update; nothing once the listener stops and all is taken."""
        burst: list[Any] = []
        while not burst:
            with suppress(TimeoutError):
                burst.append(await asyncio.wait_for(self._updates.get(), 0.2))
            if not burst and self._stop.is_set():
                return []
        while len(burst) < BURST_UPDATES and not self._updates.empty():
            burst.append(self._updates.get_nowait())
        return burst

    async def _commit(self, updates: list[Any]) -> bool:
        """Commits, then handles. False when the database is gone and we are told to stop: the next start recovers by `pts`."""
        reading, failures = self._reading, 0
        media_dir = reading.media.path if reading.media else None
        while True:
            now = reading.clock()
            try:
                batch = await asyncio.to_thread(updates_batch, updates, reading.store, source=reading.source, now=now, media_dir=media_dir)
                await asyncio.to_thread(reading.store.save, batch)
                for channel_id, pts in latest_pts(updates).items():
                    if channel_id in self._recovered:
                        await asyncio.to_thread(reading.store.advance, Cursor(channel_id, pts=pts), now=now)
                break
            except DatabaseError as error:
                failures += 1
                self._note(error)
                if self._stop.is_set():
                    return False
                await self._pause(backoff_seconds(failures, longest=self._pace.longest_backoff_seconds))
        self._counts["messages"] += batch.messages.height
        fresh = batch.messages.filter(pl.col("edited_at").is_null(), ~pl.col("is_deleted"))
        if not fresh.is_empty():
            self._lag_seconds = _seconds_between(fresh["occurred_at"].max(), now)
        await self._handle(batch)
        if reading.media:
            task = asyncio.create_task(self._fetch_photos(messages_of(updates)))
            self._photo_tasks.add(task)
            task.add_done_callback(self._photo_tasks.discard)
        return True

    async def _handle(self, batch: MessageBatch) -> None:
        try:
            async with self._duty:
                await asyncio.to_thread(self._duties.handle, batch)
            self._counts["handled"] += batch.messages.height
        except Exception as error:  # noqa: BLE001 - whatever fails in labelling, the messages are safe and the sweeper comes by
            self._counts["unhandled"] += batch.messages.height
            self._note(error)

    async def _fetch_photos(self, messages: Sequence[Any]) -> None:
        # Apart from the consumer: a slow download must not hold up the next announcement.
        try:
            photos = await save_photos(self._reading, messages)
        except PndError as error:
            self._note(error)
            return
        if photos is not None and not photos.messages.is_empty():
            await self._handle(photos)

    async def _recover_and_poll(self) -> None:
        for channels in (self._recovered, self._failed, self._unjoined):
            channels.clear()
        while True:
            await self._recover_new_channels()
            for channel_id, channel in list(self._unjoined.items()):
                if channel_id in self._watched:
                    await self._poll(channel)
            await asyncio.sleep(self._pace.poll_seconds)

    async def _recover_new_channels(self) -> None:
        references = await asyncio.to_thread(self._reading.store.references)
        self._watched = {reference.channel_id: reference for reference in references}
        waiting = [reference for reference in references if reference.channel_id not in self._recovered | self._failed]
        if not waiting:
            return
        recoveries = await gathered([recover(self._reading, reference) for reference in waiting])
        for reference, recovery in zip(waiting, recoveries, strict=True):
            if recovery.channel is None or recovery.error is not None:
                self._failed.add(reference.channel_id)
                self._note(SourceError(recovery.error or f"channel {reference.channel_id}: not found"))
                continue
            self._recovered.add(recovery.channel_id)
            self._watched[recovery.channel_id] = reference
            if not recovery.channel.is_joined:
                self._unjoined[recovery.channel_id] = recovery.channel
        await self._sweep()

    async def _poll(self, channel: FoundChannel) -> None:
        cursor = await asyncio.to_thread(self._reading.store.cursor, channel.channel_id)
        try:
            missed = await read_difference(self._reading, channel, cursor.pts or 1)
        except (SourceError, TransientError) as error:
            self._note(error)
            return
        if missed.is_too_long:
            self._recovered.discard(channel.channel_id)
        if missed.message_count:
            self._counts["messages"] += missed.message_count
            await self._sweep()

    async def _sweep(self) -> None:
        try:
            async with self._duty:
                self._counts["swept"] += await asyncio.to_thread(self._duties.sweep)
        except Exception as error:  # noqa: BLE001 - the next sweep tries again
            self._note(error)

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._pace.sweep_seconds)
            # Channels that could not be recovered get another chance now and then, not every few seconds.
            self._failed.clear()
            await self._sweep()

    async def _beat_regularly(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(self._pace.heartbeat_seconds)

    async def _beat(self) -> None:
        details = {**self._counts, "waiting": self._updates.qsize(), "channels": len(self._watched), "last_error": self._last_error}
        row = {
            "name": NAME,
            "beat_at": self._reading.clock(),
            "lag_seconds": self._lag_seconds,
            "is_healthy": self._is_connected and not self._stop.is_set(),
            "details": json.dumps(details),
        }
        try:
            frame = pl.DataFrame([row], schema=tables.polars_schema(tables.HEARTBEATS))
            await asyncio.to_thread(self._duties.write_heartbeat, frame)
        except DatabaseError as error:
            self._note(error)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _note(self, error: BaseException) -> None:
        # Only the kind of a foreign error: its text may quote a message.
        self._last_error = str(error) if isinstance(error, PndError) else type(error).__name__
        log.warning("%s", self._last_error)


def _seconds_between(start: Any, end: datetime) -> float:
    return (end - start).total_seconds()
