"""Updates as they happen, and what happened while we were away.

Telegram counts a channel's updates (`pts`). After a restart the difference since the last count tells what was missed; where it is too
long to be told, the history is read on, and in any case the last 48 hours are read again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.storage.dead_letters import Refusal, dead_letters
from pnd_dagster.telegram.batches import MessageBatch, batch_of, join_batches
from pnd_dagster.telegram.channel_store import ChannelStore, Cursor
from pnd_dagster.telegram.client import ChannelGoneError, ChannelReference, FoundChannel
from pnd_dagster.telegram.history import Reading, find, read_new, reread
from pnd_dagster.telegram.media import photos_batch
from pnd_dagster.telegram.patience import patiently
from pnd_dagster.telegram.wire import channel_id_of, deletion_rows, messages_batch


class Recovery(NamedTuple):
    """What recovering one channel gave. `channel` is None when it could not be found."""

    channel_id: int
    channel: FoundChannel | None = None
    message_count: int = 0
    deletion_count: int = 0
    was_away_too_long: bool = False
    is_vanished: bool = False
    error: str | None = None


def channel_of(update: Any) -> int | None:
    """The channel an update belongs to; None for what is no message of a channel."""
    match type(update).__name__:
        case "UpdateNewChannelMessage" | "UpdateEditChannelMessage":
            return channel_id_of(update.message)
        case "UpdateDeleteChannelMessages":
            return update.channel_id
        case _:
            return None


def messages_of(updates: Sequence[Any]) -> list[Any]:
    """The new and edited messages of updates, in their order."""
    return [update.message for update in updates if type(update).__name__ in {"UpdateNewChannelMessage", "UpdateEditChannelMessage"}]


def latest_pts(updates: Sequence[Any]) -> dict[int, int]:
    """The highest update count of each channel."""
    latest: dict[int, int] = {}
    for update in updates:
        channel_id = channel_of(update)
        if channel_id is not None:
            latest[channel_id] = max(update.pts, latest.get(channel_id, 0))
    return latest


def updates_batch(
    updates: Sequence[Any], store: ChannelStore, *, source: str, now: datetime, pending: Sequence[Any] = (), media_dir: Path | None = None
) -> MessageBatch:
    """The batch of updates: new messages, edits as further revisions, and deletions as revisions that say so.

    A deletion names ids only. Of messages that were never read it is told as a dead letter, one for each update.

    Args:
        updates: Telethon's updates, in their order.
        store: asked when deleted messages were posted.
        source: what the rows shall say of their source.
        now: when we knew.
        pending: messages that came with these updates and are not among them.
        media_dir: the media folder, if there is one.
    """
    messages = [*pending, *messages_of(updates)]
    batch = messages_batch(messages, source=source, now=now, media_dir=media_dir)
    deleted: dict[int, list[int]] = defaultdict(list)
    for update in updates:
        if type(update).__name__ == "UpdateDeleteChannelMessages":
            deleted[update.channel_id].extend(update.messages)
    batches = [batch]
    for channel_id, message_ids in deleted.items():
        # A message may be posted and deleted within one burst, before it is in the database.
        here = batch.messages.filter(pl.col("channel_id") == channel_id, pl.col("message_id").is_in(message_ids))
        known = pl.concat([store.posted(channel_id, message_ids), here.select("message_id", "occurred_at", "kind")])
        known = known.unique("message_id", keep="first", maintain_order=True)
        never_read = sorted(set(message_ids) - set(known["message_id"].to_list()))
        refusals = (
            [Refusal(f"channel {channel_id} messages from {never_read[0]}", "deletion of messages that were never read", never_read)]
            if never_read
            else []
        )
        gone = batch_of(deletion_rows(channel_id, known), source=source, ingested_at=now)
        batches.append(gone._replace(dead_letters=dead_letters(source, refusals, refused_at=now)))
    return join_batches(batches)


async def recover(reading: Reading, reference: ChannelReference) -> Recovery:
    """Reads what a channel's updates would have told while we were away. Whatever is wrong with the channel is told in the result.

    Raises:
        SettingError: the session is no longer valid.
        DatabaseError: the database is gone.
    """
    recovery = Recovery(reference.channel_id)
    try:
        channel = await find(reading, reference)
        recovery = recovery._replace(channel_id=channel.channel_id, channel=channel)
        cursor = await asyncio.to_thread(reading.store.cursor, channel.channel_id)
        if cursor.pts is None:
            # Asked for before reading on, so that nothing falls between the two.
            pts = await patiently(lambda: reading.reader.current_pts(channel), reading.patience)
            count = await read_new(reading, channel)
        else:
            count, pts, is_too_long = await read_difference(reading, channel, cursor.pts)
            recovery = recovery._replace(was_away_too_long=is_too_long)
            if is_too_long:
                count += await read_new(reading, channel)
        again = await reread(reading, channel)
        # Where there is a history at all, it now reaches up to the newest message without a gap.
        newest = again.newest_message_id if cursor.newest_message_id is not None else None
        await _advance(reading, Cursor(channel.channel_id, newest_message_id=newest, pts=pts))
        return recovery._replace(message_count=count + again.new_count, deletion_count=again.deletion_count)
    except ChannelGoneError as error:
        await asyncio.to_thread(reading.store.record_vanished, reference.channel_id)
        return recovery._replace(is_vanished=True, error=str(error))
    except (SourceError, TransientError) as error:
        return recovery._replace(error=str(error))


class Missed(NamedTuple):
    """What the difference told: messages, the count up to which it was told, and whether some of it was not."""

    message_count: int
    pts: int
    is_too_long: bool


async def read_difference(reading: Reading, channel: FoundChannel, pts: int) -> Missed:
    """Saves what happened in a channel since `pts`. The cursor moves with what was saved, unless not all was told."""
    count = 0
    while True:
        since = pts
        difference = await patiently(lambda: reading.reader.difference(channel, since), reading.patience)  # noqa: B023 - called at once
        media_dir = reading.media.path if reading.media else None
        batch = await asyncio.to_thread(
            updates_batch,
            difference.updates,
            reading.store,
            source=reading.source,
            now=reading.clock(),
            pending=difference.messages,
            media_dir=media_dir,
        )
        if batch.row_count or not batch.dead_letters.is_empty():
            await asyncio.to_thread(reading.store.save, batch)
        count += batch.messages.height
        pts = difference.pts
        if difference.is_too_long:
            # The new count is not kept yet: cut off now, the next start must find this gap again.
            return Missed(count, pts, is_too_long=True)
        if pts != since:
            await _advance(reading, Cursor(channel.channel_id, pts=pts))
        await save_photos(reading, [*difference.messages, *messages_of(difference.updates)])
        if difference.is_final:
            return Missed(count, pts, is_too_long=False)


async def save_photos(reading: Reading, messages: Sequence[Any]) -> MessageBatch | None:
    """Downloads and saves the photos of messages that are saved already. Returns the rows that name them, if there are any."""
    if reading.media is None or not messages:
        return None
    photos = await photos_batch(reading.reader, messages, reading.media, reading.patience, source=reading.source, now=reading.clock())
    if photos is not None:
        await asyncio.to_thread(reading.store.save, photos)
    return photos


async def _advance(reading: Reading, cursor: Cursor) -> None:
    await asyncio.to_thread(reading.store.advance, cursor, now=reading.clock())


def watched(updates: Sequence[Any], channel_ids: Collection[int]) -> list[Any]:
    """The updates of some channels: what the account sees elsewhere is none of our business."""
    return [update for update in updates if channel_of(update) in channel_ids]
