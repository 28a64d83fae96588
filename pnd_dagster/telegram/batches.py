"""The common form in which every Telegram source hands over what it read: frames of the raw tables, refused rows included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.tables.frames import UTC_DATETIME

MESSAGE_KINDS = ("message", "service")

ROW_SCHEMA = pl.Schema(
    {
        "channel_id": pl.Int64(),
        "channel_title": pl.String(),
        "message_id": pl.Int64(),
        "occurred_at": UTC_DATETIME,
        "edited_at": UTC_DATETIME,
        "is_deleted": pl.Boolean(),
        "kind": pl.String(),
        "text": pl.String(),
        "media_type": pl.String(),
        "media_file": pl.String(),
        "reply_to_message_id": pl.Int64(),
        "forwarded_from_channel_id": pl.Int64(),
        "forwarded_from_message_id": pl.Int64(),
        "grouped_id": pl.Int64(),
        "is_pinned": pl.Boolean(),
        "is_from_member": pl.Boolean(),
        "service_action": pl.String(),
        "views": pl.Int64(),
        "forwards": pl.Int64(),
        "replies": pl.Int64(),
    }
)


class MessageBatch(NamedTuple):
    """What one step of reading gave, ready to be written. Each frame conforms to the raw table of its name.

    `row_count` is the number of input rows the batch stands for, good and refused, so that progress can be shown.
    """

    messages: pl.DataFrame
    stats: pl.DataFrame
    channels: pl.DataFrame
    dead_letters: pl.DataFrame
    row_count: int


def revision_id(edited_at_us: int | None, text: str, media_type: str | None, is_deleted: bool) -> int:
    """Identity of a message's revision: the same content has the same id whenever and from wherever it is read.

    The file name is no part of it: one source downloads the photo and another does not; a new photo is an edit with its own time.

    Args:
        edited_at_us: microseconds since 1970 UTC, None for an unedited message.
        text: the cleaned text.
        media_type: Telethon's class name.
        is_deleted: True for the revision that records a deletion.

    Returns:
        A signed 64-bit integer.
    """
    # NUL cannot occur in the parts, so different parts never make the same bytes.
    parts = f"{'' if edited_at_us is None else edited_at_us}\0{media_type or ''}\0{int(is_deleted)}\0{text}"
    return int.from_bytes(hashlib.blake2b(parts.encode(), digest_size=8).digest(), "big", signed=True)


def revision_ids(rows: pl.DataFrame) -> pl.Series:
    """`revision_id` of every row of a frame with edited_at, text, media_type and is_deleted."""
    columns = (rows["edited_at"].dt.timestamp("us"), rows["text"], rows["media_type"], rows["is_deleted"])
    parts = zip(*(column.to_list() for column in columns), strict=True)
    return pl.Series("revision_id", [revision_id(*row) for row in parts], dtype=pl.Int64)


def batch_of(
    rows: pl.DataFrame,
    *,
    source: str,
    ingested_at: datetime,
    observed_at: datetime | None = None,
    refused: pl.DataFrame | None = None,
    row_count: int | None = None,
) -> MessageBatch:
    """The batch of checked rows.

    Args:
        rows: a frame of `ROW_SCHEMA`; channel_id, message_id, occurred_at, is_deleted, kind and text hold no NULL.
        source: where the rows were read, as in raw.telegram_messages.source.
        ingested_at: when we knew of these revisions.
        observed_at: when views, forwards and replies were counted; `ingested_at` if not given.
        refused: dead letters that belong to the batch.
        row_count: input rows, if more than `rows` were read.
    """
    messages = tables.conform(
        rows.drop("channel_title", "views", "forwards", "replies")
        .with_columns(
            pl.lit(ingested_at, UTC_DATETIME).alias("ingested_at"),
            pl.lit(source).alias("source"),
            revision_ids(rows),
        )
        .unique(["channel_id", "message_id", "revision_id"], keep="first", maintain_order=True),
        tables.TELEGRAM_MESSAGES,
    )
    stats = tables.conform(
        rows.select("channel_id", "message_id", "views", "forwards", "replies")
        .filter(pl.any_horizontal(pl.col("views", "forwards", "replies").is_not_null()))
        .with_columns(pl.lit(observed_at or ingested_at, UTC_DATETIME).alias("observed_at"))
        .unique(["channel_id", "message_id"], keep="last", maintain_order=True),
        tables.TELEGRAM_MESSAGE_STATS,
    )
    return MessageBatch(
        messages=messages,
        stats=stats,
        channels=channels_of(rows, found_via=source, discovered_at=ingested_at),
        dead_letters=empty(tables.DEAD_LETTERS) if refused is None else refused,
        row_count=rows.height if row_count is None else row_count,
    )


def channels_of(rows: pl.DataFrame, *, found_via: str, discovered_at: datetime) -> pl.DataFrame:
    """Rows of raw.telegram_channels for the channels that occur in `rows`, each a candidate, with the last title seen."""
    channels = (
        rows.sort("occurred_at", maintain_order=True)
        .group_by("channel_id", maintain_order=True)
        .agg(pl.col("channel_title").drop_nulls().last().alias("title"))
        .with_columns(
            pl.lit(found_via).alias("found_via"),
            pl.lit("candidate").alias("status"),
            pl.lit(value=False).alias("is_vanished"),
            pl.lit(discovered_at, UTC_DATETIME).alias("discovered_at"),
        )
    )
    return tables.conform(channels, tables.TELEGRAM_CHANNELS)


def empty(table: sa.Table) -> pl.DataFrame:
    """A frame of `table` without rows."""
    return pl.DataFrame(schema=tables.polars_schema(table))


def empty_batch(*, dead_letters: pl.DataFrame | None = None, row_count: int = 0) -> MessageBatch:
    """A batch without messages."""
    return MessageBatch(
        messages=empty(tables.TELEGRAM_MESSAGES),
        stats=empty(tables.TELEGRAM_MESSAGE_STATS),
        channels=empty(tables.TELEGRAM_CHANNELS),
        dead_letters=empty(tables.DEAD_LETTERS) if dead_letters is None else dead_letters,
        row_count=row_count,
    )


def join_batches(batches: Sequence[MessageBatch]) -> MessageBatch:
    """One batch of several, so that a burst is written at once. The first of equal revisions and the last counts stay."""
    if not batches:
        return empty_batch()
    return MessageBatch(
        messages=pl.concat([batch.messages for batch in batches]).unique(
            tables.primary_key(tables.TELEGRAM_MESSAGES), keep="first", maintain_order=True
        ),
        stats=pl.concat([batch.stats for batch in batches]).unique(
            tables.primary_key(tables.TELEGRAM_MESSAGE_STATS), keep="last", maintain_order=True
        ),
        channels=pl.concat([batch.channels for batch in batches]).unique("channel_id", keep="last", maintain_order=True),
        dead_letters=pl.concat([batch.dead_letters for batch in batches]).unique("dead_letter_id", keep="first", maintain_order=True),
        row_count=sum(batch.row_count for batch in batches),
    )
