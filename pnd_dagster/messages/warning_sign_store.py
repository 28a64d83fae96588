"""Warning signs in the database: tags of message revisions, and how often each channel shows each sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import sqlalchemy as sa

from pnd_dagster.messages.normalise import normalise_many
from pnd_dagster.messages.warning_signs import lexicon_entries, load_lexicon, with_warning_signs
from pnd_dagster.storage import NOTHING_WRITTEN, Window, Written, read_frame, replace_window, within
from pnd_dagster.tables import CHANNEL_WARNING_SIGNS, MESSAGE_WARNING_SIGNS, TELEGRAM_MESSAGES

CHUNK_ROWS = 50_000
_KEYS = ("channel_id", "message_id", "revision_id")


def tag_messages(engine: sa.Engine, window: Window | None = None, on_progress: Callable[[int], None] = lambda rows: None) -> Written:
    """Makes core.message_warning_signs right for the revisions in the window, whatever it held before; run twice, nothing changes.

    Deletions and service messages have no signs. Whole channels are written at once, each chunk in its own transaction.

    Args:
        engine: the platform's database.
        window: only messages posted in [start, end).
        on_progress: called with the number of revisions of each chunk.
    """
    signed, message = MESSAGE_WARNING_SIGNS, TELEGRAM_MESSAGES.c
    written = NOTHING_WRITTEN
    for channel_ids in _chunks(engine, window):
        columns = (message.channel_id, message.message_id, message.revision_id, message.text)
        revisions = read_frame(engine, sa.select(*columns).where(*_has_text(window), message.channel_id.in_(channel_ids)))
        is_in_window = sa.exists().where(*(message[key] == signed.c[key] for key in _KEYS), within(message.occurred_at, window))
        written += replace_window(engine, signed, _tagged(revisions), sa.and_(signed.c.channel_id.in_(channel_ids), is_in_window))
        on_progress(revisions.height)
    return written


def write_channel_signs(engine: sa.Engine) -> Written:
    """Makes core.channel_warning_signs what the tags say: a row per channel with text and sign of the lexicon, also where none was found.

    Counts the last text of each message, of a deleted one too. Where tags of several lexicons meet, the version names them all: tag again.
    """
    message, signed = TELEGRAM_MESSAGES.c, MESSAGE_WARNING_SIGNS.c
    latest = (
        sa.select(message.channel_id, message.message_id, message.revision_id)
        .where(*_has_text(None))
        .distinct(message.channel_id, message.message_id)
        .order_by(message.channel_id, message.message_id, message.edited_at.desc().nulls_last(), message.revision_id)
        .subquery("latest")
    )
    counts = read_frame(
        engine,
        sa.select(latest.c.channel_id, sa.func.count().label("message_count")).group_by(latest.c.channel_id).order_by(latest.c.channel_id),
    )
    tags = read_frame(
        engine,
        sa.select(signed.channel_id, signed.signs, signed.lexicon_version).join_from(
            MESSAGE_WARNING_SIGNS, latest, sa.and_(*(signed[key] == latest.c[key] for key in _KEYS))
        ),
    )
    versions = tags.group_by("channel_id").agg(pl.col("lexicon_version").unique().sort().str.join("+"))
    signed_counts = tags.explode("signs").group_by("channel_id", sign="signs").agg(signed_count=pl.len())
    rows = (
        counts.join(lexicon_entries().select(pl.col("sign").unique().sort()), how="cross")
        .join(signed_counts, on=["channel_id", "sign"], how="left")
        .join(versions, on="channel_id", how="left")
        .with_columns(pl.col("signed_count").fill_null(0), pl.col("lexicon_version").fill_null(load_lexicon().version))
        .with_columns(signed_ratio=pl.col("signed_count") / pl.col("message_count"))
    )
    return replace_window(engine, CHANNEL_WARNING_SIGNS, rows, sa.true())


def _has_text(window: Window | None) -> tuple[sa.ColumnElement[bool], ...]:
    message = TELEGRAM_MESSAGES.c
    return (message.kind == "message", ~message.is_deleted, message.text != "", within(message.occurred_at, window))


def _chunks(engine: sa.Engine, window: Window | None) -> Iterator[list[int]]:
    """Channels with messages in the window, so many at once that they hold about `CHUNK_ROWS` revisions."""
    message = TELEGRAM_MESSAGES.c
    statement: sa.Select[Any] = sa.select(message.channel_id, sa.func.count().label("row_count")).where(within(message.occurred_at, window))
    chunk: list[int] = []
    row_count = 0
    for channel_id, rows in read_frame(engine, statement.group_by(message.channel_id).order_by(message.channel_id)).iter_rows():
        if chunk and row_count + rows > CHUNK_ROWS:
            yield chunk
            chunk, row_count = [], 0
        chunk.append(channel_id)
        row_count += rows
    if chunk:
        yield chunk


def _tagged(revisions: pl.DataFrame) -> pl.DataFrame:
    """Rows of core.message_warning_signs; each text is read once."""
    texts = revisions.select(pl.col("text").unique(maintain_order=True))
    signs = with_warning_signs(texts.with_columns(normalised=pl.Series(normalise_many(texts["text"]), dtype=pl.String)))
    return (
        revisions.join(signs.filter(pl.col("signs").list.len() > 0), on="text", how="inner")
        .select(*_KEYS, "signs", "phrases")
        .with_columns(lexicon_version=pl.lit(load_lexicon().version))
    )
