"""Complete histories of channels: what is new, then what is older, then the last 48 hours again for edits and deletions.

Every page is saved before the cursor moves, so a run that is cut off goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.settings import Settings
from pnd_dagster.telegram.batches import batch_of
from pnd_dagster.telegram.channel_store import ChannelStore, Clock, Cursor, PostgresChannelStore
from pnd_dagster.telegram.client import ChannelGoneError, ChannelReference, FoundChannel, TelegramReader
from pnd_dagster.telegram.media import MediaFolder, photos_batch
from pnd_dagster.telegram.patience import Answer, Patience, Sleep, patiently
from pnd_dagster.telegram.sessions import open_reader
from pnd_dagster.telegram.wire import deletion_rows, messages_batch

# `min_id` alone misses edits and deletions; pump channels make theirs within two days.
REREAD_SPAN = timedelta(hours=48)
PARALLEL_CHANNELS = 4


class HistoryOutcome(NamedTuple):
    """What reading one channel gave."""

    channel_id: int
    message_count: int = 0
    deletion_count: int = 0
    is_complete: bool = False
    is_vanished: bool = False
    error: str | None = None


class Reading(NamedTuple):
    """What every step of reading needs: whence, whither, how patiently, and what the rows shall say of their source."""

    reader: TelegramReader
    store: ChannelStore
    patience: Patience
    source: str
    media: MediaFolder | None = None
    clock: Clock = lambda: datetime.now(UTC)


def start_reading(
    reader: TelegramReader,
    store: ChannelStore,
    *,
    source: str,
    media: MediaFolder | None = None,
    clock: Clock = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
) -> Reading:
    """A `Reading` in which at most `PARALLEL_CHANNELS` requests are made at a time."""
    return Reading(reader, store, Patience(asyncio.Semaphore(PARALLEL_CHANNELS), sleep), source, media, clock)


async def read_histories(
    reading: Reading, references: Sequence[ChannelReference], *, on_channel: Callable[[HistoryOutcome], None] = lambda outcome: None
) -> list[HistoryOutcome]:
    """Brings the histories of channels up to date, several at a time; a channel that must wait holds up no other.

    A channel that vanished is marked so, and one that fails is reported with its error; the others go on.

    Args:
        reading: see `start_reading`; the reader is connected.
        references: the channels.
        on_channel: called with each channel's outcome.

    Raises:
        SettingError: the session is no longer valid.
        DatabaseError: the database is gone.
    """

    async def one(reference: ChannelReference) -> HistoryOutcome:
        outcome = await _read_channel(reading, reference)
        on_channel(outcome)
        return outcome

    return await gathered([one(reference) for reference in references])


def update_histories(
    engine: sa.Engine, settings: Settings, *, on_channel: Callable[[HistoryOutcome], None] = lambda outcome: None
) -> list[HistoryOutcome]:
    """Brings the histories of all validated channels up to date, with the session for history runs.

    Raises:
        SettingError: keys are missing, or the session is not logged in.
        TransientError: Telegram cannot be reached.
        DatabaseError: the database is gone.
    """

    async def main() -> list[HistoryOutcome]:
        reader = open_reader(settings, "history")
        store = PostgresChannelStore(engine)
        reading = start_reading(reader, store, source="history", media=MediaFolder(settings.media_dir, settings.media_max_bytes))
        await reader.connect()
        try:
            return await read_histories(reading, store.references(), on_channel=on_channel)
        finally:
            await reader.disconnect()

    return asyncio.run(main())


async def gathered(coroutines: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """The results of coroutines run side by side; the first error ends the others and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _read_channel(reading: Reading, reference: ChannelReference) -> HistoryOutcome:
    outcome = HistoryOutcome(reference.channel_id)
    try:
        channel = await find(reading, reference)
        outcome = outcome._replace(channel_id=channel.channel_id)
        for step in (read_new, read_old):
            outcome = outcome._replace(message_count=outcome.message_count + await step(reading, channel))
        again = await reread(reading, channel)
        return outcome._replace(
            message_count=outcome.message_count + again.new_count, deletion_count=again.deletion_count, is_complete=True
        )
    except ChannelGoneError as error:
        await asyncio.to_thread(reading.store.record_vanished, reference.channel_id)
        return outcome._replace(is_vanished=True, error=str(error))
    except (SourceError, TransientError) as error:
        return outcome._replace(error=str(error))


async def find(reading: Reading, reference: ChannelReference) -> FoundChannel:
    """The channel of a reference, noted in the store.

    Raises:
        ChannelGoneError: Telegram no longer serves it.
    """
    channel = await patiently(lambda: reading.reader.find_channel(reference), reading.patience)
    await asyncio.to_thread(reading.store.record_channel, channel, reference, found_via=reading.source, now=reading.clock())
    return channel


async def read_new(reading: Reading, channel: FoundChannel) -> int:
    """Reads what is newer than the cursor, oldest first: a cut-off run leaves no gap. Returns the number of messages."""
    newest = (await _cursor(reading, channel)).newest_message_id
    count = 0
    while newest is not None:
        page = await _page(reading, channel, above=newest, oldest_first=True)
        if not page:
            break
        newest = page[-1].id
        count += await _save(reading, channel, page, Cursor(channel.channel_id, newest_message_id=newest))
    return count


async def read_old(reading: Reading, channel: FoundChannel) -> int:
    """Reads what is older than the cursor down to the first message, newest first: what matters most comes first."""
    cursor = await _cursor(reading, channel)
    oldest = cursor.oldest_message_id
    count = 0
    while not cursor.is_history_complete:
        page = await _page(reading, channel, below=oldest or 0)
        if not page:
            cursor = Cursor(channel.channel_id, is_history_complete=True)
            await asyncio.to_thread(reading.store.advance, cursor, now=reading.clock())
            break
        newest = page[0].id if oldest is None else None
        oldest = page[-1].id
        count += await _save(reading, channel, page, Cursor(channel.channel_id, oldest, newest))
    return count


class Reread(NamedTuple):
    """What reading again gave: messages that were not known, messages that were deleted, and the newest id there is."""

    new_count: int
    deletion_count: int
    newest_message_id: int | None


async def reread(reading: Reading, channel: FoundChannel) -> Reread:
    """Reads the last 48 hours again: edits give new revisions, and what is missing was deleted."""
    now = reading.clock()
    since = now - REREAD_SPAN
    # Asked for before the first page: a message that arrives meanwhile is not among those that may be missing.
    known = await asyncio.to_thread(reading.store.present, channel.channel_id, since=since)
    seen: list[int] = []
    below = 0
    while page := await _page(reading, channel, below=below):
        recent = [message for message in page if message.date >= since]
        seen.extend(message.id for message in recent)
        if recent:
            await _save(reading, channel, recent, None)
        if len(recent) < len(page):
            break
        below = page[-1].id
    known_ids = set(known["message_id"].to_list())
    missing = known.filter(~pl.col("message_id").is_in(pl.Series(seen, dtype=pl.Int64).implode()))
    if not missing.is_empty():
        rows = deletion_rows(channel.channel_id, missing)
        await asyncio.to_thread(reading.store.save, batch_of(rows, source=reading.source, ingested_at=now))
    return Reread(sum(one not in known_ids for one in seen), missing.height, seen[0] if seen else None)


async def _cursor(reading: Reading, channel: FoundChannel) -> Cursor:
    return await asyncio.to_thread(reading.store.cursor, channel.channel_id)


async def _page(reading: Reading, channel: FoundChannel, *, below: int = 0, above: int = 0, oldest_first: bool = False) -> list[Any]:
    return await patiently(lambda: reading.reader.page(channel, below=below, above=above, oldest_first=oldest_first), reading.patience)


async def _save(reading: Reading, channel: FoundChannel, page: list[Any], cursor: Cursor | None) -> int:
    """Saves the messages, then moves the cursor, then fetches their photos. Returns the number of messages."""
    media_dir = reading.media.path if reading.media else None
    batch = messages_batch(page, source=reading.source, now=reading.clock(), media_dir=media_dir)
    await asyncio.to_thread(reading.store.save, batch)
    if cursor is not None:
        await asyncio.to_thread(reading.store.advance, cursor, now=reading.clock())
    if reading.media:
        photos = await photos_batch(reading.reader, page, reading.media, reading.patience, source=reading.source, now=reading.clock())
        if photos is not None:
            await asyncio.to_thread(reading.store.save, photos)
    return batch.messages.height
