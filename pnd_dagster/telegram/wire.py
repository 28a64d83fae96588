"""Telethon's message objects as rows. They are read by their attributes, so that importing this module does not import Telethon.

Names and ids of people are left behind here: senders, authors, who was added, who forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pnd_dagster.storage.dead_letters import clean_text
from pnd_dagster.telegram.batches import ROW_SCHEMA, MessageBatch, batch_of

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


class PhotoFacts(NamedTuple):
    """A photo of a message: the name under which it is kept in the media folder, and its size if Telegram told it."""

    name: str
    byte_count: int | None


def channel_id_of(message: Any) -> int | None:
    """The id of the channel a message stands in; None if it is no channel."""
    return getattr(getattr(message, "peer_id", None), "channel_id", None)


def photo_of(message: Any) -> PhotoFacts | None:
    """The message's photo, or an image sent as a file; None for anything else.

    The photo's own id is part of the name, so a photo that replaced another gets another file.
    """
    media: Any = getattr(message, "media", None)
    match type(media).__name__:
        case "MessageMediaPhoto" if type(media.photo).__name__ == "Photo":
            sizes = [byte_count for size in media.photo.sizes if (byte_count := _byte_count(size)) is not None]
            return PhotoFacts(f"{channel_id_of(message)}/{message.id}_{media.photo.id}.jpg", max(sizes, default=None))
        case "MessageMediaDocument" if getattr(media.document, "mime_type", None) in _EXTENSIONS:
            extension = _EXTENSIONS[media.document.mime_type]
            return PhotoFacts(f"{channel_id_of(message)}/{message.id}_{media.document.id}.{extension}", media.document.size)
        case _:
            return None


def _byte_count(size: Any) -> int | None:
    match type(size).__name__:
        case "PhotoSize":
            return size.size
        case "PhotoSizeProgressive":
            return max(size.sizes)
        case _:
            return None


def message_row(message: Any, *, media_dir: Path | None) -> dict[str, Any] | None:
    """One message in names of `ROW_SCHEMA`; None for placeholders of deleted messages and for messages outside channels.

    Args:
        message: Telethon's Message or MessageService.
        media_dir: the media folder; a photo that lies there already is named in the row.
    """
    channel_id = channel_id_of(message)
    kind = {"Message": "message", "MessageService": "service"}.get(type(message).__name__)
    if channel_id is None or kind is None:
        return None
    forward = getattr(message, "fwd_from", None)
    forward_peer = getattr(forward, "from_id", None)
    media = type(message.media).__name__ if getattr(message, "media", None) is not None else None
    photo = photo_of(message) if media_dir else None
    return {
        "channel_id": channel_id,
        "channel_title": None,
        "message_id": message.id,
        "occurred_at": message.date,
        # Reactions move edit_date as well; Telegram then asks to hide the edit, and the text is the same.
        "edited_at": None if getattr(message, "edit_hide", None) else getattr(message, "edit_date", None),
        "is_deleted": False,
        "kind": kind,
        "text": clean_text(getattr(message, "message", None) or ""),
        "media_type": None if media == "MessageMediaEmpty" else media,
        "media_file": photo.name if photo and media_dir and (media_dir / photo.name).is_file() else None,
        "reply_to_message_id": getattr(getattr(message, "reply_to", None), "reply_to_msg_id", None),
        "forwarded_from_channel_id": getattr(forward_peer, "channel_id", None),
        "forwarded_from_message_id": getattr(forward, "channel_post", None) if forward_peer is not None else None,
        "grouped_id": getattr(message, "grouped_id", None),
        "is_pinned": bool(getattr(message, "pinned", None)),
        "is_from_member": type(getattr(message, "from_id", None)).__name__ == "PeerUser",
        "service_action": type(message.action).__name__ if kind == "service" else None,
        "views": getattr(message, "views", None),
        "forwards": getattr(message, "forwards", None),
        "replies": getattr(getattr(message, "replies", None), "replies", None),
    }


def deletion_rows(channel_id: int, known: pl.DataFrame) -> pl.DataFrame:
    """Rows that record deletions.

    They hold nothing but the deletion, so that it is the same revision however often and by whomever it is noticed; what was deleted
    stands in the revisions before.

    Args:
        channel_id: the channel.
        known: message_id, occurred_at and kind of the deleted messages.
    """
    return known.select(
        pl.lit(channel_id, pl.Int64()).alias("channel_id"),
        "message_id",
        "occurred_at",
        "kind",
        pl.lit(value=True).alias("is_deleted"),
        pl.lit("").alias("text"),
    ).pipe(_filled)


def rows_of(messages: Iterable[Any], *, media_dir: Path | None = None) -> pl.DataFrame:
    """A frame of `ROW_SCHEMA` of Telethon's messages."""
    rows = [row for message in messages if (row := message_row(message, media_dir=media_dir)) is not None]
    return pl.DataFrame(rows, schema=ROW_SCHEMA)


def messages_batch(messages: Sequence[Any], *, source: str, now: datetime, media_dir: Path | None = None) -> MessageBatch:
    """The batch of Telethon's messages."""
    return batch_of(rows_of(messages, media_dir=media_dir), source=source, ingested_at=now, row_count=len(messages))


def _filled(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in ROW_SCHEMA.items() if name not in frame.columns]
    return frame.with_columns(missing).select(ROW_SCHEMA.names()).cast(ROW_SCHEMA)
