"""Releases in pictures: which messages' pictures are worth reading, and what a reveal makes of its message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pnd_dagster.events.reading import NAMED_POINTS, Message, read_symbol_of
from pnd_dagster.events.symbols import load_known_symbols
from pnd_dagster.images.reading import inside, read_images
from pnd_dagster.messages.labels import MessageLabel

# As long as a channel's exchange is looked for before a release: a pump was announced or counted down to within that time.
TALK_HOLDS = timedelta(hours=48)
_PUMP_TALK = (MessageLabel.PUMP_ANNOUNCEMENT, MessageLabel.COUNTDOWN, MessageLabel.DELAY_CANCELLATION)
# An announcement may show what a reveal will look like, and results show the coin again: those captions keep their label.
_YIELDING = (MessageLabel.COUNTDOWN, MessageLabel.TARGET_COIN_RELEASE, MessageLabel.NOISE)


class PicturesRead(NamedTuple):
    """Messages with image_symbol and image_confidence, and how many pictures were read, by status; missing are those not in the folder."""

    messages: pl.DataFrame
    counts: dict[str, int]


def as_release(message: Message, known_symbols: frozenset[str]) -> Message:
    """`message`, labelled a release if its picture reveals a coin and its caption names none."""
    if message.image_symbol is None or message.label not in _YIELDING:
        return message
    reading = message.symbol(known_symbols)
    if reading is None or "image" not in reading.evidence:
        return message
    return message._replace(label=int(MessageLabel.TARGET_COIN_RELEASE), confidence=message.image_confidence or 0.0)


def read_pictures(
    messages: pl.DataFrame,
    folder: Path,
    known_symbols: frozenset[str] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> PicturesRead:
    """Reads the pictures of the messages that may release a coin.

    Args:
        messages: channel_id, date, text, label and image_file (a name inside `folder`, empty or NULL for no picture).
        folder: where the pictures are.
        known_symbols: symbols that count as listed; the packaged list if None.
        on_progress: called with pictures done and to do.

    Raises:
        SourceError: the reading process cannot be started.
    """
    symbols = load_known_symbols() if known_symbols is None else known_symbols
    names = pictures_to_read(messages, symbols)
    files = {name: inside(folder, name) for name in names}
    name_of = {file: name for name, file in files.items() if file}
    rows: list[tuple[str, str, float]] = []
    counts = {"missing": missing} if (missing := len(names) - len(name_of)) else {}
    for done, reading in enumerate(read_images(name_of, symbols), start=1):
        counts[reading.status] = counts.get(reading.status, 0) + 1
        if reading.status == "reveal" and reading.symbol and reading.confidence:
            rows.append((name_of[reading.file], reading.symbol, reading.confidence))
        on_progress(done, len(name_of))
    schema = {"image_file": pl.String, "image_symbol": pl.String, "image_confidence": pl.Float64}
    readings = pl.DataFrame(rows, schema=schema, orient="row")
    return PicturesRead(messages.join(readings, on="image_file", how="left", maintain_order="left"), counts)


def pictures_to_read(messages: pl.DataFrame, known_symbols: frozenset[str]) -> list[str]:
    """The pictures of messages that may release a coin, each once: at a third of a second each, not all are read.

    The caption is empty or names no coin, and says that it releases one or comes at most 48 hours after talk of a pump in its channel.
    """
    ordered = messages.sort("date").with_columns(
        talk_at=pl.when(pl.col("label").is_in([int(label) for label in _PUMP_TALK])).then("date").forward_fill().over("channel_id")
    )
    is_due = (pl.col("label") == int(MessageLabel.TARGET_COIN_RELEASE)) | (pl.col("date") - pl.col("talk_at") <= TALK_HOLDS)
    candidates = ordered.filter(
        pl.col("image_file").fill_null("") != "", pl.col("label").is_in([int(label) for label in _YIELDING]), is_due
    )
    texts = candidates.select(pl.col("text").fill_null("").unique())["text"]
    coinless = [text for text in texts if not _names_a_coin(text, known_symbols)]
    return candidates.filter(pl.col("text").fill_null("").is_in(coinless))["image_file"].unique(maintain_order=True).to_list()


def _names_a_coin(text: str, known_symbols: frozenset[str]) -> bool:
    reading = read_symbol_of(text, known_symbols) if text else None
    return reading is not None and reading.points >= NAMED_POINTS
